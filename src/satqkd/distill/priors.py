"""How often a keyed bit is wrong, bit by bit, from what is revealed: for decoding, never for security.

The error rate drifts along a pass as the light grows faint against the background, and differs between
classes. In time slice i, class k has b_ik background clicks of n_ik, half of them wrong, and of the photons a
share e is wrong in all slices and classes alike:

    rate_ik = e + (1/2 - e) b_ik / n_ik,   b_ik = p_k v_i / p_vacuum,

v_i the vacuum class's clicks of both bases, halved, and smoothed over the slices; e is what makes the
revealed decoys' errors come out. Where fewer than 200 decoys are revealed, the expected QBER agreed in hello
stands for all. Knows no code; sources: none but arithmetic.
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

FEWEST_REVEALED: Final = 200
"""Revealed decoys below which the expected QBER is taken instead."""
_VACUUM_PER_SLICE: Final = 400
_MOST_SLICES: Final = 64


class Prior(msgspec.Struct, frozen=True, eq=False):
    """What is believed of the keyed bits of one basis before any of them is told."""

    rates: Floats
    """(keyed rounds of the basis,) probability that the bit is wrong, in order of slot."""
    revealed: int | None
    """How many revealed rounds tell it; None where the expected QBER stands."""

    @property
    def qber(self) -> float:
        """Mean of the rates; 0 of none."""
        return float(self.rates.mean()) if self.rates.size else 0.0


def prior_of(
    rounds: Rounds, slots: NDArray[np.int64], wrong: Mask, basis: int, parameters: Parameters
) -> Prior:
    """What revealed rounds of a block tell of its keyed rounds in a basis.

    rounds: kept detections; slots: their slots, int64 (n,); wrong: which revealed ones are errors, (n,).
    """
    mine = rounds.basis == basis
    keyed = rounds.keyed & mine
    decoys = mine & ~rounds.keyed & (rounds.intensity_class == DECOY)
    revealed = int(decoys.sum())
    if revealed < FEWEST_REVEALED:
        return Prior(np.full(int(keyed.sum()), parameters.expected_qber), None)
    vacuum = rounds.intensity_class == VACUUM
    slices = int(np.clip(vacuum.sum() // _VACUUM_PER_SLICE, 1, _MOST_SLICES))
    first, end = int(slots[0]), int(slots[-1]) + 1
    place = np.minimum((slots - first) * slices // (end - first), slices - 1)
    background = _smoothed(np.bincount(place[vacuum], minlength=slices)) / 2
    weights = np.array(parameters.source.probabilities) / parameters.source.probabilities[VACUUM]
    share = np.zeros((slices, 3))
    for index in range(3):
        clicks = np.bincount(place[mine & (rounds.intensity_class == index)], minlength=slices)
        share[:, index] = np.minimum(1.0, background * weights[index] / np.maximum(clicks, 1))
    dark = share[place[decoys], DECOY]
    photons_wrong = (int(wrong[decoys].sum()) - dark.sum() / 2) / max(1.0, float((1 - dark).sum()))
    rate = np.clip(photons_wrong, 0.0, 0.5)
    rates = rate + (0.5 - rate) * share
    return Prior(rates[place[keyed], rounds.intensity_class[keyed]], revealed)


def _smoothed(counts: NDArray[np.int64]) -> Floats:
    """Mean of a slice and its two neighbours, the edges repeated."""
    padded = np.pad(counts.astype(np.float64), 1, mode="edge")
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3
