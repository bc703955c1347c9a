"""What the store holds, row by row, and whether its books add up. Reads only, tells no key."""

from collections import Counter
from itertools import groupby
from typing import Final

from sqlalchemy import Connection, func, select
from sqlalchemy.sql.expression import TableClause

from satqkd.errors import DataFormatError
from satqkd.keys.ledger import audit, ledger, material, raw, traffic_books
from satqkd.keys.model import BlockRow, CheckReport, KeyRange, LiveBlock, StatusRow
from satqkd.keys.paths import from_text
from satqkd.keys.sql.schema import AUDIT, BLOCKS, FAILED_TAGS, FETCHED, RESERVATIONS, SPENDS
from satqkd.keys.sql.statements import run
from satqkd.keys.sql.supply_schema import HELD_KEYS

_GONE: Final = " - ".join(
    f"coalesce((SELECT sum(length_bits) FROM {name} WHERE block_pk = b.pk), 0)"
    for name in ("spends", "reservations", "fetched")
)
_LIVE: Final = (
    "SELECT block_id, peer, created_utc, live FROM ("
    f"SELECT b.pk, b.block_id, b.peer, b.created_utc, b.bits - {_GONE} AS live "
    "FROM blocks b WHERE b.kind = ? AND b.state = 'confirmed') AS found WHERE live > 0 ORDER BY pk"
)


def block_rows(connection: Connection) -> list[BlockRow]:
    """All blocks in the order they were stored."""
    spent, aside, fetched = (_bits_by_block(connection, table) for table in (SPENDS, RESERVATIONS, FETCHED))
    blocks = connection.execute(select(BLOCKS).order_by(BLOCKS.c.pk))
    return [_block_row(block, spent[block.pk], aside[block.pk] + fetched[block.pk]) for block in blocks]


def live_blocks(connection: Connection, kind: str) -> list[LiveBlock]:
    """Confirmed blocks of a kind with key that is neither used nor reserved, oldest first."""
    return [
        LiveBlock(block_id, peer, created_utc, int(live_bits))
        for block_id, peer, created_utc, live_bits in run(connection, _LIVE, (kind,))
    ]


def _bits_by_block(connection: Connection, table: TableClause) -> Counter[int]:
    totals = select(table.c.block_pk, func.sum(table.c.length_bits)).group_by(table.c.block_pk)
    return Counter({pk: int(bits) for pk, bits in connection.execute(totals)})


def _block_row(block: ledger.Block, spent_bits: int, reserved_bits: int) -> BlockRow:
    unused_bits = block.bits - spent_bits - reserved_bits
    wiped = block.state == "discarded"
    return BlockRow(
        block_id=block.block_id,
        peer=block.peer,
        kind=block.kind,
        origin=block.origin,
        state=block.state,
        bits=block.bits,
        spent_bits=spent_bits,
        live_bits=0 if wiped else unused_bits,
        wiped_bits=unused_bits if wiped else 0,
        created_utc=block.created_utc,
        reserved_bits=reserved_bits,
        paths=from_text(block.paths),
    )


def status_rows(connection: Connection) -> list[StatusRow]:
    """One row for each peer and kind, by name; raw blocks stand in the row of link key."""
    both = [*block_rows(connection), *raw.rows(connection)]
    ordered = sorted(both, key=lambda row: (row.peer, _kind(row)))
    grouped = groupby(ordered, key=lambda row: f"{row.peer} {_kind(row)}")
    return [_status_row(link, list(rows)) for link, rows in grouped]


def _kind(row: BlockRow) -> str:
    return "link" if row.kind == "raw" else row.kind


def _status_row(link: str, both: list[BlockRow]) -> StatusRow:
    rows = [row for row in both if row.kind != "raw"]
    return StatusRow(
        link=link,
        live_bits=sum(row.live_bits for row in rows if row.state == "confirmed"),
        reserved_bits=sum(row.reserved_bits for row in rows),
        spent_bits=sum(row.spent_bits for row in rows),
        unconfirmed_bits=sum(row.live_bits for row in rows if row.state == "unconfirmed"),
        oldest_utc=min((row.created_utc for row in rows if row.live_bits), default=None),
        raw_bits=sum(row.live_bits for row in both if row.kind == "raw"),
    )


