"""What is neither used nor reserved nor fetched: of one block, or of all blocks that a use could take from.

Asked so often that the statements are written out, and so that a block used to its end costs no look at it.
Works inside the caller's transaction; marks nothing.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Connection, Row

from satqkd.keys.model import KeyRange
from satqkd.keys.sql.statements import run

Block = Row[Any]
Stretch = tuple[int, int]
"""From and until, in bits of a block."""

_TAKEN: Final = " UNION ALL ".join(
    f"SELECT offset_bits, offset_bits + length_bits FROM {name} "
    "WHERE block_pk = ? AND offset_bits < ? AND offset_bits + length_bits > ?"
    for name in ("spends", "reservations", "fetched")
)
_OF_WHOM: Final = "b.peer = ? AND b.kind = ? AND b.state = 'confirmed' AND b.own_from_bits < b.own_until_bits"
_USED_OF_OWN: Final = (
    "SELECT sum(CASE WHEN u.offset_bits + u.length_bits < b.own_until_bits "
    "THEN u.length_bits ELSE b.own_until_bits - u.offset_bits END) FROM spends u "
    "WHERE u.block_pk = b.pk AND u.offset_bits >= b.own_from_bits AND u.offset_bits < b.own_until_bits"
)
_WITH_ROOM: Final = (
    "SELECT b.pk, b.block_id, b.origin, b.own_from_bits, b.own_until_bits, "
    "s.offset_bits, s.offset_bits + s.length_bits "
    "FROM blocks b LEFT JOIN spends s ON s.block_pk = b.pk "
    "AND s.offset_bits < b.own_until_bits AND s.offset_bits + s.length_bits > b.own_from_bits "
    f"WHERE {_OF_WHOM} AND b.own_until_bits - b.own_from_bits > coalesce(({_USED_OF_OWN}), 0) "
    "ORDER BY b.pk, s.offset_bits"
)
_SET_ASIDE: Final = " UNION ALL ".join(
    f"SELECT b.pk, r.offset_bits, r.offset_bits + r.length_bits FROM {name} r "
    f"JOIN blocks b ON b.pk = r.block_pk WHERE {_OF_WHOM} "
    "AND r.offset_bits < b.own_until_bits AND r.offset_bits + r.length_bits > b.own_from_bits"
    for name in ("reservations", "fetched")
)


def unused(connection: Connection, block: Block, from_bits: int, until_bits: int) -> list[KeyRange]:
    """What is neither used nor reserved between two positions of a block."""
    here = (block.pk, until_bits, from_bits)
    return list(_between(block.block_id, run(connection, _TAKEN, 3 * here), from_bits, until_bits))


def own_unused(connection: Connection, peer: str, kind: str) -> Iterator[tuple[KeyRange, str]]:
    """What this end may allocate with a peer, oldest block first, each with its origin."""
    aside: dict[int, list[Stretch]] = {}
    for pk, start, end in run(connection, _SET_ASIDE, 2 * (peer, kind)):
        aside.setdefault(pk, []).append((start, end))
    rows = run(connection, _WITH_ROOM, (peer, kind)).fetchall()
    for (pk, block_id, origin, own_from, own_until), group in groupby(rows, key=lambda row: row[:5]):
        taken = [(start, end) for *_, start, end in group if start is not None]
        for piece in _between(block_id, [*taken, *aside.get(pk, ())], own_from, own_until):
            yield piece, origin


def _between(block_id: str, taken: Iterable[Stretch], from_bits: int, until_bits: int) -> Iterator[KeyRange]:
    """The gaps that some stretches leave."""
    position = from_bits
    for start, end in [*sorted(taken), (until_bits, until_bits)]:
        if min(start, until_bits) > position:
            yield KeyRange(block_id, position, min(start, until_bits) - position)
        position = max(position, end)
