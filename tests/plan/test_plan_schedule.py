"""Schedules: no rule is broken, the optimum is the optimum, and pairs get what links can give."""

from itertools import combinations
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import network
from scipy.optimize import linprog

from plan_checker import faults
from satqkd.errors import ConfigError
from satqkd.plan.network import Network
from satqkd.plan.opportunities import Opportunities
from satqkd.plan.planner import baseline, make_plan
from satqkd.plan.program import shared_key
from satqkd.plan.schedule import choose, serve, upper_bound
from satqkd.plan.search import Search

STATIONS = ["beijing", "stellenbosch", "graz", "nanshan"]
MBIT = 1e6


def made_up(rows: list[tuple[int, int, float, float]]) -> Opportunities:
    """Passes given by satellite, station, begin and end in seconds."""
    satellite, station, begin, end = (np.array(column) for column in zip(*rows, strict=True))
    zeros = np.zeros(len(rows))
    return Opportunities(
        satellite=satellite.astype(np.int32),
        station=station.astype(np.int32),
        start_s=begin.astype(float),
        culmination_s=(begin + end) / 2,
        end_s=end.astype(float),
        max_elevation_rad=zeros,
        min_range_m=zeros,
        sun_elevation_rad=zeros,
        sunlit=zeros.astype(bool),
    )


def made_up_network(pairs: list[dict[str, Any]], satellites: int = 2, **tables: Any) -> Network:
    crafts = [{"preset": "jinan-1", "name": f"s{k}"} for k in range(satellites)]
    return network(satellite=crafts, station=[{"presets": STATIONS}], pair=pairs, **tables)


def two(*ends: str, **more: Any) -> dict[str, Any]:
    return {"ends": list(ends)} | more


def brute_force(found: Network, passes: Opportunities, value: Any) -> float:
    """The best worst pair over all subsets of passes; key by a linear program of another form, one period."""
    best, setup_s = 0.0, found.service.setup_s
    n = len(passes)
    for size in range(n + 1):
        for chosen in combinations(range(n), size):
            if all(not _clash(passes, i, j, setup_s) for i, j in combinations(chosen, 2)):
                best = max(best, _worst(found, passes, value, chosen))
    return best


def _clash(passes: Opportunities, i: int, j: int, setup_s: float) -> bool:
    same = passes.satellite[i] == passes.satellite[j] or passes.station[i] == passes.station[j]
    apart = passes.start_s[i] >= passes.end_s[j] + setup_s or passes.start_s[j] >= passes.end_s[i] + setup_s
    return bool(same and not apart)


def _worst(found: Network, passes: Opportunities, value: Any, chosen: tuple[int, ...]) -> float:
    satellites, pairs = len(found.satellites), len(found.pairs)
    columns = 1 + satellites * pairs  # the worst, then key over each satellite for each pair
    rows, most = [], []
    for s in range(satellites):
        for g in range(len(found.stations)):
            row = np.zeros(columns)
            for p, pair in enumerate(found.pairs):
                row[1 + s * pairs + p] = g in (pair.a, pair.b)
            rows.append(row)
            most.append(sum(value[i] for i in chosen if passes.satellite[i] == s and passes.station[i] == g))
    for p, pair in enumerate(found.pairs):
        row = np.zeros(columns)
        row[0] = pair.wish.weight
        row[1 + p :: pairs] = -1
        rows.append(row)
        most.append(0.0)
    gain = np.zeros(columns)
    gain[0] = -1
    return float(-linprog(gain, A_ub=np.array(rows), b_ub=most).fun)


@st.composite
def small_problems(draw: st.DrawFn) -> tuple[list[tuple[int, int, float, float]], list[float]]:
    n = draw(st.integers(1, 8))
    rows = []
    for _ in range(n):
        begin = float(draw(st.integers(0, 1200)))
        rows.append(
            (draw(st.integers(0, 1)), draw(st.integers(0, 2)), begin, begin + draw(st.integers(60, 400)))
        )
    return rows, [draw(st.integers(1, 9)) * MBIT for _ in range(n)]


