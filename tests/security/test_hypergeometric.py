"""Unseen errors against exact counting and 60-digit decimals."""

import itertools
import math
from decimal import Decimal
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from exact_tails import hypergeometric_cdf, log_hypergeometric, log_hypergeometric_tail
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.security import hypergeometric, saddlepoint, surrogate, tails

LARGE = [
    (0, 300, 10**4),
    (3, 10**4, 10**10),
    (1000, 10**5, 10**6),
    (3 * 10**5, 10**7, 10**7),
    (10**8, 10**10, 10**10),
    (4 * 10**9, 10**10, 10**10),
    (5 * 10**4, 10**5, 10**10),
    (10**5, 10**10, 10**6),
]


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
def test_table(errors, test, key, published):
    """facts/finite-key.md 3.5, the exact column (which counts the first excluded total)."""
    bound = tails.phase_errors_upper(errors, test, key, epsilon=1e-10 / 21)
    assert (bound + 1) / key == pytest.approx(published, rel=0.005)


@cache
def small_cdf(m: int, test: int, key: int, total: int) -> Fraction:
    return hypergeometric_cdf(m, test + key, total, test)


@pytest.mark.parametrize("epsilon", [0.299, 0.0431, 1e-3, 1e-5])
def test_every_small_bound_is_the_last_total_not_excluded(epsilon):
    """All samples and keys of up to twelve rounds: the answer itself, and that it fails with <= epsilon."""
    limit = Fraction(epsilon)
    for test, key in itertools.product(range(1, 13), repeat=2):
        bound = [tails.phase_errors_upper(m, test, key, epsilon=epsilon) for m in range(test + 1)]
        for m in range(test):
            assert bound[m] == max(j for j in range(key + 1) if small_cdf(m, test, key, m + j) > limit)
        for total in range(test + key + 1):
            broken = sum(
                math.comb(total, m) * math.comb(test + key - total, test - m)
                for m in range(max(0, total - key), min(test, total) + 1)
                if total - m > bound[m]
            )
            assert Fraction(broken, math.comb(test + key, test)) <= limit


@pytest.mark.parametrize(("m", "test", "key"), LARGE)
@pytest.mark.parametrize("epsilon", [1e-3, 1e-22, 1e-30, 1e-100])
def test_large_bounds_stop_where_the_tail_crosses_epsilon(m, test, key, epsilon):
    j = tails.phase_errors_upper(m, test, key, epsilon=epsilon)
    assert m * key / test < j < key
    assert log_hypergeometric_tail(m, test, key, j + 1) <= math.log(epsilon)
    assert log_hypergeometric_tail(m, test, key, j) > math.log(epsilon) - 2e-9


@pytest.mark.parametrize(("m", "test", "key"), LARGE)
def test_a_probability_keeps_its_digits(m, test, key):
    """Differences of log-gamma functions lose about 1e-4 here."""
    for factor in (1.0, 1.01, 1.3):
        j = max(1, min(key - 1, round(factor * m * key / test)))
        exact = log_hypergeometric(m, test, key, j)
        got = Decimal(hypergeometric._log_probability(m, test, key, j))
        assert abs(got - exact) < Decimal("1e-12") * max(Decimal(1), -exact)


@settings(max_examples=100, deadline=None)
@given(test=st.integers(1, 400), key=st.integers(1, 400), data=st.data())
def test_log_cdf_is_never_below_the_exact_one(test, key, data):
    total = data.draw(st.integers(1, test + key - 1))
    k = data.draw(st.integers(max(0, total - key), min(test, total)))
    exact = hypergeometric_cdf(k, test + key, total, test)
    got = Fraction(math.exp(tails.log_hypergeometric_cdf(k, test + key, total, test)))
    assert got >= exact * Fraction(10**9 - 1, 10**9)
    assert got <= exact * Fraction(1_001, 1_000) or got == 1


def test_what_follows_the_direct_terms_is_bounded_from_above(monkeypatch):
    """With one direct term all the rest is the binomial's; the sum grows a little and never falls."""
    cases = [(m, test, key, round(1.2 * m * key / test) + 30) for m, test, key in LARGE]
    cases += [(60, 80, 200, 170), (400, 900, 500, 260), (40, 4000, 50, 4)]
    full = [hypergeometric._log_tail(*case)[0] for case in cases]
    monkeypatch.setattr(hypergeometric, "_DIRECT_TERMS", 1)
    for exact, case in zip(full, cases, strict=True):
        assert exact - 1e-12 <= hypergeometric._log_tail(*case)[0] < exact + 0.02


def test_the_margin_is_below_epsilon(monkeypatch):
    """Power: a margin of the wrong sign as large as today's makes some bound unsafe."""
    monkeypatch.setattr(hypergeometric, "LOG_MARGIN", -0.05)
    j = tails.phase_errors_upper(1000, 10**5, 10**6, epsilon=1e-22)
    assert log_hypergeometric_tail(1000, 10**5, 10**6, j + 1) > math.log(1e-22)
    assert saddlepoint.LOG_MARGIN > 0


@settings(max_examples=60, deadline=None)
@given(
    m=st.integers(0, 60),
    test=st.integers(1, 3000),
    key=st.integers(1, 5000),
    exponents=st.sampled_from([(2, 9), (9, 21), (21, 100)]),
)
def test_bound_moves_as_the_proof_says(m, test, key, exponents):
    epsilon = 10.0 ** -exponents[0]
    j = tails.phase_errors_upper(m, test, key, epsilon=epsilon)
    assert tails.phase_errors_upper(m + 1, test, key, epsilon=epsilon) >= j
    assert tails.phase_errors_upper(m, test + 1, key, epsilon=epsilon) <= j
    assert j <= tails.phase_errors_upper(m, test, key + 1, epsilon=epsilon) <= j + 1
    assert tails.phase_errors_upper(m, test, key, epsilon=10.0 ** -exponents[1]) >= j


def test_nothing_keyed_nothing_tested_and_all_wrong():
    assert tails.phase_errors_upper(3, 10, 0, epsilon=1e-9) == 0
    assert tails.phase_errors_upper(3, 10, -5, epsilon=1e-9) == 0
    assert tails.phase_errors_upper(0, 0, 70, epsilon=1e-9) == 70
    assert tails.phase_errors_upper(10, 10, 70, epsilon=1e-9) == 70


def test_counts_of_numpy_do_not_overflow():
    """Products of two counts of 1e10 pass 2^63."""
    counts = 10**8, 10**10, 10**10
    wide = [np.int64(count) for count in counts]
    expected = tails.phase_errors_upper(*counts, epsilon=1e-22)
    assert tails.phase_errors_upper(*wide, epsilon=1e-22) == expected


@pytest.mark.parametrize("start", [0.5, 12_000.0, 13_000.0, 999_999.5, 1e6])
def test_a_wrong_start_is_repaired(monkeypatch, start):
    right = tails.phase_errors_upper(1000, 10**5, 10**6, epsilon=1e-22)
    monkeypatch.setattr(surrogate, "phase_errors_upper", lambda *_, epsilon: start)
    assert tails.phase_errors_upper(1000, 10**5, 10**6, epsilon=1e-22) == right


def test_a_search_takes_few_evaluations(monkeypatch):
    calls = []
    inner = hypergeometric._log_tail
    monkeypatch.setattr(hypergeometric, "_log_tail", lambda *arguments: calls.append(1) or inner(*arguments))
    for case, epsilon in itertools.product(LARGE, (1e-3, 1e-22, 1e-100)):
        tails.phase_errors_upper(*case, epsilon=epsilon)
    assert len(calls) <= 4 * 3 * len(LARGE)
