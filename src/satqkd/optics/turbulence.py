"""Turbulence: how strongly the air blurs, bends and makes twinkle a beam between the ground and a satellite.

Everything here is a moment of a profile of C_n^2 (`cn2`), scaled with elevation. Layers are flat and the
spectrum is Kolmogorov's without inner or outer scale, so below about 10 degrees these are estimates. Below
the horizon there is no path: NaN. Knows no time; series are made in `fading`.
Sources: Andrews & Phillips, Laser Beam Propagation through Random Media, 2nd ed. (2005), ch. 12, here "AP";
Recommendations ITU-R P.1621-2 (2015) and P.1622 (2003); Dios et al., Appl. Opt. 43, 3866 (2004);
Ntanos et al., Photonics 8, 544 (2021).
"""

from collections.abc import Callable
from typing import Final, Literal

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike, NDArray

from satqkd.errors import ConfigError
from satqkd.optics.cn2 import Profile, bufton_wind_m_s

Array = NDArray[np.float64]
WanderModel = Literal["itu", "andrews-phillips", "dios"]

_DEGREE: Final = 16
"""Of the interpolation over elevation; error below 1e-6 above 5 degrees, held by a test."""
_CHEBYSHEV = chebyshev.chebpts1(_DEGREE + 1)
_TO_SERIES = np.linalg.inv(chebyshev.chebvander(_CHEBYSHEV, _DEGREE))

_WANDER: Final[dict[WanderModel, float]] = {
    "itu": 2.08**2 / 2 ** (1 / 3),  # P.1622 eq. 11b, written for the diameter 2 W
    "andrews-phillips": 7.25,  # AP 12.50 (6.93)
    "dios": 2.07,  # Dios eq. 11, after Belmonte, Appl. Opt. 39, 5426 (2000)
}
_WANDER_CORRELATION: Final = 13.97
"""Root x of 1F1(1/6; 1; -x^2) = 1/e, see `beam_wander_correlation_time_s`."""


def fried_parameter_m(elevation_rad: ArrayLike, *, profile: Profile, wavelength_m: float) -> Array:
    r"""Coherence diameter of a plane wave (P.1621-2 eq. 8a).

    .. math::  r_0 = \Big[0.423\,k^2\sec\zeta\int C_n^2 dh\Big]^{-3/5}
    """
    k = 2 * np.pi / wavelength_m
    return np.asarray((0.423 * k**2 * _secant(elevation_rad) * profile.moment(0)) ** -0.6)


def isoplanatic_angle_rad(elevation_rad: ArrayLike, *, profile: Profile, wavelength_m: float) -> Array:
    r"""Angle over which the phase stays the same to 1 rad^2 (P.1621-2 eq. 14a).

    .. math::  \theta_0 = \Big[2.914\,k^2\sec^{8/3}\zeta\int C_n^2 h^{5/3}dh\Big]^{-3/5}
    """
    k = 2 * np.pi / wavelength_m
    return np.asarray((2.914 * k**2 * _secant(elevation_rad) ** (8 / 3) * profile.moment(5 / 3)) ** -0.6)


def rytov_variance(elevation_rad: ArrayLike, *, profile: Profile, wavelength_m: float) -> Array:
    r"""Downlink: strength of the scintillation of a plane wave, its index where it is weak (AP 12.38).

    .. math::  \sigma_R^2 = 2.25\,k^{7/6}\sec^{11/6}\zeta\int C_n^2h^{5/6}dh
    """
    k = 2 * np.pi / wavelength_m
    return np.asarray(2.25 * k ** (7 / 6) * _secant(elevation_rad) ** (11 / 6) * profile.moment(5 / 6))


def point_scintillation_index(rytov: ArrayLike) -> Array:
    r"""Normalised variance of the intensity at a point, weak to strong (AP 12.40).

    .. math::  \sigma_I^2 = \exp(\sigma_{\ln X}^2 + \sigma_{\ln Y}^2) - 1

    with the two parts of `large_and_small_scale`. Never above 1.243, tends to 1.003.
    """
    large, small = large_and_small_scale(rytov)
    return np.asarray(np.expm1(large + small))


