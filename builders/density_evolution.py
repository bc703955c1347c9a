"""Discretised density evolution of sum-product decoding on a binary symmetric channel.

Messages are densities over log-likelihood ratios on an even grid. Columns add them: a product of
transforms. Checks add -ln tanh(|x| / 2) and multiply signs: a product of transforms on a second even grid,
the masses split between neighbours so that means are kept. Sources: Richardson and Urbanke, IEEE Trans.
Inf. Theory 47, 599 (2001); Chung, Forney, Richardson, Urbanke, IEEE Comm. Letters 5, 58 (2001). Known
threshold as a check: the regular (3, 6) code decodes up to 8.4 % errors (`tests/test_builders.py`).
"""

from collections.abc import Mapping, Sequence
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Density = NDArray[np.float64]
Degrees = Mapping[int, float]
"""Share of the edges by degree."""

STEP = 0.06
REACH = 200
"""Log-likelihood ratios from -12 to 12."""
PHI_STEP = 1e-3
PHI_BINS = 6001
COLUMN_FFT = 1 << 15
"""Holds the sum of 80 messages at the reach: nothing wraps to the other sign."""
CHECK_FFT = 1 << 14
DONE = 0.02
"""Errors left, of the channel's, at which decoding is certain to finish."""


class Course(NamedTuple):
    """How decoding went."""

    converged: bool
    errors: list[float]
    """Error probability of column messages, the channel's first."""
    by_degree: list[dict[int, float]]
    """After each iteration, the error probability of columns of each degree asked for."""


def _split(position: Density, last: int) -> tuple[NDArray[np.int64], Density]:
    low = np.minimum(np.floor(position).astype(np.int64), last - 1)
    return low, np.minimum(position, last) - low


_x = np.arange(1, REACH + 1) * STEP
_TO_PHI = _split(-np.log(np.tanh(_x / 2)) / PHI_STEP, PHI_BINS - 1)
_phi = np.maximum(np.arange(PHI_BINS), 1e-3) * PHI_STEP
_FROM_PHI = _split(np.minimum(-np.log(np.tanh(_phi / 2)), REACH * STEP) / STEP, REACH)


def _moved(mass: Density, split: tuple[NDArray[np.int64], Density], size: int) -> Density:
    low, above = split
    return np.asarray(np.bincount(low, mass * (1 - above), size) + np.bincount(low + 1, mass * above, size))


def _power(base: NDArray[np.complex128], exponent: int) -> NDArray[np.complex128]:
    result = np.ones_like(base)
    while exponent:
        if exponent & 1:
            result = result * base
        exponent >>= 1
        base = base * base if exponent else base
    return result


def channel(error: float) -> Density:
    """Density of the channel's ratios, (2 REACH + 1,), its mass split between neighbours."""
    place = log((1 - error) / error) / STEP
    low = int(place)
    density = np.zeros(2 * REACH + 1)
    for sign, mass in ((1, 1 - error), (-1, error)):
        density[REACH + sign * low] += mass * (1 - (place - low))
        density[REACH + sign * (low + 1)] += mass * (place - low)
    return density


def through_checks(density: Density, checks: Degrees) -> Density:
    """Density of check messages for column messages of this density."""
    plus, minus = density[REACH + 1 :], density[:REACH][::-1]
    both = [fft.rfft(_moved(part, _TO_PHI, PHI_BINS), CHECK_FFT) for part in (plus + minus, plus - minus)]
    total, difference = (
        fft.irfft(sum(share * _power(part, d - 1) for d, share in checks.items()), CHECK_FFT)[:PHI_BINS]
        for part in both
    )
    out = np.zeros(2 * REACH + 1)
    for sign in (1, -1):
        mass = _moved(np.maximum((total + sign * difference) / 2, 0), _FROM_PHI, REACH + 1)
        out[REACH] += mass[0]
        out[REACH + sign : (REACH + sign * (REACH + 1)) if sign > 0 else None : sign] += mass[1:]
    out[REACH] += max(0.0, 1 - out.sum())  # sums beyond the grid say nothing
    return out / out.sum()


def through_columns(
    density: Density, error: float, columns: Degrees, asked: Sequence[int]
) -> tuple[Density, dict[int, float]]:
    """Density of column messages for check messages of this density, and errors by degree."""
    spectrum = fft.rfft(_wrapped(density), COLUMN_FFT)
    current, at = fft.rfft(_wrapped(channel(error)), COLUMN_FFT), 1
    errors: dict[int, float] = {}
    total = np.zeros_like(current)
    for degree in sorted({*asked, *(d for d, share in columns.items() if share > 0)}):
        current, at = current * _power(spectrum, degree - at), degree
        if degree in asked:
            whole = fft.irfft(current, COLUMN_FFT)
            errors[degree] = max(1e-300, float(whole[COLUMN_FFT // 2 :].sum() + whole[0] / 2))
        total += columns.get(degree, 0.0) * current
    whole = np.maximum(fft.irfft(total, COLUMN_FFT), 0)
    out = np.concatenate([whole[-REACH:], whole[: REACH + 1]])
    out[-1] += whole[REACH + 1 : COLUMN_FFT // 2].sum()
    out[0] += whole[COLUMN_FFT // 2 : -REACH].sum()
    return out / out.sum(), errors


def _wrapped(density: Density) -> Density:
    padded = np.zeros(COLUMN_FFT)
    padded[: REACH + 1], padded[-REACH:] = density[REACH:], density[:REACH]
    return padded


def evolve(
    error: float, columns: Degrees, checks: Degrees, *, iterations: int, asked: Sequence[int] = ()
) -> Course:
    """Follow flooding iterations until the errors are few, stand still, or iterations are spent."""
    density, errors, by_degree = channel(error), [error], []
    for iteration in range(iterations):
        density, parts = through_columns(through_checks(density, checks), error, columns, asked)
        errors.append(float(density[:REACH].sum() + density[REACH] / 2))
        by_degree.append(parts)
        if errors[-1] < DONE * error:
            return Course(True, errors, by_degree)
        if iteration > 5 and errors[-1] > errors[-2] * (1 - 1e-4):
            break
    return Course(False, errors, by_degree)
