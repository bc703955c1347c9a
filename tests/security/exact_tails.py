"""Tails by other means than the code's: whole numbers where they can be counted, else 60-digit decimals.

Decimal sums go term by term, and factorials by Stirling's series far out, so nothing is shared with the code
but the definitions.
"""

import math
from collections.abc import Iterator
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np

DIGITS = 60
_FAR = 200
_NEGLIGIBLE = Decimal("1e-12")
_HALF_LOG_TWO_PI = Decimal("0.918938533204672741780329736405617639861397473637783412817151540")
_STIRLING = [(1, 12), (-1, 360), (1, 1260), (-1, 1680), (1, 1188), (-691, 360360), (1, 156), (-3617, 122400)]


def binomial_at_least(n: int, x: int, p: Fraction) -> Fraction:
    """Pr[Bin(n, p) >= x], exactly, over the common denominator."""
    top, bottom = p.numerator, p.denominator
    ways = sum(math.comb(n, i) * top**i * (bottom - top) ** (n - i) for i in range(x, n + 1))
    return Fraction(ways, bottom**n)


def hypergeometric_cdf(k: int, population: int, marked: int, drawn: int) -> Fraction:
    """Pr[at most k marked items among those drawn], exactly."""
    low = max(0, drawn + marked - population)
    ways = sum(math.comb(marked, i) * math.comb(population - marked, drawn - i) for i in range(low, k + 1))
    return Fraction(ways, math.comb(population, drawn))


def log_factorial(n: int) -> Decimal:
    """ln n!; what the series leaves out is below 1e-38."""
    with localcontext(prec=DIGITS):
        x, product = Decimal(n), Decimal(1)
        while x < _FAR:
            x += 1
            product *= x
        y = 1 / x
        series, power = Decimal(0), y
        for top, bottom in _STIRLING:
            series += Decimal(top) / bottom * power
            power *= y * y
        return (x + Decimal("0.5")) * x.ln() - x + _HALF_LOG_TWO_PI + series - product.ln()


def log_binomial_tail(n: int, x: int, mean: Decimal, step: int) -> float:
    """ln Pr[Bin >= x] (step 1) or ln Pr[Bin <= x] (step -1), x beyond the mean of the n trials."""
    with localcontext(prec=DIGITS):
        p = mean / n
        first = (
            log_factorial(n)
            - log_factorial(x)
            - log_factorial(n - x)
            + (x * p.ln() if x else 0)
            + ((n - x) * (1 - p).ln() if x < n else 0)
        )
        odds = p / (1 - p)
        return float(first + _sum(_binomial_ratios(n, x, odds, step)).ln())


def _binomial_ratios(n: int, x: int, odds: Decimal, step: int) -> Iterator[Decimal]:
    while 0 <= x <= n:
        yield Decimal(n - x) / (x + 1) * odds if step == 1 else Decimal(x) / ((n - x + 1) * odds)
        x += step


def log_hypergeometric(m: int, tested: int, keyed: int, j: int) -> Decimal:
    """ln Pr[exactly m of the m + j marked rounds are among the tested]."""
    with localcontext(prec=DIGITS):
        margins = (m + j, tested + keyed - m - j, tested, keyed)
        cells = (m, j, tested - m, keyed - j, tested + keyed)
        return sum(map(log_factorial, margins), Decimal(0)) - sum(map(log_factorial, cells), Decimal(0))


def log_hypergeometric_tail(m: int, tested: int, keyed: int, j: int) -> float:
    """ln Pr[at most m of the m + j marked rounds are among the tested], below the mode."""
    with localcontext(prec=DIGITS):
        ratios = (
            Decimal((m - i) * (keyed - j - i)) / ((j + 1 + i) * (tested - m + 1 + i))
            for i in range(min(m, keyed - j) + 1)
        )
        return float(log_hypergeometric(m, tested, keyed, j) + _sum(ratios).ln())


def _sum(ratios: Iterator[Decimal]) -> Decimal:
    """1 + r_1 + r_1 r_2 + ...; what is left out is below 1e-12 of it."""
    term = total = Decimal(1)
    with localcontext(prec=28):
        for ratio in ratios:
            term *= ratio
            total += term
            if ratio < 1 and term < (1 - ratio) * total * _NEGLIGIBLE:
                break
    return total


def poisson_binomial(probabilities: list[float]) -> np.ndarray:
    """Distribution of a sum of independent 0/1 variables, rounded as doubles are."""
    distribution = np.ones(1)
    for p in probabilities:
        distribution = np.convolve(distribution, [1 - p, p])
    return distribution
