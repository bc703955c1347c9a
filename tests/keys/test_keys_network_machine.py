"""A network in any order of passes, relays, combinations, losses, replays and kills: no key bit serves twice.

Two satellites, three ground nodes, records that arrive in any order, any number of times or never, also
changed. What holds is asked of all stores together: a bit of a block has one use at both ends, blocks of one
name hold the same bytes and paths, and every store's books balance.
"""

import random
from itertools import combinations, permutations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from keys_cases import NOW, give, key_bytes

from memory_store import MemoryDatabase, memory_store
from satqkd.config import KeyNetwork, RelayQuota
from satqkd.errors import Error, KeyStoreError
from satqkd.keys import KeyStore, find_relay, largest_relay_bits, make_relay
from satqkd.keys.network.accept import accept_record
from satqkd.keys.network.combination import (
    choose_sources,
    combine_pairs,
    find_combination,
    largest_combination_bits,
)
from satqkd.keys.network.command import execute_command, make_command
from satqkd.keys.paths import known_to

SATELLITES, GROUND = ("jinan", "micius"), ("ayla", "bela", "cleo")
NODES = SATELLITES + GROUND
GROUND_PAIRS = list(combinations(GROUND, 2))
QUOTA_BITS = 4000
NETWORK = KeyNetwork(
    commanders=GROUND, quota=tuple(RelayQuota(stations=pair, bits=QUOTA_BITS) for pair in GROUND_PAIRS)
)
BITS = st.integers(1, 60).map(lambda n: 8 * n)
SEED = st.integers(0, 2**32)


