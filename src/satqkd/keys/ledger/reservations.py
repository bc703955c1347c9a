"""Key set aside for deliveries under way: reserved in one change, settled in another, lost by a kill.

A reservation takes a stretch out of everybody's reach before any of it is handed out of memory. Settling
writes down what was handed out, overwrites it, and keeps or frees the rest. Every function works inside the
caller's transaction.

    free --reserve--> reserved --settle--> spent (handed out), reserved or free (the rest)
                         +------kill-----> spent ("lost with a reservation")

Key that the peer allocated and a slave fetches goes a shorter way: it is marked in one small change before it
is given, and settled with the others.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import Final

import msgspec
from sqlalchemy import Connection, delete, insert, select

from satqkd.keys.ledger import audit, ledger, material
from satqkd.keys.ledger.ledger import Block, Use
from satqkd.keys.model import KeyRange
from satqkd.keys.secret import Secret
from satqkd.keys.sql.database import database_of
from satqkd.keys.sql.schema import BLOCKS, FETCHED, RESERVATIONS
from satqkd.keys.sql.statements import run

FETCHED_PURPOSE: Final = "fetched"
_MARK: Final = (
    "INSERT INTO fetched (block_pk, offset_bits, length_bits, reference, since_utc) VALUES (?, ?, ?, ?, ?)"
)


class Reserved(msgspec.Struct, frozen=True, eq=False):
    """A stretch of one block, its bytes in memory, still unused on the disk."""

    pk: int
    block: Block
    piece: KeyRange
    key: Secret


def reserve(connection: Connection, block: Block, piece: KeyRange, holder: str, utc: str) -> Reserved:
    """Set a stretch of this end's part aside. Raises KeyAlreadyUsed."""
    pk = _insert(connection, block, piece, holder, utc)
    database_of(connection).note_use([piece])
    audit.append(connection, "reserve", utc, holder=holder, ranges=[piece])
    return Reserved(pk, block, piece, material.read_unused(connection, [block], [piece]))


def _insert(connection: Connection, block: Block, piece: KeyRange, holder: str, utc: str) -> int:
    uses = database_of(connection).uses
    row = insert(RESERVATIONS).values(
        block_pk=block.pk,
        offset_bits=piece.offset_bits,
        length_bits=piece.length_bits,
        writer="" if uses is None else uses.writer,
        holder=holder,
        since_utc=utc,
    )
    return int(connection.execute(row.returning(RESERVATIONS.c.pk)).scalar_one())


def settle(
    connection: Connection, reserved: Reserved, handed_out_bits: int, use: Use, *, keep: bool
) -> Reserved | None:
    """Write down that the first bits of a stretch were handed out; gives the rest where it is kept.

    The bytes in memory stay as they are: the caller wipes them. Nothing is done where the reservation is
    gone, for its key was given up meanwhile, and all of it counts as used.
    """
    gone = connection.execute(delete(RESERVATIONS).where(RESERVATIONS.c.pk == reserved.pk))
    if gone.rowcount != 1:
        return None
    piece = reserved.piece
    used = KeyRange(piece.block_id, piece.offset_bits, handed_out_bits)
    rest = KeyRange(piece.block_id, used.end_bits, piece.length_bits - handed_out_bits)
    if handed_out_bits:
        ledger.use_up(connection, [reserved.block], [used], use)
    if not (keep and rest.length_bits):
        return None
    pk = _insert(connection, reserved.block, rest, use.reference, use.utc or "")
    return Reserved(pk, reserved.block, rest, reserved.key.part(handed_out_bits // 8, len(reserved.key)))


def standing(connection: Connection, pks: Iterable[int]) -> set[int]:
    """Which of some reservations are still there."""
    wanted = set(pks)
    found = connection.execute(select(RESERVATIONS.c.pk).where(RESERVATIONS.c.pk.in_(wanted)))
    return wanted & set(found.scalars())


def mark_fetched(connection: Connection, block: Block, piece: KeyRange, reference: str, utc: str) -> None:
    """Key of the peer's part is given to a slave. Raises KeyAlreadyUsed."""
    run(connection, _MARK, (block.pk, piece.offset_bits, piece.length_bits, reference, utc))
    database_of(connection).note_use([piece])


def settle_fetched(connection: Connection) -> None:
    """Write down all that slaves have fetched, and overwrite it."""
    query = (
        select(FETCHED.c.pk, FETCHED.c.reference, FETCHED.c.since_utc, FETCHED.c.offset_bits)
        .add_columns(FETCHED.c.length_bits, FETCHED.c.block_pk)
        .order_by(FETCHED.c.block_pk, FETCHED.c.offset_bits)
    )
    rows = connection.execute(query).all()
    connection.execute(delete(FETCHED).where(FETCHED.c.pk.in_([row.pk for row in rows])))
    for (block_pk, reference), runs in groupby(rows, key=lambda row: (row.block_pk, row.reference)):
        block = connection.execute(select(BLOCKS).where(BLOCKS.c.pk == block_pk)).one()
        marked = list(runs)
        ranges = _joined(block.block_id, [(row.offset_bits, row.length_bits) for row in marked])
        use = Use(FETCHED_PURPOSE, reference, marked[-1].since_utc)
        ledger.use_up(connection, [block] * len(ranges), ranges, use)


def _joined(block_id: str, pieces: Iterable[tuple[int, int]]) -> list[KeyRange]:
    """Neighbours as one range; in order."""
    joined: list[KeyRange] = []
    for offset, length in pieces:
        if joined and joined[-1].end_bits == offset:
            last = joined.pop()
            offset, length = last.offset_bits, last.length_bits + length
        joined.append(KeyRange(block_id, offset, length))
    return joined
