"""Secret bits of foretold counts inside a search: bounds as they are, or forms of them that cost less.

`variable-sharp` has a form that never gives more than the bound itself; `variable-martingale` takes weights
that are chosen less carefully than before a block. What a search finds is recomputed with `key_length`.
"""

import math
from collections.abc import Callable

import numpy as np

from satqkd.records import BASIS_NAMES
from satqkd.security.bounds import BOUNDS
from satqkd.security.channel import SourceSettings
from satqkd.security.martingale import known_test_share
from satqkd.security.plan import Policy
from satqkd.security.problem import BasisCounts, BasisProblem, Terms
from satqkd.security.quick_sharp import QuickSharp
from satqkd.security.source import Floats
from satqkd.security.variable import budget
from satqkd.security.weight_choice import Foretold, quick_weights

Bits = Callable[[SourceSettings, Floats, Floats, Policy], Floats]
"""Bits before the cut at 0, of detections and errors of shape (losses, 2, classes); shape (losses,)."""
OneBasis = Callable[[Floats, Floats, int], Floats]
"""The same for settings and a policy that are given, and one keyed basis by its index."""

_SLOTS_PER_DETECTION = 1000
"""Where a bound wants the number of slots, which hardly matters to it."""


def quick_bits(settings: SourceSettings, detections: Floats, errors: Floats, policy: Policy) -> Floats:
    """Secret bits of tables of expected counts, the keyed bases together; below 0 where costs exceed them.

    detections, errors: shape (losses, 2, classes), not whole, in order of loss.  Returns shape (losses,).
    Raises ConfigError for what the bound refuses.
    """
    one_basis = _FORMS.get(policy.bound, _plain)(settings, policy)
    total = np.zeros(len(detections))
    for basis in policy.keyed_bases:
        total += one_basis(detections, errors, BASIS_NAMES.index(basis))
    return total


def _sharp(settings: SourceSettings, policy: Policy) -> OneBasis:
    bound = QuickSharp(settings.model, policy.keyed(settings), policy.share, policy.receiver_at(settings))

    def bits(detections: Floats, errors: Floats, key: int) -> Floats:
        leaks = _leaks(settings, policy, detections, errors, key).tolist()
        tables = zip(detections.tolist(), errors.tolist(), leaks, strict=True)
        return np.array([bound.bits(n[key], m[key], n[1 - key], m[1 - key], leak) for n, m, leak in tables])

    return bits


def _martingale(settings: SourceSettings, policy: Policy) -> OneBasis:
    """Sets for three of the losses, of which each loss takes the best: fewer and rougher than for a block."""

    def bits(detections: Floats, errors: Floats, key: int) -> Floats:
        share = known_test_share(_problem(settings, policy, detections[0], errors[0], key))
        n, m = detections[:, key], errors[:, 1 - key]
        chosen = sorted({len(n) // 4, len(n) // 2, 3 * len(n) // 4})
        split = budget(policy.share.epsilon_secrecy, events=len(chosen))
        eps = split.epsilon_event
        sets = [
            quick_weights(
                settings.model, policy.keyed(settings), share, foretold=Foretold(n[k], m[k]), epsilon=eps
            )
            for k in chosen
        ]
        entropies = [(n @ np.array(w.key) - m @ np.array(w.errors) + math.log(eps)) / w.theta for w in sets]
        costs = 2 * math.log2(1 / (2 * split.epsilon_pa)) + math.log2(2 / policy.share.epsilon_correctness)
        leaks = _leaks(settings, policy, detections, errors, key)
        return np.asarray(np.max(entropies, axis=0) - leaks - costs, dtype=np.float64)

    return bits


def _plain(settings: SourceSettings, policy: Policy) -> OneBasis:
    compute = BOUNDS[policy.bound].compute

    def bits(detections: Floats, errors: Floats, key: int) -> Floats:
        problems = [_problem(settings, policy, n, m, key) for n, m in zip(detections, errors, strict=True)]
        return np.array([_before_the_cut(compute(each)) for each in problems], dtype=np.float64)

    return bits


_FORMS: dict[str, Callable[[SourceSettings, Policy], OneBasis]] = {
    "variable-sharp": _sharp,
    "variable-martingale": _martingale,
}


def _problem(
    settings: SourceSettings, policy: Policy, detections: Floats, errors: Floats, key: int
) -> BasisProblem:
    test, receiver = 1 - key, policy.receiver_at(settings)
    return BasisProblem(
        source=settings.model,
        key=BasisCounts(detections[key], errors[key]),
        test=BasisCounts(detections[test], errors[test]),
        keyed=policy.keyed(settings),
        leaked_bits=float(_leaks(settings, policy, detections[None], errors[None], key)[0]),
        epsilon_secrecy=policy.share.epsilon_secrecy,
        epsilon_correctness=policy.share.epsilon_correctness,
        receiver=receiver,
        test_share=receiver.test_share(BASIS_NAMES[key]),
        foretold=Foretold(detections[key], errors[test]),
        pulses=_SLOTS_PER_DETECTION * math.ceil(float(detections.sum()) + 1),
    )


def _leaks(settings: SourceSettings, policy: Policy, detections: Floats, errors: Floats, key: int) -> Floats:
    keyed = np.array(policy.keyed(settings))
    sifted, wrong = (table[:, key] @ keyed for table in (detections, errors))
    return np.array([policy.leak(n, m) for n, m in zip(sifted.tolist(), wrong.tolist(), strict=True)])


def _before_the_cut(terms: Terms) -> float:
    costs = ("leaked_bits", "amplification_bits", "verification_bits")
    return float(terms["entropy_bits"] - sum(terms.get(name, 0.0) for name in costs))
