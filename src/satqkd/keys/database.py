"""One SQLite file per node: who may open it, how it is written, what its errors mean.

One process writes: it holds an exclusive lock on `<store>.lock` from open to close; others may read.
Every change is one explicit BEGIN IMMEDIATE ... COMMIT with `synchronous=FULL` in WAL mode, so that what
a method returned is on the disk; `secure_delete` and a checkpoint overwrite what was wiped. Key material
goes in and out by SQLite's blob handles, never as a statement's parameter, which an error would print.
Knows nothing of ranges, peers or purposes.
"""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, insert, select
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import StaticPool

from satqkd.errors import (
    ConfigError,
    DataFormatError,
    Error,
    KeyAlreadyUsed,
    KeyNotFound,
    KeyStoreError,
    LocalProtocolError,
    ResourceError,
)
from satqkd.keys.schema import ALREADY_USED, APPLICATION_ID, META, MIGRATIONS, MIGRATIONS_DONE

BUSY_TIMEOUT_MS: Final = 2_000
"""How long a checkpoint waits for a reader."""
_PRAGMAS: Final = ("foreign_keys=ON", "secure_delete=ON", "trusted_schema=OFF", "temp_store=MEMORY")
_HEADER: Final = b"SQLite format 3\x00"


class Database:
    """An open store file. Use `transaction()` to write and `snapshot()` to read."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self._pid = os.getpid()
        self._mutex = threading.Lock()
        self._working = threading.local()
        self._wiped = False
        self._lock_file = None if read_only else _take_lock(path)
        self._engine: Engine | None = None
        try:
            self._driver = _connect(path, read_only=read_only)
            self._engine = _engine(self._driver, read_only=read_only)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One durable change: committed when the block ends, rolled back when it raises.

        Within `work` of this thread, a part of it: durable when that is, and undone alone where it raises.
        """
        within = self._work is not None
        with self.part() as connection, _undone_alone(connection) if within else nullcontext():
            yield connection

    @contextmanager
    def work(self) -> Iterator[None]:
        """One durable change made of all parts inside; nothing is begun before the first of them."""
        if self.read_only:
            raise LocalProtocolError(f"{self.path}: opened for reading; open it for writing to change it")
        if self._work is not None:
            yield
            return
        with ExitStack() as stack:
            self._working.work = _Work(stack)
            stack.callback(self._working.__dict__.clear)
            yield
            self._require_under_way()

    @contextmanager
    def part(self) -> Iterator[Connection]:
        """A part of `work` of this thread, which is not undone alone: whoever catches its error gives up the
        whole. Alone it is a work of its own."""
        with self.work(), _explained(self.path):
            work = self._work
            assert work is not None
            if work.connection is None:
                work.connection = work.stack.enter_context(self._connection())
            self._require_under_way()
            yield work.connection

    def _require_under_way(self) -> None:
        """SQLite undoes a whole change by itself where the disk fails it; whoever passed over that error must
        not go on with what is left of it."""
        work = self._work
        if work is not None and work.connection is not None and not raw(work.connection).in_transaction:
            raise ResourceError(
                f"{self.path}: the change under way was undone by SQLite; nothing of it is kept"
            )

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A consistent view for reading; within `work` of this thread, of what it has changed."""
        with self._connection() if self._work is None else self.part() as connection:
            yield connection

    @property
    def _work(self) -> "_Work | None":
        """Of this thread."""
        return getattr(self._working, "work", None)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        if self._engine is None:
            raise LocalProtocolError(f"{self.path}: the store is closed; open it again")
        if os.getpid() != self._pid:
            raise ResourceError(
                f"{self.path}: opened by process {self._pid}, used by its child {os.getpid()}: two writers "
                f"would give the same key twice; open the store in the process that uses it"
            )
        with self._mutex, _explained(self.path), self._engine.begin() as connection:
            yield connection

    def checkpoint(self) -> None:
        """Carry the log into the file and cut it to nothing, so that overwritten key is gone from both.

        Within a transaction: as soon as that is over.
        """
        self._wiped = True
        self.checkpoint_if_wiped()

    def checkpoint_if_wiped(self) -> None:
        """`checkpoint`, if it was asked for within a transaction that is over now."""
        if self._wiped and self._engine is not None and self._work is None:
            with self._mutex, _explained(self.path):
                self._driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._wiped = False

    def close(self) -> None:
        """Give the file and the lock back. May be called again."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None
        if self._lock_file is not None:
            if os.getpid() == self._pid:  # a forked child shares the lock, and must leave it in place
                with suppress(OSError):  # one left behind in a folder turned read-only does no harm
                    Path(f"{self.path}.lock").unlink()
            os.close(self._lock_file)
            self._lock_file = None


