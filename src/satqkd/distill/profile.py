"""How a block's rounds lie in time, for pictures: counts in each second, of what the transcript tells."""

import numpy as np
from numpy.typing import NDArray

from satqkd.distill.outcome import ErrorProfile
from satqkd.distill.parameters import Parameters
from satqkd.distill.sift import Mask, Rounds
from satqkd.records import DECOY


def error_profile(
    block: int, rounds: Rounds, slots: NDArray[np.int64], wrong: Mask, parameters: Parameters
) -> ErrorProfile:
    """Keyed and revealed rounds of this pass by second.

    rounds: kept detections; slots: theirs, int64 (n,), before the block's first where they are of raw blocks;
    wrong: which revealed ones are errors, (n,).
    """
    flown = slots >= parameters.first_slot(block)
    second = (slots / parameters.source.pulse_rate_hz).astype(np.int64)
    decoy = (rounds.intensity_class == DECOY) & ~rounds.keyed & flown
    seconds = int(second.max(initial=-1)) + 1
    columns = [
        np.bincount(second[mask], minlength=seconds) for mask in (rounds.keyed & flown, decoy, decoy & wrong)
    ]
    held = np.flatnonzero(columns[0] + columns[1])
    told = (tuple(column[held].tolist()) for column in columns)
    return ErrorProfile(block, tuple(held.tolist()), *told)
