"""Quantiles of like coins against exact counting and 60-digit decimals."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from exact_tails import DIGITS, binomial_at_least, log_binomial_tail
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.security import binomial, surrogate, tails

PROBABILITIES = [0.01, 0.1, 0.5, 0.888, 0.999]


@pytest.mark.parametrize("probability", PROBABILITIES)
@pytest.mark.parametrize("epsilon", [0.3, 0.05, 1e-3, 1e-12, 1e-30])
def test_every_small_quantile_is_the_exact_one(probability, epsilon):
    limit, p = Fraction(epsilon), Fraction(probability)
    for n in range(26):
        at_least = [binomial_at_least(n, x, p) for x in range(n + 2)]
        lowest = max(b for b in range(n + 1) if 1 - at_least[b] <= limit)
        highest = min(b for b in range(n + 1) if at_least[b + 1] <= limit)
        assert tails.binomial_lower(n, probability, epsilon=epsilon) == lowest
        assert tails.binomial_upper(n, probability, epsilon=epsilon) == highest


@pytest.mark.parametrize(
    ("n", "probability"),
    [
        (10**4, 0.5),
        (10**4, 1e-12),
        (10**7, 0.888),
        (10**7, 3e-8),
        (10**10, 1e-12),
        (10**10, 3e-8),
        (10**10, 0.888),
        (10**10, 1 - 2**-30),
    ],
)
@pytest.mark.parametrize("epsilon", [1e-3, 1e-30, 1e-100])
def test_large_quantiles_stop_where_the_tail_crosses_epsilon(n, probability, epsilon):
    low = tails.binomial_lower(n, probability, epsilon=epsilon)
    high = tails.binomial_upper(n, probability, epsilon=epsilon)
    limit = math.log(epsilon)
    with localcontext(prec=DIGITS):
        mean = n * Decimal(probability)
    assert 0 <= low < mean + 1
    assert mean - 1 < high <= n
    if low > 0:
        assert log_binomial_tail(n, low - 1, mean, -1) <= limit
    assert log_binomial_tail(n, low, mean, -1) > limit - 2e-9
    if high < n:
        assert log_binomial_tail(n, high + 1, mean, 1) <= limit
    assert log_binomial_tail(n, high, mean, 1) > limit - 2e-9


@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(0, 10**10),
    p=st.floats(0, 1),
    exponents=st.tuples(st.floats(0.6, 60), st.floats(0, 60)),
)
def test_quantiles_move_with_trials_and_epsilon(n, p, exponents):
    loose, tight = 10.0 ** -exponents[0], 10.0 ** -(exponents[0] + exponents[1])
    low, high = tails.binomial_lower(n, p, epsilon=loose), tails.binomial_upper(n, p, epsilon=loose)
    assert low <= tails.binomial_lower(n + 1, p, epsilon=loose) <= low + 1
    assert high <= tails.binomial_upper(n + 1, p, epsilon=loose) <= high + 1
    assert tails.binomial_lower(n, p, epsilon=tight) <= low
    assert tails.binomial_upper(n, p, epsilon=tight) >= high
    assert tails.binomial_lower(n + 0.9, p, epsilon=loose) == low
    assert tails.binomial_upper(n + 0.9, p, epsilon=loose) == high


@pytest.mark.parametrize("probability", [0.02, 0.1, 0.5, 0.888, 0.999, 1.0])
@pytest.mark.parametrize("epsilon", [0.29, 0.043, 1e-3, 1e-12])
def test_every_small_number_of_trials_is_the_exact_one(probability, epsilon):
    limit, p = Fraction(epsilon), Fraction(probability)
    for x in range(8):
        most = tails.trials_upper(x, probability=probability, epsilon=epsilon)
        assert binomial_at_least(most, most - x, 1 - p) > limit
        assert binomial_at_least(most + 1, most + 1 - x, 1 - p) <= limit


@pytest.mark.parametrize("x", [0, 1, 1000, 10**6, 10**8])
@pytest.mark.parametrize("probability", [1e-3, 0.5, 0.999])
@pytest.mark.parametrize("epsilon", [1e-22, 1e-100])
def test_many_trials_stop_where_the_tail_crosses_epsilon(x, probability, epsilon):
    n = tails.trials_upper(x, probability=probability, epsilon=epsilon)
    with localcontext(prec=DIGITS):
        first, last = (trials * Decimal(probability) for trials in (n + 1, n))
    assert log_binomial_tail(n + 1, x, first, -1) <= math.log(epsilon)
    assert n == x or log_binomial_tail(n, x, last, -1) > math.log(epsilon) - 2e-9


@pytest.mark.parametrize("start", [0.0, 1000.0, 1500.0, 1e6])
def test_a_wrong_start_of_trials_is_repaired(monkeypatch, start):
    right = tails.trials_upper(1000, probability=0.5, epsilon=1e-22)
    monkeypatch.setattr(surrogate, "trials_upper", lambda *_, probability, epsilon: start)
    assert tails.trials_upper(1000, probability=0.5, epsilon=1e-22) == right


def test_certain_and_impossible_coins():
    assert tails.binomial_lower(9, 1.0, epsilon=1e-9) == tails.binomial_upper(9, 1.0, epsilon=1e-9) == 9
    assert tails.binomial_lower(9, 0.0, epsilon=1e-9) == tails.binomial_upper(9, 0.0, epsilon=1e-9) == 0


@pytest.mark.parametrize("start", [0.0, 10.0, 880_000.0, 887_999.0, 900_000.0, 1e6])
def test_a_wrong_start_is_repaired(monkeypatch, start):
    right = binomial.binomial_lower(10**6, 0.888, epsilon=1e-22)
    monkeypatch.setattr(surrogate, "binomial_lower", lambda *_, epsilon: start)
    assert binomial.binomial_lower(10**6, 0.888, epsilon=1e-22) == right


def test_a_search_takes_few_evaluations(monkeypatch):
    calls = []
    inner = binomial._log_tail
    monkeypatch.setattr(binomial, "_log_tail", lambda *arguments: calls.append(1) or inner(*arguments))
    for n in (10**4, 10**6, 10**10):
        for epsilon in (1e-3, 1e-22, 1e-100):
            tails.binomial_lower(n, 0.888, epsilon=epsilon)
            tails.trials_upper(n, probability=0.5, epsilon=epsilon)
    assert len(calls) <= 4 * 2 * 9


@given(st.integers(0, 60), st.integers(1, 19), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_trials_that_show_so_few_are_the_exact_most(seen, twentieths, digits):
    """The largest n with Pr[Bin(n, q) <= x] > epsilon, by exact sums."""
    probability, epsilon = Fraction(twentieths, 20), Fraction(1, 10**digits)
    most = tails.trials_upper(seen, probability=float(probability), epsilon=float(epsilon))
    exact = Fraction(float(probability))

    def at_most(n):
        return sum(math.comb(n, k) * exact**k * (1 - exact) ** (n - k) for k in range(min(seen, n) + 1))

    limit = Fraction(float(epsilon))
    assert most >= seen
    assert at_most(most + 1) <= limit
    assert at_most(most) > limit * (1 - Fraction(1, 10**6))


def test_many_trials():
    """A fair coin, 1e6 heads seen, epsilon 1e-20: nine sigma of two million tosses."""
    most = tails.trials_upper(10**6, probability=0.5, epsilon=1e-20)
    assert most == pytest.approx(2e6 + 9.262 * math.sqrt(2e6), rel=1e-4)
