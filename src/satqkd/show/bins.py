"""Counts of a pass in bins of time wide enough to be looked at, and how far chance may move them.

The limits are one-sigma Poisson limits by the approximations of Gehrels, ApJ 303, 336 (1986), within 1 %
of exact. Knows profiles, and nothing of pixels.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.errors import DataFormatError
from satqkd.show.files import Profile

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

SHORTEST_BIN_S: Final = 5
MOST_BINS: Final = 60


class Binned(msgspec.Struct, frozen=True, eq=False):
    """Counts in bins of equal width; the last may be shorter or longer. One row a bin."""

    start_s: Array
    width_s: Array
    sifted: Counts
    revealed: Counts
    errors: Counts
    """Among the revealed."""

    @property
    def middle_s(self) -> Array:
        """Middle of each bin."""
        return self.start_s + self.width_s / 2

    @property
    def rate_hz(self) -> Array:
        """Keyed rounds a second."""
        return self.sifted / self.width_s


def bin_profiles(profiles: Sequence[Profile], duration_s: float) -> Binned:
    """Sum the profiles of all blocks into bins of whole seconds over [0, duration_s].

    A bin is at least 5 s long and at most 60 bins are made; what is left at the end makes a bin of its own
    or, when shorter than half of one, lengthens the last. Seconds outside are refused with
    DataFormatError, apart from the last one begun.
    """
    seconds = np.array([s for profile in profiles for s in profile.second], dtype=np.int64)
    last = max(1, math.ceil(duration_s))
    if seconds.size and not (seconds.min() >= 0 and seconds.max() <= last):
        raise DataFormatError(
            f"profiles: expected seconds from 0 to {last}, got {seconds.min()} to {seconds.max()}"
        )
    width = max(SHORTEST_BIN_S, math.ceil(last / MOST_BINS))
    starts = np.arange(0, last, width)
    if starts.size > 1 and duration_s - starts[-1] < width / 2:
        starts = starts[:-1]
    edges = np.append(starts, max(duration_s, 1e-3)).astype(np.float64)
    rows = np.minimum(seconds // width, edges.size - 2)
    return Binned(
        start_s=edges[:-1],
        width_s=np.diff(edges),
        sifted=_summed(rows, [n for profile in profiles for n in profile.sifted], edges.size - 1),
        revealed=_summed(rows, [n for profile in profiles for n in profile.revealed], edges.size - 1),
        errors=_summed(rows, [n for profile in profiles for n in profile.errors], edges.size - 1),
    )


def merged(binned: Binned, fewest: int) -> Binned:
    """The same counts in wider bins, each of at least `fewest` revealed rounds where there are so many.

    Neighbours are joined from the start on; what is left at the end lengthens the last bin.
    """
    starts, held = [0], 0
    for row, revealed in enumerate(binned.revealed.tolist()):
        if held >= fewest:
            starts.append(row)
            held = 0
        held += revealed
    if held < fewest and len(starts) > 1:
        starts.pop()
    return Binned(
        start_s=binned.start_s[starts],
        width_s=np.add.reduceat(binned.width_s, starts),
        sifted=np.add.reduceat(binned.sifted, starts),
        revealed=np.add.reduceat(binned.revealed, starts),
        errors=np.add.reduceat(binned.errors, starts),
    )


def _summed(rows: Counts, values: Sequence[int], bins: int) -> Counts:
    sums = np.zeros(bins, dtype=np.int64)
    np.add.at(sums, rows, np.asarray(values, dtype=np.int64))
    return sums


def poisson_limits(counts: Array | Counts) -> tuple[Array, Array]:
    """Lower and upper one-sigma limits of the mean of Poisson counts, of the shape of `counts`."""
    n = np.asarray(counts, dtype=np.float64)
    safe = np.maximum(n, 1.0)
    lower = np.where(n > 0, safe * np.maximum(0.0, 1 - 1 / (9 * safe) - 1 / (3 * np.sqrt(safe))) ** 3, 0.0)
    above = n + 1
    return lower, above * (1 - 1 / (9 * above) + 1 / (3 * np.sqrt(above))) ** 3
