"""When satellites stand above masks: brackets on a coarse grid, refined all at once.

    sine of     .   |   .          |  rate goes from + to -: a culmination between two samples, unless too
    elevation  .  c   .            |  deep to reach the mask; kept when above it
    - mask - -r- - - - -s- - - -   |  r, s: between the culmination and the nearest samples below
           .             .         |  the mask on either side, refined on the elevation

Refinement goes on the polynomials of the track, for all stations of a group together. A pass that stays
above the mask for less than a sample step is found all the same, since its culmination is. A dip below the
mask between two culminations counts when a sample falls into it. Knows no date and no light.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satqkd.errors import ConfigError
from satqkd.sky.geometry import Axes, Column, Site, range_of
from satqkd.sky.roots import roots
from satqkd.sky.track import Pieces, Track

Indices = NDArray[np.intp]

_TILT: Final = 0.004  # of the ellipsoid's vertical against the radius: at most 0.0034 rad


class Spans(NamedTuple):
    """Passes as columns, in order of sites and time; seconds on the track's scale."""

    site: Indices
    rise_s: Column
    peak_s: Column
    set_s: Column


class Search:
    """Passes over a group of sites along one track. Samples are counted through all sites."""

    def __init__(self, sites: Sequence[Site], mask_sines: Column, track: Track) -> None:
        self.track, self.mask_sines, self.samples = track, mask_sines, track.t_s.size
        self.place_m = np.stack([site.position_m for site in sites])  # (sites, 3)
        self.axes = np.stack([site.east_north_up for site in sites])  # (sites, 3, 3)
        self._sample()

    def _sample(self) -> None:
        """Columns of shape (sites, samples): height; whether sine rises, range grows, mask is not met."""
        r, v, up = self.track.position_m.T, self.track.velocity_m_s.T, self.axes[:, 2]
        height = up @ r - np.einsum("si,si->s", up, self.place_m)[:, None]
        square = np.einsum("in,in->n", r, r) - 2 * (self.place_m @ r)
        square += np.einsum("si,si->s", self.place_m, self.place_m)[:, None]
        closing = np.einsum("in,in->n", r, v) - self.place_m @ v  # range times its rate
        self._height_m = height
        self._rising = (up @ v) * square > height * closing
        self._receding = (closing > 0).ravel()
        self._below = (height < self.mask_sines[:, None] * np.sqrt(square)).ravel()

    def spans(self, length_s: float) -> Spans:
        """Passes that culminate in [0, length_s). Raises ConfigError where one never ends."""
        endless = ~self._below.reshape(self._rising.shape).any(axis=1)
        if endless.any():
            raise self._never_sets(int(np.flatnonzero(endless)[0]))
        site, before, peak_s, sine = self._culminations()
        last, first = self._samples_below(site, before)
        highest = _highest_of_each(site * self.samples + last, sine)
        inside = highest[(peak_s[highest] >= 0) & (peak_s[highest] < length_s)]
        site, peak_s, last, first = site[inside], peak_s[inside], last[inside], first[inside]
        lost = np.flatnonzero((last < 0) | (first >= self.samples))
        if lost.size:
            raise self._never_sets(int(site[lost[0]]))
        rise_s = self._crossings(site, last, last, last + 1, peak_s)
        return Spans(site, rise_s, peak_s, self._crossings(site, first - 1, first, first - 1, peak_s))

    def nearest_s(self, spans: Spans) -> Column:
        """Instants of the shortest range: where it stops falling, or the edge beyond which that lies."""
        turns = np.flatnonzero(~self._receding[:-1] & self._receding[1:])
        peak = ((spans.peak_s - self.track.t_s[0]) / self.track.step_s).astype(np.intp)
        turn = _nearest_of(turns, spans.site * self.samples + peak) % self.samples
        turn = np.minimum(turn, self.samples - 2)
        pieces, place_m = self.track.pieces(turn), self.place_m[spans.site].T

        def closing(t_s: Column) -> Column:
            line = pieces.position_m(t_s) - place_m
            return np.asarray(np.einsum("in,in->n", line, pieces.velocity_m_s(t_s)))

        nearest_s = roots(closing, self.track.t_s[turn], self.track.t_s[turn + 1])
        return np.clip(nearest_s, spans.rise_s, spans.set_s)

    def line_at(self, site: Indices, t_s: Column) -> Axes:
        """Lines of sight, east, north, up, shape (3, m), one instant for each entry of `site`."""
        return self._line(site, self.track.pieces_at(t_s).position_m(t_s))

    def _culminations(self) -> tuple[Indices, Indices, Column, Column]:
        """Sites, samples before, instants and sines of those above the mask."""
        site, before = self._brackets_of_culminations()
        pieces, grid_s = self.track.pieces(before), self.track.t_s
        peak_s = roots(lambda t: -self._rate(site, pieces, t), grid_s[before], grid_s[before + 1])
        sine = _sine(self._line(site, pieces.position_m(peak_s)))
        up = sine > self.mask_sines[site]
        return site[up], before[up], peak_s[up], sine[up]

    def _brackets_of_culminations(self) -> tuple[Indices, Indices]:
        """Sites, and samples after which the sine turns to fall, less those too deep to reach the mask.

        A satellite at distance r from the Earth's centre stands at sine m or higher where its height over the
        horizontal plane is at least sqrt(m^4 s^2 + m^2 (r^2 - s^2)) - m^2 s, s being the station's distance;
        and between two samples a path strays from their chord by an eighth of its second difference.
        """
        site, before = np.nonzero(self._rising[:, :-1] & ~self._rising[:, 1:])
        r = np.linalg.norm(self.track.position_m, axis=1)
        bow_m = 1.5 / 8 * np.linalg.norm(np.diff(self.track.position_m, 2, axis=0), axis=1).max()
        least_r = np.minimum(r[before], r[before + 1]) - bow_m
        m, s = self.mask_sines[site], np.linalg.norm(self.place_m, axis=1)[site]
        needed_m = np.sqrt(np.maximum(m**4 * s**2 + m**2 * (least_r**2 - s**2), 0.0)) - m**2 * s
        height_m = np.maximum(self._height_m[site, before], self._height_m[site, before + 1])
        kept = (height_m + bow_m + _TILT * r[before] > needed_m) | (m <= 0)
        return site[kept], before[kept]

    def _samples_below(self, site: Indices, before: Indices) -> tuple[Indices, Indices]:
        """Last sample below the mask at or before these, first one after; -1 and n where there is none."""
        below, place = self._below, site * self.samples + before
        ups = np.flatnonzero(below[:-1] & ~below[1:])
        downs = np.flatnonzero(~below[:-1] & below[1:]) + 1
        risen = np.append(ups, -1)[np.searchsorted(ups, place) - 1]  # of none before: the last, -1
        fallen = np.append(downs, below.size)[np.searchsorted(downs, place + 1)]
        last = np.where(below[place], place, risen) - site * self.samples
        first = np.where(below[place + 1], place + 1, fallen) - site * self.samples
        return np.maximum(last, -1), np.minimum(first, self.samples)

    def _crossings(
        self, site: Indices, interval: Indices, below: Indices, above: Indices, peak_s: Column
    ) -> Column:
        """Where the elevation crosses the mask, from a sample below to its neighbour or the culmination."""
        pieces, grid_s, mask = self.track.pieces(interval), self.track.t_s, self.mask_sines[site]
        low, high = grid_s[below], grid_s[above]
        high = np.where(np.abs(peak_s - low) < np.abs(high - low), peak_s, high)
        return roots(lambda t: _sine(self._line(site, pieces.position_m(t))) - mask, low, high)

    def _line(self, site: Indices, position_m: Axes) -> Axes:
        return np.asarray(np.einsum("nij,nj->in", self.axes[site], position_m.T - self.place_m[site]))

    def _rate(self, site: Indices, pieces: Pieces, t_s: Column) -> Column:
        """Rate of the sine of elevation, 1/s."""
        line = pieces.position_m(t_s) - self.place_m[site].T
        velocity, up = pieces.velocity_m_s(t_s), self.axes[site, 2].T
        square = np.einsum("in,in->n", line, line)
        height, climb = np.einsum("in,in->n", up, line), np.einsum("in,in->n", up, velocity)
        closing = np.einsum("in,in->n", line, velocity)
        return np.asarray((climb - height * closing / square) / np.sqrt(square))

    def _never_sets(self, site: int) -> ConfigError:
        hours = (self.track.t_s[-1] - self.track.t_s[0]) / 3600
        return ConfigError(
            f"passes: expected a satellite that rises and sets, got one that stays above "
            f"{np.degrees(np.arcsin(self.mask_sines[site])):g} degrees for longer than a revolution, within "
            f"{hours:.1f} h looked at; raise the minimum elevation"
        )


def _sine(line_m: Axes) -> Column:
    return np.asarray(line_m[2] / range_of(line_m))


def _nearest_of(ordered: Indices, wanted: Indices) -> Indices:
    """The entry of an ascending list nearest to each wanted; the wanted itself where the list is empty."""
    if ordered.size == 0:
        return wanted
    after = np.clip(np.searchsorted(ordered, wanted), 0, ordered.size - 1)
    before = np.maximum(after - 1, 0)
    is_before = wanted - ordered[before] < ordered[after] - wanted
    nearest: Indices = np.where(is_before, ordered[before], ordered[after])
    return nearest


def _highest_of_each(group: Indices, value: Column) -> Indices:
    """Of neighbours with one `group`, the index of the largest value; ascending."""
    order = np.lexsort((value, group))
    ends = np.flatnonzero(np.diff(group[order], append=-2))
    highest: Indices = np.sort(order[ends])
    return highest
