"""Passes: against Skyfield and brute force; at edges of windows and chunks; short, long and endless ones."""

from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sky_cases import (
    EPOCH,
    MICIUS_1,
    STELLENBOSCH,
    XINGLONG,
    made_up,
    micius,
    orbits,
    sites,
    skyfield_pair,
    skyfield_times,
    timescale,
)

from satqkd.config.structs import Orbit
from satqkd.errors import ConfigError
from satqkd.sky import (
    OrbitModel,
    Pass,
    Site,
    find_passes,
    find_passes_of_sites,
    is_night,
    look,
    orbit_of,
    parse_utc,
    passes,
    sun_elevation_rad,
)
from satqkd.sky.tle import checksum

DAY_S = 86_400.0
MASK = float(np.radians(15))


def seconds(contact: Pass) -> list[float]:
    return [(t - EPOCH).total_seconds() for t in (contact.start, contact.culmination, contact.end)]


@given(orbits, sites, st.floats(0, 60))
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
def test_a_pass_is_what_it_says(orbit: OrbitModel, site: Site, mask_deg: float) -> None:
    mask = float(np.radians(mask_deg))
    found = find_passes(orbit, site, EPOCH, duration_s=2 * DAY_S, minimum_elevation_rad=mask)
    for contact in found:
        rise, peak, sets = seconds(contact)
        assert rise < peak < sets and 0 <= peak < 2 * DAY_S
        edges = look(orbit, site, EPOCH, [rise, sets]).elevation_rad
        inside = look(orbit, site, EPOCH, np.linspace(rise, sets, 2001))
        assert edges == pytest.approx(mask, abs=2e-6)
        assert (inside.elevation_rad > mask - 2e-6).all()
        assert np.sin(inside.elevation_rad.max()) == pytest.approx(
            np.sin(contact.max_elevation_rad), abs=1e-5
        )
        assert contact.max_elevation_rad >= inside.elevation_rad.max() - 1e-9
        assert contact.min_range_m == pytest.approx(inside.range_m.min(), abs=5)
        assert contact.min_range_m <= inside.range_m.min() + 0.1
        assert contact.duration_s == pytest.approx(sets - rise, abs=2e-6)
    for one, other in pairwise(found):
        assert one.end < other.start


@given(orbits, sites, st.floats(0, 70))
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
def test_none_is_missed(orbit: OrbitModel, site: Site, mask_deg: float) -> None:
    """Every sample of a 2 s grid that is above the mask lies in one pass, every pass holds its own."""
    mask = float(np.radians(mask_deg))
    found = find_passes(orbit, site, EPOCH, duration_s=DAY_S, minimum_elevation_rad=mask)
    t_s = np.arange(0, DAY_S, 2.0)
    above = look(orbit, site, EPOCH, t_s).elevation_rad > mask
    covered = np.zeros(t_s.size, dtype=bool)
    for contact in found:
        rise, _, sets = seconds(contact)
        covered |= (t_s > rise) & (t_s < sets)
    away_from_edges = (t_s > 1200) & (t_s < DAY_S - 1200)
    assert (above == covered)[away_from_edges].all()


def test_rise_culmination_set_agree_with_skyfield() -> None:
    """Its event finder stops at half a second; its elevations place rise and set to 10 ms."""
    ts, orbit = timescale(), made_up()
    for site in (XINGLONG, STELLENBOSCH):
        satellite, place = skyfield_pair(orbit, site, ts)
        window = skyfield_times(ts, EPOCH, np.array([0.0, 10 * DAY_S]))
        times, kinds = satellite.find_events(place, window[0], window[1], altitude_degrees=15.0)
        theirs = np.array([(t.utc_datetime() - EPOCH).total_seconds() for t in times])
        found = find_passes(orbit, site, EPOCH, duration_s=10 * DAY_S, minimum_elevation_rad=MASK)
        ours = np.array([seconds(contact) for contact in found])
        assert kinds.tolist() == [0, 1, 2] * len(found) and len(found) > 20
        assert np.abs(ours.ravel() - theirs).max() < 0.5
        early, late = (
            (satellite - place).at(skyfield_times(ts, EPOCH, (ours + shift_s).ravel())).altaz()[0].radians
            for shift_s in (-0.01, 0.01)
        )
        assert (early[0::3] < MASK).all() and (late[0::3] > MASK).all()
        assert (early[2::3] > MASK).all() and (late[2::3] < MASK).all()