def large_and_small_scale(rytov: ArrayLike, *, theta: ArrayLike = 1.0) -> tuple[Array, Array]:
    r"""Log-variances of the large and of the small eddies' part of the intensity.

    .. math::  \sigma_{\ln X}^2 = \frac{0.49\,\sigma^2}{(1 + 0.56(1+\Theta)\sigma^{12/5})^{7/6}}, \qquad
        \sigma_{\ln Y}^2 = \frac{0.51\,\sigma^2}{(1 + 0.69\,\sigma^{12/5})^{5/6}}

    AP 12.60; the plane wave, Theta = 1, has 1.11 for 1.12 (AP 12.40).
    """
    s, form = np.asarray(rytov, dtype=np.float64), np.asarray(theta, dtype=np.float64)
    cut_off = np.where(form == 1.0, 1.11, 0.56 * (1 + form))
    large = 0.49 * s / (1 + cut_off * s**1.2) ** (7 / 6)
    return np.asarray(large), np.asarray(0.51 * s / (1 + 0.69 * s**1.2) ** (5 / 6))


def scintillation_index(
    elevation_rad: ArrayLike, *, profile: Profile, wavelength_m: float, aperture_diameter_m: float
) -> Array:
    r"""Downlink: normalised variance of the power in a receiving aperture of diameter D.

    .. math::  \sigma_I^2(D) = 8.70\,k^{7/6}\sec^{11/6}\zeta\;\mathrm{Re}\!\int C_n^2
        \big[(a + ih)^{5/6} - a^{5/6}\big]dh, \qquad a = \tfrac{1}{16} k D^2\cos\zeta

    AP 12.39 with its satellite height cancelled. A soft (Gaussian) aperture stands for the hard one and the
    theory is weak: it ceases to hold where `rytov_variance` passes 1, below about 19 degrees at 850 nm, and
    overestimates there. A finite aperture never twinkles more than a point, so it is limited by the point's
    index, which is right on both sides; no central obscuration. D = 0 is a point.
    """
    sec = _secant(elevation_rad)
    rytov = rytov_variance(elevation_rad, profile=profile, wavelength_m=wavelength_m)
    point = point_scintillation_index(rytov)
    if aperture_diameter_m == 0:
        return point
    k, h = 2 * np.pi / wavelength_m, profile.height_m

    def averaged(log_sine: Array) -> Array:
        a = k * aperture_diameter_m**2 / 16 * np.exp(log_sine)[:, None]
        return np.asarray((((a + 1j * h) ** (5 / 6)).real - a ** (5 / 6)) @ profile.layer_cn2_m13)

    weak = 8.70 * k ** (7 / 6) * sec ** (11 / 6) * _interpolated(averaged, np.asarray(-np.log(sec)))
    return np.asarray(np.minimum(weak, point))


def uplink_scintillation_index(
    elevation_rad: ArrayLike,
    *,
    profile: Profile,
    wavelength_m: float,
    beam_radius_m: float,
    satellite_altitude_m: float,
    half_angle_rad: float | None = None,
) -> Array:
    r"""Uplink: normalised variance of the intensity on the axis of a Gaussian beam at the satellite.

    .. math::  \sigma_B^2 = 8.70\,k^{7/6}\sec^{11/6}\zeta\;\mathrm{Re}\!\int C_n^2
        \big\{\xi^{5/6}[H\Lambda\xi + i(h + H\Theta\xi)]^{5/6} - (H\Lambda)^{5/6}\xi^{5/3}\big\}dh,
        \quad \xi = 1 - \frac{h}{H}

    AP 12.55 and 12.58, then weak to strong by AP 12.60. beam_radius_m: W_0, 1/e^2 at the exit, up to about
    0.2 m; half_angle_rad: 1/e^2 far-field half angle, None for the collimated beam; satellite_altitude_m: H
    above the station. The receiver is a point, as it is at a satellite (P.1622, 4.1.1: no averaging). The
    wandering of the beam is not in it: see `uplink_beam_wander_rad`.
    """
    k, h, H = 2 * np.pi / wavelength_m, profile.height_m, satellite_altitude_m
    spread = _curvature_rad(wavelength_m, beam_radius_m, half_angle_rad)
    xi = 1 - h / H

    def on_axis(log_sine: Array) -> Array:
        L = H / np.exp(log_sine)[:, None]
        theta_0, lambda_0 = 1 + spread * L / beam_radius_m, 2 * L / (k * beam_radius_m**2)
        size = theta_0**2 + lambda_0**2
        diffraction, refraction = H * lambda_0 / size, theta_0 / size
        inner = (diffraction * xi + 1j * (h + H * refraction * xi)) ** (5 / 6)
        weights = xi ** (5 / 6) * inner.real - diffraction ** (5 / 6) * xi ** (5 / 3)
        weak = 8.70 * k ** (7 / 6) * (L[:, 0] / H) ** (11 / 6) * (weights @ profile.layer_cn2_m13)
        large, small = large_and_small_scale(weak, theta=refraction[:, 0])
        return np.asarray(np.expm1(large + small))

    return _interpolated(on_axis, np.asarray(-np.log(_secant(elevation_rad))))


