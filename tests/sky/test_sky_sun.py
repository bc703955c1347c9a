"""The Sun against a longer series, almanac instants and textbook values; the Earth's shadow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sky_cases import EPOCH, XINGLONG, made_up, micius, sites

from satqkd.constants import EARTH_EQUATORIAL_RADIUS_M, SUN_RADIUS_M
from satqkd.sky import (
    Darkness,
    Site,
    darkness,
    gmst82_rad,
    julian_date,
    parse_utc,
    sun_elevation_rad,
    sun_fraction,
    sun_position_m,
    sun_view,
    sunlit,
)
from satqkd.sky.sun import seen_sun_fraction, sees_whole_sun


def meeus_sun_rad(days_since_j2000: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Apparent right ascension and declination, Meeus, Astronomical Algorithms, chapter 25."""
    T = days_since_j2000 / 36525
    L0 = 280.46646 + 36000.76983 * T + 0.0003032 * T**2
    M = np.radians(357.52911 + 35999.05029 * T - 0.0001537 * T**2)
    C = (1.914602 - 0.004817 * T) * np.sin(M) + (0.019993 - 0.000101 * T) * np.sin(2 * M)
    C = C + 0.000289 * np.sin(3 * M)
    omega = np.radians(125.04 - 1934.136 * T)
    longitude = np.radians(L0 + C - 0.00569 - 0.00478 * np.sin(omega))
    obliquity = np.radians(23.4392911 - 0.0130042 * T + 0.00256 * np.cos(omega))
    ascension = np.arctan2(np.cos(obliquity) * np.sin(longitude), np.cos(longitude))
    return ascension, np.arcsin(np.sin(obliquity) * np.sin(longitude))


def degrees_apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs((a - b + 180) % 360 - 180)


def test_the_longer_series_is_right_itself() -> None:
    """Meeus, example 25.a: 1992 October 13, 0 h TD."""
    ascension, declination = meeus_sun_rad(np.array(2_448_908.5 - 2_451_545.0))
    assert float(np.degrees(ascension) % 360) == pytest.approx(198.38083, abs=1e-4)
    assert float(np.degrees(declination)) == pytest.approx(-7.78507, abs=1e-4)


@given(sites, st.floats(-15 * 365, 25 * 365))
@settings(max_examples=50, deadline=None, derandomize=True, database=None)
def test_elevation_agrees_with_the_longer_series(site: Site, day: float) -> None:
    t_s = day * 86_400 + np.arange(0, 86_400, 1800.0)
    whole, part = julian_date(EPOCH, t_s)
    ascension, declination = meeus_sun_rad(whole - 2_451_545.0 + part + 69.2 / 86_400)
    hour_angle = gmst82_rad(whole, part) + site.longitude_rad - ascension
    sine = np.sin(site.latitude_rad) * np.sin(declination)
    sine = sine + np.cos(site.latitude_rad) * np.cos(declination) * np.cos(hour_angle)
    off = np.degrees(np.arcsin(np.clip(sine, -1, 1)) - sun_elevation_rad(site, EPOCH, t_s))
    assert np.abs(off).max() < 0.02
    north = np.cos(site.latitude_rad) * np.sin(declination)
    north = north - np.sin(site.latitude_rad) * np.cos(declination) * np.cos(hour_angle)
    east = -np.cos(declination) * np.sin(hour_angle)
    seen = sun_view(site, EPOCH, t_s)
    turned = degrees_apart(np.degrees(np.arctan2(east, north)), np.degrees(seen.azimuth_rad))
    assert (turned * np.cos(seen.elevation_rad)).max() < 0.02
    np.testing.assert_array_equal(seen.elevation_rad, sun_elevation_rad(site, EPOCH, t_s))


@pytest.mark.parametrize(
    ("instant", "longitude_deg"),
    [
        ("2024-03-20T03:06:00Z", 0),
        ("2024-06-20T20:51:00Z", 90),
        ("2024-09-22T12:44:00Z", 180),
        ("2024-12-21T09:21:00Z", 270),
        ("2025-03-20T09:01:00Z", 0),
        ("2025-06-21T02:42:00Z", 90),
    ],
)
def test_equinoxes_and_solstices_of_the_almanac(instant: str, longitude_deg: float) -> None:
    x, y, z = sun_position_m(parse_utc(instant), 0.0)[0]
    longitude = np.degrees(np.arctan2(np.hypot(y, z) * np.sign(y), x))
    assert degrees_apart(longitude, np.array(longitude_deg)) < 0.015