@pytest.mark.parametrize("eccentricity", [0.0, 0.02])
def test_instants_are_true_to_a_millisecond(eccentricity: float) -> None:
    """Edges: the mask lies between 1 ms before and after. Top: vertex of a parabola through positions."""
    orbit = made_up(eccentricity=eccentricity)
    found = find_passes(orbit, XINGLONG, EPOCH, duration_s=5 * DAY_S, minimum_elevation_rad=MASK)
    assert len(found) > 8
    for contact in found:
        rise, peak, sets = seconds(contact)
        for edge, outward in ((rise, -1e-3), (sets, 1e-3)):
            outside, inside = look(orbit, XINGLONG, EPOCH, [edge + outward, edge - outward]).elevation_rad
            assert outside < MASK < inside
        before, top, after = np.sin(
            look(orbit, XINGLONG, EPOCH, peak + np.array([-0.5, 0, 0.5])).elevation_rad
        )
        assert abs(0.25 * (after - before) / (2 * top - before - after)) < 1e-3


def test_micius_over_xinglong() -> None:
    start = parse_utc("2016-12-19T16:00:00Z")
    (contact,) = find_passes(micius(), XINGLONG, start, duration_s=3600, minimum_elevation_rad=MASK)
    assert abs(contact.culmination - parse_utc("2016-12-19T16:52:13Z")) < timedelta(seconds=2)
    assert contact.min_range_m == pytest.approx(645e3, abs=2e3)
    assert np.degrees(contact.max_elevation_rad) == pytest.approx(47.8, abs=0.1)
    assert np.degrees(contact.sun_elevation_rad) < -60 and not contact.sunlit
    assert is_night(contact, maximum_sun_elevation_rad=float(np.radians(-12)))
    assert not is_night(contact, maximum_sun_elevation_rad=float(np.radians(-80)))


def test_a_pass_cut_by_the_window_is_whole_and_belongs_to_its_culmination() -> None:
    orbit = made_up()
    whole = find_passes(orbit, XINGLONG, EPOCH, duration_s=DAY_S, minimum_elevation_rad=MASK)
    rise, peak, sets = seconds(whole[0])
    for begin, end, expected in [
        (peak - 1, peak + 1, 1),
        (rise - 10, peak - 1, 0),
        (peak + 1, sets + 10, 0),
    ]:
        start = EPOCH + timedelta(seconds=begin)
        found = find_passes(orbit, XINGLONG, start, duration_s=end - begin, minimum_elevation_rad=MASK)
        assert len(found) == expected
        if found:
            assert abs(found[0].start - whole[0].start) < timedelta(milliseconds=1)
            assert abs(found[0].end - whole[0].end) < timedelta(milliseconds=1)


def test_chunks_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> list[Pass]:
        return find_passes(made_up(), XINGLONG, EPOCH, duration_s=5 * DAY_S, minimum_elevation_rad=0.1)

    at_once = found()
    cut = (at_once[3].culmination - EPOCH).total_seconds()
    for length_s in (0.3 * DAY_S, cut - 1, cut + 1):
        monkeypatch.setattr(passes, "_CHUNK_S", length_s)
        in_parts = found()
        assert len(in_parts) == len(at_once)
        for one, other in zip(at_once, in_parts, strict=True):
            assert abs(one.start - other.start) < timedelta(milliseconds=1)
            assert abs(one.end - other.end) < timedelta(milliseconds=1)


def test_several_sites_at_once_are_the_same_as_each_alone() -> None:
    together = find_passes_of_sites(
        made_up(), [XINGLONG, STELLENBOSCH], EPOCH, duration_s=DAY_S, minimum_elevation_rad=MASK
    )
    for site, found in zip((XINGLONG, STELLENBOSCH), together, strict=True):
        assert found == find_passes(made_up(), site, EPOCH, duration_s=DAY_S, minimum_elevation_rad=MASK)


