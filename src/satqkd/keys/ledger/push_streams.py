"""At the key server: streams of blocks that a node pushes, and what has come of them, sealed.

A stream is open, then closed (its block is in the store) or dropped (given up); either way its chunks are
wiped then. Inside the caller's transaction.
"""

import hmac
from collections.abc import Callable
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, and_, delete, func, insert, literal, select, update

from satqkd.errors import ConfigError
from satqkd.keys.paths import from_text, to_text
from satqkd.keys.push_door import PushedBlock, StreamInUse
from satqkd.keys.secret import Secret
from satqkd.keys.sql import cells
from satqkd.keys.sql.database import meta_of
from satqkd.keys.sql.push_schema import STREAM_CHUNKS, STREAMS
from satqkd.keys.sql.schema import BLOCKS, lost_name

StreamRow = Row[Any]
_BLOCK_FIELDS: Final = PushedBlock.__struct_fields__
_OPEN: Final = select(STREAMS, literal("pair").label("kind")).where(STREAMS.c.state == "open")


def find(connection: Connection, stream_id: str) -> StreamRow | None:
    """A stream by its name."""
    return connection.execute(select(STREAMS).where(STREAMS.c.stream_id == stream_id)).first()


def block_of(row: StreamRow) -> PushedBlock:
    """What a stream brings."""
    said = {name: getattr(row, name) for name in _BLOCK_FIELDS}
    return PushedBlock(**said | {"paths": from_text(row.paths)})


def require_new(connection: Connection, block: PushedBlock) -> None:
    """No such block is here, or on its way by a stream of which key has come; else StreamInUse.

    A stream of the block of which nothing has come is dropped: its sender was killed before it gave any.
    """
    here = connection.execute(select(BLOCKS.c.pk).where(BLOCKS.c.block_id == block.block_id)).first()
    if here is not None or meta_of(connection, lost_name(block.block_id)) is not None:
        raise StreamInUse(f"block {block.block_id!r} is stored already; a block id names one block for ever")
    mine = and_(STREAMS.c.block_id == block.block_id, STREAMS.c.state == "open")
    for other in connection.execute(select(STREAMS).where(mine)).all():
        if came(connection, other):
            raise StreamInUse(f"block {block.block_id!r} is on its way by stream {other.stream_id}")
        end(connection, other, "dropped")


def begin(
    connection: Connection, stream_id: str, sender: str, block: PushedBlock, chunk_bytes: int, utc: str
) -> None:
    """A new stream, open."""
    said = msgspec.structs.asdict(block) | {"paths": to_text(block.paths)}
    row = {"stream_id": stream_id, "sender": sender, "state": "open", "chunk_bytes": chunk_bytes}
    connection.execute(insert(STREAMS).values(**row, since_utc=utc, **said))


def came(connection: Connection, row: StreamRow) -> int:
    """How many chunks of a stream have come."""
    if row.state == "closed":
        return block_of(row).chunks(row.chunk_bytes)
    count = select(func.count()).where(STREAM_CHUNKS.c.stream_id == row.stream_id)
    return int(connection.execute(count).scalar_one())


def hold(connection: Connection, row: StreamRow, index: int, chunk: memoryview) -> None:
    """Keep the next chunk of an open stream."""
    sealed = cells.seal(connection, place(row.stream_id, index), chunk)
    values = {"stream_id": row.stream_id, "number": index, "sealed": sealed}
    connection.execute(insert(STREAM_CHUNKS).values(**values))


def require_same(connection: Connection, row: StreamRow, index: int, chunk: memoryview) -> None:
    """A chunk that came before came the same. Raises ConfigError."""
    mine = and_(STREAM_CHUNKS.c.stream_id == row.stream_id, STREAM_CHUNKS.c.number == index)
    sealed = connection.execute(select(STREAM_CHUNKS.c.sealed).where(mine)).scalar_one()
    with Secret(cells.unseal(connection, place(row.stream_id, index), sealed)) as before:
        if not hmac.compare_digest(before.expose(), chunk):
            raise ConfigError(
                f"stream {row.stream_id}, chunk {index}: expected the bytes that came before, got others; "
                "the sender is at fault"
            )


def together(connection: Connection, row: StreamRow) -> Secret:
    """All chunks of a stream, one after the other."""
    buffer, position = bytearray(row.bits // 8), 0
    query = select(STREAM_CHUNKS).where(STREAM_CHUNKS.c.stream_id == row.stream_id)
    for each in connection.execute(query.order_by(STREAM_CHUNKS.c.number)):
        chunk = cells.unseal(connection, place(row.stream_id, each.number), each.sealed)
        buffer[position : position + len(chunk)] = chunk
        position += len(chunk)
    return Secret(buffer)


def end(connection: Connection, row: StreamRow, state: str) -> None:
    """Wipe a stream's chunks; it is over."""
    connection.execute(delete(STREAM_CHUNKS).where(STREAM_CHUNKS.c.stream_id == row.stream_id))
    connection.execute(update(STREAMS).where(STREAMS.c.stream_id == row.stream_id).values(state=state))


def drop(connection: Connection, test: Callable[[StreamRow], bool] = lambda _: True) -> int:
    """Give up streams that are open, by what is said of their block (and `kind`, which is pair)."""
    chosen = [row for row in connection.execute(_OPEN).all() if test(row)]
    for row in chosen:
        end(connection, row, "dropped")
    return len(chosen)


def place(stream_id: str, number: int) -> str:
    """Of a chunk in the database."""
    return f"chunk {number} of stream {stream_id}"
