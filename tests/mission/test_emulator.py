"""The emulated laser link of a contact: light time and rate, each way."""

from pathlib import Path

import pytest

from satqkd.config import Impairments, Outage
from satqkd.constants import SPEED_OF_LIGHT_M_S
from satqkd.mission import contact_of
from satqkd.mission.emulator import DOWN, UP, LinkEmulator
from toy_pass import AT_UTC, fly_toy, toy_satellite, toy_station


@pytest.mark.parametrize(("direction", "end"), [(DOWN, "satellite"), (UP, "station")])
def test_a_datagram_takes_its_light_time_and_its_time_on_the_line(direction: str, end: str) -> None:
    contact = contact_of(
        toy_satellite(lasercom__frame_loss=0.0), toy_station(lasercom__frame_loss=0.0), AT_UTC
    )
    link = LinkEmulator(contact, seed=1)
    line_s = 8 * 1000 / getattr(contact, end).lasercom.rate_bit_s
    light_s = float(contact.look.range_m[0]) / SPEED_OF_LIGHT_M_S
    assert light_s > 1e-3
    link.submit(direction, [bytes(1000)], 0.0)
    assert link.due(direction, line_s + light_s - 1e-9) == []
    assert link.due(direction, line_s + light_s + 1e-9) == [bytes(1000)]


def test_each_terminal_has_its_own_impairments() -> None:
    outage = Impairments(outages=(Outage(from_s=1.0, to_s=2.0),), duplicated=1.0)
    satellite = toy_satellite(lasercom__frame_loss=0.0, lasercom__impairments=outage)
    link = LinkEmulator(contact_of(satellite, toy_station(lasercom__frame_loss=0.0), AT_UTC), seed=1)
    for direction in (DOWN, UP):
        for second in range(3):
            link.submit(direction, [bytes([second])], second + 0.5)
    assert link.due(DOWN, 10.0) == [b"\x00", b"\x00", b"\x02", b"\x02"]
    assert link.due(UP, 10.0) == [b"\x00", b"\x01", b"\x02"]
    assert link.counts()[DOWN].outages == ((1.0, 2.0),) and link.counts()[UP].outages == ()


def test_a_pass_is_flown_through_all_of_them_in_space_packets(tmp_path: Path) -> None:
    harm = Impairments(
        burst_loss=0.1, burst_s=0.02, duplicated=0.05, reordered=0.05, delay_spread_s=0.08, corrupted=0.05
    )
    changes = {"lasercom__impairments": harm, "lasercom__framing": "space-packets"}
    flight = fly_toy(tmp_path, satellite=toy_satellite(**changes), station=toy_station(**changes))
    assert flight.report.outcome == "key" and flight.keys[0] == flight.keys[1]
    assert all(flight.report.classical[way]["lost"] > 0 for way in (DOWN, UP))
    assert flight.satellite.report().link.rejected + flight.station.report().link.rejected > 0