@pytest.mark.parametrize("margin_rad", [1e-4, 1e-7, 1e-9])
def test_the_shortest_pass_is_found_and_measured(margin_rad: float) -> None:
    """A mask just under the top of a pass: duration 2 sqrt(2 margin / curvature)."""
    orbit = made_up()
    tall = max(
        find_passes(orbit, XINGLONG, EPOCH, duration_s=DAY_S, minimum_elevation_rad=0.0),
        key=lambda contact: contact.max_elevation_rad,
    )
    mask = tall.max_elevation_rad - margin_rad
    (short,) = find_passes(orbit, XINGLONG, EPOCH, duration_s=DAY_S, minimum_elevation_rad=mask)
    _, peak, _ = seconds(tall)
    below, top, _ = look(orbit, XINGLONG, EPOCH, peak + np.array([-0.5, 0.0, 0.5])).elevation_rad
    curvature = 2 * (top - below) / 0.5**2
    assert short.start < short.culmination < short.end
    assert short.duration_s == pytest.approx(2 * np.sqrt(2 * margin_rad / curvature), rel=0.1, abs=1e-3)


def other_orbit(mean_motion: str, eccentricity: str, inclination: str) -> OrbitModel:
    line = f"2 41731 {inclination} 268.1064 {eccentricity} 270.0000  10.0000 {mean_motion} 1916"
    line_1 = MICIUS_1[:20] + "354.00000000" + MICIUS_1[32:53] + " 00000-0" + MICIUS_1[61:68]
    return orbit_of(Orbit(tle_line_1=line_1 + str(checksum(line_1)), tle_line_2=line + str(checksum(line))))


@pytest.mark.parametrize(
    ("mean_motion", "eccentricity", "inclination"),
    [(" 2.00560000", "0050000", " 55.0000"), (" 2.00600000", "7200000", " 63.4000")],
    ids=["navigation", "molniya"],
)
def test_high_orbits(mean_motion: str, eccentricity: str, inclination: str) -> None:
    orbit, start = other_orbit(mean_motion, eccentricity, inclination), parse_utc("2016-12-20T00:00:00Z")
    found = find_passes(orbit, XINGLONG, start, duration_s=4 * DAY_S, minimum_elevation_rad=MASK)
    t_s = np.arange(0, 4 * DAY_S, 20.0)
    above = look(orbit, XINGLONG, start, t_s).elevation_rad > MASK
    inside = np.zeros(t_s.size, dtype=bool)
    for contact in found:
        rise, sets = ((t - start).total_seconds() for t in (contact.start, contact.end))
        inside |= (t_s > rise) & (t_s < sets)
    middle = (t_s > DAY_S / 2) & (t_s < 3.5 * DAY_S)
    assert above[middle].any() and (above == inside)[middle].all()


def test_a_satellite_that_never_sets_is_refused() -> None:
    orbit, start = other_orbit(" 1.00273791", "0002000", "  0.1000"), parse_utc("2016-12-20T00:00:00Z")
    places = [
        Site(latitude_rad=0.0, longitude_rad=float(np.radians(degrees)), altitude_m=0.0)
        for degrees in range(-180, 180, 30)
    ]
    under_it = max(places, key=lambda site: float(look(orbit, site, start, 0.0).elevation_rad[0]))
    with pytest.raises(ConfigError, match="rises and sets"):
        find_passes(orbit, under_it, start, duration_s=3 * DAY_S, minimum_elevation_rad=MASK)


def test_no_pass_is_an_empty_list() -> None:
    equator = made_up(inclination_deg=10.0)
    pole = Site(latitude_rad=1.5, longitude_rad=0.0, altitude_m=0.0)
    assert find_passes(equator, pole, EPOCH, duration_s=DAY_S, minimum_elevation_rad=0.0) == []


@pytest.mark.parametrize(
    ("duration_s", "mask"), [(0.0, 0.1), (-5.0, 0.1), (np.inf, 0.1), (np.nan, 0.1), (1.0, 1.6)]
)
def test_senseless_windows_are_refused(duration_s: float, mask: float) -> None:
    with pytest.raises(ConfigError, match="passes: expected"):
        find_passes(made_up(), XINGLONG, EPOCH, duration_s=duration_s, minimum_elevation_rad=mask)


def test_darkness_is_that_of_the_culmination() -> None:
    contact = find_passes(made_up(), XINGLONG, EPOCH, duration_s=DAY_S, minimum_elevation_rad=MASK)[0]
    sun = sun_elevation_rad(XINGLONG, contact.culmination, 0.0)[0]
    assert contact.sun_elevation_rad == pytest.approx(sun, abs=1e-7)
