"""Range, rate, azimuth, elevation: against Skyfield, finite differences and the Micius experiment."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sky_cases import (
    EPOCH,
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
from skyfield.api import wgs84

from satqkd.errors import ConfigError
from satqkd.sky import OrbitModel, Site, look, parse_utc
from satqkd.sky.time import gmst82_rad, julian_date


@given(sites)
@settings(max_examples=50, deadline=None, derandomize=True, database=None)
def test_site_on_the_ellipsoid(site: Site) -> None:
    place = wgs84.latlon(
        np.degrees(site.latitude_rad), np.degrees(site.longitude_rad), elevation_m=site.altitude_m
    )
    assert site.position_m == pytest.approx(place.itrs_xyz.m, abs=1e-3)
    assert site.east_north_up @ site.east_north_up.T == pytest.approx(np.eye(3), abs=1e-15)


def test_a_site_beyond_the_pole_is_refused() -> None:
    with pytest.raises(ConfigError, match="latitude"):
        Site(latitude_rad=2.0, longitude_rad=0.0, altitude_m=0.0)


@given(orbits, sites, st.floats(0, 365))
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
def test_look_agrees_with_skyfield(orbit: OrbitModel, site: Site, day: float) -> None:
    """With UT1 = UTC in both, what is left is a few metres and microradians."""
    epoch, t_s, ts = EPOCH + timedelta(days=day), np.arange(0, 6000, 60.0), timescale()
    ours = look(orbit, site, epoch, t_s)
    satellite, place = skyfield_pair(orbit, site, ts)
    theirs = (satellite - place).at(skyfield_times(ts, epoch, t_s))
    elevation, azimuth, distance, *_, rate = theirs.frame_latlon_and_rates(place)
    assert np.abs(ours.range_m - distance.m).max() < 5
    assert np.abs(ours.range_rate_m_s - rate.m_per_s).max() < 0.05
    assert np.abs(ours.elevation_rad - elevation.radians).max() < 5e-6
    off = (ours.azimuth_rad - azimuth.radians + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(off * np.cos(ours.elevation_rad)).max() < 5e-6
    assert (ours.azimuth_rad >= 0).all() and (ours.azimuth_rad < 2 * np.pi).all()


def test_true_ut1_and_nutation_matter_little() -> None:
    """Skyfield with its own UT1: below 0.01 degree, as the room's docstring says."""
    from skyfield.api import load

    ts, t_s = load.timescale(builtin=True), np.arange(0, 86_400, 30.0)
    orbit = made_up()
    ours = look(orbit, STELLENBOSCH, EPOCH, t_s)
    satellite, place = skyfield_pair(orbit, STELLENBOSCH, ts)
    elevation, _, distance = (satellite - place).at(skyfield_times(ts, EPOCH, t_s)).altaz()
    up = ours.elevation_rad > 0
    assert np.degrees(np.abs(ours.elevation_rad - elevation.radians)[up].max()) < 0.01
    assert np.abs(ours.range_m - distance.m)[up].max() < 100


def line_of_sight_in_teme(orbit: OrbitModel, site: Site, t_s: np.ndarray) -> np.ndarray:
    """From the site, turned to inertial space, to the satellite; shape (n, 3)."""
    theta = gmst82_rad(*julian_date(EPOCH, t_s))
    x, y, z = site.position_m
    there = [x * np.cos(theta) - y * np.sin(theta), x * np.sin(theta) + y * np.cos(theta), z + 0 * theta]
    return orbit.teme(EPOCH, t_s)[0] - np.stack(there, axis=1)


def along(line: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", line, vectors) / np.linalg.norm(line, axis=1)


@given(orbits, sites)
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
def test_range_rate_is_the_derivative_of_range(orbit: OrbitModel, site: Site) -> None:
    """To 2 mm/s, once SGP4's own difference of velocity and derivative of position is taken off."""
    t_s, h = np.arange(0, 6000, 20.0), 0.02
    ahead, behind = look(orbit, site, EPOCH, t_s + h), look(orbit, site, EPOCH, t_s - h)
    slope = (ahead.range_m - behind.range_m) / (2 * h)
    moved = orbit.teme(EPOCH, t_s + h)[0] - orbit.teme(EPOCH, t_s - h)[0]
    of_sgp4 = orbit.teme(EPOCH, t_s)[1] - moved / (2 * h)
    off = look(orbit, site, EPOCH, t_s).range_rate_m_s - slope
    assert np.abs(off - along(line_of_sight_in_teme(orbit, site, t_s), of_sgp4)).max() < 2e-3
    assert np.linalg.norm(of_sgp4, axis=1).max() < (0.3 if orbit.eccentricity > 0 else 0.05)


def test_a_range_rate_without_earth_rotation_would_be_caught() -> None:
    """The site at rest in inertial space is wrong by hundreds of m/s, far over the tolerance above."""
    t_s, orbit = np.arange(0, 6000, 20.0), made_up()
    ours, line = look(orbit, XINGLONG, EPOCH, t_s), line_of_sight_in_teme(orbit, XINGLONG, t_s)
    assert np.linalg.norm(line, axis=1) == pytest.approx(ours.range_m, abs=1e-3)
    assert np.abs(along(line, orbit.teme(EPOCH, t_s)[1]) - ours.range_rate_m_s).max() > 100


def test_micius_over_xinglong_as_published() -> None:
    """Liao et al., Nature 549, 43 (2017): 645 km at closest, 273 s inside 1200 km (system.md 3.2.1)."""
    epoch = parse_utc("2016-12-19T16:45:00Z")
    t_s = np.arange(0, 900, 0.01)
    seen = look(micius(), XINGLONG, epoch, t_s)
    nearest = int(seen.range_m.argmin())
    assert seen.range_m[nearest] == pytest.approx(645e3, abs=2e3)
    closest = epoch + timedelta(seconds=float(t_s[nearest]))
    assert abs(closest - parse_utc("2016-12-19T16:52:13Z")) < timedelta(seconds=1)
    assert np.degrees(seen.elevation_rad.max()) == pytest.approx(47.8, abs=0.1)
    assert np.count_nonzero(seen.range_m < 1200e3) * 0.01 == pytest.approx(272, abs=3)
    assert np.abs(seen.range_rate_m_s).max() < 7_100


def test_one_instant_gives_columns_of_one() -> None:
    seen = look(micius(), XINGLONG, EPOCH, 12.5)
    assert seen.t_s.shape == seen.range_m.shape == seen.azimuth_rad.shape == (1,)
