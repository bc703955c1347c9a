"""A store as one SQLite file: who may open it, how it is written, what its errors mean.

One process writes: it holds an exclusive lock on `<store>.lock` from open to close; others may read.
Every change is one explicit BEGIN IMMEDIATE ... COMMIT with `synchronous=FULL` in WAL mode, so that what
a method returned is on the disk; `secure_delete` and a checkpoint overwrite what was wiped.
"""

import fcntl
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from satqkd.errors import DataFormatError, Error, KeyAlreadyUsed, KeyNotFound, KeyStoreError, ResourceError
from satqkd.keys.folders import sync_folder
from satqkd.keys.sql.database import Database, options_of
from satqkd.keys.sql.schema import ALREADY_USED
from satqkd.keys.sql.statements import raw

APPLICATION_ID: Final = 0x53514B44
"""Marks an SQLite file as a key store: "SQKD"."""
BUSY_TIMEOUT_MS: Final = 2_000
"""How long a checkpoint waits for a reader."""
PRAGMAS: Final = ("foreign_keys=ON", "secure_delete=ON", "trusted_schema=OFF", "temp_store=MEMORY")
_HEADER: Final = b"SQLite format 3\x00"
_DAMAGE_OR_DISK: Final = (sqlite3.Error, UnicodeDecodeError)
"""What the driver raises, where its messages quote what is on a damaged page too."""
_SUFFIXES: Final = ("", "-wal", "-shm", ".lock")


class SqliteDatabase(Database):
    """A file, open."""

    _driver_errors = _DAMAGE_OR_DISK

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        super().__init__(str(path), read_only=read_only)
        self.path = path
        self._wiped = False
        self._lock_file = None if read_only else _take_lock(path)
        try:
            if not read_only:
                _sync_log(path)
            with _explained_at(path):
                self._driver = _connect(path, read_only=read_only)
            self._engine = engine_of(self, self._driver)
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, path: Path) -> "SqliteDatabase":
        """A new, empty file, mode 0600. Raises ResourceError when the path exists or cannot be made."""
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        except FileExistsError:
            raise ResourceError(f"{path}: expected no file, found one; open it or name another") from None
        except OSError as error:
            raise ResourceError(f"{path}: cannot create the store: {error.strerror}") from None
        os.close(descriptor)
        try:
            database = cls(path)
            sync_folder(path)
        except BaseException:
            remove_files(path)
            raise
        return database

    @classmethod
    def open(cls, path: Path, *, read_only: bool) -> "SqliteDatabase":
        """An existing store's file. Raises KeyNotFound, DataFormatError, ResourceError."""
        _require_sqlite(path)
        database = cls(path, read_only=read_only)
        try:
            with database.snapshot() as connection:
                mark = connection.exec_driver_sql("PRAGMA application_id").scalar()
            if mark != APPLICATION_ID:
                raise DataFormatError(
                    f"{path}: expected a key store of satqkd, got another SQLite file (id {mark})"
                )
        except BaseException:
            database.close()
            raise
        return database

    def mark(self, connection: Connection) -> None:
        """Say in the file what it is."""
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")

    def checkpoint(self) -> None:
        """Carry the log into the file and cut it to nothing, so that overwritten key is gone from both.

        Within a transaction: as soon as that is over.
        """
        self._wiped = True
        self.checkpoint_if_wiped()

    def checkpoint_if_wiped(self) -> None:
        """`checkpoint`, if it was asked for within a transaction that is over now."""
        if self._wiped and self._engine is not None and self._work is None:
            with self._mutex, _explained_at(self.path):
                self._driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._wiped = False

    def compact(self) -> None:
        """Write the file anew without what it held before."""
        with self._mutex, _explained_at(self.path):
            self._driver.execute("VACUUM")
        self.checkpoint()

    def require_sole_writer(self, connection: Connection) -> None:
        """The lock of the file sees to it."""

    def forget_old_rows(self) -> None:
        """Write the file anew."""
        self.compact()

    def close(self) -> None:
        """Give the file and the lock back. May be called again."""
        super().close()
        if self._lock_file is not None:
            if os.getpid() == self._pid:  # a forked child shares the lock, and must leave it in place
                with suppress(OSError):  # one left behind in a folder turned read-only does no harm
                    Path(f"{self.path}.lock").unlink()
            os.close(self._lock_file)
            self._lock_file = None

    def _in_transaction(self, connection: Connection) -> bool:
        return raw(connection).in_transaction

    def _explain(self, error: BaseException) -> Error:
        return _explain(self.path, error)