def uplink_beam_wander_rad(
    elevation_rad: ArrayLike, *, profile: Profile, beam_radius_m: float, model: WanderModel = "itu"
) -> Array:
    r"""Uplink: standard deviation, per axis, of the direction of a beam that turbulence tilts.

    .. math::  \sigma = \Big[\frac{c}{2}\,\sec\zeta\,W_0^{-1/3}\int C_n^2dh\Big]^{1/2}

    The literature disagrees on c of the radial variance: 7.25 (AP 12.50), 3.43 (P.1622 eq. 11b, the default),
    2.07 (Dios eq. 11). The tilt of the centroid itself, by reciprocity, is 4.57 = 4 pi^2 0.033 Gamma(1/6)
    2^(-2/3) for an infinite outer scale, so the default is 13 % low in sigma and the others are +26 %, -33 %.
    beam_radius_m: W_0, 1/e^2. Independent of wavelength. The satellite is far above the turbulence. What a
    tilt mirror removes is the caller's to subtract.
    """
    if model not in _WANDER:
        raise ConfigError(f"beam wander model {model!r}: expected one of {', '.join(_WANDER)}")
    radial = _WANDER[model] * _secant(elevation_rad) * beam_radius_m ** (-1 / 3) * profile.moment(0)
    return np.asarray(np.sqrt(radial / 2))


def coherence_time_s(
    elevation_rad: ArrayLike,
    *,
    profile: Profile,
    wavelength_m: float,
    slew_rad_s: ArrayLike = 0.0,
    ground_wind_m_s: float = 5.0,
) -> Array:
    r"""Greenwood time of the phase (Kellerer & Tokovinin, A&A 461, 775 (2007), table 1).

    .. math::  \tau_0 = 0.314\,\frac{r_0}{\bar V}, \quad \bar V = \Big[\frac{\int C_n^2 V^{5/3}dh}
        {\int C_n^2dh}\Big]^{3/5}, \quad V = V_\mathrm{Bufton}(h) + \omega h\sec\zeta

    slew_rad_s: omega, rate at which the line of sight turns, broadcast against the elevation; its motion is
    added to the wind as if they were parallel, the fastest case.
    """
    sec = _secant(elevation_rad)
    h, wind = profile.height_m, bufton_wind_m_s(profile.height_m, ground_wind_m_s=ground_wind_m_s)
    least = 1e-3  # rad/s, so that no slew at all has a logarithm

    def wind_moment(log_slew: Array) -> Array:
        across = np.abs(wind + (np.exp(log_slew)[:, None] - least) * h)
        return np.asarray(across ** (5 / 3) @ profile.layer_cn2_m13)

    slew = np.asarray(slew_rad_s, dtype=np.float64) * sec
    mean_wind = (_interpolated(wind_moment, np.asarray(np.log(slew + least))) / profile.moment(0)) ** 0.6
    r0 = fried_parameter_m(elevation_rad, profile=profile, wavelength_m=wavelength_m)
    return np.asarray(0.314 * r0 / mean_wind)


def intensity_correlation_time_s(
    elevation_rad: ArrayLike,
    *,
    profile: Profile,
    wavelength_m: float,
    aperture_diameter_m: float,
    slew_rad_s: ArrayLike = 0.0,
    ground_wind_m_s: float = 5.0,
) -> Array:
    r"""Downlink: time after which the autocovariance of the received power has fallen to 1/e.

    .. math::  \tau_I = \frac{\sqrt{0.48^2\,\lambda\bar z + 0.32^2 D^2}}{\bar V_\perp}

    A pattern of speckles as wide as the Fresnel zone of the mean turbulence at distance z, smoothed by the
    aperture, blown past at the mean transverse speed (wind and slew as in `coherence_time_s`), both means
    weighted by C_n^2 h^(5/6), the weight of scintillation. The form is the usual estimate, speckle over
    speed; its two coefficients are fitted here to the frozen-flow covariance of weak theory (AP ch. 8, hard
    aperture) and stay within 21 % of it for 0 to 1 m, 10 to 90 degrees, 0.85 and 1.55 um, 0 to 15 mrad/s.
    """
    sec, h = _secant(elevation_rad), profile.height_m
    weights = profile.layer_cn2_m13 * h ** (5 / 6) / profile.moment(5 / 6)
    wind = float(weights @ bufton_wind_m_s(h, ground_wind_m_s=ground_wind_m_s))
    z = float(weights @ h) * sec
    width_sq = 0.48**2 * wavelength_m * z + (0.32 * aperture_diameter_m) ** 2
    return np.asarray(np.sqrt(width_sq) / (wind + np.asarray(slew_rad_s, dtype=np.float64) * z))


