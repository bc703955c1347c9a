"""Operation: rules one by one on made-up passes, books against a replay bit by bit, sums, alarms, choices."""

from collections import defaultdict
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operations import SKY, Made, Recorder, made_network, made_offer
from planning import network as small_network

from satqkd.constants import DAY_S
from satqkd.errors import ConfigError, LocalProtocolError
from satqkd.plan.books import Books
from satqkd.plan.comparison import Case, compare
from satqkd.plan.ledger import TAG_BITS, Account, Bits
from satqkd.plan.network import Network
from satqkd.plan.operation import flown_sky, operate
from satqkd.plan.operation_policy import Policy
from satqkd.plan.operation_result import Operation
from satqkd.plan.planner import Offer
from satqkd.results import to_json

AB = {"ends": ["a", "b"]}
CD = {"ends": ["c", "d"]}
ALL = Policy(method="greedy", window_s=DAY_S)
"""Flies every pass that conflicts with none."""


def run(found: Network, rows: list[Made], *, seed: int = 1, policy: Policy = ALL) -> Operation:
    return operate(found, seed=seed, policy=policy, offer=made_offer(rows))


def both_ends(day: float, bits: float = 80_000.0, satellite: int = 0) -> list[Made]:
    return [Made(satellite, 0, day, bits), Made(satellite, 1, day + 0.1, bits)]


def day_of(utc: str, found: Operation) -> float:
    times = [np.datetime64(each.removesuffix("Z")) for each in (utc, found.start_utc)]
    return float((times[0] - times[1]) / np.timedelta64(1, "D"))


# Key that comes


def test_key_of_two_links_becomes_key_of_the_pair_at_the_end_of_the_period_less_its_tags() -> None:
    found = run(made_network([AB]), [Made(0, 0, 0.5, 80_004.0), Made(0, 1, 2.2, 50_000.0)])
    key = 50_000 - TAG_BITS
    assert found.levels == ((0, 0, key, key, key, key),)
    (pair,) = found.pairs
    assert (pair.key_bits, pair.used_bits, pair.left_bits, pair.longest_empty_s) == (key, 0, key, 2 * DAY_S)
    one, two = found.links
    assert (one.station, one.key_bits, one.relayed_bits, one.tag_bits) == ("a", 80_000, key, TAG_BITS)
    assert one.left_bits == 80_000 - 50_000
    assert (two.key_bits, two.left_bits) == (50_000, 0)


def test_a_cloudy_sky_brings_nothing_and_its_contacts_are_counted() -> None:
    found = run(made_network([AB], weather=SKY | {"default_clear": 0.0}), both_ends(0.5))
    (satellite,) = found.satellites
    assert (satellite.contacts, satellite.cloudy, satellite.contact_s) == (2, 2, 600.0)
    assert found.links == () and found.pairs[0].key_bits == 0
    clear = run(made_network([AB], weather=SKY | {"default_clear": 1.0}), both_ends(0.5))
    assert clear.satellites[0].cloudy == 0 and clear.pairs[0].key_bits > 0


def test_key_comes_of_just_the_contacts_under_a_clear_sky() -> None:
    network = made_network([AB], weather=SKY)
    rows = [Made(0, k % 2, 0.2 + 0.4 * k, 10_000.0 + 8 * k) for k in range(14)]
    offer, ledger = made_offer(rows), Recorder(network)
    clear = flown_sky(network, offer, 3)
    found = operate(network, seed=3, policy=ALL, ledger=ledger, offer=offer)
    came = sorted(each[3] for each in ledger.all_of("receive"))
    assert came == sorted(offer.key_bits[clear].astype(int).tolist())
    assert 0 < clear.sum() < len(rows) == found.satellites[0].contacts


