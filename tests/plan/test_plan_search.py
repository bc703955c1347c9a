"""Searching a program: honest bounds and the best values, whichever way they were found."""

from itertools import product
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.plan.builder import ProblemBuilder
from satqkd.plan.search import Search, blurred, hold_whole, relaxed
from satqkd.plan.solver import Problem, solve
from satqkd.randomness import stream

quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def shared_stores(seed: int, choices: int = 10, stores: int = 3) -> Problem:
    """Which of some lots to take, of which some exclude each other, so that the emptiest store has most."""
    rng, build = np.random.default_rng(seed), ProblemBuilder()
    lots = build.add_columns(np.zeros(choices), upper=1.0, integer=True)
    least = build.add_columns(1.0)
    build.add_rows(lots, 1.0, np.arange(choices) // 3, upper=1.0)
    brings = rng.uniform(0, 9, (stores, choices)) * (rng.random((stores, choices)) < 0.6)
    rows = np.arange(stores)[:, None]
    build.add_rows(
        np.concatenate([np.broadcast_to(lots, brings.shape), np.full((stores, 1), least)], axis=1),
        np.concatenate([-brings, np.ones((stores, 1))], axis=1),
        np.broadcast_to(rows, (stores, choices + 1)),
        upper=np.zeros(stores),
    )
    return build.build()


def optimum(problem: Problem) -> float:
    """By trying all."""
    rows, choices = problem.rows.toarray(), problem.gain.size - 1
    tried = np.array(list(product((0.0, 1.0), repeat=choices)))
    weights = tried @ rows[:, :-1].T
    exclusive = rows[:, -1] == 0
    allowed = (weights[:, exclusive] <= 1 + 1e-9).all(axis=1)
    return float(-weights[allowed][:, ~exclusive].max(axis=1).min())


@quick
@given(st.integers(0, 10**6), st.sampled_from([0, 1, 10**6]))
def test_the_best_is_found_and_the_bound_holds_however_few_nodes_are_looked_at(seed: int, nodes: int) -> None:
    problem = shared_stores(seed)
    with (
        mock.patch("satqkd.plan.search._NODES_FIRST", nodes),
        mock.patch("satqkd.plan.search._NODES_NEAR", nodes),
    ):
        found = Search(gap=1e-6).thorough(problem, np.zeros_like(problem.gain))
    best = optimum(problem)
    assert found.objective == pytest.approx(best, abs=1e-5) and found.status == "optimal"
    assert found.bound >= best - 1e-6
    assert found.values is not None and (problem.rows @ found.values <= problem.row_upper + 1e-6).all()


@quick
@given(st.integers(0, 10**6))
def test_a_neighbourhood_never_gives_its_own_bound_for_that_of_the_whole(seed: int) -> None:
    """The whole is not looked at again: what stands was found near a poor start."""
    problem = shared_stores(seed)
    start = solve(problem, most_nodes=0, start=np.zeros_like(problem.gain))
    assert start.values is not None
    found = Search()._near(problem, start, 0, np.inf)
    assert start.objective - 1e-9 <= found.objective <= optimum(problem) + 1e-5 <= found.bound + 2e-5
    assert found.bound == start.bound


def hard() -> Problem:
    """Of which the solver proves nothing in few nodes."""
    return shared_stores(3, choices=300, stores=25)


def test_neighbourhoods_find_what_few_nodes_of_the_whole_do_not() -> None:
    problem = hard()
    first = solve(problem, most_nodes=0, effort=0.0, start=np.zeros_like(problem.gain))
    near = Search(gap=1e-3)._near(problem, first, 0, np.inf)
    assert near.objective > 1.02 * first.objective
    assert near.values is not None and (problem.rows @ near.values <= problem.row_upper + 1e-6).all()


def test_without_a_time_limit_an_answer_is_the_same_again() -> None:
    problem = hard()
    first, again = (Search(gap=0.03).thorough(problem, np.zeros_like(problem.gain)) for _ in range(2))
    assert first.values is not None and again.values is not None
    assert (first.values == again.values).all() and first.bound == again.bound
    assert first.status == "optimal" and first.gap <= 0.03


@pytest.mark.parametrize(("nodes", "rounds"), [(0, 0), (1, 5), (10**6, 0)])
def test_when_time_runs_out_what_was_found_stands_with_its_bound(
    nodes: int, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("satqkd.plan.search._NODES_FIRST", nodes)
    monkeypatch.setattr("satqkd.plan.search._ROUNDS", rounds)
    problem = hard()
    found = Search(gap=0.0, time_limit_s=0.7).thorough(problem, np.zeros_like(problem.gain))
    assert found.status == "feasible" and 0 <= found.objective < found.bound < np.inf


def test_a_target_ends_a_search() -> None:
    problem = hard()
    free = solve(problem, relative_gap=0.01, most_nodes=3)
    soon = solve(problem, relative_gap=0.0, target=0.8 * free.objective)
    assert 0.8 * free.objective <= soon.objective and soon.status == "feasible"


def test_columns_are_held_where_all_that_is_known_agrees() -> None:
    problem = shared_stores(1)
    least, most = np.zeros(10), np.ones(10)
    least[3], most[5] = 1.0, 0.0
    least[7] = most[7] = 0.5
    held = hold_whole(problem, least, most)
    assert held.lower[:10].tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert held.upper[:10].tolist() == [1, 1, 1, 1, 1, 0, 1, 1, 1, 1]
    assert held.upper[10] == problem.upper[10]


def test_blurring_changes_what_columns_bring_and_nothing_else() -> None:
    problem = shared_stores(1)
    other = blurred(problem, stream(1, "blur"))
    before, after = problem.rows.toarray(), other.rows.toarray()
    brings = before < 0
    assert (after[~brings] == before[~brings]).all() and not other.integer.any()
    row, column = np.nonzero(brings)
    factor = after[row, column] / before[row, column]
    by_column = [factor[column == each] for each in np.unique(column)]
    assert all(each == pytest.approx(each[0]) for each in by_column)
    assert np.std([np.log(each[0]) for each in by_column]) == pytest.approx(0.3, rel=0.6)
    assert (relaxed(problem).rows != problem.rows).nnz == 0
