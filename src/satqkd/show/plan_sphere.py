"""Lines on a sphere for a map that is cut at the date line. Knows angles; no Earth and no picture."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from satqkd.show.plan_parts import Place

Array = NDArray[np.float64]
_STEPS = 361


class Line(NamedTuple):
    """Degrees, shape (n,), with NaN where the line jumps over the map's edge."""

    longitude_deg: Array
    latitude_deg: Array


def great_circle(a: Place, b: Place) -> Line:
    """The shorter way between two places; of opposite ones, any."""
    first, last = _up(a), _up(b)
    angle_rad = float(np.arccos(np.clip(first @ last, -1.0, 1.0)))
    side = last - (first @ last) * first
    length = float(np.linalg.norm(side))
    side = _across(first) if length < 1e-9 else side / length
    way_rad = np.linspace(0.0, angle_rad, _STEPS)
    return _line(np.outer(np.cos(way_rad), first) + np.outer(np.sin(way_rad), side))


def circle(middle: Place, radius_rad: float) -> Line:
    """All points at an angle from a place."""
    up = _up(middle)
    east = _across(up)
    north = np.cross(up, east)
    turn_rad = np.linspace(0.0, 2 * np.pi, _STEPS)
    rim = np.outer(np.cos(turn_rad), north) + np.outer(np.sin(turn_rad), east)
    return _line(np.cos(radius_rad) * up + np.sin(radius_rad) * rim)


def cut(longitude_rad: Array, latitude_rad: Array) -> Line:
    """A line in degrees, longitudes in [-180, 180), cut where it passes the date line."""
    longitude_deg = (np.degrees(longitude_rad) + 180) % 360 - 180
    latitude_deg = np.degrees(latitude_rad)
    jumps = np.flatnonzero(np.abs(np.diff(longitude_deg)) > 180) + 1
    return Line(np.insert(longitude_deg, jumps, np.nan), np.insert(latitude_deg, jumps, np.nan))


def _up(place: Place) -> Array:
    latitude, longitude = place.latitude_rad, place.longitude_rad
    return np.array(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
    )


def _across(up: Array) -> Array:
    """East; at a pole any direction that is level."""
    side = np.cross([0.0, 0.0, 1.0], up)
    length = float(np.linalg.norm(side))
    return np.array([0.0, 1.0, 0.0]) if length < 1e-9 else side / length


def _line(points: Array) -> Line:
    return cut(np.arctan2(points[:, 1], points[:, 0]), np.arcsin(np.clip(points[:, 2], -1.0, 1.0)))
