"""The solver's door: right values, honest bounds and statuses, silence, the same answer again."""

import subprocess
import sys
import time
from itertools import product
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import csc_array, csr_array

from satqkd.errors import ConfigError
from satqkd.plan.builder import ProblemBuilder
from satqkd.plan.solver import Problem, solve

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)
small = st.integers(-4, 4)


def knapsack(n: int = 3000, m: int = 60) -> Problem:
    """Many rows of random weights: no plan is proved in seconds."""
    rng, build = np.random.default_rng(0), ProblemBuilder()
    columns = build.add_columns(rng.random(n), upper=1.0, integer=True)
    build.add_rows(columns, rng.random((m, n)), np.arange(m)[:, None], upper=np.full(m, 50.0))
    return build.build()


@quick
@given(st.lists(small, min_size=4, max_size=4), st.lists(small, min_size=12, max_size=12), st.data())
def test_the_best_whole_numbers_are_those_of_trying_all(gain: Any, entries: Any, data: Any) -> None:
    matrix, gains = np.array(entries, float).reshape(3, 4), np.array(gain, float)
    lower, upper = np.array(data.draw(st.lists(small, min_size=3, max_size=3))) - 3.0, np.full(3, 3.0)
    found = solve(
        Problem(
            gain=gains,
            lower=np.full(4, -1.0),
            upper=np.full(4, 2.0),
            integer=np.full(4, True),
            rows=csr_array(matrix),
            row_lower=lower,
            row_upper=upper,
        )
    )
    tried = np.array(list(product(range(-1, 3), repeat=4)), float)
    sums = tried @ matrix.T
    good = tried[((sums >= lower) & (sums <= upper)).all(axis=1)]
    if not good.size:
        assert found.status == "infeasible" and found.values is None
        return
    assert found.status == "optimal" and found.values is not None
    assert found.objective == pytest.approx((good @ gains).max(), abs=1e-6)
    assert found.bound == pytest.approx(found.objective, abs=1e-5)
    assert (np.abs(good - found.values) < 1e-5).all(axis=1).any()


def test_a_linear_problem_needs_no_whole_numbers() -> None:
    """max 3x + 2y with x + y <= 3.5, x + 3y <= 6.5 and x <= 3: the corner is x = 3, y = 0.5."""
    build = ProblemBuilder()
    columns = build.add_columns([3.0, 2.0], upper=[3.0, np.inf])
    build.add_rows(np.tile(columns, 2), [1, 1, 1, 3], [0, 0, 1, 1], upper=[3.5, 6.5])
    found = solve(build.build())
    assert found.values == pytest.approx([3.0, 0.5]) and found.objective == pytest.approx(10.0)
    assert (found.bound, found.gap, found.status) == (found.objective, 0.0, "optimal")


@quick
@given(st.integers(0, 10**6), st.sampled_from([0, 10**9]))
def test_a_linear_problem_is_solved_alike_by_either_method(seed: int, large: int) -> None:
    """Against HiGHS as scipy builds it, values of whom satisfy all rows, prices that add up to the bound."""
    rng = np.random.default_rng(seed)
    matrix, upper, gain = rng.integers(0, 5, (6, 9)) * 1.0, rng.uniform(1, 9, 6), rng.normal(size=9)
    build = ProblemBuilder()
    columns = build.add_columns(gain, upper=4.0)
    build.add_rows(columns, matrix, np.arange(6)[:, None], upper=upper)
    with mock.patch("satqkd.plan.solver._LARGE", large):
        found = solve(build.build())
    known = linprog(-gain, matrix, upper, bounds=(0, 4))
    assert found.status == "optimal" and found.values is not None and found.row_prices is not None
    assert found.objective == pytest.approx(-known.fun, abs=1e-6)
    assert (matrix @ found.values <= upper + 1e-6).all()
    reduced = gain - found.row_prices @ matrix
    assert found.row_prices @ upper + 4 * np.maximum(reduced, 0).sum() == pytest.approx(-known.fun, abs=1e-5)


