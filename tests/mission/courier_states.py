"""Satellite and two stations as states that can be explored: the real couriers on real stores in memory.

A node's state is its store, copied, and what its couriers remember of the connection. The network is the
set of all that was ever said: any of it may arrive at any time, any number of times, or never. A node may
be killed after any commit of any step; what it would have said is then unsaid.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import msgspec
from courier_world import NOW, SAT, A, B, draft, everything

from exploration import Steps
from memory_store import MemoryDatabase, memory_store
from satqkd.config import Traffic
from satqkd.keys import KeyStore
from satqkd.keys.traffic import Parcel, queue
from satqkd.mission.courier import Courier
from satqkd.mission.courier_messages import Whole, decode

Said = tuple[str, str, bytes]
"""Who, to whom, what."""
Whole_ = tuple[int, int, int, frozenset[Said]]
"""State of the whole: states of the nodes SAT, A, B, and what was ever said."""
NODES = (SAT, A, B)
NEIGHBOURS = {SAT: (A, B), A: (SAT,), B: (SAT,)}
RELAY_BITS = 2048
CONTENT = {A: b"attack at dawn", B: b"not before ten"}
_TABLES = {
    "blocks": "block_id, state",
    "spends": "(SELECT block_id FROM blocks WHERE pk = block_pk), offset_bits, length_bits, purpose,"
    " reference",
    "segments": "block_pk, segment, sealed",
    "outbox": "number, state, reason, content, token",
    "inbox": "sender, number, content",
    "parcels": "kind, source, destination, number, sha256",
    "arrivals": "kind, source, destination, number, from_hop, sha256, held_bytes",
}
"""What of the store decides what comes. The audit log, counts of wrong tags and row numbers do not; the order
of rows decides in which order things are said, which a network that reorders makes nothing of."""
_NOTHING: frozenset[Said] = frozenset()


class NodeState(msgspec.Struct):
    """One state of one node, with what checks want to know of it."""

    store: bytes
    couriers: dict[str, Any]
    durable: tuple[Any, ...]
    uses: dict[tuple[str, int, int], str]
    """What each key range was used for."""
    sent: dict[int, str]
    """State by number, of what this node sends."""
    received: dict[tuple[str, int], bytes]


class Network:
    """The three nodes; states are numbered, equal ones have one number."""

    def __init__(self, settings: Traffic, messages: tuple[tuple[str, str], ...]) -> None:
        """messages: sender and receiver of each."""
        self._settings = settings
        self._stores: dict[str, tuple[KeyStore, MemoryDatabase]] = {
            node: memory_store(node) for node in NODES
        }
        self.states: list[NodeState] = []
        self._numbers: dict[Any, int] = {}
        self.steps: Steps[int, tuple[str, Said | None], list[tuple[str, int, frozenset[Said]]]] = Steps(
            self._run
        )
        for station in (A, B):
            self._give_link_key(station)
        for sender, receiver in messages:
            queue(self._stores[sender][0], draft(receiver, CONTENT[sender]), now_utc=NOW)
        first = [self._keep(node, self._fresh(node)) for node in NODES]
        self.start: Whole_ = (first[0], first[1], first[2], frozenset())

    def _give_link_key(self, station: str) -> None:
        key = bytes((7 * i + len(station)) % 251 for i in range(RELAY_BITS // 8 + 32))
        for node, peer in ((SAT, station), (station, SAT)):
            self._stores[node][0].add_block(
                f"pass-{station}", peer=peer, kind="link", origin="hardware", key=key, state="confirmed",
                allocator=SAT, now_utc=NOW,
            )  # fmt: skip

    def moves(self, whole: Whole_) -> Iterator[tuple[str, Whole_]]:
        """All that can happen: something arrives, or a node begins a connection; it may die meanwhile."""
        net = whole[3]
        for place, node in enumerate(NODES):
            inputs: list[Said | None] = [None, *sorted(said for said in net if said[1] == node)]
            for given in inputs:
                for label, number, said in self.steps(whole[place], (node, given)):
                    after = list(whole[:3])
                    after[place] = number
                    yield f"{node}: {label}", (after[0], after[1], after[2], net | said)

    def _run(self, number: int, given: tuple[str, Said | None]) -> list[tuple[str, int, frozenset[Said]]]:
        """Label, state after and what was said, for every way that the step can end; the last is unharmed."""
        node, said = given
        database = self._stores[node][1]
        database.put_back(self.states[number].store)
        couriers = self._fresh(node)
        if said is not None:
            for peer, courier in couriers.items():
                _remember(courier, self.states[number].couriers[peer])
        database.commits = commits = []
        told = self._step(node, couriers, said)
        database.commits = None
        label = "connects" if said is None else f"hears {describe(said)}"
        unharmed = label, self._keep(node, couriers), told
        results = []
        for count, copy in enumerate(commits, start=1):
            database.put_back(copy)
            results.append(
                (f"{label}, dies at commit {count}", self._keep(node, self._fresh(node)), _NOTHING)
            )
        return [*results, unharmed]

    def _step(self, node: str, couriers: dict[str, Courier], said: Said | None) -> frozenset[Said]:
        if said is not None:
            couriers[said[0]].receive(3, said[2], NOW)
        told = [
            (node, peer, data)
            for peer, courier in couriers.items()
            for _, data in courier.to_send(NOW, everything)
        ]
        assert not any(content in data for content in CONTENT.values() for _, _, data in told), (
            "plain text said"
        )
        return frozenset(told)

    def _fresh(self, node: str) -> dict[str, Courier]:
        store = self._stores[node][0]
        return {
            peer: Courier(store, peer, self._settings, carrier=node == SAT, demo=False)
            for peer in NEIGHBOURS[node]
        }

    def _keep(self, node: str, couriers: dict[str, Courier]) -> int:
        store, database = self._stores[node]
        rows = {
            table: tuple(database.rows(f"SELECT {columns} FROM {table} ORDER BY 1, 2"))
            for table, columns in _TABLES.items()
        }
        names = {
            pk: Parcel(*name)
            for pk, *name in database.rows("SELECT pk, kind, source, destination, number FROM parcels")
        }
        durable = (node, tuple(rows.values()))
        talk = tuple((peer, _talk(courier, names)) for peer, courier in couriers.items())
        key = durable, talk
        if key not in self._numbers:
            report = store.check()
            assert report.balanced, report.faults
            self._numbers[key] = len(self.states)
            self.states.append(_node_state(database.copy(), couriers, durable, rows))
        return self._numbers[key]

    def calm(self, whole: Whole_) -> Whole_:
        """Where it ends when nothing is lost any more and every station is met three times."""
        for station in (A, B) * 3:
            whole = self._contact(whole, station)
        return whole

    def _contact(self, whole: Whole_, station: str) -> Whole_:
        numbers = dict(zip(NODES, whole[:3], strict=True))
        heard: list[Said] = []
        for node in (SAT, station):
            _, numbers[node], told = self.steps(numbers[node], (node, None))[-1]
            heard += sorted(told)
        while heard:
            said = heard.pop(0)
            if {said[0], said[1]} == {SAT, station}:
                _, numbers[said[1]], told = self.steps(numbers[said[1]], (said[1], said))[-1]
                heard += sorted(told)
        return numbers[SAT], numbers[A], numbers[B], frozenset()


def _remember(courier: Courier, remembered: Any) -> None:
    begun, said, coming, answers = deepcopy(remembered)
    courier._begun, courier._outgo.said = begun, said
    courier._intake.coming, courier._intake.answers = coming, answers


def _talk(courier: Courier, names: dict[int, Any]) -> Any:
    """What a courier remembers, by names of parcels; how much of a finished one was acknowledged is idle."""
    said = frozenset(
        (names[pk], "finished" if each.finished else msgspec.json.encode(each))
        for pk, each in courier._outgo.said.items()
        if pk in names
    )
    coming = frozenset(
        (parcel, msgspec.msgpack.encode(each)) for parcel, each in courier._intake.coming.items()
    )
    assert not courier._intake.answers, "with room for everything all answers are said"
    return courier._begun, said, coming


def _node_state(
    store: bytes, couriers: dict[str, Courier], durable: tuple[Any, ...], rows: dict[str, Any]
) -> NodeState:
    remembered = {
        peer: deepcopy((each._begun, each._outgo.said, each._intake.coming, each._intake.answers))
        for peer, each in couriers.items()
    }
    node = durable[0]
    return NodeState(
        store=store,
        couriers=remembered,
        durable=durable,
        uses={
            (block, offset, bits): _use(node, purpose, of)
            for block, offset, bits, purpose, of in rows["spends"]
        },
        sent={number: state for number, state, *_ in rows["outbox"]},
        received={(sender, number): content for sender, number, content in rows["inbox"]},
    )


def _use(node: str, purpose: str, reference: str) -> str:
    """What key was used for, in words that are the same at both ends."""
    words = reference.split()
    if purpose != "traffic":
        return f"{purpose} {reference}"
    sender, receiver = (node, words[1]) if words[0] == "to" else (words[1], node)
    return f"message of {sender} to {receiver}, {words[2]}"


def describe(said: Said) -> str:
    """A message in words."""
    message = decode(said[2])
    if message is None:
        return "noise"
    parcel = message.parcel
    more = "" if isinstance(message, Whole) else f" {message.__class__.__name__}"
    return f"{parcel.kind} {parcel.source}-{parcel.destination} {parcel.number}{more} from {said[0]}"
