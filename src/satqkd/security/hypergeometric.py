r"""Errors nobody looked at, bounded by those of a random sample: the exact hypergeometric tail.

With K errors among N = n_T + n_K rounds, of which n_T were tested, m tested ones are wrong with probability

.. math:: \Pr[m] = \binom{K}{m}\binom{N-K}{n_T-m}\Big/\binom{N}{n_T}
    = \exp\Big(\sum_{\rm margins}\ell - \ell(N) - \sum_{\rm cells}(\ell + E\,\varphi)\Big)

(letters of `saddlepoint`; the cells are those of the table "tested or not" by "wrong or not", which all lie
equally far from expectation). Whole numbers in. Knows no photons and no budget of epsilons.
"""

import math

from satqkd.security import surrogate
from satqkd.security.saddlepoint import LOG_MARGIN, deviance, log_excess, tail_sum

_DIRECT_TERMS = 32
_NEGLIGIBLE = 1e-16


def phase_errors_upper(test_errors: int, test_rounds: int, key_rounds: int, *, epsilon: float) -> int:
    r"""Most errors unseen in `key_rounds` when a random sample, the `test_rounds`, showed `test_errors`.

    The largest j with :math:`\Pr[\mathrm{HG}(n_T+n_K,\, m+j,\, n_T) \le m] > \varepsilon`, HG the number
    of marked items among n_T drawn. For every true total the numbers (m, j) beyond it have probability
    <= epsilon. Not decreasing in m, not increasing in n_T (docs/design/bounds.md). Returns 0..key_rounds.
    For an epsilon above 0.3 it may be larger than that.

    The logarithm of the tail is concave in j, so from an excluded j a step downward of (what is missing to
    epsilon) / (rise to j - 1) ends at an excluded j again: Newton's method, whole and never too far.
    """
    m, n, key = int(test_errors), int(test_rounds), int(key_rounds)
    if key <= 0 or m >= n:
        return max(key, 0)
    limit = math.log(epsilon) - LOG_MARGIN
    j = min(key, math.ceil(surrogate.phase_errors_upper(m, n, key, epsilon=epsilon)))
    log_tail, total = _log_tail(m, n, key, j)
    while log_tail > limit:
        if j == key:
            return key
        j = min(key, 2 * j + 1)
        log_tail, total = _log_tail(m, n, key, j)
    while True:
        rise = math.log1p(j * (n - m) / ((m + j) * (key - j + 1) * total))
        step = int((limit - log_tail) / rise)
        while step > 0 and (reached := _log_tail(m, n, key, j - step))[0] > limit:
            step //= 2
        if step <= 0:
            return j - 1
        j -= step
        log_tail, total = reached


def log_hypergeometric_cdf(k: int, population: int, marked: int, drawn: int) -> float:
    """Natural logarithm of Pr[at most k marked items among `drawn`], too small by LOG_MARGIN / 10 at most.

    Any k the draw can show. From the mode upward it answers 0.0 = log 1.
    """
    return _log_tail(k, drawn, population - drawn, marked - k)[0]


def _log_tail(m: int, n: int, key: int, j: int) -> tuple[float, float]:
    """ln Pr[at most m of the m + j wrong rounds are among the n tested], and its sum in units of Pr[m]."""
    total = _tail_sum(m, n - m, key - j, j)
    if total == math.inf:
        return 0.0, total
    return min(0.0, _log_probability(m, n, key, j) + math.log(total)), total


def _log_probability(m: int, n: int, key: int, j: int) -> float:
    wrong, right, population = m + j, n + key - m - j, n + key
    gap = (m * key - j * n) / population  # exact products: rounded once
    exponent = (
        deviance(m, wrong * n / population, gap)
        + deviance(j, wrong * key / population, -gap)
        + deviance(n - m, right * n / population, -gap)
        + deviance(key - j, right * key / population, gap)
    )
    margins = log_excess(wrong) + log_excess(right) + log_excess(n) + log_excess(key)
    cells = log_excess(m) + log_excess(j) + log_excess(n - m) + log_excess(key - j)
    return margins - log_excess(population) - cells - exponent


def _tail_sum(m: int, tested_right: int, key_right: int, j: int) -> float:
    """1 + Pr[m-1]/Pr[m] + ..., from above; infinity on or before the mode.

    Term by term first. What is left is less than the sum of a binomial tail whose ratios agree at the next
    term in value and logarithmic slope: the M below is their harmonic sum (docs/design/bounds.md).
    """
    term = total = 1.0
    for step in range(_DIRECT_TERMS):
        ratio = (m - step) * (key_right - step) / ((j + 1 + step) * (tested_right + 1 + step))
        if ratio >= 1.0:
            return math.inf
        term *= ratio
        total += term
        if term <= _NEGLIGIBLE * total:
            return total
    left, a = m - _DIRECT_TERMS, key_right - _DIRECT_TERMS
    if left <= 0 or a <= 0:
        return total
    b, c = j + 1 + _DIRECT_TERMS, tested_right + 1 + _DIRECT_TERMS
    return total + term * (tail_sum(left, 1.0 / (1.0 / a + 1.0 / b + 1.0 / c), left * a / (b * c)) - 1.0)
