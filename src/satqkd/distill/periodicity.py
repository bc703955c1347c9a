r"""The pulse train in time tags: its rate and phase from detector clicks alone.

The search: tags turn a phasor at the nominal rate; what is left is a beat of some kilohertz, that Doppler and
clocks make, and its slope. For each slope on a grid the phasors are binned in time, and one Fourier transform
looks at all rates at once. Of N clicks without period none of K cells has a power above
:math:`N(\ln K + 40)` but with a probability of :math:`e^{-40}`, 4e-18 (Rayleigh's law).

The fit: scoring steps on the sum of cosines of the phase, weighted in each tenth of the window by how much
of the train is seen there; phase, rate and slope come with their covariance. The cubic term is left out:
below 20 ps over a window of 0.5 s in low orbit. Source: Rayleigh's test, Mardia and Jupp, "Directional
Statistics" (2000), section 6.3.

Knows no slot numbers: `Fit.index` counts periods from wherever the first fit began.
"""

from dataclasses import replace
from typing import Final

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from satqkd.constants import PS_PER_S
from satqkd.distill.fit import Fit, Floats, Times, spread_of

SIGNIFICANCE: Final = 40.0
"""Power over clicks beyond the logarithm of the cells looked at: chance exp(-40)."""
TRACKED: Final = 30.0
"""The same of a fit that begins where it was foretold."""
LARGEST_SLOPE: Final = 6e-5
"""Of the station's against the satellite's time: Doppler of 2.5e-5, clocks 2e-5, and some."""
_CURVES_PER_S: Final = (-3.2e-7, 0.4e-7)
"""Half the slope's change in a second: range accelerates by -24 to 190 m/s^2."""
_EDGE_TURNS: Final = 0.1  # phase left at the window's ends by the grid of slopes
_CURVES: Final = 32  # slopes searched at most: the window is cut to what they cover
_BINS_PER_BEAT: Final = 3
_STEPS: Final = 6
_PARTS: Final = 10
_PARTS_LIT: Final = 8
_LIT: Final = 4.0  # exp(-4): chance of a part that is dark; of five dark ones three must look lit
_SURELY_LIT: Final = 12.0
_BRIDGED: Final = 25.0
_WORST_CONDITION: Final = 1e12  # of a fit that clicks of one part of the window alone would make
_MIN_CLICKS: Final = 40
_ROUNDS: Final = 5


def find_train(times: Times, period_ps: float) -> Fit | None:
    """A pulse train of about this period, whatever its phase; None where chance could look like it."""
    times = _searched(times, period_ps)
    if times.size < SIGNIFICANCE:
        return None
    origin, half_ps = _middle(times)
    dt = (times - origin).astype(np.float64)
    bin_ps = period_ps / LARGEST_SLOPE / _BINS_PER_BEAT
    bins = ((dt + half_ps) / bin_ps).astype(np.int64)
    turns = 2 * np.pi * np.mod(dt / period_ps, 1.0)
    n_bins, n_rates = int(bins[-1]) + 1, scipy.fft.next_fast_len(2 * int(bins[-1]) + 2)
    curves = _curves(half_ps, period_ps)
    least = times.size * (np.log(n_rates * curves.size) + SIGNIFICANCE)
    if times.size**2 < least:
        return None
    binned = np.bincount(bins, np.cos(turns), n_bins) + 1j * np.bincount(bins, np.sin(turns), n_bins)
    at_ps = (np.arange(n_bins) + 0.5) * bin_ps - half_ps
    straight = (binned * np.exp(2j * np.pi / period_ps * curves[0] * at_ps**2)).astype(np.complex64)
    to_next = np.exp(2j * np.pi / period_ps * (curves[1] - curves[0]) * at_ps**2).astype(np.complex64)
    beat, curve, power = 0, 0.0, 0.0
    for each in curves.tolist():
        spectrum = np.abs(scipy.fft.fft(straight, n_rates))
        peak = int(np.argmax(spectrum))
        if spectrum[peak] ** 2 > power:
            beat, curve, power = peak, each, float(spectrum[peak]) ** 2
        straight *= to_next
    if power < least:
        return None
    rate = (beat if beat < n_rates / 2 else beat - n_rates) / (n_rates * bin_ps)
    return _begun(times, origin, half_ps, -rate * period_ps, curve, period_ps)


