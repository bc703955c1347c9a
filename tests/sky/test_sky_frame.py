"""The polarisation frame: against vectors put together another way, limits, mirror, continuity."""

import numpy as np
import pytest
from hypothesis import given, settings
from sky_cases import EPOCH, STELLENBOSCH, XINGLONG, made_up, micius, orbits, sites

from satqkd.sky import (
    Look,
    OrbitModel,
    Site,
    find_passes,
    gmst82_rad,
    julian_date,
    look,
    parse_utc,
    surroundings,
)
from satqkd.sky.frame import frame_angle_rad

MASK = float(np.radians(15))


def same_axis(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How far two angles of axes are apart, modulo pi."""
    return np.abs((one - other + np.pi / 2) % np.pi - np.pi / 2)


def turned_about(axis: np.ndarray, vector: np.ndarray, angle: float) -> np.ndarray:
    """Rodrigues: right-handed about a unit axis."""
    return (
        vector * np.cos(angle)
        + np.cross(axis, vector) * np.sin(angle)
        + axis * (axis @ vector) * (1 - np.cos(angle))
    )


@given(orbits, sites)
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
def test_against_inertial_vectors(orbit: OrbitModel, site: Site) -> None:
    """All in TEME: the horizontal turned right-handed about the light's way by the angle is the projection
    of r x v on the plane across it, as an axis."""
    t_s = np.arange(0, 3000, 300.0)
    angle = surroundings(look(orbit, site, EPOCH, t_s)).frame_angle_rad
    r, v = orbit.teme(EPOCH, t_s)
    theta = gmst82_rad(*julian_date(EPOCH, t_s))
    for i in range(t_s.size):
        turn = np.array(
            [[np.cos(theta[i]), -np.sin(theta[i]), 0], [np.sin(theta[i]), np.cos(theta[i]), 0], [0, 0, 1]]
        )
        station, up = turn @ site.position_m, turn @ site.east_north_up[2]
        travel = (station - r[i]) / np.linalg.norm(station - r[i])
        horizontal = np.cross(up, travel) / np.linalg.norm(np.cross(up, travel))
        normal = np.cross(r[i], v[i])
        wanted = normal - travel * (normal @ travel)
        wanted /= np.linalg.norm(wanted)
        got = turned_about(travel, horizontal, float(angle[i]))
        assert abs(got @ wanted) == pytest.approx(1, abs=1e-7)


def straight_pass(offset_m: float, *, height_m: float = 500e3) -> tuple[np.ndarray, np.ndarray]:
    """A satellite flying north along a straight line east of the station by `offset_m`: line, normal."""
    along = np.linspace(-1500e3, 1500e3, 3001)
    line = np.stack([np.full_like(along, offset_m), along, np.full_like(along, height_m)])
    normal = np.tile([[-1.0], [0.0], [0.0]], along.size)  # up x north
    return line, normal


def test_north_of_a_station_on_the_ground_track_both_axes_are_one() -> None:
    """Overhead ground track: the orbit's normal is horizontal and across the line of sight throughout."""
    line, normal = straight_pass(0.0)
    line = line[:, np.abs(line[1]) > 1.0]
    angle = frame_angle_rad(line, normal[:, : line.shape[1]])
    assert same_axis(angle, np.zeros_like(angle)).max() < 1e-12
    assert np.abs(np.diff(angle)).max() < 1e-12  # through the zenith too, where the mount turns over


def test_at_closest_approach_beside_the_track_they_stand_square() -> None:
    """There the satellite moves horizontally, across the line of sight, and its normal stands upright."""
    line, normal = straight_pass(400e3)
    angle = frame_angle_rad(line, normal)
    assert same_axis(angle[1500:1501], np.array([np.pi / 2])) < 1e-12


def test_the_sign_told_by_an_example() -> None:
    """Satellite in the north at 45 degrees, its normal tilted up toward the east by 30 degrees.

    Whoever looks along the light (from the satellite, down toward the south) has the east on the left hand;
    the station's axis runs left-right, the satellite's from lower right to upper left: turned clockwise.
    """
    line = np.array([[0.0], [1.0], [1.0]])
    tilt = np.radians(30)
    across_and_up = np.array([0.0, -1.0, 1.0]) / np.sqrt(2)
    normal = (np.cos(tilt) * np.array([1.0, 0.0, 0.0]) + np.sin(tilt) * across_and_up)[:, None]
    assert np.degrees(frame_angle_rad(line, normal)[0]) == pytest.approx(30)


@pytest.mark.parametrize("offset_m", [50e3, 400e3, 900e3])
def test_a_mirrored_pass_turns_the_other_way(offset_m: float) -> None:
    east, west = (frame_angle_rad(*straight_pass(side)) for side in (offset_m, -offset_m))
    assert same_axis(east, -west).max() < 1e-12
    assert np.ptp(east) == pytest.approx(np.ptp(west)) and np.ptp(east) > 1.0


def test_the_angle_is_continuous_over_a_real_pass() -> None:
    for orbit, site, start in (
        (micius(), XINGLONG, parse_utc("2016-12-19T00:00:00Z")),
        (made_up(), STELLENBOSCH, EPOCH),
    ):
        for contact in find_passes(orbit, site, start, duration_s=3 * 86_400, minimum_elevation_rad=MASK):
            seen = look(orbit, site, contact.start, np.arange(0, contact.duration_s, 1.0))
            angle = surroundings(seen).frame_angle_rad
            most = 0.02 + 1.1 * np.abs(seen.azimuth_rate_rad_s[:-1])
            assert (np.abs(np.diff(angle)) < most).all()
            assert -np.pi / 2 < angle[0] <= np.pi / 2


def test_the_normal_is_that_of_the_orbit() -> None:
    """The inclination from the normal; short-period terms move it by 0.02 degree."""
    seen: Look = look(made_up(inclination_deg=60.0), XINGLONG, EPOCH, np.arange(0, 6000, 100.0))
    pole = XINGLONG.east_north_up[:, 2]
    assert np.linalg.norm(seen.orbit_normal, axis=0) == pytest.approx(np.ones(60))
    assert np.degrees(np.arccos(pole @ seen.orbit_normal)) == pytest.approx(np.full(60, 60.0), abs=0.05)
