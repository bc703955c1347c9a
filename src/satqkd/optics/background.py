"""Background: light of the sky, and of a sunlit satellite, that the station's detectors count.

The sky is a uniform radiance over the field of view: a site's own dark sky (glow, airglow, stars: measured,
given) plus a model of moonlight, twilight and day. Night is good to a factor of about 2, day may be 10 times
too dark; no cloud. Miao's own figure for the full Moon, 1.5e-3, is 30 times the model's 45 degrees away, and
met 2 degrees from the Moon; a planner who wants it gives it as the dark sky. Stray light of the station's
lasers is not here. Knows no station by name and no clock.
Sources: Miao et al., New J. Phys. 7, 215 (2005), eq. 1 and its clear-day radiance; Krisciunas & Schaefer,
PASP 103, 1033 (1991), eqs. 3, 15-21; Patat et al., A&A 455, 385 (2006), table 1; Bessell, Castelli & Plez,
A&A 333, 231 (1998) (zero points).
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.optics.spectrum import photon_energy_j

Array = NDArray[np.float64]

CLEAR_DAY_W_M2_SR_UM: Final = 1.5
"""Miao et al. 2005. About right at sunrise, low for a high Sun: 6S has 13 (Sun 10 degrees up, visibility
60 km) to 34 (overhead, 23 km) as the mean over the sky at 850 nm, its bright part around the Sun included."""

_UM_PER_M: Final = 1e6
_ARCSEC2_PER_SR: Final = float(np.degrees(1) * 3600) ** 2

_BANDS_M: Final = np.array([545e-9, 641e-9, 798e-9])
"""Effective wavelengths of V, R, I (Bessell et al. 1998)."""
_ZERO_W_M2_UM: Final = np.array([3.631e-8, 2.177e-8, 1.126e-8])
"""Irradiance of a star of magnitude 0 in V, R, I (Bessell et al. 1998)."""
_SUN_C2_T_M: Final = 1.438_776_877e-2 / 5772
"""hc/k (CODATA 2018) over the Sun's effective temperature (IAU 2015 Resolution B3)."""

_TWILIGHT_MAG: Final = np.array([[11.84, 1.518, -0.057], [11.40, 1.567, -0.064], [10.93, 1.470, -0.062]])
"""V, R, I at the zenith: constant, per degree and per degree squared of Sun depression beyond 5 (Patat)."""
_PARANAL_NIGHT_MAG: Final = np.array([21.61, 20.87, 19.71])
"""The dark sky inside Patat's fits (Patat, A&A 400, 1183 (2003), table 4)."""
_TWILIGHT_NODES_DEG: Final = np.arange(-12.0, -4.0)
_DAWN_DEG: Final = 5.0
"""Depression of the Sun where Patat's fits end on the bright side."""
_NIGHT_DEG: Final = -30.0


def background_rate_hz(
    radiance_w_m2_sr_um: ArrayLike,
    *,
    field_of_view_rad: float,
    filter_width_m: float,
    telescope_diameter_m: float,
    wavelength_m: float,
    optics_transmittance: float,
    detector_efficiency: float,
) -> Array:
    r"""Counts a second from the sky, all detectors together, no gate.

    .. math::  N = \frac{H\,\Omega\,A\,B}{hc/\lambda}\,\eta_o\eta_d, \quad
        \Omega = \frac{\pi}{4}\,\mathrm{FOV}^2, \quad A = \frac{\pi}{4} D^2

    radiance_w_m2_sr_um: H, W m^-2 sr^-1 um^-1, any shape; field_of_view_rad: full angle;
    filter_width_m: B, in metres of wavelength. Returns the shape of H.
    """
    H = np.asarray(radiance_w_m2_sr_um, dtype=np.float64)
    solid_angle_sr = np.pi / 4 * field_of_view_rad**2
    area_m2 = np.pi / 4 * telescope_diameter_m**2
    power_w = H * solid_angle_sr * area_m2 * (filter_width_m * _UM_PER_M)
    return np.asarray(power_w / photon_energy_j(wavelength_m) * optics_transmittance * detector_efficiency)


