"""Open searches of Cascade compiled: the same steps as `cascade_plain`, which is its oracle.

Errors found in a range of slots are counted by reading their marks, where the numpy form searches
`Search.wrong`. Arrays come checked from `satqkd.distill.cascade`; results are equal to the plain form's.
"""

from typing import Final

import numpy as np

from satqkd.kernels.cascade_plain import (
    ALL,
    BOUNDARY,
    FOUND,
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

_JUST_FOUND: Final = 3
_LENGTH_BITS: Final = 31
_LENGTH_MASK: Final = (1 << _LENGTH_BITS) - 1


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
        search.marks,
        search.bits,
        search.reached,
        search.spent,
        search.busy,
        search.low,
        search.high,
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
    origin: Longs,
    blocks: Ints,
    starts: Longs,
    marks: Bytes,
    bits: Bytes,
    reached: Ints,
    spent: Longs,
    busy: Flags,
    low: Longs,
    high: Longs,
    asked: Longs,
    differences: Bytes,
    found: Longs,
    reach: int,
    few: int,
) -> tuple[Longs, Longs, Longs, bool]:
    low, high = low.copy(), high.copy()
    _halve(order, origin, starts, marks, bits, low, high, asked, differences)
    for bit in found:
        if bits[bit] != UNKNOWN:
            return low, high, asked[:0], True
        bits[bit] = WRONG
    halved = asked if asked.size else np.arange(low.size)
    singles, contradiction = _singles(order, origin, starts, bits, low, high, halved)
    found = np.concatenate((found, singles))
    while True:
        if found.size and not contradiction:
            low, high, contradiction = _turn(place, origin, blocks, starts, marks, low, high, found)
        if contradiction:
            return low, high, asked[:0], True
        served, frame = _serve(starts, reached, low, high, reach, few)
        if not _decide_known_halves(order, origin, starts, marks, bits, low, high, served):
            break
        found, contradiction = _singles(order, origin, starts, bits, low, high, served)
    low, high, served = _charge(starts, spent, busy, low, high, served, frame)
    return low, high, served, False


@njit
def _where(starts: Longs, slot: int, number: int, frame: int) -> tuple[int, int]:
    """Pass and frame of a slot, by walking from those of another one."""
    while slot < number * starts[-1]:
        number -= 1
    while slot >= (number + 1) * starts[-1]:
        number += 1
    while slot - number * starts[-1] < starts[frame]:
        frame -= 1
    while slot - number * starts[-1] >= starts[frame + 1]:
        frame += 1
    return number, frame


@njit
def _bit(order: Ints, origin: Longs, starts: Longs, slot: int, number: int, frame: int) -> int:
    position = slot - number * starts[-1] - starts[frame]
    return int(order[number, origin[frame] + position] + starts[frame])