def test_who_chooses_does_not_know_the_sky() -> None:
    network = made_network([AB, CD], weather=SKY)
    rows = [Made(0, k % 4, 0.1 + 0.002 * k, 10_000.0 + k, 0.5) for k in range(40)]
    policy = Policy(window_s=6 * DAY_S)
    skies = [run(network, rows, seed=seed, policy=policy).satellites[0] for seed in range(6)]
    assert len({each.contacts for each in skies}) == 1 and 0 < skies[0].contacts < 40
    assert len({each.cloudy for each in skies}) > 1


def test_a_window_is_chosen_for_what_was_served_before() -> None:
    rows = [*both_ends(0.5, 1e6)]
    for k, bits in enumerate((1e6, 1e6, 9e5, 9e5)):  # a and c at once, then b and d
        rows.append(Made(0, k, 1.4 + 0.2 * (k % 2), bits))
    found = run(made_network([AB, CD]), rows, policy=Policy(window_s=DAY_S, look_ahead=1))
    assert [pair.key_bits > 0 for pair in found.pairs] == [True, True]


def test_a_window_is_chosen_for_what_lies_on_board() -> None:
    rows = [Made(0, 0, 0.5, 1e6), Made(0, 1, 0.7, 1e5), Made(0, 2, 1.5, 2e5), Made(0, 1, 1.5, 1.9e5)]
    found = run(made_network([AB]), rows, policy=Policy(window_s=DAY_S, look_ahead=1))
    assert found.pairs[0].key_bits == 290_000 - 2 * TAG_BITS


# What is lost


@pytest.mark.parametrize(("life_days", "is_relayed"), [(2, False), (2.5, True), (3, True)])
def test_link_key_is_given_up_at_the_end_of_the_period_in_which_it_is_too_old(
    life_days: float, is_relayed: bool
) -> None:
    network = made_network([AB], service={"setup_s": 0, "key_life_days": life_days})
    found = run(network, [Made(0, 0, 0.5, 80_000.0), Made(0, 1, 2.5, 80_000.0)])
    assert (found.pairs[0].key_bits > 0) == is_relayed
    assert sum(link.expired_bits for link in found.links) == (0 if is_relayed else 160_000)


def test_what_has_no_room_on_board_is_given_up_when_it_comes() -> None:
    network = made_network([AB], service={"setup_s": 0, "store_bits": 100_004})
    found = run(network, [Made(0, 0, 0.2, 80_000.0), Made(0, 0, 0.4, 80_000.0), Made(0, 1, 1.5, 50_000.0)])
    link = found.links[0]
    assert (link.key_bits, link.overflow_bits, link.lost_bits) == (160_000, 60_000, 60_000)
    assert link.left_bits == 50_000
    again = run(
        network,
        [*both_ends(0.2), Made(0, 0, 1.4, 80_000.0)],
    )
    assert again.links[0].overflow_bits == 0  # relayed in between


# Pairs


def test_key_over_two_satellites_needs_both_and_costs_a_tag_of_each() -> None:
    wish = AB | {"satellites": 2}
    network = made_network([wish], satellites=2)
    (alone,) = run(network, [*both_ends(0.5), Made(1, 0, 5.5, 8000.0), Made(1, 1, 5.6, 300.0)]).pairs
    assert (alone.key_bits, alone.waiting_bits) == (0, 80_000 - TAG_BITS)
    (pair,) = run(network, [*both_ends(0.5), *both_ends(1.5, 40_000.0, 1)]).pairs
    relayed = 40_000 - TAG_BITS
    assert pair.key_bits == relayed - 2 * TAG_BITS  # a combination at either end
    assert (pair.combined_bits, pair.waiting_bits) == (2 * relayed, 40_000)


def test_demand_that_finds_no_key_is_unmet_and_not_caught_up() -> None:
    key = 80_000 - TAG_BITS
    rate = key / 2 / DAY_S
    network = made_network([AB | {"demand_bit_s": rate}])
    (pair,) = (found := run(network, both_ends(2.5))).pairs
    day = pair.wanted_bits // 6
    assert (pair.used_bits, pair.left_bits) == (key, 0)
    assert pair.unmet_bits == pair.wanted_bits - key and abs(pair.wanted_bits - 3 * key) <= 8
    assert pair.share == pytest.approx(1 / 3, abs=1e-4) and pair.share_of_periods == pytest.approx(2 / 6)
    assert found.levels == ((0, 0, key - day, 0, 0, 0),) and pair.longest_empty_s == 3 * DAY_S
    assert found.share == found.worst_share == pair.share