@settings(max_examples=40, deadline=None)
@given(problem=small_problems())
def test_the_worst_pair_gets_as_much_as_any_choice_of_passes_can_give_it(
    problem: tuple[list[tuple[int, int, float, float]], list[float]],
) -> None:
    rows, value = problem
    found = made_up_network([two("beijing", "stellenbosch"), two("stellenbosch", "graz", weight=2.0)])
    passes = made_up(rows)
    best = brute_force(found, passes, value)
    choice = choose(found, passes, np.array(value), Search(gap=1e-9))
    assert abs(choice.objective - best) < 10
    assert choice.bound >= best - 10
    assert upper_bound(found, passes, np.array(value)) >= best - 10
    loose = choose(found, passes, np.array(value), Search(gap=0.5))
    assert loose.objective <= best + 10 <= loose.bound + 20
    fixed = choose(found, passes, np.array(value), Search(gap=1e-9), large=True)
    assert fixed.objective <= best + 10 <= fixed.bound + 20


ONE_PAIR = [two("beijing", "stellenbosch")]


def chosen(
    rows: list[tuple[int, int, float, float]], mbit: list[float], pairs: Any = ONE_PAIR, **tables: Any
) -> Any:
    return choose(made_up_network(pairs, **tables), made_up(rows), np.array(mbit) * MBIT, Search(gap=1e-9))


def about(expected: Any) -> Any:
    """The second stage gives a millionth of the worst pair away."""
    return pytest.approx(expected, rel=1e-5)


def test_two_contacts_of_a_terminal_need_the_setup_between() -> None:
    rows = [(0, 0, 0, 100), (0, 1, 159, 260), (1, 0, 1000, 1100), (1, 1, 1160, 1260)]
    choice = chosen(rows, [5, 5, 3, 3])
    assert choice.flown.tolist()[2:] == [True, True]
    assert choice.objective == about(3 * MBIT)
    assert chosen(rows, [5, 5, 3, 3], service={"setup_s": 59}).objective == about(8 * MBIT)


def test_a_station_serves_one_satellite_at_a_time() -> None:
    rows = [(0, 0, 0, 100), (1, 0, 50, 150), (0, 1, 1000, 1100), (1, 1, 2000, 2100)]
    assert chosen(rows, [5, 4, 9, 9]).objective == about(5 * MBIT)


def test_a_station_needs_its_setup_between_two_satellites() -> None:
    rows = [(0, 0, 0, 100), (1, 0, 159, 260), (0, 1, 1000, 1100), (1, 1, 2000, 2100)]
    assert chosen(rows, [5, 4, 9, 9]).objective == about(5 * MBIT)
    assert chosen(rows, [5, 4, 9, 9], service={"setup_s": 59}).objective == about(9 * MBIT)


def test_key_of_a_pair_goes_over_one_satellite_at_both_ends() -> None:
    """Five megabits with one end on one satellite and the other on the other are no key."""
    assert chosen([(0, 0, 0, 100), (1, 1, 1000, 1100)], [5, 5]).objective == 0


def test_link_key_is_shared_between_the_pairs_of_a_station() -> None:
    pairs = [two("beijing", "stellenbosch"), two("beijing", "graz")]
    rows = [(0, 0, 0, 100), (0, 1, 1000, 1100), (0, 2, 2000, 2100)]
    choice = chosen(rows, [6, 9, 9], pairs)
    assert choice.pair_bits == about([3 * MBIT, 3 * MBIT])
    weighted = chosen(rows, [6, 9, 9], [pairs[0] | {"weight": 2.0}, pairs[1]])
    assert weighted.pair_bits == about([4 * MBIT, 2 * MBIT])


def test_after_the_worst_pair_the_total_is_made_large() -> None:
    pairs = [two("beijing", "stellenbosch"), two("graz", "nanshan")]
    rows = [(0, 0, 0, 100), (0, 1, 1000, 1100), (1, 2, 0, 100), (1, 3, 1000, 1100)]
    choice = chosen(rows, [1, 9, 7, 8], pairs)
    assert choice.pair_bits == about([1 * MBIT, 7 * MBIT])


