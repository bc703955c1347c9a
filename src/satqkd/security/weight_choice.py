r"""Choosing weights before a block: from foretold counts, or from nothing but the source's settings.

Any weights that `verify` accepts are safe; good ones lie on a family of three parameters, because the best
ones meet two of their conditions with equality (no pulse holds more than it must). With :math:`W_k` of
`decoy.single_photon_weights`

.. math:: c_k = \ln(1+sW_k), \qquad a_1 = -\rho\ln\tau, \quad 0\le\rho\le1,

:math:`a_2` follows from the line of wrong single photons, :math:`a_3` from that of empty pulses, and
:math:`\theta` is the least that the line of right single photons allows; s and :math:`x_0` are the other
two. :math:`\tau` is the mean :math:`e^{-a}` of a single photon that the wrong line asks for: :math:`\rho = 1`
counts the errors of all classes alike, :math:`\rho = 0` tells photon numbers apart. The three are searched
for on a grid that closes in. Three classes only.
"""

import math
from functools import lru_cache
from itertools import product

import msgspec
import numpy as np

from satqkd.errors import ConfigError
from satqkd.security import decoy
from satqkd.security.source import Floats, Interval, SourceModel
from satqkd.security.weights import WeightSet, worst

_QUICK_ROUNDS, _BEST_ROUNDS = 4, 12
_GRID = np.stack([axis.ravel() for axis in np.meshgrid(*[np.linspace(-1.0, 1.0, 7)] * 3, indexing="ij")])
_FIRST_WIDTH = np.array([[3.0], [2.5], [0.5]])
_DIGITS = 6
_WORST_END_STEPS = 4

LADDER_SIZES = tuple(10 ** (i / 2) for i in range(8, 17))
"""Key-basis detections, a factor of 3.2 apart."""
LADDER_ERROR_RATES = (0.012, 0.025)
AROUND_SIZES = (0.3, 0.7, 1.5, 3.5)
"""Times the foretold counts."""
AROUND_ERRORS = (0.8, 1.4)
"""Times the foretold errors per detection."""
_LADDER_TRANSMITTANCE, _LADDER_BACKGROUND = 1e-3, 5e-7


class Foretold(msgspec.Struct, frozen=True, eq=False):
    """What a block is expected to give, said before it. shape (classes,), float64."""

    detections: Floats
    """Matched detections of the key basis."""
    errors: Floats
    """Errors of the test basis."""


def best_weights(
    source: SourceModel,
    keyed: tuple[bool, ...],
    test_share: Interval,
    *,
    foretold: Foretold,
    epsilon: float,
) -> WeightSet:
    """The set that would give the longest key if the counts came as foretold, to six digits, verified.

    epsilon: how often the bound may fail. Foretold counts that hold no key give a set that claims nothing.
    Raises ConfigError unless the source has three classes. Takes a few milliseconds.
    """
    return _choose(source, keyed, test_share, foretold, epsilon, rounds=_BEST_ROUNDS)


def quick_weights(
    source: SourceModel,
    keyed: tuple[bool, ...],
    test_share: Interval,
    *,
    foretold: Foretold,
    epsilon: float,
) -> WeightSet:
    """`best_weights` to about a hundredth of the key, under a millisecond, for use inside an optimiser."""
    return _choose(source, keyed, test_share, foretold, epsilon, rounds=_QUICK_ROUNDS)


def around(
    source: SourceModel,
    keyed: tuple[bool, ...],
    test_share: Interval,
    *,
    foretold: Foretold,
    epsilon: float,
) -> tuple[WeightSet, ...]:
    """Sets for blocks from a third to three times as large as foretold, with fewer or with more errors.

    epsilon: how often the best of them may fail.
    """
    detections, errors = tuple(foretold.detections.tolist()), tuple(foretold.errors.tolist())
    return _around(source, keyed, test_share, detections, errors, epsilon)


@lru_cache(maxsize=16)
def ladder(
    source: SourceModel, keyed: tuple[bool, ...], test_share: Interval, *, epsilon: float
) -> tuple[WeightSet, ...]:
    """Sets for any block when nothing was foretold: a function of the settings alone.

    Counts of a link of 30 dB in all sizes of `LADDER_SIZES` and error rates of `LADDER_ERROR_RATES` stand in
    for a prediction. epsilon: how often the best of the sets may fail.
    """
    expected = [
        _typical(source, test_share, size, rate) for size, rate in product(LADDER_SIZES, LADDER_ERROR_RATES)
    ]
    return _each(source, keyed, test_share, expected, epsilon)


