"""Crosstalk: bright light of the station's other links that ends in its single-photon detectors.

Two ways in: a beacon or laser downlink that arrives through the same telescope, and the station's own uplink
laser scattered back by the air. Both are held off by an isolation (filters, dichroics, polarisation, baffles)
which is given, in dB, positive. What a window or a mirror of the telescope itself throws back is for that
isolation's measurement. Knows no detector beyond its efficiency at the light's wavelength.
Sources: the single-scattering lidar equation, e.g. Measures, Laser Remote Sensing (1984); Ackermann, J.
Atmos. Ocean. Technol. 15, 1043 (1998) (lidar ratio of continental aerosol).
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.errors import ConfigError
from satqkd.optics.decibel import fraction_of_db
from satqkd.optics.spectrum import photon_energy_j

Array = NDArray[np.float64]

AEROSOL_LIDAR_RATIO_SR: Final = 50.0
"""Extinction over backscatter: 40 to 80 sr, continental, rising with humidity (Ackermann 1998)."""
RAYLEIGH_LIDAR_RATIO_SR: Final = 8 * np.pi / 3
"""The same for molecules, by their phase function."""

_RAYLEIGH_M2_PER_SR: Final = 5.45e-32
"""Backscatter cross section of an air molecule at 550 nm: the usual figure of lidar practice."""
_RAYLEIGH_REFERENCE_M: Final = 550e-9
_MOLECULES_PER_M3: Final = 2.547e25
"""At sea level, 15 degrees: US Standard Atmosphere 1976."""
_AIR_SCALE_HEIGHT_M: Final = 8.0e3
"""Assumed: with the two above it gives 6S's Rayleigh depths to 6 %, 532 to 1550 nm, sea level to 5 km."""
_AEROSOL_SCALE_HEIGHT_M: Final = 1.4e3
"""Optical depth over ground extinction of 6S at 23 km visibility (`optical_depth.csv`)."""
_END_M: Final = 2e6
"""Beyond this range no air is left that scatters back, at any elevation."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)


def arriving_light_rate_hz(
    power_w: ArrayLike,
    *,
    wavelength_m: float,
    optics_transmittance: float,
    detector_efficiency: float,
    isolation_db: ArrayLike,
) -> Array:
    r"""Counts a second, all detectors together, of bright light that arrives through the telescope.

    .. math::  R = \frac{P\,\eta_o\eta_d}{hc/\lambda}\,10^{-I/10}

    power_w: P, at the aperture; isolation_db: I, of the single-photon channel against this light, on top of
    the optics' transmittance. The arrays broadcast.
    """
    photons_hz = np.asarray(power_w, dtype=np.float64) / photon_energy_j(wavelength_m)
    isolation = fraction_of_db(isolation_db)
    return np.asarray(photons_hz * optics_transmittance * detector_efficiency * isolation)


def uplink_backscatter_rate_hz(
    power_w: ArrayLike,
    *,
    elevation_rad: ArrayLike,
    wavelength_m: float,
    altitude_m: float,
    aerosol_optical_depth: float,
    telescope_diameter_m: float,
    overlap_range_m: float,
    optics_transmittance: float,
    detector_efficiency: float,
    isolation_db: ArrayLike,
) -> Array:
    """Counts a second, all detectors together, of the station's own laser scattered back by clear air.

    power_w: of the continuous (or mean) uplink as it leaves the station; the rest as in
    `backscattered_fraction` and `arriving_light_rate_hz`. The arrays broadcast.
    """
    back = backscattered_fraction(
        elevation_rad,
        wavelength_m=wavelength_m,
        altitude_m=altitude_m,
        aerosol_optical_depth=aerosol_optical_depth,
        telescope_diameter_m=telescope_diameter_m,
        overlap_range_m=overlap_range_m,
    )
    return arriving_light_rate_hz(
        np.asarray(power_w, dtype=np.float64) * back,
        wavelength_m=wavelength_m,
        optics_transmittance=optics_transmittance,
        detector_efficiency=detector_efficiency,
        isolation_db=isolation_db,
    )


def backscattered_fraction(
    elevation_rad: ArrayLike,
    *,
    wavelength_m: float,
    altitude_m: float,
    aerosol_optical_depth: float,
    telescope_diameter_m: float,
    overlap_range_m: float,
) -> Array:
    r"""Share of a beam sent up from the station that clear air scatters once, into the telescope.

    .. math::  F = \int_{r_0}^{\infty} \Omega(r)\,\big(\beta_R(h) + \beta_A(h)\big)\,T^2(r)\,dr, \qquad
        \Omega = 2\pi\Big(1-\frac{r}{\sqrt{r^2+D^2/4}}\Big) \approx \frac{\pi D^2}{4r^2},
        \quad h = h_S + r\sin\epsilon

    The lidar equation of a continuous beam, all of it inside the field of view from r_0 on and none before.
    altitude_m: h_S, the station's; aerosol_optical_depth: above the station, at the zenith and this
    wavelength (`zenith_depths`), falling off exponentially; overlap_range_m: r_0 > 0, which decides: F goes
    as 1/r_0.
    elevation_rad: epsilon, any shape; returns that shape, 0 at the horizon and below.
    """
    if not overlap_range_m > 0:
        raise ConfigError(
            f"overlap_range_m: expected more than 0, got {overlap_range_m:g}; give where beam and view meet"
        )
    h = np.asarray(elevation_rad, dtype=np.float64)
    up = h > 0
    sine = np.sin(np.where(up, h, 1.0))[..., None]
    # Equal steps of log r: near the telescope Omega falls over metres, far out the air over kilometres.
    first, last = np.log(overlap_range_m), np.log(max(_END_M, 2 * overlap_range_m))
    r = np.exp(first + (last - first) * (_NODES + 1) / 2)
    slant = np.hypot(r, telescope_diameter_m / 2)
    solid_angle_sr = np.pi * telescope_diameter_m**2 / (2 * slant * (slant + r))
    air, haze = np.exp(-r * sine / _AIR_SCALE_HEIGHT_M), np.exp(-r * sine / _AEROSOL_SCALE_HEIGHT_M)
    rayleigh = float(rayleigh_backscatter(altitude_m, wavelength_m=wavelength_m))
    aerosol = aerosol_optical_depth / _AEROSOL_SCALE_HEIGHT_M / AEROSOL_LIDAR_RATIO_SR
    air_depth = rayleigh * RAYLEIGH_LIDAR_RATIO_SR * _AIR_SCALE_HEIGHT_M
    depth = (air_depth * (1 - air) + aerosol_optical_depth * (1 - haze)) / sine
    backscatter = (rayleigh * air + aerosol * haze) * np.exp(-2 * depth)
    total = backscatter @ (solid_angle_sr * r * _WEIGHTS) * (last - first) / 2
    return np.where(up, total, 0.0)


def rayleigh_backscatter(altitude_m: ArrayLike, *, wavelength_m: ArrayLike) -> Array:
    r"""Backscatter coefficient of molecules, in 1/(m sr).

    .. math::  \beta_R = N_0 e^{-h/H}\;5.45\times10^{-32}\,\mathrm{m^2/sr}\,
        \Big(\frac{550\,\mathrm{nm}}{\lambda}\Big)^4

    altitude_m: h, above sea level. The arrays broadcast.
    """
    density = _MOLECULES_PER_M3 * np.exp(-np.asarray(altitude_m, dtype=np.float64) / _AIR_SCALE_HEIGHT_M)
    colour = (_RAYLEIGH_REFERENCE_M / np.asarray(wavelength_m, dtype=np.float64)) ** 4
    return np.asarray(_RAYLEIGH_M2_PER_SR * density * colour)
