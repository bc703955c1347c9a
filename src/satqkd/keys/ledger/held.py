"""Keys that wait under an id for named applications: of two clients of one node, and for several slaves.

A row for each slave; the row is deleted when its key is fetched. Inside the caller's transaction.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, and_, delete, insert, select

from satqkd.errors import KeyNotFound
from satqkd.keys.ledger import audit
from satqkd.keys.model import Paths
from satqkd.keys.paths import to_text
from satqkd.keys.sql import cells, use_names
from satqkd.keys.sql.database import database_of
from satqkd.keys.sql.supply_schema import HELD_KEYS
from satqkd.keys.supply_door import NotEntitled

HeldRow = Row[Any]
LOCAL_ORIGIN: Final = "local"
"""Of key that was made here for two clients of this node."""


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a key that is held."""

    peer: str
    master: str
    origin: str
    paths: Paths


def hold(
    connection: Connection,
    key_id: str,
    slaves: Iterable[str],
    key: bytes | bytearray | memoryview,
    about: Holding,
    utc: str,
) -> None:
    """Keep a key for some applications."""
    rows = [
        {
            "key_id": key_id,
            "slave": slave,
            "bits": 8 * len(key),
            "sealed": cells.seal(connection, place(key_id, slave), key),
            "since_utc": utc,
            **msgspec.structs.asdict(about),
            "paths": to_text(about.paths),
        }
        for slave in slaves
    ]
    connection.execute(insert(HELD_KEYS), rows)


def find(connection: Connection, key_ids: Sequence[str]) -> dict[str, list[HeldRow]]:
    """Rows by id, of those ids that are held."""
    found: dict[str, list[HeldRow]] = {}
    for row in connection.execute(select(HELD_KEYS).where(HELD_KEYS.c.key_id.in_(key_ids))):
        found.setdefault(row.key_id, []).append(row)
    return found


def entitled(rows: Sequence[HeldRow], *, peer: str, master: str, slave: str) -> HeldRow:
    """The row of an id that is for this application. Raises NotEntitled."""
    mine = [row for row in rows if (row.peer, row.master, row.slave) == (peer, master, slave)]
    if not mine:
        raise NotEntitled(f"key {rows[0].key_id}: {slave!r} was not named when it was drawn by its master")
    return mine[0]


def give(connection: Connection, row: HeldRow, utc: str) -> bytes:
    """The bytes of a held key, which is then held for this application no more. Raises KeyNotFound."""
    key = cells.unseal(connection, place(row.key_id, row.slave), row.sealed)
    mine = and_(HELD_KEYS.c.key_id == row.key_id, HELD_KEYS.c.slave == row.slave)
    if connection.execute(delete(HELD_KEYS).where(mine)).rowcount != 1:
        raise KeyNotFound(f"key {row.key_id} was fetched before")
    database_of(connection).note_use([use_names.of_held(place(row.key_id, row.slave), row.bits)])
    audit.append(connection, "fetched", utc, key_id=row.key_id, slave=row.slave, bits=row.bits)
    return key


def drop(connection: Connection, key_id: str, slave: str) -> None:
    """A key that was fetched, as the use log says, is held no more."""
    mine = and_(HELD_KEYS.c.key_id == key_id, HELD_KEYS.c.slave == slave)
    connection.execute(delete(HELD_KEYS).where(mine))


def place(key_id: str, slave: str) -> str:
    """Of a held key."""
    return f"held key {key_id} for {slave}"
