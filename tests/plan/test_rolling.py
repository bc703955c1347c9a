"""Rolling horizons: a window begins with what was left, and knows what its neighbours exclude."""

import msgspec
import numpy as np
import pytest
from planning import network
from test_plan_schedule import made_up, made_up_network, two

from satqkd.plan.flow import FOREVER
from satqkd.plan.planner import offer_of
from satqkd.plan.rolling import after, part_of, roll
from satqkd.plan.schedule import NOTHING, choose
from satqkd.plan.search import Search

DAY_S = 86_400.0
MBIT = 1e6
PAIRS = [two("beijing", "stellenbosch"), two("graz", "nanshan")]


def at(day: float, satellite: int, station: int) -> tuple[int, int, float, float]:
    return satellite, station, day * DAY_S + 1000, day * DAY_S + 1100


def test_link_key_on_board_is_known_to_the_next_window() -> None:
    """The partner of the first day's key comes after what its window sees, but for a little of it."""
    found = made_up_network(PAIRS[:1], 1, duration_days=4)
    passes = made_up([at(0, 0, 0), at(1, 0, 1), at(2, 0, 1)])
    choice = roll(found, passes, np.array([5.0, 1.0, 9.0]) * MBIT, Search(gap=1e-9), window_s=DAY_S)
    assert choice.objective == pytest.approx(5 * MBIT, rel=1e-5)


def test_a_pair_that_was_served_waits_for_one_that_was_not() -> None:
    found = made_up_network(PAIRS, 1, duration_days=4)
    passes = made_up([at(0, 0, 0), at(0.3, 0, 1), *(at(day, 0, k) for day, k in ((2, 0), (2.3, 1)))])
    rivals = made_up([at(2, 0, 2), at(2.3, 0, 3)])
    both = type(passes)(
        **{
            name: np.concatenate([getattr(passes, name), getattr(rivals, name)])
            for name in passes.__struct_fields__
        }
    )
    value = np.array([5.0, 5.0, 9.0, 9.0, 3.0, 3.0]) * MBIT
    choice = roll(found, both, value, Search(gap=1e-9), window_s=DAY_S)
    assert choice.pair_bits == pytest.approx(np.array([5.0, 3.0]) * MBIT, rel=1e-5)


def test_what_is_flown_excludes_its_neighbour_behind_the_edge_of_its_window() -> None:
    """The partner of what it excludes comes after what the first window sees."""
    found = made_up_network(PAIRS[:1], 1, duration_days=3, service={"setup_s": 60.0})
    edge = [(0, 0, DAY_S - 110, DAY_S - 10), (0, 1, DAY_S + 40, DAY_S + 140)]
    passes = made_up([(0, 1, 1000, 1100), *edge, at(2.3, 0, 0)])
    choice = roll(found, passes, np.array([5.0, 5.0, 9.0, 9.0]) * MBIT, Search(gap=1e-9), window_s=DAY_S)
    assert choice.flown[:3].tolist() == [True, True, False]


def test_a_window_takes_a_days_life_from_key_that_lasts_through_it() -> None:
    found = made_up_network(PAIRS[:1], 1, duration_days=5, service={"key_life_days": 3})
    passes, value = made_up([at(0, 0, 0), at(0.5, 0, 1)]), np.array([5.0, 2.0]) * MBIT
    part = part_of(found, passes, value, 0.0, DAY_S, np.zeros(2, dtype=bool))
    choice = choose(part.network, part.passes, part.value_bits, Search(gap=1e-9))
    (left,) = after(part, choice, NOTHING).carried  # came in period 0, may go at the end of period 2
    assert (left.station, left.life) == (0, 1) and left.key_bits == pytest.approx(3 * MBIT, rel=1e-5)
    service = msgspec.structs.replace(found.service, key_life_s=None)
    lasting = msgspec.structs.replace(part, network=msgspec.structs.replace(part.network, service=service))
    assert [each.life for each in after(lasting, choice, NOTHING).carried] == [FOREVER]


def test_key_that_comes_and_goes_in_one_period_takes_its_room() -> None:
    found = made_up_network(PAIRS[:1], 1, duration_days=2, service={"store_bits": 3e6})
    choice = choose(
        found, made_up([at(0, 0, 0), at(0.3, 0, 1)]), np.array([5.0, 5.0]) * MBIT, Search(gap=1e-9)
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
