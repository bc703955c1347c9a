r"""Laser link: the frames that a received power loses.

On-off keying, direct detection by an avalanche photodiode, errors independent from bit to bit and Gaussian
noise, no interleaving over a fade: the frame error rate of each moment follows from the power of that moment.
The power comes from outside (`bright.arriving_power_w`, fading); the module knows no satellite and no clock.
Not for receivers that count single photons, where the noise is not Gaussian.
Source: Agrawal, Fiber-Optic Communication Systems, 4th ed. (2010), sections 4.4 to 4.6: shot noise with the
excess factor F_A = k M + (1-k)(2 - 1/M), thermal noise, Q = (I_1 - I_0)/(s_1 + s_0), BER = erfc(Q/sqrt 2)/2.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.constants import ELEMENTARY_CHARGE_C
from satqkd.errors import ConfigError
from satqkd.optics.spectrum import photon_energy_j

Array = NDArray[np.float64]


class ReceiverNoise(NamedTuple):
    """What a photodiode and its amplifier make of light at one bit rate, from `receiver_noise`."""

    response_a_w: float
    """Current for a watt of light, gain included."""
    shot_a: float
    """Variance of the current for each ampere of it."""
    floor_a: float
    """Standard deviation of the current without signal: amplifier, dark current, background."""


def receiver_noise(
    bit_rate_bit_s: float,
    *,
    wavelength_m: float,
    quantum_efficiency: float,
    gain: float = 1.0,
    ionisation_ratio: float = 0.0,
    dark_current_a: float = 0.0,
    amplifier_noise_a_sqrt_hz: float = 0.0,
    background_w: float = 0.0,
    bandwidth_ratio: float = 0.5,
) -> ReceiverNoise:
    r"""Response and noise of a receiver at one bit rate.

    .. math::  R_d = \frac{\eta q\lambda}{hc}, \quad F_A = kM + (1-k)\Big(2 - \frac1M\Big), \quad
        \sigma^2 = 2qM^2F_A(R_dP + R_dP_b + I_d)B + i_n^2B, \quad B = \beta f_b

    gain: M, 1 for a photodiode without avalanche; ionisation_ratio: k; dark_current_a: the multiplied part,
    before gain; amplifier_noise_a_sqrt_hz: i_n, referred to the amplifier's input, A/sqrt(Hz);
    background_w: P_b, light of the sky on the photodiode; bandwidth_ratio: 0.5 for a matched filter.
    """
    if gain < 1 or not 0 < quantum_efficiency <= 1:
        raise ConfigError(
            f"photodiode of gain {gain} and quantum efficiency {quantum_efficiency}: expected a gain of 1 or "
            "more and an efficiency in (0, 1]"
        )
    charge, bandwidth_hz = ELEMENTARY_CHARGE_C, bandwidth_ratio * bit_rate_bit_s
    responsivity = quantum_efficiency * charge / float(photon_energy_j(wavelength_m))
    excess = ionisation_ratio * gain + (1 - ionisation_ratio) * (2 - 1 / gain)
    shot = 2 * charge * gain * excess * bandwidth_hz
    steady_a = gain * (responsivity * background_w + dark_current_a)
    floor_sq = shot * steady_a + amplifier_noise_a_sqrt_hz**2 * bandwidth_hz
    return ReceiverNoise(response_a_w=gain * responsivity, shot_a=shot, floor_a=float(np.sqrt(floor_sq)))


def bit_error_rate(received_w: ArrayLike, *, noise: ReceiverNoise, extinction: float = 0.0) -> Array:
    r"""Errors per bit, :math:`\tfrac12\,\mathrm{erfc}(Q/\sqrt2)`, 1/2 without light.

    .. math::  Q = \frac{I_1 - I_0}{\sigma_1 + \sigma_0}, \qquad I_1 = \frac{2\,r P}{1+\epsilon},
        \quad I_0 = \epsilon I_1, \quad \sigma_i^2 = \sigma_f^2 + s I_i

    received_w: mean power P of any shape; extinction: epsilon, power of a 0 over that of a 1, below 1; r, s
    and sigma_f are the three numbers of the noise. The threshold is the best one for these two noises.
    """
    from scipy.special import erfc

    one = 2 * noise.response_a_w * np.asarray(received_w, dtype=np.float64) / (1 + extinction)
    spread = sum(np.sqrt(noise.floor_a**2 + noise.shot_a * each) for each in (one, extinction * one))
    lit = spread > 0
    quality = np.where(lit, (1 - extinction) * one / np.where(lit, spread, 1.0), 0.0)
    return np.asarray(erfc(quality / np.sqrt(2)) / 2)


def frame_error_rate(
    received_w: ArrayLike,
    *,
    noise: ReceiverNoise,
    frame_bits: int,
    extinction: float = 0.0,
    coding_gain_db: float = 0.0,
) -> Array:
    r"""Share of frames with at least one bit wrong, :math:`1 - (1 - \mathrm{BER})^n`, to full precision.

    coding_gain_db: decibels of optical power that a code saves, here a mere shift of the power: the shape of
    the code's own curve is not modelled. frame_bits: n, on the channel. Shape of received_w, in [0, 1].
    """
    effective_w = np.asarray(received_w, dtype=np.float64) * 10 ** (coding_gain_db / 10)
    error = bit_error_rate(effective_w, noise=noise, extinction=extinction)
    return np.asarray(-np.expm1(frame_bits * np.log1p(-error)))


def required_power_w(
    frame_error: ArrayLike,
    *,
    noise: ReceiverNoise,
    frame_bits: int,
    extinction: float = 0.0,
    coding_gain_db: float = 0.0,
) -> Array:
    r"""Mean received power that gives this frame error rate: the inverse of `frame_error_rate`, closed.

    .. math::  I_1 - I_0 = sQ^2(1+2e) + Q\sqrt{s^2Q^2[(1+2e)^2-1] + 4\sigma_f^2}, \quad
        e = \frac{\epsilon}{1-\epsilon}

    frame_error: in (0, 1), any shape.
    """
    from scipy.special import erfcinv

    rate = np.asarray(frame_error, dtype=np.float64)
    bit_error = -np.expm1(np.log1p(-rate) / frame_bits)
    Q = np.maximum(np.sqrt(2) * erfcinv(2 * bit_error), 0.0)
    s, leak = noise.shot_a, 1 + 2 * extinction / (1 - extinction)
    swing = s * Q**2 * leak + Q * np.sqrt((s * Q) ** 2 * (leak**2 - 1) + 4 * noise.floor_a**2)
    one = swing / (1 - extinction)
    power = one * (1 + extinction) / (2 * noise.response_a_w)
    return np.asarray(power / 10 ** (coding_gain_db / 10))


def link_margin_db(received_w: ArrayLike, *, required_w: ArrayLike) -> Array:
    """Power to spare, positive where the link closes; -inf without light."""
    with np.errstate(divide="ignore"):
        ratio = np.asarray(received_w, dtype=np.float64) / np.asarray(required_w, dtype=np.float64)
        return np.asarray(10 * np.log10(ratio))