@pytest.mark.parametrize(
    ("objective", "one", "two"),
    [
        ("max-min", {"weight": 3.0}, {}),
        ("total", {"weight": 3.0, "priority": 9.0}, {}),
        ("priority", {"priority": 3.0, "weight": 9.0}, {}),
        ("demand", {"demand_bits": 3e5}, {"demand_bits": 1e5}),
    ],
)
def test_who_needs_more_gets_more_of_a_link_that_two_pairs_share(
    objective: str, one: dict[str, Any], two: dict[str, Any]
) -> None:
    pairs = [AB | one, {"ends": ["a", "c"]} | two]
    rows = [Made(0, 0, 0.5, 80_000.0 + 2 * TAG_BITS), Made(0, 1, 0.6, 2e5), Made(0, 2, 0.7, 2e5)]
    found = run(made_network(pairs, objective=objective), rows)
    assert [pair.key_bits for pair in found.pairs] == [60_000, 20_000]


def test_relays_stop_at_the_stock_and_the_rest_stays_on_board() -> None:
    network = made_network([AB | {"demand_bit_s": 0.1}])
    policy = msgspec.structs.replace(ALL, stock_s=3 * DAY_S)
    found = run(network, both_ends(0.5), policy=policy)
    assert found.levels[0] == pytest.approx([0.1 * 2 * DAY_S] * 6, abs=16)
    relayed = found.pairs[0].relayed_bits
    assert relayed == pytest.approx(0.1 * 8 * DAY_S, abs=64)
    assert found.links[0].left_bits == 80_000 - relayed - 6 * TAG_BITS  # a relay a day


def test_an_alarm_begins_when_a_store_is_low_and_ends_when_it_is_not() -> None:
    network = made_network([AB | {"demand_bit_s": 0.2}])
    rows = [*both_ends(1.5), *both_ends(4.5)]
    found = run(network, rows, policy=msgspec.structs.replace(ALL, low_bits=30_000))
    assert [level < 30_000 for level in found.levels[0]] == [True, False, False, True, False, False]
    spans = [(day_of(each.begin_utc, found), day_of(each.end_utc or "", found)) for each in found.alarms]
    assert spans == [(1.0, 2.0), (4.0, 5.0)]
    assert [each.lowest_bits for each in found.alarms] == [0, found.levels[0][3]]
    last = run(network, both_ends(1.5), policy=msgspec.structs.replace(ALL, low_bits=30_000)).alarms[-1]
    assert last.end_utc is None and last.lowest_bits == 0
    by_demand = run(network, both_ends(1.5), policy=msgspec.structs.replace(ALL, low_s=2 * DAY_S))
    low = [level < 0.2 * 2 * DAY_S for level in by_demand.levels[0]]
    assert len(by_demand.alarms) == 2 and low == [True, False, False, True, True, True]


# Sums


@st.composite
def operations(draw: st.DrawFn) -> tuple[Network, Offer, Policy, int]:
    satellites = draw(st.integers(1, 3))
    apart = st.integers(1, satellites)
    ends = draw(st.lists(st.permutations("abcd").map(lambda word: word[:2]), min_size=1, max_size=4))
    pairs = [
        {"ends": list(each), "satellites": draw(apart), "demand_bit_s": draw(st.floats(0, 1))}
        for each in ends
    ]
    service: dict[str, Any] = {"setup_s": 0}
    if draw(st.booleans()):
        service["store_bits"] = draw(st.floats(8000, 200_000))
    if draw(st.booleans()):
        service["key_life_days"] = draw(st.floats(1, 4))
    rows = [
        Made(s, g, day, bits)
        for s in range(satellites)
        for g in range(4)
        for day, bits in draw(
            st.lists(st.tuples(st.floats(0.01, 6), st.floats(500, 150_000)), min_size=1, max_size=6)
        )
    ]
    network = made_network(pairs, satellites=satellites, service=service, weather=SKY)
    return network, made_offer(rows), ALL, draw(st.integers(0, 100))


