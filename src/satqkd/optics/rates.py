"""Expected counts: what the source and the detectors make of a link budget, in the mean.

Phase-randomised pulses seen by threshold detectors: Poisson photons, dark and background counts inside
the gate, non-paralysable dead time, timing jitter against the gate, misaligned polarisation. First
moments only, no afterpulses, no security: this is what planning and plots compare measured counts with.
Sources: Lo, Ma & Chen, PRL 94, 230504 (2005); Ma et al., PRA 72, 012326 (2005), eqs. 7-11.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from satqkd.config import Satellite, Station
from satqkd.errors import ConfigError
from satqkd.optics.budget import LinkLosses
from satqkd.records import SIGNAL

Array = NDArray[np.float64]

DETECTORS: Final = 4
RANDOM_ERROR: Final = 0.5
"""Error of a count that knows nothing of the pulse."""
_FWHM_PER_SIGMA: Final = float(2 * np.sqrt(2 * np.log(2)))


class ExpectedRates(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Mean rates at the points of a link budget; arrays of its shape, float64."""

    detection_hz: Array
    """Accepted slots a second, all classes and detectors, dark and background included."""
    sifted_hz: Array
    """Those of class signal in matching bases."""
    qber: Array
    """Expected errors over expected detections of class signal in matching bases."""
    class_gain: Array
    """Detections per pulse sent in a class, dead time included; shape (3, ...): signal, decoy, vacuum."""
    class_error: Array
    """Error rate among matching-basis detections of a class; shape (3, ...); 1/2 where nothing is counted."""
    live_fraction: Array
    """Share of time in which a detector is not dead."""


def expected_rates(losses: LinkLosses, *, satellite: Satellite, station: Station) -> ExpectedRates:
    r"""Mean detections, sifted bits and errors for a link budget.

    .. math::
        Q_k = 1 - (1 - Y_0)\,e^{-\mu_k \eta}, \qquad Y_0 = (4 d + b)\,T, \qquad
        E_k Q_k = \tfrac12 Y_0 + e_o (1 - Y_0)(1 - e^{-\mu_k \eta})

    with the transmittance eta including detector and gate, dark rate d a detector, background b, gate
    width T, optical error e_o. All Q_k are multiplied by the detectors' live fraction
    :math:`1 / (1 + R\,t_d)`, where R is the rate of one of four equally loaded detectors, gated or not.
    Raises ConfigError when the gate is longer than the pulse period.
    """
    source, receiver = satellite.source, station.receiver
    _check_gate(satellite, station)
    mu = np.reshape(source.intensities, (3,) + (1,) * losses.transmittance.ndim)
    share = np.reshape(source.probabilities, mu.shape)
    noise_hz = DETECTORS * receiver.detector.dark_rate_hz + losses.background_hz
    eta = losses.transmittance * receiver.detector.efficiency
    photon = -np.expm1(-mu * eta)
    raw_hz = source.pulse_rate_hz * np.sum(share * photon, axis=0) + noise_hz
    live = 1 / (1 + raw_hz / DETECTORS * receiver.detector.dead_time_s)

    in_gate = gate_fraction(
        receiver.gate_s, jitter_s=receiver.detector.jitter_s, pulse_width_s=source.pulse_width_s
    )
    noise = np.minimum(noise_hz * receiver.gate_s, 1.0)
    signal = (1 - noise) * -np.expm1(-mu * (eta * in_gate))
    click = noise + signal
    error = np.full_like(click, RANDOM_ERROR)
    np.divide(RANDOM_ERROR * noise + receiver.optical_error * signal, click, out=error, where=click > 0)
    gain = click * live
    matching = matching_basis_probability(satellite, station)
    return ExpectedRates(
        detection_hz=source.pulse_rate_hz * np.sum(share * gain, axis=0),
        sifted_hz=source.pulse_rate_hz * source.probabilities[SIGNAL] * matching * gain[SIGNAL],
        qber=error[SIGNAL],
        class_gain=gain,
        class_error=error,
        live_fraction=live,
    )


def gate_fraction(gate_s: float, *, jitter_s: float, pulse_width_s: float) -> float:
    r"""Share of the photons whose time tag falls into the gate centred on their slot.

    .. math::  \mathrm{erf}\frac{T}{2\sqrt2\,\sigma}, \qquad
        \sigma = \frac{\sqrt{\mathrm{jitter}^2 + \mathrm{width}^2}}{2\sqrt{2\ln 2}}

    Jitter and pulse width are full widths at half maximum of Gaussians.
    """
    sigma_s = np.hypot(jitter_s, pulse_width_s) / _FWHM_PER_SIGMA
    return float(erf(gate_s / (2 * np.sqrt(2) * sigma_s)))


def matching_basis_probability(satellite: Satellite, station: Station) -> float:
    """Probability that both ends use the same basis."""
    p, q = satellite.source.basis_z_probability, station.receiver.basis_z_probability
    return p * q + (1 - p) * (1 - q)


def _check_gate(satellite: Satellite, station: Station) -> None:
    period_s = 1 / satellite.source.pulse_rate_hz
    if station.receiver.gate_s > period_s:
        raise ConfigError(
            f"station {station.name}: receiver.gate {station.receiver.gate_s * 1e9:.3g} ns must not exceed "
            f"the pulse period {period_s * 1e9:.3g} ns of satellite {satellite.name}; shorten the gate"
        )
