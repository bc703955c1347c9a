"""Tables of the journal: what a node needs to take up a conversation again after a crash.

A conversation is one pass with one peer. Its row is kept for good; what was journalled of its blocks, its
memory and its messages is deleted when it is closed, and deleted means overwritten: `secure_delete` is on.
"""

from typing import Final

from sqlalchemy import Connection, column, table

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

_STATES: Final = """
CREATE TRIGGER conversations_states BEFORE UPDATE OF state ON conversations
WHEN OLD.state <> 'open'
BEGIN SELECT RAISE(ABORT, 'a conversation that is closed stays so'); END
"""

_FIXED: Final = """
CREATE TRIGGER conversations_fixed BEFORE UPDATE OF pk, pass_id, peer, parameters, epoch_utc ON conversations
BEGIN SELECT RAISE(ABORT, 'a conversation is not rewritten'); END
"""

_KEPT: Final = """
CREATE TRIGGER conversations_no_delete BEFORE DELETE ON conversations
BEGIN SELECT RAISE(ABORT, 'conversations: rows are only ever added'); END
"""

_COUNTED: Final = """
CREATE TRIGGER boots_forward BEFORE UPDATE ON boots WHEN NEW.starts <= OLD.starts
BEGIN SELECT RAISE(ABORT, 'starts are counted forward'); END
"""


def journal(connection: Connection) -> None:
    """The migration that makes them."""
    statements = [part for part in _TABLES.split(";") if part.strip()]
    for statement in [*statements, _STATES, _FIXED, _KEPT, _COUNTED]:
        connection.exec_driver_sql(statement)
