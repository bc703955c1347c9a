"""The bias currents of the four detectors: what light does to them, click by click or all at once.

A click draws the charge of its avalanche; light too bright for avalanches draws a charge for each photon.

.. math:: I = e\\,(q_a\\,r + q_l\\,P\\lambda/hc) + \\text{noise}

with r the clicks a second of a reading and P the steady power on the detector. Knows light and clicks, not
who sent the light; a limit is the station's business. Source of the idea: Yuan, Dynes and Shields, Nature
Photonics 4, 800 (2010), bias and photocurrent of blinded diodes.
"""

import numpy as np
from numpy.typing import NDArray

from satqkd.config import BrightLight
from satqkd.constants import ELEMENTARY_CHARGE_C, PLANCK_J_S, SPEED_OF_LIGHT_M_S
from satqkd.devices.door import BiasReadings
from satqkd.randomness import stream

Floats = NDArray[np.float64]


def photons_hz(power_w: float, wavelength_m: float) -> float:
    """Photons a second of light of this power."""
    return power_w * wavelength_m / (PLANCK_J_S * SPEED_OF_LIGHT_M_S)


def bias_current_a(clicks_hz: Floats, bright_w: Floats, wavelength_m: float, answer: BrightLight) -> Floats:
    """Mean current of detectors that click so often under so much steady light; shapes broadcast."""
    photon_hz = photons_hz(1.0, wavelength_m) * bright_w
    electrons_hz = answer.avalanche_electrons * clicks_hz + answer.linear_electrons * photon_hz
    return np.asarray(ELEMENTARY_CHARGE_C * electrons_hz)


class BiasMeter:
    """Keeps the readings of a pass until they are asked for."""

    def __init__(self, answer: BrightLight, wavelength_m: float, seed: int) -> None:
        self._answer, self._wavelength_m = answer, wavelength_m
        self._noise = stream(seed, "twin", "bias")
        self._t_s: list[float] = []
        self._current_a: list[Floats] = []

    def note(self, end_s: float, duration_s: float, clicks: NDArray[np.int64], bright_w: float) -> None:
        """One reading: clicks of the four detectors, int64 of shape (4,), and mean steady power on each."""
        mean_a = bias_current_a(clicks / duration_s, np.full(4, bright_w), self._wavelength_m, self._answer)
        self._t_s.append(end_s)
        self._current_a.append(mean_a + self._answer.current_noise_a * self._noise.standard_normal(4))

    def take(self, until_s: float) -> BiasReadings:
        """Readings that ended by a pass time; they are kept no longer."""
        ended = int(np.searchsorted(self._t_s, until_s, "right"))
        t_s, current_a = np.array(self._t_s[:ended]), np.array(self._current_a[:ended]).reshape(-1, 4)
        del self._t_s[:ended], self._current_a[:ended]
        return BiasReadings(t_s, current_a)
