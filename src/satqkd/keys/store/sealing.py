"""The step that seals a store which was in clear: every secret byte, in place.

The caller writes the file anew afterwards, for its free pages still hold what was there.
"""

import secrets
from collections.abc import Callable, Container
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Row, column, insert, select, table, update
from sqlalchemy.sql.expression import TableClause

from satqkd.keys.ledger import material, raw
from satqkd.keys.sql import cells
from satqkd.keys.sql.database import database_of
from satqkd.keys.sql.journal_schema import JOURNAL, MEMORIES, UNRECEIPTED
from satqkd.keys.sql.rules import suspended
from satqkd.keys.sql.schema import BLOCKS, META, RAW_BLOCKS, RAW_MATERIAL, ROOT, STORE_ID, sealed_tables
from satqkd.keys.sql.traffic_schema import INBOX, OUTBOX

_MATERIAL: Final = table("material", column("block_pk"), column("key_bytes"))


def sealed_at_rest(connection: Connection) -> None:
    """The migration: new tables, the locked root key, and all that is secret from clear to sealed."""
    sealed_tables(connection)
    locked = database_of(connection).locked_root
    for name, value in ((ROOT, locked.hex()), (STORE_ID, secrets.token_hex(16))):
        connection.execute(insert(META).values(name=name, value=value))
    with suspended(connection):
        _seal_blocks(connection)
        _seal_journal(connection)
        _seal_traffic(connection)
    connection.exec_driver_sql("DROP TABLE material")


def _seal_blocks(connection: Connection) -> None:
    for block in connection.execute(select(*BLOCKS.c["pk", "block_id", "bits"])).all():
        clear = select(_MATERIAL.c.key_bytes).where(_MATERIAL.c.block_pk == block.pk)
        material.store(connection, block, bytes(connection.execute(clear).scalar_one()))
    raw_rows = select(RAW_BLOCKS.c.pk, RAW_BLOCKS.c.block_id, RAW_BLOCKS.c.state)
    found = {row.pk: row for row in connection.execute(raw_rows)}
    _seal_column(
        connection,
        RAW_MATERIAL,
        "raw_bytes",
        "block_pk",
        lambda row: cells.raw_place(found[row.block_pk].block_id),
        wiped={pk for pk, row in found.items() if row.state not in raw.OPEN},
    )


def _seal_journal(connection: Connection) -> None:
    _seal_column(connection, MEMORIES, "bytes", "conversation_pk", _memory_place)
    _seal_column(connection, JOURNAL, "bytes", "pk", _entry_place)
    _seal_column(connection, UNRECEIPTED, "bytes", "pk", _message_place)


def _seal_traffic(connection: Connection) -> None:
    for name in ("content", "token"):
        _seal_column(connection, OUTBOX, name, "number", partial(_outbox_place, name))
        _seal_column(connection, INBOX, name, "pk", partial(_inbox_place, name))


def _memory_place(row: Row[Any]) -> str:
    return cells.memory_place(row.conversation_pk)


def _entry_place(row: Row[Any]) -> str:
    return cells.entry_place(row.conversation_pk, row.block)


def _message_place(row: Row[Any]) -> str:
    return cells.message_place(row.conversation_pk, row.sequence)


def _outbox_place(name: str, row: Row[Any]) -> str:
    return cells.outbox_place(row.number, name)


def _inbox_place(name: str, row: Row[Any]) -> str:
    return cells.inbox_place(row.sender, row.number, name)


def _seal_column(
    connection: Connection,
    holder: TableClause,
    cell: str,
    key: str,
    place: Callable[[Row[Any]], str],
    wiped: Container[int] = (),
) -> None:
    """Seal a column's values one by one; those of wiped rows stay empty. key: what tells the rows apart."""
    for row in connection.execute(select(holder)).all():
        pk, clear = getattr(row, key), getattr(row, cell)
        if clear is not None:
            sealed = cells.ERASED if pk in wiped else cells.seal(connection, place(row), bytes(clear))
            connection.execute(update(holder).where(holder.c[key] == pk).values({cell: sealed}))
