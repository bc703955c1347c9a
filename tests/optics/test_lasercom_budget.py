"""Laser link: a budget by hand, error rates against dice and closed forms, and what must never turn round."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erfc

from satqkd.config import Laser, Station
from satqkd.errors import ConfigError
from satqkd.optics import arriving_power_w
from satqkd.optics.lasercom import (
    ReceiverNoise,
    bit_error_rate,
    frame_error_rate,
    link_margin_db,
    receiver_noise,
    required_power_w,
)

SILICON = {
    "wavelength_m": 808e-9,
    "quantum_efficiency": 0.8,
    "gain": 100.0,
    "ionisation_ratio": 0.02,
    "dark_current_a": 1e-11,
    "amplifier_noise_a_sqrt_hz": 2e-12,
    "background_w": 1e-12,
}
"""A silicon avalanche photodiode with a transimpedance amplifier; assumed, textbook values."""


def test_a_budget_by_hand(station: Station) -> None:
    """100 mW, 50 urad half angle at 1000 km: 50 m radius into 0.28 m is 2 (0.14/50)^2 = 15.68e-6, -48.05 dB.

    Air of depth 0.3 at 30 degrees is exp(-0.3 x 1.9942), a cloud of 10 dB a tenth.
    """
    laser = Laser(wavelength_m=808e-9, power_w=0.1, divergence_rad=100e-6)
    power_w = arriving_power_w(
        1e6, np.radians(30), laser, station=station, receiver_diameter_m=0.28, cloud_db=[0.0, 10.0]
    )
    clear_w = 0.1 * 15.68e-6 * np.exp(-0.3 * 1.9942)
    np.testing.assert_allclose(power_w, [clear_w, clear_w / 10], rtol=1e-4)
    shaded_w = arriving_power_w(
        1e6, np.radians(30), laser, station=station, receiver_diameter_m=0.28, receiver_obscuration=0.5
    )
    assert float(shaded_w) == pytest.approx(0.75 * clear_w, rel=1e-4)


def test_no_more_light_arrives_than_leaves(station: Station) -> None:
    laser = Laser(wavelength_m=808e-9, power_w=1.0, divergence_rad=100e-6)
    range_m = np.geomspace(1.0, 1e7, 30)
    power_w = arriving_power_w(range_m, 1.2, laser, station=station, receiver_diameter_m=0.28)
    assert np.all(power_w <= 1.0)
    assert np.all(np.diff(power_w) <= 0)


def test_receiver_noise_by_hand() -> None:
    """R = 0.8 x 808/1239.84 = 0.5214 A/W; F = 0.02 x 100 + 0.98 x 1.99 = 3.950; B = 5 MHz at 10 Mbit/s."""
    noise = receiver_noise(10e6, **SILICON)
    assert noise.response_a_w == pytest.approx(100 * 0.52136, rel=1e-4)
    assert noise.shot_a == pytest.approx(2 * 1.602177e-19 * 100 * 3.9502 * 5e6, rel=1e-4)
    steady_a = 100 * (0.52136e-12 + 1e-11)
    assert noise.floor_a == pytest.approx(np.sqrt(noise.shot_a * steady_a + 4e-24 * 5e6), rel=1e-4)


def test_plain_photodiode_in_thermal_noise() -> None:
    """No gain, noise of the amplifier alone: Q = R P / s, so BER = erfc(R P / (s sqrt 2))/2."""
    noise = ReceiverNoise(response_a_w=0.5, shot_a=0.0, floor_a=1e-9)
    power_w = np.array([0.0, 2e-9, 12e-9])
    np.testing.assert_allclose(
        bit_error_rate(power_w, noise=noise), erfc([0, 1 / np.sqrt(2), 6 / np.sqrt(2)]) / 2
    )
    assert float(bit_error_rate(12e-9, noise=noise)) == pytest.approx(9.87e-10, rel=1e-3)


def test_shot_limit() -> None:
    """No floor: Q^2 = I_1 / s = 2 N for an ideal diode and a matched filter, N photons a bit in the mean."""
    photons = 10.0
    noise = receiver_noise(1e6, wavelength_m=850e-9, quantum_efficiency=1.0)
    power_w = photons * 1e6 * 6.62607015e-34 * 299792458 / 850e-9
    expected = erfc(np.sqrt(2 * photons) / np.sqrt(2)) / 2
    assert float(bit_error_rate(power_w, noise=noise)) == pytest.approx(expected, rel=1e-6)


def test_bit_errors_against_dice() -> None:
    """Two normal currents and the threshold between them; a missing excess noise is rejected."""
    noise = receiver_noise(10e6, **SILICON)
    power_w, extinction = 0.2e-9, 0.1
    rng, n = np.random.default_rng(21), 2_000_000
    one_a = 2 * noise.response_a_w * power_w / 1.1
    levels_a = np.array([extinction * one_a, one_a])
    spread_a = np.sqrt(noise.floor_a**2 + noise.shot_a * levels_a)
    threshold_a = (spread_a[1] * levels_a[0] + spread_a[0] * levels_a[1]) / spread_a.sum()
    bits = rng.integers(0, 2, n)
    decided = rng.normal(levels_a[bits], spread_a[bits]) > threshold_a
    wrong = float(np.mean(decided != bits))
    rate = float(bit_error_rate(power_w, noise=noise, extinction=extinction))
    assert 1e-4 < rate < 0.2
    assert wrong == pytest.approx(rate, abs=4 * np.sqrt(rate / n))
    quiet = noise._replace(shot_a=noise.shot_a / 3.95)
    assert float(bit_error_rate(power_w, noise=quiet, extinction=extinction)) < rate - 8 * np.sqrt(rate / n)


def test_frame_errors_at_both_ends_keep_their_digits() -> None:
    """n BER where BER is tiny, below the resolution of 1 - BER; 1 without light."""
    noise = ReceiverNoise(response_a_w=1.0, shot_a=0.0, floor_a=1.0)
    bit = float(bit_error_rate(9.0, noise=noise))
    assert 0 < bit < 1e-18
    frame = float(frame_error_rate(9.0, noise=noise, frame_bits=8000))
    assert frame == pytest.approx(8000 * bit, rel=1e-9)
    assert float(frame_error_rate(0.0, noise=noise, frame_bits=8000)) == 1.0
    assert float(frame_error_rate(1e3, noise=noise, frame_bits=8000)) == 0.0
    assert float(frame_error_rate(2.0, noise=noise, frame_bits=1)) == pytest.approx(
        float(bit_error_rate(2.0, noise=noise))
    )


def test_no_noise_and_no_light() -> None:
    silent = ReceiverNoise(response_a_w=1.0, shot_a=0.0, floor_a=0.0)
    np.testing.assert_array_equal(bit_error_rate([0.0, 0.0], noise=silent), [0.5, 0.5])


@settings(max_examples=60, deadline=None)
@given(
    power_w=st.floats(1e-12, 1e-6),
    bit_rate_bit_s=st.floats(1e5, 1e9),
    frame_bits=st.integers(1, 100_000),
    extinction=st.floats(0, 0.5),
)
def test_frame_errors_never_turn_round(
    power_w: float, bit_rate_bit_s: float, frame_bits: int, extinction: float
) -> None:
    """In [0, 1]; fewer with more power or gain of the code, more at a higher rate or in longer frames."""

    def errors(factor: float = 1.0, rate: float = 1.0, bits: int = 1, gain_db: float = 0.0) -> float:
        noise = receiver_noise(bit_rate_bit_s * rate, **SILICON)
        return float(
            frame_error_rate(
                power_w * factor,
                noise=noise,
                frame_bits=frame_bits * bits,
                extinction=extinction,
                coding_gain_db=gain_db,
            )
        )

    base = errors()
    assert 0 <= base <= 1
    assert errors(factor=1.5) <= base <= errors(factor=0.7)
    assert errors(rate=0.5) <= base <= errors(rate=2.0)
    assert base <= errors(bits=3)
    assert errors(gain_db=3.0) == pytest.approx(errors(factor=10**0.3), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    log_error=st.floats(-9, -0.05),
    bit_rate_bit_s=st.floats(1e5, 1e9),
    frame_bits=st.integers(1, 100_000),
    extinction=st.floats(0, 0.5),
    coding_gain_db=st.floats(0, 8),
)
def test_required_power_is_the_inverse(
    log_error: float, bit_rate_bit_s: float, frame_bits: int, extinction: float, coding_gain_db: float
) -> None:
    link = {
        "noise": receiver_noise(bit_rate_bit_s, **SILICON),
        "frame_bits": frame_bits,
        "extinction": extinction,
        "coding_gain_db": coding_gain_db,
    }
    wanted = 10**log_error
    power_w = required_power_w(wanted, **link)  # type: ignore[arg-type]
    if wanted < 1 - 0.5**frame_bits:  # no frame is worse than guessed bits
        assert float(frame_error_rate(power_w, **link)) == pytest.approx(wanted, rel=1e-6)  # type: ignore[arg-type]


def test_a_frame_error_above_one_half_of_a_single_bit_needs_no_light() -> None:
    noise = receiver_noise(1e6, **SILICON)
    assert float(required_power_w(0.7, noise=noise, frame_bits=1)) == 0


def test_sensitivity_is_of_the_known_size() -> None:
    """Silicon at 808 nm, 10 Mbit/s, BER 1e-9: some tens of photons a detected bit, not one and not 10^4."""
    noise = receiver_noise(10e6, **SILICON)
    power_w = float(required_power_w(1e-9, noise=noise, frame_bits=1))
    photons = power_w / 10e6 / (6.62607015e-34 * 299792458 / 808e-9)
    assert 70 < photons < 700


def test_margin_is_power_to_spare() -> None:
    margin = link_margin_db([2e-9, 1e-9, 0.1e-9, 0.0], required_w=1e-9)
    np.testing.assert_allclose(margin, [3.0103, 0, -10, -np.inf], atol=1e-4)


def test_fading_costs_frames() -> None:
    """The mean of the frame errors over fades, not the frame error of the mean power."""
    noise = receiver_noise(10e6, **SILICON)
    needed_w = float(required_power_w(1e-6, noise=noise, frame_bits=8000))
    fades = np.exp(0.8 * np.random.default_rng(22).standard_normal(20_000) - 0.32)
    lost = frame_error_rate(2 * needed_w * fades, noise=noise, frame_bits=8000)
    assert float(frame_error_rate(2 * needed_w, noise=noise, frame_bits=8000)) < 1e-9
    assert lost.shape == (20_000,)
    assert lost.mean() > 0.05


def test_impossible_photodiodes_are_refused() -> None:
    for change in ({"gain": 0.5}, {"quantum_efficiency": 1.2}, {"quantum_efficiency": 0.0}):
        with pytest.raises(ConfigError, match=r"gain of 1 or more and an efficiency in \(0, 1\]"):
            receiver_noise(1e6, **{**SILICON, **change})
