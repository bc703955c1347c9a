"""Open searches of Cascade as the program behind the published means runs them (cascade-cpp, `original`).

It searches a segment only while the whole *block* around it is odd, and for each correction that falls into
such a block it starts another search there; searches of one segment ask for the same half again, each at
its own cost. It infers a right half from its left one and nothing else. Kept to compare with published
figures, numpy alone; names and arrays as in `cascade_plain`.
"""

import numpy as np

from satqkd.kernels.cascade_plain import (
    WRONG,
    Bytes,
    Longs,
    Search,
    Step,
    Tables,
    bits_at,
    block_of,
    charged,
    frames_of,
    halved,
    slots_of,
    turned,
)


def advance(tables: Tables, search: Search, asked: Longs, differences: Bytes) -> Step:
    """As `cascade_plain.advance`; `asked` names a segment once for each search in it."""
    first = np.flatnonzero(np.diff(asked, prepend=-1))
    repeats = np.diff(first, append=asked.size)
    if (np.repeat(differences[first], repeats) != differences).any():
        return Step(search, asked[:0], True)
    search = halved(tables, search, asked[first], differences[first])
    while True:
        single = search.low[search.high - search.low == 1]
        found = np.unique(bits_at(single, tables))
        if not found.size:
            break
        if (search.bits[found] == WRONG).any():
            return Step(search, asked[:0], True)
        search.bits[found] = WRONG
        search = _started(tables, search, turned(tables, search, found), found)
    search, served = charged(tables, search, _serve(tables, search))
    return Step(search, served, False)


def _started(tables: Tables, before: Search, search: Search, found: Longs) -> Search:
    """Carry the searches of segments still open and start those that the corrections call for."""
    searches = np.zeros(search.low.size, np.int64)
    where = np.searchsorted(before.low, search.low)
    where[where == before.low.size] = 0
    if before.low.size:
        kept = before.low[where] == search.low
        searches[kept] = before.searches[where[kept]]
    slots = slots_of(found, tables)
    used, hit, _ = block_of(slots, tables)
    blocks, hits = np.unique(hit[used & _entered(tables, search, slots)], return_counts=True)
    around, segment, odd = np.unique(block_of(search.low, tables)[1], return_index=True, return_counts=True)
    _, left, right = np.intersect1d(around, blocks, assume_unique=True, return_indices=True)
    is_odd = odd[left] % 2 == 1
    searches[segment[left[is_odd]]] += hits[right[is_odd]]
    return search._replace(searches=np.where(_entered(tables, search, search.low), searches, 1))


def _entered(tables: Tables, search: Search, slots: Longs) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray(slots // tables.starts[-1] <= search.reached[frames_of(slots, tables)])


def _serve(tables: Tables, search: Search) -> Longs:
    """Segments under search in passes entered, or else a frame's next pass; one entry for each search."""
    frame, passes = frames_of(search.low, tables), search.low // tables.starts[-1]
    running = _entered(tables, search, search.low) & (search.searches > 0)
    idle = np.ones(search.reached.size, bool)
    idle[frame[running]] = False
    ahead = idle[frame] & (passes > search.reached[frame])
    search.reached[frame[ahead][::-1]] = passes[ahead][::-1]
    running = _entered(tables, search, search.low) & (search.searches > 0)
    served = np.flatnonzero(running)
    return np.repeat(served, search.searches[served])
