"""Both ends of a pass as states that can be explored, from the close of its blocks on.

A node's state is its store, copied: every step takes the real conversation up from the store, as after a
kill, lets it hear one thing, commits, and lets it say all that it has to say. The network is the set of all
that was ever said: any of it may arrive at any time, any number of times, or never. Messages arrive in their
order, a receipt whenever it likes: that is what the link keeps to (`tests/lasercom`). A node that is killed
before a commit has drawn other random bytes when it hears the same again, so the satellite takes each step
with two kinds of them.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from exploration import Steps
from satqkd.config import Protocol
from satqkd.distill import messages
from satqkd.distill.memory import Remembered
from satqkd.distill.parameters import Parameters
from satqkd.distill.satellite_session import SatelliteSession
from satqkd.distill.session import Session
from satqkd.distill.station_session import StationSession
from satqkd.keys import AuthenticationPool, provision
from satqkd.mission.conversation import Conversation
from satqkd.mission.kept import KeptBlocks
from satqkd.randomness import stream_bytes
from session_pair import kind_of
from simulator.contact import FIRST, contact_of_flight
from simulator.history import History
from simulator.light import Light
from simulator.plans import flight
from simulator.stores import WatchedStore, dying_store

SAT, STA = "sat", "graz"
ENDS = (SAT, STA)
NOW = "2026-01-02T03:04:05Z"
Said = tuple[str, int, bytes]
"""Who, number in the conversation (-1 of a receipt), bytes."""
Whole = tuple[int, int, frozenset[Said]]
_TABLES = {
    "blocks": "block_id, state, bits",
    "spends": "block_pk, offset_bits, length_bits, purpose",
    "segments": "block_pk, segment, sealed",
    "conversations": "pass_id, state, reason",
    "memories": "bytes",
    "journal": "block, sort, bytes",
    "unreceipted": "sequence, bytes",
}
"""What of a store decides what comes."""


class Node(NamedTuple):
    """One state of one end, with what checks want to know of it."""

    store: bytes
    received: int
    keys: dict[str, tuple[str, bytes]]
    """State and bytes of each block of link key."""
    conversation: str


class Line:
    """A link that takes everything."""

    def __init__(self) -> None:
        self.said: list[bytes] = []

    def room(self, n_bytes: int, *, priority: int) -> bool:
        return True

    def send(self, data: bytes, *, priority: int) -> None:
        self.said.append(bytes(data))


class Ends:
    """Satellite and station; states are numbered, equal ones have one number."""

    def __init__(self, protocol: Protocol, until: str) -> None:
        """until: the message of every block with which the exploration begins; before it all goes well."""
        plan = flight(0, protocol, slots=2000 * protocol.blocks)
        contact = contact_of_flight(plan, days=0)
        self.parameters: Parameters = contact.parameters(protocol, seed=1)
        self._light = Light(self.parameters, seed=3, qber=0.005, horizon_slots=None)
        self._end_s = self.parameters.end_s(protocol.blocks - 1) + 1.0
        made = {name: dying_store(name, History()) for name in ENDS}
        self._databases = {name: database for name, (_, database) in made.items()}
        stores = [made[name][0] for name in ENDS]
        provision(*stores, 1 << 14, randbytes=stream_bytes(1, "authentication"), now_utc=NOW)
        self.states: list[Node] = []
        self._numbers: dict[Any, int] = {}
        self.steps: Steps[int, tuple[str, Said | None, int], tuple[int, frozenset[Said]]] = Steps(self._run)
        self.start = self._first(until)

    def _first(self, until: str) -> Whole:
        ends = {name: self._take_up(name, 0) for name in ENDS}
        said: set[Said] = set()
        waiting: list[tuple[str, bytes]] = []
        told = False
        while True:
            for name, conversation in ends.items():
                session = conversation.session
                if name == STA and not told and session.state.name == "RUNNING":
                    told = True
                    self._announce(session)
                line = self._finish(name, conversation)
                said |= {self._named(name, data) for data in line}
                waiting += [(name, data) for data in line]
            if not waiting:
                break
            for name, data in waiting:
                if self._kind(data) != until:
                    self._hear(ends[STA if name == SAT else SAT], data)
            waiting = []
        numbers = [self._keep(name) for name in ENDS]
        return numbers[0], numbers[1], frozenset(said)

    def _announce(self, session: Session) -> None:
        assert isinstance(session, StationSession)
        table = self._light.table
        session.announce(table.slots, table.bases, table.bits)
        for block in range(self.parameters.protocol.blocks):
            session.end_block(block, self._end_s)

    def _take_up(self, name: str, variant: int) -> Conversation:
        store = WatchedStore(self._databases[name], name, History())
        peer = STA if name == SAT else SAT

        def make(agreed: Parameters, kept: KeptBlocks, remembered: Remembered | None) -> Session:
            keys = AuthenticationPool(store, peer, purpose=f"pass {agreed.pass_id}")
            if name == STA:
                return StationSession(agreed, keys, kept, remembered=remembered)
            randbytes = stream_bytes(variant, "seeds")
            return SatelliteSession(agreed, keys, self._light, randbytes, kept, remembered=remembered)

        return Conversation(
            self.parameters,
            make,
            store=store,
            peer=peer,
            epoch=FIRST,
            origin="twin",
            log=lambda *_, **__: None,
        )

    def _hear(self, conversation: Conversation, data: bytes) -> None:
        address = messages.address_of(data[:-16])
        assert address is not None
        if address.is_receipt:
            conversation.receive_receipt(data)
        elif not conversation.closed:
            conversation.session.receive(data, self._end_s)
            conversation.handle_events(self._end_s)

    def _finish(self, name: str, conversation: Conversation) -> list[bytes]:
        conversation.handle_events(self._end_s)
        with conversation._store.work():
            conversation.write_down(self._end_s)
        line = Line()
        conversation.speak(line, self._end_s)  # type: ignore[arg-type]
        conversation._receipt_due_s = float("-inf")
        return line.said

    def _kind(self, data: bytes) -> str:
        address = messages.address_of(data[:-16])
        return "Receipt" if address is None or address.is_receipt else kind_of(data)

    def _named(self, name: str, data: bytes) -> Said:
        if self._kind(data) == "Receipt":
            return name, -1, data
        return name, messages.decode(data[:-16]).sequence, data

    def moves(self, whole: Whole) -> Iterator[tuple[str, Whole]]:
        """Something arrives, or a node is started and says again what is not receipted."""
        for place, name in enumerate(ENDS):
            number = whole[place]
            received = self.states[number].received
            heard = [said for said in whole[2] if said[0] != name and said[1] <= received]
            for given in [None, *sorted(heard)]:
                draws = name == SAT and given is not None and given[1] >= 0
                for variant in (0, 1) if draws else (0,):
                    after, said = self.steps(number, (name, given, variant))
                    nodes = (after, whole[1]) if place == 0 else (whole[0], after)
                    yield f"{name}: {self.describe(given)}", (*nodes, whole[2] | said)

    def describe(self, said: Said | None) -> str:
        """Of an input."""
        return "is started" if said is None else f"hears {said[1]} {self._kind(said[2])}"

    def _run(self, number: int, given: tuple[str, Said | None, int]) -> tuple[int, frozenset[Said]]:
        name, said, variant = given
        self._databases[name].put_back(self.states[number].store)
        conversation = self._take_up(name, variant)
        conversation.reconnected()
        with conversation._store.work():
            if said is not None:
                self._hear(conversation, said[2])
            told = self._finish(name, conversation)
        return self._keep(name), frozenset(self._named(name, data) for data in told)

    def _keep(self, name: str) -> int:
        database = self._databases[name]
        rows = {
            table: database._driver.execute(f"SELECT {columns} FROM {table}").fetchall()
            for table, columns in _TABLES.items()
        }
        rows["journal"] = [row for row in rows["journal"] if row[1] == "input"]
        key = (name, repr(rows))
        if key not in self._numbers:
            self._numbers[key] = len(self.states)
            conversation = self._take_up(name, 0)
            store = conversation._store
            keys = {
                row.block_id: (row.state, bytes(store.peek_for_check(row.block_id).expose()))
                for row in store.list_blocks()
                if row.kind == "link"
            }
            (state,) = [row[1] for row in rows["conversations"]]
            self.states.append(Node(database.copy(), conversation.session.received, keys, state))
        return self._numbers[key]

    def calm(self, whole: Whole, stop: Callable[[Whole], bool]) -> Whole:
        """From here on all that is said arrives once, in order, both ways."""
        for _ in range(60):
            for place, name in enumerate(ENDS):
                said = [each for each in whole[2] if each[0] != name]
                ready = [each for each in said if each[1] == self.states[whole[place]].received]
                for given in [None, *sorted(ready), *sorted(each for each in said if each[1] < 0)]:
                    after, told = self.steps(whole[place], (name, given, 0))
                    nodes = (after, whole[1]) if place == 0 else (whole[0], after)
                    whole = (*nodes, whole[2] | told)
            if stop(whole):
                break
        return whole
