"""Pointing loss against published figures and against dice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.errors import ConfigError
from satqkd.optics import loss_db, mean_pointing_fraction
from satqkd.optics.pointing import (
    pointing_fraction_cdf,
    pointing_fraction_pdf,
    pointing_fraction_quantile,
)

LOG_FRACTION = np.linspace(-40, 0, 200_001)
BIASES_RAD = [0.0, 0.4e-6, 2e-6, 12e-6]


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


@pytest.mark.parametrize("bias_rad", BIASES_RAD)
def test_density_has_unit_mass_and_the_mean(bias_rad: float) -> None:
    beam = {"jitter_rad": 1.3e-6, "half_angle_rad": 5e-6, "bias_rad": bias_rad}
    fraction = np.exp(LOG_FRACTION)
    weight = pointing_fraction_pdf(fraction, **beam) * fraction  # per step of ln I
    assert np.trapezoid(weight, LOG_FRACTION) == pytest.approx(1, abs=1e-6)
    mean = mean_pointing_fraction(1.3e-6, half_angle_rad=5e-6, bias_rad=bias_rad)
    assert np.trapezoid(weight * fraction, LOG_FRACTION) == pytest.approx(float(mean), rel=1e-5)


@pytest.mark.parametrize("bias_rad", BIASES_RAD)
def test_cdf_is_the_integral_of_the_density(bias_rad: float) -> None:
    beam = {"jitter_rad": 1.3e-6, "half_angle_rad": 5e-6, "bias_rad": bias_rad}
    fraction = np.exp(LOG_FRACTION)
    weight = pointing_fraction_pdf(fraction, **beam) * fraction
    summed = np.concatenate([[0.0], np.cumsum((weight[1:] + weight[:-1]) / 2)]) * np.diff(LOG_FRACTION[:2])
    np.testing.assert_allclose(summed, pointing_fraction_cdf(fraction, **beam), atol=2e-6)


def test_beta_density_without_bias() -> None:
    """w = 6, sigma = 1: beta = 9, in closed form."""
    beam = {"jitter_rad": 1e-6, "half_angle_rad": 6e-6}
    fraction = np.array([-0.1, 0.0, 0.25, 0.9, 1.0, 1.1])
    np.testing.assert_allclose(
        pointing_fraction_pdf(fraction, **beam), [0, 0, 9 * 0.25**8, 9 * 0.9**8, 9, 0], rtol=1e-12
    )
    np.testing.assert_allclose(
        pointing_fraction_cdf(fraction, **beam), [0, 0, 0.25**9, 0.9**9, 1, 1], rtol=1e-12
    )
    assert pointing_fraction_quantile(0.01, **beam) == pytest.approx(0.01 ** (1 / 9))


def test_bias_tends_to_none() -> None:
    """The noncentral law is continuous at zero bias, in the density and in the distribution."""
    beam = {"jitter_rad": 2e-6, "half_angle_rad": 5e-6}
    fraction = np.linspace(0.01, 1, 50)
    for function in (pointing_fraction_pdf, pointing_fraction_cdf, pointing_fraction_quantile):
        np.testing.assert_allclose(
            function(fraction, **beam, bias_rad=1e-12), function(fraction, **beam), rtol=1e-6
        )


def test_density_far_out_neither_overflows_nor_warns() -> None:
    """Bessel I_0 of 10^6 and the exponential beside it: their product is what is computed."""
    density = pointing_fraction_pdf(
        [1e-300, 1e-20, 0.5, 1.0], jitter_rad=1e-8, half_angle_rad=5e-6, bias_rad=2e-5
    )
    assert np.isfinite(density).all()
    peak = np.exp(-2 * (2e-5 / 5e-6) ** 2)
    assert pointing_fraction_pdf(peak, jitter_rad=1e-8, half_angle_rad=5e-6, bias_rad=2e-5) > 1 / peak


@pytest.mark.parametrize("bias_rad", BIASES_RAD)
def test_quantile_inverts_the_distribution(bias_rad: float) -> None:
    beam = {"jitter_rad": 1.3e-6, "half_angle_rad": 5e-6, "bias_rad": bias_rad}
    probability = np.array([0.0, 1e-4, 0.01, 0.5, 0.99, 1.0])
    fraction = pointing_fraction_quantile(probability, **beam)
    np.testing.assert_allclose(pointing_fraction_cdf(fraction, **beam), probability, atol=1e-9)
    assert np.all(np.diff(fraction) > 0)


@pytest.mark.parametrize("bias_rad", [0.0, 2e-6])
def test_distribution_of_dice(bias_rad: float) -> None:
    """Kolmogorov-Smirnov at 1e-4; ignoring the bias, or one axis, is rejected."""
    rng, n = np.random.default_rng(11), 20_000
    x, y = rng.normal(bias_rad, 1.5e-6, n), rng.normal(0, 1.5e-6, n)
    beam = {"jitter_rad": 1.5e-6, "half_angle_rad": 5e-6, "bias_rad": bias_rad}

    def distance(kept: np.ndarray) -> float:
        expected = pointing_fraction_cdf(np.sort(kept), **beam)
        return float(np.max(np.abs(expected - (np.arange(n) + 0.5) / n)) * np.sqrt(n))

    assert distance(np.exp(-2 * (x**2 + y**2) / 5e-6**2)) < 2.23
    assert distance(np.exp(-2 * x**2 / 5e-6**2)) > 10
    assert distance(np.exp(-2 * ((x + 0.6e-6) ** 2 + y**2) / 5e-6**2)) > 2.23


def test_no_jitter_has_no_distribution() -> None:
    for function in (pointing_fraction_pdf, pointing_fraction_cdf, pointing_fraction_quantile):
        with pytest.raises(ConfigError, match="expected a positive standard deviation"):
            function(0.5, jitter_rad=0.0, half_angle_rad=5e-6)
