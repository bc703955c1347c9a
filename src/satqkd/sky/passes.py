"""Passes: when a satellite stands above a station's elevation mask.

Coarse samples of the sine of elevation and of its rate, then refinement of all brackets at once:

    sine of     .   |   .          |  rate goes from + to -: a culmination between two samples,
    elevation  .  c   .            |  refined on differences; kept when above the mask
    - mask - -r- - - - -s- - - -   |  r, s: between the culmination and the nearest samples below
           .             .         |  the mask on either side, refined on the elevation

A pass that stays above the mask for less than a sample step is found all the same, since its
culmination is. A dip below the mask between two culminations counts when a sample falls into it.
The window is worked in chunks of days, so memory does not grow with it. Knows no light.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.errors import ConfigError
from satqkd.sky.geometry import Column, EarthFixed, Site, earth_fixed, look
from satqkd.sky.orbit import OrbitModel
from satqkd.sky.sun import sun_elevation_rad, sunlit
from satqkd.sky.time import DAY_S

_CHUNK_S: Final = 20 * DAY_S
_STEPS_PER_REVOLUTION: Final = 64
_TOLERANCE_S: Final = 1e-4
_SPACING_S: Final = 0.1
_MOST_STEPS: Final = 100  # about 8 are used; halving alone would need 20 to 30

Indices = NDArray[np.intp]


class Pass(msgspec.Struct, frozen=True, kw_only=True):
    """One contact of a satellite and a station above the mask that was asked for."""

    start: datetime
    """UTC at which the satellite rises above the mask, to 1 ms."""
    culmination: datetime
    """UTC of the largest elevation, to 1 ms."""
    end: datetime
    """UTC at which it sets below the mask, to 1 ms."""
    max_elevation_rad: float
    min_range_m: float
    """Shortest slant range between start and end, to 0.1 m."""
    sun_elevation_rad: float
    """Of the Sun at the station, at culmination."""
    sunlit: bool
    """Whether the satellite sees the whole Sun at culmination."""

    @property
    def duration_s(self) -> float:
        """From start to end."""
        return (self.end - self.start).total_seconds()


def is_night(contact: Pass, *, maximum_sun_elevation_rad: float) -> bool:
    """Whether the Sun stands no higher than this over the station when the satellite culminates."""
    return contact.sun_elevation_rad <= maximum_sun_elevation_rad


def find_passes(
    orbit: OrbitModel, site: Site, start: datetime, *, duration_s: float, minimum_elevation_rad: float
) -> list[Pass]:
    """All passes over a site whose culmination lies in [start, start + duration_s), in order.

    A pass cut by an edge of the window is kept whole. Raises ConfigError for a window or a mask that
    makes no sense and for a satellite that stays up longer than one revolution, DataFormatError
    where SGP4 refuses the elements.
    """
    return find_passes_of_sites(
        orbit, [site], start, duration_s=duration_s, minimum_elevation_rad=minimum_elevation_rad
    )[0]


def find_passes_of_sites(
    orbit: OrbitModel,
    sites: Sequence[Site],
    start: datetime,
    *,
    duration_s: float,
    minimum_elevation_rad: float,
) -> list[list[Pass]]:
    """`find_passes` for several sites at the price of one propagation; one list per site, in order."""
    _check_window(duration_s, minimum_elevation_rad)
    found: list[list[Pass]] = [[] for _ in sites]
    for chunk in _chunks(orbit, start, duration_s):
        for site, passes in zip(sites, found, strict=True):
            passes.extend(_Search(orbit, site, chunk, float(np.sin(minimum_elevation_rad))).passes())
    return found


class _Chunk(NamedTuple):
    epoch: datetime
    length_s: float
    t_s: Column  # even grid that reaches one revolution beyond both ends
    satellite: EarthFixed


class _Course(NamedTuple):
    """How high a satellite stands over a site."""

    sine: Column  # of the elevation
    sine_rate_hz: Column
    height_m: Column  # above the site's horizontal plane


def _check_window(duration_s: float, minimum_elevation_rad: float) -> None:
    if not 0 < duration_s < np.inf:
        raise ConfigError(f"passes: expected a window longer than 0 s, got {duration_s}")
    if not abs(minimum_elevation_rad) < np.pi / 2:
        raise ConfigError(
            "passes: expected a minimum elevation between -90 and 90 degrees, "
            f"got {np.degrees(minimum_elevation_rad):g}"
        )


def _chunks(orbit: OrbitModel, start: datetime, duration_s: float) -> Iterator[_Chunk]:
    step_s, margin_s = _step_s(orbit), orbit.period_s
    for begin_s in np.arange(0.0, duration_s, _CHUNK_S).tolist():
        epoch = start + timedelta(seconds=begin_s)
        length_s = min(_CHUNK_S, duration_s - begin_s)
        t_s = np.arange(-margin_s, length_s + margin_s + step_s, step_s)
        yield _Chunk(epoch, length_s, t_s, earth_fixed(orbit, epoch, t_s))


def _step_s(orbit: OrbitModel) -> float:
    """A small part of a revolution at the speed of the perigee."""
    e = orbit.eccentricity
    return orbit.period_s / _STEPS_PER_REVOLUTION * float((1 - e**2) ** 1.5 / (1 + e) ** 2)


def _course(site: Site, satellite: EarthFixed) -> _Course:
    line, velocity, up = satellite.position_m - site.position_m, satellite.velocity_m_s, site.east_north_up[2]
    range_m = np.sqrt(np.einsum("ij,ij->i", line, line))
    height_m = line @ up
    sine = height_m / range_m
    range_rate = np.einsum("ij,ij->i", line, velocity) / range_m
    return _Course(sine, (velocity @ up - sine * range_rate) / range_m, height_m)


class _Search:
    """The passes over one site in one chunk."""

    def __init__(self, orbit: OrbitModel, site: Site, chunk: _Chunk, mask_sine: float) -> None:
        self.orbit, self.site, self.chunk, self.mask_sine = orbit, site, chunk, mask_sine
        self.coarse = _course(site, chunk.satellite)

    def passes(self) -> list[Pass]:
        """Those that culminate inside the chunk."""
        if (self.coarse.sine >= self.mask_sine).all():
            raise self._never_sets()
        before = self._brackets_of_culminations()
        grid_s = self.chunk.t_s
        t_s = _roots(self._fall, grid_s[before], grid_s[before + 1])
        sine = self._sine_at(t_s)
        up = sine > self.mask_sine
        last, first = self._samples_below(before[up])
        highest = _highest_of_each(last, sine[up])
        inside = highest[(t_s[up][highest] >= 0) & (t_s[up][highest] < self.chunk.length_s)]
        return self._described(t_s[up][inside], last[inside], first[inside])

    def _brackets_of_culminations(self) -> Indices:
        """Samples after which the rate turns negative, less those too deep to reach the mask.

        In half a step the satellite climbs no more than its speed allows.
        """
        rate = self.coarse.sine_rate_hz
        turning = np.flatnonzero((rate[:-1] > 0) & (rate[1:] <= 0))
        if self.mask_sine < 0:
            return turning
        speed = np.sqrt(np.max(np.einsum("ij,ij->i", *[self.chunk.satellite.velocity_m_s] * 2)))
        climb_m = speed * (self.chunk.t_s[1] - self.chunk.t_s[0]) / 2
        height = np.maximum(self.coarse.height_m[turning], self.coarse.height_m[turning + 1])
        reachable: Indices = turning[height > -climb_m]
        return reachable

    def _samples_below(self, before: Indices) -> tuple[Indices, Indices]:
        """Last sample below the mask at or before these, first one after; -1 and n where there is none."""
        below = self.coarse.sine < self.mask_sine
        index = np.arange(below.size)
        last = np.maximum.accumulate(np.where(below, index, -1))
        first = np.minimum.accumulate(np.where(below, index, below.size)[::-1])[::-1]
        return last[before], first[before + 1]

    def _described(self, peak_s: Column, last: Indices, first: Indices) -> list[Pass]:
        if peak_s.size == 0:
            return []
        if (last < 0).any() or (first == self.chunk.t_s.size).any():
            raise self._never_sets()
        rise_s = self._crossings(last, last + 1, peak_s)
        set_s = self._crossings(first, first - 1, peak_s)
        nearest_s = self._nearest(rise_s, peak_s, set_s)
        epoch, site, orbit = self.chunk.epoch, self.site, self.orbit
        rows = zip(
            self._moments(rise_s),
            self._moments(peak_s),
            self._moments(set_s),
            look(orbit, site, epoch, peak_s).elevation_rad.tolist(),
            look(orbit, site, epoch, nearest_s).range_m.tolist(),
            sun_elevation_rad(site, epoch, peak_s).tolist(),
            sunlit(orbit, epoch, peak_s).tolist(),
            strict=True,
        )
        return [
            Pass(
                start=start,
                culmination=culmination,
                end=end,
                max_elevation_rad=elevation,
                min_range_m=nearest,
                sun_elevation_rad=sun,
                sunlit=lit,
            )
            for start, culmination, end, elevation, nearest, sun, lit in rows
        ]

    def _moments(self, t_s: Column) -> list[datetime]:
        return [self.chunk.epoch + timedelta(seconds=t) for t in t_s.tolist()]

    def _never_sets(self) -> ConfigError:
        return ConfigError(
            f"passes: expected a satellite that rises and sets, got one that stays above "
            f"{np.degrees(np.arcsin(self.mask_sine)):g} degrees for more than its revolution of "
            f"{self.orbit.period_s / 3600:.1f} h; raise the minimum elevation"
        )

    def _crossings(self, below: Indices, above: Indices, peak_s: Column) -> Column:
        """Where the elevation crosses the mask, from a sample below to its neighbour or the culmination."""
        low, high = self.chunk.t_s[below], self.chunk.t_s[above]
        high = np.where(np.abs(peak_s - low) < np.abs(high - low), peak_s, high)
        return _roots(lambda at: self._sine_at(at) - self.mask_sine, low, high)

    def _nearest(self, rise_s: Column, peak_s: Column, set_s: Column) -> Column:
        """Instants of the shortest range: straight-line steps from the culmination."""
        t_s = peak_s
        for _ in range(8):
            satellite = self._satellite_at(t_s)
            line, velocity = satellite.position_m - self.site.position_m, satellite.velocity_m_s
            ahead = np.einsum("ij,ij->i", line, velocity) / np.einsum("ij,ij->i", velocity, velocity)
            t_s = np.clip(t_s - ahead, rise_s, set_s)
        return t_s

    def _fall(self, t_s: Column) -> Column:
        """How much the sine falls in 0.2 s. From positions: SGP4's velocity is off by milliseconds."""
        return self._sine_at(t_s - _SPACING_S) - self._sine_at(t_s + _SPACING_S)

    def _sine_at(self, t_s: Column) -> Column:
        return _course(self.site, self._satellite_at(t_s)).sine

    def _satellite_at(self, t_s: Column) -> EarthFixed:
        return earth_fixed(self.orbit, self.chunk.epoch, t_s)


