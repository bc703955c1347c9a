"""Planned contacts as the twin flies them: the same pass, the station where it is, and about the same key."""

import math

import msgspec
import pytest
from planning import network

from satqkd.errors import ConfigError
from satqkd.mission.contact import choose_pass
from satqkd.plan.flown_contacts import contact_of_plan, fly_contacts
from satqkd.plan.planner import make_plan
from satqkd.sky import parse_utc


def test_the_flight_of_a_contact_is_the_pass_that_was_planned() -> None:
    found = network(duration_days=3, service={"minimum_elevation_deg": 25.0}, protocol={"keyed_bases": ["Z"]})
    contacts = make_plan(found).contacts
    assert len(contacts) >= 2
    for contact in contacts:
        flight = contact_of_plan(found, contact)
        flown = choose_pass(flight["satellite"], flight["station"], parse_utc(flight["at_utc"]))
        assert abs((flown.start - parse_utc(contact.start_utc)).total_seconds()) < 0.1
        assert abs((flown.end - parse_utc(contact.end_utc)).total_seconds()) < 0.1
        assert flight["station"].name == contact.station
        assert flight["protocol"].keyed_bases == ("Z",)
        assert flight["station"].minimum_elevation_rad >= math.radians(24.99)


def test_a_ship_is_flown_where_it_is_then() -> None:
    track = [
        {"utc": "2024-10-03T12:00:00Z", "latitude_deg": 35.0, "longitude_deg": 116.0},
        {"utc": "2024-10-06T12:00:00Z", "latitude_deg": 45.0, "longitude_deg": 116.0},
    ]
    found = network(
        duration_days=3,
        station=[{"preset": "beijing", "name": "ship", "track": track}, {"presets": ["stellenbosch"]}],
        pair=[{"ends": ["ship", "stellenbosch"]}],
    )
    at_sea = [each for each in make_plan(found).contacts if each.station == "ship"]
    latitudes = [math.degrees(contact_of_plan(found, each)["station"].latitude_rad) for each in at_sea]
    for contact, latitude in zip(at_sea, latitudes, strict=True):
        days = (parse_utc(contact.start_utc) - found.start).total_seconds() / 86_400
        assert latitude == pytest.approx(35 + 10 * days / 3, abs=0.4)
    assert latitudes and latitudes[-1] > 35.2


def test_a_contact_of_another_scenario_is_refused() -> None:
    found = network(duration_days=2)
    (contact, *_) = make_plan(found).contacts
    with pytest.raises(ConfigError, match="expected names of the scenario"):
        contact_of_plan(found, msgspec.structs.replace(contact, station="graz"))


@pytest.mark.soak
def test_the_twin_distils_about_what_was_planned() -> None:
    found = network(duration_days=2)
    contacts = sorted(make_plan(found).contacts, key=lambda each: each.key_bits)[-2:]
    for flown in fly_contacts(found, contacts, seed=1):
        assert flown.planned_bits == pytest.approx(flown.expected_bits, rel=0.02)
        assert flown.twin_bits == pytest.approx(flown.expected_bits, rel=0.25)