def sky_radiance_w_m2_sr_um(
    *,
    dark_sky_w_m2_sr_um: ArrayLike,
    elevation_rad: ArrayLike,
    sun_elevation_rad: ArrayLike,
    moon_elevation_rad: ArrayLike,
    moon_phase_angle_rad: ArrayLike,
    moon_separation_rad: ArrayLike,
    wavelength_m: ArrayLike,
    zenith_optical_depth: ArrayLike,
) -> Array:
    """Radiance of the clear sky in the quantum band: dark sky, moonlight, and sunlight; arrays broadcast.

    dark_sky_w_m2_sr_um: at this site with neither Sun nor Moon, in the band; elevation_rad: of the point of
    sky; the others as in `moonlight_w_m2_sr_um` and `sunlight_w_m2_sr_um`.
    """
    moon = moonlight_w_m2_sr_um(
        elevation_rad,
        moon_elevation_rad=moon_elevation_rad,
        moon_phase_angle_rad=moon_phase_angle_rad,
        moon_separation_rad=moon_separation_rad,
        wavelength_m=wavelength_m,
        zenith_optical_depth=zenith_optical_depth,
    )
    sun = sunlight_w_m2_sr_um(sun_elevation_rad, wavelength_m=wavelength_m)
    return np.asarray(np.asarray(dark_sky_w_m2_sr_um, dtype=np.float64) + moon + sun)


def moonlight_w_m2_sr_um(
    elevation_rad: ArrayLike,
    *,
    moon_elevation_rad: ArrayLike,
    moon_phase_angle_rad: ArrayLike,
    moon_separation_rad: ArrayLike,
    wavelength_m: ArrayLike,
    zenith_optical_depth: ArrayLike,
) -> Array:
    r"""Radiance of moonlight scattered by clear air (Krisciunas & Schaefer 1991); arrays broadcast.

    .. math::  B = f(\rho)\,10^{-0.4(3.84 + 0.026|\alpha| + 4\cdot10^{-9}\alpha^4)}\,e^{-\tau X(Z_m)}
        \big(1 - e^{-\tau X(Z)}\big), \qquad X(Z) = (1 - 0.96\sin^2 Z)^{-1/2}

    in nanolambert, of V = (20.7233 - ln(B / 34.08)) / 0.92104 mag/arcsec^2; angles in degrees.
    moon_phase_angle_rad: alpha, Sun-Moon-Earth, 0 = full; moon_separation_rad: rho, Moon to the point of sky;
    elevation_rad: of that point; zenith_optical_depth: tau, of the air that scatters, in the band.
    From V to the band: sunlight's colour (a 5772 K black body) and tau of the band, so scattered light
    follows the scattering depth. 8 to 23 % in V (the paper), about a factor of 2 at 850 nm: left out are the
    Moon's red colour and its surge near full, each up to 1.4. 0 while the Moon is down.
    """
    alpha = np.abs(np.degrees(np.asarray(moon_phase_angle_rad, dtype=np.float64)))
    tau = np.asarray(zenith_optical_depth, dtype=np.float64)
    moon_up = np.asarray(moon_elevation_rad, dtype=np.float64) > 0
    illuminance = 10 ** (-0.4 * (3.84 + 0.026 * alpha + 4e-9 * alpha**4))
    way_in = np.exp(-tau * _sky_airmass(moon_elevation_rad))
    scattered = -np.expm1(-tau * _sky_airmass(elevation_rad))
    B = _moon_scattering(moon_separation_rad) * illuminance * way_in * scattered
    per_nanolambert = _ZERO_W_M2_UM[0] * _ARCSEC2_PER_SR * np.exp(-20.7233) / 34.08
    return np.where(moon_up, B * per_nanolambert * _sunlight_colour(wavelength_m), 0.0)


def sunlight_w_m2_sr_um(
    sun_elevation_rad: ArrayLike, *, wavelength_m: ArrayLike, day_w_m2_sr_um: float = CLEAR_DAY_W_M2_SR_UM
) -> Array:
    """Radiance of scattered sunlight by Sun elevation, from day to night without a gap; arrays broadcast.

    From 5 to 12 degrees below the horizon Patat's fits of the zenith at Paranal, without his night sky;
    further down their last slope goes on, 0.8 to 0.9 magnitudes a degree. From 5 degrees below to sunrise the
    logarithm goes linearly to day_w_m2_sr_um, which stays all day. The ratio to sunlight's colour is
    interpolated between V, R and I and kept beyond them; at 1550 nm that is an upper bound.
    Within a factor of 2 of Koomen et al., JOSA 42, 353 (1952), in V at the zenith from sunset down; towards
    the sunken Sun the low sky is several times brighter.
    """
    h = np.degrees(np.asarray(sun_elevation_rad, dtype=np.float64))
    x, bands = np.log(np.asarray(wavelength_m, dtype=np.float64)), np.log(_BANDS_M)
    nodes_deg, log_ratio = _twilight_over_sunlight()
    by_band = [
        np.interp(x, bands, weight) * np.interp(h, nodes_deg, log_ratio[band])
        for band, weight in enumerate(np.eye(len(bands)))
    ]
    log_twilight = np.log(_sunlight_colour(wavelength_m)) + np.sum(by_band, axis=0)
    risen = np.clip(h / _DAWN_DEG + 1, 0.0, 1.0)
    return np.asarray(np.exp((1 - risen) * log_twilight + risen * np.log(day_w_m2_sr_um)))


