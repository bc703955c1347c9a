"""What is done about a store that did not end well, and about one that was put back from a copy.

After a kill: a change that the use log has and the store has not is skipped (its key counts as lost), and
what was reserved for a delivery is lost, since some of it may have been handed out. After a copy was put
back: everything that the logs of all writers know and the copy does not is skipped; where one is gone or
older than the store nobody knows what was used, and all unused key is wiped. Either way conversations that
were under way in the copy are given up, for they would be told otherwise a second time, and keys that wait
for applications are wiped, for they may have been fetched.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, and_, delete, insert, select, update

from satqkd.keys.ledger import (
    audit,
    held,
    id_secrets,
    ledger,
    material,
    push_outbox,
    push_streams,
    raw,
    reservations,
)
from satqkd.keys.ledger.gaps import unused
from satqkd.keys.ledger.ledger import Use
from satqkd.keys.model import KeyRange
from satqkd.keys.sql import use_names
from satqkd.keys.sql.database import Database, meta_of
from satqkd.keys.sql.journal_schema import CONVERSATIONS, JOURNAL, MEMORIES, UNRECEIPTED
from satqkd.keys.sql.schema import BLOCKS, FETCHED, META, RAW_BLOCKS, RESERVATIONS, USES, lost_name
from satqkd.keys.sql.supply_schema import HELD_KEYS
from satqkd.keys.sql.use_log import UseLog


class RecoveryReport(msgspec.Struct, frozen=True):
    """What a recovery cost."""

    skipped_bits: int
    """Used according to the log, and now in the store too."""
    wiped_bits: int
    """Unused key that nobody could vouch for."""
    conversations: int
    """Passes under way that were given up."""
    held_keys: int = 0
    """Keys that waited for applications; some of them may have been fetched."""


def clear_up(database: Database) -> None:
    """After a kill: skip what the last line of the use log names, and count reservations as lost.

    All of it is in the log already; so a kill in here leaves everything as it was. A copy from before the
    last use looks the same, and is settled by the same.
    """
    uses = database.uses
    assert uses is not None
    with database.snapshot() as connection:
        counted = _counted(connection, uses.writer)
        reserved = connection.execute(_mine(uses.writer)).first()
        fetched = connection.execute(select(FETCHED.c.pk)).first()
    if counted == uses.count and reserved is None and fetched is None:
        return
    with database.transaction() as connection:
        if counted < uses.count and uses.last is not None:
            known = [piece for piece in uses.last.ranges if not use_names.is_new(piece)]
            _lose_blocks(connection, known)
            skip(connection, known, "skipped after a kill")
            _count(connection, uses.writer, uses.count)
        _lose_reservations(connection, uses.writer)
        reservations.settle_fetched(connection)
        database.told_before()
    database.checkpoint()


def recover(database: Database, others: Sequence[UseLog] = (), *, keep_unused: bool) -> RecoveryReport:
    """After a copy was put back; this writer's use log is attached, `others` are those of other writers.

    keep_unused: the logs know all that was used. Raises ResourceError (others write the store).
    """
    uses = database.uses
    assert uses is not None
    skipped = wiped = 0
    with database.transaction() as connection:
        database.require_sole_writer(connection)
        for writer in connection.execute(select(USES.c.writer)).scalars().all():
            _lose_reservations(connection, writer)
        reservations.settle_fetched(connection)
        held_keys = connection.execute(delete(HELD_KEYS)).rowcount
        for log in (uses, *others):
            for line in log.lines_after(_counted(connection, log.writer)):
                _lose_blocks(connection, line.ranges)
                skipped += skip(connection, line.ranges, "skipped after a restore")
            _count(connection, log.writer, log.count)
        if not keep_unused:
            wiped = _discard_all(connection)
            push_outbox.drop(connection)
            push_streams.drop(connection)
        given_up = _give_up_conversations(connection)
        audit.append(
            connection,
            "recovered",
            None,
            skipped_bits=skipped,
            wiped_bits=wiped,
            conversations=given_up,
            held_keys=held_keys,
        )
        database.told_before()
    database.checkpoint()
    return RecoveryReport(skipped, wiped, given_up, held_keys)


def skip(connection: Connection, ranges: Iterable[KeyRange], purpose: str) -> int:
    """Mark what is unused of some ranges as used, and wipe it; returns the bits. Passes over unknown blocks.

    Secrets for ids are taken as such, and blocks that were pushed go into the outbox under the same name.
    Reservations that overlap are the caller's to remove first.
    """
    bits = 0
    for noted in ranges:
        if use_names.is_held(noted):
            held.drop(connection, *use_names.held_key(noted))
            continue
        if (given_up := use_names.given_up_stream(noted)) is not None:
            push_outbox.wipe(connection, given_up)
            continue
        piece = use_names.plain(noted)
        block = connection.execute(select(BLOCKS).where(BLOCKS.c.block_id == piece.block_id)).first()
        if block is None or block.state != "confirmed":
            continue
        gaps = unused(connection, block, piece.offset_bits, min(piece.end_bits, block.bits))
        if gaps == [piece] and use_names.is_id_secret(noted):
            own = block.own_from_bits <= piece.offset_bits < block.own_until_bits
            secret = id_secrets.take(connection, block, own=own, utc=None)
            if secret is not None:
                secret.wipe()
        elif gaps == [piece] and (stream_id := use_names.stream_of(noted)) is not None:
            push_outbox.set_out(connection, block, stream_id, None)
        elif gaps:
            ledger.use_up(connection, [block] * len(gaps), gaps, Use(purpose, "", None))
        bits += sum(gap.length_bits for gap in gaps)
    return bits


def _lose_blocks(connection: Connection, ranges: Iterable[KeyRange]) -> None:
    """Blocks that came, or were confirmed, after the copy was made, and of which some key is used since.

    They are never stored again, or confirmed.
    """
    for block_id in {use_names.plain(piece).block_id for piece in ranges if use_names.names_block(piece)}:
        block = connection.execute(select(BLOCKS).where(BLOCKS.c.block_id == block_id)).first()
        if block is not None and block.state == "unconfirmed":
            material.wipe_all(connection, block)
            ledger.set_state(connection, block, "discarded", None)
        elif block is None and meta_of(connection, lost_name(block_id)) is None:
            lost = insert(META).values(name=lost_name(block_id), value="used after the copy was made")
            connection.execute(lost)


def _lose_reservations(connection: Connection, writer: str) -> None:
    rows = connection.execute(_mine(writer)).all()
    connection.execute(delete(RESERVATIONS).where(RESERVATIONS.c.writer == writer))
    ranges = [KeyRange(row.block_id, row.offset_bits, row.length_bits) for row in rows]
    if ranges:
        bits = skip(connection, ranges, "lost with a reservation")
        audit.append(connection, "reservations lost", None, reservations=len(rows), bits=bits)


def _mine(writer: str) -> Select[Any]:
    return (
        select(BLOCKS.c.block_id, RESERVATIONS.c.offset_bits, RESERVATIONS.c.length_bits)
        .join_from(RESERVATIONS, BLOCKS, RESERVATIONS.c.block_pk == BLOCKS.c.pk)
        .where(RESERVATIONS.c.writer == writer)
    )


def _discard_all(connection: Connection) -> int:
    bits = 0
    for block in connection.execute(select(BLOCKS).where(BLOCKS.c.state != "discarded")).all():
        bits += block.bits - sum(end - start for start, end in ledger.used(connection, block))
        material.wipe_all(connection, block)
        ledger.set_state(connection, block, "discarded", None)
    return bits


def _give_up_conversations(connection: Connection) -> int:
    open_ones = CONVERSATIONS.c.state == "open"
    pks = [row.pk for row in connection.execute(select(CONVERSATIONS.c.pk).where(open_ones))]
    for table in (MEMORIES, JOURNAL, UNRECEIPTED):
        connection.execute(delete(table).where(table.c.conversation_pk.in_(pks)))
    reason = "the store was put back from a copy"
    connection.execute(update(CONVERSATIONS).where(open_ones).values(state="failed", reason=reason))
    for block in connection.execute(select(RAW_BLOCKS).where(RAW_BLOCKS.c.state.in_(raw.OPEN))).all():
        raw.settle(connection, block, "discarded")
    return len(pks)


def _counted(connection: Connection, writer: str) -> int:
    return int(connection.execute(select(USES.c.uses).where(USES.c.writer == writer)).scalar() or 0)


def _count(connection: Connection, writer: str, uses: int) -> None:
    if connection.execute(select(USES.c.uses).where(USES.c.writer == writer)).first() is None:
        connection.execute(insert(USES).values(writer=writer, uses=0))
    connection.execute(
        update(USES).where(and_(USES.c.writer == writer, USES.c.uses < uses)).values(uses=uses)
    )
