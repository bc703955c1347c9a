"""Which detector tags are told as swapped, compiled.

Rules and units stand in `satqkd.kernels.labels_plain`, whose functions of like names give the same. Nothing
is checked here.
"""

import numpy as np
from numpy.typing import NDArray

from satqkd.kernels.click_inputs import Ints, Path, Swap
from satqkd.kernels.clicks import station_ps, swapped
from satqkd.kernels.jit import njit
from satqkd.kernels.labels_plain import STEPS
from satqkd.records import BEACON_CHANNEL, SWAPPED

U64 = np.uint64


@njit
def arriving_slot(time_ps: int, period_ps: float, path: Path) -> int:
    """Slot whose light arrives nearest to a station time."""
    emission_ps = time_ps
    for _ in range(STEPS):
        emission_ps -= station_ps(emission_ps, 0.0, path) - time_ps
    return int(np.rint(emission_ps / period_ps))


@njit
def label(time_ps: Ints, channel: NDArray[np.uint8], period_ps: float, swap: Swap, path: Path) -> None:
    """Tell swapped labels in place."""
    key_0, key_1 = U64(swap.key_0), U64(swap.key_1)
    for row in range(time_ps.size):
        if channel[row] < BEACON_CHANNEL and swapped(
            arriving_slot(time_ps[row], period_ps, path), key_0, key_1
        ):
            channel[row] += SWAPPED
