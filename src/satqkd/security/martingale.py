r"""Variable-length key from weights fixed before the block: one event, good while bases and classes are told.

With weights c, a, x_0, theta that `WeightSet.verify` accepts, e to the sum of all slots' weights is a
nonnegative supermartingale under any adaptive attack, so (Ville) it exceeds :math:`1/\varepsilon` at any time
with probability at most :math:`\varepsilon`. Else the key-basis string of keyed single photons keeps

.. math:: \alpha N_{K,1} - \beta N_{ph} \;\ge\; G =
    \frac{\sum_k c_k n_{K,k} - \sum_k a_k m_{T,k} - \ln(1/\varepsilon)}{\theta}, \\
    \ell=\lfloor G-\lambda_{EC}-2\log_2(1/2\varepsilon_{PA})-\log_2(2/\varepsilon_{EV})\rfloor .

Of J sets the best counts, each failing with probability :math:`\varepsilon_{AT}^2/J`. The derivation is our
own and has not been reviewed outside: docs/design/martingale.md. Holds for deferred announcement as well.
"""

import math
from itertools import product

import numpy as np

from satqkd.errors import ConfigError
from satqkd.security.problem import BasisProblem, Terms
from satqkd.security.source import Floats, Interval, SourceModel
from satqkd.security.variable import budget
from satqkd.security.weight_choice import around, ladder
from satqkd.security.weights import MARGIN, WeightSet, check_photon_numbers

PASSIVE_WIDTH = 1e-3
"""Least width of a passive receiver's test share: no splitter and no pair of arms is known better."""


def martingale(problem: BasisProblem) -> Terms:
    """Terms of the length for one keyed basis. Every set is verified each time it is evaluated.

    Sets: `problem.weights`; without them sets around `problem.foretold`; without that the `ladder` of the
    source's settings. Raises ConfigError for weights that do not hold and for receivers not covered.
    """
    share = known_test_share(problem)
    sets = weight_sets(problem)
    split = budget(problem.epsilon_secrecy, events=len(sets))
    bits = [
        secret_bits_lower(
            each,
            problem.source,
            problem.keyed,
            share,
            detections=problem.key.detections,
            errors=problem.test.errors,
            epsilon=split.epsilon_event,
        )
        for each in sets
    ]
    best = max(range(len(sets)), key=bits.__getitem__)
    claim = max(g / each.alpha for g, each in zip(bits, sets, strict=True))
    entropy = 0.0 if _contradicted(problem, claim) else max(0.0, bits[best])
    amplification = 2 * math.log2(1 / (2 * split.epsilon_pa))
    verification = math.log2(2 / problem.epsilon_correctness)
    length = entropy - problem.leaked_bits - amplification - verification
    chosen = sets[best]
    return {
        "secret_bits": max(0, math.floor(length)),
        "entropy_bits": entropy,
        "leaked_bits": problem.leaked_bits,
        "amplification_bits": amplification,
        "verification_bits": verification,
        "statements": [
            {
                "what": f"sum of weights of set {j}",
                "seen": each.exponent(problem.key.detections, problem.test.errors),
                "rule": "secret bits before leak at least",
                "value": value,
            }
            for j, (each, value) in enumerate(zip(sets, bits, strict=True))
        ],
        "weight_set": best,
        "weights": {"key_detections": list(chosen.key), "test_errors": list(chosen.errors)},
        "tangent_error_rate": chosen.error_rate,
        "alpha": chosen.alpha,
        "beta": chosen.beta,
        "theta": chosen.theta,
        "log_failure": -math.log(split.epsilon_event),
        "test_share": list(share),
        "epsilon_pa": split.epsilon_pa,
        "epsilon_at": split.epsilon_at,
        "epsilon_ev": problem.epsilon_correctness,
        "events": split.events,
        "epsilon_event": split.epsilon_event,
    }


def secret_bits_lower(
    weights: WeightSet,
    source: SourceModel,
    keyed: tuple[bool, ...],
    test_share: Interval,
    *,
    detections: Floats,
    errors: Floats,
    epsilon: float,
) -> float:
    r"""(III): :math:`G \le \alpha N_{K,1}-\beta N_{ph}` but for epsilon, before leak and fixed costs.

    detections, errors: of the key and of the test basis, shape (classes,). Raises ConfigError unless the
    weights hold. May be negative.
    """
    weights.verify(source, keyed, test_share)
    return (weights.exponent(detections, errors) + math.log(epsilon)) / weights.theta


