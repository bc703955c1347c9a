"""The steps that bring a store of any age to this version's schema.

Each runs in a transaction of its own and is recorded. A new schema is a new step at the end of the list; a
step that was released is never edited.
"""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, insert

from satqkd.errors import DataFormatError
from satqkd.keys.sql.database import Database
from satqkd.keys.sql.journal_schema import journal
from satqkd.keys.sql.network_schema import key_network
from satqkd.keys.sql.push_schema import push_tables
from satqkd.keys.sql.schema import MIGRATIONS_DONE, first_schema, raw_blocks
from satqkd.keys.sql.supply_schema import supply_tables
from satqkd.keys.sql.traffic_schema import user_traffic
from satqkd.keys.store.sealing import sealed_at_rest

MIGRATIONS: Final[list[tuple[str, Callable[[Connection], None]]]] = [
    ("blocks, ledger, relays, audit log", first_schema),
    ("raw blocks of pools", raw_blocks),
    ("journal of conversations", journal),
    ("user traffic", user_traffic),
    ("sealed at rest, reservations, use log", sealed_at_rest),
    ("key network", key_network),
    ("supply of keys with ids", supply_tables),
    ("blocks pushed to a key server", push_tables),
]
"""In order; the version of a store is how many of them it has had."""
SEALED_VERSION: Final = 5
"""From here on nothing secret lies in clear."""


def migrate(database: Database, until: int = len(MIGRATIONS)) -> None:
    """Bring the schema to this version, or an older one; the database is unlocked."""
    with database.transaction() as connection:
        kind = "" if connection.dialect.name == "postgresql" else " STRICT"
        connection.exec_driver_sql(
            f"CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, title TEXT NOT NULL){kind}"
        )
        done = version_of(connection)
    for version, (title, step) in enumerate(MIGRATIONS[:until], start=1):
        if version > done:
            with database.transaction() as connection:
                step(connection)
                connection.execute(insert(MIGRATIONS_DONE).values(version=version, title=title))


def version_of(connection: Connection) -> int:
    """How many migrations a store has had."""
    return int(connection.exec_driver_sql("SELECT coalesce(max(version), 0) FROM migrations").scalar_one())


def known_version(database: Database) -> int:
    """The store's version. Raises DataFormatError for a newer satqkd's, or an old one that is only read."""
    with database.snapshot() as connection:
        version = version_of(connection)
    if version > len(MIGRATIONS):
        raise DataFormatError(
            f"{database.name}: expected schema {len(MIGRATIONS)} or older, got {version}: a newer satqkd "
            f"wrote this store; use that version"
        )
    if database.read_only and version < len(MIGRATIONS):
        raise DataFormatError(f"{database.name}: schema {version} is old; open the store once for writing")
    return version
