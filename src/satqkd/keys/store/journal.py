"""The journal of a node's conversations: what came in, what is to be said, what is known.

    journal = Journal(store, "stellenbosch")
    with store.work():                      # one durable change, then speak
        journal.append("jinan-1...", 0, INPUT, entry)
        journal.put("jinan-1...", 17, message)

A conversation is one pass with one peer. Inputs of a block are kept until the block is finished, messages
until the peer is known to have taken them, the account of the pass until its row is read for the last
time. Inputs and memory hold raw key and keys of tags: they lie in the store under its protection, and are
overwritten when they are deleted. Nothing is read of what the bytes mean.
"""

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection, Row, and_, case, delete, insert, select, update

from satqkd.errors import KeyAlreadyUsed, KeyNotFound
from satqkd.keys.model import check_block_id, check_name
from satqkd.keys.sql import cells
from satqkd.keys.sql.journal_schema import BOOTS, CONVERSATIONS, JOURNAL, MEMORIES, UNRECEIPTED
from satqkd.keys.sql.statements import run
from satqkd.keys.store.key_store import KeyStore

Sort = Literal["input", "account"]
INPUT: Final = "input"
"""Of one block: told to its machine again after a crash; overwritten when the block is finished."""
ACCOUNT: Final = "account"
"""What is reported of the pass; no secret."""
NO_BLOCK: Final = -1

# Straight to the driver, for some of these come with every tick; its errors hold no parameters.
_REMEMBER: Final = (
    "INSERT INTO memories (conversation_pk, bytes) VALUES (?, ?) "
    "ON CONFLICT (conversation_pk) DO UPDATE SET bytes = excluded.bytes"
)
_APPEND: Final = "INSERT INTO journal (conversation_pk, block, sort, bytes) VALUES (?, ?, ?, ?)"
_PUT: Final = "INSERT INTO unreceipted (conversation_pk, sequence, bytes) VALUES (?, ?, ?)"
_NEXT: Final = (
    "SELECT sequence, bytes FROM unreceipted WHERE conversation_pk = ? AND sequence >= ? "
    "ORDER BY sequence LIMIT 16"
)
_TAKEN: Final = "DELETE FROM unreceipted WHERE conversation_pk = ? AND sequence < ?"


class ConversationRow(msgspec.Struct, frozen=True):
    """One pass with one peer, as the store knows it."""

    pass_id: str
    peer: str
    state: Literal["open", "closed", "failed"]
    parameters: bytes
    """Agreed parameters, in the caller's form."""
    epoch_utc: str
    """UTC of pass time 0."""
    reason: str
    """Why it failed; empty else."""


