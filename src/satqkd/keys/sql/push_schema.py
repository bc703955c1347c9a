"""Tables of key that moves whole, block by block, from the store of a node to that of its key server.

`pushes`: at the node, what it gave away and holds sealed until the server has it.
`streams`, `stream_chunks`: at the server, blocks that arrive, and what has come of them, sealed.
One migration of the store. No file, no key here.
"""

from typing import Final

from sqlalchemy import Connection, column, table

from satqkd.keys.sql.rules import Rule, define, only_added

PUSHES = table("pushes", *map(column, ("stream_id", "block_pk", "sealed", "since_utc", "done_utc")))
STREAMS = table(
    "streams",
    *map(column, ("stream_id", "sender", "state", "chunk_bytes", "since_utc")),
    *map(column, ("block_id", "peer", "origin", "paths", "bits", "own_from_bits", "own_until_bits")),
    column("created_utc"),
)
STREAM_CHUNKS = table("stream_chunks", *map(column, ("stream_id", "number", "sealed")))

_TABLES: Final = """
CREATE TABLE pushes (
    stream_id TEXT PRIMARY KEY,
    block_pk INTEGER NOT NULL UNIQUE REFERENCES blocks (pk),
    sealed BLOB NOT NULL, -- emptied when the server has the block
    since_utc TEXT,
    done_utc TEXT
) STRICT;
CREATE TABLE streams (
    stream_id TEXT PRIMARY KEY,
    sender TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'closed', 'dropped')),
    chunk_bytes INTEGER NOT NULL CHECK (chunk_bytes > 0),
    since_utc TEXT NOT NULL,
    block_id TEXT NOT NULL,
    peer TEXT NOT NULL,
    origin TEXT NOT NULL,
    paths TEXT NOT NULL,
    bits INTEGER NOT NULL CHECK (bits > 0 AND bits % 8 = 0),
    own_from_bits INTEGER NOT NULL,
    own_until_bits INTEGER NOT NULL,
    created_utc TEXT NOT NULL
) STRICT;
CREATE TABLE stream_chunks (
    stream_id TEXT NOT NULL REFERENCES streams (stream_id),
    number INTEGER NOT NULL CHECK (number >= 0),
    sealed BLOB NOT NULL,
    PRIMARY KEY (stream_id, number)
) STRICT, WITHOUT ROWID
"""
_RULES: Final = [
    *only_added("pushes", "DELETE"),
    Rule(
        "pushes_once",
        "pushes",
        "UPDATE",
        "what was pushed is wiped and stays so",
        "length(NEW.sealed) > 0 OR NEW.stream_id <> OLD.stream_id OR NEW.block_pk <> OLD.block_pk",
    ),
    *only_added("streams", "DELETE"),
    Rule("streams_fixed", "streams", "UPDATE", "a stream that ended is over", "OLD.state <> 'open'"),
    *only_added("stream_chunks", "UPDATE"),
    Rule(
        "stream_chunks_in_order",
        "stream_chunks",
        "INSERT",
        "chunks of a stream come in order, while it is open",
        "NEW.number <> (SELECT count(*) FROM stream_chunks WHERE stream_id = NEW.stream_id) OR "
        "NOT EXISTS (SELECT 1 FROM streams WHERE stream_id = NEW.stream_id AND state = 'open')",
    ),
]


def push_tables(connection: Connection) -> None:
    """The migration."""
    define(connection, _TABLES, _RULES)
