r"""Fading: how the power of a link varies from moment to moment around its mean, as time series.

Each cause is a stationary unit Gaussian process on an even time grid, put through the function that gives it
the right distribution: pointing error through the beam, scintillation through a quantile transform. So one
error or one process serves several beams, and every factor has mean 1 or the mean of `pointing`: fading moves
no mean. Randomness is an argument; the module knows no clock and no link.

A transform bends the correlation: where the process has correlation r, the intensity has less. It is r^2
(1-q^2)/(1-q^2 r^2), q = 4 s^2/(w^2 + 4 s^2), for an unbiased pointing factor, so 1/e is reached after half
the error's correlation time or more; for scintillation `process_correlation_time_s` gives what the process
needs. The process is Markov (Ornstein-Uhlenbeck), so the decay is exponential; real spectra fall faster at
high frequency.
Sources: Uhlenbeck & Ornstein, Phys. Rev. 36, 823 (1930); Al-Habash, Andrews & Phillips, Opt. Eng. 40, 1554
(2001), gamma-gamma; Andrews & Phillips, Laser Beam Propagation through Random Media, 2nd ed., eq. 9.138.
"""

from functools import cache
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.errors import ConfigError
from satqkd.optics.turbulence import large_and_small_scale

Array = NDArray[np.float64]
Model = Literal["log-normal", "gamma-gamma", "auto"]
Wave = Literal["plane", "spherical"]

_LOG_NORMAL_BELOW: Final = 0.5
"""Index above which `auto` is gamma-gamma."""
_LEAST_INDEX: Final = 0.02
"""Below it a gamma-gamma variable is log-normal for all purposes."""
_ROWS: Final = 32
_Z: Final = np.linspace(-8.0, 8.0, 257)
_THETA: Final[dict[Wave, float]] = {"plane": 1.0, "spherical": 0.0}


def gaussian_process(n: int, step_s: float, correlation_time_s: ArrayLike, rng: np.random.Generator) -> Array:
    r"""n samples, `step_s` apart, of a stationary unit Gaussian process with correlation exp(-|t|/tau).

    .. math::  x_{i+1} = \rho_i x_i + \sqrt{1 - \rho_i^2}\,g_i, \qquad \rho_i = e^{-\Delta t/\tau_i}

    correlation_time_s: tau, a number or n values that change little within themselves; 0 is white noise.
    """
    tau = np.broadcast_to(np.asarray(correlation_time_s, dtype=np.float64), (n,))
    if step_s <= 0 or np.any(tau < 0):
        raise ConfigError(f"expected a positive step and no negative correlation time, got step {step_s} s")
    noise = rng.standard_normal(n)
    if n == 0:
        return noise
    with np.errstate(divide="ignore"):
        kept = np.exp(-step_s / tau)
    kept[0] = 0.0
    noise *= np.sqrt(1 - kept**2)
    # The recursion is solved by doubling: after k rounds each sample has heard of the 2^k before it. No
    # division by a decaying product, so nothing can overflow, and old samples drop out when they underflow.
    reach = 1
    while reach < n and kept.max() > 0:
        noise[reach:] += kept[reach:] * noise[:-reach]
        kept[reach:] *= kept[:-reach].copy()
        kept[:reach] = 0.0
        kept[kept < 1e-18] = 0.0
        reach *= 2
    return noise


def pointing_error_rad(
    n: int,
    step_s: float,
    *,
    jitter_rad: ArrayLike,
    bias_rad: ArrayLike,
    correlation_time_s: ArrayLike,
    rng: np.random.Generator,
) -> Array:
    """Two axes of the direction error, (2, n): independent normal jitter, the bias on the first axis.

    jitter_rad: standard deviation per axis; numbers or n values each.
    """
    axes = [gaussian_process(n, step_s, correlation_time_s, rng) for _ in range(2)]
    error = np.asarray(jitter_rad, dtype=np.float64) * np.stack(axes)
    error[0] += np.asarray(bias_rad, dtype=np.float64)
    return error


def pointing_factor(error_rad: Array, *, half_angle_rad: float) -> Array:
    r"""Fraction of the on-axis intensity kept at each moment, :math:`e^{-2|\theta|^2/w^2}`.

    error_rad: (2, ...), shared by all beams of a terminal; half_angle_rad: 1/e^2 half angle w of this beam.
    """
    return np.asarray(np.exp(-2 / half_angle_rad**2 * (error_rad[0] ** 2 + error_rad[1] ** 2)))