class Journal:
    """Conversations of one node with one peer."""

    def __init__(self, store: KeyStore, peer: str) -> None:
        self._store, self._peer = store, check_name(peer, "peer")
        self._known: dict[str, int] = {}

    def begin(self, pass_id: str, *, parameters: bytes, epoch_utc: str) -> None:
        """A new conversation. Raises KeyAlreadyUsed for a pass that is in the store."""
        row = {"pass_id": check_block_id(pass_id), "peer": self._peer, "state": "open"}
        with self._store.part() as connection:
            if self._row(connection, pass_id) is not None:
                raise KeyAlreadyUsed(f"pass {pass_id} is in the store {self._store.path} already")
            connection.execute(
                insert(CONVERSATIONS).values(**row, parameters=parameters, epoch_utc=epoch_utc)
            )

    def find(self, pass_id: str) -> ConversationRow | None:
        """What is known of a pass; None where it never began here. Raises KeyNotFound for another peer's."""
        with self._store.snapshot() as connection:
            row = self._row(connection, pass_id)
        if row is not None and row.peer != self._peer:
            raise KeyNotFound(f"pass {pass_id} was flown with {row.peer!r}, not with {self._peer!r}")
        return None if row is None else _told(row)

    def unfinished(self) -> list[ConversationRow]:
        """Open conversations with this peer, oldest first."""
        here = and_(CONVERSATIONS.c.peer == self._peer, CONVERSATIONS.c.state == "open")
        with self._store.snapshot() as connection:
            rows = connection.execute(select(CONVERSATIONS).where(here).order_by(CONVERSATIONS.c.pk)).all()
        return [_told(row) for row in rows]

    def remember(self, pass_id: str, memory: bytes) -> None:
        """Put new memory in place of the old."""
        with self._store.part() as connection:
            pk = self._pk(connection, pass_id)
            run(connection, _REMEMBER, (pk, cells.seal(connection, cells.memory_place(pk), memory)))

    def memory(self, pass_id: str) -> bytes | None:
        """What was remembered last; None when nothing was, or after the end."""
        with self._store.snapshot() as connection:
            pk = self._pk(connection, pass_id)
            of = MEMORIES.c.conversation_pk == pk
            found = connection.execute(select(MEMORIES.c.bytes).where(of)).scalar()
            return None if found is None else cells.unseal(connection, cells.memory_place(pk), found)

    def append(self, pass_id: str, block: int, sort: Sort, data: bytes) -> None:
        """One more entry, after all before."""
        with self._store.part() as connection:
            pk = self._pk(connection, pass_id)
            run(
                connection,
                _APPEND,
                (pk, block, sort, cells.seal(connection, cells.entry_place(pk, block), data)),
            )

    def entries(self, pass_id: str, sort: Sort) -> list[bytes]:
        """Entries of a sort in the order in which they came."""
        with self._store.snapshot() as connection:
            pk = self._pk(connection, pass_id)
            of = and_(JOURNAL.c.conversation_pk == pk, JOURNAL.c.sort == sort)
            rows = connection.execute(
                select(JOURNAL.c.block, JOURNAL.c.bytes).where(of).order_by(JOURNAL.c.pk)
            ).all()
            return [cells.unseal(connection, cells.entry_place(pk, row.block), row.bytes) for row in rows]

    def forget_block(self, pass_id: str, block: int) -> None:
        """Delete the inputs of a block that is finished; they are then overwritten."""
        with self._store.transaction() as connection:
            mine = and_(JOURNAL.c.conversation_pk == self._pk(connection, pass_id), JOURNAL.c.block == block)
            connection.execute(delete(JOURNAL).where(and_(mine, JOURNAL.c.sort == INPUT)))

    def put(self, pass_id: str, sequence: int, message: bytes) -> None:
        """A message that is to be said, by its number in the conversation."""
        with self._store.part() as connection:
            pk = self._pk(connection, pass_id)
            sealed = cells.seal(connection, cells.message_place(pk, sequence), message)
            run(connection, _PUT, (pk, sequence, sealed))

    def outbox(self, pass_id: str, *, start: int) -> Iterator[tuple[int, bytes]]:
        """Messages from a number on that the peer is not known to have taken, read a few at a time."""
        while found := self._next(pass_id, start):
            yield from found
            start = found[-1][0] + 1

    def taken(self, pass_id: str, until: int) -> None:
        """The peer has taken all messages before a number."""
        with self._store.part() as connection:
            run(connection, _TAKEN, (self._pk(connection, pass_id), until))

    def close(self, pass_id: str, *, memory: bytes, reason: str = "") -> None:
        """The end, a failure when there is a reason: inputs and outbox are overwritten, memory replaced."""
        state = "failed" if reason else "closed"
        with self._store.transaction() as connection:
            pk = self._pk(connection, pass_id)
            inputs = and_(JOURNAL.c.conversation_pk == pk, JOURNAL.c.sort == INPUT)
            connection.execute(delete(JOURNAL).where(inputs))
            connection.execute(delete(UNRECEIPTED).where(UNRECEIPTED.c.conversation_pk == pk))
            self.remember(pass_id, memory)
            row = update(CONVERSATIONS).where(CONVERSATIONS.c.pk == pk)
            connection.execute(row.values(state=state, reason=reason))

    def _next(self, pass_id: str, start: int) -> list[tuple[int, bytes]]:
        with self._store.snapshot() as connection:
            pk = self._pk(connection, pass_id)
            return [
                (sequence, cells.unseal(connection, cells.message_place(pk, sequence), sealed))
                for sequence, sealed in run(connection, _NEXT, (pk, start)).fetchall()
            ]

    def _row(self, connection: Connection, pass_id: str) -> Row[Any] | None:
        return connection.execute(select(CONVERSATIONS).where(CONVERSATIONS.c.pass_id == pass_id)).first()

    def _pk(self, connection: Connection, pass_id: str) -> int:
        if pass_id not in self._known:
            row = self._row(connection, pass_id)
            if row is None or row.peer != self._peer:
                raise KeyNotFound(f"no pass {pass_id} with {self._peer!r} in the journal")
            self._known[pass_id] = row.pk
        return self._known[pass_id]


def next_boot(store: KeyStore, *, after: int = 0) -> int:
    """A number for this start of a node, larger than any before with this store, and than `after`.

    after: the largest by which a peer has addressed this node; more than was counted where a store went back.
    """
    with store.part() as connection:
        larger = case((BOOTS.c.starts > after, BOOTS.c.starts), else_=after)
        connection.execute(update(BOOTS).values(starts=larger + 1))
        return int(connection.execute(select(BOOTS.c.starts)).scalar_one())


def _told(row: Row[Any]) -> ConversationRow:
    return ConversationRow(row.pass_id, row.peer, row.state, bytes(row.parameters), row.epoch_utc, row.reason)
