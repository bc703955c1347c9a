"""Tables of the supply: secrets of key ids, and keys that wait for applications; one migration of the store.

`id_secrets`: for each half of a pair block whose keys have ids, what both ends make the ids with.
`held_keys`: keys that are looked up by their id, a row for each application that may fetch one.
"""

from typing import Final

from sqlalchemy import Connection, column, table

from satqkd.keys.rules import Rule, define, only_added

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
) STRICT, WITHOUT ROWID
"""
_RULES: Final = [
    *only_added("id_secrets", "UPDATE", "DELETE"),
    Rule("held_keys_fixed", "held_keys", "UPDATE", "a key that is held is not rewritten"),
]


def supply_tables(connection: Connection) -> None:
    """The migration."""
    define(connection, _TABLES, _RULES)