class NetworkMachine(RuleBasedStateMachine):
    """Stores in memory, records in a sack, and what is known of every block that ever was."""

    @initialize()
    def start(self) -> None:
        self.databases: dict[str, MemoryDatabase] = {}
        self.stores: dict[str, KeyStore] = {}
        for name in NODES:
            self.stores[name], self.databases[name] = memory_store(name)
        self.records: dict[str, bytes] = {}
        self.commands: list[tuple[str, bytes]] = []
        self.bytes_of: dict[str, bytes] = {}
        self.commanded_bits: dict[frozenset[str], int] = {}
        self.count = 0
        for satellite in SATELLITES:
            for station in GROUND:
                self.fly_once(satellite, station, 300)
                name = self.name("grant")
                give(self.stores[satellite], self.stores[station], name, key_bytes(96, name))

    def teardown(self) -> None:
        for database in getattr(self, "databases", {}).values():
            database.close()

    def name(self, what: str) -> str:
        self.count += 1
        return f"{what}{self.count}"

    @rule(satellite=st.sampled_from(SATELLITES), station=st.sampled_from(GROUND), size=st.integers(40, 250))
    def fly(self, satellite: str, station: str, size: int) -> None:
        self.fly_once(satellite, station, size)

    def fly_once(self, satellite: str, station: str, size: int) -> None:
        name = self.name("pass")
        give(self.stores[satellite], self.stores[station], name, key_bytes(size, name), kind="link")

    @rule(pair=st.sampled_from(GROUND_PAIRS), size=st.integers(100, 250))
    def fibre(self, pair: tuple[str, str], size: int) -> None:
        name = self.name("fibre")
        give(self.stores[pair[0]], self.stores[pair[1]], name, key_bytes(size, name))

    @rule(pair=st.sampled_from(GROUND_PAIRS))
    def connect(self, pair: tuple[str, str]) -> None:
        """Key by both satellites, which combinations and further hops live on."""
        for satellite in SATELLITES:
            try:
                record = make_relay(
                    self.stores[satellite], *pair, 720, relay_id=self.name("relay"), now_utc=NOW
                )
            except KeyStoreError:
                for station in pair:
                    self.fly_once(satellite, station, 200)
                continue
            self.records[record.relay_id] = record.data
            for station in pair:
                accept_record(self.stores[station], record.data, now_utc=NOW)

    @rule(node=st.sampled_from(NODES), bits=BITS, seed=SEED)
    def relay(self, node: str, bits: int, seed: int) -> None:
        dice = random.Random(seed)
        first, second = dice.sample([each for each in GROUND if each != node], 2)
        ends = first, second
        link = "link" if node in SATELLITES else "pair"
        kinds = (dice.choice((link, "pair")), dice.choice((link, "pair")))
        store, name = self.stores[node], self.name("relay")
        largest = largest_relay_bits(store, *ends, kinds=kinds)  # type: ignore[arg-type]
        before, again = self.databases[node].copy(), None
        for attempt in ("killed before its commit", "killed behind it", "made"):
            try:
                record = make_relay(store, *ends, bits, relay_id=name, kinds=kinds, now_utc=NOW)  # type: ignore[arg-type]
            except Error:
                assert bits > largest
                return
            assert bits <= largest and again in (None, record)
            if attempt == "killed before its commit":
                self.databases[node].put_back(before)
                assert find_relay(store, name) is None
            else:
                again = record
        self.records[name] = record.data

    @rule(
        ends=st.sampled_from(list(permutations(GROUND, 2))), paths=st.integers(2, 3), bits=BITS,
        seed=SEED,
    )  # fmt: skip
    def combine(self, ends: tuple[str, str], paths: int, bits: int, seed: int) -> None:
        node, peer = ends
        store, name = self.stores[node], self.name("xor")
        try:
            through = choose_sources(store, peer, paths)
        except KeyStoreError:
            self.connect(ends)
            return
        bits = min(bits, largest_combination_bits(store, peer, through))
        before = self.databases[node].copy()
        record = combine_pairs(store, peer, bits, through=through, combination_id=name, now_utc=NOW)
        if seed % 3 == 0:
            self.databases[node].put_back(before)
            record = combine_pairs(store, peer, bits, through=through, combination_id=name, now_utc=NOW)
        for nodes in combinations(NODES, paths - 1):
            assert not known_to(record.paths, nodes)
        assert find_combination(store, name) == record
        self.records[name] = record.data
        if seed % 2:
            accept_record(self.stores[peer], record.data, now_utc=NOW)

    @rule(
        ends=st.sampled_from(GROUND_PAIRS), commander=st.sampled_from(GROUND),
        satellite=st.sampled_from(SATELLITES), bits=BITS,
    )  # fmt: skip
    def command(self, ends: tuple[str, str], commander: str, satellite: str, bits: int) -> None:
        store, name = self.stores[commander], self.name("ordered")
        try:
            order = make_command(store, satellite, ends, bits, relay_id=name, not_after_utc=NOW, now_utc=NOW)
        except KeyStoreError:
            return
        self.commands.append((satellite, order))

    @precondition(lambda self: self.commands)
    @rule(seed=SEED)
    def obey(self, seed: int) -> None:
        dice = random.Random(seed)
        satellite, order = dice.choice(self.commands)
        before = self.spent_of(satellite)
        try:
            record = execute_command(self.stores[satellite], order, network=NETWORK, now_utc=NOW)
        except KeyStoreError:
            return
        if record.relay_id in self.records:
            assert self.spent_of(satellite) == before
        pair = frozenset((record.station_a, record.station_b))
        if record.relay_id not in self.records:
            self.commanded_bits[pair] = self.commanded_bits.get(pair, 0) + record.bits
        assert self.commanded_bits[pair] <= QUOTA_BITS
        assert self.records.setdefault(record.relay_id, record.data) == record.data

    def spent_of(self, node: str) -> int:
        return sum(row.spent_bits for row in self.stores[node].list_blocks())

    @precondition(lambda self: self.records)
    @rule(seed=SEED, changed=st.booleans(), killed=st.booleans())
    def deliver(self, seed: int, changed: bool, killed: bool) -> None:
        """Any record to any node, perhaps with a bit changed, perhaps for the second time."""
        dice = random.Random(seed)
        data = bytearray(self.records[dice.choice(sorted(self.records))])
        node = dice.choice(GROUND)
        before, blocks = self.databases[node].copy(), self.stores[node].list_blocks()
        if changed:
            data[dice.randrange(len(data) - 40)] ^= 1 << dice.randrange(8)  # short of the tags
        try:
            accepted = accept_record(self.stores[node], bytes(data), now_utc=NOW)
        except Error:
            assert self.stores[node].list_blocks() == blocks
            return
        assert not changed
        assert accepted.repeated == any(row.block_id == accepted.block_id for row in blocks)
        if accepted.repeated:
            assert self.stores[node].list_blocks() == blocks
        if killed:
            self.databases[node].put_back(before)
            assert accept_record(self.stores[node], bytes(data), now_utc=NOW) == accepted

    @invariant()
    def a_bit_has_one_use_in_the_whole_network(self) -> None:
        uses: dict[tuple[str, int], set[tuple[str, str]]] = {}
        query = (
            "SELECT block_id, offset_bits, length_bits, purpose, reference FROM spends "
            "JOIN blocks ON blocks.pk = spends.block_pk"
        )
        for database in getattr(self, "databases", {}).values():
            for block_id, offset, length, purpose, reference in database.rows(query):
                for byte in range(offset // 8, (offset + length) // 8):
                    uses.setdefault((block_id, byte), set()).add((purpose, reference))
        assert all(len(each) == 1 for each in uses.values())

    @invariant()
    def blocks_of_one_name_are_alike(self) -> None:
        ends: dict[str, tuple[object, ...]] = {}
        for store in getattr(self, "stores", {}).values():
            for row in store.list_blocks():
                assert ends.setdefault(row.block_id, (row.paths, row.bits, row.kind)) == (
                    row.paths, row.bits, row.kind,
                )  # fmt: skip
                if row.spent_bits == 0:
                    held = bytes(store.peek_for_check(row.block_id).expose())
                    assert self.bytes_of.setdefault(row.block_id, held) == held

    @invariant()
    def books_balance(self) -> None:
        for store in getattr(self, "stores", {}).values():
            report = store.check()
            assert report.balanced, report.faults


TestNetworkMachine = NetworkMachine.TestCase
TestNetworkMachine.settings = settings(max_examples=8, stateful_step_count=30, deadline=None)