@lru_cache(maxsize=16)
def _around(
    source: SourceModel,
    keyed: tuple[bool, ...],
    test_share: Interval,
    detections: tuple[float, ...],
    errors: tuple[float, ...],
    epsilon: float,
) -> tuple[WeightSet, ...]:
    expected = [
        Foretold(size * np.array(detections), size * rate * np.array(errors))
        for size, rate in product(AROUND_SIZES, AROUND_ERRORS)
    ]
    return _each(source, keyed, test_share, expected, epsilon)


def _each(
    source: SourceModel,
    keyed: tuple[bool, ...],
    test_share: Interval,
    expected: list[Foretold],
    epsilon: float,
) -> tuple[WeightSet, ...]:
    own = epsilon / len(expected)
    return tuple(best_weights(source, keyed, test_share, foretold=each, epsilon=own) for each in expected)


def _typical(source: SourceModel, test_share: Interval, size: float, rate: float) -> Foretold:
    light = -np.expm1(-np.array(source.intensities) * _LADDER_TRANSMITTANCE)
    sent = np.array(source.probabilities)
    detected, wrong = sent * (light + _LADDER_BACKGROUND), sent * (rate * light + _LADDER_BACKGROUND / 2)
    scale, t = size / detected.sum(), sum(test_share) / 2
    return Foretold(scale * detected, t / (1 - t) * scale * wrong)


def _choose(
    source: SourceModel,
    keyed: tuple[bool, ...],
    test_share: Interval,
    foretold: Foretold,
    epsilon: float,
    *,
    rounds: int,
) -> WeightSet:
    family = _Family(source, keyed, test_share)
    centre, width = family.start(foretold, epsilon)[:, None], _FIRST_WIDTH
    value = -math.inf
    for _ in range(rounds):
        points = centre + width * _GRID
        np.clip(points[2], 0.0, 1.0, out=points[2])
        values = family.values(points, foretold, epsilon)
        best = int(np.argmax(values))
        if values[best] > value:
            value, centre = float(values[best]), points[:, best : best + 1]
        width = width / 2
    chosen = family.weights(centre) if value > -math.inf else _nothing(test_share)
    chosen.verify(source, keyed, test_share)
    return chosen


