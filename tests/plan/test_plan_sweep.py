"""Plans of many passes: rounded and swept ones break no rule, and lie between what is easy and the best."""

from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import network
from test_plan_schedule import brute_force, made_up, made_up_network, small_problems, two

from plan_checker import faults
from satqkd.plan.planner import make_plan
from satqkd.plan.program import Program
from satqkd.plan.schedule import choose, serve, upper_bound
from satqkd.plan.search import Search, relaxed
from satqkd.plan.solver import solve
from satqkd.plan.sweep import rounded, swept

MBIT = 1e6
quick = settings(max_examples=30, deadline=None)
PAIRS = [two("beijing", "stellenbosch"), two("stellenbosch", "graz", weight=2.0)]


def crowd(satellites: int, passes: int, seed: int, hours: float = 8.0) -> tuple[Any, Any, Any]:
    """Satellites that crowd over few stations: the relaxation flies most passes in part."""
    rng = np.random.default_rng(seed)
    found = made_up_network(
        [two("beijing", "stellenbosch"), two("stellenbosch", "graz"), two("graz", "nanshan")], satellites
    )
    begin = rng.uniform(0, hours * 3600, passes)
    rows = list(
        zip(
            rng.integers(0, satellites, passes).tolist(),
            rng.integers(0, 4, passes).tolist(),
            begin.tolist(),
            (begin + rng.uniform(200, 500, passes)).tolist(),
            strict=True,
        )
    )
    return found, made_up(rows), rng.uniform(0.1, 1.0, passes) * MBIT


@quick
@given(problem=small_problems(), at_once=st.integers(1, 4), few=st.sampled_from([-1, 1000]))
def test_windows_of_any_size_give_a_plan_between_none_and_the_best(
    problem: tuple[list[tuple[int, int, float, float]], list[float]], at_once: int, few: int
) -> None:
    rows, value = problem
    found, passes = made_up_network(PAIRS), made_up(rows)
    with (
        mock.patch("satqkd.plan.sweep._PASSES_AT_ONCE", at_once),
        mock.patch("satqkd.plan.schedule._FEW_OPEN", few),
    ):
        choice = choose(found, passes, np.array(value), Search(gap=1e-9), large=True)
    best = brute_force(found, passes, value)
    assert choice.objective <= best + 10 <= choice.bound + 20
    again = serve(found, passes, np.array(value), choice.flown)  # refuses passes that exclude each other
    assert again.objective == pytest.approx(choice.objective, abs=20)


@quick
@given(problem=small_problems())
def test_one_window_that_holds_all_gives_the_best(
    problem: tuple[list[tuple[int, int, float, float]], list[float]],
) -> None:
    """Of one pair: of more, the sum in a window may prefer others to the worst."""
    rows, value = problem
    found, passes = made_up_network(PAIRS[:1]), made_up(rows)
    with mock.patch("satqkd.plan.schedule._FEW_OPEN", -1), mock.patch("satqkd.plan.sweep._NODES", 10**6):
        choice = choose(found, passes, np.array(value), Search(gap=1e-9), large=True)
    assert choice.objective == pytest.approx(brute_force(found, passes, value), rel=2e-3, abs=20)


def test_sweeping_betters_the_rounded_plan_and_its_bound_stays_that_of_the_whole() -> None:
    found, passes, value = crowd(20, 400, 2, hours=4.0)
    program = Program(found, passes, value)
    problem = program.problem(worst=1.0)
    whole = solve(relaxed(problem))
    assert whole.values is not None
    start = rounded(program, problem, whole.values[program.fly])
    assert start is not None and start.values is not None
    with mock.patch("satqkd.plan.sweep._PASSES_AT_ONCE", 80):
        plan = swept(
            program,
            problem,
            mock.Mock(values=start.values, bound=whole.objective),
            Search(gap=1e-4),
            by_worst=True,
        )
    assert plan.values is not None and plan.bound == whole.objective
    assert plan.objective > 1.03 * start.objective
    assert plan.objective == pytest.approx(plan.values[program.worst])
    assert (problem.rows @ plan.values <= problem.row_upper + 1e-6).all()
    exact = choose(found, passes, value, Search(gap=0.02))
    assert 0.97 * exact.objective / MBIT < plan.objective <= exact.bound / MBIT + 1e-6


def from_small(
    passes: list[tuple[int, int, float, float]], mbit: list[float], flown: list[int], bound: float
) -> float:
    """The worst of two pairs, after sweeping with two passes at a time from some that are flown."""
    found = made_up_network([two("beijing", "stellenbosch"), two("graz", "nanshan")], 1)
    program = Program(found, made_up(passes), np.array(mbit) * MBIT)
    problem = program.problem(worst=1.0)
    start = np.zeros_like(problem.gain)
    start[program.fly[flown]] = 1.0
    with mock.patch("satqkd.plan.sweep._PASSES_AT_ONCE", 2):
        given = mock.Mock(values=start, bound=bound)
        return swept(program, problem, given, Search(gap=1e-6), by_worst=True).objective


def test_a_window_that_helps_one_pair_alone_is_a_step() -> None:
    """Each pair has its better pass in another window: neither moves the worst by itself."""
    passes = [(0, 0, 0, 100), (0, 0, 50, 150), (0, 2, 1000, 1100), (0, 2, 1050, 1150), (0, 1, 5000, 5100)]
    mbit = [1.0, 5.0, 1.0, 5.0, 9.0]
    passes, mbit = [*passes, (0, 3, 6000, 6100)], [*mbit, 9.0]
    assert from_small(passes, mbit, [0, 2, 4, 5], 9.0) == pytest.approx(5.0)