def test_priority_weighs_bits_and_total_does_not() -> None:
    pairs = [two("beijing", "stellenbosch", priority=3.0), two("beijing", "graz")]
    rows = [(0, 0, 0, 100), (0, 1, 1000, 1100), (0, 2, 1000, 1100)]
    assert chosen(rows, [9, 4, 7], pairs, objective="priority").pair_bits == about([4 * MBIT, 0])
    assert chosen(rows, [9, 4, 7], pairs, objective="total").pair_bits == about([0, 7 * MBIT])


def test_a_date_counts_what_is_relayed_before_it() -> None:
    day = 86_400.0
    pairs = [two("beijing", "stellenbosch", demand_bits=4 * MBIT, by_utc="2024-10-05T12:00:00Z")]
    rows = [(0, 0, 100, 200), (0, 1, day + 100, day + 200), (0, 1, 2 * day + 100, 2 * day + 200)]
    tables: dict[str, Any] = {"objective": "demand", "duration_days": 4}
    late = chosen(rows, [9, 1, 9], pairs, **tables)
    assert late.objective == about(1 / 4)
    assert late.pair_bits == about([9 * MBIT])
    assert late.by_date_bits == about([1 * MBIT])
    assert chosen(rows, [9, 8, 9], pairs, **tables).objective == about(1.0)


def test_key_that_is_too_old_is_not_relayed() -> None:
    day = 86_400.0
    rows = [(0, 0, 100, 200), (0, 1, 3 * day + 100, 3 * day + 200)]
    assert chosen(rows, [5, 5], duration_days=5, service={"key_life_days": 4}).objective == about(5 * MBIT)
    assert chosen(rows, [5, 5], duration_days=5, service={"key_life_days": 3.9}).objective == 0


def test_a_store_holds_no_more_than_it_can() -> None:
    day = 86_400.0
    rows = [(0, 0, 100, 200), (0, 0, day + 100, day + 200), (0, 1, 2 * day + 100, 2 * day + 200)]
    limited = {"service": {"store_bits": 6 * MBIT}, "duration_days": 4}
    assert chosen(rows, [5, 5, 20], duration_days=4).objective == about(10 * MBIT)
    assert chosen(rows, [5, 5, 20], **limited).objective == about(6 * MBIT)


def test_a_store_that_fills_by_and_by_holds_no_more_either() -> None:
    """Each contact fits, and so does each relay; what waits for the other end does not."""
    day = 86_400.0
    rows = [(0, station, k * day + 100, k * day + 200) for k, station in enumerate((0, 0, 1, 1))]
    limited = {"service": {"store_bits": 6 * MBIT}, "duration_days": 4}
    assert chosen(rows, [5, 5, 5, 5], duration_days=4).objective == about(10 * MBIT)
    assert chosen(rows, [5, 5, 5, 5], **limited).objective == about(6 * MBIT)


def test_key_comes_in_the_period_in_which_its_pass_ends() -> None:
    """The second pass begins before the date and ends after it."""
    day = 86_400.0
    pairs = [two("beijing", "stellenbosch", demand_bits=4 * MBIT, by_utc="2024-10-04T12:00:00Z")]
    rows = [(0, 0, 100, 200), (0, 1, day - 100, day + 100), (0, 1, day - 3000, day - 2900)]
    late = chosen(rows, [9, 9, 1], pairs, objective="demand", duration_days=2)
    assert late.objective == about(1 / 4)


def test_a_revolution_has_so_much_power() -> None:
    pairs = [two("beijing", "stellenbosch"), two("graz", "nanshan")]
    rows = [(0, k, 300.0 * k, 300.0 * k + 100) for k in range(4)]
    assert chosen(rows, [5, 5, 5, 5], pairs).objective == about(5 * MBIT)
    tables: dict[str, Any] = {"objective": "total", "service": {"contact_per_revolution_s": 250}}
    limited = chosen(rows, [5, 5, 5, 5], pairs, **tables)
    assert (limited.flown.sum(), limited.objective) == (2, about(5 * MBIT))