class _Family:
    """The family of the module for one source, keyed classes and split."""

    def __init__(self, source: SourceModel, keyed: tuple[bool, ...], test_share: Interval) -> None:
        if source.classes != 3:
            raise ConfigError(f"weights: expected a source of three classes, got {source.classes}")
        self._kappa = np.array(keyed, dtype=np.float64)[:, None]
        self._source, self._keyed, self._shares = source, keyed, test_share
        self._share = test_share[0]
        self._shape = decoy.single_photon_weights(source)[:, None]
        self._empty, self._single = source.joint_bounds(0), source.joint_bounds(1)

    def start(self, foretold: Foretold, epsilon: float) -> Floats:
        """Logarithms of s and x0, and rho: where fluctuations weigh as much as the failure probability."""
        noise = float(np.square(self._shape[:, 0]) @ foretold.detections)
        largest = -float(self._shape.min())
        s = math.sqrt(-2 * math.log(epsilon) / noise) if noise > 0 else 1.0
        return np.array([math.log(min(s, 0.5 / largest if largest > 0 else s)), math.log(0.03), 0.5])

    def values(self, points: Floats, foretold: Foretold, epsilon: float) -> Floats:
        """Secret bits before leak and fixed costs, shape (points,); -inf where there are no such weights."""
        y, b, lost, alpha = self._terms(points)
        with np.errstate(all="ignore"):
            gained = foretold.detections @ np.log(y) + foretold.errors @ np.log(b) + math.log(epsilon)
            bits: Floats = alpha * gained / lost
        return np.where(np.isfinite(bits), bits, -np.inf)

    def weights(self, point: Floats) -> WeightSet:
        """The set at a point, shape (3, 1), rounded so that every condition still holds."""
        y, _, _, _ = self._terms(point)
        key = [_rounded(math.log(v), up=False) for v in y[:, 0]]
        error_rate = float(f"{min(math.exp(point[1, 0]), 0.49):.{_DIGITS}g}")
        chosen = WeightSet(tuple(key), (0.0,) * 3, error_rate, 1.0)
        y = np.exp(np.array(key))[:, None]
        theta = _rounded(float(self._lost(y)[0]) / chosen.alpha, up=True)
        wrong = y * np.exp(self._kappa * theta * (chosen.beta - chosen.alpha))
        for slack in (0.0, *np.logspace(-9, -2, 15).tolist()):
            b = self._error_factors(wrong, point[2], slack)
            errors = tuple(_rounded(-math.log(v), up=True) for v in b[:, 0])
            candidate = msgspec.structs.replace(chosen, errors=errors, theta=theta)
            if self._holds(candidate):
                return candidate
        return _nothing(self._shares)

    def _holds(self, weights: WeightSet) -> bool:
        try:
            weights.verify(self._source, self._keyed, self._shares)
        except ConfigError:
            return False
        return True

    def _terms(self, points: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """e^c and e^-a, each of shape (3, points), theta alpha and alpha; nan where there is none."""
        with np.errstate(all="ignore"):
            y = 1 + np.exp(points[0]) * self._shape
            y[y <= 0] = np.nan
            x0 = np.minimum(np.exp(points[1]), 0.49)
            alpha, beta = 1 + np.log2(1 - x0), np.log2((1 - x0) / x0)
            lost = self._lost(y)
            wrong = y * np.exp(self._kappa * np.minimum(lost * (beta / alpha - 1), 50.0))
            return y, self._error_factors(wrong, points[2]), lost, alpha

    def _lost(self, y: Floats) -> Floats:
        """Least theta alpha that the line of right single photons allows."""
        low, high = self._single
        w = np.where(self._shape > 0, high[:, None], low[:, None])
        rest, taken = (w * (1 - (1 - self._kappa) * y)).sum(axis=0), (w * self._kappa * y).sum(axis=0)
        lost: Floats = np.log(taken / rest)
        return lost

    def _error_factors(self, wrong: Floats, rho: Floats, slack: float = 0.0) -> Floats:
        """e^-a from the lines of wrong single photons, met but for the slack, and of empty pulses, met.

        With uncertain intensities the first is met at its worst ends, approached in a few steps.
        """
        (low, high), t = self._single, self._share
        middle, sure = (low + high) / 2, np.array_equal(low, high)
        weight = float(middle.sum())
        with np.errstate(all="ignore"):
            tau = (weight - (1 - t) * (middle @ wrong)) / (t * weight) - slack
            b = self._curve(tau, rho, middle)
            for _ in range(0 if sure else _WORST_END_STEPS):
                excess = worst(((1 - t) * (wrong - 1) + t * (b - 1)).T, low, high)
                tau = tau - excess / (t * weight) - slack
                b = self._curve(tau, rho, middle)
        b[b <= 0] = np.nan
        return b

    def _curve(self, tau: Floats, rho: Floats, middle: Floats) -> Floats:
        """e^-a of mean tau at middling intensities; the empty pulses' line decides on the vacuum's."""
        low, high = self._empty
        first, second, _ = low / high[2]
        b = np.empty((3, tau.size))
        b[0] = tau**rho
        left = tau * middle.sum() - middle[0] * b[0] - middle[2] * (1 + first * (1 - b[0]) + second)
        b[1] = left / (middle[1] - middle[2] * second)
        b[2] = 1 + first * (1 - b[0]) + second * (1 - b[1])
        return b


def _rounded(value: float, *, up: bool) -> float:
    """The nearest number of six significant digits that is not below, or not above."""
    rounded = float(f"{value:.{_DIGITS - 1}e}") + 0.0  # no negative zero
    short = rounded < value if up else rounded > value
    if not short:
        return rounded
    step = 10.0 ** (math.floor(math.log10(abs(rounded))) - _DIGITS + 1)
    return float(f"{rounded + (step if up else -step):.{_DIGITS - 1}e}")


def _nothing(test_share: Interval) -> WeightSet:
    """A set that holds for every source and claims no bit."""
    return WeightSet((0.0,) * 3, (1.0,) * 3, 0.25, test_share[0] / 2)
