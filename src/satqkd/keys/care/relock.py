"""Another lock for a store, and another root key.

To change the lock wraps the root key anew, in one small change; old copies of the store open by the old lock
still. A new root key seals everything anew: blocks under fresh keys, all other secret bytes under the new
root. So nothing that a disk, a server's log or an old row kept can be opened by what opens the store from
then on, once the old lock is destroyed. Either is one change: a kill leaves all of the old or of the new.
"""

import hmac
import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, Select, and_, select, update
from sqlalchemy.sql.expression import TableClause

from satqkd.errors import ConfigError
from satqkd.keys.at_rest.unlock import Lock, lock_root, unlock_root
from satqkd.keys.at_rest.vault import KEY_BYTES, Vault
from satqkd.keys.ledger import audit, held, id_secrets, material, push_outbox, push_streams
from satqkd.keys.secret import Secret
from satqkd.keys.sql import cells
from satqkd.keys.sql.database import database_of, vault_of
from satqkd.keys.sql.journal_schema import JOURNAL, MEMORIES, UNRECEIPTED
from satqkd.keys.sql.push_schema import PUSHES, STREAM_CHUNKS
from satqkd.keys.sql.rules import suspended
from satqkd.keys.sql.schema import BLOCKS, META, RAW_BLOCKS, RAW_MATERIAL, ROOT
from satqkd.keys.sql.supply_schema import HELD_KEYS, ID_SECRETS
from satqkd.keys.sql.traffic_schema import INBOX, OUTBOX
from satqkd.keys.store.key_store import KeyStore


def change_lock(store: KeyStore, lock: Lock, *, now_utc: str) -> None:
    """Wrap the root key by another lock. Raises ConfigError (it does not open what it wrapped)."""
    with store.transaction() as connection:
        locked = vault_of(connection).locked_by(partial(_tried, lock))
        _write_root(connection, locked)
        audit.append(connection, "lock changed", now_utc, lock=lock.word.decode())
    database_of(connection).locked_root = locked


def change_root(store: KeyStore, lock: Lock, *, now_utc: str) -> None:
    """A fresh root key, wrapped by a lock, the same or another; all that is secret is sealed anew.

    Raises ConfigError (the lock does not open what it wrapped), ResourceError (others write the store).
    """
    root = Secret(os.urandom(KEY_BYTES))
    locked, new = _tried(lock, root), Vault(root)
    with store.transaction() as connection:
        database = database_of(connection)
        database.require_sole_writer(connection)
        old = vault_of(connection)
        with suspended(connection):
            for block in connection.execute(select(BLOCKS)).all():
                material.reseal(connection, block, old, new)
            for holder in HOLDERS:
                _reseal(connection, holder, old, new)
        _write_root(connection, locked)
        audit.append(connection, "root key changed", now_utc, lock=lock.word.decode())
    old.close()
    database.lock_with(locked, lambda: new)
    database.forget_old_rows()


def _tried(lock: Lock, root: Secret) -> bytes:
    """The wrapped root, once it is known to open again: else the store would be lost."""
    locked = lock_root(lock, root)
    with unlock_root(lock, locked) as again:
        if not hmac.compare_digest(again.expose(), root.expose()):
            raise ConfigError("the new lock does not give back what it wrapped; the old one is kept")
    return locked


def _write_root(connection: Connection, locked: bytes) -> None:
    connection.execute(update(META).where(META.c.name == ROOT).values(value=locked.hex()))


class Holder(NamedTuple):
    """A column of sealed cells: its rows' keys and what their places are made of, and the places."""

    table: TableClause
    cell: str
    keys: tuple[str, ...]
    rows: Select[Any]
    place: Callable[[Row[Any]], str]


def _outbox_place(name: str, row: Row[Any]) -> str:
    return cells.outbox_place(row.number, name)


def _inbox_place(name: str, row: Row[Any]) -> str:
    return cells.inbox_place(row.sender, row.number, name)


HOLDERS: Final = (
    Holder(
        RAW_MATERIAL,
        "raw_bytes",
        ("block_pk",),
        select(RAW_MATERIAL.c.block_pk, RAW_BLOCKS.c.block_id).join_from(
            RAW_MATERIAL, RAW_BLOCKS, RAW_MATERIAL.c.block_pk == RAW_BLOCKS.c.pk
        ),
        lambda row: cells.raw_place(row.block_id),
    ),
    Holder(
        MEMORIES,
        "bytes",
        ("conversation_pk",),
        select(MEMORIES.c.conversation_pk),
        lambda row: cells.memory_place(row.conversation_pk),
    ),
    Holder(
        JOURNAL,
        "bytes",
        ("pk",),
        select(JOURNAL.c.pk, JOURNAL.c.conversation_pk, JOURNAL.c.block),
        lambda row: cells.entry_place(row.conversation_pk, row.block),
    ),
    Holder(
        UNRECEIPTED,
        "bytes",
        ("pk",),
        select(UNRECEIPTED.c.pk, UNRECEIPTED.c.conversation_pk, UNRECEIPTED.c.sequence),
        lambda row: cells.message_place(row.conversation_pk, row.sequence),
    ),
    *[
        Holder(OUTBOX, name, ("number",), select(OUTBOX.c.number), partial(_outbox_place, name))
        for name in ("content", "token")
    ],
    *[
        Holder(
            INBOX,
            name,
            ("pk",),
            select(INBOX.c.pk, INBOX.c.sender, INBOX.c.number),
            partial(_inbox_place, name),
        )
        for name in ("content", "token")
    ],
    Holder(
        ID_SECRETS,
        "sealed",
        ("block_pk", "own"),
        select(ID_SECRETS.c.block_pk, ID_SECRETS.c.own, BLOCKS.c.block_id).join_from(
            ID_SECRETS, BLOCKS, ID_SECRETS.c.block_pk == BLOCKS.c.pk
        ),
        lambda row: id_secrets.place(row.block_id, own=bool(row.own)),
    ),
    Holder(
        HELD_KEYS,
        "sealed",
        ("key_id", "slave"),
        select(HELD_KEYS.c.key_id, HELD_KEYS.c.slave),
        lambda row: held.place(row.key_id, row.slave),
    ),
    Holder(
        PUSHES,
        "sealed",
        ("stream_id",),
        select(PUSHES.c.stream_id),
        lambda row: push_outbox.place(row.stream_id),
    ),
    Holder(
        STREAM_CHUNKS,
        "sealed",
        ("stream_id", "number"),
        select(STREAM_CHUNKS.c.stream_id, STREAM_CHUNKS.c.number),
        lambda row: push_streams.place(row.stream_id, row.number),
    ),
)
"""All that `cells` seals."""


def _reseal(connection: Connection, holder: Holder, old: Vault, new: Vault) -> None:
    cell = holder.table.c[holder.cell]
    for row in connection.execute(holder.rows).all():
        mine = and_(*(holder.table.c[name] == getattr(row, name) for name in holder.keys))
        sealed = connection.execute(select(cell).where(mine)).scalar()
        if not sealed:
            continue
        place = holder.place(row)
        with Secret(old.open(place, bytes(sealed))) as data:
            fresh = new.seal(place, data.expose())
        connection.execute(update(holder.table).where(mine).values({holder.cell: fresh}))
