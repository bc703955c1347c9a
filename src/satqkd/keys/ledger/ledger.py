"""The ledger: which key bits exist, which are used, and the one way to take some.

Every function works inside the caller's transaction. Taking writes the range into `spends` (where a
trigger makes a second time impossible), copies the bytes out and overwrites them in the file; the caller
hands the bytes on only after the commit. A block belongs to two ends that share its bytes; `own_from_bits`
to `own_until_bits` is the part that this end allocates from, in order; in the rest it follows the peer.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, and_, bindparam, select

from satqkd.errors import ConfigError, KeyAlreadyUsed, KeyExhausted, KeyNotFound, KeyStoreError, OriginRefused
from satqkd.keys.ledger import audit, material
from satqkd.keys.ledger.gaps import own_unused, unused
from satqkd.keys.model import DEMO_ORIGINS, MAXIMUM_RANGES, KeyRange, Paths, Spent, weakest_origin
from satqkd.keys.paths import to_text
from satqkd.keys.sql.database import database_of, meta_of
from satqkd.keys.sql.schema import BLOCKS, lost_name
from satqkd.keys.sql.statements import run

Block = Row[Any]

_BLOCK: Final = select(BLOCKS).where(BLOCKS.c.block_id == bindparam("block_id"))
_STORED: Final = "SELECT pk FROM blocks WHERE block_id = ?"
_COLUMNS: Final = (
    *("block_id", "peer", "kind", "origin", "state"),
    *("bits", "own_from_bits", "own_until_bits", "created_utc", "paths"),
)
_NEW_BLOCK: Final = f"INSERT INTO blocks ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' for _ in _COLUMNS)})"
_MOVE_ON: Final = "UPDATE blocks SET state = ? WHERE pk = ? AND state = ?"
_SPEND: Final = (
    "INSERT INTO spends (block_pk, offset_bits, length_bits, purpose, reference, spent_utc) "
    "VALUES (?, ?, ?, ?, ?, ?)"
)
_USED: Final = (
    "SELECT offset_bits, offset_bits + length_bits FROM spends WHERE block_pk = ? ORDER BY offset_bits"
)


class NewBlock(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a block when it is stored; its bytes travel beside it."""

    block_id: str
    peer: str
    kind: str
    origin: str
    state: str
    own_from_bits: int
    own_until_bits: int
    created_utc: str
    paths: Paths = ()


class Use(msgspec.Struct, frozen=True):
    """Why key is taken, for the ledger and the audit log."""

    purpose: str
    reference: str
    utc: str | None


def own_part(node_id: str, peer: str, kind: str, allocator: str | None, bits: int) -> tuple[int, int]:
    """Which part of a new block this end allocates from, as (from, until) bits."""
    if kind == "auth":
        return 0, 0
    if allocator is not None:
        if allocator not in (node_id, peer):
            raise ConfigError(f"allocator: expected {node_id!r} or {peer!r}, got {allocator!r}")
        return (0, bits) if allocator == node_id else (0, 0)
    if kind == "link":
        raise ConfigError("allocator: link key needs one, the satellite: it alone decides what is relayed")
    half = half_bits(bits)
    return (0, half) if node_id < peer else (half, bits)


def half_bits(bits: int) -> int:
    """What the end that allocates less of a pair block allocates."""
    return bits // 16 * 8


def store_block(connection: Connection, new: NewBlock, key: bytes | bytearray | memoryview) -> Block:
    """Insert a block and its bytes; returns its row. Raises KeyAlreadyUsed when the id exists."""
    if run(connection, _STORED, (new.block_id,)).fetchone():
        raise KeyAlreadyUsed(f"block {new.block_id!r} is stored already; a block id names one block for ever")
    if meta_of(connection, lost_name(new.block_id)) is not None:
        raise KeyAlreadyUsed(
            f"block {new.block_id!r} was used before this store was put back from a copy; its key is gone"
        )
    columns = msgspec.structs.asdict(new) | {"paths": to_text(new.paths), "bits": 8 * len(key)}
    run(connection, _NEW_BLOCK, tuple(columns[name] for name in _COLUMNS))
    database_of(connection).note_new(new.block_id)
    block = find_block(connection, new.block_id)
    material.store(connection, block, key)
    names = ("block_id", "peer", "kind", "origin", "state")
    audit.append(
        connection, "add", new.created_utc, bits=8 * len(key), **{name: columns[name] for name in names}
    )
    return block