def _highest_of_each(group: Indices, value: Column) -> Indices:
    """Of neighbours with one `group`, the index of the largest value; ascending."""
    order = np.lexsort((value, group))
    ends = np.flatnonzero(np.diff(group[order], append=-2))
    highest: Indices = np.sort(order[ends])
    return highest


def _roots(f: Callable[[Column], Column], low: Column, high: Column) -> Column:
    """Zeros of f in many brackets at once, f(low) <= 0 < f(high), low on either side, to 0.1 ms.

    False position by the Illinois rule: an end that stays twice has its value halved, which makes the
    rule superlinear (Dowell and Jarratt, BIT 11, 168, 1971). Estimates keep a distance from both ends,
    so that the bracket closes from both sides and its width, not a step, says when to stop.
    """
    a, b = low.copy(), high.copy()
    f_a, f_b = (f(a), f(b)) if a.size else (a, b)
    side = np.zeros(a.size)
    for _ in range(_MOST_STEPS):
        open_ = np.flatnonzero(np.abs(b - a) > _TOLERANCE_S)
        if open_.size == 0:
            break
        x = _estimate(a[open_], b[open_], f_a[open_], f_b[open_])
        f_x = f(x)
        over, under = open_[f_x > 0], open_[f_x <= 0]
        f_a[over] *= np.where(side[over] > 0, 0.5, 1.0)
        f_b[under] *= np.where(side[under] < 0, 0.5, 1.0)
        b[over], f_b[over], side[over] = x[f_x > 0], f_x[f_x > 0], 1.0
        a[under], f_a[under], side[under] = x[f_x <= 0], f_x[f_x <= 0], -1.0
    return (a + b) / 2


def _estimate(a: Column, b: Column, f_a: Column, f_b: Column) -> Column:
    nearest = _TOLERANCE_S / 3 / np.abs(b - a)
    rise = f_b - f_a
    part = np.where(rise > 0, -f_a / np.where(rise > 0, rise, 1.0), 0.5)
    return a + np.clip(part, nearest, 1 - nearest) * (b - a)
