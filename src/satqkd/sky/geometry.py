"""How a station sees a satellite: slant range, its rate, azimuth, elevation.

TEME is turned to the Earth by sidereal time alone (pseudo Earth fixed: no polar motion, UT1 = UTC),
the station stands on the WGS 84 ellipsoid, and there is no refraction and no light time. Velocities
are relative to the turning Earth. Knows no light and no detector.
Source: Vallado, Fundamentals of Astrodynamics and Applications, 4th ed., sections 3.2, 3.7, 4.4.
"""

from datetime import datetime
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.constants import EARTH_EQUATORIAL_RADIUS_M, EARTH_FLATTENING, EARTH_ROTATION_RAD_S
from satqkd.errors import ConfigError
from satqkd.sky.orbit import OrbitModel, Vectors
from satqkd.sky.time import gmst82_rad, julian_date

Column = NDArray[np.float64]
"""Shape (n,)."""


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A place on or near the ground, geodetic, WGS 84."""

    latitude_rad: float
    """North positive."""
    longitude_rad: float
    """East positive."""
    altitude_m: float
    """Above the ellipsoid."""

    def __post_init__(self) -> None:
        if not abs(self.latitude_rad) <= np.pi / 2:
            raise ConfigError(
                f"site.latitude: expected -90 to 90 degrees, got {np.degrees(self.latitude_rad):g}"
            )

    @property
    def position_m(self) -> Column:
        """Earth-fixed position, shape (3,)."""
        f = EARTH_FLATTENING
        sine, cosine = np.sin(self.latitude_rad), np.cos(self.latitude_rad)
        curvature = EARTH_EQUATORIAL_RADIUS_M / np.sqrt(1 - f * (2 - f) * sine**2)
        outward = (curvature + self.altitude_m) * cosine
        return np.array(
            [
                outward * np.cos(self.longitude_rad),
                outward * np.sin(self.longitude_rad),
                (curvature * (1 - f) ** 2 + self.altitude_m) * sine,
            ]
        )

    @property
    def east_north_up(self) -> Vectors:
        """Earth-fixed unit vectors east, north, up as rows, shape (3, 3)."""
        sin_lat, cos_lat = np.sin(self.latitude_rad), np.cos(self.latitude_rad)
        sin_lon, cos_lon = np.sin(self.longitude_rad), np.cos(self.longitude_rad)
        return np.array(
            [
                [-sin_lon, cos_lon, 0.0],
                [-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat],
                [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat],
            ]
        )


class Look(msgspec.Struct, frozen=True, eq=False):
    """What a station sees of a satellite; columns of one length."""

    t_s: Column
    """Seconds since the epoch that was asked for."""
    range_m: Column
    range_rate_m_s: Column
    """Negative while the satellite comes nearer. From SGP4's velocity, which misses the derivative of
    its position by 0.03 m/s on near-circular low orbits (0.3 m/s at eccentricity 0.02)."""
    azimuth_rad: Column
    """From north over east, in [0, 2 pi)."""
    elevation_rad: Column
    """Above the ellipsoid's horizon, no refraction."""


class EarthFixed(NamedTuple):
    """Position and velocity in the frame that turns with the Earth, each of shape (n, 3)."""

    position_m: Vectors
    velocity_m_s: Vectors


def earth_fixed(orbit: OrbitModel, epoch: datetime, t_s: ArrayLike) -> EarthFixed:
    r"""Satellite in the pseudo Earth fixed frame at `epoch` + `t_s` (shape (n,)).

    .. math:: \vec r = R_3(\theta) \vec r_{TEME}, \qquad
        \vec v = R_3(\theta) \vec v_{TEME} - \vec\omega \times \vec r
    """
    position, velocity = orbit.teme(epoch, t_s)
    theta = gmst82_rad(*julian_date(epoch, np.atleast_1d(t_s)))
    r, v = turned_to_earth(position, theta), turned_to_earth(velocity, theta)
    v[:, 0] += EARTH_ROTATION_RAD_S * r[:, 1]
    v[:, 1] -= EARTH_ROTATION_RAD_S * r[:, 0]
    return EarthFixed(r, v)


def turned_to_earth(vectors: Vectors, gmst_rad: Column) -> Vectors:
    """Vectors of shape (n, 3) from TEME to pseudo Earth fixed, by sidereal time of shape (n,)."""
    cosine, sine = np.cos(gmst_rad), np.sin(gmst_rad)
    turned = np.empty_like(vectors)
    turned[:, 0] = cosine * vectors[:, 0] + sine * vectors[:, 1]
    turned[:, 1] = cosine * vectors[:, 1] - sine * vectors[:, 0]
    turned[:, 2] = vectors[:, 2]
    return turned


def look(orbit: OrbitModel, site: Site, epoch: datetime, t_s: ArrayLike) -> Look:
    """Range, its rate, azimuth and elevation at `epoch` + `t_s` seconds.

    t_s: a scalar or shape (n,); all columns have shape (n,). Raises DataFormatError where SGP4
    refuses the elements.
    """
    seconds = np.atleast_1d(np.asarray(t_s, dtype=np.float64))
    satellite = earth_fixed(orbit, epoch, seconds)
    line = satellite.position_m - site.position_m
    range_m = np.sqrt(np.einsum("ij,ij->i", line, line))
    east, north, up = site.east_north_up @ line.T
    return Look(
        t_s=seconds,
        range_m=range_m,
        range_rate_m_s=np.einsum("ij,ij->i", line, satellite.velocity_m_s) / range_m,
        azimuth_rad=np.arctan2(east, north) % (2 * np.pi),
        elevation_rad=np.arctan2(up, np.hypot(east, north)),
    )