def _begun(
    times: Times, origin_ps: int, half_ps: float, slope: float, curve: float, period_ps: float
) -> Fit | None:
    """The fit of a train whose rate and slope are found, its phase not yet."""
    coefficients: Floats = np.array([0.0, slope * half_ps, curve * half_ps**2], np.float64)
    begun = Fit(origin_ps, 0, half_ps, coefficients, np.zeros((3, 3)))
    phase = np.angle(np.exp(2j * np.pi * np.mod(begun.emission_ps(times) / period_ps, 1.0)).sum())
    coefficients[0] = -phase / (2 * np.pi) * period_ps
    return _fit_where_lit(times, begun, period_ps)


def follow_train(times: Times, known: Fit, period_ps: float, *, tolerance_ps: float) -> Fit | None:
    """The train that a fit foretells: first where its error is bounded by the tolerance, then farther.

    None where too few clicks lie there, or they do not follow it.
    """
    fit: Fit | None = None
    reached = 0
    for _ in range(_ROUNDS):
        told = np.flatnonzero((known if fit is None else fit).bound_ps(times) <= tolerance_ps)
        if told.size <= reached:
            break
        better = _fit_where_lit(times[told[0] : told[-1] + 1], known if fit is None else fit, period_ps)
        if better is None:
            break
        fit, reached = better, told.size
    return fit


def bridge_train(times: Times, known: Fit, period_ps: float, *, tolerance_ps: float) -> Fit | None:
    """What a fit foretells, put right by the little light there is after its window: both weighed together.

    None where no part of the window is surely lit while the fit's error is still bounded by the tolerance.
    """
    later = times[times > known.origin_ps + known.half_ps]
    later = later[known.bound_ps(later) <= tolerance_ps]
    if later.size < _MIN_CLICKS:
        return None
    prior = _moved(known, *_middle(later), period_ps)
    since_ps, turn = (later - prior.origin_ps).astype(np.float64), 2 * np.pi / period_ps
    powers = np.vander(since_ps / prior.half_ps, 3, increasing=True)
    base, part = turn * np.mod(since_ps, period_ps), _part_of(powers[:, 1])
    trust = np.linalg.inv(prior.spread_ps @ prior.spread_ps.T)
    coefficients = prior.coefficients_ps.copy()
    for _ in range(_STEPS):
        phase = base + turn * (powers @ coefficients)
        clicks, gathered = _gathered(phase, part)
        weight = np.sqrt(np.where(clicks * gathered >= _BRIDGED, gathered, 0.0))[part]
        if not weight.any():
            return None
        pull = weight * np.sin(phase)
        told = (weight @ weight) / (pull @ pull)
        knowledge = told * turn**2 * (powers * weight[:, None] ** 2).T @ powers + trust
        wanted = told * turn * (powers.T @ pull) + trust @ (coefficients - prior.coefficients_ps)
        coefficients -= np.linalg.solve(knowledge, wanted)
    spread_ps = spread_of(np.linalg.inv(knowledge))
    return replace(prior, coefficients_ps=coefficients, spread_ps=spread_ps)


