"""Tables of the key network: paths of blocks, combinations, ground commands, quotas, imports from other
systems.

They hold no key: records that are public, names, counts, digests of records. Rows are only ever added; an
import alone moves on, and only forward. No file, no key here.
"""

from typing import Final

from sqlalchemy import Connection, column, table

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

_PATHS: Final = """
ALTER TABLE blocks ADD COLUMN paths TEXT NOT NULL DEFAULT '[]';
UPDATE blocks SET paths = '[["' || substr(block_id, 7, instr(substr(block_id, 7), ':') - 1) || '"]]'
    WHERE kind = 'pair' AND block_id LIKE 'relay:%:%'
"""

_PATHS_FIXED: Final = """
CREATE TRIGGER blocks_paths_fixed BEFORE UPDATE OF paths ON blocks
BEGIN SELECT RAISE(ABORT, 'a block is not rewritten'); END
"""

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

_COMMANDS_FORWARD: Final = """
CREATE TRIGGER commands_forward BEFORE INSERT ON commands
WHEN NEW.sequence <= coalesce((SELECT max(sequence) FROM commands
                               WHERE commander = NEW.commander AND node = NEW.node), 0)
BEGIN SELECT RAISE(ABORT, 'a command''s sequence goes forward only'); END
"""

_IMPORTS_FORWARD: Final = """
CREATE TRIGGER imports_forward BEFORE UPDATE ON imports
WHEN NEW.step <= OLD.step OR NEW.node <> OLD.node OR NEW.import_id <> OLD.import_id OR NEW.peer <> OLD.peer
    OR NEW.offer <> OLD.offer
BEGIN SELECT RAISE(ABORT, 'an import moves on only'); END
"""


def _only_added(name: str, *actions: str) -> list[str]:
    return [
        f"CREATE TRIGGER {name}_no_{action.lower()} BEFORE {action} ON {name} "
        f"BEGIN SELECT RAISE(ABORT, '{name}: rows are only ever added'); END"
        for action in actions
    ]


def key_network(connection: Connection) -> None:
    """The migration."""
    statements = [*_PATHS.split(";"), _PATHS_FIXED]
    statements += [part for part in _TABLES.split(";\n") if part.strip()]
    statements += [_COMMANDS_FORWARD, _IMPORTS_FORWARD, *_only_added("imports", "DELETE")]
    for name in ("combinations", "commands", "relayed", "imported_keys"):
        statements += _only_added(name, "UPDATE", "DELETE")
    for statement in statements:
        connection.exec_driver_sql(statement)