@njit
def _halve(
    order: Ints,
    origin: Longs,
    starts: Longs,
    marks: Bytes,
    bits: Bytes,
    low: Longs,
    high: Longs,
    asked: Longs,
    differences: Bytes,
) -> None:
    number = frame = 0
    for index in range(asked.size):
        segment = asked[index]
        start, end = low[segment], high[segment]
        middle = (start + end) >> 1
        found = 0
        for slot in range(start, middle):
            found += marks[slot] & FOUND
        marks[middle] |= BOUNDARY
        even = middle
        size = end - middle
        if differences[index] ^ (found // FOUND & 1):
            high[segment] = middle
        else:
            low[segment] = middle
            even, size = start, middle - start
        if size == 1:
            number, frame = _where(starts, even, number, frame)
            bit = _bit(order, origin, starts, even, number, frame)
            if bits[bit] == UNKNOWN:
                bits[bit] = RIGHT


@njit
def _singles(
    order: Ints, origin: Longs, starts: Longs, bits: Bytes, low: Longs, high: Longs, among: Longs
) -> tuple[Longs, bool]:
    """Bits of the given open segments of one slot, each once, now WRONG; whether one was known before."""
    found = np.empty(among.size, np.int64)
    count = number = frame = 0
    for segment in among:
        if high[segment] - low[segment] == 1:
            number, frame = _where(starts, low[segment], number, frame)
            bit = _bit(order, origin, starts, low[segment], number, frame)
            if bits[bit] == _JUST_FOUND:
                continue
            if bits[bit] != UNKNOWN:
                return found[:0], True
            bits[bit] = _JUST_FOUND
            found[count] = bit
            count += 1
    for index in range(count):
        bits[found[index]] = WRONG
    return found[:count], False


@njit
def _turn(
    place: Ints,
    origin: Longs,
    blocks: Ints,
    starts: Longs,
    marks: Bytes,
    low: Longs,
    high: Longs,
    found: Longs,
) -> tuple[Longs, Longs, bool]:
    """Open segments after errors are found: those turned an odd number of times change sides.

    A segment of one slot is known, so that none can open: the last value says whether one did.
    """
    turned = _segments_of(place, origin, blocks, starts, marks, found)
    _sort(turned)
    new_low = np.empty(low.size + turned.size, np.int64)
    new_high = np.empty(low.size + turned.size, np.int64)
    contradiction = False
    size = old = new = 0
    while old < low.size or new < turned.size:
        start = turned[new] >> _LENGTH_BITS if new < turned.size else low[old]
        if old < low.size and low[old] < start:
            new_low[size], new_high[size] = low[old], high[old]
            old += 1
            size += 1
            continue
        odd = False
        end = start
        while new < turned.size and turned[new] >> _LENGTH_BITS == start:
            end = start + (turned[new] & _LENGTH_MASK)
            odd = not odd
            new += 1
        if old < low.size and low[old] == start:
            end = high[old]
            odd = not odd
            old += 1
        if odd:
            new_low[size], new_high[size] = start, end
            contradiction |= end - start == 1
            size += 1
    return new_low[:size], new_high[:size], contradiction


@njit
def _segments_of(
    place: Ints, origin: Longs, blocks: Ints, starts: Longs, marks: Bytes, found: Longs
) -> Longs:
    """The segment of each bit found in each pass, its start and length in one word; marks the slots."""
    frames = np.empty(found.size, np.int64)
    frame = 0
    for index in range(found.size):
        _, frame = _where(starts, found[index], 0, frame)
        frames[index] = frame
    slots = np.empty((place.shape[0], found.size), np.int64)
    for number in range(place.shape[0]):  # all far memory first: these accesses do not wait for each other
        for index in range(found.size):
            start = starts[frames[index]]
            position = place[number, origin[frames[index]] + found[index] - start]
            slots[number, index] = number * starts[-1] + start + position
            marks[slots[number, index]] |= FOUND
    segments = np.empty(slots.size, np.int64)
    count = 0
    for number in range(place.shape[0]):
        base = number * starts[-1]
        for index in range(found.size):
            frame = frames[index]
            size = blocks[number, frame]
            if size == 0:
                continue
            slot = slots[number, index]
            start = slot - (slot - base - starts[frame]) % size
            end = min(start + size, base + starts[frame + 1])
            while end - start > 1:
                middle = (start + end) >> 1
                if not marks[middle] & BOUNDARY:
                    break
                if slot >= middle:
                    start = middle
                else:
                    end = middle
            segments[count] = (start << _LENGTH_BITS) | (end - start)
            count += 1
    return segments[:count]


@njit
def _sort(values: Longs) -> None:
    """Ascending, in place, by Shell's method: quick to compile, and the lists are short."""
    gap = 1
    while gap < values.size // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for index in range(gap, values.size):
            value = values[index]
            place = index
            while place >= gap and values[place - gap] > value:
                values[place] = values[place - gap]
                place -= gap
            values[place] = value
        gap //= 3


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
def _serve(starts: Longs, reached: Ints, low: Longs, high: Longs, reach: int, few: int) -> tuple[Longs, Ints]:
    """As `cascade_plain.serve`; also the frame of each open segment."""
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
    return served[:count], frame


@njit
def _decide_known_halves(
    order: Ints,
    origin: Longs,
    starts: Longs,
    marks: Bytes,
    bits: Bytes,
    low: Longs,
    high: Longs,
    served: Longs,
) -> bool:
    decided = False
    number = frame = 0
    for segment in served:
        if high[segment] - low[segment] > 3:
            continue
        middle = (low[segment] + high[segment]) >> 1
        number, frame = _where(starts, low[segment], number, frame)
        left = _bit(order, origin, starts, low[segment], number, frame)
        right = _bit(order, origin, starts, middle, number, frame)
        if bits[left] != UNKNOWN:
            low[segment] = middle
        elif high[segment] - middle == 1 and bits[right] != UNKNOWN:
            high[segment] = middle
        else:
            continue
        marks[middle] |= BOUNDARY
        decided = True
    return decided


@njit
def _charge(
    starts: Longs, spent: Longs, busy: Flags, low: Longs, high: Longs, served: Longs, frame: Ints
) -> tuple[Longs, Longs, Longs]:
    frames = spent.size
    count = np.zeros(frames, np.int64)
    for segment in served:
        count[frame[segment]] += 1
    busy[:] = False
    for segment in range(low.size):
        busy[frame[segment]] = True
    exceeded = False
    for index in range(frames):
        if spent[index] + count[index] > starts[index + 1] - starts[index]:
            spent[index] |= GIVEN_UP
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
    count_kept = 0
    for segment in served:
        if kept[segment] >= 0:
            served[count_kept] = kept[segment]
            count_kept += 1
    return low[:size], high[:size], served[:count_kept]
