"""How a store is made and opened: file or server, lock, schema, use log, what a crash left.

A store is named by a path (SQLite) or by `postgresql://...`. What unlocks it is given, or found: a command, a
passphrase file or a key file named in the environment, else a key file beside the store. The use log lies
beside the store unless another place is given or named in the environment.
"""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import insert, select

from satqkd.errors import ConfigError, DataFormatError, KeyStoreError, StoreRestored
from satqkd.keys.at_rest.unlock import Command, KeyFile, Lock, Passphrase, lock_root, unlock_root
from satqkd.keys.at_rest.vault import KEY_BYTES, Vault
from satqkd.keys.secret import Secret
from satqkd.keys.sql.database import Database, meta_of
from satqkd.keys.sql.schema import META, NODE_ID, ROOT, STORE_ID, USES
from satqkd.keys.sql.sqlite import SqliteDatabase, remove_files
from satqkd.keys.sql.use_log import UseLog, count_of, is_begun, log_of
from satqkd.keys.store import recovery
from satqkd.keys.store.migrations import SEALED_VERSION, known_version, migrate

KEY_FILE_VARIABLE: Final = "SATQKD_KEY_FILE"
"""A key file."""
COMMAND_VARIABLE: Final = "SATQKD_UNLOCK_COMMAND"
"""Words of a command, separated by blanks, that wraps and unwraps the root key."""
PASSPHRASE_VARIABLE: Final = "SATQKD_PASSPHRASE_FILE"
"""A file whose first line is the passphrase."""
USES_VARIABLE: Final = "SATQKD_USES_DIR"
"""A folder for the use logs of all stores, best on another disk."""
POSTGRES: Final = ("postgresql://", "postgres://")


class Place(msgspec.Struct, frozen=True):
    """Where a store is and what goes with it."""

    address: str
    lock: Lock | None = None
    uses: Path | None = None
    writer: str = "main"
    """Name of this writer; each that writes a store of PostgreSQL has another."""

    @property
    def is_postgres(self) -> bool:
        """Whether a server holds it."""
        return self.address.startswith(POSTGRES)


def create_database(place: Place, node_id: str) -> Database:
    """A new, empty store of a node. Leaves nothing behind when it fails. Raises ResourceError."""
    if place.is_postgres:
        return _filled(_postgres(place, new=True), place, node_id)
    path = Path(place.address)
    beside = [Path(f"{path}{suffix}") for suffix in (".key", ".uses")]
    made_here = [file for file in beside if not file.exists()]
    database = SqliteDatabase.create(path)
    try:
        return _filled(database, place, node_id)
    except BaseException:
        remove_files(path)
        for file in made_here:
            file.unlink(missing_ok=True)
        raise


def new_database(place: Place) -> Database:
    """An empty database where there is no store, without tables. Raises ResourceError."""
    return _postgres(place, new=True) if place.is_postgres else SqliteDatabase.create(Path(place.address))


def _filled(database: Database, place: Place, node_id: str) -> Database:
    try:
        _lock_anew(database, place)
        migrate(database)
        with database.transaction() as connection:
            connection.execute(insert(META).values(name=NODE_ID, value=node_id))
            if isinstance(database, SqliteDatabase):
                database.mark(connection)
        database.checkpoint()
        _attach_uses(database, place)
    except BaseException:
        database.close()
        raise
    return database


def open_database(
    place: Place, *, node_id: str | None, read_only: bool, settle: bool = True
) -> tuple[Database, str]:
    """An existing store and the name of its node.

    settle: compare with the use log and clear up after a crash. Raises KeyNotFound (no such store),
    DataFormatError (no store, or of a newer satqkd), ConfigError (another node's, or the wrong lock),
    ResourceError (another process writes it), StoreRestored.
    """
    database = (
        _postgres(place, new=False, read_only=read_only)
        if place.is_postgres
        else SqliteDatabase.open(Path(place.address), read_only=read_only)
    )
    try:
        owner = _opened(database, place)
        if node_id is not None and owner != node_id:
            raise ConfigError(f"{database.name}: expected the store of {node_id!r}, got that of {owner!r}")
        if not read_only and settle:
            _attach_uses(database, place)
            recovery.clear_up(database)
    except BaseException:
        database.close()
        raise
    return database, owner


