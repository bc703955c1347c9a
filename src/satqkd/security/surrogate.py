r"""Quick stand-ins for `tails`, for searches that evaluate a bound many times: never more favourable.

Each takes what its namesake takes (whole trials and rounds for the promise, any for a search), and answers a
number that is not whole and moves smoothly. Tails are bounded from above by

.. math:: \Pr \le \frac{1}{1-r}\sqrt{\frac{n}{2\pi x(n-x)}}\;e^{-D}, \qquad
    D = n\,\mathrm{kl}(x/n \,\|\, p)

(Stirling's series cut on the safe side; probabilities fall at least as fast as the first ratio r, since they
are log-concave) or by Chernoff's exp(-D), whichever is less. An answer is a point at which this bound was
evaluated and found not above epsilon. Proofs: docs/design/bounds.md. In the tests' grid distances from the
count are wider than the exact ones by under 0.1 per cent in the median, 3 at most; those of phase errors by
0.2, and 30 where a few errors of the key decide. Plain floats, epsilon between 0 and 1; nothing is checked.
"""

import math

_LOG_MARGIN = 1e-8
# More than the exact tails allow for their rounding, so that these stay behind them.
_LOG_TOLERANCE = 1e-6
_MAXIMUM_STEPS = 30
_SMALLEST = 1e-300
_TWO_PI = 2.0 * math.pi


def mean_lower(count: float, trials: float, *, epsilon: float) -> float:
    """At most `tails.mean_lower`: a lower bound of the mean of a sum of independent 0/1 variables."""
    if count <= 1.0 or trials <= 0.0:
        return 0.0
    kept, _ = _fallen_mean(count, trials - count, -math.log(epsilon) + _LOG_MARGIN)
    return min(math.nextafter(kept, 0.0), count - 1.0)


def mean_upper(count: float, trials: float, *, epsilon: float) -> float:
    """At least `tails.mean_upper`: an upper bound of the mean of a sum of independent 0/1 variables."""
    if count >= trials:
        return trials
    _, distance = _fallen_mean(trials - count, count, -math.log(epsilon) + _LOG_MARGIN)
    return min(max(math.nextafter(count + distance, math.inf), count + 1.0), trials)


def binomial_lower(trials: float, probability: float, *, epsilon: float) -> float:
    """At most `tails.binomial_lower`: successes that `trials` coins fall short of with <= epsilon."""
    mean = trials * probability
    return max(0.0, mean - _fallen_count(mean, trials * (1.0 - probability), epsilon))


def binomial_upper(trials: float, probability: float, *, epsilon: float) -> float:
    """At least `tails.binomial_upper`: successes that `trials` coins exceed with probability <= epsilon."""
    mean, others = trials * probability, trials * (1.0 - probability)
    distance = _fallen_count(others, mean, epsilon)
    return min(trials, math.nextafter(mean + distance, math.inf)) if distance < others else trials


def trials_upper(count: float, *, probability: float, epsilon: float) -> float:
    """At least `tails.trials_upper`: trials of this probability that may have shown as few successes."""
    if probability >= 1.0:
        return count
    needed = -math.log(epsilon) + _LOG_MARGIN
    # Allowed by Pr[X <= x] <= exp(-(mean - x)^2 / (2 mean)), which Chernoff's exp(-D) is below.
    n = (count + needed + math.sqrt(needed * (2.0 * count + needed))) / probability * (1.0 + 1e-9)
    best = n
    for _ in range(_MAXIMUM_STEPS):
        bound, slope = _trials_log_bound(count, n, probability)
        excess = bound + needed
        if excess <= 0.0:
            best = min(best, n)
            if excess > -2.0 * _LOG_TOLERANCE:
                break
        n = max(n + (excess + _LOG_TOLERANCE) / slope, 0.5 * (n + count / probability))
    return math.nextafter(best, math.inf)


def phase_errors_upper(
    test_errors: float, test_singles: float, keyed_singles: float, *, epsilon: float
) -> float:
    """At least `tails.phase_errors_upper`: errors among the keyed when `test_singles` showed `test_errors`.

    Returns a number in 0..keyed_singles; all of them when the sample says too little.
    """
    m, n, key = test_errors, test_singles, keyed_singles
    if key <= 0.0 or m >= n:
        return max(key, 0.0)
    needed = -math.log(epsilon) + _LOG_MARGIN
    expected, most = m * key / n, key - 2.0
    if expected >= most or _phase_log_bound(m, n, key, most)[0] > -needed:
        return key
    j, best = min(_phase_guess(m, n, key, needed), 0.5 * (expected + most)), key
    for _ in range(_MAXIMUM_STEPS):
        bound, slope = _phase_log_bound(m, n, key, j)
        excess = bound + needed
        if excess <= 0.0:
            best = min(best, j)
            if excess > -2.0 * _LOG_TOLERANCE:
                break
        j = min(j + (excess + _LOG_TOLERANCE) / slope, 0.5 * (j + most))
        if j <= expected * (1.0 + 1e-12):
            break
    return best


def _phase_guess(m: float, n: float, key: float, needed: float) -> float:
    spread = needed * (n + key) / key / 3.0
    return (m + math.sqrt(6.0 * spread * m + spread * spread) + 2.0 * spread) * key / n


