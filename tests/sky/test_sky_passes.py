"""Passes: against Skyfield and brute force; at edges of windows and chunks; short, long and endless ones."""

from datetime import timedelta
from itertools import pairwise

import msgspec
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
    wide_orbits,
)

from satqkd.config import Orbit
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
from satqkd.sky.horizon import Horizon
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


@given(wide_orbits, sites, st.floats(5, 40))
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
def test_rise_and_set_agree_with_skyfield_whatever_the_orbit(
    orbit: OrbitModel, site: Site, mask_deg: float
) -> None:
    """Asked is 0.1 s. Low to beyond geostationary, round to eccentric: its elevations place them to 10 ms."""
    mask, ts = float(np.radians(mask_deg)), timescale()
    length_s = min(DAY_S, 8 * orbit.period_s)
    try:
        found = find_passes(orbit, site, EPOCH, duration_s=length_s, minimum_elevation_rad=mask)
    except ConfigError as refusal:
        assert "rises and sets" in str(refusal)
        return
    if not found:
        return
    edges = np.array([[seconds(contact)[0], seconds(contact)[2]] for contact in found])
    satellite, place = skyfield_pair(orbit, site, ts)
    early, late = (
        (satellite - place).at(skyfield_times(ts, EPOCH, (edges + shift_s).ravel())).altaz()[0].radians
        for shift_s in (-0.01, 0.01)
    )
    assert (early[0::2] < mask).all() and (late[0::2] > mask).all()
    assert (early[1::2] > mask).all() and (late[1::2] < mask).all()


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
    assert is_night(contact)
    assert is_night(contact, maximum_sun_elevation_rad=np.radians(-12))
    assert not is_night(contact, maximum_sun_elevation_rad=np.radians(-80))


@pytest.mark.parametrize(("sun_deg", "night"), [(-12.001, True), (-11.999, False)])
def test_night_is_when_nautical_twilight_is_over(sun_deg: float, night: bool) -> None:
    contact = find_passes(made_up(), XINGLONG, EPOCH, duration_s=DAY_S, minimum_elevation_rad=MASK)[0]
    assert is_night(msgspec.structs.replace(contact, sun_elevation_rad=np.radians(sun_deg))) == night


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
        alone = find_passes(made_up(), site, EPOCH, duration_s=DAY_S, minimum_elevation_rad=MASK)
        assert len(found) == len(alone)
        for one, other in zip(found, alone, strict=True):
            assert np.abs(np.subtract(seconds(one), seconds(other))).max() < 2e-4
            assert one.min_range_m == pytest.approx(other.min_range_m, abs=0.01)


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


def test_masks_one_for_each_site() -> None:
    masks = [0.1, 0.9, 0.5]
    places = [XINGLONG, STELLENBOSCH, XINGLONG]
    together = find_passes_of_sites(
        made_up(), places, EPOCH, duration_s=3 * DAY_S, minimum_elevation_rad=masks
    )
    for site, mask, found in zip(places, masks, together, strict=True):
        alone = find_passes(made_up(), site, EPOCH, duration_s=3 * DAY_S, minimum_elevation_rad=mask)
        assert len(found) == len(alone) > 0
        for one, other in zip(found, alone, strict=True):
            assert abs(one.start - other.start) < timedelta(microseconds=200)
            assert one.max_elevation_rad > mask
    with pytest.raises(ConfigError, match="for each of 3 sites, got 2 and 3"):
        find_passes_of_sites(made_up(), places, EPOCH, duration_s=1.0, minimum_elevation_rad=[0.1, 0.2])


def test_more_sites_than_are_worked_at_once() -> None:
    places = [
        Site(latitude_rad=latitude, longitude_rad=0.3 * latitude, altitude_m=0.0)
        for latitude in np.linspace(-1.4, 1.4, 35).tolist()
    ]
    together = find_passes_of_sites(made_up(), places, EPOCH, duration_s=DAY_S, minimum_elevation_rad=MASK)
    for site, found in zip(places, together, strict=True):
        alone = find_passes(made_up(), site, EPOCH, duration_s=DAY_S, minimum_elevation_rad=MASK)
        assert [each.culmination for each in found] == pytest.approx(
            [each.culmination for each in alone], abs=timedelta(microseconds=200)
        )
    assert find_passes_of_sites(made_up(), [], EPOCH, duration_s=1.0, minimum_elevation_rad=0.1) == []


def test_azimuths_at_rise_culmination_and_set() -> None:
    for contact in find_passes(made_up(), XINGLONG, EPOCH, duration_s=2 * DAY_S, minimum_elevation_rad=MASK):
        azimuth = look(made_up(), XINGLONG, EPOCH, seconds(contact)).azimuth_rad
        told = [contact.start_azimuth_rad, contact.culmination_azimuth_rad, contact.end_azimuth_rad]
        assert azimuth == pytest.approx(told, abs=1e-5)


