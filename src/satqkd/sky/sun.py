"""Where the Sun is, whether the sky over a station is dark, whether a satellite is in the Earth's shadow.

Closed form, no ephemeris: the low-precision formulas of the Astronomical Almanac (page C5), 0.01 degree
from 1950 to 2050, in the mean equator and equinox of date, which stands for TEME here. UTC is taken for
terrestrial time (70 s of the Sun's motion are 0.0008 degree). Knows no sky brightness.
"""

from datetime import datetime
from enum import IntEnum
from typing import Final

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.constants import ASTRONOMICAL_UNIT_M, EARTH_EQUATORIAL_RADIUS_M, SUN_RADIUS_M
from satqkd.sky.geometry import Column, Site, azimuth_of, elevation_of, turned_to_earth
from satqkd.sky.orbit import OrbitModel, Vectors
from satqkd.sky.time import J2000_JD, earth_angle_rad, julian_date

# Limits of the Sun's elevation: US Naval Observatory, "Rise, Set, and Twilight".
HORIZON_RAD: Final = float(np.radians(-0.8333))  # 34' of refraction and the Sun's half width of 16'
CIVIL_RAD: Final = float(np.radians(-6.0))
NAUTICAL_RAD: Final = float(np.radians(-12.0))
ASTRONOMICAL_RAD: Final = float(np.radians(-18.0))


class Darkness(IntEnum):
    """How dark the sky is by the elevation of the Sun's centre, each down to its limit, that included."""

    DAY = 0
    """Sun's upper limb above the horizon: centre above `HORIZON_RAD`."""
    CIVIL = 1
    NAUTICAL = 2
    ASTRONOMICAL = 3
    NIGHT = 4
    """Sun below `ASTRONOMICAL_RAD`."""


class SunView(msgspec.Struct, frozen=True, eq=False):
    """The Sun's centre as a station sees it, no refraction and no parallax; columns of one length."""

    elevation_rad: Column
    azimuth_rad: Column
    """From north over east, in [0, 2 pi)."""


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


def sun_view(site: Site, epoch: datetime, t_s: ArrayLike, *, ut1_minus_utc_s: float = 0.0) -> SunView:
    """The Sun over a station at `epoch` + `t_s` (a scalar or shape (n,))."""
    seconds = np.atleast_1d(np.asarray(t_s, dtype=np.float64))
    theta = earth_angle_rad(epoch, seconds, ut1_minus_utc_s=ut1_minus_utc_s)
    sun = site.east_north_up @ turned_to_earth(sun_position_m(epoch, seconds), theta).T
    return SunView(elevation_rad=elevation_of(sun), azimuth_rad=azimuth_of(sun))


def sun_elevation_rad(site: Site, epoch: datetime, t_s: ArrayLike, *, ut1_minus_utc_s: float = 0.0) -> Column:
    """Elevation of the Sun's centre at `epoch` + `t_s`, shape (n,); no refraction, no parallax."""
    return sun_view(site, epoch, t_s, ut1_minus_utc_s=ut1_minus_utc_s).elevation_rad


def darkness(sun_elevation_rad: ArrayLike) -> NDArray[np.int8]:
    """Value of `Darkness` for each elevation of the Sun, int8, same shape."""
    limits = np.array([-HORIZON_RAD, -CIVIL_RAD, -NAUTICAL_RAD, -ASTRONOMICAL_RAD])
    depth = -np.asarray(sun_elevation_rad, dtype=np.float64)
    return np.asarray(np.searchsorted(limits, depth, side="left"), dtype=np.int8)


def sunlit(orbit: OrbitModel, epoch: datetime, t_s: ArrayLike) -> NDArray[np.bool_]:
    """True where the satellite sees the whole disc of the Sun; False in umbra and in penumbra alike.

    Shape (n,). The Earth is a ball of its equatorial radius without air: entry and exit are true to a
    few seconds in low orbit. Seen from the satellite, the Sun is whole when its centre is farther from
    the Earth's centre than both angular radii together (Montenbruck and Gill, Satellite Orbits, 3.4.2).
    """
    seconds = np.atleast_1d(np.asarray(t_s, dtype=np.float64))
    position, _ = orbit.teme(epoch, seconds)
    return sees_whole_sun(position, sun_position_m(epoch, seconds))


def sun_fraction(orbit: OrbitModel, epoch: datetime, t_s: ArrayLike) -> Column:
    """Fraction of the Sun's disc that the satellite sees, 0 in umbra to 1, shape (n,)."""
    seconds = np.atleast_1d(np.asarray(t_s, dtype=np.float64))
    position, _ = orbit.teme(epoch, seconds)
    return seen_sun_fraction(position, sun_position_m(epoch, seconds))


def sees_whole_sun(position_m: Vectors, sun_m: Vectors) -> NDArray[np.bool_]:
    """The shadow test of `sunlit` on vectors from the Earth's centre, both of shape (n, 3)."""
    sun_radius, earth_radius, apart = _discs_rad(position_m, sun_m)
    return np.asarray(apart >= earth_radius + sun_radius)


def seen_sun_fraction(position_m: Vectors, sun_m: Vectors) -> Column:
    r"""Share of the Sun's disc that the Earth's disc leaves free; vectors from the Earth's centre, (n, 3).

    .. math:: 1 - A / (\pi a^2), \quad A = a^2 \arccos\frac{x}{a} + b^2 \arccos\frac{c - x}{b} - c y, \quad
        x = \frac{c^2 + a^2 - b^2}{2 c}, \quad y = \sqrt{a^2 - x^2}

    a, b: angular radii of Sun and Earth, c: between their centres (Montenbruck and Gill, Satellite Orbits,
    section 3.4.2); the discs are taken as flat.
    """
    a, b, c = _discs_rad(position_m, sun_m)
    inner = np.clip(c, np.abs(b - a), b + a)  # outside of it the discs do not cross
    x = (inner**2 + a**2 - b**2) / (2 * inner)
    y = np.sqrt(np.maximum(a**2 - x**2, 0.0))
    hidden = a**2 * np.arccos(np.clip(x / a, -1, 1)) + b**2 * np.arccos(np.clip((inner - x) / b, -1, 1))
    free = np.clip(1 - (hidden - inner * y) / (np.pi * a**2), 0.0, 1.0)
    return np.asarray(np.where(c >= a + b, 1.0, np.where(c <= b - a, 0.0, free)))


def _discs_rad(position_m: Vectors, sun_m: Vectors) -> tuple[Column, Column, Column]:
    """Angular radii of Sun and Earth and the angle between their centres, seen from the satellite."""
    to_sun = sun_m - position_m
    distance, sun_distance = np.linalg.norm(position_m, axis=1), np.linalg.norm(to_sun, axis=1)
    earth_radius = np.arcsin(np.minimum(EARTH_EQUATORIAL_RADIUS_M / distance, 1.0))
    sun_radius = np.arcsin(SUN_RADIUS_M / sun_distance)
    cosine = -np.einsum("ij,ij->i", position_m, to_sun) / (distance * sun_distance)
    return sun_radius, earth_radius, np.arccos(np.clip(cosine, -1.0, 1.0))
