"""Greedy and longest path: their plans keep the rules, and are what they say they are."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.errors import ConfigError
from satqkd.plan.baselines import greedy, longest_path

Row = tuple[int, int, int, int, int]  # begin, end, satellite, station, value
many_rows = st.lists(
    st.tuples(
        st.integers(0, 15), st.integers(1, 6), st.integers(0, 2), st.integers(0, 2), st.integers(-1, 9)
    ).map(lambda row: (row[0], row[0] + row[1], *row[2:])),
    max_size=9,
)
quick = settings(max_examples=300, deadline=None, derandomize=True, database=None)


def columns(rows: list[Row]) -> tuple[Any, ...]:
    table = np.array(rows, dtype=np.int64).reshape(-1, 5)
    return (*(table[:, k].astype(float) for k in (0, 1, 4)), table[:, 2], table[:, 3])


def fits(rows: list[Row], kinds: tuple[int, ...], setup: int) -> bool:
    """No two of the rows are together on one resource of a kind (its column), setup included."""
    return not any(
        later[0] < earlier[1] + setup and any(earlier[kind] == later[kind] for kind in kinds)
        for earlier, later in (sorted(pair) for pair in combinations(rows, 2))
    )


def best(rows: list[Row], kinds: tuple[int, ...], setup: int) -> int:
    """Largest sum of values that fits, by trying all."""
    return max(
        sum(row[4] for row in some)
        for size in range(len(rows) + 1)
        for some in combinations(rows, size)
        if fits(list(some), kinds, setup)
    )


@quick
@given(many_rows, st.integers(0, 3))
def test_the_longest_path_is_the_best_plan_of_satellites(rows: list[Row], setup: int) -> None:
    begin, end, value, satellite, _ = columns(rows)
    kept = longest_path(begin, end, value, [satellite], setup_s=setup)
    assert fits([rows[each] for each in kept], (2,), setup)
    assert value[kept].sum() == best(rows, (2,), setup)


@quick
@given(many_rows, st.integers(0, 3))
def test_with_stations_it_keeps_all_rules_and_is_at_most_the_best(rows: list[Row], setup: int) -> None:
    begin, end, value, satellite, station = columns(rows)
    kept = longest_path(begin, end, value, [satellite, station], setup_s=setup)
    assert fits([rows[each] for each in kept], (2, 3), setup)
    assert value[kept].sum() <= best(rows, (2, 3), setup)
    alone = longest_path(begin, end, value, [satellite, np.arange(len(rows))], setup_s=setup)
    assert value[alone].sum() == best(rows, (2,), setup)


def test_the_satellite_with_most_to_gain_is_planned_first() -> None:
    """Satellite 1 has 9 + 9 at two stations; satellite 0 would take the first station for 10."""
    rows = [(0, 5, 0, 0, 10), (0, 5, 1, 0, 9), (6, 9, 1, 1, 9)]
    begin, end, value, satellite, station = columns(rows)
    assert longest_path(begin, end, value, [satellite, station]).tolist() == [1, 2]


@quick
@given(many_rows, st.integers(0, 3), st.sampled_from(["value", "value per second"]))
def test_greedy_leaves_out_only_what_a_better_one_forbids(rows: list[Row], setup: int, by: Any) -> None:
    begin, end, value, satellite, station = columns(rows)
    kept = greedy(begin, end, value, [satellite, station], setup_s=setup, by=by).tolist()
    chosen = [rows[each] for each in kept]
    assert fits(chosen, (2, 3), setup)
    rank = value if by == "value" else value / (end - begin)
    for each in set(range(len(rows))) - set(kept):
        better = [rows[k] for k in kept if (rank[k], -k) > (rank[each], -each)]
        assert value[each] <= 0 or not fits([*better, rows[each]], (2, 3), setup)


def test_value_and_value_per_second_choose_differently() -> None:
    begin, end, value, at = [0.0, 0.0, 2.0], [9.0, 1.0, 3.0], [10.0, 6.0, 3.0], [0, 0, 0]
    assert greedy(begin, end, value, [at]).tolist() == [0]
    assert greedy(begin, end, value, [at], by="value per second").tolist() == [1, 2]


def test_what_may_be_kept_once_is_kept_once() -> None:
    begin, end, value, at = [0.0, 2.0, 4.0], [1.0, 3.0, 5.0], [1.0, 3.0, 2.0], [0, 0, 0]
    assert greedy(begin, end, value, [at], once=[[7, 7, 8]]).tolist() == [1, 2]


def test_misuse_is_told() -> None:
    with pytest.raises(ConfigError, match="value per second"):
        greedy([0.0], [1.0], [1.0], [[0]], by="size")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="one kind"):
        longest_path([0.0], [1.0], [1.0], [])
    with pytest.raises(ConfigError, match="finite value"):
        greedy([0.0], [1.0], [np.nan], [[0]])
    with pytest.raises(ConfigError, match="labels"):
        greedy([0.0], [1.0], [1.0], [[0, 1]])
    with pytest.raises(ConfigError, match="end after its beginning"):
        longest_path([0.0, 3.0], [1.0, 2.0], [1.0, 1.0], [[0, 0]])