def _opened(database: Database, place: Place) -> str:
    version = known_version(database)
    if version < SEALED_VERSION:
        _lock_anew(database, place)
        migrate(database)
        assert isinstance(database, SqliteDatabase)
        database.compact()
    else:
        _unlock(database, place)
        if not database.read_only:
            migrate(database)
    with database.snapshot() as connection:
        owner = meta_of(connection, NODE_ID)
    if owner is None:
        raise DataFormatError(f"{database.name}: the store names no node; it was not completely created")
    return owner


def _lock_anew(database: Database, place: Place) -> None:
    root = Secret(os.urandom(KEY_BYTES))
    locked = lock_root(lock_of(place), root)
    vault = Vault(root)
    database.lock_with(locked, lambda: vault)


def _unlock(database: Database, place: Place) -> None:
    with database.snapshot() as connection:
        text = meta_of(connection, ROOT)
    try:
        locked = bytes.fromhex(text or "")
    except ValueError:
        locked = b""
    if not locked:
        raise DataFormatError(f"{database.name}: the store's locked root key is damaged; restore a backup")
    database.lock_with(locked, lambda: Vault(unlock_root(lock_of(place), locked)))
    if not database.read_only:
        database.vault  # noqa: B018 - a wrong lock is told before anything is changed


def lock_of(place: Place, environment: Mapping[str, str] = os.environ) -> Lock:
    """What locks a store: as given, else as the environment says, else a key file beside it."""
    if place.lock is not None:
        return place.lock
    if words := environment.get(COMMAND_VARIABLE):
        return Command(words.split())
    if name := environment.get(PASSPHRASE_VARIABLE):
        return Passphrase(lambda: first_line(Path(name)))
    if key_file := environment.get(KEY_FILE_VARIABLE):
        return KeyFile(key_file)
    if place.is_postgres:
        raise ConfigError(
            f"a store of PostgreSQL has no file to keep a key beside: name a key file, or set "
            f"{COMMAND_VARIABLE}, {PASSPHRASE_VARIABLE} or {KEY_FILE_VARIABLE}"
        )
    return KeyFile(f"{place.address}.key")


def first_line(path: Path) -> str:
    """The first line of a file that holds a passphrase. Raises ConfigError."""
    try:
        return path.read_text().partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot read the passphrase: {type(error).__name__}") from None