def find_block(connection: Connection, block_id: str) -> Block:
    """The block's row; raises KeyNotFound."""
    row = connection.execute(_BLOCK, {"block_id": block_id}).first()
    if row is None:
        raise KeyNotFound(f"no block {block_id[:200]!r} in this store; see `satqkd keys list`")
    return row


def set_state(connection: Connection, block: Block, state: str, utc: str | None) -> None:
    """Move a block on; just one row must change."""
    changed = run(connection, _MOVE_ON, (state, block.pk, block.state))
    if changed.rowcount != 1:
        raise KeyStoreError(f"block {block.block_id!r}: expected state {block.state}, found another")
    if state == "confirmed":
        database_of(connection).note_new(block.block_id)
    audit.append(connection, state, utc, block_id=block.block_id)


def used(connection: Connection, block: Block) -> list[tuple[int, int]]:
    """Used ranges of a block as (from, until) bits in order."""
    return [(start, end) for start, end in run(connection, _USED, (block.pk,))]


def own_free(connection: Connection, block: Block) -> list[KeyRange]:
    """What this end may still allocate of a block: neither used nor reserved."""
    if block.own_from_bits == block.own_until_bits:
        return []
    return unused(connection, block, block.own_from_bits, block.own_until_bits)


def free(connection: Connection, peer: str, kind: str, *, demo: bool) -> list[tuple[KeyRange, str]]:
    """What this end may allocate with a peer at once, oldest block first, each with its origin."""
    found = own_unused(connection, peer, kind)
    allowed = ((piece, origin) for piece, origin in found if demo or origin not in DEMO_ORIGINS)
    return list(islice(allowed, MAXIMUM_RANGES))


def allocate(connection: Connection, peer: str, kind: str, bits: int, *, demo: bool) -> list[KeyRange]:
    """The next `bits` bits of this end's part; nothing is marked yet.

    Raises KeyExhausted, KeyNotFound (no key of this kind with the peer at all) or OriginRefused (there is
    enough, but only with key that is not secret).
    """
    left, ranges = bits, []
    for piece, _ in free(connection, peer, kind, demo=demo):
        taken = min(left, piece.length_bits)
        ranges.append(KeyRange(piece.block_id, piece.offset_bits, taken))
        left -= taken
        if not left:
            return ranges
    raise _short(connection, peer, kind, bits, bits - left)


def _short(connection: Connection, peer: str, kind: str, wanted: int, found: int) -> KeyStoreError:
    blocks = and_(BLOCKS.c.peer == peer, BLOCKS.c.kind == kind)
    if not connection.execute(select(BLOCKS.c.pk).where(blocks)).first():
        return KeyNotFound(f"no {kind} key with {peer!r} in this store; see `satqkd keys status`")
    with_demo = sum(piece.length_bits for piece, _ in free(connection, peer, kind, demo=True))
    if with_demo >= wanted:
        return OriginRefused(
            f"{kind} key with {peer!r}: {wanted} bits asked for, {found} of them are secret; the rest came "
            f"from the digital twin or recorded tags and is not; for a demonstration say --demo"
        )
    return KeyExhausted(
        f"{kind} key with {peer!r}: {wanted} bits asked for, this end may still use {max(found, with_demo)}; "
        f"run another pass (or `satqkd keys provision` for authentication key)"
    )


def locate(connection: Connection, peer: str, kind: str, ranges: Iterable[KeyRange]) -> list[Block]:
    """The confirmed blocks that ranges named by somebody lie in, one a range; nothing is marked.

    Raises KeyNotFound (no such block with this peer, or outside of it), KeyStoreError (not confirmed).
    """
    blocks, known = [], dict[str, Block]()
    for piece in ranges:
        block = known.get(piece.block_id) or find_block(connection, piece.block_id)
        known[piece.block_id] = block
        if (block.peer, block.kind) != (peer, kind):
            raise KeyNotFound(f"block {piece.block_id!r} is no {kind} key with {peer!r}")
        if block.state != "confirmed":
            raise KeyStoreError(
                f"block {piece.block_id!r} is {block.state}; only key confirmed at both ends is used"
            )
        if piece.length_bits < 8 or piece.offset_bits < 0 or piece.end_bits > block.bits:
            raise KeyNotFound(
                f"block {piece.block_id!r} has {block.bits} bits, asked for {piece.offset_bits} to "
                f"{piece.end_bits}"
            )
        blocks.append(block)
    return blocks


