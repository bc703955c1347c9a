"""Open searches of Cascade compiled: the same steps as `cascade_plain`, which is its oracle.

Differs in one array only: `Search.wrong` is a flag for each slot, so that errors found in a range are counted
by reading it. Arrays come checked from `satqkd.distill.cascade`; results are equal to the plain form's.
"""

import numpy as np

from satqkd.kernels.cascade_plain import (
    ALL,
    GIVEN_UP,
    RIGHT,
    UNKNOWN,
    WRONG,
    Bytes,
    Flags,
    Ints,
    Longs,
    Search,
    Step,
    Tables,
)
from satqkd.kernels.jit import njit


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
    """As `cascade_plain.advance`."""
    low, high, served, contradiction = _advance(
        *tables,
        search.known,
        search.bits,
        search.reached,
        search.spent,
        search.busy,
        search.low,
        search.high,
        search.wrong,
        asked,
        np.ascontiguousarray(differences),
        found,
        reach,
        few,
    )
    return Step(search._replace(low=low, high=high), served, bool(contradiction))


@njit
def _advance(
    order: Ints,
    place: Ints,
    blocks: Ints,
    starts: Longs,
    known: Bytes,
    bits: Bytes,
    reached: Ints,
    spent: Longs,
    busy: Flags,
    low: Longs,
    high: Longs,
    wrong: Bytes,
    asked: Longs,
    differences: Bytes,
    found: Longs,
    reach: int,
    few: int,
) -> tuple[Longs, Longs, Longs, bool]:
    low, high = low.copy(), high.copy()
    _halve(order, known, bits, wrong, low, high, asked, differences)
    while True:
        for bit in found:
            if bits[bit] != UNKNOWN:
                return low, high, asked[:0], True
            bits[bit] = WRONG
        if found.size:
            low, high = _turn(place, blocks, starts, known, wrong, low, high, found)
        found = _singles(order, low, high)
        if found.size:
            continue
        served = _serve(starts, reached, low, high, reach, few)
        if not _decide_known_halves(order, known, bits, low, high, served):
            break
        found = _singles(order, low, high)
    low, high, served = _charge(starts, spent, busy, low, high, served)
    return low, high, served, False


@njit
def _halve(
    order: Ints,
    known: Bytes,
    bits: Bytes,
    wrong: Bytes,
    low: Longs,
    high: Longs,
    asked: Longs,
    differences: Bytes,
) -> None:
    for index in range(asked.size):
        segment = asked[index]
        start, end = low[segment], high[segment]
        middle = (start + end) >> 1
        odd = differences[index]
        for slot in range(start, middle):
            odd ^= wrong[slot]
        known[middle] = 1
        if odd:
            high[segment] = middle
            if end - middle == 1 and bits[order[middle]] == UNKNOWN:
                bits[order[middle]] = RIGHT
        else:
            low[segment] = middle
            if middle - start == 1 and bits[order[start]] == UNKNOWN:
                bits[order[start]] = RIGHT


@njit
def _singles(order: Ints, low: Longs, high: Longs) -> Longs:
    """Bits of the open segments of one slot, ascending, each once."""
    count = 0
    for segment in range(low.size):
        count += high[segment] - low[segment] == 1
    found = np.empty(count, np.int64)
    if count == 0:
        return found
    count = 0
    for segment in range(low.size):
        if high[segment] - low[segment] == 1:
            found[count] = order[low[segment]]
            count += 1
    found = np.sort(found)
    last = 0
    for index in range(1, found.size):
        if found[index] != found[last]:
            last += 1
            found[last] = found[index]
    return found[: last + 1]


