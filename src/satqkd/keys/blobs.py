"""Bytes of a row by SQLite's blob handles: never a statement's parameter, which an error would print.

Every function works inside the caller's transaction; the row and its bytes' length exist already.
"""

from sqlalchemy import Connection

from satqkd.keys.database import raw


def write(
    connection: Connection, table: str, column: str, pk: int, data: bytes, offset_bytes: int = 0
) -> None:
    """Write over some of a row's bytes."""
    if data:
        with raw(connection).blobopen(table, column, pk) as blob:
            blob.seek(offset_bytes)
            blob.write(data)


def read(
    connection: Connection, table: str, column: str, pk: int, offset_bytes: int = 0, length_bytes: int = -1
) -> bytes:
    """A row's bytes from an offset, at most so many; to their end by default."""
    with raw(connection).blobopen(table, column, pk, readonly=True) as blob:
        blob.seek(offset_bytes)
        return blob.read(length_bytes)


def wipe(connection: Connection, table: str, column: str, pk: int) -> None:
    """Zeros over all of a row's bytes."""
    with raw(connection).blobopen(table, column, pk) as blob:
        write_bytes = len(blob)
        blob.write(bytes(write_bytes))
