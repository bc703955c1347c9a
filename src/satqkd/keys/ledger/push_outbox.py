"""At the node: blocks that were given away, sealed, until the key server has them.

In one change the whole block counts as used and its bytes lie in the outbox: from then on this store hands
out none of it, and the server alone will. The use log calls it by the stream's name. So after a kill between
line and commit, and in an older copy of the store, the block goes into the outbox again under that name, and
the server, which takes a stream once, settles whether it has it already. Inside the caller's transaction.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, and_, func, insert, select, update

from satqkd.errors import KeyAlreadyUsed
from satqkd.keys.ledger import audit, ledger
from satqkd.keys.ledger.ledger import Block, Use
from satqkd.keys.model import KeyRange
from satqkd.keys.secret import Secret
from satqkd.keys.sql import cells, use_names
from satqkd.keys.sql.database import database_of
from satqkd.keys.sql.push_schema import PUSHES
from satqkd.keys.sql.schema import BLOCKS

PURPOSE = "pushed"
PushRow = Row[Any]


def place(stream_id: str) -> str:
    """Of a block in the outbox."""
    return f"push {stream_id}"


def set_out(connection: Connection, block: Block, stream_id: str, utc: str | None) -> None:
    """Give a whole block away. Raises KeyAlreadyUsed unless all of it is unused."""
    piece = KeyRange(block.block_id, 0, block.bits)
    ledger.require_unused(connection, [block], [piece])
    use, noted = Use(PURPOSE, stream_id, utc), [use_names.of_push(piece, stream_id)]
    with ledger.take(connection, [block], [piece], use, noted=noted).key as key:
        sealed = cells.seal(connection, place(stream_id), key.expose())
    row = {"stream_id": stream_id, "block_pk": block.pk, "sealed": sealed, "since_utc": utc}
    connection.execute(insert(PUSHES).values(**row))


def under_way(connection: Connection, peer: str | None) -> list[PushRow]:
    """What the server is not known to have: blocks with their stream, oldest first."""
    waits = func.length(PUSHES.c.sealed) > 0
    mine = waits if peer is None else and_(waits, BLOCKS.c.peer == peer)
    query = select(PUSHES.c.stream_id, BLOCKS).join_from(PUSHES, BLOCKS, PUSHES.c.block_pk == BLOCKS.c.pk)
    return list(connection.execute(query.where(mine).order_by(BLOCKS.c.pk)))


def bytes_of(connection: Connection, stream_id: str) -> Secret:
    """The bytes of a block under way. Raises KeyAlreadyUsed where they are gone."""
    sealed = connection.execute(select(PUSHES.c.sealed).where(PUSHES.c.stream_id == stream_id)).scalar()
    if not sealed:
        raise KeyAlreadyUsed(f"stream {stream_id}: what it brought was pushed or given up; nothing is left")
    return Secret(cells.unseal(connection, place(stream_id), sealed))


def receipted(connection: Connection, stream_id: str, utc: str) -> None:
    """The server has it: it is wiped here."""
    mine = PUSHES.c.stream_id == stream_id
    connection.execute(update(PUSHES).where(mine).values(sealed=cells.ERASED, done_utc=utc))
    audit.append(connection, "push done", utc, stream_id=stream_id)


def wipe(connection: Connection, stream_id: str) -> None:
    """What is left of one push, if anything."""
    mine = PUSHES.c.stream_id == stream_id
    connection.execute(update(PUSHES).where(mine).values(sealed=cells.ERASED))


def drop(connection: Connection, blocks: Collection[str] | None = None) -> int:
    """Give up what is under way, of some blocks or of all; the use log is told. Returns how many."""
    chosen = [row for row in under_way(connection, None) if blocks is None or row.block_id in blocks]
    for row in chosen:
        wipe(connection, row.stream_id)
        database_of(connection).note_use([use_names.of_given_up(row.stream_id, row.bits)])
    return len(chosen)