def scintillation_factor(
    process: Array, *, index: ArrayLike, model: Model = "auto", wave: Wave = "plane"
) -> Array:
    r"""Intensity over its mean, from a unit Gaussian process z: mean 1, variance `index`.

    .. math::  I = \exp(s z - s^2/2), \; s^2 = \ln(1 + \sigma_I^2) \quad\text{or}\quad
        I = F_{\gamma\gamma}^{-1}\big(\Phi(z)\big)

    index: a number or one value a sample. `auto`: log-normal below an index of 0.5, else gamma-gamma, whose
    two parameters follow from the index as they do for the wave named: plane (downlink, up to 1.243) or
    spherical (uplink, up to 1.692); more is refused. Quantiles are tabulated over z and index, which holds
    mean and variance to 5e-4. A gamma-gamma of an index below 0.02 is taken as log-normal.
    """
    sigma_sq = np.asarray(index, dtype=np.float64)
    if np.any(sigma_sq < 0):
        raise ConfigError(f"scintillation index {sigma_sq.min()}: expected 0 or more")
    match model:
        case "log-normal":
            return log_normal(process, sigma_sq)
        case "gamma-gamma":
            least = _LEAST_INDEX
        case "auto":
            least = _LOG_NORMAL_BELOW
        case _:
            raise ConfigError(f"fading model {model!r}: expected log-normal, gamma-gamma or auto")
    strong = sigma_sq >= least
    if not strong.any():
        return log_normal(process, sigma_sq)
    if strong.all():
        return _gamma_gamma(process, sigma_sq, wave)
    z, sigma_sq, strong = np.broadcast_arrays(process, sigma_sq, strong)
    out = np.empty(z.shape)
    out[strong] = _gamma_gamma(z[strong], sigma_sq[strong], wave)
    out[~strong] = log_normal(z[~strong], sigma_sq[~strong])
    return out


def log_normal(process: Array, index: ArrayLike) -> Array:
    """Log-normal intensity of mean 1 and variance `index` from a unit Gaussian process."""
    s_sq = np.log1p(np.asarray(index, dtype=np.float64))
    return np.asarray(np.exp(np.sqrt(s_sq) * process - s_sq / 2))


def process_correlation_time_s(intensity_correlation_time_s: ArrayLike, *, index: ArrayLike) -> Array:
    r"""Correlation time of the process that gives the intensity this one, to 1/e.

    .. math::  \tau = \frac{\tau_I}{-\ln r}, \qquad r = \frac{\ln(1 + \sigma_I^2/e)}{\ln(1 + \sigma_I^2)}

    Exact for the log-normal, whose correlation is ((1 + index)^r - 1)/index; a gamma-gamma intensity comes
    out correlated for up to 10 % longer.
    """
    sigma_sq = np.maximum(np.asarray(index, dtype=np.float64), 1e-12)
    r = np.log1p(sigma_sq / np.e) / np.log1p(sigma_sq)
    return np.asarray(np.asarray(intensity_correlation_time_s, dtype=np.float64) / -np.log(r))


def gamma_gamma_parameters(rytov: ArrayLike, *, wave: Wave = "plane") -> tuple[Array, Array]:
    r"""Shape parameters (alpha, beta) of the gamma-gamma intensity at this Rytov variance.

    .. math::  \alpha = \frac{1}{e^{\sigma_{\ln X}^2} - 1}, \quad \beta = \frac{1}{e^{\sigma_{\ln Y}^2} - 1},
        \quad \sigma_I^2 = \frac1\alpha + \frac1\beta + \frac1{\alpha\beta}

    with the log-variances of `turbulence.large_and_small_scale`.
    """
    large, small = large_and_small_scale(rytov, theta=_THETA[wave])
    return np.asarray(1 / np.expm1(large)), np.asarray(1 / np.expm1(small))


