"""Telemetry of two ends: said once a second on its own stream, believed by nobody, harmless when forged."""

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest

from satqkd.lasercom import Direction, Endpoint, Kind, Priority, decode
from satqkd.mission.emulator import DOWN
from satqkd.mission.telemetry import Telemetry, TelemetryLine
from toy_pass import fly_toy

TOLD = Telemetry(t_s=1.5, blocks_finished=2, secret_bits=4096, backlog_bytes=17, waiting_messages=3)
GOOD = msgspec.msgpack.encode(TOLD)


def test_each_end_hears_of_the_other_once_a_second_until_its_part_is_done(tmp_path: Path) -> None:
    flight = fly_toy(tmp_path)
    frames = [(way, now_s, decode(data)) for way, now_s, data in flight.datagrams]
    first_s: dict[bytes, float] = {}
    for way, now_s, frame in frames:
        if way == DOWN and frame and (frame.kind, frame.stream) == (Kind.DATA, int(Priority.TELEMETRY)):
            first_s.setdefault(frame.payload, now_s)
    steps = [later - sooner for sooner, later in itertools.pairwise(first_s.values())]
    assert len(steps) > 5 and steps == pytest.approx([1.0] * len(steps))
    for mine, other in ((flight.satellite, flight.station), (flight.station, flight.satellite)):
        heard = mine.report().telemetry
        assert heard is not None and heard.blocks_finished <= len(other.reports) == 1
        assert 0 < heard.t_s <= max(other.report().confirmed_s.values())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD + b"\x00",
        bytes(10_000),
        msgspec.msgpack.encode([1.5, 2, 4096, 17]),
        msgspec.msgpack.encode([1.5, 2, 4096, 17, 3, 4]),
        msgspec.msgpack.encode([1.5, -2, 4096, 17, 3]),
        msgspec.msgpack.encode([float("nan"), 2, 4096, 17, 3]),
        msgspec.msgpack.encode([1.5, 2, 2**60, 17, 3]),
    ],
)
def test_what_is_none_is_dropped_and_the_last_good_one_stays(data: bytes) -> None:
    line = TelemetryLine()
    line.receive(data)
    assert line.heard is None
    line.receive(GOOD)
    line.receive(data)
    assert line.heard == TOLD


def test_a_full_stream_is_not_filled_further(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    link = Endpoint(
        link_tag=b"abcd",
        direction=Direction.FROM_STATION,
        boot=1,
        rate_bit_s=1e6,
        light_time_s=lambda _: 0.002,
        maximum_message_bytes=1000,
        tick_s=0.05,
    )
    monkeypatch.setattr(link, "send", lambda data, priority: sent.append((data, priority)))
    line = TelemetryLine()
    line.speak(link, TOLD)
    assert sent == []  # no connection, no room
    monkeypatch.setattr(link, "room", lambda n_bytes, priority: True)
    for step in range(21):
        line.speak(link, msgspec.structs.replace(TOLD, t_s=0.1 * step))
    assert [priority for _, priority in sent] == [Priority.TELEMETRY] * 3
