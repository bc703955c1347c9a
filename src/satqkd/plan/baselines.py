"""Plans without a solver: greedy, and the longest path of contacts that can follow each other.

Both choose among contacts that occupy a satellite, or a satellite and a station, for their time; they stand
beside the exact plan as what it must beat. Knows no pass, key or task: a contact is an interval with a value.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike

from satqkd.errors import ConfigError
from satqkd.plan.intervals import Column, Index, Labels, following

By = Literal["value", "value per second"]
_BY: Final = ("value", "value per second")


def greedy(
    begin_s: ArrayLike,
    end_s: ArrayLike,
    value: ArrayLike,
    resources: Sequence[Labels],
    *,
    setup_s: float = 0.0,
    by: By = "value",
    once: Sequence[Labels] = (),
) -> Index:
    """Contacts of the largest value first, each kept that conflicts with none that is kept.

    begin_s, end_s, value: shape (n,); resources: whole numbers of that shape for each kind of resource, of
    satellites and of stations, on all of which a contact must be free; once: likewise, each number for one
    contact at most. Of equal ones the first is taken; what is worth nothing is not. Returns the kept
    positions, ascending. Raises ConfigError for arrays that do not fit each other or another `by`.
    """
    begin, end, worth = _columns(begin_s, end_s, value)
    if by not in _BY:
        raise ConfigError(f"greedy, by: expected one of {', '.join(_BY)}, got {by!r}")
    rank = worth if by == "value" else worth / (end - begin)
    taken, tasks = _Taken(begin, end + setup_s, resources), _rows(once, begin.size)
    kept: list[int] = []
    used: set[tuple[int, int]] = set()
    for each in np.argsort(-rank, kind="stable")[: np.count_nonzero(worth > 0)].tolist():
        mine = set(enumerate(tasks[each]))
        if used.isdisjoint(mine) and taken.is_free(each):
            taken.take(each)
            used |= mine
            kept.append(each)
    return np.sort(np.array(kept, dtype=np.intp))


def longest_path(
    begin_s: ArrayLike,
    end_s: ArrayLike,
    value: ArrayLike,
    resources: Sequence[Labels],
    *,
    setup_s: float = 0.0,
) -> Index:
    """Contacts of the largest sum of values that can follow each other: weighted interval scheduling.

    Arguments as of `greedy`. For one kind of resource the plan is the best there is, in n log n. For two it
    is a heuristic: satellites (the first kind) are planned one after another, in order of the value of all
    their contacts, each by its own longest path among contacts whose stations the ones before left free.
    Returns the kept positions, ascending. Raises ConfigError for arrays that make no sense.
    """
    begin, end, worth = _columns(begin_s, end_s, value)
    if not resources:
        raise ConfigError("longest path: expected one kind of resource or more, got none")
    first, *others = (np.asarray(each) for each in resources)
    taken = _Taken(begin, end + setup_s, others)
    kept: list[int] = []
    for mine in _by_total(first, worth) if others else [np.arange(begin.size)]:
        free = mine[[taken.is_free(each) for each in mine.tolist()]] if others else mine
        path = free[_path(begin[free], end[free], worth[free], first[free], setup_s)].tolist()
        kept += path
        for each in path:
            taken.take(each)
    return np.sort(np.array(kept, dtype=np.intp))


class _Taken:
    """Who is occupied when, on all kinds of resources, by contacts without conflict."""

    def __init__(self, begin_s: Column, release_s: Column, resources: Sequence[Labels]) -> None:
        self._spans = list(zip(begin_s.tolist(), release_s.tolist(), strict=True))
        self._owners = _rows(resources, begin_s.size)
        self._calendars: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)

    def is_free(self, contact: int) -> bool:
        """Whether the contact conflicts with nothing that is taken."""
        begin_s, release_s = self._spans[contact]
        for owner in enumerate(self._owners[contact]):
            calendar = self._calendars[owner]
            at = bisect_left(calendar, (release_s,))  # what stands before it begins before the release
            if at and calendar[at - 1][1] > begin_s:
                return False
        return True

    def take(self, contact: int) -> None:
        """Only a contact that is free."""
        span = self._spans[contact]
        for owner in enumerate(self._owners[contact]):
            calendar = self._calendars[owner]
            calendar.insert(bisect_left(calendar, span), span)


def _path(begin_s: Column, end_s: Column, value: Column, resource: Index, setup_s: float) -> Index:
    """Positions of a longest path; all resources in one, for after the last of one comes the next's first."""
    chain = following(begin_s, end_s, resource, setup_s=setup_s)
    values, after = value[chain.order].tolist(), chain.following.tolist()
    best = [0.0] * (len(values) + 1)
    for at in range(len(values) - 1, -1, -1):
        best[at] = max(best[at + 1], values[at] + best[after[at]])
    at, path = 0, []
    while at < len(values):
        is_kept = best[at] > best[at + 1]
        if is_kept:
            path.append(at)
        at = after[at] if is_kept else at + 1
    return chain.order[path]


def _by_total(resource: Index, value: Column) -> list[Index]:
    """Positions of each resource's contacts, the resource with the largest sum of positive values first."""
    labels, owner = np.unique(resource, return_inverse=True)
    total = np.bincount(owner, weights=np.maximum(value, 0.0), minlength=labels.size)
    return [np.flatnonzero(owner == each) for each in np.argsort(-total, kind="stable")]


def _columns(begin_s: ArrayLike, end_s: ArrayLike, value: ArrayLike) -> tuple[Column, Column, Column]:
    begin, end, worth = (np.asarray(each, dtype=np.float64) for each in (begin_s, end_s, value))
    if not begin.shape == end.shape == worth.shape == (begin.size,) or not np.isfinite(worth).all():
        raise ConfigError(
            "contacts: expected a beginning, an end and a finite value each, got arrays of shapes "
            f"{begin.shape}, {end.shape} and {worth.shape}"
        )
    if not (begin < end).all():
        raise ConfigError(
            f"contacts: expected an end after its beginning, contact {(begin < end).argmin()} has not"
        )
    return begin, end, worth


def _rows(labels: Sequence[Labels], n: int) -> list[tuple[int, ...]]:
    """For each of n contacts its numbers in all arrays."""
    columns = [np.asarray(each) for each in labels]
    if any(each.shape != (n,) for each in columns):
        raise ConfigError(
            f"contacts: expected {n} labels of each kind, got {[each.shape for each in columns]}"
        )
    return list(zip(*(each.tolist() for each in columns), strict=True)) if columns else [()] * n