def test_each_satellite_has_its_own_power() -> None:
    rows = [(s, k, 300.0 * k, 300.0 * k + 100) for s, k in ((0, 0), (0, 1), (1, 2), (1, 3))]
    pairs = [two("beijing", "stellenbosch"), two("graz", "nanshan")]
    limited = chosen(rows, [5, 5, 5, 5], pairs, service={"contact_per_revolution_s": 250})
    assert limited.objective == about(5 * MBIT)


@pytest.mark.parametrize(
    ("bits", "satellites", "key"),
    [([4, 2], 1, 6), ([4, 2], 2, 2), ([3, 3, 3], 2, 4.5), ([9, 1, 1], 2, 2), ([5, 4, 3], 3, 3), ([7], 2, 0)],
)
def test_key_over_several_satellites(bits: list[float], satellites: int, key: float) -> None:
    assert shared_key(np.array(bits, dtype=float), satellites) == about(key)


def test_two_satellites_share_a_key_that_neither_knows() -> None:
    rows = [(0, 0, 0, 100), (0, 1, 1000, 1100), (1, 0, 2000, 2100), (1, 1, 3000, 3100)]
    alone = chosen(rows, [5, 5, 3, 3])
    both = chosen(rows, [5, 5, 3, 3], [two("beijing", "stellenbosch", satellites=2)])
    assert alone.objective == about(8 * MBIT)
    assert both.objective == about(3 * MBIT)


def test_passes_that_exclude_each_other_cannot_be_served() -> None:
    found, passes = made_up_network(ONE_PAIR), made_up([(0, 0, 0, 100), (0, 1, 50, 150)])
    with pytest.raises(ConfigError, match="exclude each other"):
        serve(found, passes, np.ones(2), np.ones(2, dtype=bool))


# --- whole plans


CRAFTS = [
    {
        "preset": "jinan-1",
        "name": "c",
        "pattern": "sun-synchronous",
        "count": 3,
        "planes": 3,
        "altitude_km": 500,
    }
]


def real(**tables: Any) -> Network:
    whole: dict[str, Any] = {
        "satellite": CRAFTS,
        "station": [{"presets": [*STATIONS, "wuhan"]}],
        "pair": [
            two("beijing", "stellenbosch"),
            two("graz", "nanshan"),
            two("wuhan", "stellenbosch"),
            two("beijing", "wuhan"),
        ],
        "duration_days": 4,
    }
    return network(**whole | tables)


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"objective": "total"},
        {"objective": "priority"},
        {"service": {"store_bits": 3e5, "key_life_days": 2, "contact_per_revolution_s": 500}},
        {"weather": {"default_clear": 0.5}},
        {"pair": [two("beijing", "stellenbosch", satellites=2), two("graz", "nanshan", weight=3.0)]},
    ],
)
def test_no_plan_breaks_a_rule(tables: dict[str, Any]) -> None:
    found = real(**tables)
    plan = make_plan(found, search=Search(gap=1e-4))
    assert plan.contacts and plan.gap <= 1e-4
    assert faults(found, plan) == []


@pytest.mark.parametrize("method", ["greedy", "longest-path"])
@pytest.mark.parametrize(("second", "begin_s"), [((1, 0), 50.0), ((1, 0), 159.0), ((0, 1), 159.0)])
def test_baselines_heed_both_terminals_and_their_setup(
    second: tuple[int, int], begin_s: float, method: str
) -> None:
    passes = made_up([(0, 0, 0, 100), (*second, begin_s, begin_s + 100)])
    value = np.array([5.0, 4.0])
    assert baseline(made_up_network(ONE_PAIR), passes, value, method).tolist() == [0]
    ready = made_up_network(ONE_PAIR, service={"setup_s": 59})
    assert baseline(ready, passes, value, method).tolist() == ([0] if begin_s == 50.0 else [0, 1])


@pytest.mark.parametrize("method", ["greedy", "longest-path"])
def test_baselines_break_no_rule_and_are_worth_no_more(method: Any) -> None:
    found = real()
    plan, best = make_plan(found, method=method), make_plan(found)
    assert faults(found, plan) == []
    assert 0 < plan.objective <= best.objective * (1 + 1e-6)
    assert plan.bound >= best.objective * (1 - 1e-6)