def uses_path(place: Place, store_id: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Where the use log lies."""
    if place.uses is not None:
        return place.uses / f"{store_id}-{place.writer}.uses" if place.uses.is_dir() else place.uses
    if folder := environment.get(USES_VARIABLE):
        return Path(folder) / f"{store_id}-{place.writer}.uses"
    if place.is_postgres:
        raise ConfigError(
            f"a store of PostgreSQL has no file to keep a use log beside: name one, or set {USES_VARIABLE}"
        )
    return Path(f"{place.address}.uses")


def _attach_uses(database: Database, place: Place) -> None:
    """Open this writer's use log and compare it with the database. Raises StoreRestored."""
    counted, store_id = _counted(database, place.writer)
    path = uses_path(place, store_id)
    _require_none_ahead(database, path, store_id)
    begun = is_begun(path)
    if counted == 0 and not begun:
        database.uses = UseLog.create(path, store_id=store_id, writer=place.writer)
        return
    if not begun:
        raise StoreRestored(
            f"{path}: the use log is missing, and the store has used key {counted} times; put it there, or, "
            f"if it is lost, wipe all key that might have been used by `satqkd keys recover --discard`"
        )
    log = UseLog.open(path)
    database.uses = log
    if (log.store_id, log.writer) != (store_id, place.writer):
        raise ConfigError(f"{path}: this is the use log of another store or writer; name the right one")
    if not max(log.count - 1, log.since) <= counted <= log.count:
        which = "the store was" if counted < log.count else "the use log was"
        raise StoreRestored(
            f"{database.name}: {which} put back from a copy: the store counts {counted} uses of key, its use "
            f"log {path} {log.count}; so that none is given out again, run `satqkd keys recover`"
        )


def _require_none_ahead(database: Database, path: Path, store_id: str) -> None:
    """No other writer's log beside this one's knows of uses that the store has forgotten."""
    told = {log[1]: count_of(beside) for beside, log in _logs_beside(path, store_id)}
    with database.snapshot() as connection:
        counts = {row.writer: row.uses for row in connection.execute(select(USES))}
    for writer, count in told.items():
        if count - 1 > counts.get(writer, 0):
            raise StoreRestored(
                f"{database.name}: the store was put back from a copy: it counts {counts.get(writer, 0)} "
                f"uses of key by {writer!r}, whose use log {count}; so that none is given out again, stop "
                f"all writers and run `satqkd keys recover`"
            )


def _logs_beside(path: Path, store_id: str) -> list[tuple[Path, tuple[str, str]]]:
    """Use logs of a store's other writers in the folder of one of them, each with its store and writer."""
    found = [(beside, log_of(beside)) for beside in sorted(path.parent.glob("*.uses")) if beside != path]
    return [(beside, log) for beside, log in found if log is not None and log[0] == store_id]


def _counted(database: Database, writer: str) -> tuple[int, str]:
    """How often this writer has used key, and the store's id; a new writer is noted."""
    with database.transaction() as connection:
        store_id = meta_of(connection, STORE_ID)
        counted = connection.execute(select(USES.c.uses).where(USES.c.writer == writer)).scalar()
        if counted is None:
            connection.execute(insert(USES).values(writer=writer, uses=0))
    if store_id is None:
        raise DataFormatError(f"{database.name}: the store has no id; it was not completely created")
    return int(counted or 0), store_id


def _postgres(place: Place, *, new: bool, read_only: bool = False) -> Database:
    from satqkd.keys.sql.postgres import PostgresDatabase

    if new:
        return PostgresDatabase.create(place.address, writer=place.writer)
    return PostgresDatabase.open(place.address, writer=place.writer, read_only=read_only)


def recover_store(place: Place, *, discard: bool) -> recovery.RecoveryReport:
    """What `KeyStore.recover` does."""
    database, _ = open_database(place, node_id=None, read_only=False, settle=False)
    try:
        counted, store_id = _counted(database, place.writer)
        path = uses_path(place, store_id)
        return settle_with_logs(database, place, path, counted, store_id, discard=discard)
    finally:
        database.close()


def settle_with_logs(
    database: Database, place: Place, path: Path, counted: int, store_id: str, *, discard: bool
) -> recovery.RecoveryReport:
    """Recover by this writer's use log at a path, which is attached, and those of all other writers."""
    with database.transaction() as connection:
        database.require_sole_writer(connection)
    database.uses = log = UseLog.open(path) if is_begun(path) else None
    if log is not None and (log.store_id, log.writer) != (store_id, place.writer):
        raise ConfigError(f"{path}: this is the use log of another store or writer; name the right one")
    with ExitStack() as stack:
        others, lost = _logs_of_others(database, place, path, stack)
        knows_all = not lost and log is not None and log.since <= counted <= log.count
        if knows_all and discard:
            raise KeyStoreError(
                f"{database.name}: the use log {path} knows all uses of key; do it without --discard"
            )
        if not (knows_all or discard):
            raise KeyStoreError(
                f"{database.name}: expected the use logs of all writers at {path}, none older than the "
                f"store; put them there, or wipe all unused key with --discard"
            )
        if log is None or not log.since <= counted <= log.count:
            count = 1 + max(counted, 0 if log is None else log.count)
            if log is not None:
                log.close()
            database.uses = UseLog.create(path, store_id=store_id, writer=place.writer, count=count)
        _begin_logs(lost, others, path, store_id, stack)
        return recovery.recover(database, list(others.values()), keep_unused=knows_all)


def _logs_of_others(
    database: Database, place: Place, path: Path, stack: ExitStack
) -> tuple[dict[str, UseLog], dict[str, int]]:
    """Use logs of other writers of a store, and the uses of those whose log is missing or too old."""
    with database.snapshot() as connection:
        store_id = meta_of(connection, STORE_ID) or ""
        counts = {row.writer: int(row.uses) for row in connection.execute(select(USES))}
    counts.pop(place.writer, None)
    logs = {}
    for beside, _ in _logs_beside(path, store_id):
        found = UseLog.open(beside)
        stack.callback(found.close)
        logs[found.writer] = found
    missing = {writer: count for writer, count in counts.items() if count and writer not in logs}
    return logs, missing | {
        writer: max(log.count, counts.get(writer, 0))
        for writer, log in logs.items()
        if not log.since <= counts.get(writer, 0) <= log.count
    }


def _begin_logs(
    lost: dict[str, int], logs: dict[str, UseLog], path: Path, store_id: str, stack: ExitStack
) -> None:
    """New use logs for writers who lost theirs; all unused key is wiped for it."""
    for writer, count in lost.items():
        old = logs.pop(writer, None)
        where = path.parent / f"{store_id}-{writer}.uses" if old is None else old.path
        if old is not None:
            old.close()
        logs[writer] = UseLog.create(where, store_id=store_id, writer=writer, count=count + 1)
        stack.callback(logs[writer].close)
