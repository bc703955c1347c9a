"""Conflicts of intervals against their definition, pair by pair."""

import time
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.errors import ConfigError
from satqkd.plan.intervals import cliques, conflict_free, following

Row = tuple[int, int, int]  # begin, end, resource
many_rows = st.lists(
    st.tuples(st.integers(0, 12), st.integers(1, 6), st.integers(0, 2)).map(
        lambda row: (row[0], row[0] + row[1], row[2])
    ),
    max_size=9,
)
quick = settings(max_examples=300, deadline=None, derandomize=True, database=None)


def columns(rows: list[Row]) -> tuple[Any, Any, Any]:
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return table[:, 0].astype(float), table[:, 1].astype(float), table[:, 2]


def conflict(one: Row, other: Row, setup: int) -> bool:
    earlier, later = sorted((one, other))
    return one[2] == other[2] and later[0] < earlier[1] + setup


def maximal_cliques(rows: list[Row], setup: int) -> set[frozenset[int]]:
    """All sets whose members all conflict and to which nobody can be added, by trying all."""
    everyone = range(len(rows))
    good = [
        frozenset(some)
        for size in range(1, len(rows) + 1)
        for some in combinations(everyone, size)
        if all(conflict(rows[i], rows[j], setup) for i, j in combinations(some, 2))
    ]
    known = set(good)
    return {some for some in good if not any(some | {i} in known for i in everyone if i not in some)}


@quick
@given(many_rows, st.integers(0, 3))
def test_rows_are_just_the_maximal_cliques_each_once(rows: list[Row], setup: int) -> None:
    found = cliques(*columns(rows), setup_s=setup)
    sets = [frozenset(found.interval[found.row == row].tolist()) for row in range(found.n_rows)]
    assert len(set(sets)) == found.n_rows
    assert set(sets) == maximal_cliques(rows, setup)
    assert len(set(zip(found.row.tolist(), found.interval.tolist(), strict=True))) == found.row.size
    assert (np.diff(found.interval) >= 0).all()


@quick
@given(many_rows, st.integers(0, 3))
def test_intervals_are_free_of_conflict_where_no_pair_conflicts(rows: list[Row], setup: int) -> None:
    expected = not any(conflict(one, other, setup) for one, other in combinations(rows, 2))
    assert conflict_free(*columns(rows), setup_s=setup) is expected


@quick
@given(many_rows, st.integers(0, 3))
def test_who_follows_is_the_first_without_conflict(rows: list[Row], setup: int) -> None:
    chain = following(*columns(rows), setup_s=setup)
    ordered = [rows[place] for place in chain.order.tolist()]
    assert sorted(chain.order.tolist()) == list(range(len(rows)))
    assert [(row[2], row[0]) for row in ordered] == sorted((row[2], row[0]) for row in rows)
    for place, row in enumerate(ordered):
        free = [
            after
            for after in range(place + 1, len(rows))
            if ordered[after][2] != row[2] or not conflict(row, ordered[after], setup)
        ]
        assert chain.following[place] == (free[0] if free else len(rows))


def test_a_contact_may_begin_just_when_the_setup_is_over() -> None:
    assert conflict_free([0.0, 70.0], [10.0, 80.0], [1, 1], setup_s=60.0)
    assert not conflict_free([0.0, 69.9], [10.0, 80.0], [1, 1], setup_s=60.0)
    assert conflict_free([0.0, 69.9], [10.0, 80.0], [1, 2], setup_s=60.0)
    assert cliques([0.0, 70.0], [10.0, 80.0], [1, 1], setup_s=60.0).n_rows == 2
    assert cliques([0.0, 69.9], [10.0, 80.0], [1, 1], setup_s=60.0).n_rows == 1


def test_a_hundred_thousand_intervals_take_well_under_a_second() -> None:
    rng = np.random.default_rng(1)
    begin = rng.uniform(0, 30 * 86_400, 100_000)
    end, resource = begin + rng.uniform(100, 600, begin.size), rng.integers(0, 100, begin.size)
    began = time.process_time()
    found = cliques(begin, end, resource, setup_s=60.0)
    assert time.process_time() - began < 1.0  # a tenth of it on one core
    assert np.unique(found.interval).size == begin.size


@pytest.mark.parametrize(
    ("rows", "setup_s", "part"),
    [
        ([(0, 5, 0), (7, 7, 0)], 0.0, "interval 1"),
        ([(0, 5, 0)], -1.0, "setup_s"),
        ([(0, np.inf, 0)], 0.0, "interval 0"),
        ([(np.nan, 1, 0)], 0.0, "interval 0"),
    ],
)
def test_what_is_no_interval_is_named(rows: list[Any], setup_s: float, part: str) -> None:
    table = np.array(rows, dtype=float)
    for function in (cliques, following, conflict_free):
        with pytest.raises(ConfigError, match=part):
            function(*table.T, setup_s=setup_s)
    with pytest.raises(ConfigError, match="shapes"):
        cliques([0.0, 1.0], [2.0], [0, 0])
