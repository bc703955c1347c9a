"""Tables of the store, its rules as triggers, and the migrations that bring an older file up.

The rules hold for any program that writes the file, not for this one alone: a range of key bits can be
spent once, lies inside a confirmed block, and neither ledger nor audit log can be changed or shortened.
Each migration runs in a transaction of its own and is recorded. A new schema is a new migration at the
end of the list; a migration that was released is never edited.
"""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, column, table

from satqkd.keys.journal_schema import journal
from satqkd.keys.network_schema import key_network
from satqkd.keys.traffic_schema import user_traffic

APPLICATION_ID: Final = 0x53514B44
"""Marks an SQLite file as a key store: "SQKD"."""
ALREADY_USED: Final = "key already used"

META = table("meta", column("name"), column("value"))
MIGRATIONS_DONE = table("migrations", column("version"), column("title"))
BLOCKS = table(
    "blocks",
    *map(column, ("pk", "block_id", "peer", "kind", "origin", "state", "bits", "own_from_bits")),
    *map(column, ("own_until_bits", "pool_from_bits", "created_utc", "paths")),
)
MATERIAL = table("material", column("block_pk"), column("key_bytes"))
SPENDS = table(
    "spends", *map(column, ("block_pk", "offset_bits", "length_bits", "purpose", "reference", "spent_utc"))
)
FAILED_TAGS = table("failed_tags", column("block_pk"), column("offset_bits"), column("failures"))
RELAYS = table("relays", *map(column, ("satellite", "relay_id", "sequence", "record", "record_sha256")))
AUDIT = table("audit", *map(column, ("number", "utc", "event", "detail", "previous", "digest")))
RAW_BLOCKS = table(
    "raw_blocks",
    *map(column, ("pk", "block_id", "peer", "pool", "origin", "state", "sifted_bits", "detections")),
    *map(column, ("size_bytes", "created_utc")),
)
RAW_MATERIAL = table("raw_material", column("block_pk"), column("raw_bytes"))

_TABLES: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE blocks (
    pk INTEGER PRIMARY KEY,
    block_id TEXT NOT NULL UNIQUE,
    peer TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('auth', 'link', 'pair')),
    origin TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('unconfirmed', 'confirmed', 'discarded')),
    bits INTEGER NOT NULL CHECK (bits > 0 AND bits % 8 = 0),
    own_from_bits INTEGER NOT NULL CHECK (own_from_bits >= 0 AND own_from_bits % 8 = 0),
    own_until_bits INTEGER NOT NULL CHECK (own_until_bits <= bits AND own_until_bits % 8 = 0),
    pool_from_bits INTEGER,
    created_utc TEXT NOT NULL,
    CHECK (own_from_bits <= own_until_bits)
) STRICT;
CREATE TABLE material (
    block_pk INTEGER PRIMARY KEY REFERENCES blocks (pk),
    key_bytes BLOB NOT NULL
) STRICT;
CREATE TABLE spends (
    block_pk INTEGER NOT NULL REFERENCES blocks (pk),
    offset_bits INTEGER NOT NULL CHECK (offset_bits >= 0 AND offset_bits % 8 = 0),
    length_bits INTEGER NOT NULL CHECK (length_bits > 0 AND length_bits % 8 = 0),
    purpose TEXT NOT NULL,
    reference TEXT NOT NULL,
    spent_utc TEXT,
    PRIMARY KEY (block_pk, offset_bits)
) STRICT, WITHOUT ROWID;
CREATE TABLE failed_tags (
    block_pk INTEGER NOT NULL REFERENCES blocks (pk),
    offset_bits INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    PRIMARY KEY (block_pk, offset_bits)
) STRICT, WITHOUT ROWID;
CREATE TABLE relays (
    satellite TEXT NOT NULL,
    relay_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    record BLOB,
    record_sha256 BLOB NOT NULL, -- of the record's body, without its tags
    PRIMARY KEY (satellite, relay_id)
) STRICT;
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    utc TEXT,
    event TEXT NOT NULL,
    detail TEXT NOT NULL,
    previous BLOB NOT NULL,
    digest BLOB NOT NULL
) STRICT;
"""

# Recorded ranges never overlap and are never changed, so the one that begins last below the new end
# also ends last: comparing with it alone is enough.
_SINGLE_USE: Final = f"""
CREATE TRIGGER spends_once BEFORE INSERT ON spends
WHEN coalesce((SELECT offset_bits + length_bits FROM spends
               WHERE block_pk = NEW.block_pk AND offset_bits < NEW.offset_bits + NEW.length_bits
               ORDER BY offset_bits DESC LIMIT 1), 0) > NEW.offset_bits