@pytest.mark.parametrize("large", [0, 10**9])
def test_a_linear_problem_ends_in_words_by_either_method(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("satqkd.plan.solver._LARGE", large)
    build = ProblemBuilder()
    x = build.add_columns([1.0, 1.0])
    build.add_rows(x, [1.0, -1.0], 0, lower=1.0, upper=1.0)
    assert solve(build.build()).status == "unbounded"
    build.add_rows(x, [1.0, -1.0], 0, lower=2.0, upper=2.0)
    assert solve(build.build()).status == "infeasible"


def test_every_way_to_end_has_its_word() -> None:
    build = ProblemBuilder()
    x = build.add_columns([1.0, 1.0], integer=True)
    row = (x, [1.0, -1.0], 0)
    build.add_rows(*row, lower=1.0, upper=1.0)
    assert solve(build.build()).status == "unbounded"
    build.add_rows(*row, lower=2.0, upper=2.0)
    assert solve(build.build()).status == "infeasible"
    crossed = ProblemBuilder()
    crossed.add_columns([1.0], lower=2.0, upper=1.0)
    assert solve(crossed.build()).status == "infeasible"
    nothing = solve(ProblemBuilder().build())
    assert (nothing.status, nothing.objective, nothing.bound) == ("optimal", 0.0, 0.0)


def test_when_time_runs_out_a_plan_stands_with_its_bound_or_none() -> None:
    problem = knapsack()
    nothing = solve(problem, time_limit_s=1e-9)
    assert (nothing.status, nothing.values, nothing.gap) == ("none", None, np.inf)
    began = time.perf_counter()
    some = solve(problem, time_limit_s=0.4)
    assert time.perf_counter() - began < 5
    assert some.status == "feasible" and some.values is not None
    assert (problem.rows @ some.values <= problem.row_upper + 1e-6).all()
    assert some.bound > some.objective > 0 and some.gap > 1e-6


def test_a_start_is_a_plan_from_the_first_moment() -> None:
    problem = knapsack()
    start = np.zeros(problem.gain.size)
    start[:40] = 1.0
    found = solve(problem, time_limit_s=1e-9, start=start)
    assert found.status == "feasible" and found.objective >= problem.gain[:40].sum() - 1e-9


def test_a_wider_gap_ends_the_search_earlier_and_is_told() -> None:
    found = solve(knapsack(200, 5), relative_gap=0.2)
    assert found.status == "optimal" and 0 < found.gap <= 0.2


def test_the_same_problem_gives_the_same_values_whatever_ran_before() -> None:
    problem = knapsack(60, 5)
    first = solve(problem)
    assert solve(problem, threads=2).objective == pytest.approx(first.objective, rel=1e-5)
    again = solve(problem)
    assert first.values is not None and again.values is not None
    assert (first.values == again.values).all() and first.bound == again.bound


def test_nothing_is_printed() -> None:
    """In a process of its own: HiGHS greets once a process, below Python's streams."""
    script = (
        "from satqkd.plan.builder import ProblemBuilder; from satqkd.plan.solver import solve\n"
        "build = ProblemBuilder(); build.add_columns([1.0], upper=1.5, integer=True)\n"
        "assert solve(build.build()).objective == 1.0"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert (ended.stdout, ended.stderr) == (b"", b"")


def test_blocks_stand_where_their_indices_say() -> None:
    build = ProblemBuilder()
    a = build.add_columns([[1.0, 2.0], [3.0, 4.0]], upper=5.0)
    b = build.add_columns(np.full(2, 7.0), lower=[-1.0, -2.0], integer=[True, False])
    assert a.tolist() == [[0, 1], [2, 3]] and b.tolist() == [4, 5]
    first = build.add_rows(a, 1.0, [[0], [1]], upper=[8.0, 9.0])
    second = build.add_rows([b[0], b[1], b[1]], [1.0, 2.0, 3.0], [1, 0, 0], lower=4.0)
    empty = build.add_rows([], [], [], lower=np.zeros(1))
    problem = build.build()
    assert (first.tolist(), second.tolist(), empty.tolist()) == ([0, 1], [2, 3], [4])
    assert problem.rows.toarray().tolist() == [
        [1, 1, 0, 0, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 5],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    assert problem.row_lower.tolist() == [-np.inf, -np.inf, 4, 4, 0]
    assert problem.row_upper.tolist() == [8, 9, np.inf, np.inf, np.inf]
    assert problem.gain.tolist() == [1, 2, 3, 4, 7, 7] and problem.integer.tolist() == [False] * 4 + [
        True,
        False,
    ]
    assert problem.lower.tolist() == [0] * 4 + [-1, -2] and problem.upper.tolist() == [5] * 4 + [np.inf] * 2


def test_a_hundred_thousand_coefficients_are_put_together_in_a_moment() -> None:
    began, build = time.process_time(), ProblemBuilder()
    columns = build.add_columns(np.ones(100_000), upper=1.0)
    rows = build.add_rows(columns, 1.0, np.arange(100_000) // 4, upper=np.ones(25_000))
    assert build.build().rows.nnz == 100_000 and rows.size == 25_000
    assert time.process_time() - began < 0.5


def test_coefficients_that_stand_twice_in_a_matrix_are_added_up() -> None:
    rows = csc_array((np.array([1.0, 1.0]), np.array([0, 0]), np.array([0, 2])), shape=(1, 1))
    one, none = np.ones(1), np.zeros(1)
    found = solve(
        Problem(
            gain=one, lower=none, upper=9 * one, integer=one > 2, rows=rows, row_lower=none, row_upper=4 * one
        )
    )
    assert found.objective == pytest.approx(2.0)
    assert rows.nnz == 2  # what was given is left as it was


def test_misuse_is_told_with_its_place() -> None:
    build = ProblemBuilder()
    columns = build.add_columns([1.0, 2.0], upper=1.0)
    with pytest.raises(ConfigError, match="columns below 2"):
        build.add_rows([2], [1.0], [0], upper=1.0)
    with pytest.raises(ConfigError, match="rows below 1"):
        build.add_rows(columns, 1.0, [0, 1], upper=[1.0])
    problem = build.build()
    with pytest.raises(ConfigError, match="start"):
        solve(problem, start=np.zeros(3))
    with pytest.raises(ConfigError, match="time_limit_s"):
        solve(problem, time_limit_s=0.0)
    with pytest.raises(ConfigError, match="relative_gap"):
        solve(problem, relative_gap=np.nan)
    with pytest.raises(ConfigError, match="lower: expected 2"):
        Problem(
            gain=problem.gain,
            lower=np.zeros(3),
            upper=problem.upper,
            integer=problem.integer,
            rows=problem.rows,
            row_lower=problem.row_lower,
            row_upper=problem.row_upper,
        )
    bad = ProblemBuilder()
    bad.add_columns([np.inf])
    with pytest.raises(ConfigError, match="finite"):
        bad.build()
