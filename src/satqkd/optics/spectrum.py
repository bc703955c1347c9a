"""Spectrum: a photon's energy, its Doppler shift, and what a filter lets through of a detuned line.

Lines are narrow against the filter. Knows no orbit: the range rate is given.
"""

from typing import Final, Literal, assert_never

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.constants import PLANCK_J_S, SPEED_OF_LIGHT_M_S

FilterShape = Literal["gaussian", "flat_top"]

_FOUR_LN_2: Final = float(4 * np.log(2))


def photon_energy_j(wavelength_m: ArrayLike) -> NDArray[np.float64]:
    r"""Energy of one photon, :math:`hc/\lambda`; wavelength_m: in vacuum, any shape."""
    return np.asarray(PLANCK_J_S * SPEED_OF_LIGHT_M_S / np.asarray(wavelength_m, dtype=np.float64))


def doppler_shift_hz(range_rate_m_s: ArrayLike, *, wavelength_m: ArrayLike) -> NDArray[np.float64]:
    r"""Shift of the received frequency, :math:`\Delta\nu = -\frac{\dot R}{\lambda}`: up while approaching.

    range_rate_m_s: dR/dt, negative while approaching. To first order in dR/dt / c: relativity adds a share
    v/c of the shift at most (2.5e-5 in low orbit, 0.2 MHz of 8 GHz). The arrays broadcast.
    """
    rate, lam = (np.asarray(each, dtype=np.float64) for each in (range_rate_m_s, wavelength_m))
    return np.asarray(-rate / lam)


def doppler_shift_m(range_rate_m_s: ArrayLike, *, wavelength_m: ArrayLike) -> NDArray[np.float64]:
    r"""Shift of the received wavelength, :math:`\Delta\lambda = \lambda\dot R / c`: longer while receding."""
    rate, lam = (np.asarray(each, dtype=np.float64) for each in (range_rate_m_s, wavelength_m))
    return np.asarray(lam * rate / SPEED_OF_LIGHT_M_S)


def filter_transmittance(
    detuning_m: ArrayLike, *, width_m: ArrayLike, shape: FilterShape = "gaussian"
) -> NDArray[np.float64]:
    r"""Transmittance of a filter for a narrow line off its centre, over that at its centre.

    .. math::  T_\mathrm{gaussian} = \exp\!\Big(-4\ln2\,\frac{\delta^2}{W^2}\Big), \qquad
        T_\mathrm{flat} = 1 \;\mathrm{for}\; |\delta| \le W/2,\; 0\; \mathrm{beyond}

    detuning_m: wavelength of the line minus the filter's centre, delta; width_m: full width at half maximum
    W. The arrays broadcast; values in [0, 1].
    """
    offset = np.asarray(detuning_m, dtype=np.float64) / np.asarray(width_m, dtype=np.float64)
    match shape:
        case "gaussian":
            return np.asarray(np.exp(-_FOUR_LN_2 * offset**2))
        case "flat_top":
            return np.where(np.abs(offset) <= 0.5, 1.0, 0.0)
        case _:
            assert_never(shape)
