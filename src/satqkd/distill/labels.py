"""What clicks of one slot say: basis and bit from detector channels, with labels as they are or swapped.

A receiver whose settings say `label_swap = "random"` turns the light of each slot by 90 degrees, or leaves
it, by a random bit of its own; its channel numbers tell which (`satqkd.records`). Detector d gives basis
d // 2 and bit (d & 1) ^ swapped. `LabelWatch` refuses what such a receiver cannot give, so that no key is
made under the name of a swap that does not happen. Decided from clicks alone. No random source here.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from satqkd.errors import DataFormatError
from satqkd.records import BEACON_CHANNEL, LARGEST_CHANNEL

SEVERAL: Final = 255
"""Stands for the outcome of a slot whose bit must be tossed."""
SLOTS_ALIKE: Final = 128
"""So many slots in a row with one state of the labels have a chance of 2^-127 when it is tossed."""

_BOTH_Z: Final = 0b0011
_BOTH_X: Final = 0b1100


def click_bits(channel: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each click as one set bit: bit d for detector d, bit 4 + d where its labels were swapped.

    channel: uint8, shape (n,), 0..3 and 5..8.
    """
    place = channel - (channel > BEACON_CHANNEL)
    bits: NDArray[np.uint8] = np.left_shift(np.uint8(1), place, dtype=np.uint8)
    return bits


def outcomes(sets: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What each slot says by the union of its `click_bits`: 2 basis + bit, or SEVERAL; shape (n,)."""
    return _OUTCOME[sets]


def disagree(clicks: int) -> bool:
    """Whether clicks of one slot tell both states of the labels: they lie at the edge of the slot."""
    return bool(clicks & 0b1111) and bool(clicks >> 4)


def basis_of(clicks: int) -> int | None:
    """The basis of several clicks; None where they are of both."""
    detectors = clicks & 0b1111 | clicks >> 4
    if not detectors & _BOTH_X:
        return 0
    return 1 if not detectors & _BOTH_Z else None


def _outcome_table() -> NDArray[np.uint8]:
    table = np.full(256, SEVERAL, np.uint8)
    for detector in range(4):
        table[1 << detector] = detector
        table[1 << 4 + detector] = detector ^ 1
    return table


_OUTCOME: Final = _outcome_table()


class LabelWatch:
    """Whether the channels of clicks are those of the receiver that the settings say."""

    def __init__(self, *, swaps: bool) -> None:
        """swaps: whether labels are swapped at random."""
        self._swaps = swaps
        self._slot, self._swapped, self._alike = -1, False, 0

    def check(self, slot: NDArray[np.int64], channel: NDArray[np.uint8]) -> None:
        """Clicks in order of time, after those before; both of shape (n,), however they are cut.

        Raises DataFormatError for a channel that is no detector's, for swapped labels where nothing swaps
        them, and for labels that stand still where they should be tossed.
        """
        if channel.size == 0:
            return
        largest = LARGEST_CHANNEL if self._swaps else BEACON_CHANNEL
        wrong = (channel == BEACON_CHANNEL) | (channel > largest)
        if wrong.any():
            detectors = "0..3 and 5..8" if self._swaps else '0..3, for receiver.label_swap is "none"'
            raise DataFormatError(f"clicks: expected detectors {detectors}, got {int(channel[wrong][0])}")
        if self._swaps:
            self._check_runs(slot, channel > BEACON_CHANNEL)

    def _check_runs(self, slot: NDArray[np.int64], swapped: NDArray[np.bool_]) -> None:
        """Count slots from change to change; the last count goes on with the next clicks."""
        change = np.flatnonzero(np.diff(swapped, prepend=self._swapped))
        counted = self._alike + np.cumsum(np.diff(slot, prepend=self._slot) != 0)
        edges = np.concatenate([[0], counted[change] - 1, counted[-1:]])
        self._slot, self._swapped = int(slot[-1]), bool(swapped[-1])
        self._alike = int(edges[-1] - edges[-2])
        if np.diff(edges).max() >= SLOTS_ALIKE:
            raise DataFormatError(
                f"clicks: expected detector labels swapped at random each slot, got {SLOTS_ALIKE} slots in a "
                'row alike; mend the modulator or its driver, or set receiver.label_swap to "none"'
            )