def single_photons_lower(
    weights: Floats, source: SourceModel, keyed: tuple[bool, ...], *, detections: Floats, epsilon: float
) -> float:
    r"""(I): keyed single photons, at least :math:`(\sum_k c_k n_{K,k} - \ln(1/\varepsilon))/\theta`.

    weights: c, shape (classes,); theta is the least that holds. Fails with probability <= epsilon. Raises
    ConfigError unless c holds.
    """
    check_photon_numbers("key", weights - MARGIN, source)
    mask, joint = np.array(keyed), _corners(source)
    gained = joint * np.exp(weights)
    rest = joint.sum(axis=1) - gained[:, ~mask].sum(axis=1)
    most = float((gained[:, mask].sum(axis=1) / rest).max())
    if not (rest.min() > 0 and most > 1):
        raise ConfigError(
            f"weights key: expected more weight on keyed single photons, got {weights.tolist()}"
        )
    return (float((weights - 2 * MARGIN) @ detections) + math.log(epsilon)) / math.log(most)


def phase_errors_upper(
    weights: Floats,
    source: SourceModel,
    keyed: tuple[bool, ...],
    test_share: Interval,
    *,
    errors: Floats,
    epsilon: float,
) -> float:
    r"""(II): phase errors of keyed single photons, at most :math:`(\ln(1/\varepsilon)+\sum_k a_k m_{T,k})/u`.

    weights: a, shape (classes,); u is the largest that holds. Fails with probability <= epsilon. Raises
    ConfigError unless a holds.
    """
    check_photon_numbers("errors", -weights - MARGIN, source)
    mask, joint = np.array(keyed), _corners(source)
    total, key = joint.sum(axis=1), joint[:, mask].sum(axis=1)
    ratios = [
        (total - t * (joint @ np.exp(-weights)) - (1 - t) * (total - key)) / ((1 - t) * key)
        for t in test_share
    ]
    least = float(np.min(ratios))
    if not least > 1:
        raise ConfigError(f"weights errors: expected more weight on single photons, got {weights.tolist()}")
    return (float((weights + 2 * MARGIN) @ errors) - math.log(epsilon)) / math.log(least)


def known_test_share(problem: BasisProblem) -> Interval:
    """Limits of the probability that a matched round is a test round; ConfigError if nobody vouches for it.

    A passive receiver is covered only at an even split, whose limits must hold for any number of photons that
    Eve sends on, at every detector's efficiency, background included: that nobody proves here.
    """
    share = problem.test_share
    if share is None:
        raise ConfigError(
            "receiver x_share: expected the lowest and highest probability that a matched round is one of "
            "basis X, which martingale bounds take instead of counting rounds, got none; give key_length a "
            "ReceiverModel with x_share"
        )
    if problem.receiver.basis_choice == "passive" and not _even(problem.receiver.splitter_x_share):
        raise ConfigError(
            "receiver splitter_x_share: expected for a passive basis choice limits on both sides of 1/2, at "
            f"least {PASSIVE_WIDTH:g} apart and valid for several photons at once (a station's "
            f"`limits.basis_spread`), got {problem.receiver.splitter_x_share}; behind an uneven splitter "
            "test rounds of such light are no fair sample: choose bases actively"
        )
    return share


def _even(splitter: Interval | None) -> bool:
    """Whether a splitter is vouched for as even, and not as better known than any is."""
    return (
        splitter is not None
        and splitter[0] < 0.5 < splitter[1]
        and splitter[1] - splitter[0] >= PASSIVE_WIDTH
    )


def weight_sets(problem: BasisProblem) -> tuple[WeightSet, ...]:
    """The sets in use: given, around what was foretold, or the ladder. ConfigError as `known_test_share`."""
    share = known_test_share(problem)
    if problem.weights:
        return problem.weights
    epsilon = budget(problem.epsilon_secrecy, events=1).epsilon_event
    if problem.foretold is None:
        return ladder(problem.source, problem.keyed, share, epsilon=epsilon)
    return around(problem.source, problem.keyed, share, foretold=problem.foretold, epsilon=epsilon)


def _contradicted(problem: BasisProblem, singles: float) -> bool:
    """Whether any class detected less than its share of so many keyed single photons."""
    source, others = problem.source, tuple(not each for each in problem.keyed)
    low, high = source.joint_bounds(1)
    most_keyed = 1 - source.share_of(others, 1) if any(others) else 1.0
    shares = low / (low + high.sum() - high) / most_keyed
    return bool((shares * singles > problem.key.detections).any())


def _corners(source: SourceModel) -> Floats:
    """w_{k,1} at every corner of the intensities' intervals: shape (corners, classes)."""
    low, high = source.joint_bounds(1)
    return np.array(list(product(*zip(low, high, strict=True))))
