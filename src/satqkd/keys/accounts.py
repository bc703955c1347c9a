"""What the store holds, row by row, and whether its books add up. Reads only, tells no key."""

from collections import Counter
from itertools import groupby

from sqlalchemy import Connection, func, select

from satqkd.keys import audit, ledger, raw, traffic_books
from satqkd.keys.model import BlockRow, CheckReport, KeyRange, StatusRow
from satqkd.keys.paths import from_text
from satqkd.keys.schema import BLOCKS, MATERIAL, SPENDS


def block_rows(connection: Connection) -> list[BlockRow]:
    """All blocks in the order they were stored."""
    totals = select(SPENDS.c.block_pk, func.sum(SPENDS.c.length_bits)).group_by(SPENDS.c.block_pk)
    spent = {pk: int(bits) for pk, bits in connection.execute(totals)}
    blocks = connection.execute(select(BLOCKS).order_by(BLOCKS.c.pk))
    return [_block_row(block, spent.get(block.pk, 0)) for block in blocks]


def _block_row(block: ledger.Block, spent_bits: int) -> BlockRow:
    unused_bits = block.bits - spent_bits
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
        reserved_bits=0,
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
    if bits != spent + live + wiped:
        faults.append("distilled bits differ from spent + live + wiped")
    kept, used, held, thrown = _totals(raw.rows(connection))
    if kept != used + held + thrown:
        faults.append("raw bits kept differ from used + held + wiped")
    return CheckReport(bits, spent, live, wiped, tuple(faults), kept, used, held, thrown)


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
    lengths = select(BLOCKS, func.length(MATERIAL.c.key_bytes).label("stored_bytes")).join_from(
        BLOCKS, MATERIAL, BLOCKS.c.pk == MATERIAL.c.block_pk, isouter=True
    )
    for block in connection.execute(lengths).all():
        if block.stored_bytes != block.bits // 8:
            faults.append(f"block {block.block_id}: {block.stored_bytes} bytes stored for {block.bits} bits")
        else:
            faults += _block_faults(connection, block)
    return faults


def _block_faults(connection: Connection, block: ledger.Block) -> list[str]:
    faults, position = [], 0
    ranges = ledger.used(connection, block)
    for start, end in ranges:
        if start < position or end > block.bits:
            return [f"block {block.block_id}: used ranges overlap or leave the block at bit {start}"]
        position = end
    gone = [(0, block.bits)] if block.state == "discarded" else ranges
    for start, end in gone:
        piece = KeyRange(block.block_id, start, end - start)
        with ledger.read(connection, [block], [piece]) as key:
            if any(key.expose()):
                faults.append(f"block {block.block_id}: bits {start} to {end} were used but are not wiped")
    return faults
