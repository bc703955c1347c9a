"""The emulated laser link of a contact: light time and rate, each way."""

import pytest

from satqkd.constants import SPEED_OF_LIGHT_M_S
from satqkd.mission import contact_of
from satqkd.mission.emulator import DOWN, UP, LinkEmulator
from toy_pass import AT_UTC, toy_satellite, toy_station


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