def test_a_window_never_takes_from_the_worst_pair_what_others_would_make_more_of() -> None:
    """The one pass of the worst pair lies across three of the other's."""
    passes = [(0, 0, 0, 100), (0, 2, 50, 150), (0, 1, 1000, 1100), (0, 3, 2000, 2100), (0, 2, 3000, 3100)]
    assert from_small(passes, [1.0, 8.0, 1.0, 9.0, 1.0], [0, 2, 3, 4], 9.0) == pytest.approx(1.0)


def test_a_start_that_leans_on_the_solvers_tolerance_is_no_error() -> None:
    """Its worst pair has a millionth of a megabit more than its passes give."""
    found = made_up_network([two("beijing", "stellenbosch")], 1)
    program = Program(found, made_up([(0, 0, 0, 100), (0, 1, 1000, 1100)]), np.array([1.0, 1.0]) * MBIT)
    problem = program.problem(worst=1.0)
    start = np.zeros_like(problem.gain)
    start[program.fly], start[program.worst] = 1.0, 1.0 + 2e-6
    plan = swept(program, problem, mock.Mock(values=start, bound=5.0), Search(gap=1e-6), by_worst=True)
    assert plan.objective == pytest.approx(1.0)


def test_rounding_follows_the_relaxation_and_flies_what_must_be() -> None:
    found = made_up_network([two("beijing", "stellenbosch")], 1)
    passes = made_up([(0, 0, 0, 100), (0, 0, 50, 150), (0, 1, 1000, 1100), (0, 1, 1050, 1150)])
    program = Program(found, passes, np.array([2.0, 2.0, 2.0, 2.0]) * MBIT)
    problem = program.problem(worst=1.0)
    plan = rounded(program, problem, np.array([0.4, 0.6, 0.9, 0.1]))
    assert plan is not None and program.flown(plan).tolist() == [False, True, True, False]
    held = program.problem(worst=1.0, flown=np.array([True, False, False, True]))
    plan = rounded(program, held, np.array([0.4, 0.6, 0.9, 0.1]))
    assert plan is not None and program.flown(plan).tolist() == [True, False, False, True]
    assert rounded(program, program.problem(worst=1.0, least_worst=3.0), np.ones(4)) is None


def test_rounding_heeds_the_time_of_sending_in_a_revolution() -> None:
    found = made_up_network(
        [two("beijing", "stellenbosch")], 1, service={"contact_per_revolution_s": 250.0, "setup_s": 0.0}
    )
    passes = made_up([(0, 0, 0, 100), (0, 1, 200, 300), (0, 0, 400, 500)])
    program = Program(found, passes, np.array([1.0, 3.0, 2.0]) * MBIT)
    plan = rounded(program, program.problem(worst=1.0), np.ones(3))
    assert plan is not None and program.flown(plan).tolist() == [False, True, True]


def test_in_rounding_each_satellite_has_its_own_time() -> None:
    service = {"contact_per_revolution_s": 250.0, "setup_s": 0.0}
    found = made_up_network([two("beijing", "stellenbosch")], 2, service=service)
    passes = made_up([(0, 0, 0, 100), (0, 1, 200, 300), (1, 0, 400, 500), (1, 1, 600, 700)])
    program = Program(found, passes, np.full(4, MBIT))
    plan = rounded(program, program.problem(worst=1.0), np.ones(4))
    assert plan is not None and program.flown(plan).all()


def test_the_bound_of_a_large_plan_is_that_of_the_whole_relaxation() -> None:
    found, passes, value = crowd(6, 80, 1, hours=1.0)
    with mock.patch("satqkd.plan.schedule._FEW_OPEN", -1):
        choice = choose(found, passes, value, Search(gap=1e-3), large=True)
    assert choice.bound == pytest.approx(upper_bound(found, passes, value), rel=1e-6)
    assert choice.objective < choice.bound


@pytest.mark.parametrize("objective", ["max-min", "total", "priority", "demand"])
def test_a_large_plan_of_any_objective_breaks_no_rule(
    objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("satqkd.plan.planner.MOST_AT_ONCE", 0)
    monkeypatch.setattr("satqkd.plan.sweep._PASSES_AT_ONCE", 7)
    monkeypatch.setattr("satqkd.plan.schedule._FEW_OPEN", 2)
    more = {"demand_bits": 1e6} if objective == "demand" else {"priority": 2.0}
    found = network(
        duration_days=4,
        objective=objective,
        satellite=[
            {"preset": "jinan-1", "name": "s", "pattern": "sun-synchronous", "altitude_km": 500, "count": 3}
        ],
        station=[{"presets": ["beijing", "stellenbosch", "graz"]}],
        pair=[two("beijing", "stellenbosch", **more), two("graz", "stellenbosch", **more)],
        service={"store_bits": 2e6, "key_life_days": 2},
    )
    plan = make_plan(found)
    assert plan.contacts and faults(found, plan) == []
    monkeypatch.undo()
    exact = make_plan(found, search=Search(gap=1e-4))
    assert 0.9 * exact.objective <= plan.objective <= exact.bound * (1 + 1e-6) + 1
    assert plan.bound >= exact.objective * (1 - 1e-6)