def beam_wander_correlation_time_s(
    elevation_rad: ArrayLike,
    *,
    profile: Profile,
    beam_radius_m: float,
    slew_rad_s: ArrayLike = 0.0,
    ground_wind_m_s: float = 5.0,
) -> Array:
    r"""Uplink: time after which the autocovariance of the beam's tilt has fallen to 1/e.

    Derived: frozen Kolmogorov air blown at V across the tilt of a Gaussian beam has the covariance
    :math:`{}_1F_1(\tfrac16; 1; -(V\tau/W_0)^2)`, which is 1/e at :math:`\tau = 14.0\,W_0/V`. V is the mean of
    wind and slew weighted by C_n^2. The slow decay is that of an infinite outer scale: an upper estimate.
    """
    sec, h = _secant(elevation_rad), profile.height_m
    weights = profile.layer_cn2_m13 / profile.moment(0)
    wind = float(weights @ bufton_wind_m_s(h, ground_wind_m_s=ground_wind_m_s))
    across = wind + np.asarray(slew_rad_s, dtype=np.float64) * sec * float(weights @ h)
    return np.asarray(_WANDER_CORRELATION * beam_radius_m / across)


def itu_log_irradiance_variance(elevation_rad: ArrayLike, *, profile: Profile, wavelength_m: float) -> Array:
    r"""Variance of the logarithm of the intensity at a point, weak theory (P.1622 eq. 4a).

    .. math::  \sigma_{\ln I}^2 = 2.253\,k^{7/6}\sec^{11/6}\zeta\int C_n^2h^{5/6}dh
    """
    rytov = rytov_variance(elevation_rad, profile=profile, wavelength_m=wavelength_m)
    return np.asarray(2.253 / 2.25 * rytov)


def itu_aperture_averaging(
    elevation_rad: ArrayLike, *, profile: Profile, wavelength_m: float, aperture_diameter_m: float
) -> Array:
    r"""P.1622 eqs. 6 and 7: what an aperture leaves of the variance at a point, in (0, 1].

    .. math::  A = \Big[1 + 1.1\Big(\frac{D^2\sin\theta}{\lambda z_0}\Big)^{7/6}\Big]^{-1}, \quad
        z_0 = \Big[\frac{\int C_n^2h^2dh}{\int C_n^2h^{5/6}dh}\Big]^{6/7}

    The Recommendation prints 1.1e7 for a wavelength in micrometres.
    """
    z0 = (profile.moment(2) / profile.moment(5 / 6)) ** (6 / 7)
    zones = aperture_diameter_m**2 / (_secant(elevation_rad) * wavelength_m * z0)
    return np.asarray(1 / (1 + 1.1 * zones ** (7 / 6)))


def _secant(elevation_rad: ArrayLike) -> Array:
    h = np.asarray(elevation_rad, dtype=np.float64)
    above = h > 0
    return np.where(above, 1 / np.sin(np.where(above, h, 1.0)), np.nan)


def _interpolated(function: Callable[[Array], Array], x: Array) -> Array:
    """A smooth positive function at many x, by the Chebyshev interpolant of its logarithm; NaN where x is."""
    known = x[np.isfinite(x)]
    if known.size == 0:
        return np.full_like(x, np.nan)
    middle, half = (known.max() + known.min()) / 2, (known.max() - known.min()) / 2
    if known.size <= _DEGREE or half < 1e-9:
        out = np.full_like(x, np.nan)
        out[np.isfinite(x)] = function(known if half >= 1e-9 else known[:1])
        return out
    series = _TO_SERIES @ np.log(function(middle + half * _CHEBYSHEV))
    return np.asarray(np.exp(chebyshev.chebval((x - middle) / half, series)))


def _curvature_rad(wavelength_m: float, beam_radius_m: float, half_angle_rad: float | None) -> float:
    """W_0 / F of a beam that leaves with radius W_0 and has this far-field half angle."""
    limit_rad = wavelength_m / (np.pi * beam_radius_m)
    if half_angle_rad is None:
        return 0.0
    if half_angle_rad < limit_rad * (1 - 1e-9):
        raise ConfigError(
            f"half angle {half_angle_rad * 1e6:.3g} urad is below the diffraction limit "
            f"{limit_rad * 1e6:.3g} urad of a beam of {beam_radius_m * 1e3:.4g} mm radius; "
            "give a larger angle or radius"
        )
    return float(np.sqrt(max(half_angle_rad**2 - limit_rad**2, 0.0)))
