"""Where the Sun is, whether the sky over a station is dark, whether a satellite is in the Earth's shadow.

Closed form, no ephemeris: the low-precision formulas of the Astronomical Almanac (page C5), 0.01 degree
from 1950 to 2050, in the mean equator and equinox of date, which stands for TEME here. UTC is taken for
terrestrial time (70 s of the Sun's motion are 0.0008 degree). Knows no sky brightness.
"""

from datetime import datetime

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.constants import ASTRONOMICAL_UNIT_M, EARTH_EQUATORIAL_RADIUS_M, SUN_RADIUS_M
from satqkd.sky.geometry import Column, Site, turned_to_earth
from satqkd.sky.orbit import OrbitModel, Vectors
from satqkd.sky.time import J2000_JD, gmst82_rad, julian_date


def sun_position_m(epoch: datetime, t_s: ArrayLike) -> Vectors:
    r"""Vector from the Earth's centre to the Sun at `epoch` + `t_s`, inertial, shape (n, 3).

    .. math:: \lambda = L + 1.915° \sin g + 0.020° \sin 2g, \quad
        L = 280.460° + 0.9856474° n, \quad g = 357.528° + 0.9856003° n, \quad
        \epsilon = 23.439° - 0.0000004° n, \quad R = 1.00014 - 0.01671 \cos g - 0.00014 \cos 2g

    n: days since J2000; R in astronomical units.
    """
    whole, part = julian_date(epoch, np.atleast_1d(t_s))
    n = whole - J2000_JD + part
    g = np.radians((357.528 + 0.9856003 * n) % 360)
    longitude = np.radians((280.460 + 0.9856474 * n + 1.915 * np.sin(g) + 0.020 * np.sin(2 * g)) % 360)
    obliquity = np.radians(23.439 - 0.0000004 * n)
    R = ASTRONOMICAL_UNIT_M * (1.00014 - 0.01671 * np.cos(g) - 0.00014 * np.cos(2 * g))
    x, ecliptic_y = R * np.cos(longitude), R * np.sin(longitude)
    return np.stack([x, ecliptic_y * np.cos(obliquity), ecliptic_y * np.sin(obliquity)], axis=1)


def sun_elevation_rad(site: Site, epoch: datetime, t_s: ArrayLike) -> Column:
    """Elevation of the Sun's centre at `epoch` + `t_s`, shape (n,); no refraction, no parallax."""
    seconds = np.atleast_1d(np.asarray(t_s, dtype=np.float64))
    sun = turned_to_earth(sun_position_m(epoch, seconds), gmst82_rad(*julian_date(epoch, seconds)))
    sine = sun @ site.east_north_up[2] / np.linalg.norm(sun, axis=1)
    elevation: Column = np.arcsin(np.clip(sine, -1.0, 1.0))
    return elevation


def sunlit(orbit: OrbitModel, epoch: datetime, t_s: ArrayLike) -> NDArray[np.bool_]:
    """True where the satellite sees the whole disc of the Sun; False in umbra and in penumbra alike.

    Shape (n,). The Earth is a ball of its equatorial radius without air: entry and exit are true to a
    few seconds in low orbit. Seen from the satellite, the Sun is whole when its centre is farther from
    the Earth's centre than both angular radii together (Montenbruck and Gill, Satellite Orbits, 3.4.2).
    """
    seconds = np.atleast_1d(np.asarray(t_s, dtype=np.float64))
    position, _ = orbit.teme(epoch, seconds)
    return sees_whole_sun(position, sun_position_m(epoch, seconds))


def sees_whole_sun(position_m: Vectors, sun_m: Vectors) -> NDArray[np.bool_]:
    """The shadow test of `sunlit` on vectors from the Earth's centre, both of shape (n, 3)."""
    to_sun = sun_m - position_m
    distance, sun_distance = np.linalg.norm(position_m, axis=1), np.linalg.norm(to_sun, axis=1)
    earth_radius = np.arcsin(np.minimum(EARTH_EQUATORIAL_RADIUS_M / distance, 1.0))
    sun_radius = np.arcsin(SUN_RADIUS_M / sun_distance)
    cosine = -np.einsum("ij,ij->i", position_m, to_sun) / (distance * sun_distance)
    apart = np.arccos(np.clip(cosine, -1.0, 1.0))
    whole: NDArray[np.bool_] = apart >= earth_radius + sun_radius
    return whole
