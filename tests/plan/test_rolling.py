"""Rolling plans: a window knows what those before it left, and decides on no more than it keeps."""

from typing import Any

import msgspec
import numpy as np
import pytest
from planning import network
from test_plan_schedule import about, made_up, made_up_network, two

from satqkd.constants import DAY_S
from satqkd.plan.flow import FOREVER
from satqkd.plan.planner import offer_of
from satqkd.plan.program import revolutions
from satqkd.plan.rolling import after, part_of, roll
from satqkd.plan.schedule import NOTHING, Choice, choose
from satqkd.plan.search import Search

MBIT = 1e6
AB = two("beijing", "stellenbosch")
CD = two("graz", "nanshan")
LIFE = {"service": {"key_life_days": 2}}

Pass = tuple[int, int, float, float]


def at(day: int, after_s: float, station: int, *, satellite: int = 0) -> Pass:
    """A pass of 300 s."""
    return satellite, station, day * DAY_S + after_s, day * DAY_S + after_s + 300


def rolled(rows: list[Pass], mbit: list[float], pairs: list[dict[str, Any]], **tables: Any) -> Choice:
    """A day kept, two seen; the sum of pairs unless the tables say else."""
    found = made_up_network(pairs, **({"objective": "total", "duration_days": 3} | tables))
    return roll(found, made_up(rows), np.array(mbit) * MBIT, Search(gap=1e-9), window_s=DAY_S)


def test_link_key_from_the_window_before_is_used() -> None:
    choice = rolled([at(0, 0, 0), at(1, 0, 1)], [5, 9], [AB])
    assert (choice.flown.all(), choice.objective) == (True, about(5 * MBIT))


def test_link_key_that_was_relayed_is_not_there_again() -> None:
    """Another five megabits for the first pair would need the key that it has had; three are real."""
    rows = [at(0, 0, 0), at(0, 1000, 1), at(1, 0, 1), at(1, 100, 2), at(1, 2000, 3)]
    choice = rolled(rows, [5, 5, 9, 3, 3], [AB, CD])
    assert choice.flown.tolist() == [True, True, False, True, True]
    assert choice.pair_bits == about([5 * MBIT, 3 * MBIT])


def test_the_worst_pair_is_worst_over_all_windows_so_far() -> None:
    rows = [at(0, 0, 0), at(0, 1000, 1), at(1, 0, 0), at(1, 100, 2), at(1, 2000, 1), at(1, 2100, 3)]
    choice = rolled(rows, [5, 5, 4, 3, 4, 3], [AB, CD], objective="max-min")
    assert choice.pair_bits == about([5 * MBIT, 3 * MBIT])


def test_what_was_only_seen_is_decided_anew() -> None:
    """The first window would serve the first pair tomorrow; the second sees that the other gets more."""
    rows = [at(0, 0, 0), at(1, 0, 1), at(1, 100, 2), at(2, 0, 3)]
    choice = rolled(rows, [3, 3, 9, 9], [AB, CD])
    assert choice.flown.tolist() == [False, False, True, True]
    assert choice.pair_bits == about([0, 9 * MBIT])


def test_key_grows_old_from_window_to_window() -> None:
    """On the third day the first day's key is gone, however much of it there was."""
    rows = [at(0, 0, 0), at(1, 0, 1), at(2, 0, 1), at(2, 100, 2), at(2, 2000, 3)]
    assert rolled(rows, [5, 1, 9, 3, 3], [AB, CD], **LIFE).pair_bits == about([1 * MBIT, 3 * MBIT])


def test_a_window_does_not_count_on_key_that_will_be_too_old() -> None:
    rows = [at(0, 0, 0), at(1, 0, 1), at(1, 100, 2), at(1, 2000, 3), at(2, 0, 1)]
    assert rolled(rows, [5, 1, 0.5, 0.5, 9], [AB, CD], **LIFE).pair_bits == about([1 * MBIT, 0])


def test_the_oldest_key_is_used_first() -> None:
    rows = [at(0, 0, 0), at(1, 0, 0), at(1, 1000, 1), at(2, 0, 1)]
    assert rolled(rows, [4, 4, 4, 4], [AB], **LIFE).objective == about(8 * MBIT)


def test_a_satellite_has_its_setup_after_the_last_contact_of_the_window_before() -> None:
    rows = [at(0, DAY_S - 300, 0), at(1, 30, 1), at(1, 2000, 1)]
    assert rolled(rows, [5, 9, 4], [AB]).flown.tolist() == [True, False, True]


def test_a_station_has_its_setup_too() -> None:
    rows = [
        *(at(0, DAY_S - 300, 0), at(1, 5000, 1)),
        *(at(1, 30, 0, satellite=1), at(1, 9000, 1, satellite=1)),
    ]
    assert rolled(rows, [5, 5, 3, 3], [AB]).flown.tolist() == [True, True, False, False]


@pytest.mark.parametrize("most_s", [500.0, None])
def test_a_revolution_over_the_edge_of_windows_has_its_power_once(most_s: float | None) -> None:
    service = {"setup_s": 0} | ({} if most_s is None else {"contact_per_revolution_s": most_s})
    rows = [at(0, DAY_S - 300, 0), at(1, 100, 1), at(1, 20_000, 1)]
    passes = made_up(rows)
    one, other, later = revolutions(made_up_network([AB]), passes).tolist()
    assert one == other < later
    choice = rolled(rows, [5, 9, 4], [AB], service=service)
    assert choice.objective == about((5 if most_s is None else 4) * MBIT)


def test_a_window_takes_a_days_life_from_key_that_lasts_through_it() -> None:
    found = made_up_network([AB], 1, duration_days=5, service={"key_life_days": 3})
    passes, value = made_up([at(0, 0, 0), at(0, 40_000, 1)]), np.array([5.0, 2.0]) * MBIT
    part = part_of(found, passes, value, 0.0, DAY_S, np.zeros(2, dtype=bool))
    choice = choose(part.network, part.passes, part.value_bits, Search(gap=1e-9))
    (left,) = after(part, choice, NOTHING).carried  # came in period 0, may go at the end of period 2
    assert (left.station, left.life) == (0, 1) and left.key_bits == pytest.approx(3 * MBIT, rel=1e-5)
    service = msgspec.structs.replace(found.service, key_life_s=None)
    lasting = msgspec.structs.replace(part, network=msgspec.structs.replace(part.network, service=service))
    assert [each.life for each in after(lasting, choice, NOTHING).carried] == [FOREVER]


def test_key_that_comes_and_goes_in_one_period_takes_its_room() -> None:
    found = made_up_network([AB], 1, duration_days=2, service={"store_bits": 3e6})
    choice = choose(
        found, made_up([at(0, 0, 0), at(0, 40_000, 1)]), np.array([5.0, 5.0]) * MBIT, Search(gap=1e-9)
    )
    assert choice.objective == pytest.approx(3 * MBIT, rel=1e-5)


def test_an_offer_is_worth_its_key_times_its_clear_sky_and_weak_passes_are_left_out() -> None:
    found = network(duration_days=4, weather={"default_clear": 0.5})
    offer = offer_of(found)
    assert len(offer.passes) >= 4 and ((offer.clear > 0) & (offer.clear < 1)).all()
    assert offer.value_bits == pytest.approx(offer.key_bits * offer.clear)
    least = float(np.median(offer.key_bits))
    service = msgspec.structs.replace(found.service, least_key_bits=least)
    fewer = offer_of(msgspec.structs.replace(found, service=service))
    assert fewer.key_bits.tolist() == offer.key_bits[offer.key_bits >= least].tolist()
