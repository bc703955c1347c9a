"""Open searches of Cascade in numpy: which segments hold an odd number of errors, and what to ask next.

All passes of all frames lie in one row of *slots*: slot p N + i is position i of pass p of N bits, frames one
after the other. A *segment* is a range of slots between two neighbouring boundaries whose prefix parities
are known; it is *open* while the errors not yet found in it are odd in number. Serving it halves it (the left
half is the shorter): the parity of the left half is asked for. An error found turns, in every pass, the
segment that holds it.

Sees only differences of parities, at both ends alike: no key bit, no clock. This is the form the satellite
uses (no numba here) and the oracle of `satqkd.kernels.cascade`.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Flags = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

UNKNOWN: Final = 0
RIGHT: Final = 1
WRONG: Final = 2
BOUNDARY: Final = 1
FOUND: Final = 2
ALL: Final = 1 << 30
"""`reach` that serves segments of every length."""
GIVEN_UP: Final = 1 << 40
"""Bit set in `spent` of a frame that was given up."""


class Tables(NamedTuple):
    """Where every bit lies; fixed for one schedule."""

    order: Ints
    """(P, U) bit at each position of a pass, within the frame; one table for all frames of a length."""
    place: Ints
    """(P, U) position of each bit in a pass, within the frame."""
    origin: Longs
    """(F,) where the table of the frame's length starts."""
    blocks: Ints
    """(P, F) block size of each pass and frame, 0 where the frame skips the pass."""
    starts: Longs
    """(F + 1,) where frames start, and N."""


class Search(NamedTuple):
    """What is known so far; arrays that keep their size are changed in place."""

    marks: Bytes
    """(P N + 1,) BOUNDARY: the prefix parity before the slot is known; FOUND: the slot's bit is wrong."""
    bits: Bytes
    """(N,) UNKNOWN, RIGHT or WRONG."""
    reached: Ints
    """(F,) the pass the frame is in; later ones wait."""
    spent: Longs
    """(F,) parities asked for; GIVEN_UP is added when the frame is given up."""
    busy: Flags
    """(F,) whether the frame has an open segment."""
    low: Longs
    """(open,) first slot of each open segment, ascending."""
    high: Longs
    """(open,) end of each."""
    wrong: Longs
    """Slots of errors found, all passes, ascending; kept by the numpy forms."""
    searches: Longs
    """(open,) searches in each open segment; kept by the published form alone."""


class Step(NamedTuple):
    """Outcome of one round."""

    search: Search
    asked: Longs
    """Indices of the open segments whose left half is asked for next, ascending."""
    contradiction: bool
    """No pair of strings has these differences."""


def frames_of(slots: Longs, tables: Tables) -> Longs:
    """Frame of each slot."""
    return np.asarray(np.searchsorted(tables.starts, slots % tables.starts[-1], side="right") - 1)


def bits_at(slots: Longs, tables: Tables) -> Longs:
    """Bit of each slot."""
    passes, position = np.divmod(slots, tables.starts[-1])
    frame = np.searchsorted(tables.starts, position, side="right") - 1
    start = tables.starts[frame]
    return np.asarray(tables.order[passes, tables.origin[frame] + position - start] + start)


def slots_of(bits: Longs, tables: Tables) -> Longs:
    """Slots of the bits in all passes, (P bits,)."""
    frame = np.searchsorted(tables.starts, bits, side="right") - 1
    start = tables.starts[frame]
    base = start + np.arange(tables.place.shape[0])[:, None] * tables.starts[-1]
    return np.asarray(tables.place[:, tables.origin[frame] + bits - start] + base).reshape(-1)


def located(low: Longs, tables: Tables) -> tuple[Longs, Longs]:
    """Frame and pass of ascending slots: read off where frames begin among them."""
    passes, frames = tables.blocks.shape
    begins = (np.arange(passes)[:, None] * tables.starts[-1] + tables.starts[:-1]).reshape(-1)
    counts = np.diff(np.searchsorted(low, begins), append=low.size)
    number, frame = np.divmod(np.arange(begins.size), frames)
    return np.repeat(frame, counts), np.repeat(number, counts)


def advance(
    tables: Tables,
    search: Search,
    asked: Longs,
    differences: Bytes,
    found: Longs,
    *,
    reach: int,
    few: int,
) -> Step:
    """Take the differences of the left halves of the `asked` segments; say what to ask for next.

    differences: (asked,) parities of the error pattern, errors found before included. found: bits that a
    check found wrong meanwhile, ascending, not known before. With nothing asked and nothing found, the first
    segments to serve. Bits known to be right or found are not asked for: a half of one such bit is decided
    at once.
    """
    search = halved(tables, search, asked, differences)
    while True:
        if (search.bits[found] != UNKNOWN).any():
            return Step(search, asked[:0], True)
        search.bits[found] = WRONG
        search = turned(tables, search, found)
        single = search.low[search.high - search.low == 1]
        found = np.unique(bits_at(single, tables))
        if found.size:
            continue
        served = serve(tables, search, reach=reach, few=few)
        if not _decide_known_halves(tables, search, served):
            break
        single = search.low[search.high - search.low == 1]
        found = np.unique(bits_at(single, tables))
    search, served = charged(tables, search, served)
    return Step(search, served, False)


