"""Raw blocks: detections kept for a pool, of which no basis is told yet; never key, never given out.

They lie beside the key under the same protection: stored and settled inside the caller's transaction, a
state that moves forward only, used once, overwritten when used or discarded, every step in the audit log.
The bytes are the caller's own format; a bit is counted for each detection. Every function works inside the
caller's transaction.

    unconfirmed --confirm--> confirmed --take--> used (wiped)
         |                       |
         +--------take or discard+--> used, discarded (wiped)
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, and_, insert, select, update

from satqkd.errors import DataFormatError, KeyAlreadyUsed, KeyNotFound
from satqkd.keys.ledger import audit
from satqkd.keys.model import BlockRow, RawRow
from satqkd.keys.sql import cells
from satqkd.keys.sql.schema import BLOCKS, RAW_BLOCKS, RAW_MATERIAL

RawBlock = Row[Any]
OPEN = ("unconfirmed", "confirmed")
"""States in which there is something left to use."""


def store(connection: Connection, new: RawRow, data: bytes) -> None:
    """Insert a raw block and its bytes. Raises KeyAlreadyUsed when the id names a block of either kind."""
    for table in (BLOCKS, RAW_BLOCKS):
        if connection.execute(select(table.c.pk).where(table.c.block_id == new.block_id)).first():
            raise KeyAlreadyUsed(
                f"block {new.block_id!r} is stored already; a block id names one block for ever"
            )
    columns = msgspec.structs.asdict(new)
    connection.execute(insert(RAW_BLOCKS).values(**columns, size_bytes=len(data)))
    pk = find(connection, new.block_id).pk
    sealed = cells.seal(connection, cells.raw_place(new.block_id), data) if data else cells.ERASED
    connection.execute(insert(RAW_MATERIAL).values(block_pk=pk, raw_bytes=sealed))
    detail = {name: columns[name] for name in ("block_id", "peer", "pool", "origin", "state", "detections")}
    audit.append(connection, "raw_add", new.created_utc, **detail)


def find(connection: Connection, block_id: str) -> RawBlock:
    """The raw block's row; raises KeyNotFound."""
    row = connection.execute(select(RAW_BLOCKS).where(RAW_BLOCKS.c.block_id == block_id)).first()
    if row is None:
        raise KeyNotFound(f"no raw block {block_id[:200]!r} in this store; see `satqkd keys list`")
    return row


def settle(connection: Connection, block: RawBlock, state: str, **detail: str) -> None:
    """Move a raw block on; used and discarded ones are overwritten. Raises KeyAlreadyUsed for those.

    detail: more for the audit log.
    """
    here = and_(RAW_BLOCKS.c.pk == block.pk, RAW_BLOCKS.c.state.in_(OPEN))
    if connection.execute(update(RAW_BLOCKS).where(here).values(state=state)).rowcount != 1:
        raise KeyAlreadyUsed(f"raw block {block.block_id!r} was {block.state} before; it is used once")
    if state not in OPEN:
        mine = update(RAW_MATERIAL).where(RAW_MATERIAL.c.block_pk == block.pk)
        connection.execute(mine.values(raw_bytes=cells.ERASED))
    audit.append(connection, f"raw_{state}", None, block_id=block.block_id, **detail)


def take(connection: Connection, peer: str, block_ids: Sequence[str], reference: str) -> list[bytes]:
    """The bytes of raw blocks shared with a peer, in this order, marked as used and overwritten.

    Raises KeyNotFound, KeyAlreadyUsed; then none is used.
    """
    taken = []
    for block_id in block_ids:
        block = find(connection, block_id)
        if block.peer != peer:
            raise KeyNotFound(f"raw block {block_id!r} is shared with {block.peer!r}, not with {peer!r}")
        taken.append(read(connection, block))
        settle(connection, block, "used", reference=reference)
    return taken


def read(connection: Connection, block: RawBlock) -> bytes:
    """A raw block's bytes; none when they are wiped."""
    mine = select(RAW_MATERIAL.c.raw_bytes).where(RAW_MATERIAL.c.block_pk == block.pk)
    cell = connection.execute(mine).scalar()
    return cells.unseal(connection, cells.raw_place(block.block_id), cell or cells.ERASED)


def held(connection: Connection, peer: str, origin: str, pools: Iterable[str]) -> list[RawRow]:
    """Raw blocks of some pools with a peer that are neither used nor discarded, oldest first."""
    mine = and_(
        RAW_BLOCKS.c.peer == peer,
        RAW_BLOCKS.c.origin == origin,
        RAW_BLOCKS.c.pool.in_(list(pools)),
        RAW_BLOCKS.c.state.in_(OPEN),
    )
    rows = connection.execute(select(RAW_BLOCKS).where(mine).order_by(RAW_BLOCKS.c.pk))
    names = RawRow.__struct_fields__
    return [RawRow(**{name: getattr(row, name) for name in names}) for row in rows]


def rows(connection: Connection) -> list[BlockRow]:
    """All raw blocks as rows of `keys list`, in the order they were stored; a bit a detection."""
    return [_row(block) for block in connection.execute(select(RAW_BLOCKS).order_by(RAW_BLOCKS.c.pk))]


def _row(block: RawBlock) -> BlockRow:
    bits = {state: block.detections if state == block.state else 0 for state in ("used", "discarded")}
    return BlockRow(
        block_id=block.block_id,
        peer=block.peer,
        kind="raw",
        origin=block.origin,
        state=block.state,
        bits=block.detections,
        spent_bits=bits["used"],
        live_bits=block.detections if block.state in OPEN else 0,
        wiped_bits=bits["discarded"],
        created_utc=block.created_utc,
    )


def faults(connection: Connection) -> list[str]:
    """What of the raw blocks does not agree with the audit log or with the bytes themselves."""
    blocks = list(connection.execute(select(RAW_BLOCKS)))
    told = _told_by_log(connection)
    found = []
    if told != {block.block_id: (block.detections, block.state) for block in blocks}:
        found.append("the raw blocks and their states are not those that the audit log tells")
    for block in blocks:
        try:
            data = read(connection, block)
        except DataFormatError as error:
            found.append(str(error))
            continue
        if block.state not in OPEN:
            found += [f"raw block {block.block_id} is {block.state} but not wiped"] if data else []
        elif len(data) != block.size_bytes:
            found.append(f"raw block {block.block_id}: {len(data)} bytes stored of {block.size_bytes}")
    return found


def _told_by_log(connection: Connection) -> dict[str, tuple[int, str]]:
    told: dict[str, tuple[int, str]] = {}
    for entry in audit.entries(connection):
        if entry["event"] == "raw_add":
            told[entry["block_id"]] = entry["detections"], entry["state"]
        elif entry["event"].startswith("raw_"):
            detections, _ = told.get(entry["block_id"], (0, ""))
            told[entry["block_id"]] = detections, entry["event"].removeprefix("raw_")
    return told
