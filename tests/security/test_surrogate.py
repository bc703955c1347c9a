"""Quick stand-ins never promise more than the exact bounds, and nearly as much."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from exact_tails import binomial_at_least, hypergeometric_cdf
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.security import surrogate, tails

EPSILONS = [0.9, 0.3, 1e-3, 1e-10, 1e-20, 4.8e-23, 1e-30, 1e-100]
COUNTS = [0, 1, 2, 3, 10, 99, 1000, 12_345, 10**6, 3 * 10**8, 10**10]

whole = st.integers(0, 10**10) | st.integers(0, 3000) | st.integers(0, 20)
epsilons = st.floats(0.05, 100).map(lambda exponent: 10.0**-exponent)


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_means_over_the_grid(epsilon):
    for x, others in itertools.product(COUNTS, repeat=2):
        check_means(x, x + others, epsilon)


@settings(max_examples=300, deadline=None)
@given(x=whole, others=whole, epsilon=epsilons)
def test_means_anywhere(x, others, epsilon):
    check_means(x, x + others, epsilon)


def check_means(x, n, epsilon):
    assert 0 <= surrogate.mean_lower(x, n, epsilon=epsilon) <= tails.mean_lower(x, n, epsilon=epsilon)
    assert n >= surrogate.mean_upper(x, n, epsilon=epsilon) >= tails.mean_upper(x, n, epsilon=epsilon)


@settings(max_examples=200, deadline=None)
@given(n=st.floats(0.1, 1e10), share=st.floats(0, 1), epsilon=epsilons)
def test_means_of_expected_counts(n, share, epsilon):
    check_means(n * share, n, epsilon)


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_quantiles_over_the_grid(epsilon):
    for n, p in itertools.product(COUNTS, [0.0, 1e-12, 1e-3, 0.1, 0.5, 0.888, 0.999, 1.0]):
        check_quantiles(n, p, epsilon)


@settings(max_examples=300, deadline=None)
@given(n=whole, p=st.floats(0, 1), epsilon=epsilons)
def test_quantiles_anywhere(n, p, epsilon):
    check_quantiles(n, p, epsilon)


def check_quantiles(n, p, epsilon):
    assert 0 <= surrogate.binomial_lower(n, p, epsilon=epsilon) <= tails.binomial_lower(n, p, epsilon=epsilon)
    assert n >= surrogate.binomial_upper(n, p, epsilon=epsilon) >= tails.binomial_upper(n, p, epsilon=epsilon)


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_phase_errors_over_the_grid(epsilon):
    for m, others, key in itertools.product(COUNTS[::2], COUNTS[1::2], COUNTS[1::2]):
        check_phase_errors(m, m + others, key, epsilon)


@settings(max_examples=300, deadline=None)
@given(m=whole, others=whole, key=whole, epsilon=epsilons)
def test_phase_errors_anywhere(m, others, key, epsilon):
    check_phase_errors(m, m + others, key, epsilon)


def check_phase_errors(m, test, key, epsilon):
    exact = tails.phase_errors_upper(m, test, key, epsilon=epsilon)
    assert key >= surrogate.phase_errors_upper(m, test, key, epsilon=epsilon) >= exact


def test_bounds_of_phase_errors_are_above_every_small_tail():
    """Between whole numbers too, where a bound stands for both neighbours."""
    for n, key in itertools.product(range(1, 11), range(3, 13)):
        for m, j in itertools.product(range(n), np.arange(0.125, key - 1.99, 0.125)):
            if j > m * key / n:
                bound = surrogate._phase_log_bound(m, n, key, float(j))[0]
                for whole_j in {math.ceil(j), math.floor(j) + 1}:
                    exact = hypergeometric_cdf(m, n + key, m + whole_j, n)
                    assert exact <= math.exp(bound) * (1 + 1e-12)


def test_bounds_of_counts_are_above_every_small_tail():
    for n, p in itertools.product(range(1, 13), [0.1, 0.5, 0.9]):
        for k in np.arange(0.125, n * p, 0.125):
            bound = surrogate._count_log_bound(n * p, n * (1 - p), n * p - float(k))[0]
            exact = 1 - binomial_at_least(n, math.floor(k) + 1, Fraction(p))
            assert exact <= math.exp(bound) * (1 + 1e-12)


@settings(max_examples=300, deadline=None)
@given(x=whole, p=st.floats(1e-6, 1), epsilon=epsilons)
def test_trials_anywhere(x, p, epsilon):
    exact = tails.trials_upper(x, probability=p, epsilon=epsilon)
    assert exact <= surrogate.trials_upper(x, probability=p, epsilon=epsilon) < 2 * exact + 700 / p


def test_bounds_of_trials_are_above_every_small_tail():
    for x, p in itertools.product(range(6), [0.1, 0.5, 0.9]):
        for n in np.arange(x / p + 0.125, x / p + 9, 0.25):
            bound = surrogate._trials_log_bound(x, float(n), p)[0]
            exact = 1 - binomial_at_least(math.ceil(n), x + 1, Fraction(p))
            assert exact <= math.exp(bound) * (1 + 1e-12)


def test_bounds_of_means_are_above_every_small_tail():
    for n in range(2, 13):
        for x, share in itertools.product(range(1, n), [1e-6, 0.1, 0.5, 0.9, 0.99]):
            kept = x * share
            bound = surrogate._mean_log_bound(x, n - x, kept, x - kept)
            assert binomial_at_least(n, x, Fraction(kept) / n) <= math.exp(bound) * (1 + 1e-12)


def test_the_bounds_are_of_the_tail_itself():
    """Power: without the constant of Stirling's series, the last step of safety, the order is lost."""
    m, test, key, epsilon = 3000, 10**5, 10**5, 1e-22
    exact = tails.phase_errors_upper(m, test, key, epsilon=epsilon)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surrogate, "_TWO_PI", 4 * math.pi)
        assert surrogate.phase_errors_upper(m, test, key, epsilon=epsilon) < exact
        low = surrogate.mean_lower(3000, 10**5, epsilon=epsilon)
    assert low > tails.mean_lower(3000, 10**5, epsilon=epsilon)


