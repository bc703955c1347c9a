"""What each pass is expected to give, by the key-length function that both ends call.

`exact_yields` asks `mission.expected_key` pass by pass. `fast_yields` is its surrogate: the same link budget
at a few Gauss-Legendre instants of each pass, all passes of one satellite over one station in one call, and
the form of the bound that the optimiser searches with, which gives no more key for the same counts.
`surrogate_error` compares the two on a sample. Clear sky, mean losses, one block a pass; no dice.
"""

from collections.abc import Callable, Iterator
from typing import Final

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
from satqkd.sky import look, orbit_of

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

NODES: Final = 16
"""Instants of a pass at which the surrogate asks the budget."""
_BISECTIONS: Final = 16
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
        for first in range(0, len(rows), _PASSES_AT_ONCE):
            part = rows[first : first + _PASSES_AT_ONCE]
            start_s, end_s = _windows(network, craft, ground, passes, part)
            found[part] = _key(
                craft, ground, network.protocol, *_counts(network, craft, ground, start_s, end_s)
            )
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


def _windows(
    network: Network, craft: Satellite, ground: Station, passes: Opportunities, rows: Rows
) -> tuple[Floats, Floats]:
    """When the quantum link runs: above the mask and, where the station has a limit, in range."""
    start_s, end_s, top_s = (column[rows] for column in (passes.start_s, passes.end_s, passes.culmination_s))
    limit_m = ground.maximum_range_m
    if limit_m is None:
        return start_s, end_s
    orbit, site = orbit_of(craft.orbit), site_of(ground)

    def crossing(outside_s: Floats) -> Floats:
        inside, outside = top_s, outside_s
        for _ in range(_BISECTIONS):
            middle = (inside + outside) / 2
            near = look(orbit, site, network.start, middle).range_m <= limit_m
            inside, outside = np.where(near, middle, inside), np.where(near, outside, middle)
        return inside

    far_at_start, far_at_end = (
        look(orbit, site, network.start, edge).range_m > limit_m for edge in (start_s, end_s)
    )
    return (
        np.where(far_at_start, crossing(start_s), start_s),
        np.where(far_at_end, crossing(end_s), end_s),
    )


def _counts(
    network: Network, craft: Satellite, ground: Station, start_s: Floats, end_s: Floats
) -> tuple[Floats, Floats]:
    """Expected detections and errors of each pass, shape (passes, 2, 3), basis Z and signal first."""
    place, weight = np.polynomial.legendre.leggauss(NODES)
    duration_s = end_s - start_s
    t_s = start_s[:, None] + duration_s[:, None] * (place + 1) / 2
    rates = course_of(craft, ground, orbit_of(craft.orbit), network.start, t_s.ravel()).rates
    z_sent = craft.source.basis_z_probability
    sent = np.multiply.outer(
        _keyed_pulses(craft, duration_s), np.outer((z_sent, 1 - z_sent), craft.source.probabilities)
    )

    def mean(gain: Floats) -> Floats:
        of_pass = gain.reshape(3, 2, len(start_s), NODES) @ (weight / 2)
        return np.asarray(of_pass.transpose(2, 1, 0))

    return sent * mean(rates.matched_gain), sent * mean(rates.wrong_gain)


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
