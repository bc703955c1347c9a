"""Passes without a beacon: key from quantum tags and public headers, flown, recorded, refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from satqkd.config import Header
from satqkd.errors import ConfigError, RemoteProtocolError
from satqkd.header import is_public
from satqkd.mission import contact_of, distill_recording, equals_live, open_recording, presets, record_pass
from satqkd.mission.clock import KeyedSlots
from satqkd.mission.flown import unkeyed_slots
from satqkd.mission.satellite_end import twin_transmitter
from toy_pass import AT_UTC, PROTOCOL, Flight, fly_toy, replaced, toy_satellite, toy_station

HEADER = Header(duration_s=0.5, interval_s=4.0)


def headed(**changes: Any) -> Any:
    return replaced(toy_satellite(), beacon=None, header=HEADER, **changes)


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Flight, list[dict[str, Any]]]:
    lines: list[dict[str, Any]] = []
    station = toy_station(clock__offset_s=-9e-4, clock__drift=2e-5)
    folder = tmp_path_factory.mktemp("headed")
    return fly_toy(folder, satellite=headed(), station=station, lines=lines), lines


def test_a_pass_without_a_beacon_gives_the_same_key_at_both_ends(
    flight: tuple[Flight, list[dict[str, Any]]],
) -> None:
    flown = flight[0]
    report = flown.report
    assert report.outcome == "key" and report.keys_match and report.secret_bits > 5000
    assert flown.keys[0] == flown.keys[1]
    assert report.qber is not None and report.qber < 0.0135


def test_no_slot_of_a_header_is_announced(flight: tuple[Flight, list[dict[str, Any]]]) -> None:
    flown = flight[0]
    parameters = flown.satellite.parameters
    assert (parameters.header_slots, parameters.header_interval_slots) == (5_000_000, 40_000_000)
    assert parameters.beacon_rate_hz == 0.0
    clicks = flown.station._acceptance.counts.detections
    share = 1 - unkeyed_slots(flown.contact) / flown.contact.slots
    assert flown.report.detections == pytest.approx(share * clicks, rel=0.03)
    assert share == pytest.approx(1 - 2 * 5e6 / flown.contact.slots)


def test_the_account_says_what_the_clock_followed(flight: tuple[Flight, list[dict[str, Any]]]) -> None:
    flown, lines = flight
    clock = flown.station.report().clock
    assert clock is not None and clock.method == "header" and flown.satellite.report().clock is None
    assert clock.headers_read >= 3 and clock.slips == 0 and clock.beacons_seen == 0
    assert clock.dropped_clicks < 100
    assert all(begin > flown.contact.quantum_end_s for begin, _ in clock.outages_s)
    told = [line for line in lines if (line["stage"], line["event"]) == ("sync", "clock")]
    assert [line["headers_read"] for line in told] == [clock.headers_read]


def test_the_satellite_refuses_a_public_slot() -> None:
    contact = contact_of(headed(), toy_station(), AT_UTC)
    parameters = contact.parameters(PROTOCOL, seed=1)
    assert parameters.header is not None
    keyed = KeyedSlots(twin_transmitter(contact, 1), parameters.header)
    slots = np.array([5_000_000, 39_999_999], np.int64)
    assert len(keyed.settings(slots)) == 2 and keyed.horizon_slots is None
    for public in (4_999_999, 40_000_000):
        assert is_public(np.array([public]), parameters.header).all()
        with pytest.raises(RemoteProtocolError, match=f"slot {public}"):
            keyed.settings(np.array([public], np.int64))


def test_headers_are_agreed_before_the_pass() -> None:
    one, other = (
        contact_of(craft, toy_station(), AT_UTC).parameters(PROTOCOL, seed=1)
        for craft in (headed(), replaced(headed(), header=Header(duration_s=0.4, interval_s=4.0)))
    )
    assert one.digest != other.digest


def test_recorded_and_distilled_again_it_gives_the_same_key(tmp_path: Path) -> None:
    live, out = tmp_path / "live", tmp_path / "out"
    live.mkdir()
    out.mkdir()
    contact = contact_of(headed(), toy_station(), AT_UTC)
    flown = record_pass(contact, PROTOCOL, live, seed=2)
    with open_recording(live) as recording:
        assert recording.contact.satellite.header == HEADER
        again = distill_recording(recording, out)
        assert equals_live(recording, out)
    assert (again.detections, again.secret_bits) == (flown.detections, flown.secret_bits)


def test_dark_sky_only_is_a_pass_without_key_that_says_why(tmp_path: Path) -> None:
    """Nothing of the satellite arrives: background must not be taken for a clock."""
    station = toy_station(receiver__optics_transmittance=1e-6)
    report = fly_toy(tmp_path, satellite=headed(), station=station).report
    assert report.outcome == "no_key" and report.detections == 0
    assert "never locked on the public header" in report.reason


def test_a_header_in_a_file_takes_the_place_of_the_presets_beacon(tmp_path: Path) -> None:
    path = tmp_path / "headed.toml"
    path.write_text('preset = "micius"\n[header]\nduration_s = 0.4\ninterval_s = 20\n', encoding="utf-8")
    craft = presets.satellite(str(path))
    assert craft.beacon is None
    assert craft.header == Header(duration_s=0.4, interval_s=20.0)
    assert presets.kind_of(str(path)).__name__ == "Satellite"
    path.write_text('preset = "micius"\n[header]\n[beacon]\nrate_hz = 1e4\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="both"):
        presets.satellite(str(path))
