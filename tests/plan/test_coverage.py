"""What a map shows beside a plan: tracks, key by place, skies; each against another way to the same."""

from datetime import timedelta
from math import pi
from pathlib import Path

import msgspec
import numpy as np
import pytest
from planning import network

from satqkd.constants import DAY_S
from satqkd.mission.course import site_of
from satqkd.plan import coverage
from satqkd.plan.coverage import coverage_of, skies_of, tracks_of
from satqkd.plan.network import Network
from satqkd.plan.planner import offer_of
from satqkd.sky import look, orbit_of

WEATHER = {"nearest_km": 100.0, "default_clear": 0.25}


def above_mask(net: Network, t_s: np.ndarray) -> np.ndarray:
    """Of the first satellite over the first station."""
    station = net.stations[0]
    seen = look(orbit_of(net.satellites[0].orbit), site_of(station), net.start, t_s)
    return np.asarray(seen.elevation_rad > station.minimum_elevation_rad)


def test_a_station_sees_the_satellite_where_its_track_is_within_reach() -> None:
    north = {"preset": "beijing", "name": "north", "latitude_deg": 75, "longitude_deg": 20}
    net = network(station=[north], pair=[])
    (track,) = tracks_of(net)
    station = net.stations[0]
    t_s = np.arange(0.0, DAY_S, coverage.TRACK_STEP_S)
    assert track.satellite == "jinan-1" and track.latitude_rad.shape == t_s.shape
    apart = np.arccos(
        np.sin(track.latitude_rad) * np.sin(station.latitude_rad)
        + np.cos(track.latitude_rad)
        * np.cos(station.latitude_rad)
        * np.cos(track.longitude_rad - station.longitude_rad)
    )
    near, seen = apart < track.reach_rad, above_mask(net, t_s)
    assert seen.sum() > 20 and (near != seen).sum() <= 4  # a minute more or less, and the Earth is no sphere


def test_key_by_place_is_that_of_a_station_which_stands_there() -> None:
    net = network(duration_days=2)
    covered = coverage_of(net)
    assert covered is not None and (covered.station, covered.satellites, covered.days) == ("beijing", 1, 2.0)
    row, column = np.unravel_index(np.argmax(covered.day_bits), covered.day_bits.shape)
    there = network(
        duration_days=2,
        pair=[],
        station=[
            {
                "preset": "beijing",
                "name": "there",
                "altitude_m": 0.0,
                "latitude_deg": float(np.degrees(covered.latitude_rad[row])),
                "longitude_deg": float(np.degrees(covered.longitude_rad[column])),
            }
        ],
    )
    assert covered.day_bits[row, column] == pytest.approx(offer_of(there).key_bits.sum() / 2, rel=1e-9)
    assert np.isfinite(covered.day_bits).all()


def test_passes_that_are_not_worth_flying_are_no_key() -> None:
    most = coverage_of(network())
    least = coverage_of(network(service={"least_key_bits": 1e9}))
    assert most is not None and least is not None
    assert most.day_bits.max() > 0 == least.day_bits.max()


def test_the_grid_covers_the_world_evenly_and_keeps_to_its_time() -> None:
    for count in (1, 2, 6, 20, 100, 1000):
        columns, chosen = coverage._grid_of(count)
        assert columns * 12 * len(chosen) <= coverage.MOST_LINKS
        assert len(set(chosen)) == len(chosen) and max(chosen) < count and min(chosen) == 0
        assert max(np.diff([*chosen, count])) - min(np.diff([*chosen, count])) <= 1
    assert coverage._grid_of(6) == (12, list(range(6)))
    assert len(coverage._grid_of(20)[1]) == 20
    covered = coverage_of(network(duration_days=0.05, satellite=[{"preset": "jinan-1"}]))
    assert covered is not None
    for middles, reach in ((covered.latitude_rad, pi / 2), (covered.longitude_rad, pi)):
        step = 2 * reach / middles.size
        np.testing.assert_allclose(middles, -reach + step * (np.arange(middles.size) + 0.5), atol=1e-12)


def test_of_many_satellites_some_are_counted_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Satellites in one place and orbit are each other's stand-ins, so that the scaled sum is exact."""
    alike = [{"preset": "jinan-1", "name": name} for name in "abc"]
    whole = coverage_of(network(satellite=alike))
    monkeypatch.setattr(coverage, "MOST_LINKS", 48)
    some = coverage_of(network(satellite=alike))
    assert whole is not None and some is not None
    assert (whole.satellites, some.satellites) == (3, 1)
    assert some.day_bits.shape == (12, 4)
    one = coverage_of(network(duration_days=1))
    assert one is not None and some.day_bits == pytest.approx(3 * one.day_bits)


def test_a_terminal_without_a_surrogate_is_no_model() -> None:
    net = network()
    drift = msgspec.structs.replace(net.stations[0].receiver.polarisation, drift_rad_s=1e-3)
    receiver = msgspec.structs.replace(net.stations[0].receiver, polarisation=drift)
    drifting = tuple(msgspec.structs.replace(each, receiver=receiver) for each in net.stations)
    second = msgspec.structs.replace(net, stations=(drifting[0], net.stations[1]), duration_s=3600.0)
    covered = coverage_of(second)
    assert covered is not None and covered.station == "stellenbosch"
    assert coverage_of(msgspec.structs.replace(second, stations=drifting)) is None


def test_skies_are_means_of_the_horizon_with_the_row_they_came_from(tmp_path: Path) -> None:
    assert skies_of(network()) is None
    net = network(
        duration_days=40,
        weather=WEATHER,
        station=[
            {"presets": ["beijing"]},
            {"preset": "beijing", "name": "isle", "latitude_deg": -50, "longitude_deg": 0},
        ],
        pair=[],
    )
    beijing, isle = skies_of(net) or ()
    assert (isle.station, isle.clear, isle.row) == ("isle", 0.25, None)
    assert beijing.row is not None and beijing.row.name == "beijing"
    assert net.sky is not None
    hours = [net.sky.availability(net.start + timedelta(hours=k), [0.0])[0, 0] for k in range(0, 960, 24)]
    assert beijing.clear == pytest.approx(np.mean(hours), abs=0.005)