def test_distance_at_perihelion_and_aphelion() -> None:
    distance = np.linalg.norm(sun_position_m(EPOCH, np.arange(365) * 86_400.0), axis=1)
    assert distance.min() == pytest.approx(1.4710e11, rel=2e-4)
    assert distance.max() == pytest.approx(1.5210e11, rel=2e-4)


def test_noon_and_midnight_at_xinglong() -> None:
    """Near the December solstice: noon 90 - 40.4 - 23.4, midnight 23.4 - ... degrees below."""
    day = np.degrees(sun_elevation_rad(XINGLONG, parse_utc("2016-12-21T00:00:00Z"), np.arange(86_400.0)))
    assert day.max() == pytest.approx(90 - 40.396 - 23.435, abs=0.02)
    assert day.min() == pytest.approx(-(90 - 40.396 + 23.435), abs=0.02)
    noon_hours = day.argmax() / 3600 + 117.577 / 15
    assert noon_hours == pytest.approx(12 - 2.0 / 60, abs=0.01)  # equation of time +2.0 min on that day


def around_the_earth(radius_m: float, angle_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Satellite positions by angle from the anti-Sun, and the Sun in the same frame."""
    angle = np.radians(angle_deg)
    satellite = radius_m * np.stack([-np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    return satellite, np.tile([1.496e11, 0.0, 0.0], (angle.size, 1))


def test_the_shadow_is_where_the_cones_say() -> None:
    """At radius r the whole Sun is seen beyond asin(R/r) plus the Sun's half width of 0.267 degree."""
    radius = EARTH_EQUATORIAL_RADIUS_M + 500e3
    edge = np.degrees(np.arcsin(EARTH_EQUATORIAL_RADIUS_M / radius)) + 0.266
    angle = np.array([0.0, 30.0, 60.0, edge - 0.02, edge + 0.02, 90.0, 180.0])
    lit = sees_whole_sun(*around_the_earth(radius, angle))
    assert lit.tolist() == [False, False, False, False, True, True, True]


def test_penumbra_counts_as_shadow() -> None:
    radius = EARTH_EQUATORIAL_RADIUS_M + 500e3
    half_covered = np.degrees(np.arcsin(EARTH_EQUATORIAL_RADIUS_M / radius))
    assert not sees_whole_sun(*around_the_earth(radius, np.array([half_covered])))[0]


def test_a_satellite_opposite_the_sun_is_dark_and_one_before_it_lit() -> None:
    orbit = made_up(local_time_h=0.0)
    t_s = np.arange(0, 86_400, 10.0)
    r, s = orbit.teme(EPOCH, t_s)[0], sun_position_m(EPOCH, t_s)
    toward = np.einsum("ij,ij->i", r, s) / np.linalg.norm(r, axis=1) / np.linalg.norm(s, axis=1)
    lit = sunlit(orbit, EPOCH, t_s)
    assert not lit[toward < -0.5].any() and lit[toward > 0].all()
    assert np.mean(~lit) == pytest.approx(np.arcsin(6378.1 / 6878.1) / np.pi, abs=0.01)


def test_a_dawn_dusk_orbit_is_always_lit_at_equinox() -> None:
    orbit = made_up(local_time_h=6.0, altitude_m=1000e3)
    assert sunlit(orbit, EPOCH, np.arange(0, 86_400, 30.0)).all()


def test_classes_of_darkness_and_their_limits() -> None:
    """Each class reaches down to its limit and includes it: -0.8333, -6, -12, -18 degrees."""
    degrees = np.array([30, -0.83, -0.84, -5.99, -6.01, -11.99, -12.01, -17.99, -18.01, -90])
    names = [Darkness(each).name for each in darkness(np.radians(degrees)).tolist()]
    classes = ["DAY", "CIVIL", "NAUTICAL", "ASTRONOMICAL", "NIGHT"]
    assert names == [each for each in classes for _ in range(2)]
    assert darkness(np.radians([[-6.0, -12.0]])).tolist() == [[Darkness.CIVIL, Darkness.NAUTICAL]]


def brute_fraction(position: np.ndarray, sun: np.ndarray) -> float:
    """Share of points on the Sun's disc whose straight line to the satellite misses the Earth's ball."""
    to_sun = sun - position
    side = np.cross(to_sun, [0.0, 0.0, 1.0])
    side /= np.linalg.norm(side)
    other = np.cross(to_sun, side) / np.linalg.norm(to_sun)
    x, y = np.meshgrid(np.linspace(-1, 1, 401), np.linspace(-1, 1, 401))
    inside = x**2 + y**2 < 1
    points = sun + SUN_RADIUS_M * (x[inside][:, None] * side + y[inside][:, None] * other)
    rays = points - position
    along = np.clip(-(rays @ position) / np.einsum("ij,ij->i", rays, rays), 0, 1)
    nearest = np.linalg.norm(position + along[:, None] * rays, axis=1)
    return float(np.mean(nearest > EARTH_EQUATORIAL_RADIUS_M))


@pytest.mark.parametrize("altitude_m", [400e3, 1500e3, 20_000e3, 35_786e3])
def test_penumbra_against_rays_from_all_over_the_sun(altitude_m: float) -> None:
    radius = EARTH_EQUATORIAL_RADIUS_M + altitude_m
    edge = np.degrees(np.arcsin(EARTH_EQUATORIAL_RADIUS_M / radius))
    angle = edge + np.linspace(-0.3, 0.3, 13)
    position, sun = around_the_earth(radius, angle)
    fraction = seen_sun_fraction(position, sun)
    brute = [brute_fraction(*pair) for pair in zip(position, sun, strict=True)]
    assert fraction == pytest.approx(brute, abs=0.004)
    assert fraction[0] == 0 and fraction[-1] == 1 and (np.diff(fraction) >= 0).all()
    assert ((fraction == 1) == sees_whole_sun(position, sun)).all()


def test_beyond_the_umbra_s_tip_the_sun_is_a_ring() -> None:
    """At 2 million km straight behind the Earth its disc hides (R_E d / (R_S r))^2 of the Sun."""
    fraction = seen_sun_fraction(np.array([[-2e9, 0.0, 0.0]]), np.array([[1.496e11, 0.0, 0.0]]))
    hidden = (np.arcsin(EARTH_EQUATORIAL_RADIUS_M / 2e9) / np.arcsin(SUN_RADIUS_M / 1.516e11)) ** 2
    assert fraction[0] == pytest.approx(1 - hidden, abs=1e-4)


def test_a_low_satellite_crosses_the_penumbra_in_ten_seconds() -> None:
    orbit = made_up(local_time_h=0.0)
    t_s = np.arange(0, orbit.period_s, 0.1)
    fraction = sun_fraction(orbit, EPOCH, t_s)
    lit = sunlit(orbit, EPOCH, t_s)
    assert (fraction[lit] == 1).all() and (fraction[~lit] < 1).mean() > 0.9999
    partial = np.count_nonzero((fraction > 0) & (fraction < 1)) * 0.1 / 2
    assert partial == pytest.approx(0.533 * np.pi / 180 / (2 * np.pi) * orbit.period_s, abs=1.0)


# Instants after 2016-12-20T00:00:00Z, to 0.13 s, at which the line from Micius to the Sun's centre begins to
# meet or to miss the Earth's ball, by Skyfield 1.55 (`is_sunlit`) and DE421.
CROSSINGS_S = [
    1914.125,
    4057.375,
    7587.375,
    9730.625,
    13260.625,
    15403.875,
    18933.625,
    21077.125,
    24606.875,
    26750.375,
    30280.125,
    32423.375,
]


def test_entry_and_exit_agree_with_skyfield_and_de421() -> None:
    t_s = np.arange(0, CROSSINGS_S[-1] + 60, 0.25)
    half = sun_fraction(micius(), parse_utc("2016-12-20T00:00:00Z"), t_s) > 0.5
    ours = t_s[np.flatnonzero(half[1:] != half[:-1])] + 0.125
    assert ours == pytest.approx(CROSSINGS_S, abs=0.3)
