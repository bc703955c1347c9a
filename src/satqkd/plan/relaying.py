"""Who gets the link key on board, and how key over several satellites is combined; in whole bytes.

Knows numbers alone: no store, no time.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satqkd.plan.ledger import TAG_BITS, Bits

Floats = NDArray[np.float64]
Index = NDArray[np.intp]

LEAST_BITS: Final = TAG_BITS
"""A relay or a combination of less costs more key for its tags than it gives."""
_ROUNDING: Final = 1e-6
"""Of bits, in sums of floats."""


def share_out(live_bits: Bits, ends: Index, level_bits: Floats, need: Floats, most_bits: Floats) -> Bits:
    r"""What one satellite relays for each pair of the link key that it has, shape (pairs,).

    live_bits: of each station; ends: stations of each pair, (pairs, 2); level_bits: key that each has, over
    its need; most_bits: what each may get. The pair with the lowest level is served first, until it meets the
    next; then they rise together, each by its need, and a pair stops where a link of it is empty or it has
    its most. But for tags and rounding this is the max-min fair allocation: no pair's level can be raised but
    at the cost of one that is no higher. Source: Bertsekas and Gallager, Data Networks, section 6.5.2.
    """
    has_key = (live_bits[ends] >= TAG_BITS + LEAST_BITS).all(axis=1)
    served = np.flatnonzero(has_key & (most_bits >= LEAST_BITS))
    bits = np.zeros(len(ends), dtype=np.int64)
    while served.size:
        count = np.bincount(ends[served].ravel(), minlength=len(live_bits))
        free = live_bits - TAG_BITS * count
        if (crowded := np.flatnonzero((free < LEAST_BITS) & (count > 0))).size:
            served = _without_highest(served, ends, level_bits, int(crowded[0]))
            continue
        water = _filled(free, ends[served], level_bits[served], need[served], most_bits[served])
        filled = (np.floor(water + _ROUNDING) // 8 * 8).astype(np.int64)
        if (filled >= LEAST_BITS).all():
            bits[served] = filled
            break
        served = _without_short(served, level_bits, filled)
    return bits


def _without_highest(served: Index, ends: Index, level_bits: Floats, station: int) -> Index:
    here = np.flatnonzero((ends[served] == station).any(axis=1))
    return np.delete(served, here[np.argmax(level_bits[served[here]])])


def _without_short(served: Index, level_bits: Floats, filled: Bits) -> Index:
    """Without those that got nothing, else without the highest of those that got too little."""
    if not filled.all():
        return served[filled > 0]
    short = np.flatnonzero(filled < LEAST_BITS)
    return np.delete(served, short[np.argmax(level_bits[served[short]])])


def _filled(free_bits: Bits, ends: Index, level_bits: Floats, need: Floats, most_bits: Floats) -> Floats:
    """Water rises from the lowest level; where a link runs dry its pairs stop, and a pair that is full."""
    left, got = free_bits.astype(np.float64), np.zeros(len(ends))
    rising, height = np.ones(len(ends), dtype=np.bool_), float(level_bits.min())
    while rising.any():
        wet = rising & (level_bits <= height)
        if not wet.any():
            height = float(level_bits[rising].min())
            continue
        load = np.zeros(len(left))
        for column in ends.T:
            np.add.at(load, column[wet], need[wet])
        dry = rising & ~wet
        until = np.full(len(left), np.inf)
        np.divide(left, load, out=until, where=load > 0)
        full = np.where(wet, (most_bits - got) / need, np.inf)
        next_level = float(level_bits[dry].min()) - height if dry.any() else np.inf
        step = min(float(until.min()), float(full.min()), next_level)
        got[wet] += step * need[wet]
        left -= step * load
        height += step
        empty = (load > 0) & (until <= step)
        left[empty] = 0.0
        rising &= ~empty[ends].any(axis=1) & (full > step)
    return got


class Segment(NamedTuple):
    """Bits of each of some sources that become one combination."""

    bits: int
    """Of its key; each source gives `TAG_BITS` more."""
    sources: tuple[int, ...]


def wrapped(live_bits: Mapping[int, int], apart: int) -> Iterator[Segment]:
    r"""The combinations of `apart` different sources each that give the most key, but for their tags.

    live_bits: of each source. The most is K of `program.shared_key`. Sources, none longer than K, are laid
    end to end on `apart` rows of length K: no column meets one source twice, and columns of the same sources
    are a segment. Source of the rule: McNaughton, Management Science 6, 1 (1959).
    """
    ordered = sorted(live_bits.items(), key=lambda each: (-each[1], each[0]))
    length = _most(tuple(bits for _, bits in ordered), apart)
    laid, at = [], 0
    for source, bits in ordered:
        end = min(at + min(bits, length), apart * length)
        laid.append((at, end, source))
        at = end
    cuts = sorted({0, length, *(end % length for _, end, _ in laid if length)})
    for begin, end in pairwise(cuts):
        rows = (begin + row * length for row in range(apart))
        sources = tuple(sorted(next(s for low, high, s in laid if low <= at < high) for at in rows))
        if end - begin >= TAG_BITS + LEAST_BITS:
            yield Segment(end - begin - TAG_BITS, sources)


def _most(largest_first: tuple[int, ...], apart: int) -> int:
    return min(sum(largest_first[j:]) // (apart - j) for j in range(apart)) // 8 * 8
