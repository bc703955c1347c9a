"""How few or how many of a number of like coins can show heads: exact binomial quantiles.

Whole numbers, one probability for all. Knows no photons and no budget of epsilons.
"""

import math

from satqkd.security import surrogate
from satqkd.security.saddlepoint import LOG_MARGIN, log_binomial, tail_sum

_SMALLEST = 1e-200
"""Rarer heads are taken as none where few are feared, as this rare where many are: odds stay finite."""


def binomial_lower(trials: float, probability: float, *, epsilon: float) -> int:
    r"""Largest b with :math:`\Pr[\mathrm{Bin}(n, q) < b] \le \varepsilon`; not decreasing in n.

    trials: n, or a lower bound of it: the whole part counts. Returns 0..n.
    """
    n = int(trials)
    if probability < _SMALLEST:
        return 0
    start = surrogate.binomial_lower(n, probability, epsilon=epsilon)
    numerator, denominator = float(probability).as_integer_ratio()
    return _unlikely_below(n, numerator, denominator, math.floor(start), epsilon)


def binomial_upper(trials: float, probability: float, *, epsilon: float) -> int:
    r"""Smallest b with :math:`\Pr[\mathrm{Bin}(n, q) > b] \le \varepsilon`; not decreasing in n.

    trials: n, or an upper bound of it: the whole part counts. Returns 0..n.
    """
    n = int(trials)
    if 0.0 < probability < _SMALLEST:
        probability = _SMALLEST
    start = n - surrogate.binomial_upper(n, probability, epsilon=epsilon)
    numerator, denominator = float(probability).as_integer_ratio()
    return n - _unlikely_below(n, denominator - numerator, denominator, math.floor(start), epsilon)


def trials_upper(seen: int, *, probability: float, epsilon: float) -> int:
    r"""Most trials of this probability, in (0, 1], that may have shown as few successes as `seen`.

    Largest n with :math:`\Pr[\mathrm{Bin}(n, q) \le x] > \varepsilon`, never too small; not decreasing in x.
    ln Pr is concave in n (the wait for x + 1 successes has log-concave probabilities), so Newton's method
    from an excluded n downward is whole and never too far, as in `hypergeometric`.
    """
    x, (numerator, denominator) = int(seen), float(probability).as_integer_ratio()
    if numerator == denominator:
        return x
    limit, odds = math.log(epsilon) - LOG_MARGIN, numerator / (denominator - numerator)
    n = max(x + 1, math.ceil(surrogate.trials_upper(x, probability=probability, epsilon=epsilon)))
    log_tail, total = _log_tail(x, n, numerator, denominator)
    while log_tail > limit:
        n *= 2
        log_tail, total = _log_tail(x, n, numerator, denominator)
    while True:
        rise = math.log1p(odds * (n - x) / (n * total))
        step = min(int((limit - log_tail) / rise), n - x - 1)
        while step > 0 and (reached := _log_tail(x, n - step, numerator, denominator))[0] > limit:
            step //= 2
        if step <= 0:
            return n - 1
        n -= step
        log_tail, total = reached


def _unlikely_below(n: int, numerator: int, denominator: int, start: int, epsilon: float) -> int:
    """Largest b with Pr[Bin(n, p) < b] <= epsilon, p a fraction; start: a guess of b, rather too small.

    With k = b - 1, ln Pr[Bin <= k] is concave in k, so from an allowed k a step of (what is missing to
    epsilon) / (rise to k + 1) ends at an allowed k again: Newton's method, whole and never too far.
    """
    if n <= 0 or numerator in (0, denominator):
        return n if numerator else 0
    limit = math.log(epsilon) - LOG_MARGIN
    odds = numerator / (denominator - numerator)
    k = min(max(start, 0), n - 1)
    log_tail, total = _log_tail(k, n, numerator, denominator)
    while log_tail > limit:
        if k == 0:
            return 0
        k //= 2
        log_tail, total = _log_tail(k, n, numerator, denominator)
    while True:
        rise = math.log1p((n - k) * odds / ((k + 1) * total))
        step = min(int((limit - log_tail) / rise), n - 1 - k)
        while step > 0 and (reached := _log_tail(k + step, n, numerator, denominator))[0] > limit:
            step //= 2
        if step <= 0:
            return k + 1
        k += step
        log_tail, total = reached


def _log_tail(k: int, n: int, numerator: int, denominator: int) -> tuple[float, float]:
    """ln Pr[Bin(n, p) <= k], and that sum in units of Pr[k]; every difference exact before it is rounded."""
    rest = denominator - numerator
    total = tail_sum(k, n - k + 1, k * (rest / numerator) / (n - k + 1))
    if total == math.inf:
        return 0.0, total
    first = log_binomial(
        k,
        n,
        mean=n * numerator / denominator,
        others=n * rest / denominator,
        gap=(k * denominator - n * numerator) / denominator,
    )
    return min(0.0, first + math.log(total)), total
