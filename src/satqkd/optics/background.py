"""Background: light of the night sky that the station's detectors count.

The sky is a uniform radiance over the field of view; a satellite's own glow, stars and stray light of
the beacon are not in it unless the radiance given was measured with them. Knows no station by name.
Source: Miao et al., New J. Phys. 7, 215 (2005), eq. 1.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.constants import PLANCK_J_S, SPEED_OF_LIGHT_M_S

_UM_PER_M: Final = 1e6


def background_rate_hz(
    radiance_w_m2_sr_um: ArrayLike,
    *,
    field_of_view_rad: float,
    filter_width_m: float,
    telescope_diameter_m: float,
    wavelength_m: float,
    optics_transmittance: float,
    detector_efficiency: float,
) -> NDArray[np.float64]:
    r"""Counts a second from the sky, all detectors together, no gate.

    .. math::  N = \frac{H\,\Omega\,A\,B}{hc/\lambda}\,\eta_o\eta_d, \quad
        \Omega = \frac{\pi}{4}\,\mathrm{FOV}^2, \quad A = \frac{\pi}{4} D^2

    radiance_w_m2_sr_um: H, W m^-2 sr^-1 um^-1, any shape; field_of_view_rad: full angle;
    filter_width_m: B, in metres of wavelength. Returns the shape of H.
    """
    H = np.asarray(radiance_w_m2_sr_um, dtype=np.float64)
    solid_angle_sr = np.pi / 4 * field_of_view_rad**2
    area_m2 = np.pi / 4 * telescope_diameter_m**2
    photon_j = PLANCK_J_S * SPEED_OF_LIGHT_M_S / wavelength_m
    power_w = H * solid_angle_sr * area_m2 * (filter_width_m * _UM_PER_M)
    return np.asarray(power_w / photon_j * optics_transmittance * detector_efficiency)
