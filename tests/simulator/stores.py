"""Key stores in memory that tell what goes through their door, and that die when told.

The schema, triggers and transactions are the real ones; the file is not. A process that is killed before a
commit leaves what was committed last, one killed after it has made that durable: both are an exception here,
and whoever was at work is dropped.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from memory_store import VolatileDatabase
from satqkd.keys import KeyRange, KeyStore, Spent
from satqkd.keys.sql.database import Database
from simulator.history import History


class Crash(BaseException):
    """The process is gone."""


class DyingDatabase(VolatileDatabase):
    """An SQLite database in memory behind the store's own interface, all of whose changes can be the last."""

    def __init__(self, node: str, history: History) -> None:
        super().__init__(node)
        self.node, self.history = node, history
        self.crash: str | None = None
        """The next change is the last, `before` or `after` its commit."""
        self.crash_after_changes = 0
        """So many changes before that one."""
        self.on_commit: Callable[[], None] = lambda: None

    @contextmanager
    def work(self) -> Iterator[None]:
        """A durable change, with its end."""
        if self._work is not None:
            with super().work():
                yield
            return
        try:
            with super().work():
                yield
                work = self._work
                changes = work is not None and work.connection is not None
                if changes:
                    self._die("before")
        except BaseException:
            self.history.undone(self.node)
            raise
        self.history.committed(self.node)
        if changes:
            self.on_commit()
            self._die("after")
            self.crash_after_changes -= self.crash is not None

    def _die(self, when: str) -> None:
        if self.crash == when and self.crash_after_changes <= 0:
            self.crash = None
            raise Crash


class WatchedStore(KeyStore):
    """A key store whose door is noted: what came in, was confirmed, discarded, used."""

    def __init__(self, database: Database, node_id: str, history: History) -> None:
        super().__init__(database, node_id)
        self.history = history

    def add_block(self, block_id: str, **settings: Any) -> None:
        """As the store's; noted with its key."""
        key = settings["key"]
        data = bytes(key if isinstance(key, bytes | bytearray) else key.expose())
        with self.work():
            super().add_block(block_id, **settings)
            peer, kind = settings["peer"], settings["kind"]
            self.history.within(self.node_id, "add", block_id=block_id, peer=peer, sort=kind, key=data)
            if settings.get("state") == "confirmed":
                self.history.within(self.node_id, "confirm", block_id=block_id)

    def confirm_block(self, block_id: str, *, now_utc: str | None = None) -> None:
        """As the store's."""
        with self.work():
            super().confirm_block(block_id, now_utc=now_utc)
            self.history.within(self.node_id, "confirm", block_id=block_id)

    def discard_block(self, block_id: str, *, now_utc: str | None = None) -> None:
        """As the store's."""
        with self.work():
            super().discard_block(block_id, now_utc=now_utc)
            self.history.within(self.node_id, "discard", block_id=block_id)

    def spend(self, peer: str, kind: Any, bits: int, *, purpose: str, **settings: Any) -> Spent:
        """As the store's."""
        with self.work():
            spent = super().spend(peer, kind, bits, purpose=purpose, **settings)
            return self._used(spent, purpose, settings["reference"])

    def spend_at(
        self, peer: str, kind: Any, ranges: Sequence[KeyRange], *, purpose: str, **settings: Any
    ) -> Spent:
        """As the store's."""
        with self.work():
            spent = super().spend_at(peer, kind, ranges, purpose=purpose, **settings)
            return self._used(spent, purpose, settings["reference"])

    def draw_auth(
        self, peer: str, *, position_bits: int, bits: int, purpose: str, now_utc: str | None = None
    ) -> Spent:
        """As the store's."""
        with self.work():
            spent = super().draw_auth(
                peer, position_bits=position_bits, bits=bits, purpose=purpose, now_utc=now_utc
            )
            return self._used(spent, purpose, f"position {position_bits}")

    def skip_auth_to(self, peer: str, position_bits: int, *, now_utc: str | None = None) -> int:
        """As the store's."""
        with self.work():
            bits = super().skip_auth_to(peer, position_bits, now_utc=now_utc)
            self.history.within(self.node_id, "skip", bits=bits)
            return bits

    def _used(self, spent: Spent, purpose: str, reference: str) -> Spent:
        ranges = tuple((piece.block_id, piece.offset_bits, piece.end_bits) for piece in spent.ranges)
        key = bytes(spent.key.expose())
        self.history.within(self.node_id, "use", ranges=ranges, purpose=purpose, reference=reference, key=key)
        return spent


_EMPTY: dict[str, tuple[DyingDatabase, bytes]] = {}
"""One a node and process: what SQLAlchemy learns about statements is of the engine, and a fifth of a run."""


def dying_store(node: str, history: History) -> tuple[WatchedStore, DyingDatabase]:
    """An empty store in memory, and the database below it; the one made before for this node is gone."""
    if node not in _EMPTY:
        database = DyingDatabase(node, history)
        database.fill(node)
        _EMPTY[node] = database, database.copy()
    database, empty = _EMPTY[node]
    database.put_back(empty)
    database.history, database.crash, database.crash_after_changes = history, None, 0
    database.on_commit = lambda: None
    return WatchedStore(database, node, history), database