@pytest.mark.parametrize(
    "service",
    [{}, {"key_life_days": 2, "contact_per_revolution_s": 600}, {"store_bits": 3e5, "key_life_days": 3}],
)
def test_a_rolling_plan_breaks_no_rule_and_tells_its_gap(service: dict[str, Any]) -> None:
    found = real(service=service)
    plan, best = make_plan(found, window_s=86_400.0), make_plan(found)
    assert faults(found, plan) == []
    assert 0.5 * best.objective < plan.objective <= best.objective * (1 + 1e-3)
    assert plan.bound >= best.objective * (1 - 1e-6)


def test_the_checker_finds_what_it_is_for() -> None:
    found = real(service={"key_life_days": 2, "contact_per_revolution_s": 600})
    plan = make_plan(found)
    assert faults(found, plan) == []
    first = plan.contacts[0]
    doubled = msgspec.structs.replace(plan, contacts=(first, *plan.contacts))
    assert any("too soon" in each for each in faults(found, doubled))
    elsewhere = next(each.station for each in plan.contacts if each.station != first.station)
    moved = msgspec.structs.replace(first, station=elsewhere)
    wrong = msgspec.structs.replace(plan, contacts=(moved, *plan.contacts[1:]))
    assert any("is not over" in each for each in faults(found, wrong))
    more = msgspec.structs.replace(plan.relays[0], key_bits=plan.relays[0].key_bits * 2 + 1e6)
    wrong = msgspec.structs.replace(plan, relays=(more, *plan.relays[1:]))
    assert any("not there" in each for each in faults(found, wrong))
    wrong = msgspec.structs.replace(plan, objective=plan.objective * 1.1)
    assert any("told" in each for each in faults(found, wrong))
    small = msgspec.structs.replace(found.service, store_bits=1e4)
    assert any("not there" in each for each in faults(msgspec.structs.replace(found, service=small), plan))
    short = msgspec.structs.replace(found.service, key_life_s=86_400.0)
    assert any("not there" in each for each in faults(msgspec.structs.replace(found, service=short), plan))
    dark = msgspec.structs.replace(found.service, maximum_sun_elevation_rad=-1.2)
    assert any("Sun is up" in each for each in faults(msgspec.structs.replace(found, service=dark), plan))


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"service": {"minimum_elevation_deg": 85}}, "no satellite gives key to any station"),
        ({"pair": [two("beijing", "graz", satellites=4)]}, "4 are needed"),
        ({"objective": "demand"}, "expected demand_bits of every pair"),
        ({"service": {"key_life_days": 0.5}}, "shorten period_s"),
    ],
)
def test_a_scenario_in_which_nothing_can_be_planned_is_explained(tables: dict[str, Any], told: str) -> None:
    found = real(**tables)
    with pytest.raises(ConfigError, match=told):
        make_plan(found)


def test_a_station_that_no_pass_gives_key_is_named() -> None:
    pair = two("beijing", "xinglong")
    found = network(station=[{"presets": ["beijing", "xinglong"]}], pair=[pair], duration_days=3)
    with pytest.raises(ConfigError, match=r"pair beijing-xinglong.*no pass gives key to xinglong"):
        make_plan(found)


def test_the_same_scenario_gives_the_same_plan() -> None:
    one, other = (make_plan(real()) for _ in range(2))
    assert msgspec.structs.replace(one, time_s=0.0) == msgspec.structs.replace(other, time_s=0.0)


def test_contacts_that_nobody_needs_are_not_flown() -> None:
    rows = [(0, 0, 0, 100), (0, 0, 1000, 1100), (0, 1, 2000, 2100), (0, 2, 3000, 3100)]
    assert chosen(rows, [2, 9, 8, 7]).flown.tolist() == [False, True, True, False]
    assert chosen(rows, [2, 9, 10, 7]).flown.tolist() == [True, True, True, False]
