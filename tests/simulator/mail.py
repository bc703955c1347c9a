"""Messages of users in the simulator: queued at random, carried by the terminals, judged at the end.

Key for them is relayed and granted out of what the passes make, and out of some that was there before, for a
simulated block holds a few hundred bits. Judged from the stores' tables and from what was queued here.
"""

from collections import defaultdict
from typing import Any, NamedTuple

from sqlalchemy import select

from satqkd.config import Traffic
from satqkd.keys import KeyStore
from satqkd.keys.sql.schema import BLOCKS, SPENDS
from satqkd.keys.traffic import Draft, content_of, incoming, outgoing, queue, split_id
from satqkd.mission.terminal import Terminal
from satqkd.randomness import stream, stream_bytes
from simulator.dice import Flight
from simulator.world import NOW, World

EARLIER_BYTES = 2048
SETTINGS = Traffic(
    pairs=(("graz", "jinan"),), relay_bits=2048, relay_least_bits=512, grant_bits=2048, quota_messages=8
)


class Use(NamedTuple):
    """A range of key, as a store's ledger has it."""

    node: str
    start: int
    end: int
    purpose: str
    reference: str


class Mail:
    """A guest of the world."""

    def __init__(self, seed: int) -> None:
        self._seed, self._rng = seed, stream(seed, "simulator", "mail")
        self._linked: set[str] = set()
        self.sent: dict[tuple[str, str], tuple[str, bytes]] = {}
        """By sender and message: receiver, content."""
        self._queued: dict[str, int] = {}
        """By message, before which contact."""

    def before(self, world: World, flight: Flight) -> None:
        """Key of earlier passes, once a link; up to two messages at each node."""
        if flight.station not in self._linked:
            self._linked.add(flight.station)
            key = stream_bytes(self._seed, "simulator", "earlier", flight.station)(EARLIER_BYTES)
            for node, peer in (("sat", flight.station), (flight.station, "sat")):
                settings: dict[str, Any] = {"peer": peer, "kind": "link", "origin": "twin", "key": key}
                settings |= {"state": "confirmed", "allocator": "sat", "now_utc": NOW}
                # Past the watched door: no pass confirms it.
                KeyStore.add_block(world.nodes[node].store, f"earlier.{flight.station}", **settings)
        for sender in world.nodes:
            others = [name for name in world.nodes if name != sender]
            for _ in range(int(self._rng.integers(0, 3))):
                message = self._queue(world.nodes[sender].store, sender, str(self._rng.choice(others)))
                self._queued[message] = flight.number

    def _queue(self, store: KeyStore, sender: str, receiver: str) -> str:
        content = self._rng.bytes(int(self._rng.integers(1, 30)))
        draft = Draft(
            receiver=receiver,
            name="",
            is_text=True,
            urgent=bool(self._rng.random() < 0.3),
            policy="refuse" if self._rng.random() < 0.2 else "wait",
            demo=True,
            content=content,
        )
        message = queue(store, draft, now_utc=NOW)
        self.sent[sender, message] = receiver, content
        return message

    def boarded(self, world: World, node: str, terminal: Terminal) -> None:
        """Nothing: the terminal reads all from its store."""

    def faults(self, world: World) -> list[str]:
        """What does not hold."""
        return [*self._used_alike(world), *self._received(world), *self._ended(world)]

    def _used_alike(self, world: World) -> list[str]:
        """No two nodes use one range for two things, and no node twice."""
        uses: dict[str, list[Use]] = defaultdict(list)
        for name, node in world.nodes.items():
            with node.store.snapshot() as connection:
                rows = connection.execute(
                    select(BLOCKS.c.block_id, SPENDS).join_from(
                        SPENDS, BLOCKS, SPENDS.c.block_pk == BLOCKS.c.pk
                    )
                ).all()
            for row in rows:
                if row.purpose == "skipped":  # wiped unused, for the other end is further on
                    continue
                end = row.offset_bits + row.length_bits
                uses[row.block_id].append(Use(name, row.offset_bits, end, row.purpose, row.reference))
        return [
            f"{block_id}: {one} and {other}"
            for block_id, mine in uses.items()
            for place, one in enumerate(mine)
            for other in mine[:place]
            if one.start < other.end and other.start < one.end and not _same(one, other)
        ]

    def _received(self, world: World) -> list[str]:
        """What came was sent, to this node, once and as it is."""
        faults = []
        for name, node in world.nodes.items():
            ids = [row.id for row in incoming(node.store)]
            faults += [f"{name} received {each} twice" for each in set(ids) if ids.count(each) > 1]
            for each in ids:
                content = content_of(node.store, *split_id(each))
                if self.sent.get((split_id(each)[0], each)) != (name, content):
                    faults.append(f"{name} received {each}, which was not sent like this")
                world.history.reached["message received"] += 1
        return faults

    def _ended(self, world: World) -> list[str]:
        """Delivered is what the receiver has; between neighbours a calm contact leaves nothing on its way."""
        faults = []
        for name, node in world.nodes.items():
            for row in outgoing(node.store):
                world.history.reached[f"message {row.state}"] += 1
                there = {each.id for each in incoming(world.nodes[row.to].store)}
                if row.state == "delivered" and row.id not in there:
                    faults.append(f"{row.id} is delivered, and {row.to} has it not")
                station = row.to if name == "sat" else name
                last = max(flight.number for flight in world.plan.flights if flight.station == station)
                neighbours = "sat" in (name, row.to) and self._queued[row.id] <= last
                if neighbours and row.state in ("sealed", "handed"):
                    faults.append(f"{row.id} to {row.to} is {row.state} after a calm contact")
        return faults


def _same(one: Use, other: Use) -> bool:
    """Whether two nodes use the very same range for the same thing."""
    if one.node == other.node or (one.start, one.end) != (other.start, other.end):
        return False
    if one.purpose == other.purpose == "traffic":
        to, _, number = one.reference.split()
        theirs = ("from" if to == "to" else "to", number)
        return (other.reference.split()[0], other.reference.split()[2]) == theirs
    return (one.purpose, one.reference) == (other.purpose, other.reference)


def carries_mail(seed: int) -> bool:
    """Whether users write in the run of a seed."""
    return bool(stream(seed, "simulator", "mail rides").random() < 0.5)
