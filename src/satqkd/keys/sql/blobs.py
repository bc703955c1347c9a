"""Long bytes that are no secret, read and written a piece at a time.

Every function works inside the caller's transaction; the row and its bytes' length exist already.
"""

from sqlalchemy import Connection, bindparam, func, select, text, update
from sqlalchemy.sql.expression import TableClause

from satqkd.keys.sql.statements import raw


def write(connection: Connection, table: TableClause, pk: int, data: bytes, offset_bytes: int) -> None:
    """Write over some of a row's `data`."""
    if not data:
        return
    if connection.dialect.name == "sqlite":
        with raw(connection).blobopen(table.name, "data", pk) as blob:
            blob.seek(offset_bytes)
            blob.write(data)
        return
    patched = text("overlay(data placing :new from :place for :length)").bindparams(
        bindparam("new", data), bindparam("place", offset_bytes + 1), bindparam("length", len(data))
    )
    connection.execute(update(table).where(table.c.pk == pk).values(data=patched))


def read(
    connection: Connection,
    table: TableClause,
    pk: int,
    offset_bytes: int = 0,
    length_bytes: int | None = None,
) -> bytes:
    """A row's `data` from an offset, at most so many bytes; to their end by default."""
    if connection.dialect.name == "sqlite":
        with raw(connection).blobopen(table.name, "data", pk, readonly=True) as blob:
            blob.seek(offset_bytes)
            return blob.read(-1 if length_bytes is None else length_bytes)
    limits = [offset_bytes + 1] if length_bytes is None else [offset_bytes + 1, length_bytes]
    return bytes(
        connection.execute(select(func.substring(table.c.data, *limits)).where(table.c.pk == pk)).scalar_one()
    )
