r"""Sampled weather: which sites have a clear sky when, for operation over months.

Each site has a hidden Gaussian z(t) of variance 1 and is clear while :math:`z < \Phi^{-1}(p(t))`, so with
probability p(t) exactly, whatever the season. Of sites i and j at a great-circle distance d,

.. math::  E[z_i(t)\,z_j(t + s)] = e^{-d/L}\,r(s), \qquad r(s) = \sin(\tfrac{\pi}{2} e^{-|s|/\tau}).

At p = 1/2 clear and cloudy then have the correlation (2/pi) arcsin(E[z z]) (Sheppard's arcsine law): in
time exp(-s/tau) at every lag, that of a chain of two states; in distance (2/pi) arcsin(exp(-d/L)), 0.24 at
d = L. At other p both are lower, in time little. exp(-d/L) is positive definite on the sphere (Gneiting,
Bernoulli 19, 1327 (2013)); the spectrum of r was found positive numerically, and is checked at each use.
Reads no clock.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from satqkd.config.weather import Weather
from satqkd.errors import ConfigError
from satqkd.plan.clear_sky import ClearSky, distances_m
from satqkd.randomness import stream

States = NDArray[np.bool_]
"""True where clear; shape (sites, moments)."""

_REACH: Final = 24.0  # persistence times to either side: r has fallen to 6e-11
_LEAST_BLOCK: Final = 4096
_MOST_TAPS: Final = 2**20
_GRAIN_RAD: Final = 1e-9  # 6 mm: nearer sites are one place


class SkyBlock(NamedTuple):
    """A stretch of a sampled grid of times."""

    first: int
    """Index in the grid of its first moment."""
    clear: States


class SkyModel:
    """Draws clear and cloudy skies of all sites of a `ClearSky`, alike over time and distance.

    The states are a function of the seed, the sites, the start and the step alone: not of the order of the
    sites, nor of how many moments are asked for (more begin with the same), nor of who draws them. Another
    site changes those whose names sort after it, since correlated skies share their chance; the rest stays.
    Raises ConfigError for a `ClearSky` without sites.
    """

    def __init__(self, sky: ClearSky, weather: Weather) -> None:
        if not sky.names:
            raise ConfigError("weather: expected a site, got none; give those whose sky is wanted")
        self.sky, self.persistence_s = sky, weather.persistence_s
        self._names, self._place, positions_rad = _places(sky)
        self._root = _root_of_correlation(positions_rad, weather.correlation_m)

    def sample(self, start: datetime, *, step_s: float, steps: int, seed: int) -> States:
        """The states at `start` + k `step_s` for k below `steps`, shape (sites, steps).

        One byte each; `blocks` holds less. Raises ConfigError for a step or a number of them that makes no
        sense.
        """
        states = np.empty((len(self.sky.names), max(steps, 0)), dtype=np.bool_)
        for first, clear in self.blocks(start, step_s=step_s, steps=steps, seed=seed):
            states[:, first : first + clear.shape[1]] = clear
        return states

    def blocks(self, start: datetime, *, step_s: float, steps: int, seed: int) -> Iterator[SkyBlock]:
        """`sample` in pieces of some thousand moments, of more where the persistence is many steps."""
        taps = _taps(step_s, self.persistence_s)
        if steps < 1:
            raise ConfigError(f"weather: expected at least one moment, got {steps}; ask for some")
        hidden = self._hidden(taps, seed)
        first = 0
        while first < steps:
            z = next(hidden)[:, : steps - first]
            t_s = step_s * np.arange(z.shape[1])
            p = self.sky.availability(start + timedelta(seconds=first * step_s), t_s)
            yield SkyBlock(first, z[self._place] < ndtri(p))
            first += z.shape[1]

    def _hidden(self, taps: NDArray[np.float64], seed: int) -> Iterator[NDArray[np.float64]]:
        """Blocks of z without end, (places, moments): noise by the place's name, smoothed, then mixed."""
        memory = taps.size - 1
        length = 1 << max(_LEAST_BLOCK - 1, 4 * memory).bit_length()
        transfer = np.fft.rfft(taps, length)
        streams = [stream(seed, "weather", name) for name in self._names]
        noise = np.empty((len(streams), length))
        filled = 0
        while True:
            for row, rng in zip(noise, streams, strict=True):
                rng.standard_normal(out=row[filled:])
            smooth = np.stack([np.fft.irfft(np.fft.rfft(row) * transfer, length)[memory:] for row in noise])
            yield self._root @ smooth
            noise[:, :memory], filled = noise[:, length - memory :].copy(), memory


def _places(sky: ClearSky) -> tuple[list[str], NDArray[np.intp], NDArray[np.float64]]:
    """Names of different places in alphabetic order, the place of each site, positions of places (2, k).

    Sites at one position have one sky, which goes by the first name of them.
    """
    grain = np.rint(np.array([sky.latitude_rad, sky.longitude_rad]) / _GRAIN_RAD).astype(np.int64)
    index: dict[tuple[int, ...], int] = {}
    names: list[str] = []
    place = np.empty(len(sky.names), dtype=np.intp)
    for site in sorted(range(len(sky.names)), key=lambda each: sky.names[each]):
        at = tuple(grain[:, site].tolist())
        if at not in index:
            index[at] = len(names)
            names.append(sky.names[site])
        place[site] = index[at]
    return names, place, _GRAIN_RAD * np.array(list(index), dtype=np.float64).T


def _root_of_correlation(positions_rad: NDArray[np.float64], correlation_m: float) -> NDArray[np.float64]:
    """Lower triangle whose product with its transpose is exp(-d / L): a row knows no later place."""
    return np.linalg.cholesky(np.exp(-distances_m(*positions_rad) / correlation_m))


def _taps(step_s: float, persistence_s: float) -> NDArray[np.float64]:
    """Weights, shape (2M + 1,), that make white noise of step `step_s` correlated as r; M steps reach 24 tau.

    The square root of the spectrum of r, on a circle so long that r is nothing at its far side. Squares sum
    to 1, so variances are exact; correlations are, to 1e-9.
    """
    reach = max(1, int(np.ceil(_REACH * persistence_s / step_s))) if step_s > 0 else 0
    if not 0 < reach <= _MOST_TAPS or not np.isfinite(step_s):
        raise ConfigError(
            f"weather: expected a step of at least {_REACH * persistence_s / _MOST_TAPS:.3g} s with a "
            f"persistence of {persistence_s:g} s, got {step_s} s; take a longer one"
        )
    length = 1 << (4 * reach).bit_length()
    lag = np.minimum(np.arange(length), length - np.arange(length))
    spectrum = np.fft.rfft(np.sin(np.pi / 2 * np.exp(-lag * step_s / persistence_s))).real
    assert spectrum.min() > -1e-9 * spectrum.max()
    kernel = np.fft.irfft(np.sqrt(np.maximum(spectrum, 0)), length)
    taps = np.concatenate([kernel[-reach:], kernel[: reach + 1]])
    return np.asarray(taps / np.linalg.norm(taps))