def _phase_log_bound(m: float, n: float, key: float, j: float) -> tuple[float, float]:
    """ln of a bound of Pr[at most m of m + j' errors tested], j' anywhere in [j, j + 1]; its steepness."""
    total, population = m + j, n + key
    right = population - total
    gap = (j * n - m * key) / population
    more, fewer = math.log1p(gap * population / (total * key)), math.log1p(-gap * population / (right * key))
    exponent = j * more + (key - j) * fewer + (n - m) * math.log1p(gap * population / (right * n))
    shape = n * key * (right - 1.0) / (population * (n - m) * (key - j - 1.0))
    if m > 0.0:
        exponent += m * math.log1p(-gap * population / (total * n))
        shape *= min(1.0, total / (_TWO_PI * m * j))
    ratio = m * (key - j) / ((j + 1.0) * (n - m + 1.0))
    first = 0.5 * math.log(shape) + (1.0 / n + 1.0 / key) / 12.0 - exponent
    return first - math.log1p(-ratio), more - fewer + n / (gap * population)


def _trials_log_bound(x: float, n: float, probability: float) -> tuple[float, float]:
    """ln of a bound of Pr[at most x successes in n' trials], n' anywhere from n on, and its steepness."""
    others, missing = n - x, n * probability - x
    grown, shape = math.log1p(missing / (n * (1.0 - probability))), 0.0
    exponent = others * grown
    if x > 0.0:
        exponent += x * math.log1p(-missing / (n * probability))
        ratio = x * (1.0 - probability) / ((others + 1.0) * probability)
        shape = 0.5 * math.log(n / (_TWO_PI * x * others)) - math.log1p(-ratio)
    return min(0.0, shape) - exponent, grown + probability / missing


def _fallen_mean(fall: float, rise: float, needed: float) -> tuple[float, float]:
    """A mean so far below the `fall` successes seen that as many have probability <= exp(-needed).

    rise: failures seen. Returns the mean and fall - mean, each with its own digits.
    """
    if rise <= 0.0:
        return fall * math.exp(-needed / fall), -fall * math.expm1(-needed / fall)
    trials = fall + rise
    kept, distance = _mean_guess(fall, rise, needed)
    best = 0.0, fall
    for _ in range(_MAXIMUM_STEPS):
        if kept < _SMALLEST:
            break
        excess = _mean_log_bound(fall, rise, kept, distance) + needed
        if excess <= 0.0:
            best = max(best, (kept, distance))
            if excess > -2.0 * _LOG_TOLERANCE:
                break
        slope = distance * trials / (rise + distance) + kept / distance
        step = max((excess + _LOG_TOLERANCE) / slope, -math.log1p(0.5 * distance / kept))
        distance -= kept * math.expm1(-step)
        kept *= math.exp(-step)
        if distance < 0.5 * fall:
            kept = fall - distance
    return best


def _mean_log_bound(fall: float, rise: float, kept: float, distance: float) -> float:
    """ln of a bound of Pr[at least `fall` successes] when their mean is `kept` = fall - distance."""
    fraction = distance / fall
    down = -math.log1p(-fraction) if fraction < 0.5 else math.log(fall / kept)
    ratio = rise * kept / ((fall + 1.0) * (rise + distance))
    shape = 0.5 * math.log((fall + rise) / (_TWO_PI * fall * rise)) - math.log1p(-ratio)
    return min(0.0, shape) - fall * down + rise * math.log1p(distance / rise)


def _mean_guess(fall: float, rise: float, needed: float) -> tuple[float, float]:
    trials, share = fall + rise, needed / fall
    if share > 1.0:
        kept = fall * math.exp(-share - rise / fall * math.log1p(fall / rise))
        return kept, fall - kept
    spread = needed * (fall - rise) / trials / 3.0
    distance = math.sqrt(2.0 * needed * fall * rise / trials + spread * spread) + 2.0 * spread
    distance = min(distance, 0.9 * fall)
    return fall - distance, distance


def _fallen_count(fall: float, rise: float, epsilon: float) -> float:
    """A distance below their mean `fall` that successes exceed with probability <= epsilon.

    rise: the mean of failures. Returns `fall` itself where no count is unlikely enough.
    """
    if fall <= 0.0 or rise <= 0.0:
        return 0.0
    needed = -math.log(epsilon) + _LOG_MARGIN
    if (fall + rise) * math.log1p(fall / rise) < needed:
        return fall
    spread = needed * (fall - rise) / (fall + rise) / 3.0
    distance = math.sqrt(2.0 * needed * fall * rise / (fall + rise) + spread * spread) + spread
    best, distance = fall, min(distance, 0.9 * fall)
    for _ in range(_MAXIMUM_STEPS):
        if not 0.0 < distance < fall:
            break
        bound, slope = _count_log_bound(fall, rise, distance)
        excess = bound + needed
        if excess <= 0.0:
            best = min(best, distance)
            if excess > -2.0 * _LOG_TOLERANCE:
                break
        distance = min(distance + (excess + _LOG_TOLERANCE) / slope, 0.5 * (distance + fall))
    return best


def _count_log_bound(fall: float, rise: float, distance: float) -> tuple[float, float]:
    """ln of a bound of Pr[at most k' successes], k' anywhere in [k - 1, k]; its slope. k: fall - distance."""
    kept, others = fall - distance, rise + distance
    less, more = math.log1p(-distance / fall), math.log1p(distance / rise)
    shape = 0.0
    if kept > 1.0:
        ratio = kept * rise / ((others + 1.0) * fall)
        shape = 0.5 * math.log((kept + others) / (_TWO_PI * (kept - 1.0) * others)) - math.log1p(-ratio)
    return min(0.0, shape) - kept * less - others * more, more - less + 1.0 / distance