def test_ut1_turns_the_stations() -> None:
    """The same elevations by `look` with the same UT1; without it the edges move by up to a second."""
    dut1 = 0.6
    found = find_passes(
        made_up(), XINGLONG, EPOCH, duration_s=2 * DAY_S, minimum_elevation_rad=MASK, ut1_minus_utc_s=dut1
    )
    edges = [t for contact in found for t in seconds(contact)[::2]]
    elevation = look(made_up(), XINGLONG, EPOCH, edges, ut1_minus_utc_s=dut1).elevation_rad
    assert elevation == pytest.approx(np.full(len(edges), MASK), abs=2e-6)
    assert np.abs(look(made_up(), XINGLONG, EPOCH, edges).elevation_rad - MASK).max() > 1e-5


SKYLINE = Horizon(
    azimuth_rad=tuple(np.radians([0, 80, 90, 100, 110, 200]).tolist()),
    elevation_rad=tuple(np.radians([5, 5, 50, 50, 5, 10]).tolist()),
)
"""A tower in the east, low hills elsewhere."""


def test_a_skyline_cuts_passes() -> None:
    """Every instant of a 1 s grid inside a pass is above mask and skyline, every one outside is not."""
    orbit, length_s, mask = made_up(), 6 * DAY_S, float(np.radians(8))
    t_s = np.arange(0, length_s, 1.0)
    seen = look(orbit, XINGLONG, EPOCH, t_s)
    clear = seen.elevation_rad > np.maximum(mask, SKYLINE.at(seen.azimuth_rad))
    found = find_passes(
        orbit, XINGLONG, EPOCH, duration_s=length_s, minimum_elevation_rad=mask, horizon=SKYLINE
    )
    inside = np.zeros(t_s.size, dtype=bool)
    for contact in found:
        rise, peak, sets = seconds(contact)
        assert rise <= peak <= sets and rise < sets
        inside |= (t_s > rise) & (t_s < sets)
    assert np.count_nonzero((clear != inside)[1200:-1200]) <= len(found) // 10  # gaps under a step
    open_ground = find_passes(orbit, XINGLONG, EPOCH, duration_s=length_s, minimum_elevation_rad=mask)
    assert len(found) > len(open_ground) + 3  # the tower cuts some in two
    edges = look(orbit, XINGLONG, EPOCH, [t for contact in found for t in seconds(contact)[::2]])
    limit = np.maximum(mask, SKYLINE.at(edges.azimuth_rad))
    assert edges.elevation_rad == pytest.approx(limit, abs=1e-4)


def test_a_flat_skyline_is_a_mask() -> None:
    flat = Horizon(azimuth_rad=(0.0,), elevation_rad=(MASK,))
    by_skyline = find_passes(
        made_up(), XINGLONG, EPOCH, duration_s=3 * DAY_S, minimum_elevation_rad=0.0, horizon=flat
    )
    by_mask = find_passes(made_up(), XINGLONG, EPOCH, duration_s=3 * DAY_S, minimum_elevation_rad=MASK)
    assert len(by_skyline) == len(by_mask)
    for one, other in zip(by_skyline, by_mask, strict=True):
        assert abs(one.start - other.start) < timedelta(milliseconds=1)
        assert abs(one.end - other.end) < timedelta(milliseconds=1)
        assert one.max_elevation_rad == pytest.approx(other.max_elevation_rad, abs=1e-9)


def test_only_the_site_with_a_skyline_is_cut() -> None:
    cut, whole = find_passes_of_sites(
        made_up(),
        [XINGLONG, XINGLONG],
        EPOCH,
        duration_s=5 * DAY_S,
        minimum_elevation_rad=0.15,
        horizons=[SKYLINE, None],
    )
    assert len(whole) == len(
        find_passes(made_up(), XINGLONG, EPOCH, duration_s=5 * DAY_S, minimum_elevation_rad=0.15)
    )
    assert cut != whole


def test_a_skyline_is_joined_across_north() -> None:
    peak = Horizon(azimuth_rad=(1.0, 2 * np.pi - 1.0), elevation_rad=(0.2, 0.4))
    assert peak.at([0.0, 1.0, 2 * np.pi - 1, 2 * np.pi - 0.5]) == pytest.approx([0.3, 0.2, 0.4, 0.35])


@pytest.mark.parametrize(
    ("azimuths", "elevations", "message"),
    [
        ((), (), "as many elevations as azimuths"),
        ((0.0, 1.0), (0.1,), "got 1 and 2"),
        ((1.0, 0.5), (0.1, 0.1), "ascending azimuths"),
        ((0.0, 6.4), (0.1, 0.1), "ascending azimuths"),
        ((0.0,), (2.0,), "elevations between -90 and 90"),
    ],
)
def test_a_senseless_skyline_is_refused(
    azimuths: tuple[float, ...], elevations: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Horizon(azimuth_rad=azimuths, elevation_rad=elevations)


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
