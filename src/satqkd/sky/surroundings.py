"""What lies around the light of a pass: Sun and Moon over the station, sunshine on the satellite, axes.

One call for all columns, which share the vectors that `look` has worked out. Knows no brightness.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.sky.frame import frame_angle_rad
from satqkd.sky.geometry import Column, Look, elevation_of, turned_to_earth
from satqkd.sky.moon import angle_between_rad, moon_position_m, view_of_moon
from satqkd.sky.sun import sees_whole_sun, sun_position_m
from satqkd.sky.time import earth_angle_rad


class Surroundings(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Columns of the length of the look they belong to."""

    sun_elevation_rad: Column
    """Of the centre, no refraction."""
    sun_separation_rad: Column
    """Between the Sun and the line of sight."""
    moon_elevation_rad: Column
    """Of the centre, parallax included, no refraction."""
    moon_phase_angle_rad: Column
    """At the Moon between Sun and station: 0 at full moon, pi at new moon."""
    moon_separation_rad: Column
    """Between the Moon and the line of sight."""
    sunlit: NDArray[np.bool_]
    """Whether the satellite sees the whole Sun."""
    frame_angle_rad: Column
    """From the station's to the satellite's polarisation reference (see `sky.frame`)."""

    @property
    def moon_illuminated_fraction(self) -> Column:
        """Of the Moon's disc."""
        return np.asarray((1 + np.cos(self.moon_phase_angle_rad)) / 2)


def surroundings(seen: Look) -> Surroundings:
    """Sun, Moon, shadow and polarisation axes at the instants of a look."""
    site = seen.site
    theta = earth_angle_rad(seen.epoch, seen.t_s, ut1_minus_utc_s=seen.ut1_minus_utc_s)
    sun = turned_to_earth(sun_position_m(seen.epoch, seen.t_s), theta)
    moon = turned_to_earth(moon_position_m(seen.epoch, seen.t_s), theta)
    to_sun = site.east_north_up @ (sun - site.position_m).T
    moon_seen = view_of_moon(site.east_north_up @ (moon - site.position_m).T, to_sun)
    return Surroundings(
        sun_elevation_rad=elevation_of(site.east_north_up @ sun.T),
        sun_separation_rad=angle_between_rad(seen.line_m, to_sun),
        moon_elevation_rad=moon_seen.elevation_rad,
        moon_phase_angle_rad=moon_seen.phase_angle_rad,
        moon_separation_rad=angle_between_rad(seen.line_m, moon_seen.direction),
        sunlit=sees_whole_sun(seen.satellite_m, sun),
        frame_angle_rad=frame_angle_rad(seen.line_m, seen.orbit_normal),
    )
