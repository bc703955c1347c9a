"""Scenarios become satellites, stations and pairs; what makes no sense is told in words."""

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from planning import START, network

from satqkd.config import Waypoint
from satqkd.errors import ConfigError, DataFormatError
from satqkd.mission.course import site_of
from satqkd.plan.network import read_scenario
from satqkd.plan.opportunities import find_opportunities, station_at
from satqkd.plan.places import LEG_S, legs_of
from satqkd.sky import find_passes, is_night, orbit_of, parse_utc

BANK = {"name": "bank", "station": "beijing"}
TLE = """ISS
1 25544U 98067A   19343.69339541  .00001764  00000-0  38792-4 0  9991
2 25544  51.6439 211.2001 0007417  17.6667  85.6398 15.50103472202482
"""


def walker(**changes: Any) -> list[dict[str, Any]]:
    return [
        {
            "preset": "jinan-1",
            "name": "w",
            "pattern": "walker-delta",
            "count": 12,
            "planes": 3,
            "phasing": 1,
            "altitude_km": 550,
            "inclination_deg": 53,
        }
        | changes
    ]


def test_a_walker_pattern_has_its_planes_and_phases() -> None:
    satellites = network(satellite=walker()).satellites
    assert [each.name for each in satellites[:2]] == ["w-01", "w-02"]
    nodes = sorted({round(math.degrees(each.orbit.right_ascension_rad or 0.0), 6) for each in satellites})
    assert nodes == [0, 120, 240]
    first = [math.degrees(each.orbit.argument_of_latitude_rad or 0.0) for each in satellites[::4]]
    assert np.allclose(first, [0, 30, 60])  # F = 1 of 12: 30 degrees from plane to plane
    in_plane = [math.degrees(each.orbit.argument_of_latitude_rad or 0.0) for each in satellites[:4]]
    assert np.allclose(in_plane, [0, 90, 180, 270])


def test_a_star_spreads_its_planes_over_half_a_turn() -> None:
    satellites = network(satellite=walker(pattern="walker-star", inclination_deg=90)).satellites
    nodes = sorted({round(math.degrees(each.orbit.right_ascension_rad or 0.0), 6) for each in satellites})
    assert nodes == [0, 60, 120]


def test_sun_synchronous_planes_differ_by_local_time() -> None:
    group = {"preset": "jinan-1", "name": "s", "pattern": "sun-synchronous", "count": 6, "planes": 6}
    more = {"altitude_km": 500, "first_local_time_s": 79200}
    satellites = network(satellite=[group | more]).satellites
    hours = [(each.orbit.local_time_of_ascending_node_s or 0.0) / 3600 for each in satellites]
    assert hours == [22, 0, 2, 4, 6, 8]
    assert {round(math.degrees(orbit_of(each.orbit).inclination_rad), 2) for each in satellites} == {97.4}


def test_a_file_of_elements_gives_a_satellite_for_each(tmp_path: Path) -> None:
    (tmp_path / "iss.tle").write_text(TLE)
    group = {"preset": "tiangong-2", "name": "iss", "elements_file": "iss.tle"}
    [aboard] = network(tmp_path, satellite=[group]).satellites
    assert (aboard.name, orbit_of(aboard.orbit).catalogue_number) == ("iss-01", 25544)
    [lab] = network(satellite=[{"preset": "tiangong-2"}]).satellites
    assert (aboard.source, aboard.transmitter) == (lab.source, lab.transmitter)


