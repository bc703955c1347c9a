"""Operation with real key stores: equal to the books to the bit, and recounted from the stores themselves."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from operations import SKY, Made, made_network, made_offer

from satqkd.constants import DAY_S
from satqkd.errors import LocalProtocolError, ResourceError
from satqkd.keys import KeyStore
from satqkd.plan.books import Books
from satqkd.plan.ledger import TAG_BITS, Account
from satqkd.plan.network import Network
from satqkd.plan.operation import operate
from satqkd.plan.operation_policy import Policy
from satqkd.plan.operation_result import Operation
from satqkd.plan.planner import Offer
from satqkd.plan.stores import Stores

POLICY = Policy(window_s=2 * DAY_S)
PAIRS = [
    {"ends": ["b", "a"], "demand_bit_s": 0.8},
    {"ends": ["c", "d"], "demand_bit_s": 0.1},
    {"ends": ["d", "a"], "satellites": 2, "demand_bit_s": 0.2},
    {"ends": ["a", "b"], "weight": 2.0},
    {"ends": ["b", "c"], "satellites": 2},
]
SHARING = [
    {"ends": ["a", "d"], "demand_bit_s": 0.1},
    {"ends": ["d", "a"], "satellites": 2, "demand_bit_s": 0.1},
    {"ends": ["a", "d"], "demand_bit_s": 0.2},
    {"ends": ["b", "c"], "satellites": 2, "demand_bit_s": 0.05},
    {"ends": ["c", "b"], "satellites": 2, "weight": 2.0, "demand_bit_s": 0.1},
]
SERVICE = {"setup_s": 0, "key_life_days": 2.0, "store_bits": 200_000}


def rows() -> list[Made]:
    """Passes of three satellites over four stations, fixed."""
    rng = np.random.default_rng(7)
    return [
        Made(s, g, float(day), float(bits), 0.7)
        for s in range(3)
        for g in range(4)
        for day, bits in zip(rng.uniform(0.1, 6, 7), rng.uniform(1e4, 1.5e5, 7), strict=True)
    ]


class Ran:
    """One scenario with books and with stores."""

    def __init__(self, folder: Path, pairs: list[dict[str, Any]], **service: Any) -> None:
        self.network: Network = made_network(pairs, satellites=3, service=SERVICE | service, weather=SKY)
        self.offer: Offer = made_offer(rows())
        books = Books(self.network)
        self.with_books = self._operate(books)
        self.books_accounts = books.accounts()
        with Stores(self.network, folder, seed=1) as stores:
            self.with_stores = self._operate(stores)
            self.stores_accounts = stores.accounts()

    def _operate(self, ledger: Books | Stores) -> Operation:
        return operate(self.network, seed=2, policy=POLICY, ledger=ledger, offer=self.offer)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(tmp_path_factory.mktemp("stores"), PAIRS)


@pytest.fixture(scope="module")
def nodes(ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, KeyStore]]:
    """The stores as they were left, opened again."""
    folder = next(path.parent for path in tmp_path_factory.getbasetemp().glob("stores*/a.db"))
    opened = {path.stem: KeyStore.open(path, read_only=True) for path in folder.glob("*.db")}
    yield opened
    for store in opened.values():
        store.close()


def test_books_and_stores_agree_to_the_bit(ran: Ran) -> None:
    assert ran.with_stores == ran.with_books
    assert ran.stores_accounts == ran.books_accounts
    for pair in ran.with_books.pairs:
        assert pair.key_bits > 0, "the scenario has something to compare"
    assert any(link.expired_bits for link in ran.with_books.links)
    assert any(link.overflow_bits for link in ran.with_books.links)
    assert any(pair.unmet_bits and pair.used_bits for pair in ran.with_books.pairs)


def test_pairs_that_share_a_store_are_served_as_in_the_books(tmp_path: Path) -> None:
    ran = Ran(tmp_path, SHARING, key_life_days=6.0)
    assert ran.with_stores == ran.with_books
    assert ran.stores_accounts == ran.books_accounts
    assert all(pair.used_bits > 0 for pair in ran.with_books.pairs), "all have something to compare"


def test_stores_hold_what_the_operation_says_by_their_own_count(ran: Ran, nodes: dict[str, KeyStore]) -> None:
    found, network = ran.with_stores, ran.network
    assert len(nodes) == 7
    for name, store in nodes.items():
        check = store.check()
        assert check.balanced, (name, check.faults)
        assert store.verify_audit().intact
        links = [each for each in found.links if name in (each.satellite, each.station)]
        pairs = [each for each in found.pairs if name in each.ends]
        several = [each for each in pairs if each.satellites > 1]
        assert check.distilled_bits == sum(each.key_bits - each.overflow_bits for each in links) + sum(
            each.relayed_bits for each in pairs
        ) + sum(each.key_bits for each in several)
        assert check.spent_bits == sum(each.relayed_bits + each.tag_bits for each in links) + sum(
            each.used_bits + each.combined_bits for each in pairs
        )
        assert check.wiped_bits == sum(each.expired_bits for each in links)
        assert check.live_bits == sum(each.left_bits for each in links) + sum(
            each.left_bits + each.waiting_bits for each in pairs
        )
    relays = [row for row in nodes["a"].list_blocks() if row.block_id.startswith("relay:")]
    assert sum(row.bits for row in relays) == sum(
        each.relayed_bits for each in found.pairs if "a" in each.ends
    )
    assert {row.origin for store in nodes.values() for row in store.list_blocks()} == {"twin"}
    assert [each.name for each in network.satellites] == sorted(
        each for each in nodes if each.startswith("s-")
    )


def test_key_over_several_satellites_has_as_many_paths(ran: Ran, nodes: dict[str, KeyStore]) -> None:
    rows = [row for row in nodes["d"].list_blocks() if row.block_id.startswith("xor:") and row.peer == "a"]
    assert rows and all(len(row.paths) == 2 and row.paths[0] != row.paths[1] for row in rows)
    other = {row.block_id: nodes["a"].peek_for_check(row.block_id) for row in rows}
    assert all(nodes["d"].peek_for_check(each) == key for each, key in other.items())


def test_another_seed_gives_other_key_of_the_same_length(tmp_path: Path) -> None:
    network = made_network([PAIRS[0]])
    first = []
    for seed in (1, 2):
        with Stores(network, tmp_path / str(seed), seed=seed) as stores:
            stores.receive(0, 0, 800, now_s=5)
            first.append(stores.nodes["a"].peek_for_check("pass/1").expose().tobytes())
    assert len(first[0]) == len(first[1]) == 100 and first[0] != first[1]


def test_ends_that_hold_other_key_are_noticed_when_it_is_used(tmp_path: Path) -> None:
    with Stores(made_network([PAIRS[0]]), tmp_path, seed=1) as stores:
        for name, peer, byte in (("a", "b", b"\x01"), ("b", "a", b"\x02")):
            tables: dict[str, Any] = {"peer": peer, "kind": "pair", "origin": "twin", "state": "confirmed"}
            stores.nodes[name].add_block("given", key=100 * byte, now_utc="2024-10-03T12:00:00Z", **tables)
        with pytest.raises(LocalProtocolError, match="other key"):
            stores.use(0, 80, now_s=60)


def test_a_store_that_was_used_otherwise_is_noticed_at_the_end(tmp_path: Path) -> None:
    network = made_network([PAIRS[3]])
    offer = made_offer([Made(0, 0, 0.5, 80_000.0), Made(0, 1, 1.5, 80_000.0)])

    class Robbed(Stores):
        def accounts(self) -> tuple[Account, ...]:
            self.nodes["a"].spend("b", "pair", 80, purpose="theft", reference="1", demo=True)
            return super().accounts()

    with (
        Robbed(network, tmp_path, seed=1) as stores,
        pytest.raises(LocalProtocolError, match="pair key of a"),
    ):
        operate(network, seed=1, policy=POLICY, ledger=stores, offer=offer)


def test_stores_that_are_there_are_refused(tmp_path: Path) -> None:
    network = made_network([PAIRS[0]])
    Stores(network, tmp_path, seed=1).close()
    with pytest.raises(ResourceError):
        Stores(network, tmp_path, seed=1)


def test_pairs_that_share_a_store_take_none_of_each_others_key(tmp_path: Path) -> None:
    ends = {"ends": ["a", "b"]}
    network = made_network([ends, ends | {"satellites": 2}, ends], satellites=2)
    books = Books(network)
    with Stores(network, tmp_path, seed=1) as stores:
        found = []
        for ledger in (books, stores):
            for satellite in (0, 1):
                for station in (0, 1):
                    ledger.receive(satellite, station, 50_000, now_s=60)
                for pair, bits in enumerate((8_008, 16_000, 4_000)):
                    ledger.relay(satellite, pair, bits, now_s=120)
            before = dict(ledger.waiting(1))
            ledger.use(0, 16_016, now_s=180)
            after = dict(ledger.waiting(1))
            made = ledger.combine(1, now_s=240)
            ledger.use(2, 7_992, now_s=300)
            ledger.use(1, made.bits, now_s=300)
            found.append((before, after, made, +Counter(ledger.waiting(1)), ledger.accounts()))
        assert found[0] == found[1]
        assert before == after == {0: 16_000, 1: 16_000} and made.bits == 16_000 - 2 * TAG_BITS
        with pytest.raises(LocalProtocolError, match="8 bits used that are not there"):
            stores.use(2, 16, now_s=360)
        assert all(store.check().balanced for store in stores.nodes.values())


def test_three_satellites_of_three_combine_alike_in_books_and_stores(tmp_path: Path) -> None:
    network = made_network([{"ends": ["a", "b"], "satellites": 3}], satellites=3)
    books = Books(network)
    with Stores(network, tmp_path, seed=1) as stores:
        found = []
        for ledger in (books, stores):
            for satellite, bits in enumerate((24_000, 32_008, 40_000)):
                for station in (0, 1):
                    ledger.receive(satellite, station, bits, now_s=60)
                ledger.relay(satellite, 0, bits - TAG_BITS, now_s=120)
            waiting = dict(ledger.waiting(0))
            made = ledger.combine(0, now_s=180)
            ledger.use(0, made.bits - 80, now_s=240)
            found.append((waiting, made, ledger.accounts(), list(ledger.pieces())))
        assert found[0] == found[1]
        key = 24_000 - TAG_BITS
        assert found[0][1] == (key - 2 * TAG_BITS, 3 * key)