class _Work:
    """A durable change under way."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.connection: Connection | None = None


@contextmanager
def _undone_alone(connection: Connection) -> Iterator[None]:
    """A part of a change that is undone alone where it raises, unless SQLite has undone the whole."""
    savepoint = connection.begin_nested()
    try:
        yield
    except BaseException:
        if raw(connection).in_transaction:
            savepoint.rollback()
        raise
    savepoint.commit()


def raw(connection: Connection) -> sqlite3.Connection:
    """SQLite's own connection underneath; blob handles are only there."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def create_file(path: Path, node_id: str) -> Database:
    """A new, empty store of a node, mode 0600. Leaves nothing behind when it fails."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    except FileExistsError:
        raise ResourceError(f"{path}: expected no file, found one; open it or name another") from None
    except OSError as error:
        raise ResourceError(f"{path}: cannot create the store: {error.strerror}") from None
    os.close(descriptor)
    try:
        return _fill(path, node_id)
    except BaseException:
        for suffix in ("", "-wal", "-shm", ".lock"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        raise


def _fill(path: Path, node_id: str) -> Database:
    database = Database(path)
    try:
        migrate(database)
        with database.transaction() as connection:
            connection.execute(insert(META).values(name="node_id", value=node_id))
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        database.checkpoint()
        _sync_folder(path)
    except BaseException:
        database.close()
        raise
    return database


def open_file(path: Path, *, node_id: str | None, read_only: bool) -> tuple[Database, str]:
    """An existing store and the name of its node.

    Raises KeyNotFound (no such file), DataFormatError (not a store, or of a newer satqkd), ConfigError
    (another node's), ResourceError (another process writes it).
    """
    _require_sqlite(path)
    database = Database(path, read_only=read_only)
    try:
        _require_store(database)
        if not read_only:
            migrate(database)
        with database.snapshot() as connection:
            owner = connection.execute(select(META.c.value).where(META.c.name == "node_id")).scalar()
        if owner is None:
            raise DataFormatError(f"{path}: the store names no node; it was not completely created")
        if node_id is not None and owner != node_id:
            raise ConfigError(f"{path}: expected the store of {node_id!r}, got that of {owner!r}")
    except BaseException:
        database.close()
        raise
    return database, str(owner)


def migrate(database: Database) -> None:
    """Bring the file to this version's schema, one recorded transaction a step."""
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, title TEXT NOT NULL) STRICT"
        )
        done = _version(connection)
    for version, (title, step) in enumerate(MIGRATIONS, start=1):
        if version > done:
            with database.transaction() as connection:
                step(connection)
                connection.execute(insert(MIGRATIONS_DONE).values(version=version, title=title))


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


def _require_store(database: Database) -> None:
    with database.snapshot() as connection:
        mark = connection.exec_driver_sql("PRAGMA application_id").scalar()
        if mark != APPLICATION_ID:
            raise DataFormatError(
                f"{database.path}: expected a key store of satqkd, got another SQLite file (id {mark})"
            )
        version = _version(connection)
    if version > len(MIGRATIONS):
        raise DataFormatError(
            f"{database.path}: expected schema {len(MIGRATIONS)} or older, got {version}: a newer satqkd "
            f"wrote this store; use that version"
        )
    if database.read_only and version < len(MIGRATIONS):
        raise DataFormatError(f"{database.path}: schema {version} is old; open the store once for writing")


def _version(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT coalesce(max(version), 0) FROM migrations").scalar_one())


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


def _is_file(descriptor: int, name: str) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), Path(name).stat())
    except FileNotFoundError:
        return False


def _engine(driver: sqlite3.Connection, *, read_only: bool) -> Engine:
    engine = create_engine("sqlite://", creator=lambda: driver, poolclass=StaticPool, hide_parameters=True)
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    with _explained(path):
        address = f"file:{quote(str(path.absolute()))}?mode={'ro' if read_only else 'rw'}"
        connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        if not read_only:
            _require_wal(connection, path)
            connection.execute("PRAGMA synchronous=FULL")
    return connection


def _require_wal(connection: sqlite3.Connection, path: Path) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise ResourceError(f"{path}: this file system does not allow SQLite's WAL mode (got {mode!r})")


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """SQLite's errors in the words of the error tree, without the statement they came from."""
    try:
        yield
    except Error:
        raise
    except DatabaseError as error:
        raise _explain(path, error.orig) from None
    except sqlite3.Error as error:
        raise _explain(path, error) from None


def _explain(path: Path, error: BaseException | None) -> Error:
    text = str(error)
    if isinstance(error, sqlite3.IntegrityError) and ALREADY_USED in text:
        return KeyAlreadyUsed(f"{path}: some of these key bits were given out before; nothing was given now")
    if isinstance(error, sqlite3.IntegrityError):
        return KeyStoreError(f"{path}: the store refuses this change: {text}")
    if isinstance(error, sqlite3.OperationalError):
        return ResourceError(f"{path}: the store cannot be used: {text}; check disk space and permissions")
    return DataFormatError(f"{path}: the store is damaged: {text}; restore nothing, provision a new one")