class _explained_at:  # noqa: N801 - used as a statement
    """Errors of the bare driver in the words of the error tree."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, _DAMAGE_OR_DISK):
            raise _explain(self._path, error) from None


def engine_of(database: Database, driver: sqlite3.Connection) -> Engine:
    """SQLAlchemy over one connection of the driver, with transactions begun in so many words."""
    engine = create_engine("sqlite://", creator=lambda: driver, poolclass=StaticPool, **options_of(database))
    begin = "BEGIN" if database.read_only else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def remove_files(path: Path) -> None:
    """Take away a store that was not completely made."""
    for suffix in _SUFFIXES:
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _require_sqlite(path: Path) -> None:
    try:
        with path.open("rb") as file:
            header = file.read(len(_HEADER))
    except FileNotFoundError:
        raise KeyNotFound(
            f"{path}: no key store here; make one with `satqkd keys provision --node NAME`"
        ) from None
    except OSError as error:
        raise ResourceError(f"{path}: cannot read the store: {error.strerror}") from None
    if header != _HEADER:
        raise DataFormatError(f"{path}: expected a key store (an SQLite file), got something else")


def _take_lock(path: Path) -> int:
    """An exclusive lock on the file beside the store, which is there only while the store is open.

    Whoever gives the lock back removes the file first; so a lock on a file that is no longer the one of that
    name is none, and the next file is tried.
    """
    name = f"{path}.lock"
    while True:
        try:
            descriptor = os.open(name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ResourceError(f"{name}: cannot create the lock file: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise ResourceError(
                f"{path}: another process has this store open for writing; stop it, or open for reading only"
            ) from None
        if _is_file(descriptor, name):
            return descriptor
        os.close(descriptor)


def _sync_log(path: Path) -> None:
    """What a killed process has written is on the disk before anybody relies on it."""
    wal = Path(f"{path}-wal")
    try:
        if wal.exists():
            descriptor = os.open(wal, os.O_RDWR | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            sync_folder(wal)
    except OSError as error:
        raise ResourceError(f"{wal}: cannot write it to the disk: {error.strerror}") from None


def _is_file(descriptor: int, name: str) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), Path(name).stat())
    except FileNotFoundError:
        return False


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    address = f"file:{quote(str(path.absolute()))}?mode={'ro' if read_only else 'rw'}"
    connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    if not read_only:
        _require_wal(connection, path)
        connection.execute("PRAGMA synchronous=FULL")
    return connection


def _require_wal(connection: sqlite3.Connection, path: Path) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise ResourceError(f"{path}: this file system does not allow SQLite's WAL mode (got {mode!r})")


def _explain(path: Path, error: BaseException) -> Error:
    text = "what it says of itself is no text" if isinstance(error, UnicodeDecodeError) else str(error)
    if isinstance(error, sqlite3.IntegrityError) and ALREADY_USED in text:
        return KeyAlreadyUsed(f"{path}: some of these key bits were given out before; nothing was given now")
    if isinstance(error, sqlite3.IntegrityError):
        return KeyStoreError(f"{path}: the store refuses this change: {text}")
    if isinstance(error, sqlite3.OperationalError):
        return ResourceError(f"{path}: the store cannot be used: {text}; check disk space and permissions")
    return DataFormatError(f"{path}: the store is damaged: {text}; restore a backup by `satqkd keys restore`")