BEGIN SELECT RAISE(ABORT, '{ALREADY_USED}'); END
"""

_INSIDE: Final = """
CREATE TRIGGER spends_inside BEFORE INSERT ON spends
WHEN NOT EXISTS (SELECT 1 FROM blocks WHERE pk = NEW.block_pk AND state = 'confirmed'
                 AND NEW.offset_bits + NEW.length_bits <= bits)
BEGIN SELECT RAISE(ABORT, 'range outside of a confirmed block'); END
"""

_STATES: Final = """
CREATE TRIGGER blocks_states BEFORE UPDATE OF state ON blocks
WHEN OLD.state = 'discarded' OR (OLD.state = 'confirmed' AND NEW.state <> 'discarded')
BEGIN SELECT RAISE(ABORT, 'a block goes from unconfirmed to confirmed to discarded only'); END
"""

_FIXED_COLUMNS: Final = """
CREATE TRIGGER blocks_fixed
BEFORE UPDATE OF pk, block_id, peer, kind, origin, bits, own_from_bits, own_until_bits, created_utc ON blocks
BEGIN SELECT RAISE(ABORT, 'a block is not rewritten'); END
"""

_POOL_ONCE: Final = """
CREATE TRIGGER blocks_pool_once BEFORE UPDATE OF pool_from_bits ON blocks
WHEN OLD.pool_from_bits IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a position in the pool is given once'); END
"""


def _frozen(name: str, *actions: str) -> list[str]:
    return [
        f"CREATE TRIGGER {name}_no_{action.lower()} BEFORE {action} ON {name} "
        f"BEGIN SELECT RAISE(ABORT, '{name}: rows are only ever added'); END"
        for action in actions
    ]


def _first_schema(connection: Connection) -> None:
    statements = [part for part in _TABLES.split(";") if part.strip()]
    statements += [_SINGLE_USE, _INSIDE, _STATES, _FIXED_COLUMNS, _POOL_ONCE]
    statements += _frozen("spends", "UPDATE", "DELETE") + _frozen("audit", "UPDATE", "DELETE")
    statements += _frozen("blocks", "DELETE") + _frozen("material", "DELETE")
    for statement in statements:
        connection.exec_driver_sql(statement)


_RAW_TABLES: Final = """
CREATE TABLE raw_blocks (
    pk INTEGER PRIMARY KEY,
    block_id TEXT NOT NULL UNIQUE,
    peer TEXT NOT NULL,
    pool TEXT NOT NULL,
    origin TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('unconfirmed', 'confirmed', 'used', 'discarded')),
    sifted_bits INTEGER NOT NULL CHECK (sifted_bits >= 0), -- as predicted
    detections INTEGER NOT NULL CHECK (detections >= 0),
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    created_utc TEXT NOT NULL
) STRICT;
CREATE TABLE raw_material (
    block_pk INTEGER PRIMARY KEY REFERENCES raw_blocks (pk),
    raw_bytes BLOB NOT NULL
) STRICT;
"""

_RAW_STATES: Final = f"""
CREATE TRIGGER raw_blocks_states BEFORE UPDATE OF state ON raw_blocks
WHEN OLD.state IN ('used', 'discarded') OR NEW.state = 'unconfirmed'
BEGIN SELECT RAISE(ABORT, '{ALREADY_USED}'); END
"""

_RAW_FIXED_COLUMNS: Final = """
CREATE TRIGGER raw_blocks_fixed
BEFORE UPDATE OF pk, block_id, peer, pool, origin, sifted_bits, detections, size_bytes, created_utc
ON raw_blocks
BEGIN SELECT RAISE(ABORT, 'a raw block is not rewritten'); END
"""


def _raw_blocks(connection: Connection) -> None:
    statements = [part for part in _RAW_TABLES.split(";") if part.strip()]
    statements += [_RAW_STATES, _RAW_FIXED_COLUMNS]
    statements += _frozen("raw_blocks", "DELETE") + _frozen("raw_material", "DELETE")
    for statement in statements:
        connection.exec_driver_sql(statement)


MIGRATIONS: Final[list[tuple[str, Callable[[Connection], None]]]] = [
    ("blocks, ledger, relays, audit log", _first_schema),
    ("raw blocks of pools", _raw_blocks),
    ("journal of conversations", journal),
    ("user traffic", user_traffic),
    ("key network", key_network),
]
"""In order; the version of a file is how many of them it has had."""
