"""Conflicts of contacts: intervals of time that occupy one resource, a satellite or a station, each.

Two intervals of one resource conflict where the later begins before the earlier's end and the setup time
after it; one that begins just when that is over follows. A set of intervals that all conflict with each other
is a clique, and at most one of it can be flown. The maximal cliques of intervals are the sets that stand open
together just before one of them ends:

    |---a---|
        |-----b-----|           {a, b}, {b, c}
                  |---c---|

Times are seconds on any common scale. Knows no value of a contact and no solver.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.errors import ConfigError

Column = NDArray[np.float64]
Index = NDArray[np.intp]
Labels = ArrayLike
"""Whole numbers that name resources or what is alike; whatever numpy makes an array of."""


class Cliques(NamedTuple):
    """Maximal cliques as pairs of a row, one a clique, and a column, one an interval."""

    row: Index
    """0 to n_rows - 1, by resource and time; shape (pairs,)."""
    interval: Index
    """Position in the arrays that were given; shape (pairs,), ascending, rows of one interval in a row."""
    n_rows: int


class Chain(NamedTuple):
    """Intervals in order of resource and beginning, and who can follow whom."""

    order: Index
    """Positions in the arrays that were given; shape (n,)."""
    following: Index
    """For the interval at each place of `order`, the first place whose interval does not conflict with it and
    comes later: of the same resource, else where the next resource begins, at the end n; shape (n,)."""


def cliques(begin_s: ArrayLike, end_s: ArrayLike, resource: Labels, *, setup_s: float = 0.0) -> Cliques:
    """The maximal cliques of conflicts, each once; an interval without conflict is a clique of its own.

    begin_s, end_s: shape (n,); resource: a whole number for each interval. Takes n log n and the number of
    pairs. Raises ConfigError for intervals that make no sense.
    """
    sweep = _Sweep(begin_s, end_s, resource, setup_s)
    is_last = sweep.is_begin & ~np.append(sweep.is_begin[1:], False)
    closed: Index = np.cumsum(is_last)
    first = closed[sweep.begin_at] - is_last[sweep.begin_at]
    counts = closed[sweep.end_at] - first
    interval = np.repeat(np.arange(counts.size), counts)
    within = np.arange(interval.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return Cliques(np.repeat(first, counts) + within, interval, int(is_last.sum()))


def following(begin_s: ArrayLike, end_s: ArrayLike, resource: Labels, *, setup_s: float = 0.0) -> Chain:
    """Who can follow whom: with the step to the next place, the graph whose paths are conflict-free plans.

    Arguments and errors as of `cliques`.
    """
    sweep = _Sweep(begin_s, end_s, resource, setup_s)
    opened: Index = np.cumsum(sweep.is_begin)
    order: Index = sweep.events[sweep.is_begin]
    return Chain(order, opened[sweep.end_at[order]])


def conflict_free(begin_s: ArrayLike, end_s: ArrayLike, resource: Labels, *, setup_s: float = 0.0) -> bool:
    """Whether no two of the intervals conflict. Arguments and errors as of `cliques`."""
    begin, release, label = _checked(begin_s, end_s, resource, setup_s)
    order = np.lexsort((begin, label))
    begin, release, label = begin[order], release[order], label[order]
    return not ((begin[1:] < release[:-1]) & (label[1:] == label[:-1])).any()


class _Sweep:
    """Beginnings and releases in order of resource and time; of one instant, releases before beginnings."""

    def __init__(self, begin_s: ArrayLike, end_s: ArrayLike, resource: Labels, setup_s: float) -> None:
        begin, release, label = _checked(begin_s, end_s, resource, setup_s)
        n = begin.size
        is_begin = np.arange(2 * n) < n
        self.events: Index = np.lexsort((is_begin, np.concatenate([begin, release]), np.tile(label, 2)))
        self.is_begin = is_begin[self.events]
        place = np.empty(2 * n, dtype=np.intp)
        place[self.events] = np.arange(2 * n)
        self.begin_at, self.end_at = place[:n], place[n:]


def _checked(
    begin_s: ArrayLike, end_s: ArrayLike, resource: Labels, setup_s: float
) -> tuple[Column, Column, NDArray[np.generic]]:
    """Beginning, release (end and setup) and resource of each interval."""
    begin, end = np.asarray(begin_s, dtype=np.float64), np.asarray(end_s, dtype=np.float64)
    label = np.asarray(resource)
    if not begin.shape == end.shape == label.shape == (begin.size,):
        raise ConfigError(
            "intervals: expected a beginning, an end and a resource each, got arrays of shapes "
            f"{begin.shape}, {end.shape} and {label.shape}"
        )
    if not 0 <= setup_s < np.inf:
        raise ConfigError(f"intervals, setup_s: expected 0 s or more, got {setup_s}")
    is_wrong = ~((begin < end) & np.isfinite(begin) & np.isfinite(end))
    if is_wrong.any():
        at = int(is_wrong.argmax())
        raise ConfigError(
            f"interval {at}: expected an end after its beginning, got {begin[at]} to {end[at]} s"
        )
    return begin, end + setup_s, label
