"""Passes: when a satellite stands above a station's elevation mask or skyline.

One propagation serves all stations; `search` finds the instants, here they become dated passes with what
belongs to them. The window is worked in chunks of days and the stations in groups, so memory does not grow
with them. Knows no light.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.constants import DAY_S
from satqkd.errors import ConfigError
from satqkd.sky.geometry import Column, Site, azimuth_of, elevation_of, range_of, turned_to_earth
from satqkd.sky.horizon import Horizon, intervals_above
from satqkd.sky.orbit import OrbitModel
from satqkd.sky.search import Search, Spans
from satqkd.sky.sun import NAUTICAL_RAD, sees_whole_sun, sun_position_m
from satqkd.sky.time import earth_angle_rad
from satqkd.sky.track import Track, fitting_step_s

_CHUNK_S: Final = 20 * DAY_S
_SITES_AT_ONCE: Final = 16
_SKYLINE_STEP_S: Final = 1.0


class Pass(msgspec.Struct, frozen=True, kw_only=True):
    """One contact of a satellite and a station above the mask that was asked for."""

    start: datetime
    """UTC at which the satellite rises above the mask, to 1 ms."""
    culmination: datetime
    """UTC of the largest elevation, to 1 ms; at an edge where a skyline hides the top."""
    end: datetime
    """UTC at which it sets below the mask, to 1 ms."""
    max_elevation_rad: float
    start_azimuth_rad: float
    culmination_azimuth_rad: float
    end_azimuth_rad: float
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


def is_night(contact: Pass, *, maximum_sun_elevation_rad: float = NAUTICAL_RAD) -> bool:
    """Whether the Sun stands no higher than this over the station when the satellite culminates.

    Unless another limit is asked for: nautical twilight is over.
    """
    return contact.sun_elevation_rad <= maximum_sun_elevation_rad


def find_passes(
    orbit: OrbitModel,
    site: Site,
    start: datetime,
    *,
    duration_s: float,
    minimum_elevation_rad: float,
    horizon: Horizon | None = None,
    ut1_minus_utc_s: float = 0.0,
) -> list[Pass]:
    """All passes over a site whose culmination lies in [start, start + duration_s), in order.

    A pass cut by an edge of the window is kept whole. Where a skyline cuts a pass in two or hides its top,
    the culmination over open ground decides. Raises ConfigError for a window or a mask that makes no sense
    and for a satellite that stays up longer than one revolution, DataFormatError where SGP4 refuses the
    elements.
    """
    return find_passes_of_sites(
        orbit,
        [site],
        start,
        duration_s=duration_s,
        minimum_elevation_rad=minimum_elevation_rad,
        horizons=[horizon],
        ut1_minus_utc_s=ut1_minus_utc_s,
    )[0]


def find_passes_of_sites(
    orbit: OrbitModel,
    sites: Sequence[Site],
    start: datetime,
    *,
    duration_s: float,
    minimum_elevation_rad: float | Sequence[float],
    horizons: Sequence[Horizon | None] | None = None,
    ut1_minus_utc_s: float = 0.0,
) -> list[list[Pass]]:
    """`find_passes` for several sites at the price of one propagation; one list per site, in order.

    minimum_elevation_rad: one for all sites, or one for each; horizons: one for each, None for open ground.
    """
    masks = _masks_rad(minimum_elevation_rad, len(sites))
    skylines = list(horizons) if horizons is not None else [None] * len(sites)
    _check_window(duration_s, masks, len(sites), len(skylines))
    found: list[list[Pass]] = [[] for _ in sites]
    for chunk in _chunks(orbit, start, duration_s, ut1_minus_utc_s):
        for first in range(0, len(sites), _SITES_AT_ONCE):
            group = slice(first, first + _SITES_AT_ONCE)
            for site, contact in _Group(chunk, sites[group], masks[group], skylines[group]).passes():
                found[first + site].append(contact)
    return found


class _Chunk(NamedTuple):
    epoch: datetime
    length_s: float
    track: Track  # reaches one revolution beyond both ends
    ut1_minus_utc_s: float


def _masks_rad(minimum_elevation_rad: float | Sequence[float], n: int) -> Column:
    given = np.asarray(minimum_elevation_rad, dtype=np.float64)
    return np.full(n, given) if given.ndim == 0 else given


def _check_window(duration_s: float, masks_rad: Column, sites: int, skylines: int) -> None:
    if not 0 < duration_s < np.inf:
        raise ConfigError(f"passes: expected a window longer than 0 s, got {duration_s}")
    if masks_rad.shape != (sites,) or skylines != sites:
        raise ConfigError(
            f"passes: expected a minimum elevation and a horizon for each of {sites} sites, got "
            f"{masks_rad.size} and {skylines}; give one for all, or as many as sites"
        )
    if not (np.abs(masks_rad) < np.pi / 2).all():
        raise ConfigError(
            "passes: expected a minimum elevation between -90 and 90 degrees, "
            f"got {', '.join(f'{each:g}' for each in np.degrees(masks_rad))}"
        )


def _chunks(
    orbit: OrbitModel, start: datetime, duration_s: float, ut1_minus_utc_s: float
) -> Iterator[_Chunk]:
    step_s, margin_s = fitting_step_s(orbit, start), orbit.period_s
    for begin_s in np.arange(0.0, duration_s, _CHUNK_S).tolist():
        epoch = start + timedelta(seconds=begin_s)
        length_s = min(_CHUNK_S, duration_s - begin_s)
        track = Track(
            orbit,
            epoch,
            first_s=-margin_s,
            last_s=length_s + margin_s,
            step_s=step_s,
            ut1_minus_utc_s=ut1_minus_utc_s,
        )
        yield _Chunk(epoch, length_s, track, ut1_minus_utc_s)


class _Group:
    """The passes over a group of sites in one chunk."""

    def __init__(
        self, chunk: _Chunk, sites: Sequence[Site], masks_rad: Column, skylines: Sequence[Horizon | None]
    ) -> None:
        self.chunk, self.skylines = chunk, skylines
        self.search = Search(sites, np.sin(masks_rad), chunk.track)

    def passes(self) -> Iterator[tuple[int, Pass]]:
        """Site and pass, in order of sites and time, of those that culminate inside the chunk."""
        spans = self.search.spans(self.chunk.length_s)
        if any(self.skylines[site] is not None for site in np.unique(spans.site)):
            spans = self._cut_by_skylines(spans)
        return self._described(spans)

    def _cut_by_skylines(self, spans: Spans) -> Spans:
        """Each pass over a station with a skyline becomes the parts of it above the skyline."""
        rows: list[tuple[int, float, float, float]] = []
        for site, rise_s, peak_s, set_s in zip(*(column.tolist() for column in spans), strict=True):
            skyline = self.skylines[site]
            if skyline is None:
                rows.append((site, rise_s, peak_s, set_s))
                continue

            def clear(t_s: Column, site: int = site, skyline: Horizon = skyline) -> Column:
                line = self.search.line_at(np.full(t_s.size, site), t_s)
                return np.asarray(elevation_of(line) - skyline.at(azimuth_of(line)))

            for begin_s, end_s in intervals_above(clear, rise_s, set_s, _SKYLINE_STEP_S).tolist():
                rows.append((site, begin_s, min(max(peak_s, begin_s), end_s), end_s))
        instants = np.array([row[1:] for row in rows], dtype=np.float64).reshape(-1, 3).T
        return Spans(np.array([row[0] for row in rows], dtype=np.intp), *instants)

    def _described(self, spans: Spans) -> Iterator[tuple[int, Pass]]:
        at, nearest_s = self.search.line_at, self.search.nearest_s(spans)
        start, peak, end = (at(spans.site, t_s) for t_s in spans[1:])
        sun_m = self._sun_m(spans.peak_s)
        satellite_m = self.chunk.track.pieces_at(spans.peak_s).position_m(spans.peak_s).T
        rows = zip(
            spans.site.tolist(),
            *map(self._moments, spans[1:]),
            elevation_of(peak).tolist(),
            *(azimuth_of(line).tolist() for line in (start, peak, end)),
            range_of(at(spans.site, nearest_s)).tolist(),
            elevation_of(np.einsum("nij,nj->in", self.search.axes[spans.site], sun_m)).tolist(),
            sees_whole_sun(satellite_m, sun_m).tolist(),
            strict=True,
        )
        for site, rise, culmination, set_, elevation, begin, middle, finish, range_m, sun, is_lit in rows:
            contact = Pass(
                start=rise,
                culmination=culmination,
                end=set_,
                max_elevation_rad=elevation,
                start_azimuth_rad=begin,
                culmination_azimuth_rad=middle,
                end_azimuth_rad=finish,
                min_range_m=range_m,
                sun_elevation_rad=sun,
                sunlit=is_lit,
            )
            yield site, contact

    def _sun_m(self, t_s: Column) -> NDArray[np.float64]:
        theta = earth_angle_rad(self.chunk.epoch, t_s, ut1_minus_utc_s=self.chunk.ut1_minus_utc_s)
        return turned_to_earth(sun_position_m(self.chunk.epoch, t_s), theta)

    def _moments(self, t_s: Column) -> list[datetime]:
        epoch, whole = self.chunk.epoch, np.rint(1e6 * t_s).astype(np.int64)
        return [epoch + timedelta(0, *divmod(each, 1_000_000)) for each in whole.tolist()]
