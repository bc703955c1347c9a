"""How much is chosen at a time: the policy's windows, shorter where a search would look at too much."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from operations import SKY, Made, made_network, made_offer

from satqkd.constants import DAY_S
from satqkd.plan import operation_windows
from satqkd.plan.operation import operate
from satqkd.plan.operation_policy import Policy
from satqkd.plan.operation_windows import MOST_SEEN, Window, window_at

WEEK = Policy(window_s=7 * DAY_S)


def daily(*passes: int) -> np.ndarray:
    """Ends of so many passes on each day."""
    return np.concatenate([np.linspace(day + 0.01, day + 1, n) * DAY_S for day, n in enumerate(passes)])


@given(
    a_day=st.lists(st.integers(0, 3000), min_size=20, max_size=20),
    first=st.integers(0, 15),
    periods=st.integers(1, 8),
    look_ahead=st.sampled_from([1.0, 1.5, 2.0, 3.0]),
)
def test_a_window_is_the_longest_that_may_be_looked_at(
    a_day: list[int], first: int, periods: int, look_ahead: float
) -> None:
    end_s = daily(*a_day)

    def seen(days: float) -> int:
        return sum(first * DAY_S < each <= (first + days) * DAY_S for each in end_s.tolist())

    policy = Policy(window_s=periods * DAY_S, look_ahead=look_ahead)
    found = window_at(end_s, first * DAY_S, DAY_S, policy)
    fitting = [n for n in range(1, periods + 1) if seen(look_ahead * n) <= MOST_SEEN]
    if fitting:
        assert found == Window(max(fitting), max(fitting) * look_ahead * DAY_S)
    else:
        assert found == Window(1, DAY_S)


def test_of_a_baseline_all_is_looked_at() -> None:
    policy = Policy(method="greedy", window_s=7 * DAY_S)
    assert window_at(daily(*[9000] * 20), 0.0, DAY_S, policy) == Window(7, 14 * DAY_S)
    assert window_at(daily(*[9000] * 20), 0.0, DAY_S, WEEK) == Window(1, DAY_S)


def test_an_operation_cut_to_days_is_that_of_a_policy_of_days(monkeypatch: pytest.MonkeyPatch) -> None:
    network = made_network([{"ends": ["a", "b"], "demand_bit_s": 0.5}, {"ends": ["c", "b"]}], weather=SKY)
    rows = [Made(0, k % 3, 0.1 + 0.2 * k, 10_000.0 + 8 * k) for k in range(30)]
    offer, days = made_offer(rows), Policy(window_s=DAY_S, look_ahead=1)
    week = operate(network, seed=1, policy=WEEK, offer=offer)
    monkeypatch.setattr(operation_windows, "MOST_SEEN", 9)  # of five passes a day
    cut = operate(network, seed=1, policy=WEEK, offer=offer)
    by_day = operate(network, seed=1, policy=days, offer=offer)
    assert (week.windows, cut.windows, cut.window_s) == (1, 6, 7 * DAY_S)
    assert msgspec.structs.replace(cut, window_s=DAY_S) == by_day != week


def test_the_gap_of_a_search_is_told_and_a_baseline_has_none() -> None:
    network = made_network([{"ends": ["a", "b"]}, {"ends": ["c", "b"]}], duration_days=2)
    rows = [Made(0, k % 3, 0.1 + 0.001 * k, 10_000.0 + 900 * k) for k in range(24)]
    exact = operate(network, seed=1, policy=Policy(gap=0.5), offer=made_offer(rows))
    assert exact.gap is not None and 0 <= exact.gap <= 0.5
    assert operate(network, seed=1, policy=Policy(method="greedy"), offer=made_offer(rows)).gap is None
    nothing = made_offer([Made(0, station, 0.5, 8.0, 0.0) for station in (0, 1, 2)])
    assert operate(network, seed=1, offer=nothing).gap == 0.0
