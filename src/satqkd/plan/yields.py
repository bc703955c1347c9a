"""What each pass is expected to give, by the key-length function that both ends call.

`exact_yields` asks `mission.expected_key` pass by pass. `fast_yields` is its surrogate: the same link budget
at a few Gauss-Legendre instants of each pass, on either side of the edge of the Earth's shadow where it has
one, all passes of one satellite over one station in one call, and the form of the bound that the optimiser
searches with, which gives no more key for the same counts.
`surrogate_error` compares the two on a sample. Clear sky, mean losses, one block a pass; no dice.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.config import Protocol, Satellite, Station
from satqkd.mission.contact import PLANNING_GRID_S, make_contact
from satqkd.mission.course import course_of, site_of
from satqkd.mission.foretold import expected_key
from satqkd.mission.pass_plan import policy_of
from satqkd.optics import gate_fits
from satqkd.plan.network import Network
from satqkd.plan.opportunities import Opportunities, station_at
from satqkd.randomness import stream
from satqkd.security.channel import SourceSettings
from satqkd.security.quick import quick_bits
from satqkd.sky import look, orbit_of, surroundings

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Flags = NDArray[np.bool_]

NODES: Final = 16
"""Instants of a pass at which the surrogate asks the budget."""
_BISECTIONS: Final = 12
"""To a tenth of a second of a pass."""
_LEAST_WINDOW_S: Final = 1.0
"""Nothing comes of a link that runs shorter."""
_PASSES_AT_ONCE: Final = 4096


class SurrogateError(msgspec.Struct, frozen=True):
    """The surrogate against the exact key, on a sample of passes."""

    passes: int
    total: float
    """Relative error of the sum."""
    median: float
    """Of the relative errors of passes with key, as the next two."""
    lowest: float
    highest: float
    largest_bits: float
    """Of all passes, absolute."""
    disagree: int
    """Passes of which one says key and the other none."""


def exact_yields(network: Network, passes: Opportunities) -> Floats:
    """Secret bits of each pass, shape (n,); some 5 ms a pass."""
    return np.array([_exact(network, passes, row) for row in range(len(passes))], dtype=np.float64)


def fast_yields(network: Network, passes: Opportunities) -> Floats:
    """The surrogate's secret bits of each pass, shape (n,); some 0.2 ms a pass.

    Ships and polarisation that drifts in the time of a pass are computed exactly.
    """
    found = np.zeros(len(passes))
    for satellite, station, rows in _links(passes):
        craft, ground = network.satellites[satellite], network.stations[station]
        if not gate_fits(craft, ground):
            continue
        if network.tracks[station] or ground.receiver.polarisation.drift_rad_s:
            found[rows] = [_exact(network, passes, int(row)) for row in rows]
            continue
        link = _Link(network, craft, ground)
        for first in range(0, len(rows), _PASSES_AT_ONCE):
            part = rows[first : first + _PASSES_AT_ONCE]
            start_s, end_s = link.windows(passes, part)
            lasting = end_s - start_s > _LEAST_WINDOW_S
            if lasting.any():
                counts = link.counts(start_s[lasting], end_s[lasting])
                found[part[lasting]] = _key(craft, ground, network.protocol, *counts)
    return found


def surrogate_error(
    network: Network, passes: Opportunities, fast_bits: Floats, *, sample: int = 200, seed: int = 1
) -> SurrogateError:
    """The surrogate's error on passes drawn at random, without repetition. fast_bits: of all passes."""
    chosen = stream(seed, "surrogate sample").permutation(len(passes))[:sample]
    exact = exact_yields(network, passes.taken(chosen))
    fast = fast_bits[chosen]
    with_key = exact > 0
    relative = (fast[with_key] - exact[with_key]) / exact[with_key]

    def of(measure: Callable[[Floats], float], values: Floats) -> float:
        return float(measure(values)) if values.size else 0.0

    return SurrogateError(
        passes=len(chosen),
        total=float(fast.sum() / exact.sum() - 1) if exact.sum() > 0 else 0.0,
        median=of(np.median, relative),
        lowest=of(np.min, relative),
        highest=of(np.max, relative),
        largest_bits=of(np.max, np.abs(fast - exact)),
        disagree=int((with_key != (fast > 0)).sum()),
    )


def _exact(network: Network, passes: Opportunities, row: int) -> float:
    craft = network.satellites[int(passes.satellite[row])]
    ground = station_at(network, int(passes.station[row]), float(passes.culmination_s[row]))
    if not gate_fits(craft, ground):
        return 0.0
    contact = make_contact(craft, ground, passes.pass_of(row, network.start), step_s=PLANNING_GRID_S)
    return float(expected_key(contact, network.protocol).secret_bits)


def _links(passes: Opportunities) -> Iterator[tuple[int, int, Rows]]:
    """Satellite, station and rows of each that have some, the rows in order of time."""
    order = np.lexsort((passes.start_s, passes.station, passes.satellite))
    link = np.stack([passes.satellite[order], passes.station[order]])
    edges = np.flatnonzero((np.diff(link) != 0).any(axis=0)) + 1
    for rows in np.split(order, edges):
        if rows.size:
            yield int(passes.satellite[rows[0]]), int(passes.station[rows[0]]), rows


