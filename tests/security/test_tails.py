"""Bounds of means against exact arithmetic: integers, fractions and 60-digit decimals."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from exact_tails import binomial_at_least, log_binomial_tail, poisson_binomial
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from satqkd.security import tails

EPSILONS = [0.5, 0.3, 1e-2, 1e-6, 1e-22]


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 60), data=st.data(), exponent=st.integers(1, 100))
def test_clopper_pearson_is_exact_where_the_binomial_can_be_summed(n, data, exponent):
    x, epsilon = data.draw(st.integers(0, n)), 10.0**-exponent
    low, high = tails.mean_lower(x, n, epsilon=epsilon), tails.mean_upper(x, n, epsilon=epsilon)
    assert 0 <= low <= x <= high <= n
    if x >= 2:
        tail = binomial_at_least(n, x, Fraction(low) / n)
        assert tail <= Fraction(epsilon)
        assert tail > Fraction(epsilon) * Fraction(999_999, 1_000_000) or low == x - 1
    if x < n:
        assert 1 - binomial_at_least(n, x + 1, Fraction(high) / n) <= Fraction(epsilon)
        # A mean is told to the last digit of a double: one digit inward would be too near.
        inward = Fraction(high) - Fraction(math.ulp(high)) - Fraction(1, 10**6) * (n - Fraction(high))
        tail = 1 - binomial_at_least(n, x + 1, inward / n)
        assert tail > Fraction(epsilon) * Fraction(999_999, 1_000_000) or high == x + 1


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 12, 25])
@pytest.mark.parametrize("epsilon", EPSILONS)
def test_means_of_any_unequal_probabilities_hold(n, epsilon):
    """Certain trials, like ones, impossible ones: Hoeffding's extremal family, each at its worst mean.

    A bound fails when the mean is on the wrong side of it. That is likeliest with the mean at the bound
    itself, where the mean is split between `certain` trials and `like` ones in every possible way.
    """
    limit = Fraction(epsilon)
    for x in range(n + 1):
        low = Fraction(tails.mean_lower(x, n, epsilon=epsilon))
        high = n - Fraction(tails.mean_upper(n - x, n, epsilon=epsilon))
        # The upper bound of n - x counts failures: the same family, the same tail.
        for mean in {low, high}:
            for certain in range(min(x, math.floor(mean)) + 1):
                for like in range(max(1, math.ceil(mean - certain)), n - certain + 1):
                    share = (mean - certain) / like
                    assert binomial_at_least(like, x - certain, share) <= limit or mean == 0


def test_without_the_distance_of_one_unequal_probabilities_fail():
    """Power of the test above: one trial carries the whole mean, and Pr[S >= 1] is the mean."""
    n, x, epsilon = 20, 1, 0.3
    plain = n * special.betaincinv(x, n - x + 1, epsilon)
    assert plain > epsilon
    assert binomial_at_least(1, 1, Fraction(plain)) > Fraction(epsilon)
    assert tails.mean_lower(x, n, epsilon=epsilon) == 0.0


@settings(max_examples=60, deadline=None)
@given(
    probabilities=st.lists(st.sampled_from([0.0, 0.02, 0.1, 0.5, 0.9, 1.0]), min_size=1, max_size=25),
    epsilon=st.sampled_from([0.3, 0.1, 0.01, 1e-4]),
)
def test_means_hold_for_mixed_probabilities(probabilities, epsilon):
    """Labels of detections with different photon numbers are such a sum."""
    distribution, n, mean = poisson_binomial(probabilities), len(probabilities), sum(probabilities)
    seen = range(n + 1)
    too_high = sum(distribution[x] for x in seen if tails.mean_lower(x, n, epsilon=epsilon) > mean + 1e-9)
    too_low = sum(distribution[x] for x in seen if tails.mean_upper(x, n, epsilon=epsilon) < mean - 1e-9)
    assert too_high <= epsilon * (1 + 1e-9)
    assert too_low <= epsilon * (1 + 1e-9)


@pytest.mark.parametrize("epsilon", [0.999, 0.9, 0.5, 0.3, 1e-3])
def test_bounds_keep_the_distance_of_one_that_the_proof_uses(epsilon):
    for n in (1, 2, 5, 60, 10**5):
        for x in {*range(min(n, 60) + 1), n // 2, n - 1, n}:
            assert tails.mean_lower(x, n, epsilon=epsilon) <= max(0, x - 1)
            assert tails.mean_upper(x, n, epsilon=epsilon) >= min(n, x + 1)


@pytest.mark.parametrize("n", [10**8, 2 * 10**8, 10**9])
@pytest.mark.parametrize("epsilon", [1e-12, 1e-20, 1e-24])
def test_a_first_parameter_of_1000_is_like_any_other(n, epsilon):
    """There the inverse beta functions of scipy are wrong: 1520 for 1000 seen of 2e8 at 1e-20."""
    low, high = tails.mean_lower(1000, n, epsilon=epsilon), tails.mean_upper(999, n, epsilon=epsilon)
    assert log_binomial_tail(n, 1000, Decimal(low), 1) == pytest.approx(math.log(epsilon), abs=1e-8)
    assert log_binomial_tail(n, 999, Decimal(high), -1) == pytest.approx(math.log(epsilon), abs=1e-8)


def test_the_published_trap_has_the_right_answer():
    """facts/streamed-announcement.md 9."""
    assert tails.mean_lower(1000, 2e8, epsilon=1e-20) == pytest.approx(734.7, abs=0.05)


@pytest.mark.parametrize(
    ("x", "n"),
    [
        (0, 10**10),
        (1, 10**10),
        (2, 10**10),
        (7, 10**4),
        (1000, 10**10),
        (25_105, 425_020),
        (399_790, 425_020),
        (10**6, 10**10),
        (10**10 - 4, 10**10),
        (2 * 10**9, 10**10),
    ],
)
@pytest.mark.parametrize("epsilon", [1e-3, 1e-22, 1e-30, 1e-100, 1e-290])
def test_tails_at_the_answers_are_epsilon_from_below(x, n, epsilon):
    """The last digit of the answer counts: one digit nearer to the count is too near."""
    low, high = tails.mean_lower(x, n, epsilon=epsilon), tails.mean_upper(x, n, epsilon=epsilon)
    limit = math.log(epsilon)
    if x < 2:
        assert low == 0.0
    else:
        assert log_binomial_tail(n, x, Decimal(low), 1) < limit
        nearer = min(Decimal(low) + Decimal(math.ulp(low)), Decimal(x - 1))
        assert log_binomial_tail(n, x, nearer, 1) > limit - 2e-9 or low == x - 1
    if high < n:
        assert log_binomial_tail(n, x, Decimal(high), -1) < limit
        nearer = max(Decimal(high) - Decimal(math.ulp(high)), Decimal(x + 1))
        assert log_binomial_tail(n, x, nearer, -1) > limit - 2e-9 or high == x + 1
    else:
        assert n - x < 10


def test_a_wrong_start_is_repaired(monkeypatch):
    right = tails.mean_lower(5000, 1e7, epsilon=1e-21), tails.mean_upper(5000, 1e7, epsilon=1e-21)
    for low, high in [(4999.0, 5001.0), (1.0, 9e6), (0.0, 1e7)]:
        monkeypatch.setattr(tails.surrogate, "mean_lower", lambda *_, epsilon, low=low: low)
        monkeypatch.setattr(tails.surrogate, "mean_upper", lambda *_, epsilon, high=high: high)
        wrong = tails.mean_lower(5000, 1e7, epsilon=1e-21), tails.mean_upper(5000, 1e7, epsilon=1e-21)
        assert wrong == pytest.approx(right, rel=1e-10)


def test_a_search_takes_few_evaluations(monkeypatch):
    calls = []
    for name in ("_at_least", "_at_most"):
        inner = getattr(tails, name)
        monkeypatch.setattr(tails, name, lambda *given, inner=inner: calls.append(1) or inner(*given))
    cases = [(x, n, e) for x in (2, 30, 10**4) for n in (10**5, 10**10) for e in (1e-3, 1e-22, 1e-100)]
    for x, n, epsilon in cases:
        tails.mean_lower(x, n, epsilon=epsilon)
        tails.mean_upper(x, n, epsilon=epsilon)
    assert len(calls) <= 4 * 2 * len(cases)


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(2, 10**10),
    share=st.floats(0, 1),
    exponents=st.tuples(st.floats(0.55, 100), st.floats(0.01, 100)),
)
def test_means_move_with_epsilon_and_counts(n, share, exponents):
    x = min(n - 1, round(n * share))
    loose, tight = 10.0 ** -exponents[0], 10.0 ** -(exponents[0] + exponents[1])
    low, high = tails.mean_lower(x, n, epsilon=loose), tails.mean_upper(x, n, epsilon=loose)
    slack = 1e-9 * n
    assert tails.mean_lower(x, n, epsilon=tight) <= low
    assert tails.mean_upper(x, n, epsilon=tight) >= high
    assert tails.mean_lower(x + 1, n, epsilon=loose) >= low - slack
    assert tails.mean_upper(x + 1, n, epsilon=loose) >= high - slack
    assert tails.mean_lower(x, n + 1, epsilon=loose) <= low + slack
    assert tails.mean_upper(x, n + 1, epsilon=loose) >= high - slack


@settings(max_examples=60, deadline=None)
@given(n=st.floats(0.5, 1e9), share=st.floats(0, 1), exponent=st.floats(0.1, 100))
def test_expected_counts_need_not_be_whole(n, share, exponent):
    x, epsilon = n * share, 10.0**-exponent
    low, high = tails.mean_lower(x, n, epsilon=epsilon), tails.mean_upper(x, n, epsilon=epsilon)
    assert 0 <= low <= max(0, x - 1)
    assert min(n, x + 1) <= high <= n
    if 1e-6 * n < low < x - 1 and epsilon < 0.3:
        assert special.betainc(x, n - x + 1, low / n) == pytest.approx(epsilon, rel=1e-4)


@pytest.mark.parametrize("bound", [tails.mean_lower, tails.mean_upper])
@pytest.mark.parametrize(
    ("count", "trials", "epsilon"),
    [(-1, 5, 0.1), (6, 5, 0.1), (math.nan, 5, 0.1), (3, math.inf, 0.1), (2, 5, 0.0), (2, 5, 1.0)],
)
def test_counts_and_epsilons_that_cannot_be_are_refused(bound, count, trials, epsilon):
    with pytest.raises(ValueError, match="expected"):
        bound(count, trials, epsilon=epsilon)


def test_hoeffding_width():
    assert tails.hoeffding_width(2e6, epsilon=math.exp(-9)) == pytest.approx(3000)


def test_entropy():
    assert tails.binary_entropy(0.0) == tails.binary_entropy(1.0) == 0.0
    assert tails.binary_entropy(0.5) == pytest.approx(1.0)
    assert tails.binary_entropy(0.11) == pytest.approx(0.499916, abs=1e-6)
    assert tails.secret_fraction(0.5) == tails.secret_fraction(0.7) == 0.0
    for p in np.linspace(0.001, 0.999, 41):
        expected = (special.entr(p) + special.entr(1 - p)) / math.log(2)
        assert tails.binary_entropy(float(p)) == pytest.approx(expected, rel=1e-14)
