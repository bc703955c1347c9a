"""How often a keyed bit is wrong, bit by bit, from what is revealed: for decoding, never for security.

The error rate drifts along a pass as the light grows faint against the background, and differs between
classes. In time slice i, class k has b_ik background clicks of n_ik, half of them wrong, and of the photons a
share e is wrong in all slices and classes alike:

    rate_ik = e + (1/2 - e) b_ik / n_ik,   b_ik = p_k v_i / p_vacuum,

v_i the vacuum class's clicks of both bases, halved, a mean over as many slices as hold enough of them; e is
fitted to the revealed decoys' errors, and to what the last closed block taught. Where fewer than 200 decoys
are revealed, and no block is closed yet, the expected QBER agreed in hello stands for all. Knows no code;
sources: none but arithmetic.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.distill.parameters import Parameters
from satqkd.distill.sift import Rounds
from satqkd.records import DECOY, VACUUM

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEWEST_REVEALED: Final = 200
"""Revealed decoys below which the expected QBER is taken instead."""
DRIFT: Final = 0.05
"""How much the error rate may have changed since the last closed block, of itself."""
_SLICES: Final = 64
_VACUUM_IN_MEAN: Final = 400


class Lesson(msgspec.Struct, frozen=True):
    """What a closed block taught of one basis: serves the blocks after it, never itself."""

    error_rate: float
    """e, share of its photons that were wrong."""
    photons: float
    """How many told it."""


class Prior(msgspec.Struct, frozen=True, eq=False):
    """What is believed of the keyed bits of one basis before any of them is told."""

    rates: Floats
    """(keyed rounds of the basis,) probability that the bit is wrong, in order of slot."""
    background_bits: float
    """How many of them are background, on average."""
    sample_bits: int | None
    """How many rounds' worth of evidence it rests on; None where the expected QBER stands."""

    @property
    def qber(self) -> float:
        """Mean of the rates; 0 of none."""
        return float(self.rates.mean()) if self.rates.size else 0.0

    def lesson(self, errors: int) -> Lesson | None:
        """What the block taught, once its keyed errors are counted; None where there was hardly a photon."""
        photons = self.rates.size - self.background_bits
        if photons < FEWEST_REVEALED:
            return None
        return Lesson(float(np.clip((errors - self.background_bits / 2) / photons, 0.0, 0.5)), photons)


def prior_of(
    rounds: Rounds,
    slots: NDArray[np.int64],
    wrong: Mask,
    basis: int,
    parameters: Parameters,
    *,
    lesson: Lesson | None = None,
) -> Prior:
    """What revealed rounds of a block, and the last block closed before it, tell of its keyed rounds in a
    basis.

    rounds: kept detections; slots: their slots, int64 (n,); wrong: which revealed ones are errors, (n,).
    """
    mine = rounds.basis == basis
    keyed = rounds.keyed & mine
    decoys = mine & ~rounds.keyed & (rounds.intensity_class == DECOY)
    if int(decoys.sum()) < FEWEST_REVEALED and lesson is None:
        return Prior(np.full(int(keyed.sum()), parameters.expected_qber), 0.0, None)
    place, share = _dark_shares(rounds, slots, mine, parameters)
    seen, errors = (np.bincount(place[mask], minlength=_SLICES) for mask in (decoys, decoys & wrong))
    rate, sample = _photons_wrong(seen, errors, share[:, DECOY], lesson, parameters.expected_qber)
    dark = share[place[keyed], rounds.intensity_class[keyed]]
    return Prior(rate + (0.5 - rate) * dark, float(dark.sum()), sample)


def _dark_shares(
    rounds: Rounds, slots: NDArray[np.int64], mine: Mask, parameters: Parameters
) -> tuple[Ints, Floats]:
    """Each round's time slice, (n,), and b_ik / n_ik by slice and class, (_SLICES, 3)."""
    first, end = int(slots[0]), int(slots[-1]) + 1
    place = (slots - first) * _SLICES // (end - first)
    vacuum = rounds.intensity_class == VACUUM
    background = _smoothed(np.bincount(place[vacuum], minlength=_SLICES)) / 2
    weights = np.array(parameters.source.probabilities) / parameters.source.probabilities[VACUUM]
    share = np.zeros((_SLICES, 3))
    for index in range(3):
        clicks = np.bincount(place[mine & (rounds.intensity_class == index)], minlength=_SLICES)
        share[:, index] = np.minimum(1.0, background * weights[index] / np.maximum(clicks, 1))
    return place, share


def _photons_wrong(
    clicks: Ints, wrong: Ints, dark: Floats, lesson: Lesson | None, pilot: float
) -> tuple[float, int]:
    """e, and how many rounds' worth of evidence it has: least squares over the slices of the decoys, each
    weighed by its chance variance at a pilot value of e, and the lesson by its own and what may have
    drifted since."""
    light, excess = clicks * (1 - dark), wrong - clicks * dark / 2
    expected = pilot + (0.5 - pilot) * dark
    weight = (1 - dark) / (expected * (1 - expected))
    total, evidence = float((weight * excess).sum()), float((weight * light).sum())
    if lesson is not None:
        chance = max(lesson.error_rate, 1 / lesson.photons) / lesson.photons
        known = 1 / (chance + (DRIFT * lesson.error_rate) ** 2)
        total, evidence = total + known * lesson.error_rate, evidence + known
    rate = float(np.clip(total / max(1e-9, evidence), 0.0, 0.5))
    return rate, max(1, int(max(rate, pilot / 10) * evidence))


def _smoothed(counts: Ints) -> Floats:
    """Running mean, so wide that on average it holds _VACUUM_IN_MEAN counts; all slices where there are
    fewer."""
    total = int(counts.sum())
    reach = _SLICES if total <= _VACUUM_IN_MEAN else _SLICES * _VACUUM_IN_MEAN // (2 * total)
    ends = np.concatenate([[0], np.cumsum(counts)])
    at = np.arange(_SLICES)
    low, high = np.maximum(at - reach, 0), np.minimum(at + reach + 1, _SLICES)
    return np.asarray((ends[high] - ends[low]) / (high - low))
