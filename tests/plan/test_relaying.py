"""Who gets link key, and which satellites' key is combined: against properties that name the optimum."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from satqkd.plan.ledger import TAG_BITS
from satqkd.plan.program import shared_key
from satqkd.plan.relaying import LEAST_BITS, share_out, wrapped

FREE = np.inf
SLACK_BITS = 2 * TAG_BITS + 16


def shared(live: list[int], ends: list[tuple[int, int]], level: list[float], need: list[float]) -> list[int]:
    """Without a most."""
    most = np.full(len(ends), FREE)
    arrays = np.array(live), np.array(ends), np.array(level), np.array(need)
    return share_out(*arrays, most).tolist()


def test_a_pair_alone_gets_the_smaller_link_but_for_the_tags() -> None:
    assert shared([8000, 5000], [(0, 1)], [0.0], [1.0]) == [5000 - TAG_BITS]


def test_pairs_at_one_station_share_by_need_once_they_are_level() -> None:
    assert shared([8000 + 2 * TAG_BITS, 80_000, 80_000], [(0, 1), (0, 2)], [0.0, 0.0], [1.0, 3.0]) == [
        2000,
        6000,
    ]
    assert shared([8000 + 2 * TAG_BITS, 80_000, 80_000], [(0, 1), (0, 2)], [2000.0, 0.0], [1.0, 1.0]) == [
        3000,
        5000,
    ]


def test_a_pair_that_has_more_than_others_can_reach_gets_nothing_of_what_they_want() -> None:
    assert shared([8000, 80_000, 80_000], [(0, 1), (0, 2)], [9000.0, 0.0], [1.0, 1.0]) == [0, 8000 - TAG_BITS]


def test_what_a_pair_may_not_get_stays_for_the_others() -> None:
    live, ends = np.array([8000 + 2 * TAG_BITS, 80_000, 80_000]), np.array([(0, 1), (0, 2)])
    bits = share_out(live, ends, np.zeros(2), np.ones(2), np.array([1000.0, FREE]))
    assert bits.tolist() == [1000, 7000]
    bits = share_out(live, ends, np.zeros(2), np.ones(2), np.array([1000.0, 2000.0]))
    assert bits.tolist() == [1000, 2000]


@pytest.mark.parametrize("bits", [0, TAG_BITS, TAG_BITS + LEAST_BITS - 8])
def test_no_relay_costs_more_than_it_gives(bits: int) -> None:
    assert shared([bits, 8000], [(0, 1)], [0.0], [1.0]) == [0]
    assert shared([TAG_BITS + LEAST_BITS, 8000], [(0, 1)], [0.0], [1.0]) == [LEAST_BITS]


def test_a_station_of_many_pairs_and_little_key_serves_who_has_least() -> None:
    live = [3 * TAG_BITS] + [8000] * 5
    bits = shared(live, [(0, k) for k in range(1, 6)], [5.0, 4.0, 0.5, 3.0, 2.0], [1.0] * 5)
    assert [b > 0 for b in bits] == [False, False, True, False, False]


@st.composite
def markets(
    draw: st.DrawFn,
) -> tuple[list[int], list[tuple[int, int]], list[float], list[float], list[float]]:
    stations = draw(st.integers(2, 5))
    ends = draw(
        st.lists(
            st.permutations(range(stations)).map(lambda order: (order[0], order[1])), min_size=1, max_size=6
        )
    )
    live = [8 * draw(st.integers(0, 20_000)) for _ in range(stations)]
    level = [draw(st.floats(0, 1e5)) for _ in ends]
    need = [draw(st.floats(0.5, 4)) for _ in ends]
    most = [draw(st.one_of(st.just(FREE), st.floats(0, 2e5))) for _ in ends]
    return live, ends, level, need, most


@given(markets())
def test_what_is_shared_out_is_there_and_no_pair_can_gain_but_from_one_that_has_no_more(
    market: tuple[list[int], list[tuple[int, int]], list[float], list[float], list[float]],
) -> None:
    live, ends, level, need, most = market
    bits = share_out(np.array(live), np.array(ends), np.array(level), np.array(need), np.array(most))
    taken: Counter[int] = Counter()
    for pair, got in zip(ends, bits.tolist(), strict=True):
        assert got % 8 == 0 and (got == 0 or got >= LEAST_BITS)
        for end in pair:
            taken[end] += got + TAG_BITS if got else 0
    assert all(taken[k] <= live[k] for k in range(len(live)))
    slack = (len(ends) + 1) * SLACK_BITS
    after = [have + got / want for have, got, want in zip(level, bits.tolist(), need, strict=True)]
    for k, pair in enumerate(ends):
        assert bits[k] <= most[k]
        if bits[k] > most[k] - LEAST_BITS - slack:
            continue
        bottleneck = [
            live[end] - taken[end] < slack
            and all(
                after[other] <= after[k] + slack / min(need)
                for other, ends_of in enumerate(ends)
                if end in ends_of and bits[other]
            )
            for end in pair
        ]
        assert any(bottleneck), (k, bits, after)


sources = st.dictionaries(st.integers(0, 6), st.integers(0, 3000).map(lambda n: 8 * n), max_size=6)


@given(sources, st.integers(2, 4))
def test_combinations_take_what_is_there_of_different_sources_and_all_that_can_be_had(
    live: dict[int, int], apart: int
) -> None:
    segments, taken = list(wrapped(live, apart)), Counter[int]()
    for bits, chosen in segments:
        assert bits % 8 == 0 and bits >= LEAST_BITS and len(set(chosen)) == len(chosen) == apart
        for source in chosen:
            taken[source] += bits + TAG_BITS
    assert all(taken[source] <= bits for source, bits in live.items())
    most = shared_key(np.array([float(bits) for bits in live.values()] or [0.0]), apart)
    made = sum(bits + TAG_BITS for bits, _ in segments)
    cuts = 1 + len(live)
    assert most - cuts * (TAG_BITS + LEAST_BITS) - 8 < made <= most


def test_three_even_sources_give_one_and_a_half_of_one_over_two() -> None:
    made = list(wrapped({0: 16_000, 1: 16_000, 2: 16_000}, 2))
    assert sum(bits for bits, _ in made) == 24_000 - 3 * TAG_BITS
    assert sorted(chosen for _, chosen in made) == [(0, 1), (0, 2), (1, 2)]
