"""Backups: every row of a store in one consistent view, sealed as it lies there, under one tag.

    "SQBAK1" | header length, u32 little-endian | header | chunk ... | tag (32)
    header   = MessagePack map: store_id, node_id, schema, root (locked), uses (by writer), made_utc
    chunk    = length, u32 little-endian | MessagePack array [table, columns, rows]
    tag      = HMAC-SHA256 over all before it, under a key of the store's root key

What is secret stays sealed; names, times and lengths are as readable as in the store. Neither lock nor use
log is in it: the one opens it, the other tells what was used since. A backup holds key that the store uses up
and wipes later: it ends with the lock that opens it, not with the store. Written and read chunk by chunk.
"""

import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import msgspec
from sqlalchemy import Connection, select, table

from satqkd.errors import DataFormatError, ResourceError
from satqkd.keys.at_rest.vault import Vault
from satqkd.keys.sql.database import meta_of, vault_of
from satqkd.keys.sql.schema import NODE_ID, ROOT, STORE_ID, USES
from satqkd.keys.sql.tables import TABLES
from satqkd.keys.store.key_store import KeyStore
from satqkd.keys.store.migrations import SEALED_VERSION, version_of

T = TypeVar("T")
MAGIC: Final = b"SQBAK1"
TAG_BYTES: Final = 32
ROWS: Final = 64
"""Of one chunk."""
MAXIMUM_HEADER_BYTES: Final = 1 << 20
MAXIMUM_CHUNK_BYTES: Final = (1 << 32) - 1


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup says of itself."""

    store_id: str
    node_id: str
    schema: int
    """Version of the tables."""
    root: bytes
    """The root key, as the lock wrapped it."""
    uses: dict[str, int]
    """How often each writer had used key."""
    made_utc: str


class Chunk(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Some rows of one table."""

    table: str
    columns: tuple[str, ...]
    rows: list[list[Any]]
    """Whole numbers, texts, bytes and nothing, as they lie in the columns."""


def write_backup(store: KeyStore, target: BinaryIO, *, now_utc: str) -> Header:
    """All of a store, which others may go on to use meanwhile: what they use after this began is not in it.

    Raises OSError of the target.
    """
    with store.snapshot() as connection:
        header = _header(connection, now_utc)
        tag = hmac.new(vault_of(connection).backup_key(), digestmod=hashlib.sha256)
        for data in _pieces(connection, header):
            tag.update(data)
            target.write(data)
    target.write(tag.digest())
    return header


def _header(connection: Connection, now_utc: str) -> Header:
    return Header(
        store_id=meta_of(connection, STORE_ID) or "",
        node_id=meta_of(connection, NODE_ID) or "",
        schema=version_of(connection),
        root=bytes.fromhex(meta_of(connection, ROOT) or ""),
        uses={row.writer: row.uses for row in connection.execute(select(USES))},
        made_utc=now_utc,
    )


def _pieces(connection: Connection, header: Header) -> Iterator[bytes]:
    text = msgspec.msgpack.encode(header)
    yield MAGIC + len(text).to_bytes(4, "little") + text
    for name in TABLES:
        found = connection.execute(select("*").select_from(table(name)))
        columns = tuple(found.keys())
        for rows in found.partitions(ROWS):
            cells = [[_plain(cell) for cell in row] for row in rows]
            data = msgspec.msgpack.encode(Chunk(name, columns, cells))
            yield len(data).to_bytes(4, "little") + data


def _plain(cell: Any) -> int | str | bytes | None:
    return bytes(cell) if isinstance(cell, memoryview) else cell


def read_header(path: Path) -> Header:
    """What a backup says of itself; nothing is checked yet. Raises DataFormatError, ResourceError."""
    with _opened(path) as file:
        return _read_header(file, path)


def require_genuine(path: Path, vault: Vault) -> None:
    """The tag is that of the store whose root key the vault has. Raises DataFormatError."""
    tag = hmac.new(vault.backup_key(), digestmod=hashlib.sha256)
    with _opened(path) as file:
        left = path.stat().st_size - TAG_BYTES
        while left > 0:
            data = file.read(min(left, 1 << 20))
            if not data:
                break
            tag.update(data)
            left -= len(data)
        if not hmac.compare_digest(tag.digest(), file.read(TAG_BYTES)):
            raise DataFormatError(f"{path}: the backup is cut short or was changed; take another one")


def chunks(path: Path) -> Iterator[Chunk]:
    """The rows of a backup that is genuine."""
    end = path.stat().st_size - TAG_BYTES
    with _opened(path) as file:
        _read_header(file, path)
        while file.tell() < end:
            yield _decoded(file.read(_length(file, MAXIMUM_CHUNK_BYTES, path)), Chunk, path)


def _read_header(file: BinaryIO, path: Path) -> Header:
    if file.read(len(MAGIC)) != MAGIC:
        raise DataFormatError(f"{path}: expected a backup of a key store, got something else")
    header = _decoded(file.read(_length(file, MAXIMUM_HEADER_BYTES, path)), Header, path)
    if header.schema < SEALED_VERSION:
        raise DataFormatError(f"{path}: expected schema {SEALED_VERSION} or later, got {header.schema}")
    return header


def _length(file: BinaryIO, most: int, path: Path) -> int:
    length = int.from_bytes(file.read(4), "little")
    if length > most:
        raise DataFormatError(f"{path}: expected at most {most} bytes at {file.tell()}, got {length}")
    return length


def _decoded(data: bytes, sort: type[T], path: Path) -> T:
    try:
        return msgspec.msgpack.decode(data, type=sort)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise DataFormatError(f"{path}: expected a backup's {sort.__name__}, got something else") from None


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise ResourceError(f"{path}: cannot read the backup: {error.strerror}") from None
