r"""Decoy states: from expected counts per intensity to single photons and their errors.

Intensities :math:`\mu_1 > \mu_2 > \mu_3 \ge 0`, :math:`\mu_1 > \mu_2 + \mu_3`, in the order signal, decoy,
vacuum; :math:`\tau_n = \sum_k p_k e^{-\mu_k} \mu_k^n / n!`. The three inequalities hold for the sums of
conditional expectations :math:`n^*_k = \sum_n q_{k|n} N_n` with N_n the true number of n-photon events,
so what they bound are true numbers. Knows no tails and no key. Source: Lim et al., PRA 89, 022307 (2014),
equations 2-4.
"""

import math
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.errors import DataFormatError

Floats = NDArray[np.float64]


class SourceLike(Protocol):
    """Anything that names the intensities and probabilities of signal, decoy, vacuum."""

    @property
    def intensities(self) -> tuple[float, float, float]:
        """Mean photon number per pulse."""

    @property
    def probabilities(self) -> tuple[float, float, float]:
        """Probability of each class."""


class SourceModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bound must know of the source. Phases random, intensities exact, classes independent."""

    intensities: tuple[float, float, float]
    """Mean photon numbers of signal, decoy, vacuum."""
    probabilities: tuple[float, float, float]
    """Probabilities of signal, decoy, vacuum; their sum is 1."""

    def __post_init__(self) -> None:
        signal, decoy, vacuum = self.intensities
        if not (signal > decoy + vacuum and decoy > vacuum >= 0 and math.isfinite(signal)):
            raise DataFormatError(
                "source intensities: expected signal > decoy + vacuum and decoy > vacuum >= 0, "
                f"got {self.intensities}"
            )
        if not min(self.probabilities) > 0 or abs(sum(self.probabilities) - 1) > 1e-9:
            raise DataFormatError(
                f"source probabilities: expected three above 0 with a sum of 1, got {self.probabilities}"
            )

    @property
    def weights(self) -> Floats:
        r""":math:`e^{\mu_k} / p_k`, shape (3,)."""
        weights: Floats = np.exp(np.array(self.intensities)) / np.array(self.probabilities)
        return weights

    def photon_probability(self, photons: int) -> float:
        r""":math:`\tau_n`: probability that a pulse of any class holds n photons."""
        return float(self._joint(photons).sum())

    def class_share(self, photons: int) -> Floats:
        r""":math:`q_{k|n} = p_k e^{-\mu_k} \mu_k^n / (n!\,\tau_n)`: class given n photons, shape (3,)."""
        joint = self._joint(photons)
        share: Floats = joint / joint.sum()
        return share

    def _joint(self, photons: int) -> Floats:
        mu, p = np.array(self.intensities), np.array(self.probabilities)
        joint: Floats = p * np.exp(-mu) * mu**photons / math.factorial(photons)
        return joint


class Expectations(msgspec.Struct, frozen=True, eq=False):
    """Bounds of the expected counts per class, shape (3,); NaN where no formula here reads them."""

    lower: Floats
    upper: Floats


def vacuum_lower(source: SourceModel, counts: Expectations) -> float:
    r"""Detections of empty pulses, at least.

    .. math:: N_0 \ge \tau_0\,\frac{\mu_2 n^-_3 - \mu_3 n^+_2}{\mu_2-\mu_3}, \qquad
        n^\pm_k = \frac{e^{\mu_k}}{p_k} n^{*\pm}_k
    """
    _, mu2, mu3 = source.intensities
    low, high = source.weights * counts.lower, source.weights * counts.upper
    # The decoy's upper bound is not computed for a true vacuum: it would be one event more for nothing.
    leakage = mu3 * high[1] if mu3 > 0 else 0.0
    return max(0.0, source.photon_probability(0) * float(mu2 * low[2] - leakage) / (mu2 - mu3))


def single_photons_lower(source: SourceModel, counts: Expectations) -> float:
    r"""Detections of single photons over all classes, at least.

    .. math:: N_1 \ge \frac{\mu_1\tau_1}{\mu_1(\mu_2-\mu_3)-(\mu_2^2-\mu_3^2)}
        \Big[n^-_2-n^+_3-\frac{\mu_2^2-\mu_3^2}{\mu_1^2}\Big(n^+_1-\frac{N_0}{\tau_0}\Big)\Big]
    """
    mu1, mu2, mu3 = source.intensities
    low, high = source.weights * counts.lower, source.weights * counts.upper
    empty = vacuum_lower(source, counts) / source.photon_probability(0)
    squares = mu2**2 - mu3**2
    bracket = float(low[1] - high[2] - squares / mu1**2 * (high[0] - empty))
    return max(0.0, mu1 * source.photon_probability(1) * bracket / (mu1 * (mu2 - mu3) - squares))


def single_photon_errors_upper(source: SourceModel, errors: Expectations) -> float:
    r"""Errors of single photons over all classes, at most: :math:`\tau_1 (m^+_2 - m^-_3)/(\mu_2-\mu_3)`."""
    _, mu2, mu3 = source.intensities
    high, low = source.weights * errors.upper, source.weights * errors.lower
    return max(0.0, source.photon_probability(1) * float(high[1] - low[2]) / (mu2 - mu3))
