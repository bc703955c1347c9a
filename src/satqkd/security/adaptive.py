r"""Tails of one count that an adversary steers: nothing is independent, every bound holds all the same.

X is a sum of 0/1 variables, A the sum of their conditional expectations, each given all that came before.
Two families, both with a number fixed beforehand that costs key when it is wrong and never security.
`kato_*`: Kato, arXiv:2002.04357, for a fixed number n of variables, g a guess of X,

.. math:: \Pr\Big[A-X\ge\big(b+a(\tfrac{2X}{n}-1)\big)\sqrt n\Big]
    \le\exp\Big(\frac{-2(b^2-a^2)}{(1+\frac{4a}{3\sqrt n})^2}\Big) .

`martingale_*`: Chernoff's bound with predictable means, and Ville's inequality, for any number of
variables, also one that is not fixed: :math:`\prod_j e^{-sx_j}/(1-p_j(1-e^{-s}))` is a martingale of mean 1.
Each bound is one-sided and fails with probability <= `epsilon`. Kato's formulas are recalled and checked
numerically (docs/design/martingale.md). Knows no photons.
"""

import math


def kato_upper(count: float, trials: float, *, guess: float, epsilon: float) -> float:
    r""":math:`A \le X + (b + a(2X/n-1))\sqrt n`; rises with the count where 1 + 2a/sqrt(n) >= 0."""
    root, (a, b) = math.sqrt(trials), _coefficients(guess, trials, epsilon)
    return count + (b - a) * root + 2 * a * count / root


def kato_lower(count: float, trials: float, *, guess: float, epsilon: float) -> float:
    r""":math:`A \ge X - (b + a(1-2X/n))\sqrt n`, a and b for the guess n - g: the upper bound of n - X."""
    root, (a, b) = math.sqrt(trials), _coefficients(trials - guess, trials, epsilon)
    return count - (b + a) * root + 2 * a * count / root


def kato_count_lower(mean: float, trials: float, *, guess: float, epsilon: float) -> float:
    """X from below, A known at least: `kato_upper` solved for the count. 0 where it does not rise with it."""
    root, (a, b) = math.sqrt(trials), _coefficients(guess, trials, epsilon)
    rise = 1 + 2 * a / root
    return max(0.0, (mean - (b - a) * root) / rise) if rise > 0 else 0.0


def martingale_upper(count: float, trials: float, *, slope: float, epsilon: float) -> float:
    r""":math:`A \le N(1-e^{-(sX+L)/N})/(1-e^{-s})`; trials may be infinite, :math:`(sX+L)/(1-e^{-s})`."""
    reach = slope * count - math.log(epsilon)
    drained = reach if math.isinf(trials) else -trials * math.expm1(-reach / trials)
    return drained / -math.expm1(-slope)


def martingale_lower(count: float, trials: float, *, slope: float, epsilon: float) -> float:
    r""":math:`A \ge N(e^{(sX-L)/N}-1)/(e^s-1)`; trials may be infinite, :math:`(sX-L)/(e^s-1)`."""
    reach = slope * count + math.log(epsilon)
    drained = reach if math.isinf(trials) else trials * math.expm1(reach / trials)
    return drained / math.expm1(slope)


def best_slope(guess: float, trials: float, *, epsilon: float, upper: bool) -> float:
    r"""The slope s that is best if the count comes as guessed: :math:`N\,kl(g/N, y) = L` solved for y.

    guess: strictly between 0 and trials.
    """
    x, limit = guess / trials, -math.log(epsilon) / trials
    inside, outside = x, (1.0 if upper else 0.0)
    for _ in range(200):
        y = 0.5 * (inside + outside)
        if _divergence(x, y) < limit:
            inside = y
        else:
            outside = y
    y = 0.5 * (inside + outside)
    return abs(math.log(y * (1 - x) / (x * (1 - y))))


def _coefficients(guess: float, trials: float, epsilon: float) -> tuple[float, float]:
    """a, best for the guess, and the b that makes the failure probability epsilon for any a.

    Rounding in a moves its optimum, not the probability, since b follows from the a that is used.
    """
    n, root, log = trials, math.sqrt(trials), math.log(epsilon)
    inner = 9 * guess * (n - guess) - 2 * n * log
    bracket = 72 * root * guess * (n - guess) * log - 16 * n * root * log**2
    bracket += 9 * math.sqrt(2) * (n - 2 * guess) * n * math.sqrt(-log * inner)
    a = 3 * bracket / (4 * (9 * n - 8 * log) * inner)
    return a, math.sqrt(a * a - log / 2 * (1 + 4 * a / (3 * root)) ** 2)


def _divergence(x: float, y: float) -> float:
    """Relative entropy of coins x and y."""
    return x * math.log(x / y) + (1 - x) * math.log((1 - x) / (1 - y))
