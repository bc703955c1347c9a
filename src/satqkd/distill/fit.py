"""The clock about one moment: when a tag's light was emitted, and what the error of that stays below.

To second order about the middle of a window of some tenths of a second; the bound grows outside of it. It is
the sum of 4 standard deviations of the fit, of the jerk of a low orbit (3 m/s^3: overhead at 360 km), and of
a station's clock whose frequency changes by less than 1e-10 in a second. No beacons, no pulses here.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from satqkd.constants import PS_PER_S, SPEED_OF_LIGHT_M_S

Times = NDArray[np.int64]
Floats = NDArray[np.float64]

SIGMAS: Final = 4.0
LARGEST_JERK_M_S3: Final = 3.0
CLOCK_WANDER_PER_S: Final = 1e-10
_CUBIC: Final = LARGEST_JERK_M_S3 / SPEED_OF_LIGHT_M_S / 6 / float(PS_PER_S) ** 2  # ps of error per ps^3


@dataclass(frozen=True)
class Fit:
    """Emission relative to event `index` = (t - origin) + c0 + c1 x + c2 x^2, x = (t - origin) / half."""

    origin_ps: int
    index: int
    half_ps: float
    coefficients_ps: Floats
    """c0, c1, c2."""
    spread_ps: Floats
    """A root of their covariance, shape (3, m): covariance = spread spread^T."""

    def emission_ps(self, time_ps: Times) -> Floats:
        """Time since the event, on the satellite's clock."""
        dt = (time_ps - self.origin_ps).astype(np.float64)
        c0, c1, c2 = self.coefficients_ps
        x = dt / self.half_ps
        return np.asarray(dt + (c0 + x * (c1 + x * c2)))

    def about(self, origin_ps: int, half_ps: float) -> "Fit":
        """The same time of emission about another origin; what the bound adds there is in the spread."""
        d, h, to = float(origin_ps - self.origin_ps), self.half_ps, half_ps
        turned = np.array([[1, d / h, (d / h) ** 2], [0, to / h, 2 * d * to / h**2], [0, 0, (to / h) ** 2]])
        coefficients = turned @ self.coefficients_ps
        coefficients[0] += d
        jerk = _CUBIC / 2 * np.array([[d**3], [3 * d**2 * to], [3 * d * to**2]])
        wander = CLOCK_WANDER_PER_S / PS_PER_S / 2 * np.array([[d**2], [2 * d * to], [to**2]])
        spread = np.concatenate([turned @ self.spread_ps, jerk, wander], axis=1)
        return Fit(origin_ps, self.index, to, coefficients, spread)

    def bound_ps(self, time_ps: Times) -> Floats:
        """What the error of `emission_ps` stays below."""
        dt = np.abs(time_ps - self.origin_ps).astype(np.float64)
        powers = np.vander(np.atleast_1d(time_ps - self.origin_ps) / self.half_ps, 3, increasing=True)
        noise = SIGMAS * np.linalg.norm(powers @ self.spread_ps, axis=1)
        return np.asarray(noise + _CUBIC * dt**3 + CLOCK_WANDER_PER_S / PS_PER_S * dt**2)


def spread_of(covariance: NDArray[np.float64]) -> Floats:
    """A root of a covariance, for `Fit.spread_ps`."""
    variances, axes = np.linalg.eigh(covariance)
    return np.asarray(axes * np.sqrt(np.maximum(variances, 0.0)))


def bound_at(fit: Fit, time_ps: int) -> float:
    """`Fit.bound_ps` at one time."""
    return float(fit.bound_ps(np.array([time_ps]))[0])
