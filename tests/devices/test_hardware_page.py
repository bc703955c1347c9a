"""The drivers of `docs/hardware.md` are what the doors ask for: they run, and a pass flies behind them."""

import re
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from satqkd.devices import Receiver, Transmitter
from satqkd.errors import LocalProtocolError
from satqkd.mission.run_pass import twin_receiver
from satqkd.records import Settings
from toy_pass import fly_toy, repeatable

PAGE = Path(__file__).parents[2] / "docs" / "hardware.md"


@pytest.fixture(scope="module")
def drivers() -> dict[str, Any]:
    """The names that the page's example defines."""
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    names: dict[str, Any] = {}
    exec(compile(example, str(PAGE), "exec"), names)
    return names


def test_the_ring_remembers_as_far_as_it_says(drivers: dict[str, Any]) -> None:
    ring = drivers["RingTransmitter"](1000)
    door: Transmitter = ring
    codes = np.random.default_rng(1).integers(0, 16, 2500).astype(np.uint8)
    for start in range(0, 2500, 400):
        ring.sent(codes[start : start + 400])
    slots = np.array([1500, 1501, 2047, 2499], np.int64)
    found = door.settings(slots)
    assert isinstance(found, Settings)
    assert np.array_equal(found.intensity_class, codes[slots] & 3)
    assert np.array_equal(found.basis, codes[slots] >> 2 & 1)
    assert np.array_equal(found.bit, codes[slots] >> 3 & 1)
    assert len(door.settings(np.empty(0, np.int64))) == 0
    for bad in ([1499, 1500], [2499, 2500], [1600, 1600], [1700, 1600]):
        with pytest.raises(LocalProtocolError, match="increasing slots from 1500 to 2499"):
            door.settings(np.array(bad, np.int64))


def test_a_pass_flies_behind_the_tagger_driver(drivers: dict[str, Any], tmp_path: Path) -> None:
    """Twin tags pushed through the driver, inputs renumbered, give the same numbers and equal keys."""
    direct = fly_toy(_made(tmp_path / "a"))
    wires = {17: 0, 3: 1, 200: 2, 9: 3, 44: 4}
    wire_of = np.array([wire for wire, _ in sorted(wires.items(), key=lambda each: each[1])])

    def behind_driver(contact: Any) -> Receiver:
        driver, twin = drivers["TaggerReceiver"](wires, 1), twin_receiver(contact, 1)

        class Bench:
            """A tagger that sees the twin's light, and noise on an input that is not wired."""

            def read(self, until_s: float) -> Any:
                tags = twin.read(until_s)
                times = np.append(tags.time_ps, tags.time_ps[-1:])
                wires_seen = np.append(wire_of[tags.channel], [77] * min(len(tags), 1))
                driver.push(times, wires_seen.astype(np.int64))
                return driver.read(until_s)

        return Bench()

    driven = fly_toy(_made(tmp_path / "b"), receiver=behind_driver, randbytes=secrets.token_bytes)
    assert repeatable(driven.report) == repeatable(direct.report)
    assert driven.report.secret_bits > 0
    assert driven.keys[0] == driven.keys[1]


def test_the_tagger_driver_refuses_to_go_back(drivers: dict[str, Any]) -> None:
    driver = drivers["TaggerReceiver"]({0: 0}, 25)
    driver.push(np.array([2, 4]), np.array([0, 0]))
    assert driver.read(1.0).time_ps.tolist() == [50, 100]
    assert len(driver.read(1.0)) == 0
    with pytest.raises(LocalProtocolError, match="read on from"):
        driver.read(0.5)


def _made(path: Path) -> Path:
    path.mkdir()
    return path
