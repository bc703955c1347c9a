"""Authentication key: one pool a peer, the same bytes at the same positions at both ends.

Positions count bits through the confirmed blocks of kind "auth" in the order they were confirmed. A
protocol fixes which position serves which tag; a position is used once at each end, marked before its
bits are returned. After a lost pass the ends differ, and the later position counts: skipped key is wiped.
"""

from sqlalchemy import ColumnElement, Connection, and_, func, select, update

from satqkd.errors import ConfigError, KeyAlreadyUsed, KeyExhausted, KeyNotFound
from satqkd.keys.ledger import audit, ledger
from satqkd.keys.ledger.gaps import unused
from satqkd.keys.model import KeyRange, Spent, check_bits
from satqkd.keys.sql.schema import BLOCKS, SPENDS


def append_to_pool(connection: Connection, block: ledger.Block) -> None:
    """Give a block that is being confirmed its place at the end of its peer's pool."""
    place = (
        update(BLOCKS).where(BLOCKS.c.pk == block.pk).values(pool_from_bits=pool_end(connection, block.peer))
    )
    connection.execute(place)


def pool_end(connection: Connection, peer: str) -> int:
    """All authentication bits there ever were with this peer."""
    end = func.max(BLOCKS.c.pool_from_bits + BLOCKS.c.bits)
    return int(connection.execute(select(end).where(_pool(peer))).scalar() or 0)


def position(connection: Connection, peer: str) -> int:
    """First bit of the pool after the last one used."""
    end = func.max(BLOCKS.c.pool_from_bits + SPENDS.c.offset_bits + SPENDS.c.length_bits)
    last = select(end).join_from(SPENDS, BLOCKS, SPENDS.c.block_pk == BLOCKS.c.pk).where(_pool(peer))
    return int(connection.execute(last).scalar() or 0)


def draw(connection: Connection, peer: str, position_bits: int, bits: int, use: ledger.Use) -> Spent:
    """Take `bits` bits at a position. Raises KeyExhausted, KeyNotFound or KeyAlreadyUsed."""
    check_bits(bits, "authentication bits")
    _check_position(position_bits)
    end = pool_end(connection, peer)
    if not end:
        raise KeyNotFound(f"no authentication key with {peer!r}; run `satqkd keys provision` for both stores")
    if position_bits + bits > end:
        raise KeyExhausted(
            f"authentication key with {peer!r}: position {position_bits} + {bits} bits is past the {end} "
            f"provisioned; run `satqkd keys provision`, which also brings both ends to one position"
        )
    ranges = _ranges(connection, peer, position_bits, position_bits + bits)
    blocks = ledger.locate(connection, peer, "auth", ranges)
    ledger.require_unused(connection, blocks, ranges)
    return ledger.take(connection, blocks, ranges, use)


def skip(connection: Connection, peer: str, position_bits: int, use: ledger.Use) -> int:
    """Use up and wipe all that lies before a position; returns how many bits. Never moves back."""
    _check_position(position_bits)
    here, end = position(connection, peer), pool_end(connection, peer)
    if position_bits < here:
        raise KeyAlreadyUsed(
            f"authentication key with {peer!r}: asked to go back to {position_bits}, already at {here}"
        )
    if position_bits > end:
        raise KeyExhausted(
            f"authentication key with {peer!r}: asked to skip to {position_bits}, only {end} bits were "
            f"provisioned; run `satqkd keys provision`, which also brings both ends to one position "
            f"(it refuses stores that are no pair)"
        )
    ranges = [
        gap for piece in _ranges(connection, peer, 0, position_bits) for gap in _gaps(connection, piece)
    ]
    if ranges:
        blocks = ledger.locate(connection, peer, "auth", ranges)
        ledger.use_up(connection, blocks, ranges, use)
    audit.append(connection, "skip", use.utc, peer=peer, position_bits=position_bits)
    return sum(piece.length_bits for piece in ranges)


def _gaps(connection: Connection, piece: KeyRange) -> list[KeyRange]:
    block = ledger.find_block(connection, piece.block_id)
    if block.state != "confirmed":
        return []
    return unused(connection, block, piece.offset_bits, piece.end_bits)


def _ranges(connection: Connection, peer: str, from_bits: int, until_bits: int) -> list[KeyRange]:
    rows = connection.execute(select(BLOCKS).where(_pool(peer)).order_by(BLOCKS.c.pool_from_bits)).all()
    ranges = []
    for row in rows:
        start = max(from_bits, row.pool_from_bits) - row.pool_from_bits
        end = min(until_bits, row.pool_from_bits + row.bits) - row.pool_from_bits
        if start < end:
            ranges.append(KeyRange(row.block_id, start, end - start))
    return ranges


def _pool(peer: str) -> ColumnElement[bool]:
    return and_(BLOCKS.c.peer == peer, BLOCKS.c.kind == "auth", BLOCKS.c.pool_from_bits.is_not(None))


def _check_position(position_bits: int) -> None:
    if position_bits < 0 or position_bits % 8:
        raise ConfigError(f"authentication position: expected a multiple of 8 from 0, got {position_bits}")
