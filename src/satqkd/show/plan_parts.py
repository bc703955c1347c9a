"""What pictures of a plan need beside the plan: places, tracks, coverage, skies, levels, rows of campaigns.

Plain data that checks its own shapes. Angles are radians. Knows no planner, no file and no pixel.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.errors import DataFormatError

Array = NDArray[np.float64]
Column = NDArray[np.float64]
"""Of any unit, shape (n,)."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A station, where the plan begins."""

    name: str
    latitude_rad: float
    longitude_rad: float


class GroundTrack(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Points under a satellite in order of time, shape (n,) each."""

    satellite: str
    latitude_rad: Array
    longitude_rad: Array
    reach_rad: float = 0.0
    """From such a point to where the satellite stands at the mask, as an angle at the Earth's centre;
    0: unknown."""

    def __post_init__(self) -> None:
        if self.latitude_rad.ndim != 1 or self.latitude_rad.shape != self.longitude_rad.shape:
            raise DataFormatError(
                f"track of {self.satellite}: expected as many latitudes as longitudes, got shapes "
                f"{self.latitude_rad.shape} and {self.longitude_rad.shape}"
            )


class Coverage(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Key that a station would get in a day, of all satellites together, if it stood at a place of a grid."""

    latitude_rad: Array
    """Middles of n even rows, increasing."""
    longitude_rad: Array
    """Middles of m even columns, increasing."""
    day_bits: Array
    """Shape (n, m); NaN where nothing was computed."""
    detail: str = ""
    """How it was computed, in words: weather, hardware, days."""

    def __post_init__(self) -> None:
        want = (self.latitude_rad.size, self.longitude_rad.size)
        if min(want) < 2 or self.day_bits.shape != want:
            raise DataFormatError(
                f"coverage: expected two rows and columns or more and bits of shape {want}, got "
                f"{self.day_bits.shape}"
            )
        if not all((np.diff(each) > 0).all() for each in (self.latitude_rad, self.longitude_rad)):
            raise DataFormatError("coverage: expected rows and columns in increasing order; sort them")


class StationSky(msgspec.Struct, frozen=True, kw_only=True):
    """How likely a station's sky is clear over the time of the plan."""

    station: str
    clear: float
    source: str = ""


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """A store below its low mark, in seconds after the plan's start."""

    store: str
    start_s: float
    end_s: float


class StoreLevels(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What is in some stores in time."""

    title: str
    """Such as `stores of pairs`."""
    names: tuple[str, ...]
    t_s: Array
    """Seconds after the plan's start, increasing, shape (m,)."""
    level_bits: Array
    """From each moment on, shape (n, m)."""
    alarms: tuple[Alarm, ...] = ()

    def __post_init__(self) -> None:
        want = (len(self.names), self.t_s.size)
        if self.level_bits.shape != want:
            raise DataFormatError(
                f"{self.title}: expected levels of shape {want}, a row a store and a column a moment, got "
                f"{self.level_bits.shape}"
            )
        unknown = sorted({each.store for each in self.alarms} - set(self.names))
        if unknown:
            raise DataFormatError(f"{self.title}: expected alarms of stores named, got {', '.join(unknown)}")


class Series(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Rows of a campaign that make one line: a row a run, several runs (seeds) of one size."""

    name: str
    sizes: Column
    """What the run was of: so many satellites, contacts, or satellites times days; shape (n,)."""
    values: Column
    """What came of it: bits, or seconds; shape (n,)."""

    def __post_init__(self) -> None:
        if self.sizes.ndim != 1 or self.sizes.shape != self.values.shape:
            raise DataFormatError(
                f"series {self.name}: expected as many sizes as values, got shapes {self.sizes.shape} and "
                f"{self.values.shape}"
            )
        if not (np.isfinite(self.sizes).all() and np.isfinite(self.values).all()):
            raise DataFormatError(f"series {self.name}: expected finite numbers; leave failed runs out")
