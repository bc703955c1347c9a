"""Tables of the key network: paths of blocks, combinations, ground commands, quotas, imports from other
systems.

They hold no key: records that are public, names, counts, digests of records. Rows are only ever added; an
import alone moves on, and only forward. No file, no key here.
"""

from typing import Final

from sqlalchemy import Connection, column, select, table, update

from satqkd.keys.paths import to_text
from satqkd.keys.sql.rules import Rule, define, only_added

COMBINATIONS = table("combinations", *map(column, ("node", "combination_id", "record", "record_sha256")))
COMMANDS = table(
    "commands",
    *map(column, ("commander", "node", "sequence", "relay_id", "command", "command_sha256", "refusal")),
)
RELAYED = table("relayed", *map(column, ("relay_id", "station_a", "station_b", "bits", "relayed_utc")))
IMPORTS = table(
    "imports",
    *map(column, ("node", "import_id", "peer", "step", "offer", "answer", "confirmation", "receipt")),
)
IMPORTED_KEYS = table("imported_keys", column("peer"), column("key_id"))

_PATHS: Final = "ALTER TABLE blocks ADD COLUMN paths TEXT NOT NULL DEFAULT '[]'"
_TABLES: Final = """
CREATE TABLE combinations (
    node TEXT NOT NULL,
    combination_id TEXT NOT NULL,
    record BLOB,
    record_sha256 BLOB NOT NULL, -- of the record's body, without its tag
    PRIMARY KEY (node, combination_id)
) STRICT;
CREATE TABLE commands (
    commander TEXT NOT NULL,
    node TEXT NOT NULL,
    sequence INTEGER NOT NULL CHECK (sequence > 0),
    relay_id TEXT NOT NULL,
    command BLOB, -- at the commander, to say it again
    command_sha256 BLOB NOT NULL, -- of the command's body, without its tag
    refusal TEXT, -- at the node, why nothing was relayed
    PRIMARY KEY (commander, node, sequence)
) STRICT;
CREATE TABLE relayed (
    relay_id TEXT PRIMARY KEY,
    station_a TEXT NOT NULL, -- the one whose name sorts first
    station_b TEXT NOT NULL,
    bits INTEGER NOT NULL,
    relayed_utc TEXT NOT NULL
) STRICT;
CREATE TABLE imports (
    node TEXT NOT NULL, -- the end that offered
    import_id TEXT NOT NULL,
    peer TEXT NOT NULL,
    step INTEGER NOT NULL,
    offer BLOB NOT NULL,
    answer BLOB,
    confirmation BLOB,
    receipt BLOB,
    PRIMARY KEY (node, import_id)
) STRICT;
CREATE TABLE imported_keys (
    peer TEXT NOT NULL,
    key_id TEXT NOT NULL,
    PRIMARY KEY (peer, key_id)
) STRICT;
"""

_RULES: Final = [
    Rule("blocks_paths_fixed", "blocks", "UPDATE", "a block is not rewritten", columns="paths"),
    Rule(
        "commands_forward",
        "commands",
        "INSERT",
        "the sequence of commands goes forward only",
        "NEW.sequence <= coalesce((SELECT max(sequence) FROM commands "
        "WHERE commander = NEW.commander AND node = NEW.node), 0)",
    ),
    Rule(
        "imports_forward",
        "imports",
        "UPDATE",
        "an import moves on only",
        "NEW.step <= OLD.step OR NEW.node <> OLD.node OR NEW.import_id <> OLD.import_id "
        "OR NEW.peer <> OLD.peer OR NEW.offer <> OLD.offer",
    ),
    *only_added("imports", "DELETE"),
    *[
        rule
        for name in ("combinations", "commands", "relayed", "imported_keys")
        for rule in only_added(name, "UPDATE", "DELETE")
    ],
]


def key_network(connection: Connection) -> None:
    """The migration; key that was relayed before it came by its satellite."""
    define(connection, _PATHS)
    blocks = table("blocks", column("pk"), column("block_id"), column("kind"), column("paths"))
    for row in connection.execute(select(blocks).where(blocks.c.kind == "pair")).all():
        if row.block_id.startswith("relay:"):
            paths = to_text(((row.block_id.split(":")[1],),))
            connection.execute(update(blocks).where(blocks.c.pk == row.pk).values(paths=paths))
    define(connection, _TABLES, _RULES)
