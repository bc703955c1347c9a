"""Pointing: what a Gaussian beam loses because it does not point exactly at the station.

Mean and distribution over a pointing error that is normal in both axes, with an optional constant bias. The
far field is taken as Gaussian and the receiver as small against the beam. Knows no time: how the error moves
is in `fading`.
Sources: Toyoshima et al., JOSA A 19, 567 (2002); Farid & Hranilovic, J. Lightwave Technol. 25, 1702 (2007).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.errors import ConfigError

Array = NDArray[np.float64]


def mean_pointing_fraction(
    jitter_rad: ArrayLike, *, half_angle_rad: float, bias_rad: ArrayLike = 0.0
) -> NDArray[np.float64]:
    r"""Mean of the on-axis intensity kept, over normal jitter around a static bias.

    .. math::  \langle\eta\rangle = \frac{w^2}{w^2 + 4\sigma^2}
        \exp\!\Big(\frac{-2 b^2}{w^2 + 4\sigma^2}\Big)
        \quad\Big(= \frac{\beta}{\beta+1},\ \beta = \frac{w^2}{4\sigma^2},\ \mathrm{for}\ b = 0\Big)

    jitter_rad: standard deviation sigma per axis; bias_rad: b, distance of the mean error from the axis;
    half_angle_rad: 1/e^2 half angle w. Arrays broadcast; returns their shape, values in [0, 1].
    """
    sigma, b = np.asarray(jitter_rad, dtype=np.float64), np.asarray(bias_rad, dtype=np.float64)
    w_sq = half_angle_rad**2
    spread_sq = w_sq + 4 * sigma**2
    return np.asarray(w_sq / spread_sq * np.exp(-2 * b**2 / spread_sq))


def pointing_fraction_pdf(
    fraction: ArrayLike, *, jitter_rad: float, half_angle_rad: float, bias_rad: float = 0.0
) -> Array:
    r"""Density of the instantaneous fraction I kept, a beta density for no bias.

    .. math::  f(I) = \beta I^{\beta-1}\,e^{-b^2/2\sigma^2}\,I_0\!\Big(\frac{b\,\theta}{\sigma^2}\Big),
        \quad \theta = w\sqrt{-\tfrac12\ln I}, \quad \beta = \frac{w^2}{4\sigma^2}

    The error theta is Rayleigh, or Rice for a bias, and I = exp(-2 theta^2 / w^2). fraction: I of any shape;
    0 outside (0, 1]. jitter_rad > 0. Computed as a logarithm, so that neither factor overflows.
    """
    from scipy.special import i0e

    I = np.asarray(fraction, dtype=np.float64)  # noqa: E741 - the letter of the equation
    inside = (I > 0) & (I <= 1)
    log_fraction = np.log(np.where(inside, I, 1.0))
    sigma_sq, theta = jitter_rad**2, half_angle_rad * np.sqrt(-log_fraction / 2)
    log_density = (
        np.log(_beta(jitter_rad, half_angle_rad))
        - log_fraction
        - (theta - bias_rad) ** 2 / (2 * sigma_sq)
        + np.log(i0e(bias_rad * theta / sigma_sq))
    )
    return np.where(inside, np.exp(np.where(inside, log_density, 0.0)), 0.0)


def pointing_fraction_cdf(
    fraction: ArrayLike, *, jitter_rad: float, half_angle_rad: float, bias_rad: float = 0.0
) -> Array:
    r"""Probability that no more than this fraction is kept.

    .. math::  F(I) = I^\beta \;(b = 0), \qquad
        1 - F_{\chi^2}\!\Big(\frac{\theta^2}{\sigma^2};\ 2,\ \frac{b^2}{\sigma^2}\Big)

    with theta of `pointing_fraction_pdf` and the noncentral chi-square distribution of two degrees. A biased
    tail below 1e-15 is rounded to 0.
    """
    I = np.clip(np.asarray(fraction, dtype=np.float64), 0.0, 1.0)  # noqa: E741
    beta = _beta(jitter_rad, half_angle_rad)
    if bias_rad == 0:
        return np.asarray(I**beta)
    from scipy.special import chndtr

    with np.errstate(divide="ignore"):
        deviation_sq = -2 * beta * np.log(I)
    kept = chndtr(np.where(np.isfinite(deviation_sq), deviation_sq, 0.0), 2, (bias_rad / jitter_rad) ** 2)
    return np.where(I > 0, np.maximum(1 - kept, 0.0), 0.0)


def pointing_fraction_quantile(
    probability: ArrayLike, *, jitter_rad: float, half_angle_rad: float, bias_rad: float = 0.0
) -> Array:
    r"""Fraction that is not reached with this probability, :math:`u^{1/\beta}` for no bias.

    The inverse of `pointing_fraction_cdf`; probability: u in [0, 1], any shape.
    """
    u = np.asarray(probability, dtype=np.float64)
    beta = _beta(jitter_rad, half_angle_rad)
    if bias_rad == 0:
        return np.asarray(u ** (1 / beta))
    from scipy.special import chndtrix

    deviation_sq = np.where(u > 0, chndtrix(np.where(u > 0, 1 - u, 0.5), 2, (bias_rad / jitter_rad) ** 2), 0)
    return np.where(u > 0, np.exp(-deviation_sq / (2 * beta)), 0.0)


def _beta(jitter_rad: float, half_angle_rad: float) -> float:
    if jitter_rad <= 0:
        raise ConfigError(
            f"pointing jitter {jitter_rad} rad has no distribution; expected a positive standard deviation"
        )
    return (half_angle_rad / (2 * jitter_rad)) ** 2