def test_a_table_of_places_gives_stations_with_the_hardware_of_a_preset(tmp_path: Path) -> None:
    (tmp_path / "places.csv").write_text(
        "name,latitude_deg,longitude_deg,altitude_m,preset\nbath,51.4,-2.4,60,\nrome,41.9,12.5,,graz\n"
    )
    table = [{"preset": "beijing", "table": "places.csv"}]
    found = network(tmp_path, station=table, pair=[{"ends": ["bath", "rome"]}])
    bath, rome = found.stations
    assert (bath.name, round(math.degrees(bath.latitude_rad), 6), bath.altitude_m) == ("bath", 51.4, 60)
    beijing, graz = network(station=[{"presets": ["beijing", "graz"]}], pair=[]).stations
    assert (bath.telescope_diameter_m, rome.telescope_diameter_m) == (
        beijing.telescope_diameter_m, graz.telescope_diameter_m,
    )  # fmt: skip
    assert rome.altitude_m == graz.altitude_m


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,latitude_deg\nx,1\n", "line 2.*missing: longitude_deg"),
        ("name,latitude_deg,longitude_deg,hight\nx,1,2,3\n", "unknown: hight"),
        ("name,latitude_deg,longitude_deg\nx,91,2\n", "latitude_deg: expected a number from -90 to 90"),
        ("name,latitude_deg,longitude_deg\nx,north,2\n", "got 'north'"),
        ("name,latitude_deg,longitude_deg\n", "expected a row for each place"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "places.csv").write_text(text)
    with pytest.raises(DataFormatError, match=told):
        network(tmp_path, station=[{"preset": "beijing", "table": "places.csv"}])


