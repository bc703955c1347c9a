"""Pointing loss against published figures and against dice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.optics import loss_db, mean_pointing_fraction


def test_jitter_of_ten_microradians_full_angle() -> None:
    fraction = mean_pointing_fraction([1e-6, 2e-6, 3e-6], half_angle_rad=5e-6)
    np.testing.assert_allclose(loss_db(fraction), [0.64, 2.15, 3.87], atol=0.006)


def test_jitter_of_twenty_microradians_full_angle() -> None:
    fraction = mean_pointing_fraction([1e-6, 2e-6, 3e-6], half_angle_rad=10e-6)
    np.testing.assert_allclose(loss_db(fraction), [0.17, 0.64, 1.34], atol=0.006)


@pytest.mark.parametrize("bias_rad", [0.0, 2e-6, 6e-6])
def test_closed_form_is_the_mean_over_dice(bias_rad: float) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(bias_rad, 1.5e-6, 400_000)
    y = rng.normal(0.0, 1.5e-6, 400_000)
    kept = np.exp(-2 * (x**2 + y**2) / (5e-6) ** 2)
    error = kept.std() / np.sqrt(kept.size)
    closed = mean_pointing_fraction(1.5e-6, half_angle_rad=5e-6, bias_rad=bias_rad)
    assert abs(closed - kept.mean()) < 4 * error


@settings(max_examples=100, deadline=None)
@given(sigma=st.floats(0, 1e-4), bias=st.floats(0, 1e-4), w=st.floats(1e-6, 1e-3))
def test_no_gain_and_bias_never_helps(sigma: float, bias: float, w: float) -> None:
    biased, straight = mean_pointing_fraction(sigma, half_angle_rad=w, bias_rad=[bias, 0.0])
    assert 0 <= biased <= straight <= 1
