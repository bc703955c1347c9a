"""Attacks on the link as functions of photon number, and what a block under attack shows and hides.

Each is built from what `eavesdropping` lets Eve do, for the link both ends expect and the source she knows.
`docs/attacks.md` tells them in words; `attack_table.py` prints what the bounds make of them.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from eavesdropping import (
    UNTOUCHED,
    Attack,
    Effect,
    Link,
    Pair,
    arrives,
    cloned,
    dark,
    effect,
    measured,
    operated,
    per_class,
    shifted,
    unambiguous,
)

from satqkd.results import ClassCounts
from satqkd.security import SourceModel, expected_counts

MATCHED = {"Z": 0.25, "X": 0.25}
MICIUS_PULSES = 2.73e10
MICIUS_LINK = Link(transmittance=3.06e-4, background=3e-7, optical_error=0.0105)
"""About what Micius showed in 2017: 1.67 million sifted signal bits of these pulses, 1.1 % wrong."""
Z, X, BETWEEN = 0.0, math.pi / 4, math.pi / 8
"""Angles of bases, and of the one halfway."""


def no_attack(link: Link) -> Attack:
    """Loss and dark clicks of nature, in nobody's hand."""

    def acts(n: int) -> Effect:
        return arrives(link, 1 - (1 - link.transmittance) ** n, effect(1.0, 0.0, 1.0), lost=1.0)

    return acts


def beam_splitting(link: Link, single: Effect | None = None) -> Attack:
    """Loss replaced by a beam splitter whose other arm Eve keeps until bases are told.

    single: what becomes of single photons that arrive; by default nothing.
    """
    photon = operated(UNTOUCHED) if single is None else single

    def acts(n: int) -> Effect:
        if n == 0:
            return dark(link, unknown=1.0)
        if n == 1:
            return arrives(link, link.transmittance, photon)
        whole, none = link.transmittance**n, (1 - link.transmittance) ** n
        return arrives(link, 1 - none, effect(1.0, 0.0, whole / (1 - none)))

    return acts


def intercepted(link: Link, fraction: float, *angles: float) -> Attack:
    """Beam splitting, and this fraction of single photons measured in one of these bases and sent again."""
    single = (1 - fraction) * operated(UNTOUCHED)
    for angle in angles:
        single = single + (fraction / len(angles)) * operated(measured(angle))
    return beam_splitting(link, single)


def by_arrival(
    link: Link, arrivals: dict[int, float], *, many: float = 0.0, single: Effect | None = None
) -> Attack:
    """Chosen probabilities that light arrives of n photons. Of two and more Eve keeps one.

    arrivals: by n; for n = 0 of a photon with a random bit that Eve sends.  many: for n not named.
    """
    photon = operated(UNTOUCHED) if single is None else single

    def acts(n: int) -> Effect:
        arrival = arrivals.get(n, many if n else 0.0)
        if n == 0:
            return effect(arrival + (1 - arrival) * link.background, 0.5, 1.0)
        return arrives(link, arrival, photon if n == 1 else effect(1.0))

    return acts


def splitting(link: Link, source: SourceModel, passed: float = 0.0) -> Attack:
    """Photon-number splitting: of two and more photons one is kept and the rest sent on without loss.

    As often as the signal's expected detections need.  passed: share of the single photons let through.
    """

    def with_many(many: float) -> Attack:
        return by_arrival(link, {1: passed * link.transmittance}, many=many)

    (many,) = _matching(source, no_attack(link), lambda v: with_many(*v), unknowns=1)
    return with_many(many)


def hidden_splitting(link: Link, source: SourceModel, single: Effect | None = None) -> Attack:
    """Only one and two photons arrive, in the proportion that leaves all counts and errors as expected.

    single: what becomes of single photons that arrive; by default nothing.
    """
    one, two = _matching(source, no_attack(link), lambda v: by_arrival(link, {1: v[0], 2: v[1]}), unknowns=2)
    return by_arrival(link, {1: one, 2: two}, single=single)


def hidden(link: Link, source: SourceModel) -> Attack:
    """The worst that shows the expected counts of signal and decoy, and the decoy's errors.

    Splitting is hidden, and single photons are cloned until the decoy shows the errors of the receiver's
    optics, which Eve has put right.
    """
    clean, wanted = replace(link, optical_error=0.0), no_attack(link)

    def with_error(error: float) -> Attack:
        return hidden_splitting(clean, source, operated(cloned(error)))

    least, most = (per_class(source, with_error(e), "wrong")[0, 1] for e in (0.0, 0.25))
    return with_error(0.25 * (per_class(source, wanted, "wrong")[0, 1] - least) / (most - least))


def injecting(link: Link, source: SourceModel, passed: float = 0.0) -> Attack:
    """Photons of random bits for empty pulses, and split ones, stand for single photons in both gains.

    passed: share of the single photons let through.
    """

    def acts(v: Pair) -> Attack:
        return by_arrival(link, {0: v[0], 1: passed * link.transmittance}, many=v[1])

    return acts(_matching(source, no_attack(link), acts, unknowns=2))