def test_how_near_they_come():
    """The ratios of distances from the observation that the module's text tells."""
    means, phases = [], []
    for x, n in itertools.product([30, 1000, 25_105, 10**6], [10**6 + 1, 10**8, 10**10]):
        for epsilon in (1e-3, 1e-10, 4.8e-23, 1e-30):
            exact = x - tails.mean_lower(x, n, epsilon=epsilon), tails.mean_upper(x, n, epsilon=epsilon) - x
            quick = surrogate.mean_lower(x, n, epsilon=epsilon), surrogate.mean_upper(x, n, epsilon=epsilon)
            means += [(x - quick[0]) / exact[0], (quick[1] - x) / exact[1]]
            for key in (n // 30, 3 * n):
                seen = x * key / n
                bound = tails.phase_errors_upper(x, n, key, epsilon=epsilon) - seen
                phases.append((surrogate.phase_errors_upper(x, n, key, epsilon=epsilon) - seen) / bound)
    assert np.median(means) < 1.001
    assert max(means) < 1.03
    assert np.median(phases) < 1.002
    assert max(phases) < 1.3


def test_answers_change_smoothly_with_counts():
    """A search by differences sees slopes: neighbours differ by what the exact ones differ by."""
    x = np.linspace(25_000.0, 25_001.0, 41)
    for bound in (
        lambda count: surrogate.mean_lower(count, 4e5, epsilon=1e-22),
        lambda count: surrogate.mean_upper(count, 4e5, epsilon=1e-22),
        lambda count: surrogate.binomial_lower(count, 0.888, epsilon=1e-22),
        lambda count: surrogate.trials_upper(count, probability=0.5, epsilon=1e-22),
        lambda count: surrogate.phase_errors_upper(count, 4e5, 3e5, epsilon=1e-22),
    ):
        steps = np.diff([bound(float(count)) for count in x])
        assert steps == pytest.approx(np.full(40, steps.mean()), abs=2e-4)
        assert (steps > 0).all()


def test_nothing_keyed_and_nothing_tested():
    assert surrogate.phase_errors_upper(3, 10, 0, epsilon=1e-9) == 0
    assert surrogate.phase_errors_upper(3, 10, -5, epsilon=1e-9) == 0
    assert surrogate.phase_errors_upper(0, 0, 70, epsilon=1e-9) == 70
    assert surrogate.phase_errors_upper(10, 10, 70, epsilon=1e-9) == 70
    assert surrogate.mean_lower(0, 0, epsilon=1e-9) == surrogate.mean_upper(0, 0, epsilon=1e-9) == 0
