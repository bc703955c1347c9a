"""Tails: from a count to what its expectation, or an unseen count, can be, up to a stated probability.

Each bound is one-sided and fails with probability at most the `epsilon` it is given. Inverse beta
functions are believed only after the tail at their answer was evaluated; otherwise bisection decides.
Knows nothing of photons, bases or keys. Sources: Clopper and Pearson, Biometrika 26, 404 (1934);
Hoeffding, Ann. Math. Stat. 27, 713 (1956), theorem 5, and J. Am. Stat. Assoc. 58, 13 (1963).
"""

import math
from collections.abc import Callable

import numpy as np
from scipy import special

_TAIL_TOLERANCE = 1e-6
_TAIL_SHARE = 1.0 - 1e-5
# An accepted tail may be off by _TAIL_TOLERANCE, and its evaluation by some 1e-8: aiming below epsilon
# keeps the promise strict.
_LOG_TAIL_MARGIN = 1e-3
# gammaln loses about 1e-4 of a logarithm at 1e10 rounds.
_MAXIMUM_TERMS = 4096
_MAXIMUM_HALVINGS = 200


def binary_entropy(probability: float) -> float:
    """Shannon entropy of a coin in bits; 0 at 0 and 1.  probability in [0, 1]."""
    return float((special.entr(probability) + special.entr(1.0 - probability)) / math.log(2.0))


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
    """
    if count <= 1 or trials <= 0:
        return 0.0
    tail = _beta_tail(special.betainc, count, trials - count + 1.0)
    guess = float(special.betaincinv(count, trials - count + 1.0, epsilon * _TAIL_SHARE))
    if not _is_tail(tail(guess), epsilon * _TAIL_SHARE):
        guess = _bisect(tail, inside=0.0, outside=count / trials, target=epsilon * _TAIL_SHARE)
    return min(trials * guess, count - 1.0)


def mean_upper(count: float, trials: float, *, epsilon: float) -> float:
    r"""Upper bound of the expectation of a sum of independent 0/1 variables, seen as `count` of `trials`.

    :math:`n B^{-1}(1-\varepsilon; x+1, n-x)`, at least x + 1 and at most n; see `mean_lower`.
    """
    if count >= trials:
        return trials
    tail = _beta_tail(special.betaincc, count + 1.0, trials - count)
    guess = float(special.betainccinv(count + 1.0, trials - count, epsilon * _TAIL_SHARE))
    if not _is_tail(tail(guess), epsilon * _TAIL_SHARE):
        guess = _bisect(tail, inside=1.0, outside=count / trials, target=epsilon * _TAIL_SHARE)
    return min(max(trials * guess, count + 1.0), trials)


def binomial_lower(trials: int, probability: float, *, epsilon: float) -> int:
    r"""Largest b with :math:`\Pr[\mathrm{Bin}(n, q) < b] \le \varepsilon`; not decreasing in n."""
    target = epsilon * _TAIL_SHARE

    def safe(b: int) -> bool:
        return b == 0 or bool(special.betaincc(b, trials - b + 1, probability) <= target)

    return _last_true(safe, 0, trials + 1)


def binomial_upper(trials: int, probability: float, *, epsilon: float) -> int:
    r"""Smallest b with :math:`\Pr[\mathrm{Bin}(n, q) > b] \le \varepsilon`."""
    return trials - binomial_lower(trials, 1.0 - probability, epsilon=epsilon)


def trials_upper(seen: int, *, probability: float, epsilon: float) -> int:
    r"""Most trials of this probability that may have given as few as `seen`.

    Largest n with :math:`\Pr[\mathrm{Bin}(n, q) \le x] > \varepsilon`; not decreasing in x.
    """
    target = epsilon * _TAIL_SHARE

    def possible(n: int) -> bool:
        return n <= seen or bool(special.betaincc(seen + 1.0, n - seen, probability) > target)

    high = 2 * seen + 2
    while possible(high):
        high *= 2
    return _last_true(possible, seen, high)


def phase_errors_upper(test_errors: int, test_rounds: int, key_rounds: int, *, epsilon: float) -> int:
    r"""Most errors unseen in `key_rounds` when a random sample, the `test_rounds`, showed `test_errors`.

    The largest j with :math:`\Pr[\mathrm{HG}(n_T+n_K,\, m+j,\, n_T) \le m] > \varepsilon`, HG the number
    of marked items among n_T drawn. For every true total the numbers (m, j) beyond it have probability
    <= epsilon. Not decreasing in m, not increasing in n_T (docs/design/bounds.md). Returns 0..key_rounds.
    """
    if key_rounds <= 0 or test_errors >= test_rounds:
        return max(key_rounds, 0)
    limit = math.log(epsilon) - _LOG_TAIL_MARGIN

    def possible(j: int) -> bool:
        population = test_rounds + key_rounds
        return log_hypergeometric_cdf(test_errors, population, test_errors + j, test_rounds) > limit

    return _last_true(possible, 0, key_rounds + 1)


def log_hypergeometric_cdf(k: int, population: int, marked: int, drawn: int) -> float:
    """Natural logarithm of Pr[at most k marked items among `drawn`], never too small.

    Sums the probabilities downward from k; what lies past `_MAXIMUM_TERMS` is bounded by a geometric
    series (the distribution is log-concave). From the mode upward it answers 0.0 = log 1.
    """
    lowest = max(0, drawn + marked - population)
    i = np.arange(k, max(lowest, k - _MAXIMUM_TERMS) - 1, -1, dtype=np.float64)
    ratios = i * (population - marked - drawn + i) / ((marked - i + 1.0) * (drawn - i + 1.0))
    if ratios[0] >= 1.0:
        return 0.0
    products = np.cumprod(ratios)
    total = 1.0 + products[:-1].sum() + products[-1] / (1.0 - ratios[-1])
    log_first = (
        _log_choose(marked, k) + _log_choose(population - marked, drawn - k) - _log_choose(population, drawn)
    )
    return min(0.0, log_first + math.log(total))


def _log_choose(n: int, k: int) -> float:
    return float(special.gammaln(n + 1.0) - special.gammaln(k + 1.0) - special.gammaln(n - k + 1.0))


def _beta_tail(
    function: Callable[[float, float, float], float], a: float, b: float
) -> Callable[[float], float]:
    return lambda p: float(function(a, b, p))


def _is_tail(tail: float, epsilon: float) -> bool:
    return abs(tail - epsilon) <= _TAIL_TOLERANCE * epsilon


def _bisect(tail: Callable[[float], float], *, inside: float, outside: float, target: float) -> float:
    """Probability nearest to `outside` whose tail is not above `target`; the tail falls towards `inside`."""
    for _ in range(_MAXIMUM_HALVINGS):
        middle = 0.5 * (inside + outside)
        if tail(middle) <= target:
            inside = middle
        else:
            outside = middle
    return inside


def _last_true(condition: Callable[[int], bool], low: int, high: int) -> int:
    """Last integer in [low, high) with the condition, which holds at `low` and never returns once lost."""
    while high - low > 1:
        middle = (low + high) // 2
        if condition(middle):
            low = middle
        else:
            high = middle
    return low
