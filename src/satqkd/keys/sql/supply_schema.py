"""Tables of the supply: secrets of key ids, and keys that wait for applications; one migration of the store.

`id_secrets`: for each half of a pair block whose keys have ids, what both ends make the ids with.
`held_keys`: keys that are looked up by their id, a row for each application that may fetch one.
`fetched`: ranges that were given to a slave, until they are settled: written in the ledger and overwritten.
"""

from typing import Final

from sqlalchemy import Connection, column, table

from satqkd.keys.sql.rules import Rule, define, only_added
from satqkd.keys.sql.schema import ALREADY_USED, INSIDE, OVERLAPS, THE_BLOCK

ID_SECRETS = table("id_secrets", *map(column, ("block_pk", "own", "sealed")))
HELD_KEYS = table(
    "held_keys",
    *map(column, ("key_id", "slave", "peer", "master", "bits", "origin", "paths", "sealed", "since_utc")),
)

_TABLES: Final = """
CREATE TABLE id_secrets (
    block_pk INTEGER NOT NULL REFERENCES blocks (pk),
    own INTEGER NOT NULL, -- 1: of the half that this end allocates
    sealed BLOB NOT NULL,
    PRIMARY KEY (block_pk, own)
) STRICT, WITHOUT ROWID;
CREATE TABLE held_keys (
    key_id TEXT NOT NULL,
    slave TEXT NOT NULL,
    peer TEXT NOT NULL,
    master TEXT NOT NULL,
    bits INTEGER NOT NULL,
    origin TEXT NOT NULL,
    paths TEXT NOT NULL,
    sealed BLOB NOT NULL,
    since_utc TEXT NOT NULL,
    PRIMARY KEY (key_id, slave)
) STRICT, WITHOUT ROWID;
CREATE TABLE fetched (
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    block_pk INTEGER NOT NULL REFERENCES blocks (pk),
    offset_bits INTEGER NOT NULL CHECK (offset_bits >= 0 AND offset_bits % 8 = 0),
    length_bits INTEGER NOT NULL CHECK (length_bits > 0 AND length_bits % 8 = 0),
    reference TEXT NOT NULL,
    since_utc TEXT NOT NULL
) STRICT;
CREATE INDEX fetched_of ON fetched (block_pk, offset_bits)
"""
_RULES: Final = [
    *only_added("id_secrets", "UPDATE", "DELETE"),
    Rule("held_keys_fixed", "held_keys", "UPDATE", "a key that is held is not rewritten"),
    *only_added("fetched", "UPDATE"),
    Rule(
        "fetched_once",
        "fetched",
        "INSERT",
        ALREADY_USED,
        " OR ".join(OVERLAPS.format(table=name) for name in ("spends", "reservations", "fetched")),
        one_at_a_time=THE_BLOCK,
    ),
    Rule("fetched_inside", "fetched", "INSERT", "range outside of a confirmed block", INSIDE),
    Rule("spends_fetched", "spends", "INSERT", ALREADY_USED, OVERLAPS.format(table="fetched")),
    Rule("reservations_fetched", "reservations", "INSERT", ALREADY_USED, OVERLAPS.format(table="fetched")),
]


def supply_tables(connection: Connection) -> None:
    """The migration."""
    define(connection, _TABLES, _RULES)
