"""Which detector tags are told as swapped, in vectorised numpy: what `satqkd.kernels.labels` compiles.

The modulator before the analyser keeps to the slots as they arrive: from half a period before light of a
slot is at the station to half a period after. A tag carries the modulator's state at the tag's own time, so a
dark count or an afterpulse has that of the slot it falls in, and so has a photon that is tagged so late
that it falls in a later slot than its own. The state of a slot is `clicks_plain.swapped`.

No protocol here: the slot is nature's, found back from the path that the tag's light took, not a slot that
a clock recovery gave.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from satqkd.kernels.click_inputs import Path, Swap
from satqkd.kernels.clicks_plain import Ints, station_ps, swapped
from satqkd.records import BEACON_CHANNEL, SWAPPED

STEPS: Final = 5
"""Each step leaves less than 1e-3 of what the time of emission is off: 10 ms of light time become 1e-5 ps."""


def arriving_slots(time_ps: Ints, period_ps: float, path: Path) -> Ints:
    """Slots (int64, negative before slot 0) whose light, without jitter, arrives nearest to station times.

    time_ps: int64, shape (n,). period_ps: need not be whole.
    """
    emission_ps, on_time = time_ps, np.zeros(time_ps.size)
    for _ in range(STEPS):
        emission_ps = emission_ps - (station_ps(emission_ps, on_time, path) - time_ps)
    slots: Ints = np.rint(emission_ps / period_ps).astype(np.int64)
    return slots


def label(time_ps: Ints, channel: NDArray[np.uint8], period_ps: float, swap: Swap, path: Path) -> None:
    """Tell swapped labels: channels 0..3 of tags, uint8 of shape (n,), become 5..8 in place."""
    state = swapped(arriving_slots(time_ps, period_ps, path), swap)
    channel[(channel < BEACON_CHANNEL) & (state == 1)] += np.uint8(SWAPPED)