def replayed(network: Network, ledger: Recorder) -> None:
    """Every relay and use, bit by bit from what came: naive, and by other code than the books'."""
    life_s = network.service.key_life_s
    on_board: dict[tuple[int, int], list[list[int]]] = defaultdict(list)
    usable: dict[int, int] = defaultdict(int)
    by_satellite: dict[tuple[int, int], int] = defaultdict(int)
    for what, *rest in ledger.done:
        if what == "receive":
            satellite, station, bits, now_s = rest
            on_board[satellite, station].append([now_s, bits])
            most = network.service.store_bits
            assert most is None or sum(held for _, held in on_board[satellite, station]) <= most
        elif what == "expire":
            before_s, gone = rest
            old = [piece for pieces in on_board.values() for piece in pieces if piece[0] < before_s]
            assert sum(held for _, held in old) == gone
            for piece in old:
                piece[1] = 0
        elif what == "relay":
            satellite, k, bits, now_s = rest
            pair = network.pairs[k]
            for station in (pair.a, pair.b):
                left = bits + TAG_BITS
                for piece in on_board[satellite, station]:
                    assert not piece[1] or life_s is None or now_s - piece[0] <= life_s
                    taken = min(left, piece[1])
                    piece[1], left = piece[1] - taken, left - taken
                assert left == 0
            by_satellite[k, satellite] += bits
            usable[k] += bits if pair.wish.satellites == 1 else 0
        elif what == "combine":
            k, found, _ = rest
            usable[k] += found.bits
            assert found.spent_bits >= network.pairs[k].wish.satellites * found.bits
        else:
            k, bits, _ = rest
            usable[k] -= bits
            assert usable[k] >= 0