@njit
def _turn(
    place: Ints,
    blocks: Ints,
    starts: Longs,
    known: Bytes,
    wrong: Bytes,
    low: Longs,
    high: Longs,
    found: Longs,
) -> tuple[Longs, Longs]:
    """Open segments after errors are found; both lists ascend, and equal starts cancel in pairs."""
    n_bits = starts[-1]
    passes = place.shape[0]
    turned_low = np.empty(passes * found.size, np.int64)
    turned_high = np.empty(passes * found.size, np.int64)
    count = 0
    for number in range(passes):
        frame = 0
        for bit in found:
            while bit >= starts[frame + 1]:
                frame += 1
            size = blocks[number, frame]
            if size == 0:
                continue
            slot = place[number, bit]
            wrong[slot] = 1
            begin = number * n_bits + starts[frame]
            start = begin + (slot - begin) // size * size
            end = min(start + size, number * n_bits + starts[frame + 1])
            while end - start > 1:
                middle = (start + end) >> 1
                if not known[middle]:
                    break
                if slot >= middle:
                    start = middle
                else:
                    end = middle
            turned_low[count] = start
            turned_high[count] = end
            count += 1
    ascending = np.argsort(turned_low[:count])
    new_low = np.empty(low.size + count, np.int64)
    new_high = np.empty(low.size + count, np.int64)
    size = old = new = 0
    while old < low.size or new < count:
        if new == count or (old < low.size and low[old] < turned_low[ascending[new]]):
            new_low[size], new_high[size] = low[old], high[old]
            old += 1
            size += 1
            continue
        start, end = turned_low[ascending[new]], turned_high[ascending[new]]
        odd = False
        while new < count and turned_low[ascending[new]] == start:
            odd = not odd
            new += 1
        if old < low.size and low[old] == start:
            odd = not odd
            old += 1
        if odd:
            new_low[size], new_high[size] = start, end
            size += 1
    return new_low[:size], new_high[:size]


@njit
def _locate(starts: Longs, low: Longs, frame: Ints, number: Ints) -> None:
    """Frame and pass of each open segment; they ascend by pass, then by frame."""
    current = current_pass = 0
    base = np.int64(0)
    for segment in range(low.size):
        while low[segment] >= base + starts[-1]:
            base += starts[-1]
            current_pass += 1
            current = 0
        while low[segment] - base >= starts[current + 1]:
            current += 1
        frame[segment] = current
        number[segment] = current_pass


@njit
def _serve(starts: Longs, reached: Ints, low: Longs, high: Longs, reach: int, few: int) -> Longs:
    frames = reached.size
    frame = np.empty(low.size, np.int32)
    number = np.empty(low.size, np.int32)
    _locate(starts, low, frame, number)
    lowest = np.full(frames, -1, np.int32)
    shortest = np.full(frames, ALL, np.int64)
    eligible = np.zeros(frames, np.int64)
    for segment in range(low.size):
        if lowest[frame[segment]] < 0:
            lowest[frame[segment]] = number[segment]
            reached[frame[segment]] = max(reached[frame[segment]], number[segment])
        if number[segment] <= reached[frame[segment]]:
            eligible[frame[segment]] += 1
            length = high[segment] - low[segment]
            shortest[frame[segment]] = min(shortest[frame[segment]], length)
    served = np.empty(low.size, np.int64)
    count = 0
    for segment in range(low.size):
        own = frame[segment]
        near = reach >= ALL or eligible[own] <= few or high[segment] - low[segment] <= reach * shortest[own]
        if number[segment] <= reached[own] and near:
            served[count] = segment
            count += 1
    return served[:count]


@njit
def _decide_known_halves(
    order: Ints, known: Bytes, bits: Bytes, low: Longs, high: Longs, served: Longs
) -> bool:
    decided = False
    for segment in served:
        middle = (low[segment] + high[segment]) >> 1
        if middle - low[segment] == 1 and bits[order[low[segment]]] != UNKNOWN:
            low[segment] = middle
        elif high[segment] - middle == 1 and bits[order[middle]] != UNKNOWN:
            high[segment] = middle
        else:
            continue
        known[middle] = 1
        decided = True
    return decided


@njit
def _charge(
    starts: Longs, spent: Longs, busy: Flags, low: Longs, high: Longs, served: Longs
) -> tuple[Longs, Longs, Longs]:
    frames = spent.size
    frame = np.empty(low.size, np.int32)
    number = np.empty(low.size, np.int32)
    _locate(starts, low, frame, number)
    count = np.zeros(frames, np.int64)
    for segment in served:
        count[frame[segment]] += 1
    busy[:] = False
    for segment in range(low.size):
        busy[frame[segment]] = True
    exceeded = False
    for index in range(frames):
        if spent[index] + count[index] > starts[index + 1] - starts[index]:
            spent[index] = GIVEN_UP
            busy[index] = False
            exceeded = True
        else:
            spent[index] += count[index]
    if not exceeded:
        return low, high, served
    kept = np.empty(low.size, np.int64)
    size = 0
    for segment in range(low.size):
        if spent[frame[segment]] < GIVEN_UP:
            low[size], high[size] = low[segment], high[segment]
            kept[segment] = size
            size += 1
        else:
            kept[segment] = -1
    asked = np.array([kept[segment] for segment in served if kept[segment] >= 0], np.int64)
    return low[:size], high[:size], asked