def halved(tables: Tables, search: Search, asked: Longs, differences: Bytes) -> Search:
    """Each asked segment becomes the half of it that is odd."""
    start, end = search.low[asked], search.high[asked]
    middle = (start + end) >> 1
    inside = np.searchsorted(search.wrong, middle) - np.searchsorted(search.wrong, start)
    left_odd = (differences ^ (inside & 1)).astype(bool)
    search.marks[middle] |= BOUNDARY
    for first, past, even in ((start, middle, ~left_odd), (middle, end, left_odd)):
        bits = bits_at(first[even & (past - first == 1)], tables)
        search.bits[bits] = np.maximum(search.bits[bits], RIGHT)
    low, high = search.low.copy(), search.high.copy()
    low[asked], high[asked] = np.where(left_odd, start, middle), np.where(left_odd, middle, end)
    return search._replace(low=low, high=high)


def turned(tables: Tables, search: Search, found: Longs) -> Search:
    """Open segments after these errors are found: each turns its segment in every pass of its frame."""
    if not found.size:
        return search
    slots = slots_of(found, tables)
    search.marks[slots] |= FOUND
    used, start, end = block_of(slots, tables)
    slots = slots[used]
    start, end = segment_of(slots, start[used], end[used], search.marks)
    wrong = _merged(search.wrong, np.sort(slots))
    start, first, count = np.unique(start, return_index=True, return_counts=True)
    odd = (count & 1).astype(bool)
    start, end = start[odd], end[first[odd]]
    where = np.searchsorted(search.low, start)
    is_open = np.zeros(start.size, bool)
    inside = where < search.low.size
    is_open[inside] = search.low[where[inside]] == start[inside]
    low, high = np.delete(search.low, where[is_open]), np.delete(search.high, where[is_open])
    where = np.searchsorted(low, start[~is_open])
    low, high = np.insert(low, where, start[~is_open]), np.insert(high, where, end[~is_open])
    return search._replace(low=low, high=high, wrong=wrong)


def _merged(ascending: Longs, more: Longs) -> Longs:
    return np.insert(ascending, np.searchsorted(ascending, more), more)


def block_of(slots: Longs, tables: Tables) -> tuple[Flags, Longs, Longs]:
    """Whether the frame of each slot uses the pass, and the block the slot is in."""
    passes, position = np.divmod(slots, tables.starts[-1])
    frame = np.searchsorted(tables.starts, position, side="right") - 1
    size = tables.blocks[passes, frame].astype(np.int64)
    base = passes * tables.starts[-1]
    begin = base + tables.starts[frame]
    start = begin + (slots - begin) // np.maximum(size, 1) * size
    return size > 0, start, np.minimum(start + size, base + tables.starts[frame + 1])


def segment_of(slots: Longs, start: Longs, end: Longs, marks: Bytes) -> tuple[Longs, Longs]:
    """The segment that holds each slot, by halving its block as far as it was halved before."""
    while True:
        middle = (start + end) >> 1
        halved = ((marks[middle] & BOUNDARY) != 0) & (end - start > 1)
        if not halved.any():
            return start, end
        right = slots >= middle
        start, end = np.where(halved & right, middle, start), np.where(halved & ~right, middle, end)


def serve(tables: Tables, search: Search, *, reach: int, few: int) -> Longs:
    """Indices of the open segments to be halved next; a frame with none open so far enters its next pass.

    Of the passes entered: all, or where a frame has more than `few` open, those at most `reach` times as long
    as its shortest.
    """
    frame, passes = located(search.low, tables)
    lowest = np.zeros(search.reached.size, np.int32)
    lowest[frame[::-1]] = passes[::-1]  # segments ascend, so the last word has the lowest pass
    np.maximum(search.reached, lowest, out=search.reached)
    eligible = passes <= search.reached[frame]
    if reach >= ALL:
        return np.flatnonzero(eligible)
    length = search.high - search.low
    shortest = np.full(search.reached.size, ALL, np.int64)
    np.minimum.at(shortest, frame[eligible], length[eligible])
    scarce = np.bincount(frame[eligible], minlength=search.reached.size) <= few
    return np.flatnonzero(eligible & (scarce[frame] | (length <= reach * shortest[frame])))


def _decide_known_halves(tables: Tables, search: Search, served: Longs) -> bool:
    """Halve without asking where one half is a single bit already known; says whether any was."""
    start, end = search.low[served], search.high[served]
    middle = (start + end) >> 1
    left, right = middle - start == 1, end - middle == 1
    left[left] = search.bits[bits_at(start[left], tables)] != UNKNOWN
    right &= ~left
    right[right] = search.bits[bits_at(middle[right], tables)] != UNKNOWN
    search.marks[middle[left | right]] |= BOUNDARY
    search.low[served] = np.where(left, middle, start)
    search.high[served] = np.where(right, middle, end)
    return bool((left | right).any())


def charged(tables: Tables, search: Search, served: Longs) -> tuple[Search, Longs]:
    """Count what is asked for; a frame that would exceed its own length loses its open segments for good."""
    frame, _ = located(search.low, tables)
    count = np.bincount(frame[served], minlength=search.spent.size)
    search.busy[:] = False
    search.busy[frame] = True
    over = search.spent + count > np.diff(tables.starts)
    search.spent[:] = np.where(over, search.spent | GIVEN_UP, search.spent + count)
    if not over.any():
        return search, served
    search.busy[over] = False
    kept = ~over[frame]
    renumbered = np.cumsum(kept) - 1
    search = search._replace(
        low=search.low[kept],
        high=search.high[kept],
        searches=search.searches[kept] if search.searches.size else search.searches,
    )
    return search, renumbered[served[kept[served]]]
