"""How a station sees a satellite: slant range, azimuth, elevation, their rates, point-ahead, light time.

TEME is turned to the Earth by sidereal time alone (pseudo Earth fixed: no polar motion; UT1 = UTC unless
the difference is given), the station stands on the WGS 84 ellipsoid, and there is no refraction; both
ends are taken at one instant. Velocities are relative to the turning Earth and are the derivatives of
the positions. Knows no light but its speed, and no detector.
Source: Vallado, Fundamentals of Astrodynamics and Applications, 4th ed., sections 3.2, 3.7, 4.4.
"""

from datetime import datetime
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.constants import (
    EARTH_EQUATORIAL_RADIUS_M,
    EARTH_FLATTENING,
    EARTH_ROTATION_RAD_S,
    SPEED_OF_LIGHT_M_S,
)
from satqkd.errors import ConfigError
from satqkd.sky.orbit import OrbitModel, Vectors
from satqkd.sky.time import GMST82_RATE_RAD_S, earth_angle_rad

Column = NDArray[np.float64]
"""Shape (n,)."""
Axes = NDArray[np.float64]
"""Shape (3, ...): east, north and up of a station."""


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
    """What a station sees of a satellite; columns of one length. Rates are worked out when asked for."""

    t_s: Column
    """Seconds since the epoch that was asked for."""
    range_m: Column
    range_rate_m_s: Column
    """Negative while the satellite comes nearer; the derivative of `range_m` to 0.1 mm/s (0.6 mm/s at
    eccentricity 0.7)."""
    azimuth_rad: Column
    """From north over east, in [0, 2 pi)."""
    elevation_rad: Column
    """Above the ellipsoid's horizon, no refraction."""
    line_m: Axes
    """From the station to the satellite: east, north, up; shape (3, n)."""
    velocity_m_s: Axes
    """Of the satellite, relative to the turning Earth, in the same axes."""
    site: Site
    epoch: datetime
    ut1_minus_utc_s: float

    @property
    def azimuth_rate_rad_s(self) -> Column:
        """How fast the mount turns about its vertical axis; without bound toward the zenith, NaN in it."""
        (east, north, _), (east_rate, north_rate, _) = self.line_m, self.velocity_m_s
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((north * east_rate - east * north_rate) / (east**2 + north**2))

    @property
    def elevation_rate_rad_s(self) -> Column:
        """How fast it climbs; NaN exactly in the zenith."""
        up, up_rate = self.line_m[2], self.velocity_m_s[2]
        outward = np.hypot(self.line_m[0], self.line_m[1])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((up_rate - up * self.range_rate_m_s / self.range_m) / outward)

    @property
    def light_time_s(self) -> Column:
        """Range over the speed of light, both ends at one instant (the satellite moves 40 m meanwhile)."""
        return self.range_m / SPEED_OF_LIGHT_M_S

    @property
    def point_ahead_rad(self) -> Column:
        r"""Angle between where the satellite is seen and where light must be sent to meet it.

        .. math:: \alpha = 2 v_\perp / c

        first order in v/c; v_perp: speed of the satellite relative to the station, across the line of sight,
        in axes that do not turn with the Earth (the Earth's turning during the light's way and back is part
        of the angle). Seen from the satellite the angle is the same.
        """
        relative = self.velocity_m_s + np.cross(self._earth_rotation_rad_s, self.line_m, axisb=0).T
        along = np.einsum("in,in->n", relative, self.line_m) / self.range_m
        across = np.sqrt(np.maximum(np.einsum("in,in->n", relative, relative) - along**2, 0.0))
        return np.asarray(2 * across / SPEED_OF_LIGHT_M_S)

    @property
    def orbit_normal(self) -> Axes:
        """Unit vectors along the orbit's angular momentum, in the same axes, shape (3, n)."""
        radius = self.line_m + (self.site.east_north_up @ self.site.position_m)[:, None]
        velocity = self.velocity_m_s + np.cross(self._earth_rotation_rad_s, radius, axisb=0).T
        normal = np.cross(radius, velocity, axis=0)
        return np.asarray(normal / np.linalg.norm(normal, axis=0))

    @property
    def satellite_m(self) -> Vectors:
        """Earth-fixed position of the satellite, shape (n, 3)."""
        return self.line_m.T @ self.site.east_north_up + self.site.position_m

    @property
    def _earth_rotation_rad_s(self) -> Column:
        return EARTH_ROTATION_RAD_S * self.site.east_north_up[:, 2]