class _Pieces(NamedTuple):
    """Stretches of passes in which nothing jumps; arrays of shape (pieces,), in order of time."""

    of_pass: Rows
    start_s: Floats
    end_s: Floats


class _Link:
    """One satellite over one station, and some of its passes."""

    def __init__(self, network: Network, craft: Satellite, ground: Station) -> None:
        self.epoch, self.craft, self.ground = network.start, craft, ground
        self.orbit, self.site = orbit_of(craft.orbit), site_of(ground)

    def windows(self, passes: Opportunities, rows: Rows) -> tuple[Floats, Floats]:
        """When the quantum link runs: above the mask and, where the station has a limit, in range."""
        start_s, end_s, top_s = (
            column[rows] for column in (passes.start_s, passes.end_s, passes.culmination_s)
        )
        limit_m = self.ground.maximum_range_m
        if limit_m is None:
            return start_s, end_s

        def near(t_s: Floats) -> Flags:
            return np.asarray(look(self.orbit, self.site, self.epoch, t_s).range_m <= limit_m)

        return (
            np.where(near(start_s), start_s, _change_s(near, top_s, start_s)),
            np.where(near(end_s), end_s, _change_s(near, top_s, end_s)),
        )

    def pieces(self, start_s: Floats, end_s: Floats) -> _Pieces:
        """Windows cut where the satellite comes out of the Earth's shadow or goes in; once at most."""
        cut_s = end_s
        if self.craft.sunlit_magnitude is not None:
            both_lit = self._sunlit(np.concatenate([start_s, end_s])).reshape(2, -1)
            rows = np.flatnonzero(both_lit[0] != both_lit[1])
            if rows.size:
                begins_lit = both_lit[0, rows]
                cut_s = end_s.copy()
                cut_s[rows] = _change_s(
                    lambda t_s: self._sunlit(t_s) == begins_lit, start_s[rows], end_s[rows]
                )
        rows, is_cut = np.arange(len(start_s)), cut_s < end_s
        order = np.argsort(np.concatenate([start_s, cut_s[is_cut]]), kind="stable")
        return _Pieces(
            np.concatenate([rows, rows[is_cut]])[order],
            np.concatenate([start_s, cut_s[is_cut]])[order],
            np.concatenate([cut_s, end_s[is_cut]])[order],
        )

    def counts(self, start_s: Floats, end_s: Floats) -> tuple[Floats, Floats]:
        """Expected detections and errors of each window, shape (passes, 2, 3), basis Z and signal first."""
        place, weight = np.polynomial.legendre.leggauss(NODES)
        pieces = self.pieces(start_s, end_s)
        length_s = pieces.end_s - pieces.start_s
        t_s = pieces.start_s[:, None] + length_s[:, None] * (place + 1) / 2
        rates = course_of(self.craft, self.ground, self.orbit, self.epoch, t_s.ravel()).rates
        z_sent = self.craft.source.basis_z_probability
        sent = np.outer((z_sent, 1 - z_sent), self.craft.source.probabilities)
        pulses = _keyed_pulses(self.craft, end_s - start_s)[pieces.of_pass]
        share = pulses * length_s / (end_s - start_s)[pieces.of_pass]

        def summed(gain: Floats) -> Floats:
            mean = (gain.reshape(3, 2, len(length_s), NODES) @ (weight / 2)).transpose(2, 1, 0)
            total = np.zeros((len(start_s), 2, 3))
            np.add.at(total, pieces.of_pass, share[:, None, None] * mean)
            return total * sent

        return summed(rates.matched_gain), summed(rates.wrong_gain)

    def _sunlit(self, t_s: Floats) -> Flags:
        order = np.argsort(t_s, kind="stable")
        lit = np.empty(len(t_s), dtype=np.bool_)
        lit[order] = surroundings(look(self.orbit, self.site, self.epoch, t_s[order])).sunlit
        return lit


def _change_s(holds: Callable[[Floats], Flags], true_s: Floats, false_s: Floats) -> Floats:
    """Where something ends to hold between an instant at which it does and one at which it may not."""
    inside, outside = true_s, false_s
    for _ in range(_BISECTIONS):
        middle = (inside + outside) / 2
        still = holds(middle)
        inside, outside = np.where(still, middle, inside), np.where(still, outside, middle)
    return inside


def _keyed_pulses(craft: Satellite, duration_s: Floats) -> Floats:
    """Pulses of a window that are no header; a share, where a pass counts them one by one."""
    rate_hz, header = craft.source.pulse_rate_hz, craft.header
    share = 0.0 if header is None else header.header_slots(rate_hz) / header.interval_slots(rate_hz)
    return np.floor(duration_s * rate_hz) * (1 - share)


def _key(craft: Satellite, ground: Station, protocol: Protocol, detections: Floats, errors: Floats) -> Floats:
    source = craft.source
    settings = SourceSettings(
        source.intensities,
        source.probabilities,
        source.basis_z_probability,
        ground.receiver.basis_z_probability,
        source.intensity_intervals,
    )
    order = np.argsort(-detections.sum(axis=(1, 2)), kind="stable")  # in order of loss, as the bound wants
    bits = np.empty(len(order))
    bits[order] = quick_bits(settings, detections[order], errors[order], policy_of(craft, ground, protocol))
    return np.floor(np.maximum(bits, 0.0))
