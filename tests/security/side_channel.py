"""Laser diodes that tell signal from decoy: what Eve makes of it, with counts exactly as expected.

Let the states of a single photon from two classes lie a trace distance D apart, in colour, time or place.
Whatever Eve does, her arrival probabilities then differ by at most D per emitted pulse. She reaches that
where a part D of one diode's light lies where the other's never does. Of the decoy she lets just those
single photons pass that its gain needs, of the signal fewer, and splits more.
"""

import math

import numpy as np
from eavesdropping import Attack, Link, per_class
from link_attacks import MATCHED, by_arrival, hidden_splitting, shown

from satqkd.results import ClassCounts
from satqkd.security import SourceModel


def told_apart(link: Link, source: SourceModel, distance: float) -> tuple[Attack, Attack]:
    """What Eve does to pulses of the signal and of the decoy; gains and errors of all classes as expected."""
    of_signal, of_decoy, two = arrivals_apart(link, source, distance)
    return by_arrival(link, {1: of_signal, 2: two}), by_arrival(link, {1: of_decoy, 2: two})


def arrivals_apart(link: Link, source: SourceModel, distance: float) -> tuple[float, float, float]:
    """Arrival of a signal's and of a decoy's single photon, at most a distance apart, and of two photons."""
    zero, single, double, target = (
        per_class(source, attack, "detected")[0, :2]
        for attack in (*_arrivals(link), hidden_splitting(link, source))
    )
    # One photon of the decoy arrives more often by the distance; of two photons both classes' alike.
    more = np.array([0.0, distance * (single - zero)[1]])
    one, two = np.linalg.solve(np.stack([single, double], axis=1) - zero[:, None], target - zero - more)
    if one < 0:
        one, two = 0.0, (target - zero)[0] / (double - zero)[0]
    of_decoy = (target - zero - two * (double - zero))[1] / (single - zero)[1]
    assert 0 <= of_decoy - one <= distance + 1e-12
    return float(one), float(of_decoy), float(two)


def lacking_overlap(of_signal: float, of_decoy: float) -> float:
    """1 - |<signal|decoy>|^2 of pure wave packets that let Eve have these two arrival probabilities.

    She projects on one state; the packets then lie the difference of the two angles apart, and no other
    measurement does it with less.
    """
    return math.sin(math.asin(math.sqrt(of_decoy)) - math.asin(math.sqrt(of_signal))) ** 2


def _arrivals(link: Link) -> tuple[Attack, Attack, Attack]:
    return by_arrival(link, {}), by_arrival(link, {1: 1.0}), by_arrival(link, {2: 1.0})


def rows_of(source: SourceModel, signal: Attack, decoy: Attack, pulses: float) -> list[ClassCounts]:
    """The rows of a block when the decoy is treated by itself."""
    pairs = zip(shown(source, signal, pulses), shown(source, decoy, pulses), strict=True)
    return [other if own.class_name == "decoy" else own for own, other in pairs]


def unknown_of_signal(source: SourceModel, signal: Attack, pulses: float) -> dict[str, float]:
    """Entropy of the keyed signal bits of each basis given Eve."""
    bits = per_class(source, signal, "unknown")[:, 0] * source.probabilities[0] * pulses
    return {basis: float(bits[b]) * MATCHED[basis] for b, basis in enumerate("ZX")}