def check(connection: Connection) -> CheckReport:
    """Compare the ledger with the audit log and with the bytes themselves."""
    rows = block_rows(connection)
    faults = [*_log_faults(connection, rows), *_material_faults(connection), *raw.faults(connection)]
    faults += traffic_books.faults(connection)
    bits, spent, live, wiped = _totals(rows)
    reserved = sum(row.reserved_bits for row in rows)
    if bits != spent + reserved + live + wiped:
        faults.append("distilled bits differ from spent + reserved + live + wiped")
    kept, used, held, thrown = _totals(raw.rows(connection))
    if kept != used + held + thrown:
        faults.append("raw bits kept differ from used + held + wiped")
    return CheckReport(bits, spent, live, wiped, tuple(faults), kept, used, held, thrown, reserved)


def counts_of(connection: Connection) -> tuple[int, int, int]:
    """Wrong tags, entries of the audit log, keys that wait for applications."""
    queries = (
        select(func.coalesce(func.sum(FAILED_TAGS.c.failures), 0)),
        select(func.count()).select_from(AUDIT),
        select(func.count()).select_from(HELD_KEYS),
    )
    failed, entries, held = (int(connection.execute(query).scalar_one()) for query in queries)
    return failed, entries, held


def _totals(rows: list[BlockRow]) -> tuple[int, int, int, int]:
    """Bits of all rows: ever, spent, live, wiped."""
    names = ("bits", "spent_bits", "live_bits", "wiped_bits")
    bits, spent, live, wiped = (sum(getattr(row, name) for row in rows) for name in names)
    return bits, spent, live, wiped


def _log_faults(connection: Connection, rows: list[BlockRow]) -> list[str]:
    faults = [] if audit.verify(connection).intact else ["the audit log's chain is broken"]
    added = {
        entry["block_id"]: entry["bits"] for entry in audit.entries(connection) if entry["event"] == "add"
    }
    if added != {row.block_id: row.bits for row in rows}:
        faults.append("the blocks are not those that the audit log says were stored")
    ledger_ranges = connection.execute(
        select(BLOCKS.c.block_id, SPENDS.c.offset_bits, SPENDS.c.length_bits).join_from(
            SPENDS, BLOCKS, SPENDS.c.block_pk == BLOCKS.c.pk
        )
    )
    spent = Counter(KeyRange(*row) for row in ledger_ranges)
    if spent != Counter(audit.spent_ranges(connection)):
        faults.append("the used ranges are not those that the audit log says were used")
    return faults


def _material_faults(connection: Connection) -> list[str]:
    faults = []
    for block in connection.execute(select(BLOCKS)).all():
        stored_bytes = material.stored_bytes(connection, block)
        if stored_bytes != block.bits // 8:
            faults.append(
                f"block {block.block_id}: some of the segments of its {block.bits} bits are missing"
            )
        else:
            faults += _block_faults(connection, block)
    return faults


def _block_faults(connection: Connection, block: ledger.Block) -> list[str]:
    position = 0
    ranges = ledger.used(connection, block)
    for start, end in ranges:
        if start < position or end > block.bits:
            return [f"block {block.block_id}: used ranges overlap or leave the block at bit {start}"]
        position = end
    gone = [(0, block.bits)] if block.state == "discarded" else ranges
    try:
        with material.read(connection, [block], [KeyRange(block.block_id, 0, block.bits)]) as key:
            held = key.expose()
            return [
                f"block {block.block_id}: bits {start} to {end} were used but are not wiped"
                for start, end in gone
                if any(held[start // 8 : end // 8])
            ]
    except DataFormatError as error:
        return [str(error)]
