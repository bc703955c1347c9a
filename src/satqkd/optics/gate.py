r"""Time tags against gates: which share of the photons of a slot is counted in it, and which in another.

A photon's tag is its slot's time plus the skew of its laser diode plus jitter: a Gaussian (pulse width,
detector, rounding of the tagger) and, for a share of the clicks, an exponential tail. Gates are centred
where the station's clock recovery puts them, on the circular mean of all tags. Afterpulses follow their
click by the dead time and an exponential. Knows no rates, no link and no orbit.
Sources: Grushka, Anal. Chem. 44, 1733 (1972), for the exponentially modified Gaussian.
"""

from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfcx, ndtr

from satqkd.config import Receiver, Source
from satqkd.constants import FWHM_PER_SIGMA

Array = NDArray[np.float64]

_REACH_SIGMAS: Final = 8.0
_REACH_MEANS: Final = 40.0
"""Standard deviations, and means of exponential times, after which nothing is left worth counting."""


class GateShares(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Where tags fall; rows are the states H, V, +, - as sent, columns the detectors H, V, +, -."""

    own: Array
    """Probability that a photon's tag is inside the gate of its own slot, shape (4, 4)."""
    others: Array
    """Expected number of gates of other slots that it is inside, shape (4, 4)."""
    afterpulse: Array
    """Probability that an afterpulse is inside a gate and not excluded by the click before it, shape (4,)."""


@lru_cache(maxsize=256)
def gate_shares(receiver: Receiver, source: Source) -> GateShares:
    """Shares of a receiver's gate under a source's pulses; the arrays are shared and not to be written to."""
    detector, period_s = receiver.detector, 1 / source.pulse_rate_hz
    sigma_s = np.sqrt(
        (detector.each("jitter_s") ** 2 + source.pulse_width_s**2) / FWHM_PER_SIGMA**2
        + receiver.tagger.resolution_s**2 / 12
    )
    tail, tail_s = detector.each("jitter_tail_fraction"), detector.each("jitter_tail_s")
    skew_s = np.array(source.diode_skew_s)[:, None]
    centre_s = gate_centre_s(skew_s, sigma_s=sigma_s, tail_fraction=tail, tail_s=tail_s, period_s=period_s)
    reach_s = _REACH_SIGMAS * float(sigma_s.max()) + _REACH_MEANS * float(tail_s.max()) + receiver.gate_s
    slots = min(int(np.ceil(reach_s / period_s)), 1000)
    number = np.arange(-slots, slots + 1)[:, None, None]
    edge_s = number * period_s + centre_s - skew_s
    inside = late_probability(edge_s - receiver.gate_s / 2, sigma_s, tail, tail_s) - late_probability(
        edge_s + receiver.gate_s / 2, sigma_s, tail, tail_s
    )
    shares = GateShares(
        own=inside[slots],
        others=inside.sum(axis=0) - inside[slots],
        afterpulse=_afterpulse_share(receiver, period_s),
    )
    for name in shares.__struct_fields__:
        getattr(shares, name).setflags(write=False)
    return shares


def late_probability(
    time_s: ArrayLike, sigma_s: ArrayLike, tail_fraction: ArrayLike, tail_s: ArrayLike
) -> Array:
    r"""Probability that a tag is later than `time_s` after its slot; arguments broadcast.

    .. math:: 1 - F(t) = \Phi(-t/\sigma) + p\,e^{-t/\tau + \sigma^2/2\tau^2}\,\Phi(t/\sigma - \sigma/\tau)

    tail_fraction: p, share of tags that are late by an exponential time of mean tail_s besides.
    """
    t, sigma, p, tau = (
        np.asarray(each, dtype=np.float64) for each in (time_s, sigma_s, tail_fraction, tail_s)
    )
    sigma, tau = np.maximum(sigma, 1e-18), np.maximum(tau, 1e-18)
    z = (sigma / tau - t / sigma) / np.sqrt(2)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        behind = 0.5 * np.exp(-0.5 * (t / sigma) ** 2) * erfcx(np.maximum(z, 0.0))
        before = np.exp(np.minimum(0.5 * (sigma / tau) ** 2 - t / tau, 0.0)) * ndtr(-np.sqrt(2) * z)
    return np.asarray(ndtr(-t / sigma) + p * np.where(z > 0, behind, before))


def gate_centre_s(
    skew_s: ArrayLike, *, sigma_s: ArrayLike, tail_fraction: ArrayLike, tail_s: ArrayLike, period_s: float
) -> float:
    r"""Where clock recovery puts the middle of the gate: the circular mean of the phases of all tags.

    .. math:: \arg \Big\langle e^{i\omega s}\, e^{-\omega^2\sigma^2/2}
        \Big(1 - p + \frac{p}{1 - i\omega\tau}\Big)\Big\rangle / \omega, \quad \omega = 2\pi / T

    States and detectors weigh alike.
    """
    turn = 2 * np.pi / period_s
    s, sigma, p, tau = (
        np.asarray(each, dtype=np.float64) for each in (skew_s, sigma_s, tail_fraction, tail_s)
    )
    mean = np.exp(1j * turn * s - 0.5 * (turn * sigma) ** 2) * (1 - p + p / (1 - 1j * turn * tau))
    total = complex(np.mean(mean))
    return float(np.angle(total)) / turn if abs(total) > 0 else 0.0


def _afterpulse_share(receiver: Receiver, period_s: float) -> Array:
    """Exponential times after the dead time, against gates a period apart that begin after the exclusion."""
    dead_s, decay_s = receiver.detector.each("dead_time_s"), receiver.detector.each("afterpulse_decay_s")
    decay_s = np.maximum(decay_s, 1e-15)
    from_s = receiver.exclusion_s
    slots = min(int((from_s + _REACH_MEANS * float(decay_s.max())) / period_s) + 2, 200_000)
    middle_s = period_s * np.arange(slots)[:, None]
    open_s, shut_s = middle_s - receiver.gate_s / 2, middle_s + receiver.gate_s / 2
    opened, shut = (np.exp(-np.maximum(edge_s - dead_s, 0.0) / decay_s) for edge_s in (open_s, shut_s))
    return np.asarray(np.where(open_s >= from_s, opened - shut, 0.0).sum(axis=0))
