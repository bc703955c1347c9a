"""Pointing: what a Gaussian beam loses because it does not point exactly at the station.

Mean over a pointing error that is normal in both axes, with an optional constant bias. The far field is
taken as Gaussian and the receiver as small against the beam. Knows no time: how the error moves is for
whoever simulates fading.
Sources: Toyoshima et al., JOSA A 19, 567 (2002); Farid & Hranilovic, J. Lightwave Technol. 25, 1702 (2007).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
