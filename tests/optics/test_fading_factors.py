"""Fading series: the right distribution and the right correlation time, and twins with either wrong."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gamma, kv, ndtr

from satqkd.errors import ConfigError
from satqkd.optics import mean_pointing_fraction
from satqkd.optics.fading import (
    fade_margin_db,
    gamma_gamma_cdf,
    gamma_gamma_parameters,
    gaussian_process,
    log_normal,
    outages,
    pointing_error_rad,
    pointing_factor,
    process_correlation_time_s,
    scintillation_factor,
)
from satqkd.optics.pointing import pointing_fraction_cdf
from satqkd.optics.turbulence import point_scintillation_index

KS_AT_1E_4 = 2.23
"""Kolmogorov's distance times sqrt(n) that chance exceeds once in ten thousand."""
STEP_S = 0.5e-3
N = 400_000


def _distance(sample: np.ndarray, cdf: Callable[[np.ndarray], np.ndarray]) -> float:
    n = sample.size
    return float(np.max(np.abs(cdf(np.sort(sample)) - (np.arange(n) + 0.5) / n)) * np.sqrt(n))


def _correlation_time_s(series: np.ndarray, step_s: float) -> float:
    """First lag at which the autocovariance has fallen to 1/e, between samples by its logarithm."""
    x = series - series.mean()
    spectrum = np.abs(np.fft.rfft(x, 2 * x.size)) ** 2
    covariance = np.fft.irfft(spectrum)[: x.size]
    correlation = covariance / covariance[0]
    after = int(np.argmax(correlation < np.exp(-1)))
    high, low = np.log(correlation[after - 1]), np.log(correlation[after])
    return step_s * (after - 1 + (high + 1) / (high - low))


def test_the_recursion_is_solved_exactly() -> None:
    """Against the loop it stands for, with a correlation time that varies."""
    n, tau_s = 3000, np.linspace(0.3e-3, 50e-3, 3000)
    series = gaussian_process(n, 1e-3, tau_s, np.random.default_rng(1))
    noise, looped = np.random.default_rng(1).standard_normal(n), np.empty(n)
    looped[0] = noise[0]
    for i in range(1, n):
        kept = np.exp(-1e-3 / tau_s[i])
        looped[i] = kept * looped[i - 1] + np.sqrt(1 - kept**2) * noise[i]
    np.testing.assert_allclose(series, looped, rtol=0, atol=1e-12)


@pytest.mark.parametrize("tau_s", [2e-3, 20e-3])
def test_process_is_unit_normal_with_its_correlation_time(tau_s: float) -> None:
    series = gaussian_process(N, STEP_S, tau_s, np.random.default_rng(2))
    free = series[:: int(8 * tau_s / STEP_S)]
    assert _distance(free, ndtr) < KS_AT_1E_4
    assert _distance(1.4 * free, ndtr) > KS_AT_1E_4
    independent = N * STEP_S / tau_s
    measured_s = _correlation_time_s(series, STEP_S)
    assert measured_s == pytest.approx(tau_s, rel=6 / np.sqrt(independent))
    twin_s = _correlation_time_s(gaussian_process(N, STEP_S, 1.3 * tau_s, np.random.default_rng(3)), STEP_S)
    assert twin_s != pytest.approx(tau_s, rel=6 / np.sqrt(independent))


def test_process_at_its_ends() -> None:
    rng = np.random.default_rng(4)
    white = gaussian_process(50_000, 1e-3, 0.0, rng)
    assert abs(np.corrcoef(white[1:], white[:-1])[0, 1]) < 5 / np.sqrt(50_000)
    frozen = gaussian_process(1000, 1e-3, 1e9, rng)
    assert np.ptp(frozen) < 1e-3
    assert gaussian_process(0, 1e-3, 1.0, rng).shape == (0,)
    assert gaussian_process(1, 1e-3, 1.0, rng).shape == (1,)
    with pytest.raises(ConfigError, match="positive step"):
        gaussian_process(10, 0.0, 1.0, rng)


def test_first_sample_is_as_likely_as_any() -> None:
    """Stationary from the start: over many seeds the first and the last sample have unit variance."""
    ends = np.array(
        [gaussian_process(20, 1e-3, 10e-3, np.random.default_rng(s))[[0, -1]] for s in range(4000)]
    )
    np.testing.assert_allclose(ends.var(axis=0), 1, atol=5 * np.sqrt(2 / 4000))


