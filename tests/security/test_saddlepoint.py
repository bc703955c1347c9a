"""Logarithms of probabilities to their last digits, and sums that are never too small."""

import itertools
import math
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from exact_tails import DIGITS, log_factorial
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.security import saddlepoint


@pytest.mark.parametrize("n", [0, 1, 2, 9, 15, 16, 17, 40, 1000, 10**6, 10**10])
def test_log_excess(n):
    with localcontext(prec=DIGITS):
        exact = log_factorial(n) - (n * Decimal(n).ln() - n if n else 0)
        assert abs(Decimal(saddlepoint.log_excess(n)) - exact) < Decimal("3e-14")


def test_log_excess_of_parts_of_one_joins_the_series():
    """Gamma function below 16, Stirling's series from there."""
    below, above = saddlepoint.log_excess(math.nextafter(16.0, 0.0)), saddlepoint.log_excess(16.0)
    assert below == pytest.approx(above, abs=3e-14)
    assert saddlepoint.log_excess(0.5) == pytest.approx(math.lgamma(1.5) - 0.5 * math.log(0.5) + 0.5)


@settings(max_examples=200, deadline=None)
@given(mean=st.floats(1e-6, 1e10), relative=st.floats(-1, 30) | st.floats(-0.2, 0.2) | st.floats(-1e-5, 1e-5))
def test_deviance_keeps_its_digits(mean, relative):
    count = mean * (1 + relative)
    with localcontext(prec=DIGITS):
        x, e = Decimal(count), Decimal(mean)
        exact = x * (x / e).ln() - (x - e) if x else e
        gap = float(x - e)
        assert abs(Decimal(saddlepoint.deviance(count, mean, gap)) - exact) <= Decimal("5e-14") * exact


def test_deviance_at_the_edges():
    assert saddlepoint.deviance(0.0, 7.0, -7.0) == 7.0
    assert saddlepoint.deviance(0.0, 0.0, 0.0) == 0.0
    assert saddlepoint.deviance(3.0, 0.0, 3.0) == math.inf
    assert saddlepoint.deviance(5.0, 5.0, 0.0) == 0.0


@pytest.mark.parametrize("n", [40, 10**6, 10**10])
@pytest.mark.parametrize("share", [1e-9, 0.02, 0.5, 0.9])
def test_log_binomial_keeps_its_digits(n, share):
    for x in {0, 1, round(n * share), round(n * share * 1.01), n}:
        mean = max(1e-3, n * share)
        with localcontext(prec=DIGITS):
            p, gap = Decimal(mean) / n, float(x - Decimal(mean))
            exact = log_factorial(n) - log_factorial(x) - log_factorial(n - x)
            exact += x * p.ln() + (n - x) * (1 - p).ln()
        got = saddlepoint.log_binomial(x, n, mean=mean, others=n - mean, gap=gap)
        assert abs(Decimal(got) - exact) < Decimal("1e-12") * max(Decimal(1), -exact)


def exact_sum(k: int, others: Fraction, ratio: Fraction) -> Fraction:
    term = total = Fraction(1)
    for i in range(k):
        term *= ratio * (k - i) * others / (k * (others + i))
        total += term
    return total


@settings(max_examples=300, deadline=None)
@given(k=st.integers(0, 40), others=st.floats(1e-3, 1e6), ratio=st.floats(0, 0.9999))
def test_tail_sum_is_exact_from_above(k, others, ratio):
    exact = exact_sum(k, Fraction(others), Fraction(ratio))
    got, rounding = Fraction(saddlepoint.tail_sum(k, others, ratio)), Fraction(4e-15 / (1 - ratio))
    assert exact * (1 - rounding) <= got <= exact * (1 + rounding + Fraction(1e-12))


@settings(max_examples=200, deadline=None)
@given(k=st.integers(1, 40), others=st.floats(1e-3, 1e6), ratio=st.floats(1e-6, 0.9999))
def test_a_fraction_cut_short_stays_above(k, others, ratio):
    exact = exact_sum(k, Fraction(others), Fraction(ratio))
    with pytest.MonkeyPatch.context() as patch:
        previous = math.inf
        for levels in (2, 4, 8):
            patch.setattr(saddlepoint, "_MAXIMUM_LEVELS", levels)
            got = saddlepoint.tail_sum(k, others, ratio)
            assert exact * (1 - Fraction(4e-15 / (1 - ratio))) <= Fraction(got) <= previous * (1 + 1e-11)
            previous = got


def test_a_fraction_stops_above():
    """At the first agreement of two convergents it is the later, upper one that is returned."""
    below = []
    for k, ratio in itertools.product(range(20, 60), [0.5, 0.7, 0.9]):
        exact = exact_sum(k, Fraction(50), Fraction(ratio))
        below.append(Fraction(saddlepoint.tail_sum(k, 50.0, ratio)) / exact - 1)
    assert min(below) > -1e-14
    assert max(below) > 2e-14


def test_the_number_of_levels_ends_above():
    """An odd number would end on a convergent from below."""
    assert saddlepoint._MAXIMUM_LEVELS % 2 == 0
    exact = float(exact_sum(30, Fraction(31), Fraction(9, 10)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saddlepoint, "_MAXIMUM_LEVELS", 3)
        assert saddlepoint.tail_sum(30, 31.0, 0.9) < exact


def test_tail_sum_at_the_edges():
    assert saddlepoint.tail_sum(0, 5.0, 0.3) == 1.0
    assert saddlepoint.tail_sum(7, 5.0, 0.0) == 1.0
    assert saddlepoint.tail_sum(7, 5.0, 1.0) == math.inf
    assert saddlepoint.tail_sum(1, 5.0, 0.25) == pytest.approx(1.25, rel=1e-14)
