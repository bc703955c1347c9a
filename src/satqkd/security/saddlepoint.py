r"""Logarithms of discrete probabilities that keep their digits at any size, and the tails that follow them.

.. math:: \ln n! = n\ln n - n + \ell(n), \qquad
    \ln\Pr[x] = \sum \pm\ell - \sum_{\rm cells} E\,\varphi\!\left(\frac{x-E}{E}\right), \qquad
    \varphi(u) = (1+u)\ln(1+u)-u

with x the content of a cell and E its expectation. A sum of terms none of which is negative loses nothing,
where log-gamma functions of 1e10 would leave four digits. Source: C. Loader, "Fast and accurate computation
of binomial probabilities" (2000). Plain floats; knows no epsilon and no bound.
"""

import math

LOG_MARGIN = 1e-9
"""A bound accepts a tail whose computed logarithm is below that of epsilon by this much: more than ten times
the error of the computation for up to 1e10 trials (docs/design/bounds.md)."""
_SMALLEST_SERIES = 16.0
_SERIES_DEVIATION = 0.1
_TWO_PI = 2.0 * math.pi
_ODD = range(3, 31, 2)  # half of them do: each term is below 0.003 of the one before
_AGREEMENT = 1e-12
_MAXIMUM_LEVELS = 400  # even: the last convergent is one from above


def log_excess(count: float) -> float:
    r"""What ln n! has beyond n ln n - n:  :math:`\ell(n)=\frac12\ln(2\pi n)+\frac1{12n}-\dots`, 0 at n = 0.

    count: >= 0, whole or not (then by the gamma function). Absolute error below 3e-14.
    """
    if count < _SMALLEST_SERIES:
        return math.lgamma(count + 1.0) - count * math.log(count) + count if count > 0.0 else 0.0
    y = 1.0 / (count * count)
    series = (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - y / 1188.0) * y) * y) * y) / count
    return 0.5 * math.log(_TWO_PI * count) + series


def deviance(count: float, mean: float, gap: float) -> float:
    r"""E phi(gap/E) of the module's formula: x ln(x/E) - (x - E), never negative, few roundings.

    gap: x - E, given because the caller knows it better than a difference of rounded numbers does.
    """
    if count <= 0.0:
        return mean
    if mean <= 0.0:
        return math.inf
    if abs(gap) > _SERIES_DEVIATION * mean:
        return count * math.log(count / mean) - gap
    v = gap / (count + mean)
    v_squared = v * v
    term = 2.0 * count * v
    total = gap * v
    for divisor in _ODD:
        term *= v_squared
        longer = total + term / divisor
        if longer == total:
            break
        total = longer
    return total


def log_binomial(count: float, trials: float, *, mean: float, others: float, gap: float) -> float:
    """Natural logarithm of the probability of `count` successes in `trials`, whole or not (gamma function).

    mean, others: expected successes and failures; gap: count - mean. Each comes with its own digits.
    """
    failures = trials - count
    exponent = deviance(count, mean, gap) + deviance(failures, others, -gap)
    return log_excess(trials) - log_excess(count) - log_excess(failures) - exponent


def tail_sum(count: float, others: float, ratio: float) -> float:
    r"""The sum 1 + r_1 + r_1 r_2 + ... of a binomial tail in units of its first probability, from above.

    .. math:: r_{i+1} = \text{ratio}\,\frac{(k-i)\,M}{k\,(M+i)}, \qquad
        \text{the sum} = {}_2F_1(-k, 1; M; -\text{ratio}\,M/k)

    k = count: how often the tail can step away; M = others > 0. Gauss's continued fraction, contracted, has
    positive elements only as long as ratio < 1 and k is whole, so its convergents lie above and below the sum
    in turn; one from above is returned. A ratio of 1 or more, on or before the mode, gives infinity.
    """
    k, M = count, others
    if ratio >= 1.0:
        return math.inf
    if k <= 0.0 or ratio <= 0.0:
        return 1.0
    scale = ratio * M / k
    odd = ratio
    C = value = 1.0 - ratio
    D = 0.0
    for level in range(1, _MAXIMUM_LEVELS + 1):
        place = M + (2.0 * level - 2.0)
        even = level * (M + k + level - 1.0) * scale / (place * (place + 1.0))
        product = odd * even
        odd = (k - level) * (M + level - 1.0) * scale / ((place + 1.0) * (place + 2.0))
        term = 1.0 + even - odd
        D = 1.0 / (term + product * D)
        C = term + product / C
        change = C * D
        value *= change
        if product == 0.0 or (level % 2 == 0 and abs(change - 1.0) < _AGREEMENT):
            break
    return 1.0 / value
