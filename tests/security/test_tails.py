"""Tails against exact arithmetic: integers, fractions and 60-digit decimals."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from satqkd.security import tails


def upper_tail(n: int, x: int, p: Fraction) -> Fraction:
    """Pr[Bin(n, p) >= x], exactly."""
    return sum(
        (Fraction(math.comb(n, i)) * p**i * (1 - p) ** (n - i) for i in range(x, n + 1)), start=Fraction(0)
    )


def far_tail(n: int, x: int, p: float, step: int) -> float:
    """Pr[Bin >= x] (step 1) or Pr[Bin <= x] (step -1) in 60-digit decimals, x beyond the mean."""
    with localcontext() as context:
        context.prec = 60
        q = Decimal(p)
        term = Decimal(math.comb(n, x)) * q**x * (1 - q) ** (n - x)
        total, i = Decimal(0), x
        while 0 <= i <= n and term > total * Decimal(10) ** -15:
            total += term
            ratio = Decimal(n - i) / (i + 1) if step == 1 else Decimal(i) / (n - i + 1)
            term *= ratio * (q / (1 - q) if step == 1 else (1 - q) / q)
            i += step
        return float(total)


def hypergeometric_cdf(k: int, population: int, marked: int, drawn: int) -> Fraction:
    low = max(0, drawn + marked - population)
    ways = sum(math.comb(marked, i) * math.comb(population - marked, drawn - i) for i in range(low, k + 1))
    return Fraction(ways, math.comb(population, drawn))


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 60), data=st.data(), exponent=st.integers(2, 20))
def test_clopper_pearson_is_exact_where_the_binomial_can_be_summed(n, data, exponent):
    x, epsilon = data.draw(st.integers(0, n)), 10.0**-exponent
    low, high = tails.mean_lower(x, n, epsilon=epsilon), tails.mean_upper(x, n, epsilon=epsilon)
    assert 0 <= low <= x <= high <= n
    if x >= 2:
        tail = float(upper_tail(n, x, Fraction(low / n)))
        assert epsilon * (1 - 1e-4) < tail <= epsilon
    if x < n:
        tail = 1 - upper_tail(n, x + 1, Fraction(high / n))
        assert float(tail) <= epsilon
        assert float(tail) > epsilon * (1 - 1e-4) or high in (x + 1, n)


@pytest.mark.parametrize("n", [10**8, 2 * 10**8, 10**9])
@pytest.mark.parametrize("epsilon", [1e-12, 1e-20, 1e-24])
def test_the_inverse_beta_trap_at_a_first_parameter_of_1000(n, epsilon):
    low, high = tails.mean_lower(1000, n, epsilon=epsilon), tails.mean_upper(999, n, epsilon=epsilon)
    assert far_tail(n, 1000, low / n, +1) == pytest.approx(epsilon, rel=1e-4)
    assert far_tail(n, 999, high / n, -1) == pytest.approx(epsilon, rel=1e-4)


def test_a_wrong_inverse_is_replaced_by_bisection(monkeypatch):
    right = tails.mean_lower(5000, 1e7, epsilon=1e-21), tails.mean_upper(5000, 1e7, epsilon=1e-21)
    monkeypatch.setattr(tails.special, "betaincinv", lambda a, b, y: 1.2 * a / (a + b))
    monkeypatch.setattr(tails.special, "betainccinv", lambda a, b, y: math.nan)
    wrong = tails.mean_lower(5000, 1e7, epsilon=1e-21), tails.mean_upper(5000, 1e7, epsilon=1e-21)
    assert wrong == pytest.approx(right, rel=1e-8)


def poisson_binomial(probabilities: list[float]) -> np.ndarray:
    distribution = np.ones(1)
    for p in probabilities:
        distribution = np.convolve(distribution, [1 - p, p])
    return distribution


@settings(max_examples=80, deadline=None)
@given(
    probabilities=st.lists(st.sampled_from([0.0, 0.02, 0.1, 0.5, 0.9, 1.0]), min_size=1, max_size=25),
    epsilon=st.sampled_from([0.3, 0.1, 0.01, 1e-4]),
)
def test_means_hold_for_unequal_probabilities(probabilities, epsilon):
    """Labels of detections with different photon numbers are such a sum; exact failure probability."""
    distribution, n, mean = poisson_binomial(probabilities), len(probabilities), sum(probabilities)
    too_high = sum(
        distribution[x] for x in range(n + 1) if tails.mean_lower(x, n, epsilon=epsilon) > mean + 1e-9
    )
    too_low = sum(
        distribution[x] for x in range(n + 1) if tails.mean_upper(x, n, epsilon=epsilon) < mean - 1e-9
    )
    assert too_high <= epsilon * (1 + 1e-9)
    assert too_low <= epsilon * (1 + 1e-9)


@pytest.mark.parametrize("epsilon", [0.9, 0.5, 0.3, 1e-3])
def test_bounds_keep_the_distance_of_one_that_the_proof_uses(epsilon):
    for n in (1, 2, 5, 60):
        for x in range(n + 1):
            assert tails.mean_lower(x, n, epsilon=epsilon) <= max(0, x - 1)
            assert tails.mean_upper(x, n, epsilon=epsilon) >= min(n, x + 1)


def test_without_the_distance_of_one_the_mean_of_unequal_probabilities_fails():
    """Power of the test above: one certain event among many impossible ones."""
    n, x, epsilon = 20, 1, 0.3
    plain = n * special.betaincinv(x, n - x + 1, epsilon)
    mean = 0.999 * plain
    assert mean < plain
    assert mean > epsilon  # Pr[S >= 1] is the whole mean when one trial carries it
    assert tails.mean_lower(x, n, epsilon=epsilon) <= mean


@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 80), p=st.sampled_from([0.1, 0.5, 0.888, 0.999]), exponent=st.integers(1, 15))
def test_binomial_lower_is_the_exact_quantile(n, p, exponent):
    epsilon = 10.0**-exponent
    b = tails.binomial_lower(n, p, epsilon=epsilon)
    below = 1 - upper_tail(n, b, Fraction(p))
    assert float(below) <= epsilon
    assert b == n or 1 - upper_tail(n, b + 1, Fraction(p)) > Fraction(epsilon) * Fraction(99_998, 100_000)
    assert tails.binomial_lower(n + 1, p, epsilon=epsilon) >= b


@pytest.mark.parametrize(
    ("errors", "test", "key", "published"),
    [
        (6, 300, 10**4, 0.134),
        (20, 1000, 10**5, 0.0672),
        (60, 3000, 3 * 10**5, 0.0430),
        (100, 10**4, 10**6, 0.0185),
        (1000, 10**5, 10**6, 0.0124),
    ],
)
def test_hypergeometric_table(errors, test, key, published):
    """facts/finite-key.md 3.5, the exact column (which counts the first excluded total)."""
    bound = tails.phase_errors_upper(errors, test, key, epsilon=1e-10 / 21)
    assert (bound + 1) / key == pytest.approx(published, rel=0.005)


def test_hypergeometric_bound_is_the_last_total_not_excluded():
    epsilon = 1e-10 / 21
    j = tails.phase_errors_upper(6, 300, 10**4, epsilon=epsilon)
    assert hypergeometric_cdf(6, 10_300, 6 + j, 300) > Fraction(epsilon) * Fraction(99, 100)
    assert hypergeometric_cdf(6, 10_300, 6 + j + 1, 300) <= Fraction(epsilon)


@settings(max_examples=60, deadline=None)
@given(
    test=st.integers(1, 40),
    key=st.integers(1, 40),
    data=st.data(),
    epsilon=st.sampled_from([0.2, 0.05, 1e-3]),
)
def test_hypergeometric_failure_probability_is_exact(test, key, data, epsilon):
    """For each true total: summed probability of the samples after which the bound is broken."""
    total = data.draw(st.integers(0, test + key))
    broken = Fraction(0)
    for m in range(max(0, total - key), min(test, total) + 1):
        if total - m > tails.phase_errors_upper(m, test, key, epsilon=epsilon):
            ways = math.comb(total, m) * math.comb(test + key - total, test - m)
            broken += Fraction(ways, math.comb(test + key, test))
    assert float(broken) <= epsilon


@settings(max_examples=60, deadline=None)
@given(
    m=st.integers(0, 60),
    test=st.integers(1, 3000),
    key=st.integers(1, 5000),
    exponent=st.sampled_from([2, 9, 21]),
)
def test_hypergeometric_bound_moves_as_the_proof_says(m, test, key, exponent):
    epsilon = 10.0**-exponent
    j = tails.phase_errors_upper(m, test, key, epsilon=epsilon)
    assert tails.phase_errors_upper(m + 1, test, key, epsilon=epsilon) >= j
    assert tails.phase_errors_upper(m, test + 1, key, epsilon=epsilon) <= j
    assert j <= tails.phase_errors_upper(m, test, key + 1, epsilon=epsilon) <= j + 1


@settings(max_examples=60, deadline=None)
@given(population=st.integers(2, 400), data=st.data())
def test_log_cdf_is_never_below_the_exact_one(population, data):
    marked = data.draw(st.integers(1, population - 1))
    drawn = data.draw(st.integers(1, population - 1))
    k = data.draw(st.integers(max(0, drawn + marked - population), min(drawn, marked)))
    exact = float(hypergeometric_cdf(k, population, marked, drawn))
    got = math.exp(tails.log_hypergeometric_cdf(k, population, marked, drawn))
    assert got >= exact * (1 - 1e-9)
    assert got <= exact * (1 + 1e-9) or got == 1.0


def test_log_cdf_cut_off_stays_above(monkeypatch):
    full = tails.log_hypergeometric_cdf(9_000, 200_000, 20_000, 100_000)
    monkeypatch.setattr(tails, "_MAXIMUM_TERMS", 8)
    cut = tails.log_hypergeometric_cdf(9_000, 200_000, 20_000, 100_000)
    assert full < cut < full + 0.1


def test_entropy():
    assert tails.binary_entropy(0.0) == tails.binary_entropy(1.0) == 0.0
    assert tails.binary_entropy(0.5) == pytest.approx(1.0)
    assert tails.binary_entropy(0.11) == pytest.approx(0.499916, abs=1e-6)
    assert tails.secret_fraction(0.5) == tails.secret_fraction(0.7) == 0.0
