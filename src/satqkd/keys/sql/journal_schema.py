"""Tables of the journal: what a node needs to take up a conversation again after a crash.

A conversation is one pass with one peer. Its row is kept for good; what was journalled of its blocks, its
memory and its messages is deleted when it is closed, and deleted means overwritten: `secure_delete` is on.
"""

from typing import Final

from sqlalchemy import Connection, column, table

from satqkd.keys.sql.rules import Rule, define, only_added

CONVERSATIONS = table(
    "conversations",
    *map(column, ("pk", "pass_id", "peer", "state", "parameters", "epoch_utc", "reason")),
)
MEMORIES = table("memories", column("conversation_pk"), column("bytes"))
JOURNAL = table("journal", *map(column, ("pk", "conversation_pk", "block", "sort", "bytes")))
UNRECEIPTED = table("unreceipted", *map(column, ("pk", "conversation_pk", "sequence", "bytes")))
BOOTS = table("boots", column("starts"))

_TABLES: Final = """
CREATE TABLE conversations (
    pk INTEGER PRIMARY KEY,
    pass_id TEXT NOT NULL UNIQUE,
    peer TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'closed', 'failed')),
    parameters BLOB NOT NULL,
    epoch_utc TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE memories (
    conversation_pk INTEGER PRIMARY KEY REFERENCES conversations (pk),
    bytes BLOB NOT NULL
) STRICT;
CREATE TABLE journal (
    pk INTEGER PRIMARY KEY,
    conversation_pk INTEGER NOT NULL REFERENCES conversations (pk),
    block INTEGER NOT NULL,
    sort TEXT NOT NULL CHECK (sort IN ('input', 'account')),
    bytes BLOB NOT NULL
) STRICT;
CREATE TABLE unreceipted (
    pk INTEGER PRIMARY KEY,
    conversation_pk INTEGER NOT NULL REFERENCES conversations (pk),
    sequence INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (conversation_pk, sequence)
) STRICT;
CREATE INDEX journal_of ON journal (conversation_pk, block);
CREATE TABLE boots (starts INTEGER NOT NULL) STRICT;
INSERT INTO boots VALUES (0);
"""

_RULES: Final = [
    Rule(
        "conversations_states",
        "conversations",
        "UPDATE",
        "a conversation that is closed stays so",
        "OLD.state <> 'open'",
        "state",
    ),
    Rule(
        "conversations_fixed",
        "conversations",
        "UPDATE",
        "a conversation is not rewritten",
        columns="pk, pass_id, peer, parameters, epoch_utc",
    ),
    *only_added("conversations", "DELETE"),
    Rule("boots_forward", "boots", "UPDATE", "starts are counted forward", "NEW.starts <= OLD.starts"),
]


def journal(connection: Connection) -> None:
    """The migration that makes them."""
    define(connection, _TABLES, _RULES)
