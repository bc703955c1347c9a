"""Diffraction: how much of the beam that leaves the satellite the station's telescope catches.

Either the beam is known by its waist behind a truncating aperture (far field of a truncated Gaussian),
or only by a divergence angle; then the angle's convention must be said, for the wrong one costs up to
5 dB. Pointing, atmosphere and obscurations are other functions. Knows no orbit and no clock.
Sources: Siegman, Lasers (1986), ch. 17-18; Klein & Degnan, Appl. Opt. 13, 2134 (1974).
"""

from typing import Final, Literal, assert_never

import numpy as np
from numpy.typing import ArrayLike, NDArray

Convention = Literal["disc_full", "gaussian_1e2_full", "gaussian_fwhm_full"]

_FWHM_PER_HALF_ANGLE: Final = float(np.sqrt(2 * np.log(2)))
"""Full width at half maximum over 1/e^2 half angle, of a Gaussian intensity."""


def collected_fraction(
    range_m: ArrayLike,
    *,
    wavelength_m: float,
    aperture_radius_m: float,
    waist_radius_m: float,
    receiver_radius_m: float,
) -> NDArray[np.float64]:
    r"""Fraction of the emitted power inside the receiving aperture, perfectly pointed.

    .. math::  \eta = 1 - e^{-g}, \qquad
        g = \frac{2\pi^2 a_R^2 w^2}{\lambda^2 L^2}\,\frac{(1-e^{-\alpha^2})^2}{1-e^{-2\alpha^2}},
        \quad \alpha = a_T / w

    The waist w is the 1/e^2 intensity radius at the aperture of radius a_T; emitted power is what passes
    the aperture. range_m: slant range L, any shape, > 0. Returns an array of the same shape in [0, 1].
    Exact for a receiver much smaller than the beam. For 1 m at 500 km from a 300 mm telescope it is 1.2 %
    below the double integral over the receiver, under 0.3 % at 1200 km.
    """
    L, w, lam = np.asarray(range_m, dtype=np.float64), waist_radius_m, wavelength_m
    alpha_sq = (aperture_radius_m / w) ** 2
    truncation = np.expm1(-alpha_sq) ** 2 / -np.expm1(-2 * alpha_sq)
    g = 2 * (np.pi * receiver_radius_m * w / (lam * L)) ** 2 * truncation
    return np.asarray(-np.expm1(-g))


def collected_fraction_of_divergence(
    range_m: ArrayLike, *, divergence_rad: float, convention: Convention, receiver_radius_m: float
) -> NDArray[np.float64]:
    r"""Fraction of the emitted power inside the receiving aperture of a beam of known divergence.

    .. math::  \eta_\mathrm{disc} = \min\!\Big(1, \frac{a_R^2}{(\theta L / 2)^2}\Big), \qquad
        \eta_\mathrm{Gauss} = 1 - e^{-2 a_R^2 / (w_\theta L)^2}

    `disc_full`: a uniform disc of full angle theta; `gaussian_1e2_full`: w_theta = theta / 2;
    `gaussian_fwhm_full`: w_theta = theta / sqrt(2 ln 2). Perfectly pointed.
    range_m: slant range L, any shape, > 0. Returns an array of the same shape in [0, 1].
    """
    L = np.asarray(range_m, dtype=np.float64)
    if convention == "disc_full":
        return np.minimum(1.0, (2 * receiver_radius_m / (divergence_rad * L)) ** 2)
    beam_radius_m = gaussian_half_angle_rad(divergence_rad, convention) * L
    return np.asarray(-np.expm1(-2 * (receiver_radius_m / beam_radius_m) ** 2))


def gaussian_half_angle_rad(divergence_rad: float, convention: Convention) -> float:
    r"""1/e^2 intensity half angle w_theta of the Gaussian that stands for the beam in pointing.

    .. math::  w_\theta = \theta/\sqrt2 \;(\mathrm{disc}), \quad
        \theta/2 \;(1/e^2), \quad \theta/\sqrt{2\ln2} \;(\mathrm{FWHM})

    A disc of full angle theta has on-axis intensity 4P/(pi theta^2), a Gaussian 2P/(pi w^2): the Gaussian
    of the same power and the same on-axis intensity has w = theta/sqrt 2. A real beam called by its disc
    has soft edges; this choice leaves the perfectly pointed loss unchanged.
    """
    match convention:
        case "disc_full":
            return divergence_rad / float(np.sqrt(2))
        case "gaussian_1e2_full":
            return divergence_rad / 2
        case "gaussian_fwhm_full":
            return divergence_rad / _FWHM_PER_HALF_ANGLE
        case _:
            assert_never(convention)


def narrowest_half_angle_rad(*, wavelength_m: float, aperture_radius_m: float) -> float:
    r"""1/e^2 half angle below which no beam of this aperture can be.

    .. math::  \frac{2}{\pi w_\theta^2} \le \frac{\pi a_T^2}{\lambda^2} \quad\Rightarrow\quad
        w_\theta \ge \frac{\sqrt2\,\lambda}{\pi a_T}

    For given power the uniformly lit aperture has the largest far-field on-axis intensity (Cauchy-Schwarz).
    """
    return float(np.sqrt(2)) * wavelength_m / (np.pi * aperture_radius_m)
