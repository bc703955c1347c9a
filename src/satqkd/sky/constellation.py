"""Many satellites, many stations, many instants in array calls.

The same geometry as `look`, for a whole catalogue. A satellite that SGP4 cannot carry to an instant has
NaN there and SGP4's error number beside it; the others go on. Work is done in blocks of satellites, so
that memory beyond the answer stays bounded. Knows no light.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple, get_args

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sgp4.api import SatrecArray

from satqkd.errors import ConfigError
from satqkd.sky.geometry import (
    Axes,
    Site,
    azimuth_of,
    elevation_of,
    motion_on_earth,
    range_of,
    range_rate_of,
    turned_to_earth,
)
from satqkd.sky.orbit import DIFFERENCE_S, OrbitModel
from satqkd.sky.time import earth_angle_rad, julian_date

LookColumn = Literal["range_m", "range_rate_m_s", "azimuth_rad", "elevation_rad"]
_ALL: Final[tuple[LookColumn, ...]] = get_args(LookColumn)
_BLOCK: Final = 10_000  # satellites times instants worked at once: they stay in the cache
NOT_A_NUMBER: Final = 255

Cube = NDArray[np.float64]
"""Shape (satellites, sites, instants)."""
_State = tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]


class Positions(NamedTuple):
    """Earth-fixed, shape (satellites, instants, 3), NaN where SGP4 fails, and SGP4's error numbers."""

    position_m: NDArray[np.float64]
    error: NDArray[np.uint8]
    """Shape (satellites, instants); 0 where all is well, else a key of `sgp4.api.SGP4_ERRORS` or 255, where
    SGP4 answers without an error that is not a number."""


class Looks(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The columns asked for, each of shape (satellites, sites, instants); the others are None."""

    range_m: Cube | None = None
    range_rate_m_s: Cube | None = None
    azimuth_rad: Cube | None = None
    elevation_rad: Cube | None = None
    error: NDArray[np.uint8]
    """Shape (satellites, instants), as in `Positions`."""


class Constellation:
    """Orbits that are asked together; instants are `epoch` + `t_s`, shape (n,)."""

    def __init__(self, orbits: Sequence[OrbitModel]) -> None:
        self._satrecs = [orbit.satrec for orbit in orbits]

    def __len__(self) -> int:
        return len(self._satrecs)

    def positions(self, epoch: datetime, t_s: ArrayLike, *, ut1_minus_utc_s: float = 0.0) -> Positions:
        """Where all satellites are in the frame that turns with the Earth."""
        seconds = np.atleast_1d(np.asarray(t_s, dtype=np.float64))
        theta = earth_angle_rad(epoch, seconds, ut1_minus_utc_s=ut1_minus_utc_s)
        position = np.empty((len(self), seconds.size, 3))
        error = np.zeros((len(self), seconds.size), dtype=np.uint8)
        for block in self._blocks(seconds.size):
            error[block], teme, _ = self._teme(block, epoch, seconds)
            position[block] = turned_to_earth(teme, theta)
        return Positions(position, error)

    def looks(
        self,
        sites: Sequence[Site],
        epoch: datetime,
        t_s: ArrayLike,
        *,
        columns: Sequence[LookColumn] = _ALL,
        ut1_minus_utc_s: float = 0.0,
    ) -> Looks:
        """What every site sees of every satellite. Fewer columns cost less; `range_rate_m_s` costs twice."""
        seconds = np.atleast_1d(np.asarray(t_s, dtype=np.float64))
        shape = (len(self), len(sites), seconds.size)
        whole = {column: np.empty(shape) for column in _checked(columns)}
        error = np.zeros((len(self), seconds.size), dtype=np.uint8)
        for block, part in self.looks_by_block(
            sites, epoch, seconds, columns=columns, ut1_minus_utc_s=ut1_minus_utc_s
        ):
            error[block] = part.error
            for column, values in whole.items():
                values[block] = getattr(part, column)
        return Looks(error=error, **whole)

    def looks_by_block(
        self,
        sites: Sequence[Site],
        epoch: datetime,
        t_s: ArrayLike,
        *,
        columns: Sequence[LookColumn] = _ALL,
        ut1_minus_utc_s: float = 0.0,
    ) -> Iterator[tuple[slice, Looks]]:
        """As `looks`, block after block of satellites, for answers that would not fit into memory."""
        seconds = np.atleast_1d(np.asarray(t_s, dtype=np.float64))
        theta = earth_angle_rad(epoch, seconds, ut1_minus_utc_s=ut1_minus_utc_s)
        moving = "range_rate_m_s" in _checked(columns)
        for block in self._blocks(seconds.size * max(1, len(sites) // 8)):
            error, position, velocity = (self._motion if moving else self._teme)(block, epoch, seconds)
            if moving:
                r, v = (_components(each) for each in motion_on_earth(position, velocity, theta))
            else:
                r, v = _components(turned_to_earth(position, theta)), None
            seen = [_columns(site, r, v, columns) for site in sites]
            stacked = {column: np.stack([each[column] for each in seen], axis=1) for column in columns}
            yield block, Looks(error=error, **stacked)

    def _blocks(self, work: int) -> Iterator[slice]:
        size = max(1, _BLOCK // max(1, work))
        for first in range(0, len(self), size):
            yield slice(first, min(first + size, len(self)))

    def _teme(self, block: slice, epoch: datetime, t_s: NDArray[np.float64]) -> _State:
        satrecs = SatrecArray(self._satrecs[block])
        error, position_km, velocity_km_s = satrecs.sgp4(*julian_date(epoch, t_s))
        position_km[error != 0] = np.nan
        error[np.isnan(position_km[..., 0]) & (error == 0)] = NOT_A_NUMBER
        return error, position_km * 1e3, velocity_km_s * 1e3

    def _motion(self, block: slice, epoch: datetime, t_s: NDArray[np.float64]) -> _State:
        """Velocity as the derivative of the position: see `OrbitModel.motion`."""
        error, position, velocity = self._teme(block, epoch, t_s)
        error_later, later, velocity_later = self._teme(block, epoch, t_s + DIFFERENCE_S)
        slope = (later - position) / DIFFERENCE_S
        return np.maximum(error, error_later), position, slope + (velocity - velocity_later) / 2


def _checked(columns: Sequence[LookColumn]) -> Sequence[LookColumn]:
    unknown = sorted(set(columns) - set(_ALL))
    if unknown or not columns:
        raise ConfigError(f"looks: expected columns of {', '.join(_ALL)}, got {', '.join(unknown) or 'none'}")
    return columns


def _components(vectors: NDArray[np.float64]) -> Axes:
    """Components first: shape (3, satellites, instants)."""
    return np.ascontiguousarray(np.moveaxis(vectors, -1, 0))


def _columns(
    site: Site, position: Axes, velocity: Axes | None, columns: Sequence[LookColumn]
) -> dict[LookColumn, NDArray[np.float64]]:
    line = np.tensordot(site.east_north_up, position - site.position_m[:, None, None], 1)
    found: dict[LookColumn, NDArray[np.float64]] = {}
    if "range_m" in columns or velocity is not None:
        found["range_m"] = range_of(line)
    if velocity is not None:
        turned = np.tensordot(site.east_north_up, velocity, 1)
        found["range_rate_m_s"] = range_rate_of(line, turned, found["range_m"])
    if "azimuth_rad" in columns:
        found["azimuth_rad"] = azimuth_of(line)
    if "elevation_rad" in columns:
        found["elevation_rad"] = elevation_of(line)
    return found
