"""What stands around a station: an elevation mask that depends on the azimuth.

elevation |      __        open sky above the line; the satellite that dips behind it and comes out
          |  .--'  `.  .   again makes two passes
          | c----s---r-- -
"""

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.errors import ConfigError

Column = NDArray[np.float64]


class Horizon(msgspec.Struct, frozen=True):
    """Corners of the skyline, joined by straight lines all around; azimuths from north over east."""

    azimuth_rad: tuple[float, ...]
    """Ascending, in [0, 2 pi)."""
    elevation_rad: tuple[float, ...]

    def __post_init__(self) -> None:
        azimuths, elevations = np.array(self.azimuth_rad), np.array(self.elevation_rad)
        if azimuths.size != elevations.size or azimuths.size == 0:
            raise ConfigError(
                f"horizon: expected as many elevations as azimuths, got {elevations.size} and {azimuths.size}"
            )
        if not ((np.diff(azimuths) > 0).all() and azimuths[0] >= 0 and azimuths[-1] < 2 * np.pi):
            raise ConfigError(
                "horizon.azimuth: expected ascending azimuths from 0 to below 360 degrees, got "
                f"{np.degrees(azimuths).round(3).tolist()}; sort the corners"
            )
        if not (np.abs(elevations) < np.pi / 2).all():
            raise ConfigError(
                "horizon.elevation: expected elevations between -90 and 90 degrees, got "
                f"{np.degrees(elevations).round(3).tolist()}"
            )

    def at(self, azimuth_rad: ArrayLike) -> Column:
        """Elevation of the skyline, any shape."""
        azimuth = np.asarray(azimuth_rad, dtype=np.float64)
        found = np.interp(azimuth, self.azimuth_rad, self.elevation_rad, period=2 * np.pi)
        return np.asarray(found, dtype=np.float64)


def intervals_above(f: Callable[[Column], Column], begin_s: float, end_s: float, step_s: float) -> Column:
    """Where f > 0 between begin and end, rows (from, to), shape (k, 2), found on steps; edges by halving.

    f takes instants of any number. What is shorter than a step may be missed.
    """
    t_s = np.linspace(begin_s, end_s, 2 + int((end_s - begin_s) / step_s))
    up = np.concatenate([[False], f(t_s) > 0, [False]])
    first, last = np.flatnonzero(~up[:-1] & up[1:]), np.flatnonzero(up[:-1] & ~up[1:]) - 1
    before, after = t_s[np.maximum(first - 1, 0)], t_s[np.minimum(last + 1, t_s.size - 1)]
    return np.stack([_edge(f, before, t_s[first]), _edge(f, after, t_s[last])], axis=1)


def _edge(f: Callable[[Column], Column], below: Column, above: Column) -> Column:
    for _ in range(30):
        middle = (below + above) / 2
        up = f(middle) > 0
        below, above = np.where(up, below, middle), np.where(up, middle, above)
    return above
