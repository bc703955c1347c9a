"""The Moon: worked examples of Meeus, full moons and eclipses of the almanac, parallax, phase."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sky_cases import EPOCH, STELLENBOSCH, XINGLONG, sites

from satqkd.sky import Site, moon_position_m, moon_view, parse_utc, sun_position_m
from satqkd.sky.moon import angle_between_rad

TT_MINUS_UTC_S = 69.184  # as the module takes it, so that an epoch less this is the instant in TD
REFERENCE = [
    (XINGLONG, "2016-12-19T16:52:13Z", 23.161, 101.142, 386246.0),
    (STELLENBOSCH, "2016-03-05T01:02:03Z", 4.784, 106.883, 379473.0),
    (XINGLONG, "2019-07-02T12:00:00Z", -7.752, 306.992, 369617.0),
    (STELLENBOSCH, "2022-11-08T20:00:00Z", 23.529, 43.372, 389409.0),
    (XINGLONG, "2024-10-03T13:30:00Z", -40.043, 296.359, 410416.0),
    (STELLENBOSCH, "2027-05-20T18:45:00Z", 35.564, 98.568, 391231.0),
    (XINGLONG, "2030-01-15T06:00:00Z", 6.444, 66.072, 401844.0),
]


def ecliptic(position: np.ndarray) -> tuple[float, float, float]:
    """Longitude, latitude, distance, degrees and km, mean equinox of 1992."""
    eps = np.radians(23.440636)  # Meeus, example 47.a, true obliquity; the mean one differs by 0.002 degree
    x, y, z = position
    turned = y * np.cos(eps) + z * np.sin(eps), z * np.cos(eps) - y * np.sin(eps)
    distance = np.linalg.norm(position)
    longitude = np.degrees(np.arctan2(turned[0], x)) % 360
    return float(longitude), float(np.degrees(np.arcsin(turned[1] / distance))), float(distance / 1e3)


def test_meeus_example_47a() -> None:
    """1992 April 12, 0 h TD: the whole series gives 133.162655, -3.229126 degrees, 368 409.7 km."""
    position = moon_position_m(parse_utc("1992-04-12T00:00:00Z"), -TT_MINUS_UTC_S)[0]
    longitude, latitude, distance_km = ecliptic(position)
    assert longitude == pytest.approx(133.162655, abs=0.05)
    assert latitude == pytest.approx(-3.229126, abs=0.03)
    assert distance_km == pytest.approx(368_409.7, abs=150)


def test_meeus_example_48a() -> None:
    """The same instant: phase angle 69.0756 degrees, illuminated fraction 0.6786, geocentric."""
    epoch = parse_utc("1992-04-12T00:00:00Z")
    moon, sun = moon_position_m(epoch, -TT_MINUS_UTC_S)[0], sun_position_m(epoch, -TT_MINUS_UTC_S)[0]
    phase = angle_between_rad(-moon[:, None], (sun - moon)[:, None])
    assert np.degrees(phase[0]) == pytest.approx(69.0756, abs=0.06)
    assert (1 + np.cos(phase[0])) / 2 == pytest.approx(0.6786, abs=0.0006)


@pytest.mark.parametrize(
    ("instant", "fraction"),
    [
        ("2016-11-14T13:52:00Z", 1.0),
        ("2019-01-21T05:16:00Z", 1.0),
        ("2024-10-17T11:26:00Z", 1.0),
        ("2017-08-21T18:30:00Z", 0.0),
        ("2024-04-08T18:21:00Z", 0.0),
        ("2024-10-10T18:55:00Z", 0.5),
        ("2024-10-24T08:03:00Z", 0.5),
    ],
)
def test_phases_of_the_almanac(instant: str, fraction: float) -> None:
    """Full and new moons and quarters as published by the US Naval Observatory, UT to the minute."""
    seen = moon_view(XINGLONG, parse_utc(instant), 0.0)
    assert seen.illuminated_fraction[0] == pytest.approx(fraction, abs=0.01)


@pytest.mark.parametrize(
    ("instant", "latitude_deg", "longitude_deg"),
    [("2017-08-21T18:25:32Z", 36.967, -87.672), ("2024-04-08T18:17:16Z", 25.29, -104.14)],
)
def test_total_eclipses_of_the_sun_need_the_parallax(
    instant: str, latitude_deg: float, longitude_deg: float
) -> None:
    """At the places and instants of greatest eclipse (NASA) Moon and Sun coincide; seen from the Earth's
    centre they are apart by up to the parallax of 0.95 degree."""
    site = Site(
        latitude_rad=np.radians(latitude_deg), longitude_rad=np.radians(longitude_deg), altitude_m=0.0
    )
    seen = moon_view(site, parse_utc(instant), 0.0)
    assert 180 - np.degrees(seen.phase_angle_rad[0]) < 0.06
    moon, sun = moon_position_m(parse_utc(instant), 0.0).T, sun_position_m(parse_utc(instant), 0.0).T
    assert np.degrees(angle_between_rad(moon, sun)[0]) > 0.3


def test_against_de421_as_measured_with_skyfield() -> None:
    """Topocentric apparent elevation, azimuth (degrees), distance (km) by Skyfield 1.55 and DE421."""
    for site, instant, elevation_deg, azimuth_deg, distance_km in REFERENCE:
        seen = moon_view(site, parse_utc(instant), 0.0)
        assert np.degrees(seen.elevation_rad[0]) == pytest.approx(elevation_deg, abs=0.08)
        off = (np.degrees(seen.azimuth_rad[0]) - azimuth_deg + 180) % 360 - 180
        assert abs(off) * np.cos(np.radians(elevation_deg)) < 0.08
        assert seen.distance_m[0] / 1e3 == pytest.approx(distance_km, rel=6e-4)


@given(sites, st.floats(-8, 6))
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
def test_the_view_from_the_ground_is_geometry(site: Site, years: float) -> None:
    """The parallax lowers the Moon by asin(R / d cos elevation), and columns hang together."""
    t_s = years * 365.25 * 86_400 + np.arange(0, 27 * 86_400, 40_000.0)
    seen = moon_view(site, EPOCH, t_s)
    east, north, up = seen.direction
    assert np.arcsin(np.clip(up, -1, 1)) == pytest.approx(seen.elevation_rad, abs=1e-7)
    assert (np.arctan2(east, north) - seen.azimuth_rad) % (2 * np.pi) % 6.28 == pytest.approx(0, abs=0.01)
    geocentric_m = np.linalg.norm(moon_position_m(EPOCH, t_s), axis=1)
    assert (geocentric_m > 356_000e3).all() and (geocentric_m < 407_000e3).all()
    assert seen.distance_m - geocentric_m == pytest.approx(-6371e3 * up, abs=80e3)
    assert seen.illuminated_fraction == pytest.approx((1 + np.cos(seen.phase_angle_rad)) / 2)


def test_angles_between_vectors_small_and_large() -> None:
    one = np.array([1.0, 0, 0])[:, None]
    for angle in (1e-9, 1e-3, 1.0, np.pi - 1e-9):
        other = np.array([np.cos(angle), np.sin(angle), 0.0])[:, None]
        assert angle_between_rad(one, 5 * other)[0] == pytest.approx(angle, rel=1e-6)


def test_southern_and_northern_station_see_one_moon() -> None:
    """Directions differ by the parallax of their distance, at most 2 degrees."""
    t_s = np.arange(0, 86_400, 3600.0)
    north, south = (moon_view(site, EPOCH, t_s).distance_m for site in (XINGLONG, STELLENBOSCH))
    assert np.abs(north - south).max() < 2 * 6378e3
