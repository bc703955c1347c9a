r"""Weights per class, fixed before a block, that bound its secret bits by its announced counts.

Every key-basis detection of class k adds :math:`c_k`, every test-basis error :math:`-a_k`, every keyed single
photon takes :math:`\theta\alpha` away, every phase error among them gives :math:`\theta\beta` back. Call a
slot's sum f. The weights may be used if :math:`E[e^f] \le 1` whatever an adversary does with the slot:

.. math:: \textstyle\sum_k w_{k,n}(e^{c_k}-1) \le 0, \quad \sum_k w_{k,n}(e^{-a_k}-1) \le 0
    \qquad\text{for every } n \ne 1,

and, for single photons whose test-basis value is right, and wrong, for every t between the limits,

.. math:: \textstyle\sum_k w_{k,1}\big(e^{c_k-\kappa_k\theta\alpha}-1\big) \le 0, \quad
    \sum_k w_{k,1}\big[(1-t)\,e^{c_k+\kappa_k\theta(\beta-\alpha)}+t\,e^{-a_k}-1\big] \le 0,

with :math:`\kappa_k` = 1 for keyed classes and :math:`w_{k,n}` of `source`. Each line is linear in every
weight w and in t: where these are known within intervals their worst ends decide, which covers values that
wander from slot to slot. The proof, and what else must hold: docs/design/martingale.md. No counts here.
"""

import math
from functools import lru_cache

import msgspec
import numpy as np

from satqkd.errors import ConfigError
from satqkd.security.source import Floats, Interval, SourceModel

MARGIN = 1e-12
"""Conditions are checked with this taken from every c and added to every a; bounds take twice as much. So
neither rounding in the check nor another machine's exponential can matter."""
_MOST_PHOTONS = 400
_LARGEST = 50.0
"""Of weights and slopes: beyond it exponentials say nothing."""


class WeightSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One set of weights, plain numbers for the wire. `verify` says whether it may be used."""

    key: tuple[float, ...]
    """c: what a key-basis detection of each class adds, keyed or not."""
    errors: tuple[float, ...]
    """a: what a test-basis error of each class takes away."""
    error_rate: float
    r""":math:`x_0` in (0, 1/2), where :math:`1-h(x)` is replaced by its tangent :math:`\alpha-\beta x`."""
    theta: float
    r""":math:`\theta`: sums of weights per secret bit."""

    @property
    def alpha(self) -> float:
        r""":math:`\alpha = 1+\log_2(1-x_0)`: secret bits of a single photon without phase errors."""
        return 1 + math.log2(1 - self.error_rate)

    @property
    def beta(self) -> float:
        r""":math:`\beta = \log_2((1-x_0)/x_0)`: secret bits that a phase error takes."""
        return math.log2((1 - self.error_rate) / self.error_rate)

    def verify(self, source: SourceModel, keyed: tuple[bool, ...], test_share: Interval) -> None:
        """Raises ConfigError naming the condition that fails, and at which photon number.

        keyed: which classes are key.  test_share: lowest and highest t, the probability that a matched round
        is a test round, in (0, 1).  Takes some 50 microseconds.
        """
        self._check_slope(test_share)
        c, b = np.array(self.key) - MARGIN, -np.array(self.errors) - MARGIN
        check_photon_numbers("key", c, source)
        check_photon_numbers("errors", b, source)
        mask = np.array(keyed)
        lost = self.theta * self.alpha
        right = np.expm1(np.where(mask, c - lost, c))
        _check_single("single photons without error", right, source)
        wrong = np.exp(np.where(mask, c + self.theta * (self.beta - self.alpha), c))
        for t in test_share:
            _check_single(
                f"single photons with error at a test share of {t:g}",
                (1 - t) * (wrong - 1) + t * np.expm1(b),
                source,
            )

    def exponent(self, detections: Floats, errors: Floats) -> float:
        r""":math:`\sum_k c_k n_k - \sum_k a_k m_k` with the margin, each array of shape (classes,)."""
        c, a = np.array(self.key) - 2 * MARGIN, np.array(self.errors) + 2 * MARGIN
        return float(c @ detections - a @ errors)

    def _check_slope(self, test_share: Interval) -> None:
        if not 0 < self.error_rate < 0.5:
            raise ConfigError(f"weights error_rate: expected 0 < error_rate < 1/2, got {self.error_rate}")
        if not (self.theta > 0 and self.theta * self.beta <= _LARGEST):
            raise ConfigError(
                f"weights theta: expected theta > 0 and theta beta <= {_LARGEST:g}, got {self.theta} "
                f"with beta = {self.beta:.6g}"
            )
        low, high = test_share
        if not 0 < low <= high < 1:
            raise ConfigError(f"test share: expected 0 < lowest <= highest < 1, got {test_share}")


def check_photon_numbers(name: str, values: Floats, source: SourceModel) -> None:
    r"""Whether :math:`\sum_k w_{k,n}(e^{v_k}-1) \le 0` for every n but 1; else ConfigError with the first n.

    values: v, shape (classes,), the margin taken off. Numbers up to 400 are summed; there the brightest class
    must outweigh all that is positive, as it then does for every larger n.
    """
    if len(values) != source.classes or not (np.abs(values) <= _LARGEST).all():
        raise ConfigError(
            f"weights {name}: expected {source.classes} numbers, one for each class, within {_LARGEST:g} "
            f"of 0, got {values.tolist()}"
        )
    low, high = _joint_table(source).others
    v = np.expm1(values)
    failing = np.flatnonzero(~(worst(v, low, high) <= 0))
    if failing.size:
        photons = int(failing[0]) + int(failing[0] > 0)
        raise ConfigError(_refusal(name, f"pulses of {photons} photons", values))
    gained = float(np.maximum(v, 0.0)[1:] @ high[-1, 1:])
    if not gained <= -float(v[0] * low[-1, 0]):
        raise ConfigError(_refusal(name, f"pulses of more than {_MOST_PHOTONS} photons", values))


def worst(values: Floats, lower: Floats, upper: Floats) -> Floats:
    """Largest sum over the classes, the last axis, of value times weight, each weight between its limits."""
    total: Floats = np.maximum(values * lower, values * upper).sum(axis=-1)
    return total


def _check_single(name: str, v: Floats, source: SourceModel) -> None:
    excess = float(worst(v, *_joint_table(source).single))
    if not excess <= 0:
        raise ConfigError(
            f"weights: {name}: expected a sum of at most 0 over the classes, got {excess:.3g}; theta, key or "
            "errors are too large or too small for each other, or the weights are of another source or split"
        )


def _refusal(name: str, pulses: str, values: Floats) -> str:
    return (
        f"weights {name}: expected sum_k w_k (exp(v_k) - 1) <= 0 for {pulses}, got more with v = "
        f"{[float(f'{x:.6g}') for x in values]}; the weights are of another source or were never right"
    )


class _Joint(msgspec.Struct, frozen=True, eq=False):
    """Lowest and highest w_{k,n} of a source."""

    single: tuple[Floats, Floats]
    """n = 1, shape (classes,) each."""
    others: tuple[Floats, Floats]
    r""":math:`w_{k,n}\,n!/\hat\mu^n` for n = 0, 2, 3, ...: shape (photon numbers, classes) each. Divided by a
    power of the brightest mean, which changes no sign and keeps rows from vanishing."""


@lru_cache(maxsize=64)
def _joint_table(source: SourceModel) -> _Joint:
    intervals = source.intensity_intervals or tuple((mu, mu) for mu in source.intensities)
    means = np.array(intervals).T
    photons = np.array([0, *range(2, _MOST_PHOTONS + 1)], dtype=np.float64)[:, None]

    def scaled(mu: Floats) -> Floats:
        joint: Floats = np.array(source.probabilities) * np.exp(-mu) * (mu / means[1, 0]) ** photons
        return joint

    ends = scaled(means[0]), scaled(means[1])
    # e^-mu mu^n rises up to mu = n: the clipped n is where it is largest.
    others = np.minimum(*ends), scaled(np.clip(photons, means[0], means[1]))
    return _Joint(single=source.joint_bounds(1), others=others)