@settings(max_examples=60, deadline=None)
@given(operations())
def test_no_bit_is_relayed_or_used_that_did_not_come_and_every_bit_is_accounted_for(
    case: tuple[Network, Offer, Policy, int],
) -> None:
    network, offer, policy, seed = case
    ledger = Recorder(network)
    found = operate(network, seed=seed, policy=policy, ledger=ledger, offer=offer)
    replayed(network, ledger)
    came = int((offer.key_bits[flown_sky(network, offer, seed)] // 8 * 8).sum())
    assert sum(link.key_bits for link in found.links) <= came
    received = sum(each[3] for each in ledger.all_of("receive"))
    assert received == sum(link.key_bits - link.overflow_bits for link in found.links)
    accounts = ledger.accounts()
    for kind, ends in (("link", 2), ("pair", 2)):
        stored = sum(a.live_bits + a.spent_bits + a.wiped_bits for a in accounts if a.kind == kind)
        pairs = sum(pair.relayed_bits + (pair.key_bits if pair.satellites > 1 else 0) for pair in found.pairs)
        assert stored == ends * (received if kind == "link" else pairs)
    for pair in found.pairs:
        assert pair.relayed_bits == sum(
            bits for _, _, k, bits, _ in ledger.all_of("relay") if network.pairs[k].name == pair.pair
        ) or len({other.pair for other in found.pairs}) < len(found.pairs)
        assert pair.satellites * pair.key_bits <= pair.relayed_bits
        assert 0 <= pair.share <= 1 and pair.lowest_bits >= 0


class LossyBooks(Books):
    """Gives up one byte more than it says."""

    def expire(self, before_s: int, *, now_s: int) -> Bits:
        gone = super().expire(before_s, now_s=now_s)
        self._wiped += np.where(gone, 8, 0)
        self._link -= np.where(gone, 8, 0)
        return gone


class LeakyBooks(Books):
    """Says at a station that a byte more is there."""

    def accounts(self) -> tuple[Account, ...]:
        first, *others = super().accounts()
        return (msgspec.structs.replace(first, live_bits=first.live_bits + 8), *others)


@pytest.mark.parametrize("wrong", [LossyBooks, LeakyBooks])
def test_a_ledger_that_contradicts_what_was_done_is_refused(wrong: type[Books]) -> None:
    network = made_network([AB], service={"setup_s": 0, "key_life_days": 1})
    rows = [Made(0, 0, 0.5, 80_000.0), Made(0, 1, 4.5, 80_000.0)]
    with pytest.raises(LocalProtocolError, match="link key"):
        operate(network, seed=1, policy=ALL, ledger=wrong(network), offer=made_offer(rows))


# Answers


def many(network: Network) -> list[Made]:
    rng = np.random.default_rng(5)
    satellites = len(network.satellites)
    return [
        Made(int(s), int(g), float(day), float(bits), 0.5)
        for s, g, day, bits in zip(
            rng.integers(0, satellites, 80),
            rng.integers(0, 4, 80),
            rng.uniform(0.1, 6, 80),
            rng.uniform(1e4, 2e5, 80),
            strict=True,
        )
    ]


def test_the_same_seed_gives_the_same_bytes_whatever_else_was_drawn() -> None:
    network = made_network([AB | {"demand_bit_s": 1.0}, CD], satellites=2, weather=SKY)
    policy = Policy(window_s=2 * DAY_S)
    once = to_json(run(network, many(network), seed=4, policy=policy))
    np.random.seed(99)
    assert to_json(run(network, many(network), seed=4, policy=policy)) == once
    assert to_json(run(network, many(network), seed=5, policy=policy)) != once


def test_a_comparison_is_of_operations_one_by_one() -> None:
    ends = ["beijing", "stellenbosch"]
    found_of = small_network(duration_days=4, pair=[{"ends": ends, "demand_bit_s": 0.5}], weather=SKY)
    cases = [
        Case(name=m, network=found_of, policy=Policy(method=m, window_s=DAY_S)) for m in ("exact", "greedy")
    ]
    rows = compare(cases, [1, 2])
    assert [(row.name, row.seed) for row in rows] == [
        ("exact", 1),
        ("exact", 2),
        ("greedy", 1),
        ("greedy", 2),
    ]
    for row, case in zip(rows, [case for case in cases for _ in range(2)], strict=True):
        found = operate(found_of, seed=row.seed, policy=case.policy)
        assert (row.share, row.worst_share, row.alarms) == (found.share, found.worst_share, len(found.alarms))
        assert row.used_bits + row.unmet_bits == found.pairs[0].wanted_bits
        assert row.contacts == found.satellites[0].contacts and row.link_bits > 0


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"window_s": 1.5 * DAY_S}, "whole periods"),
        ({"method": "best"}, "longest-path"),
        ({"look_ahead": 0.5}, "1 window"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_in_words(policy: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run(made_network([AB]), both_ends(0.5), policy=Policy(**policy))


def test_a_network_without_pairs_flies_and_keeps_its_key_on_board() -> None:
    network = made_network([], service={"setup_s": 0, "key_life_days": 3})
    found = run(network, both_ends(0.5), policy=Policy(window_s=2 * DAY_S))
    assert (found.pairs, found.alarms, found.levels, found.share, found.worst_share) == ((), (), (), 1.0, 1.0)
    assert [(link.key_bits, link.expired_bits) for link in found.links] == [(80_000, 80_000)] * 2


def test_a_last_period_that_is_cut_uses_its_part_of_the_demand() -> None:
    network = made_network([AB | {"demand_bit_s": 0.1}], duration_days=2.25)
    found = run(network, both_ends(0.5))
    assert found.pairs[0].wanted_bits == 8 * int(0.1 * 2.25 * DAY_S // 8)
    assert len(found.levels[0]) == 3 and found.pairs[0].share == 1.0