TWO: dict[str, Any] = {"ends": ["beijing", "stellenbosch"], "demand_bits": 1e6}


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"pair": [{"ends": ["beijing", "stelenbosch"]}]}, "did you mean stellenbosch"),
        ({"pair": [{"ends": ["beijing", "beijing"]}]}, "expected two, got 'beijing' twice"),
        ({"user": [BANK], "pair": [{"ends": ["bank", "beijing"]}]}, "need no satellite"),
        ({"user": [{"name": "beijing", "station": "beijing"}]}, "a name of its own, got beijing"),
        ({"satellite": [{"preset": "jinan-1"}, {"preset": "jinan-1"}]}, "a name of its own, got jinan-1"),
        ({"satellite": walker(count=13)}, "count a multiple of planes"),
        ({"satellite": walker(phasing=3)}, "phasing below planes"),
        ({"satellite": [{"preset": "jinan-1", "count": 3}]}, "belong to a pattern"),
        ({"satellite": []}, "length >= 1"),
        ({"station": [{"preset": "beijing", "presets": ["graz"]}]}, "give one of the two"),
        ({"station": [{"preset": "beijing", "latitude_deg": 3}]}, "latitude and longitude together"),
        ({"satellite": [{"preset": "jinan-1", "elements_file": "no.tle"}]}, "no.tle: cannot be read"),
        ({"start_utc": "yesterday"}, "scenario small, start_utc: .*got 'yesterday'"),
        ({"pair": [TWO | {"by_utc": "2024-10-01T00:00:00Z"}]}, "beijing-stellenbosch, by_utc: .*after the"),
        ({"pair": [TWO | {"by_utc": "soon"}]}, "pair beijing-stellenbosch, by_utc: .*got 'soon'"),
        ({"duration_days": 0}, "duration_s"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told(tables: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        network(**tables)


def test_users_are_where_their_station_is() -> None:
    found = network(
        user=[BANK, {"name": "lab", "station": "stellenbosch"}],
        pair=[{"ends": ["lab", "bank"]}],
    )
    assert (found.pairs[0].a, found.pairs[0].b, found.pairs[0].name) == (1, 0, "lab-bank")


def test_a_scenario_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(
        f"name = 'x'\nstart_utc = '{START}'\nduration_days = 2\n"
        "[[satellite]]\npreset = 'micius'\n[[station]]\npresets = ['xinglong']\n"
    )
    found = read_scenario(path)
    assert (found.duration_s, found.stations[0].name, found.pairs) == (172_800, "xinglong", ())


# --- passes


def test_opportunities_are_the_night_passes_of_each_pair_of_terminals() -> None:
    found = network(duration_days=3, satellite=[{"preset": "jinan-1"}, {"preset": "micius"}])
    passes = find_opportunities(found)
    for s, craft in enumerate(found.satellites):
        for g, ground in enumerate(found.stations):
            rows = (passes.satellite == s) & (passes.station == g)
            alone = find_passes(
                orbit_of(craft.orbit),
                site_of(ground),
                found.start,
                duration_s=found.duration_s,
                minimum_elevation_rad=ground.minimum_elevation_rad,
            )
            night = [each for each in alone if is_night(each)]
            assert len(night) == rows.sum() > 0
            start = [found.start + timedelta(seconds=each) for each in passes.start_s[rows].tolist()]
            assert all(abs((a - b.start).total_seconds()) < 1e-3 for a, b in zip(start, night, strict=True))


def test_a_higher_mask_and_an_earlier_sun_leave_fewer_and_shorter_passes() -> None:
    low = find_opportunities(network(duration_days=5))
    high = find_opportunities(network(duration_days=5, service={"minimum_elevation_deg": 30}))
    dark = find_opportunities(network(duration_days=5, service={"maximum_sun_elevation_deg": -45}))
    assert 0 < len(high) < len(low) > len(dark) > 0
    assert high.max_elevation_rad.min() >= math.radians(30)
    assert high.duration_s.max() < low.duration_s.max()
    assert dark.sun_elevation_rad.max() <= math.radians(-45)


def test_each_station_has_its_own_mask() -> None:
    found = network(duration_days=5, station=[{"presets": ["beijing", "stellenbosch", "graz"]}])
    masks_rad = np.radians([20.0, 45.0, 5.0])
    stations = tuple(
        msgspec.structs.replace(ground, minimum_elevation_rad=mask_rad)
        for ground, mask_rad in zip(found.stations, masks_rad.tolist(), strict=True)
    )
    passes = find_opportunities(msgspec.structs.replace(found, stations=stations))
    for k, mask_rad in enumerate(masks_rad):
        highest_rad = passes.max_elevation_rad[passes.station == k]
        assert mask_rad <= highest_rad.min() < mask_rad + np.radians(20)


def ship(**changes: Any) -> dict[str, Any]:
    return {
        "preset": "beijing",
        "name": "ship",
        "track": [
            {"utc": "2024-10-03T12:00:00Z", "latitude_deg": 0, "longitude_deg": 100},
            {"utc": "2024-10-13T12:00:00Z", "latitude_deg": 0, "longitude_deg": 130},
        ],
    } | changes


def test_a_ship_sails_along_the_great_circle_at_even_speed() -> None:
    start = parse_utc(START)
    track = [
        Waypoint(utc="2024-10-03T12:00:00Z", latitude_rad=0.0, longitude_rad=math.radians(100)),
        Waypoint(utc="2024-10-13T12:00:00Z", latitude_rad=0.0, longitude_rad=math.radians(130)),
    ]
    legs = list(legs_of(track, 0.0, start, 12 * 86_400.0))
    assert [leg.to_s - leg.from_s for leg in legs[:3]] == [LEG_S] * 3
    longitudes = np.degrees([leg.site.longitude_rad for leg in legs])
    middle_days = np.array([(leg.from_s + leg.to_s) / 2 / 86_400 for leg in legs])
    assert np.allclose(longitudes, np.minimum(100 + 3 * middle_days, 130))
    with pytest.raises(ConfigError, match="in order of time"):
        list(legs_of(track[::-1], 0.0, start, 86_400.0))


def test_a_ships_passes_are_those_over_where_it_is() -> None:
    found = network(duration_days=10, station=[ship(), {"presets": ["stellenbosch"]}], pair=[])
    passes = find_opportunities(found)
    sailing = passes.taken(passes.station == 0)
    assert len(sailing) > 10
    for row in range(0, len(sailing), 5):
        ground = station_at(found, 0, float(sailing.culmination_s[row]))
        east_deg = 100 + 3 * sailing.culmination_s[row] / 86_400
        assert abs(math.degrees(ground.longitude_rad) - east_deg) < 0.2
        moment = found.start + timedelta(seconds=float(sailing.start_s[row]) - 60)
        [same] = find_passes(
            orbit_of(found.satellites[0].orbit),
            site_of(ground),
            moment,
            duration_s=1200.0,
            minimum_elevation_rad=ground.minimum_elevation_rad,
        )
        assert abs(same.max_elevation_rad - sailing.max_elevation_rad[row]) < 1e-6