def discriminating(link: Link, *, sent_on: tuple[float, float]) -> Attack:
    """Beam splitting up to two photons; of three and more only pulses that are told without doubt.

    sent_on: how many of those, of Z and of X: the gain depends on the basis.
    """
    below = beam_splitting(link)

    def acts(n: int) -> Effect:
        told = np.array(sent_on) * unambiguous(n)
        return (
            below(n)
            if n < 3
            else told * arrives(link, 1.0, effect(1.0)) + (1 - told) * dark(link, unknown=0.0)
        )

    return acts


def mixed(*parts: tuple[float, Attack]) -> Attack:
    """Parts of a pass, by their share of the pulses."""

    def acts(n: int) -> Effect:
        first, *rest = (share * attack(n) for share, attack in parts)
        return sum(rest, start=first)

    return acts


def in_high_loss(link: Link, attack: Callable[[Link], Attack]) -> Attack:
    """Attacked while the loss is ten times what it is in the other half of the pass, whose mean is `link`."""
    near, far = (replace(link, transmittance=link.transmittance * share) for share in (20 / 11, 2 / 11))
    return mixed((0.5, beam_splitting(near)), (0.5, attack(far)))


def _matching(source: SourceModel, wanted: Attack, acts: Callable[[Pair], Attack], *, unknowns: int) -> Pair:
    """Arrival probabilities with which signal, then decoy, are detected as often as wanted; cut to [0, 1]."""

    def gains(arrivals: Pair) -> Pair:
        return per_class(source, acts(arrivals), "detected")[0, :unknowns]

    zero = gains(np.zeros(unknowns))
    columns = np.stack([gains(unit) - zero for unit in np.eye(unknowns)], axis=1)
    target = per_class(source, wanted, "detected")[0, :unknowns]
    return np.clip(np.linalg.solve(columns, target - zero), 0, 1)


ATTACKS: dict[str, Callable[[Link, SourceModel], Attack]] = {
    "none": lambda link, _: no_attack(link),
    "beam splitting": lambda link, _: beam_splitting(link),
    "intercept-resend, 10 %": lambda link, _: intercepted(link, 0.1, Z, X),
    "intercept-resend, all": lambda link, _: intercepted(link, 1.0, Z, X),
    "intercept-resend halfway, 10 %": lambda link, _: intercepted(link, 0.1, BETWEEN),
    "intercept-resend in Z, 5 %": lambda link, _: intercepted(link, 0.05, Z),
    "intercept-resend in Z, at high loss": lambda link, _: in_high_loss(
        link, lambda far: intercepted(far, 1.0, Z)
    ),
    "cloner, 3 %": lambda link, _: beam_splitting(link, operated(cloned(0.03))),
    "splitting": lambda link, source: splitting(link, source),
    "splitting, half of singles": lambda link, source: splitting(link, source, 0.5),
    "splitting, at high loss": lambda link, source: in_high_loss(link, lambda far: splitting(far, source)),
    "hidden splitting and cloner": hidden,
    "hidden, optics 3 %": lambda link, source: hidden(replace(link, optical_error=0.03), source),
    "vacuum injection and splitting": injecting,
    "vacuum injection, half of singles": lambda link, source: injecting(link, source, 0.5),
    "discrimination, sent on if Z": lambda link, _: discriminating(link, sent_on=(2e-3, 0.0)),
    "discrimination, all told": lambda link, _: discriminating(link, sent_on=(1.0, 1.0)),
}
"""Attacks that the bounds must price rightly, for a link and a source."""


def knowing_all(link: Link) -> Attack:
    """Blinded detectors that click as Eve bids, or settings read from the sender: counts are as expected."""
    return lambda n: replace(no_attack(link)(n), unknown=np.zeros(2))


def time_shifted(link: Link, source: SourceModel, spread: float) -> Attack:
    """Hidden splitting, and single photons moved to where one detector of the basis is better."""
    return hidden_splitting(link, source, shifted(spread))


def shown(source: SourceModel, attack: Attack, pulses: float) -> list[ClassCounts]:
    """The rows of a block of this many pulses, whole counts."""
    gain, wrong = (per_class(source, attack, field) for field in ("detected", "wrong"))
    error = np.divide(wrong, gain, out=np.zeros_like(gain), where=gain > 0)
    return expected_counts(pulses=pulses, source=source, gain=gain, error=error, matched_probability=MATCHED)


def unknown_bits(
    source: SourceModel, attack: Attack, pulses: float, classes: tuple[str, ...]
) -> dict[str, float]:
    """Entropy of the sender's keyed string of each basis given Eve, before anything is leaked."""
    keyed = [name in classes for name in ("signal", "decoy", "vacuum")[: source.classes]]
    bits = per_class(source, attack, "unknown") @ (source.shares * keyed)
    return {basis: pulses * MATCHED[basis] * float(bits[b]) for b, basis in enumerate("ZX")}