def gamma_gamma_cdf(intensity: ArrayLike, *, alpha: float, beta: float) -> tuple[Array, Array]:
    r"""Probabilities (F, 1 - F) of a product of two unit-mean gamma variables, each to its own precision.

    .. math::  F(I) = \int P\big(\alpha, \alpha I/y\big)\,f_\beta(y)\,dy

    by the trapezium rule over ln y. intensity: any shape.
    """
    from scipy.special import gammainc, gammaincc, gammaln

    rare = 30 / beta  # y further out has a density below e^-30 of the largest
    far = np.sqrt(2 * rare) + rare
    log_y = np.linspace(-far, np.log1p(far), 161)
    log_weight = beta * (np.log(beta) + log_y - np.exp(log_y)) - gammaln(beta)
    weight = np.exp(log_weight)
    weight /= weight.sum()
    x = alpha * np.asarray(intensity, dtype=np.float64)[..., None] * np.exp(-log_y)
    return gammainc(alpha, x) @ weight, gammaincc(alpha, x) @ weight


class Outages(NamedTuple):
    """How often and how long a series stays below a threshold."""

    share: float
    stretches: int
    mean_duration_s: float


def outages(factor: Array, step_s: float, *, threshold: float) -> Outages:
    """Share of samples below the threshold, number of stretches, their mean length (0 if there is none)."""
    below = factor < threshold
    stretches = int(np.count_nonzero(below[1:] & ~below[:-1]) + bool(below.size and below[0]))
    mean_duration_s = float(np.count_nonzero(below) * step_s / stretches) if stretches else 0.0
    share = float(below.mean()) if below.size else 0.0
    return Outages(share=share, stretches=stretches, mean_duration_s=mean_duration_s)


def fade_margin_db(factor: Array, *, outage: float) -> float:
    """Loss below the mean that a series exceeds for this share of the time: what a link must hold back."""
    return float(10 * np.log10(factor.mean() / np.quantile(factor, outage)))


class _Table(NamedTuple):
    """Quantiles of the gamma-gamma law: ln I over the root of the index (rows) and z, smooth in both."""

    root_index: Array
    log_intensity: Array


def _gamma_gamma(z: Array, index: Array, wave: Wave) -> Array:
    table = _quantiles(wave)
    most = table.root_index[-1] ** 2
    if np.any(index > most * (1 + 1e-6)):
        raise ConfigError(
            f"scintillation index {index.max():.4g}: no gamma-gamma law of a {wave} wave goes above "
            f"{most:.4g}; give a smaller index or the log-normal model"
        )
    row = np.interp(np.sqrt(index), table.root_index, np.arange(_ROWS))
    column = (np.clip(z, _Z[0], _Z[-1]) - _Z[0]) / (_Z[1] - _Z[0])
    i = np.minimum(row.astype(np.intp), _ROWS - 2)
    j = np.minimum(column.astype(np.intp), _Z.size - 2)
    up, right = row - i, column - j
    flat, first = table.log_intensity.ravel(), i * _Z.size + j
    lower = flat[first] * (1 - right) + flat[first + 1] * right
    upper = flat[first + _Z.size] * (1 - right) + flat[first + _Z.size + 1] * right
    return np.asarray(np.exp(lower * (1 - up) + upper * up))


@cache
def _quantiles(wave: Wave) -> _Table:
    from scipy.special import ndtri

    rytov = np.geomspace(1e-3, 10.3 if wave == "plane" else 7.3, 600)
    alphas, betas = gamma_gamma_parameters(rytov, wave=wave)
    grown = np.expm1(np.log1p(1 / alphas) + np.log1p(1 / betas))
    root_index = np.linspace(np.sqrt(_LEAST_INDEX), np.sqrt(grown[-1]), _ROWS)
    rows = np.empty((_ROWS, _Z.size))
    for row, strength in zip(rows, np.interp(root_index**2, grown, rytov), strict=True):
        alpha, beta = (float(each) for each in gamma_gamma_parameters(strength, wave=wave))
        s = np.sqrt(1 / alpha + 1 / beta)
        log_intensity = np.linspace(-9 * s - 26 / beta, 9 * s + 1, 320)
        below, above = gamma_gamma_cdf(np.exp(log_intensity), alpha=alpha, beta=beta)
        z = np.where(below < 0.5, ndtri(below), -ndtri(above))
        known = np.isfinite(z)
        row[:] = np.interp(_Z, z[known], log_intensity[known])
        row -= np.log(_mean(row))
    return _Table(root_index=root_index, log_intensity=rows)


def _mean(log_intensity: Array) -> float:
    """Mean of exp of a row over the normal distribution of z."""
    weight = np.exp(-(_Z**2) / 2)
    return float(np.exp(log_intensity) @ weight / weight.sum())
