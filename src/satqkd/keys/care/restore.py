"""A store from a backup: all of it or nothing, and nothing that was used since is used again.

The rows come back as they were, and in the same change everything is skipped that the use logs know of and
the backup does not; without all use logs, all unused key is wiped. A backup of SQLite may become a store of
PostgreSQL and the other way round.
"""

from pathlib import Path

import msgspec
from sqlalchemy import column as column_of
from sqlalchemy import delete, insert, table

from satqkd.errors import DataFormatError
from satqkd.keys.at_rest.unlock import unlock_root
from satqkd.keys.at_rest.vault import Vault
from satqkd.keys.care.backup import Header, chunks, read_header, require_genuine
from satqkd.keys.ledger import audit
from satqkd.keys.sql.database import Database
from satqkd.keys.sql.rules import suspended
from satqkd.keys.sql.sqlite import SqliteDatabase, remove_files
from satqkd.keys.sql.tables import TABLES, count_on
from satqkd.keys.store.migrations import MIGRATIONS, migrate
from satqkd.keys.store.opening import Place, lock_of, new_database, settle_with_logs, uses_path
from satqkd.keys.store.recovery import RecoveryReport


class RestoreReport(msgspec.Struct, frozen=True):
    """What came back, and what it cost."""

    node_id: str
    store_id: str
    made_utc: str
    """When the backup was made."""
    skipped_bits: int
    wiped_bits: int
    conversations: int
    held_keys: int


def restore(path: Path, place: Place, *, discard: bool, now_utc: str) -> RestoreReport:
    """Make a store of a backup where there is none.

    discard: no use log is to be had, so all unused key is wiped. Raises ResourceError (there is a store, or
    its folder cannot be written), DataFormatError (no backup, changed, or of a newer satqkd), ConfigError
    (the lock does not open it), KeyStoreError (the use log is needed, or `discard` where it is there).
    """
    header = read_header(path)
    if header.schema > len(MIGRATIONS):
        raise DataFormatError(f"{path}: a newer satqkd made this backup; use that version")
    vault = Vault(unlock_root(lock_of(place), header.root))
    require_genuine(path, vault)
    database = new_database(place)
    done = False
    try:
        database.lock_with(header.root, lambda: vault)
        report = _filled(database, path, header, place, discard=discard, now_utc=now_utc)
        migrate(database)
        done = True
    finally:
        database.close()
        if not done and isinstance(database, SqliteDatabase):
            remove_files(database.path)
    return RestoreReport(header.node_id, header.store_id, header.made_utc, *msgspec.structs.astuple(report))


def _filled(
    database: Database, path: Path, header: Header, place: Place, *, discard: bool, now_utc: str
) -> RecoveryReport:
    """Tables, rows and recovery in one change."""
    with database.work():
        migrate(database, until=header.schema)
        with database.transaction() as connection, suspended(connection):
            for name in ("meta", "boots"):
                connection.execute(delete(table(name)))
            for chunk in chunks(path):
                if chunk.table not in TABLES:
                    raise DataFormatError(f"{path}: unknown table {chunk.table!r}")
                into = table(chunk.table, *map(column_of, chunk.columns))
                rows = [dict(zip(chunk.columns, row, strict=True)) for row in chunk.rows]
                connection.execute(insert(into), rows)
            count_on(connection)
            if isinstance(database, SqliteDatabase):
                database.mark(connection)
            audit.append(connection, "restored", now_utc, made_utc=header.made_utc)
        counted = header.uses.get(place.writer, 0)
        uses = uses_path(place, header.store_id)
        return settle_with_logs(database, place, uses, counted, header.store_id, discard=discard)