def test_the_same_seed_gives_the_same_series() -> None:
    first, second = (gaussian_process(100, 1e-3, 5e-3, np.random.default_rng(9)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("bias_rad", [0.0, 1.5e-6])
def test_one_pointing_error_serves_two_beams(bias_rad: float) -> None:
    """Distribution and mean of each beam, from one error; the narrow beam fades when the wide one does."""
    error = pointing_error_rad(
        N,
        STEP_S,
        jitter_rad=1.2e-6,
        bias_rad=bias_rad,
        correlation_time_s=5e-3,
        rng=np.random.default_rng(5),
    )
    assert error.shape == (2, N)
    factors = {}
    for half_angle_rad in (5e-6, 10e-6):
        kept = factors[half_angle_rad] = pointing_factor(error, half_angle_rad=half_angle_rad)
        beam = {"jitter_rad": 1.2e-6, "half_angle_rad": half_angle_rad, "bias_rad": bias_rad}
        free = kept[::80]
        assert _distance(free, lambda x, beam=beam: pointing_fraction_cdf(x, **beam)) < KS_AT_1E_4
        wrong = {**beam, "jitter_rad": 1.4e-6}
        assert _distance(free, lambda x, wrong=wrong: pointing_fraction_cdf(x, **wrong)) > KS_AT_1E_4
        mean = float(mean_pointing_fraction(1.2e-6, half_angle_rad=half_angle_rad, bias_rad=bias_rad))
        independent = N * STEP_S / 5e-3
        assert kept.mean() == pytest.approx(mean, abs=4 * kept.std() / np.sqrt(independent))
    np.testing.assert_allclose(factors[5e-6], factors[10e-6] ** 4, rtol=1e-9)


def test_correlation_time_of_the_pointing_factor() -> None:
    """Correlation r^2 (1-q^2)/(1-q^2 r^2) of the factor, whose 1/e time is 0.5..1 of the error's."""
    tau_s, sigma_rad, w_rad = 10e-3, 1.2e-6, 5e-6
    error = pointing_error_rad(
        N,
        STEP_S,
        jitter_rad=sigma_rad,
        bias_rad=0.0,
        correlation_time_s=tau_s,
        rng=np.random.default_rng(6),
    )
    measured_s = _correlation_time_s(pointing_factor(error, half_angle_rad=w_rad), STEP_S)
    q_sq = (4 * sigma_rad**2 / (w_rad**2 + 4 * sigma_rad**2)) ** 2
    r_sq = 1 / (np.e * (1 - q_sq) + q_sq)
    assert measured_s == pytest.approx(-np.log(r_sq) / 2 * tau_s, rel=0.05)
    assert measured_s < 0.6 * tau_s


@pytest.mark.parametrize("bias_rad", [0.0, 1e-6])
def test_jitter_may_vary_along_the_pass(bias_rad: float) -> None:
    jitter_rad = np.repeat([1e-6, 3e-6], 50_000)
    error = pointing_error_rad(
        100_000,
        1e-3,
        jitter_rad=jitter_rad,
        bias_rad=np.full(100_000, bias_rad),
        correlation_time_s=1e-3,
        rng=np.random.default_rng(7),
    )
    for half, sigma_rad in enumerate((1e-6, 3e-6)):
        part = error[:, half * 50_000 : (half + 1) * 50_000]
        np.testing.assert_allclose(part.std(axis=1), sigma_rad, rtol=0.03)
        np.testing.assert_allclose(part.mean(axis=1), [bias_rad, 0.0], atol=0.08 * sigma_rad)


@pytest.mark.parametrize(
    ("rytov", "wave"), [(0.6, "plane"), (2.0, "plane"), (9.0, "plane"), (4.0, "spherical")]
)
def test_gamma_gamma_against_its_bessel_density(rytov: float, wave: str) -> None:
    """Al-Habash eq. 1: the distribution is the integral of the density with the Bessel function K."""
    a, b = (float(each) for each in gamma_gamma_parameters(rytov, wave=wave))  # type: ignore[arg-type]

    def density(log_x: float) -> float:
        x = np.exp(log_x)
        scale = 2 * (a * b) ** ((a + b) / 2) / (gamma(a) * gamma(b))
        return float(scale * x ** ((a + b) / 2) * kv(a - b, 2 * np.sqrt(a * b * x)))

    for intensity in (0.02, 0.3, 1.0, 3.0, 8.0):
        expected = quad(density, -60, np.log(intensity), limit=400)[0]
        below, above = gamma_gamma_cdf(intensity, alpha=a, beta=b)
        assert float(below) == pytest.approx(expected, rel=1e-5)
        assert float(below + above) == pytest.approx(1, abs=1e-12)


def test_gamma_gamma_parameters_of_the_plane_wave() -> None:
    """The index they imply is the point index of turbulence, and they tend to (inf, 1) in saturation."""
    rytov = [0.01, 0.5, 2.0, 10.0, 100.0]
    alpha, beta = gamma_gamma_parameters(rytov)
    implied = 1 / alpha + 1 / beta + 1 / (alpha * beta)
    np.testing.assert_allclose(implied, point_scintillation_index(rytov), rtol=1e-9)
    alpha, beta = gamma_gamma_parameters(1e7)
    assert float(alpha) > 1e2
    assert float(beta) == pytest.approx(1, abs=0.01)


def _gamma_gamma_of_index(index: float) -> Callable[[np.ndarray], np.ndarray]:
    rytov = np.geomspace(1e-3, 10.3, 4000)
    alpha, beta = gamma_gamma_parameters(rytov)
    at = float(np.interp(index, 1 / alpha + 1 / beta + 1 / (alpha * beta), rytov))
    a, b = (float(each) for each in gamma_gamma_parameters(at))
    grid = np.linspace(-20, 5, 4000)
    below, _ = gamma_gamma_cdf(np.exp(grid), alpha=a, beta=b)
    return lambda x: np.interp(np.log(x), grid, below)


@pytest.mark.parametrize("index", [0.05, 0.3, 0.7, 1.1])
def test_distribution_of_scintillation(index: float) -> None:
    """Both laws by Kolmogorov-Smirnov on free samples; the other law, of equal variance, is rejected."""
    free = gaussian_process(40_000, 1.0, 0.0, np.random.default_rng(8))
    spread = np.sqrt(np.log1p(index))
    laws = {
        "log-normal": lambda x: ndtr(np.log(x) / spread + spread / 2),
        "gamma-gamma": _gamma_gamma_of_index(index),
    }
    for model, cdf in laws.items():
        intensity = scintillation_factor(free, index=index, model=model)  # type: ignore[arg-type]
        assert _distance(intensity, cdf) < KS_AT_1E_4
        if index >= 0.3:
            other = next(law for name, law in laws.items() if name != model)
            assert _distance(intensity, other) > KS_AT_1E_4
        wrong = scintillation_factor(free, index=1.1 * index, model=model)  # type: ignore[arg-type]
        assert _distance(wrong, cdf) > 1.3


@pytest.mark.parametrize("wave", ["plane", "spherical"])
@pytest.mark.parametrize("model", ["log-normal", "gamma-gamma", "auto"])
def test_fading_changes_no_mean_and_has_the_index(model: str, wave: str) -> None:
    """Moments by quadrature over the process, not by dice: mean 1 and variance `index` to 5e-4."""
    z = np.linspace(-8, 8, 20_001)
    weight = np.exp(-(z**2) / 2)
    weight /= weight.sum()
    for index in (
        0.0,
        1e-6,
        0.01,
        0.021,
        0.1,
        0.4999,
        0.5,
        0.8,
        1.0,
        1.243,
        *([1.69] * (wave == "spherical")),
    ):
        intensity = scintillation_factor(z, index=index, model=model, wave=wave)  # type: ignore[arg-type]
        mean = float(intensity @ weight)
        assert mean == pytest.approx(1, abs=3e-4)
        assert float(intensity**2 @ weight) - mean**2 == pytest.approx(index, rel=6e-4, abs=1e-12)
        assert np.all(np.diff(intensity) >= 0)


def test_index_may_vary_along_the_pass() -> None:
    """Each half has the variance of its own index, below and above the change of law."""
    index = np.repeat([0.1, 1.0], 100_000)
    process = gaussian_process(200_000, 1.0, 0.0, np.random.default_rng(12))
    intensity = scintillation_factor(process, index=index)
    np.testing.assert_array_equal(intensity[:100_000], log_normal(process[:100_000], 0.1))
    np.testing.assert_allclose(intensity[100_000:], scintillation_factor(process[100_000:], index=1.0))
    for half, sigma_sq in ((intensity[:100_000], 0.1), (intensity[100_000:], 1.0)):
        assert half.mean() == pytest.approx(1, abs=4 * np.sqrt(sigma_sq / 1e5))
        assert half.var() == pytest.approx(sigma_sq, rel=0.06)


@pytest.mark.parametrize("index", [0.02, 0.4, 1.1])
def test_correlation_time_of_the_intensity_itself(index: float) -> None:
    """Of the intensity, what was asked for, to 6 % (log-normal) or 12 %; 1.4 times longer is rejected."""
    asked_s = 5e-3
    tau_s = float(process_correlation_time_s(asked_s, index=index))
    process = gaussian_process(800_000, STEP_S, tau_s, np.random.default_rng(13))
    tolerance = 0.06 if index < 0.5 else 0.12
    measured_s = _correlation_time_s(scintillation_factor(process, index=index), STEP_S)
    assert measured_s == pytest.approx(asked_s, rel=tolerance)
    twin = gaussian_process(800_000, STEP_S, 1.4 * tau_s, np.random.default_rng(14))
    twin_s = _correlation_time_s(scintillation_factor(twin, index=index), STEP_S)
    assert twin_s != pytest.approx(asked_s, rel=tolerance)
    if index == 0.4:
        assert tau_s > 1.1 * asked_s


def test_correlation_time_may_vary_along_the_pass() -> None:
    tau_s = np.concatenate([np.full(N // 2, 2e-3), np.full(N // 2, 8e-3)])
    process = gaussian_process(N, STEP_S, tau_s, np.random.default_rng(15))
    first_s, last_s = (_correlation_time_s(part, STEP_S) for part in np.split(process, 2))
    assert first_s == pytest.approx(2e-3, rel=0.08)
    assert last_s == pytest.approx(8e-3, rel=0.12)


def test_one_process_serves_two_apertures() -> None:
    """The smaller index twinkles less, at the same moments."""
    process = gaussian_process(5000, 1e-3, 5e-3, np.random.default_rng(16))
    small, large = (scintillation_factor(process, index=each) for each in (0.7, 0.05))
    assert small.var() > 5 * large.var()
    assert np.corrcoef(np.argsort(np.argsort(small)), np.argsort(np.argsort(large)))[0, 1] > 0.9999


def test_outages_are_counted() -> None:
    factor = np.array([0.1, 0.2, 1.0, 1.0, 0.3, 1.0, 0.2, 0.2, 0.2])
    found = outages(factor, 0.5, threshold=0.5)
    assert (found.share, found.stretches) == (pytest.approx(6 / 9), 3)
    assert found.mean_duration_s == pytest.approx(1.0)
    assert outages(factor, 0.5, threshold=0.05) == (0.0, 0, 0.0)
    assert outages(factor[:0], 0.5, threshold=0.05) == (0.0, 0, 0.0)


def test_fade_margin_of_a_log_normal() -> None:
    """10 log10 of mean over quantile: s^2/2 + 2.326 s in nepers at 1 %."""
    intensity = log_normal(np.random.default_rng(17).standard_normal(400_000), 0.1)
    s = np.sqrt(np.log(1.1))
    assert fade_margin_db(intensity, outage=0.01) == pytest.approx(
        10 / np.log(10) * (s**2 / 2 + 2.3263 * s), rel=0.01
    )


def test_what_cannot_be_is_refused() -> None:
    process = np.zeros(3)
    with pytest.raises(ConfigError, match=r"no gamma-gamma law of a plane wave goes above 1\.243"):
        scintillation_factor(process, index=1.4)
    assert scintillation_factor(process, index=1.4, wave="spherical").shape == (3,)
    assert scintillation_factor(process, index=1.4, model="log-normal").shape == (3,)
    with pytest.raises(ConfigError, match="expected 0 or more"):
        scintillation_factor(process, index=-0.1)
    with pytest.raises(ConfigError, match="expected log-normal"):
        scintillation_factor(process, index=0.1, model="rayleigh")  # type: ignore[arg-type]
