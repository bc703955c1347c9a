"""The bytes of key blocks as they lie in the store: in segments, each sealed under its block's own key.

A range that is used is overwritten with zeros inside its segments, which are sealed anew; a segment without
any key left is emptied, and with the last of them the block's key is emptied too: what old copies of its
segments a disk may keep cannot be opened then. Every function works inside the caller's transaction.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, select, update

from satqkd.errors import DataFormatError
from satqkd.keys.at_rest.vault import Cipher, Vault
from satqkd.keys.model import KeyRange
from satqkd.keys.secret import Secret
from satqkd.keys.sql.database import vault_of
from satqkd.keys.sql.schema import BLOCK_KEYS, SEGMENTS
from satqkd.keys.sql.statements import run

SEGMENT_BYTES: Final = 4096
_SEGMENT_BITS: Final = 8 * SEGMENT_BYTES
_CHANCE_BYTES: Final = 8
ERASED: Final = b""
"""In place of a sealed segment or a wrapped key."""

Block = Row[Any]

_NEW_KEY: Final = "INSERT INTO block_keys (block_pk, wrapped) VALUES (?, ?)"
_NEW_SEGMENT: Final = "INSERT INTO segments (block_pk, segment, sealed) VALUES (?, ?, ?)"
_KEY: Final = "SELECT wrapped FROM block_keys WHERE block_pk = ?"
_SEGMENTS: Final = (
    "SELECT segment, sealed FROM segments WHERE block_pk = ? AND segment BETWEEN ? AND ? ORDER BY segment"
)
_COUNT: Final = "SELECT count(*), max(segment) FROM segments WHERE block_pk = ?"
_SEAL: Final = "UPDATE segments SET sealed = ? WHERE block_pk = ? AND segment = ?"
_ERASE: Final = "UPDATE segments SET sealed = ? WHERE block_pk = ? AND segment BETWEEN ? AND ?"
_ERASE_ALL: Final = "UPDATE segments SET sealed = ? WHERE block_pk = ?"
_ERASE_KEY: Final = "UPDATE block_keys SET wrapped = ? WHERE block_pk = ?"
_USED_BITS: Final = "SELECT sum(length_bits) FROM spends WHERE block_pk = ?"


def store(connection: Connection, block: Block, key: bytes | bytearray | memoryview) -> None:
    """Seal the bytes of a new block under a new key."""
    vault, place = vault_of(connection), _place(block)
    wrapped = vault.new_key(place)
    cipher = vault.cipher(place, wrapped)
    run(connection, _NEW_KEY, (block.pk, wrapped))
    for number, start in enumerate(range(0, len(key), SEGMENT_BYTES)):
        sealed = cipher.seal(_segment_place(block, number), key[start : start + SEGMENT_BYTES])
        run(connection, _NEW_SEGMENT, (block.pk, number, sealed))


def read(connection: Connection, blocks: Sequence[Block], ranges: Sequence[KeyRange]) -> Secret:
    """The bytes of some ranges, one after the other, used ones as zeros."""
    buffer = bytearray(sum(piece.length_bits for piece in ranges) // 8)
    position = 0
    for block, piece in zip(blocks, ranges, strict=True):
        cipher = _cipher(connection, block)
        for number, data in _segments(connection, block, piece, cipher):
            with Secret(data) as segment:
                start, end = _within(piece, number, len(segment))
                buffer[position : position + end - start] = segment.expose()[start:end]
                position += end - start
    return Secret(buffer)


def read_unused(connection: Connection, blocks: Sequence[Block], ranges: Sequence[KeyRange]) -> Secret:
    """The bytes of ranges that the ledger calls unused, to be given out.

    Raises DataFormatError where they are wiped: then the ledger is damaged.
    """
    key = read(connection, blocks, ranges)
    try:
        position = 0
        for block, piece in zip(blocks, ranges, strict=True):
            n_bytes = piece.length_bits // 8
            require_key(block, key.expose()[position : position + n_bytes])
            position += n_bytes
    except BaseException:
        key.wipe()
        raise
    return key


def require_key(block: Block, data: bytes | bytearray | memoryview) -> None:
    """Zeros are no key: they stand where key was wiped. Raises DataFormatError.

    So many zeros come by chance once in 2^64 keys. Fewer are let pass.
    """
    copy = bytearray(data)
    wiped = bytes(2 * _CHANCE_BYTES) in copy or (len(copy) >= _CHANCE_BYTES and not any(copy))
    copy[:] = bytes(len(copy))
    if wiped:
        raise DataFormatError(
            f"block {block.block_id!r}: key that counts as unused is wiped: the store is damaged; no key was "
            f"given; restore a backup by `satqkd keys restore`"
        )


def wipe(connection: Connection, block: Block, piece: KeyRange) -> None:
    """Overwrite a range with zeros: whole segments are emptied unread, the ends sealed anew."""
    first, last = _whole_segments(block, piece)
    if first < last:
        run(connection, _ERASE, (ERASED, block.pk, first, last - 1))
    for end in _ends(piece, first, last):
        _wipe_part(connection, block, end)
    _forget_key(connection, block)


def _wipe_part(connection: Connection, block: Block, piece: KeyRange) -> None:
    cipher = _cipher(connection, block)
    if cipher is None:
        return
    for number, data in _segments(connection, block, piece, cipher):
        with Secret(data) as segment:
            start, end = _within(piece, number, len(segment))
            data[start:end] = bytes(end - start)
            sealed = cipher.seal(_segment_place(block, number), data) if any(data) else ERASED
        _replace(connection, block, number, sealed)


def _whole_segments(block: Block, piece: KeyRange) -> tuple[int, int]:
    """The segments that lie in a range with all their bytes, as (from, until)."""
    first = -(-piece.offset_bits // _SEGMENT_BITS)
    at_end = piece.end_bits == block.bits
    return first, -(-piece.end_bits // _SEGMENT_BITS) if at_end else piece.end_bits // _SEGMENT_BITS


def _ends(piece: KeyRange, first: int, last: int) -> list[KeyRange]:
    """What of a range lies in segments that it does not fill."""
    if first >= last:
        return [piece]
    before, after = first * _SEGMENT_BITS, last * _SEGMENT_BITS
    parts = ((piece.offset_bits, before), (after, piece.end_bits))
    return [KeyRange(piece.block_id, start, end - start) for start, end in parts if start < end]


def wipe_all(connection: Connection, block: Block) -> None:
    """Empty all of a block and its key."""
    run(connection, _ERASE_ALL, (ERASED, block.pk))
    run(connection, _ERASE_KEY, (ERASED, block.pk))


def reseal(connection: Connection, block: Block, old: Vault, new: Vault) -> None:
    """Seal what is left of a block under a fresh key, which another vault wraps."""
    mine = select(BLOCK_KEYS.c.wrapped).where(BLOCK_KEYS.c.block_pk == block.pk)
    wrapped = connection.execute(mine).scalar()
    if not wrapped:
        return
    fresh = new.new_key(_place(block))
    cipher, before = new.cipher(_place(block), fresh), old.cipher(_place(block), bytes(wrapped))
    rows = select(SEGMENTS).where(SEGMENTS.c.block_pk == block.pk)
    for row in connection.execute(rows).all():
        if row.sealed:
            with Secret(_opened(before, block, row.segment, bytes(row.sealed))) as data:
                sealed = cipher.seal(_segment_place(block, row.segment), data.expose())
            _replace(connection, block, row.segment, sealed)
    connection.execute(update(BLOCK_KEYS).where(BLOCK_KEYS.c.block_pk == block.pk).values(wrapped=fresh))


def stored_bytes(connection: Connection, block: Block) -> int:
    """How many bytes the block's segments stand for, emptied ones too; -1 where one is missing."""
    number, last = run(connection, _COUNT, (block.pk,)).fetchone()
    expected = -(-(block.bits // 8) // SEGMENT_BYTES)
    return block.bits // 8 if (number, last) == (expected, expected - 1) else -1


def _segments(
    connection: Connection, block: Block, piece: KeyRange, cipher: Cipher | None
) -> Iterator[tuple[int, bytearray]]:
    """Number and bytes of the segments that a range touches; zeros where emptied."""
    first, last = piece.offset_bits // 8 // SEGMENT_BYTES, (piece.end_bits // 8 - 1) // SEGMENT_BYTES
    rows = run(connection, _SEGMENTS, (block.pk, first, last)).fetchall()
    if [number for number, _ in rows] != list(range(first, last + 1)):
        raise DataFormatError(
            f"block {block.block_id!r}: some of its key is missing in the store; it is lost"
        )
    for number, sealed in rows:
        if not sealed:
            yield number, bytearray(_length(block, number))
        elif cipher is None:
            raise DataFormatError(f"block {block.block_id!r}: its key on the disk is erased; it is lost")
        else:
            yield number, _opened(cipher, block, number, bytes(sealed))


def _opened(cipher: Cipher, block: Block, number: int, sealed: bytes) -> bytearray:
    data, length = cipher.open(_segment_place(block, number), sealed), _length(block, number)
    if len(data) != length:
        raise DataFormatError(
            f"block {block.block_id!r}, segment {number}: expected {length} bytes, got {len(data)}"
        )
    return data


def _cipher(connection: Connection, block: Block) -> Cipher | None:
    """None when the block's key is erased."""
    row = run(connection, _KEY, (block.pk,)).fetchone()
    return vault_of(connection).cipher(_place(block), bytes(row[0])) if row and row[0] else None


def _replace(connection: Connection, block: Block, number: int, sealed: bytes) -> None:
    run(connection, _SEAL, (sealed, block.pk, number))


def _forget_key(connection: Connection, block: Block) -> None:
    """Empty the key of a block that has been used to its last bit."""
    (used_bits,) = run(connection, _USED_BITS, (block.pk,)).fetchone()
    if used_bits == block.bits:
        wipe_all(connection, block)


def _length(block: Block, number: int) -> int:
    return int(min(SEGMENT_BYTES, block.bits // 8 - number * SEGMENT_BYTES))


def _within(piece: KeyRange, number: int, length: int) -> tuple[int, int]:
    """The bytes of a segment that belong to a range."""
    start = number * SEGMENT_BYTES
    return max(0, piece.offset_bits // 8 - start), min(length, piece.end_bits // 8 - start)


def _place(block: Block) -> str:
    return f"block {block.block_id}"


def _segment_place(block: Block, number: int) -> str:
    return f"block {block.block_id}, segment {number}"