def fit_train(times: Times, near: Fit, period_ps: float) -> Fit | None:
    """Phase, rate and slope that gather the clicks, from a fit that is near.

    None where they gather few, or in less than eight tenths of the window: the covariance takes the train
    for there all the time.
    """
    if times.size < _MIN_CLICKS:
        return None
    fit = _moved(near, *_middle(times), period_ps)
    since_ps, turn = (times - fit.origin_ps).astype(np.float64), 2 * np.pi / period_ps
    powers = np.vander(since_ps / fit.half_ps, 3, increasing=True)
    base = turn * np.mod(since_ps, period_ps)
    part = _part_of(powers[:, 1])
    coefficients = fit.coefficients_ps.copy()
    for _ in range(_STEPS):
        phase = base + turn * (powers @ coefficients)
        clicks, gathered = _gathered(phase, part)
        weight = np.sqrt(np.maximum(gathered - 2 / clicks, 0.0))[part]
        information = (powers * weight[:, None] ** 2).T @ powers
        if np.linalg.cond(information) > _WORST_CONDITION:
            return None
        inverse = np.linalg.inv(information)
        coefficients -= inverse @ (powers.T @ (weight * np.sin(phase))) / turn
    phase = base + turn * (powers @ coefficients)
    cosine = float(np.cos(phase).mean())
    lit = np.count_nonzero(clicks * gathered >= _LIT)
    if cosine <= 0 or times.size * cosine**2 < TRACKED or lit < _PARTS_LIT:
        return None
    noise = (powers * (weight * np.sin(phase))[:, None] ** 2).T @ powers
    spread_ps = spread_of(inverse @ noise @ inverse) / turn
    return Fit(fit.origin_ps, fit.index, fit.half_ps, coefficients, spread_ps)


def _fit_where_lit(times: Times, near: Fit, period_ps: float) -> Fit | None:
    """The fit of a window, or of the longest part of it in which the train is seen."""
    fit = fit_train(times, near, period_ps)
    if fit is not None or times.size < _MIN_CLICKS:
        return fit
    origin_ps, half_ps = _middle(times)
    part = _part_of((times - origin_ps) / half_ps)
    clicks, gathered = _gathered(2 * np.pi / period_ps * np.mod(near.emission_ps(times), period_ps), part)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], clicks * gathered >= _SURELY_LIT, [0]])))
    begins, ends = edges[::2], edges[1::2]
    if begins.size == 0:
        return None
    longest = int(np.argmax(ends - begins))
    # What borders on the dark is lit in part.
    begin = begins[longest] + (begins[longest] > 0)
    end = ends[longest] - (ends[longest] < _PARTS)
    return fit_train(times[(part >= begin) & (part < end)], near, period_ps)


def _part_of(x: Floats) -> NDArray[np.int64]:
    """Tenth of the window, by the place in it from -1 to 1."""
    return np.asarray(np.minimum((_PARTS / 2 * (1 + x)).astype(np.int64), _PARTS - 1))


def _gathered(phase: Floats, part: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """By part: clicks, 1 for none, and squared length of their mean phasor."""
    clicks = np.maximum(np.bincount(part, minlength=_PARTS), 1)
    cosine, sine = (np.bincount(part, each, _PARTS) / clicks for each in (np.cos(phase), np.sin(phase)))
    return clicks, cosine**2 + sine**2


def _middle(times: Times) -> tuple[int, float]:
    """Origin and half width of a window."""
    first, last = int(times[0]), int(times[-1])
    return (first + last) // 2, max((last - first) / 2, 1.0)


def _searched(times: Times, period_ps: float) -> Times:
    """The middle of a window, so wide that few slopes make a difference in it."""
    if times.size == 0:
        return times
    origin, half_ps = _middle(times)
    low, high = _CURVES_PER_S
    reach = int(min(half_ps, np.sqrt(_CURVES * 2 * _EDGE_TURNS * period_ps * PS_PER_S / (high - low))))
    return times[np.searchsorted(times, origin - reach) : np.searchsorted(times, origin + reach, "right")]


def _curves(half_ps: float, period_ps: float) -> Floats:
    step = 2 * _EDGE_TURNS * period_ps / half_ps**2
    low, high = (curve / PS_PER_S for curve in _CURVES_PER_S)
    return np.arange(low, high + step, step)


def _moved(fit: Fit, origin_ps: int, half_ps: float, period_ps: float) -> Fit:
    """The same fit about another origin, its event the period nearest to that."""
    at_origin = float(fit.emission_ps(np.array([origin_ps]))[0])
    periods = round(at_origin / period_ps)
    moved = fit.about(origin_ps, half_ps)
    moved.coefficients_ps[0] = at_origin - periods * period_ps
    return replace(moved, index=fit.index + periods)