def require_peers_part(blocks: Sequence[Block], ranges: Sequence[KeyRange]) -> None:
    """Ranges a peer names must not lie where this end allocates; raises KeyStoreError."""
    for block, piece in zip(blocks, ranges, strict=True):
        if piece.offset_bits < block.own_until_bits and block.own_from_bits < piece.end_bits:
            raise KeyStoreError(
                f"block {piece.block_id!r}, bits {piece.offset_bits} to {piece.end_bits}: the peer may not "
                f"name key of the part that this end allocates ({block.own_from_bits} to "
                f"{block.own_until_bits})"
            )


def require_origin(blocks: Iterable[Block], *, demo: bool) -> None:
    """Key that is not secret is for demonstrations; raises OriginRefused."""
    for block in blocks:
        if block.origin in DEMO_ORIGINS and not demo:
            raise OriginRefused(
                f"block {block.block_id!r} has origin {block.origin}: not secret; for a "
                f"demonstration say --demo"
            )


def require_unused(connection: Connection, blocks: Sequence[Block], ranges: Sequence[KeyRange]) -> None:
    """Raises KeyAlreadyUsed when any bit of the ranges was given out before."""
    for block, piece in zip(blocks, ranges, strict=True):
        if unused(connection, block, piece.offset_bits, piece.end_bits) != [piece]:
            raise KeyAlreadyUsed(
                f"block {piece.block_id!r}, bits {piece.offset_bits} to {piece.end_bits}: used before; key "
                f"is given out once"
            )


def take(
    connection: Connection,
    blocks: Sequence[Block],
    ranges: Sequence[KeyRange],
    use: Use,
    *,
    noted: Sequence[KeyRange] | None = None,
) -> Spent:
    """Mark ranges as used, copy their bytes out, overwrite them. Raises KeyAlreadyUsed.

    noted: how the use log calls them (`use_names`), where not as they are.
    """
    key = material.read_unused(connection, blocks, ranges)
    use_up(connection, blocks, ranges, use, noted=noted)
    return Spent(key, tuple(ranges), weakest_origin(block.origin for block in blocks))


def use_up(
    connection: Connection,
    blocks: Sequence[Block],
    ranges: Sequence[KeyRange],
    use: Use,
    *,
    noted: Sequence[KeyRange] | None = None,
) -> None:
    """Mark ranges as used and overwrite them, unread. Raises KeyAlreadyUsed."""
    for block, piece in zip(blocks, ranges, strict=True):
        place = (block.pk, piece.offset_bits, piece.length_bits)
        run(connection, _SPEND, (*place, use.purpose, use.reference, use.utc))
    database_of(connection).note_use(ranges if noted is None else noted)
    for block, piece in zip(blocks, ranges, strict=True):
        material.wipe(connection, block, piece)
    audit.append(
        connection, "spend", use.utc, purpose=use.purpose, reference=use.reference, ranges=list(ranges)
    )


def spend(connection: Connection, peer: str, kind: str, bits: int, use: Use, *, demo: bool) -> Spent:
    """Allocate and take the next `bits` bits of this end's part."""
    ranges = allocate(connection, peer, kind, bits, demo=demo)
    return take(connection, locate(connection, peer, kind, ranges), ranges, use)


def locate_for_peer(
    connection: Connection, peer: str, kind: str, ranges: Sequence[KeyRange], *, demo: bool
) -> list[Block]:
    """The blocks of ranges that the peer named, which it may name and which are unused; nothing is marked.

    Raises KeyNotFound, KeyStoreError, OriginRefused, KeyAlreadyUsed.
    """
    blocks = locate(connection, peer, kind, ranges)
    require_peers_part(blocks, ranges)
    require_origin(blocks, demo=demo)
    require_unused(connection, blocks, ranges)
    return blocks


def spend_at(
    connection: Connection, peer: str, kind: str, ranges: Sequence[KeyRange], use: Use, *, demo: bool
) -> Spent:
    """Take the ranges that the peer named, from the part that the peer allocates."""
    return take(connection, locate_for_peer(connection, peer, kind, ranges, demo=demo), ranges, use)