def satellite_glint_rate_hz(
    range_m: ArrayLike,
    *,
    magnitude_at_1000_km: ArrayLike,
    wavelength_m: float,
    filter_width_m: float,
    telescope_diameter_m: float,
    transmittance: ArrayLike,
    optics_transmittance: float,
    detector_efficiency: float,
) -> Array:
    r"""Counts a second of sunlight that the satellite itself reflects, all detectors together, no gate.

    .. math::  N = \frac{F_0 c(\lambda)\,10^{-0.4m}\,(10^6\,\mathrm{m}/L)^2\,A\,B}{hc/\lambda}\,T\eta_o\eta_d

    magnitude_at_1000_km: m, in V outside the air, as observers' lists give it; F_0: of magnitude 0 in V;
    c: sunlight's colour against V (the satellite taken as grey); transmittance: T, of the air. Only while the
    satellite is sunlit. Phase and flat surfaces move the magnitude by several. The arrays broadcast.
    """
    L, m = np.asarray(range_m, dtype=np.float64), np.asarray(magnitude_at_1000_km, dtype=np.float64)
    irradiance_w_m2_um = _ZERO_W_M2_UM[0] * _sunlight_colour(wavelength_m) * 10 ** (-0.4 * m) * (1e6 / L) ** 2
    power_w = irradiance_w_m2_um * np.pi / 4 * telescope_diameter_m**2 * (filter_width_m * _UM_PER_M)
    into_detectors = np.asarray(transmittance, dtype=np.float64) * optics_transmittance * detector_efficiency
    return np.asarray(power_w / photon_energy_j(wavelength_m) * into_detectors)


def _twilight_over_sunlight() -> tuple[Array, Array]:
    """Sun elevations in degrees, rising, and log of twilight's radiance over sunlight's colour in V, R, I."""
    over = -_TWILIGHT_NODES_DEG - _DAWN_DEG
    mag = _TWILIGHT_MAG[:, :1] + _TWILIGHT_MAG[:, 1:2] * over + _TWILIGHT_MAG[:, 2:] * over**2
    stars = 10 ** (-0.4 * mag) - 10 ** (-0.4 * _PARANAL_NIGHT_MAG[:, None])
    log_ratio = np.log(stars * (_ZERO_W_M2_UM * _ARCSEC2_PER_SR / _sunlight_colour(_BANDS_M))[:, None])
    slope = log_ratio[:, 1] - log_ratio[:, 0]
    night = log_ratio[:, 0] + (_NIGHT_DEG - _TWILIGHT_NODES_DEG[0]) * slope
    return np.append(_NIGHT_DEG, _TWILIGHT_NODES_DEG), np.column_stack([night, log_ratio])


def _sky_airmass(elevation_rad: ArrayLike) -> Array:
    """The airmass of Krisciunas & Schaefer, 5 at the horizon and below: for diffuse light, not for beams."""
    cos_h = np.cos(np.maximum(np.asarray(elevation_rad, dtype=np.float64), 0.0))
    return np.asarray(1 / np.sqrt(1 - 0.96 * cos_h**2))


def _moon_scattering(separation_rad: ArrayLike) -> Array:
    """f(rho) of the paper, in its units. Its two aerosol laws meet at 8.6 degrees, where they are joined."""
    radians = np.asarray(separation_rad, dtype=np.float64)
    degrees = np.clip(np.degrees(radians), 0.25, None)  # inside the Moon's disc there is no sky
    far = 10 ** (6.15 - degrees / 40)
    aerosol = np.where(degrees < 10, np.maximum(far, 6.2e7 / degrees**2), far)
    return np.asarray(10**5.36 * (1.06 + np.cos(radians) ** 2) + aerosol)


def _sunlight_colour(wavelength_m: ArrayLike) -> Array:
    """Spectral irradiance of a 5772 K black body over that in V; within 12 % of 6S's Sun, 545 to 1600 nm."""
    lam = np.asarray(wavelength_m, dtype=np.float64)
    reference = _BANDS_M[0]
    planck = np.expm1(_SUN_C2_T_M / reference) / np.expm1(_SUN_C2_T_M / lam)
    return np.asarray((reference / lam) ** 5 * planck)
