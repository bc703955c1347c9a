r"""What a bound must know of the sender: intensities, their uncertainty, class probabilities.

Phases are random, so a pulse of class k holds n photons with probability :math:`e^{-\mu_k}\mu_k^n/n!`, and
all that detections can depend on is n. Everything here follows from the joint weights
:math:`w_{k,n} = p_k e^{-\mu_k}\mu_k^n/n!`. Where an intensity is known only within an interval, and may
wander in it from pulse to pulse, each weight has a lower and an upper value. No tails, no counts here.
"""

import math
from itertools import pairwise
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.errors import DataFormatError

Floats = NDArray[np.float64]
Interval = tuple[float, float]


class SourceLike(Protocol):
    """Anything that names the intensities and probabilities of signal, decoy and perhaps vacuum."""

    @property
    def intensities(self) -> tuple[float, ...]:
        """Mean photon number per pulse."""

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Probability of each class."""

    @property
    def intensity_intervals(self) -> tuple[Interval, ...] | None:
        """Lowest and highest mean photon number of each class; None when they are exact."""


class SourceModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two or three classes in the order signal, decoy, vacuum. Raises DataFormatError when impossible.

    Phases random, pulses independent of each other and of the basis; classes drawn with exact probabilities.
    """

    intensities: tuple[float, ...]
    """Mean photon numbers, falling."""
    probabilities: tuple[float, ...]
    """Of the classes; their sum is 1."""
    intensity_intervals: tuple[Interval, ...] | None = None
    """Where each mean photon number may lie, whatever it is from pulse to pulse; None: exact."""

    def __post_init__(self) -> None:
        _check_intensities(self.intensities)
        if len(self.probabilities) != len(self.intensities):
            raise DataFormatError(
                f"source probabilities: expected {len(self.intensities)}, one for each intensity, got "
                f"{self.probabilities}"
            )
        if not min(self.probabilities) > 0 or abs(sum(self.probabilities) - 1) > 1e-9:
            raise DataFormatError(
                f"source probabilities: expected all above 0 with a sum of 1, got {self.probabilities}"
            )
        if self.intensity_intervals is not None:
            _check_intervals(self.intensities, self.intensity_intervals)

    @classmethod
    def of(cls, source: SourceLike) -> "SourceModel":
        """The part of a source's settings that a bound may use."""
        return cls(source.intensities, source.probabilities, source.intensity_intervals)

    @property
    def classes(self) -> int:
        """2 or 3."""
        return len(self.intensities)

    @property
    def exact(self) -> bool:
        """Whether every intensity is known exactly."""
        return self.intensity_intervals is None

    @property
    def mean_photons(self) -> Floats:
        """The nominal intensities, shape (classes,)."""
        return np.array(self.intensities, dtype=np.float64)

    @property
    def shares(self) -> Floats:
        """The probabilities, shape (classes,)."""
        return np.array(self.probabilities, dtype=np.float64)

    @property
    def weights(self) -> Floats:
        r""":math:`e^{\mu_k} / p_k` at the nominal intensities, shape (classes,)."""
        weights: Floats = np.exp(self.mean_photons) / self.shares
        return weights

    def joint(self, photons: int) -> Floats:
        """w_{k,n} at the nominal intensities, shape (classes,)."""
        mu = self.mean_photons
        joint: Floats = self.shares * np.exp(-mu) * mu**photons / math.factorial(photons)
        return joint

    def joint_bounds(self, photons: int) -> tuple[Floats, Floats]:
        """Lowest and highest w_{k,n} over the intervals, each of shape (classes,)."""
        if self.intensity_intervals is None:
            joint = self.joint(photons)
            return joint, joint
        pairs = [_poisson_bounds(photons, *interval) for interval in self.intensity_intervals]
        low, high = np.array(pairs).T * self.shares
        return low, high

    def photon_probability(self, photons: int) -> float:
        r""":math:`\tau_n`: probability that a pulse of any class holds n photons, at nominal intensities."""
        return float(self.joint(photons).sum())

    def class_share(self, photons: int) -> Floats:
        r""":math:`q_{k|n} = w_{k,n} / \tau_n`: class given n photons, nominal, shape (classes,)."""
        joint = self.joint(photons)
        share: Floats = joint / joint.sum()
        return share

    def share_of(self, members: tuple[bool, ...], photons: int) -> float:
        """Least probability that an n-photon pulse belongs to these classes; 1 when no other can hold n."""
        low, high = self.joint_bounds(photons)
        mask = np.array(members)
        others = float(high[~mask].sum())
        return 1.0 if others == 0 else float(low[mask].sum()) / (float(low[mask].sum()) + others)


def _poisson_bounds(photons: int, low: float, high: float) -> Interval:
    """Extremes of e^-mu mu^n / n! for mu in [low, high]; it rises up to mu = n and falls beyond."""
    ends = [_poisson(photons, low), _poisson(photons, high)]
    top = _poisson(photons, float(photons)) if low < photons < high else max(ends)
    return min(ends), top


def _poisson(photons: int, mean: float) -> float:
    return math.exp(-mean) * mean**photons / math.factorial(photons)


def _check_intensities(intensities: tuple[float, ...]) -> None:
    if len(intensities) == 2:
        signal, decoy = intensities
        possible = math.isfinite(signal) and signal > decoy > 0
    elif len(intensities) == 3:
        signal, decoy, vacuum = intensities
        possible = math.isfinite(signal) and signal > decoy + vacuum and decoy > vacuum >= 0
    else:
        possible = False
    if not possible:
        raise DataFormatError(
            "source intensities: expected signal > decoy + vacuum and decoy > vacuum >= 0, or two with "
            f"signal > decoy > 0, got {intensities}"
        )


def _check_intervals(intensities: tuple[float, ...], intervals: tuple[Interval, ...]) -> None:
    inside = len(intervals) == len(intensities) and all(
        0 <= low <= mean <= high < math.inf for mean, (low, high) in zip(intensities, intervals, strict=True)
    )
    if not inside:
        raise DataFormatError(
            f"source intensity_intervals: expected one [lowest, highest] around each of {intensities}, got "
            f"{intervals}"
        )
    for (low, _), (_, high) in pairwise(intervals):
        if not low > high:
            raise DataFormatError(
                f"source intensity_intervals: expected intervals that do not meet, got {intervals}; classes "
                "that may be equally bright tell nothing about photon numbers"
            )
