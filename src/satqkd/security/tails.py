"""Tails: from a count to what its expectation, or an unseen count, can be, up to a stated probability.

Each bound is one-sided and fails with probability at most the `epsilon` it is given, at any count and any
epsilon: an answer is returned only after the tail at that very number was evaluated, from above. Quick
stand-ins for searches are in `surrogate`. Knows nothing of photons, bases or keys. Sources: Clopper and
Pearson, Biometrika 26, 404 (1934); Hoeffding, Ann. Math. Stat. 27, 713 (1956), theorem 5, and J. Am. Stat.
Assoc. 58, 13 (1963).
"""

import math
from collections.abc import Callable

from satqkd.security import surrogate
from satqkd.security.binomial import binomial_lower, binomial_upper, trials_upper
from satqkd.security.hypergeometric import log_hypergeometric_cdf, phase_errors_upper
from satqkd.security.saddlepoint import LOG_MARGIN, log_binomial, tail_sum

__all__ = [
    "binary_entropy",
    "binomial_lower",
    "binomial_upper",
    "hoeffding_width",
    "log_hypergeometric_cdf",
    "mean_lower",
    "mean_upper",
    "phase_errors_upper",
    "secret_fraction",
    "shannon_bits",
    "trials_upper",
]

_LOG_TOLERANCE = 1e-10
_MAXIMUM_STEPS = 60


def binary_entropy(probability: float) -> float:
    """Shannon entropy of a coin in bits; 0 at 0 and 1.  probability in [0, 1]."""
    p = float(probability)
    if p <= 0.0 or p >= 1.0:
        return 0.0
    return -(p * math.log(p) + (1.0 - p) * math.log1p(-p)) / math.log(2.0)


def shannon_bits(sifted_bits: float, errors: float) -> float:
    """What perfect reconciliation of sifted bits with so many errors would tell: n h(m / n), 0 of none."""
    return sifted_bits * binary_entropy(errors / sifted_bits) if sifted_bits else 0.0


def secret_fraction(error_rate: float) -> float:
    """1 - h(e) for e below 1/2, and 0 from there on: more errors never mean more key."""
    return 1.0 - binary_entropy(error_rate) if error_rate < 0.5 else 0.0


def hoeffding_width(trials: float, *, epsilon: float) -> float:
    r"""Half-width :math:`\sqrt{(n/2)\ln(1/\varepsilon)}` of a sum of n variables in [0, 1]."""
    return math.sqrt(0.5 * trials * math.log(1.0 / epsilon))


def mean_lower(count: float, trials: float, *, epsilon: float) -> float:
    r"""Lower bound of the expectation of a sum of independent 0/1 variables, seen as `count` of `trials`.

    :math:`n B^{-1}(\varepsilon; x, n-x+1)`, at most x - 1: so far from the observation the binomial
    tail bounds the tail of unequal probabilities too (Hoeffding 1956). Fails with probability <= epsilon.
    Expected counts, which are not whole, are taken too (the formula says what is meant). For an epsilon above
    0.3 and millions of trials it may be lower than that. ValueError if count is not in 0..trials or epsilon
    not between 0 and 1.
    """
    _check(count, trials, epsilon)
    if count <= 1.0:
        return 0.0
    start = surrogate.mean_lower(count, trials, epsilon=epsilon) or min(0.5 * count, count - 1.0)
    return _nearest_mean(_at_least, count, trials, epsilon, start=start, farthest=0.0, nearest=count - 1.0)


def mean_upper(count: float, trials: float, *, epsilon: float) -> float:
    r"""Upper bound of the expectation of a sum of independent 0/1 variables, seen as `count` of `trials`.

    :math:`n B^{-1}(1-\varepsilon; x+1, n-x)`, at least x + 1 and at most n; see `mean_lower`.
    """
    _check(count, trials, epsilon)
    if count + 1.0 >= trials:
        return trials
    start = min(surrogate.mean_upper(count, trials, epsilon=epsilon), math.nextafter(trials, 0.0))
    return _nearest_mean(_at_most, count, trials, epsilon, start=start, farthest=trials, nearest=count + 1.0)


def _check(count: float, trials: float, epsilon: float) -> None:
    if not 0.0 <= count <= trials < math.inf:
        raise ValueError(f"bound of a mean: expected 0 <= count <= trials, got {count} of {trials}")
    if not 0.0 < epsilon < 1.0:
        raise ValueError(f"bound of a mean: expected an epsilon between 0 and 1, got {epsilon}")


def _nearest_mean(
    tail: Callable[[float, float, float], tuple[float, float]],
    count: float,
    trials: float,
    epsilon: float,
    *,
    start: float,
    farthest: float,
    nearest: float,
) -> float:
    """Mean as near to the count as its tail, at most epsilon, and `nearest` allow; `farthest` is always safe.

    Newton's method on the logarithm of the tail, which is concave in the mean: from wherever it starts it
    ends on the safe side of the root. A mean counts only if its own tail was evaluated.
    """
    limit = math.log(epsilon) - LOG_MARGIN
    safe, mean = farthest, start
    for _ in range(_MAXIMUM_STEPS):
        log_tail, slope = tail(count, trials, mean)
        missing = limit - log_tail
        if missing >= 0.0:
            safe = mean
            if missing <= _LOG_TOLERANCE:
                break
        moved, halfway = mean + (missing - 0.5 * _LOG_TOLERANCE) / slope, 0.5 * (mean + farthest)
        moved = min(max(moved, halfway), nearest) if slope > 0.0 else max(min(moved, halfway), nearest)
        if moved == mean and missing < 0.0:
            moved = math.nextafter(mean, farthest)
        if (moved - safe) * slope <= 0.0:
            break
        mean = moved
    return safe


def _at_least(count: float, trials: float, mean: float) -> tuple[float, float]:
    """ln Pr[at least `count` successes] of a binomial with this mean, and its derivative by the mean."""
    others = trials - mean
    ratio = (trials - count) * mean / ((count + 1.0) * others)
    total = tail_sum(trials - count, count + 1.0, ratio)
    first = log_binomial(count, trials, mean=mean, others=others, gap=count - mean)
    return min(0.0, first + math.log(total)), count / (mean * total)


def _at_most(count: float, trials: float, mean: float) -> tuple[float, float]:
    """ln Pr[at most `count` successes] of a binomial with this mean, and its derivative by the mean."""
    others = trials - mean
    ratio = count * others / ((trials - count + 1.0) * mean)
    total = tail_sum(count, trials - count + 1.0, ratio)
    first = log_binomial(count, trials, mean=mean, others=others, gap=count - mean)
    return min(0.0, first + math.log(total)), -(trials - count) / (others * total)
