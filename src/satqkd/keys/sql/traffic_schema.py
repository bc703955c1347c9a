"""Tables of user traffic and their rules; one migration of the store.

`outbox`: what this node's users send. `inbox`: what came for them. `parcels`: bytes on their way out of this
node, its own or carried for others. `arrivals`: bytes on their way in, as far as they are on the disk. The
rules hold for any program that writes the file: plain text lies in the outbox while its message waits and
not after, a receipt's token is kept until the receipt, a message goes forward only and is received once.
"""

from typing import Final

from sqlalchemy import Connection, column, table

from satqkd.keys.sql.rules import Rule, define, only_added

OUTBOX = table(
    "outbox",
    *map(column, ("number", "receiver", "name", "is_text", "urgent", "policy", "demo", "state", "reason")),
    *map(column, ("size_bytes", "key_bits", "content", "token", "spool_id", "queued_utc", "sealed_utc")),
    column("ended_utc"),
)
INBOX = table(
    "inbox",
    *map(column, ("pk", "sender", "number", "name", "is_text", "urgent", "size_bytes", "key_bits", "origin")),
    *map(column, ("content", "token", "received_utc")),
)
PARCELS = table(
    "parcels",
    *map(column, ("pk", "kind", "source", "destination", "number", "urgent", "size_bytes", "sha256")),
    *map(column, ("data", "since_utc")),
)
ARRIVALS = table(
    "arrivals",
    *map(column, ("pk", "kind", "source", "destination", "number", "from_hop", "urgent", "size_bytes")),
    *map(column, ("sha256", "held_bytes", "data", "since_utc")),
)

_TABLES: Final = """
CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice
    receiver TEXT NOT NULL,
    name TEXT NOT NULL,
    is_text INTEGER NOT NULL,
    urgent INTEGER NOT NULL,
    policy TEXT NOT NULL CHECK (policy IN ('wait', 'refuse')),
    demo INTEGER NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('waiting', 'refused', 'sealed', 'handed', 'delivered', 'expired')),
    reason TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    key_bits INTEGER NOT NULL CHECK ((key_bits = 0) = (sealed_utc IS NULL)),
    content BLOB CHECK ((content IS NOT NULL) = (state = 'waiting')),
    token BLOB CHECK ((token IS NOT NULL) = (state IN ('sealed', 'handed'))),
    spool_id TEXT UNIQUE,
    queued_utc TEXT NOT NULL,
    sealed_utc TEXT,
    ended_utc TEXT
) STRICT;
CREATE TABLE inbox (
    pk INTEGER PRIMARY KEY,
    sender TEXT NOT NULL,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    is_text INTEGER NOT NULL,
    urgent INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    key_bits INTEGER NOT NULL,
    origin TEXT NOT NULL,
    content BLOB NOT NULL,
    token BLOB NOT NULL,
    received_utc TEXT NOT NULL,
    UNIQUE (sender, number)
) STRICT;
CREATE TABLE parcels (
    pk INTEGER PRIMARY KEY AUTOINCREMENT, -- a conversation remembers it
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    destination TEXT NOT NULL,
    number INTEGER NOT NULL,
    urgent INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    data BLOB NOT NULL,
    since_utc TEXT NOT NULL,
    UNIQUE (kind, source, destination, number)
) STRICT;
CREATE TABLE arrivals (
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    destination TEXT NOT NULL,
    number INTEGER NOT NULL,
    from_hop TEXT NOT NULL,
    urgent INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    held_bytes INTEGER NOT NULL CHECK (held_bytes BETWEEN 0 AND size_bytes),
    data BLOB NOT NULL,
    since_utc TEXT NOT NULL,
    UNIQUE (kind, source, destination, number, from_hop)
) STRICT
"""

_RULES: Final = [
    Rule(
        "outbox_states",
        "outbox",
        "UPDATE",
        "a message goes forward only",
        "NOT ((OLD.state = 'waiting' AND NEW.state IN ('waiting', 'sealed', 'refused', 'expired')) "
        "OR (OLD.state = 'sealed' AND NEW.state IN ('sealed', 'handed', 'delivered', 'expired')) "
        "OR (OLD.state = 'handed' AND NEW.state IN ('handed', 'delivered', 'expired')))",
        "state",
    ),
    Rule(
        "outbox_fixed",
        "outbox",
        "UPDATE",
        "a message is not rewritten",
        columns="number, receiver, name, is_text, urgent, policy, demo, size_bytes, spool_id, queued_utc",
    ),
    Rule(
        "inbox_fixed",
        "inbox",
        "UPDATE",
        "what was received is not rewritten",
        columns="pk, sender, number, name, size_bytes, key_bits, token",
    ),
    *only_added("outbox", "DELETE"),
    *only_added("inbox", "DELETE"),
]


def user_traffic(connection: Connection) -> None:
    """The migration."""
    define(connection, _TABLES, _RULES)
