"""Tables of the store and its rules, in the steps by which they came.

The rules hold for any program that writes the file, not for this one alone: a range of key bits can be
spent once, lies inside a confirmed block, and neither ledger nor audit log can be changed or shortened.
Journal and user traffic have theirs in files of their own; `migrations` puts all in order.
"""

from typing import Final

from sqlalchemy import Connection, column, table

from satqkd.keys.sql.rules import Rule, define, only_added

ALREADY_USED: Final = "key already used"
ROOT: Final = "root"
"""In `meta`: the root key as it is locked, hexadecimal."""
STORE_ID: Final = "store_id"
NODE_ID: Final = "node_id"


def lost_name(block_id: str) -> str:
    """In `meta`: a block that an older copy of the store, put back, does not have."""
    return f"lost block {block_id}"


META = table("meta", column("name"), column("value"))
MIGRATIONS_DONE = table("migrations", column("version"), column("title"))
BLOCKS = table(
    "blocks",
    *map(column, ("pk", "block_id", "peer", "kind", "origin", "state", "bits", "own_from_bits")),
    *map(column, ("own_until_bits", "pool_from_bits", "created_utc", "paths")),
)
SEGMENTS = table("segments", *map(column, ("block_pk", "segment", "sealed")))
BLOCK_KEYS = table("block_keys", column("block_pk"), column("wrapped"))
RESERVATIONS = table(
    "reservations",
    *map(column, ("pk", "block_pk", "offset_bits", "length_bits", "writer", "holder", "since_utc")),
)
USES = table("uses", column("writer"), column("uses"))
SPENDS = table(
    "spends", *map(column, ("block_pk", "offset_bits", "length_bits", "purpose", "reference", "spent_utc"))
)
FETCHED = table(
    "fetched", *map(column, ("pk", "block_pk", "offset_bits", "length_bits", "reference", "since_utc"))
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

THE_BLOCK: Final = "SELECT pk FROM blocks WHERE pk = NEW.block_pk"
INSIDE: Final = (
    "NOT EXISTS (SELECT 1 FROM blocks WHERE pk = NEW.block_pk AND state = 'confirmed' "
    "AND NEW.offset_bits + NEW.length_bits <= bits)"
)

# Recorded ranges never overlap and are never changed, so the one that begins last below the new end
# also ends last: comparing with it alone is enough.
_RULES: Final = [
    Rule(
        "spends_once",
        "spends",
        "INSERT",
        ALREADY_USED,
        "coalesce((SELECT offset_bits + length_bits FROM spends "
        "WHERE block_pk = NEW.block_pk AND offset_bits < NEW.offset_bits + NEW.length_bits "
        "ORDER BY offset_bits DESC LIMIT 1), 0) > NEW.offset_bits",
        one_at_a_time=THE_BLOCK,
    ),
    Rule(
        "spends_inside",
        "spends",
        "INSERT",
        "range outside of a confirmed block",
        INSIDE,
    ),
    Rule(
        "blocks_states",
        "blocks",
        "UPDATE",
        "a block goes from unconfirmed to confirmed to discarded only",
        "OLD.state = 'discarded' OR (OLD.state = 'confirmed' AND NEW.state <> 'discarded')",
        "state",
    ),
    Rule(
        "blocks_fixed",
        "blocks",
        "UPDATE",
        "a block is not rewritten",
        columns="pk, block_id, peer, kind, origin, bits, own_from_bits, own_until_bits, created_utc",
    ),
    Rule(
        "blocks_pool_once",
        "blocks",
        "UPDATE",
        "a position in the pool is given once",
        "OLD.pool_from_bits IS NOT NULL",
        "pool_from_bits",
    ),
    *only_added("spends", "UPDATE", "DELETE"),
    *only_added("audit", "UPDATE", "DELETE"),
    *only_added("blocks", "DELETE"),
    *only_added("material", "DELETE"),
]


def first_schema(connection: Connection) -> None:
    """Blocks, ledger, relays, audit log; a migration."""
    define(connection, _TABLES, _RULES)


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

_RAW_RULES: Final = [
    Rule(
        "raw_blocks_states",
        "raw_blocks",
        "UPDATE",
        ALREADY_USED,
        "OLD.state IN ('used', 'discarded') OR NEW.state = 'unconfirmed'",
        "state",
    ),
    Rule(
        "raw_blocks_fixed",
        "raw_blocks",
        "UPDATE",
        "a raw block is not rewritten",
        columns="pk, block_id, peer, pool, origin, sifted_bits, detections, size_bytes, created_utc",
    ),
    *only_added("raw_blocks", "DELETE"),
    *only_added("raw_material", "DELETE"),
]


def raw_blocks(connection: Connection) -> None:
    """Raw blocks of pools; a migration."""
    define(connection, _RAW_TABLES, _RAW_RULES)


_SEALED_TABLES: Final = """
CREATE TABLE segments (
    block_pk INTEGER NOT NULL REFERENCES blocks (pk),
    segment INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (block_pk, segment)
) STRICT, WITHOUT ROWID;
CREATE TABLE block_keys (
    block_pk INTEGER PRIMARY KEY REFERENCES blocks (pk),
    wrapped BLOB NOT NULL
) STRICT;
CREATE TABLE uses (writer TEXT PRIMARY KEY, uses INTEGER NOT NULL) STRICT;
CREATE TABLE reservations (
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    block_pk INTEGER NOT NULL REFERENCES blocks (pk),
    offset_bits INTEGER NOT NULL CHECK (offset_bits >= 0 AND offset_bits % 8 = 0),
    length_bits INTEGER NOT NULL CHECK (length_bits > 0 AND length_bits % 8 = 0),
    writer TEXT NOT NULL,
    holder TEXT NOT NULL,
    since_utc TEXT NOT NULL
) STRICT;
CREATE INDEX reservations_of ON reservations (block_pk)
"""
OVERLAPS: Final = (
    "EXISTS (SELECT 1 FROM {table} WHERE block_pk = NEW.block_pk "
    "AND offset_bits < NEW.offset_bits + NEW.length_bits AND NEW.offset_bits < offset_bits + length_bits)"
)

_SEALED_RULES: Final = [
    *only_added("segments", "DELETE"),
    *only_added("block_keys", "DELETE"),
    *only_added("uses", "DELETE"),
    *only_added("reservations", "UPDATE"),
    Rule(
        "spends_reserved",
        "spends",
        "INSERT",
        "range is reserved for a delivery under way",
        OVERLAPS.format(table="reservations"),
    ),
    Rule(
        "reservations_once",
        "reservations",
        "INSERT",
        ALREADY_USED,
        f"{OVERLAPS.format(table='spends')} OR {OVERLAPS.format(table='reservations')}",
        one_at_a_time=THE_BLOCK,
    ),
    Rule(
        "reservations_inside",
        "reservations",
        "INSERT",
        "range outside of a confirmed block",
        INSIDE,
    ),
    Rule("uses_forward", "uses", "UPDATE", "uses are counted forward", "NEW.uses < OLD.uses"),
]


def sealed_tables(connection: Connection) -> None:
    """Segments, their keys, reservations and the count of uses; a migration's beginning."""
    define(connection, _SEALED_TABLES, _SEALED_RULES)