class EarthFixed(NamedTuple):
    """Position and velocity in the frame that turns with the Earth, each of shape (..., n, 3)."""

    position_m: Vectors
    velocity_m_s: Vectors


def earth_fixed(
    orbit: OrbitModel, epoch: datetime, t_s: ArrayLike, *, ut1_minus_utc_s: float = 0.0
) -> EarthFixed:
    """Satellite in the pseudo Earth fixed frame at `epoch` + `t_s` (shape (n,)).

    Raises DataFormatError where SGP4 refuses the elements.
    """
    theta = earth_angle_rad(epoch, np.atleast_1d(t_s), ut1_minus_utc_s=ut1_minus_utc_s)
    return motion_on_earth(*orbit.motion(epoch, t_s), theta)


def motion_on_earth(position: Vectors, velocity: Vectors, gmst_rad: Column) -> EarthFixed:
    r"""Positions and velocities of shape (..., n, 3) from TEME to pseudo Earth fixed.

    .. math:: \vec r = R_3(\theta) \vec r_{TEME}, \qquad
        \vec v = R_3(\theta) \vec v_{TEME} - \dot\theta \hat z \times \vec r
    """
    r, v = turned_to_earth(position, gmst_rad), turned_to_earth(velocity, gmst_rad)
    v[..., 0] += GMST82_RATE_RAD_S * r[..., 1]
    v[..., 1] -= GMST82_RATE_RAD_S * r[..., 0]
    return EarthFixed(r, v)


def turned_to_earth(vectors: Vectors, gmst_rad: Column) -> Vectors:
    """Vectors of shape (..., n, 3) from TEME to pseudo Earth fixed, by sidereal time of shape (n,)."""
    cosine, sine = np.cos(gmst_rad), np.sin(gmst_rad)
    turned = np.empty_like(vectors)
    turned[..., 0] = cosine * vectors[..., 0] + sine * vectors[..., 1]
    turned[..., 1] = cosine * vectors[..., 1] - sine * vectors[..., 0]
    turned[..., 2] = vectors[..., 2]
    return turned


def look(
    orbit: OrbitModel, site: Site, epoch: datetime, t_s: ArrayLike, *, ut1_minus_utc_s: float = 0.0
) -> Look:
    """Range, azimuth, elevation and their rates at `epoch` + `t_s` seconds.

    t_s: a scalar or shape (n,); all columns have shape (n,). Raises DataFormatError where SGP4
    refuses the elements.
    """
    seconds = np.atleast_1d(np.asarray(t_s, dtype=np.float64))
    satellite = earth_fixed(orbit, epoch, seconds, ut1_minus_utc_s=ut1_minus_utc_s)
    line = site.east_north_up @ (satellite.position_m - site.position_m).T
    velocity = site.east_north_up @ satellite.velocity_m_s.T
    range_m = range_of(line)
    return Look(
        t_s=seconds,
        range_m=range_m,
        range_rate_m_s=range_rate_of(line, velocity, range_m),
        azimuth_rad=azimuth_of(line),
        elevation_rad=elevation_of(line),
        line_m=line,
        velocity_m_s=velocity,
        site=site,
        epoch=epoch,
        ut1_minus_utc_s=ut1_minus_utc_s,
    )


def range_of(line_m: Axes) -> Column:
    """Length of the line of sight, shape (...)."""
    return np.asarray(np.sqrt(np.einsum("i...,i...->...", line_m, line_m)))


def range_rate_of(line_m: Axes, velocity_m_s: Axes, range_m: Column) -> Column:
    return np.asarray(np.einsum("i...,i...->...", line_m, velocity_m_s) / range_m)


def azimuth_of(line_m: Axes) -> Column:
    """From north over east, in [0, 2 pi)."""
    return np.asarray(np.arctan2(line_m[0], line_m[1]) % (2 * np.pi))


def elevation_of(line_m: Axes) -> Column:
    return np.asarray(np.arctan2(line_m[2], np.sqrt(line_m[0] ** 2 + line_m[1] ** 2)))
