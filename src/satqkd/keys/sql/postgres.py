"""A store as tables of a PostgreSQL database, for sites where several processes or machines share one.

Changes are serialised as SQLite's are: each begins by taking one advisory lock of the database, so that two
workers never choose the same key; rules inside the database refuse a second use besides. Each writer has a
name, and holds an advisory lock of that name for as long as it lives: a second one of the name is refused.

PostgreSQL keeps old versions of rows until they are vacuumed, and in its write-ahead log: what was wiped is
unreadable there as far as its block's key is, and all of it once the root key is changed.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.pool import QueuePool

from satqkd.errors import (
    DataFormatError,
    Error,
    KeyAlreadyUsed,
    KeyNotFound,
    KeyStoreError,
    ResourceError,
)
from satqkd.keys.sql.database import Database, options_of
from satqkd.keys.sql.schema import ALREADY_USED

DRIVER: Final = "postgresql+psycopg"
_WRITING: Final = 0x53514B44
"""The advisory lock of whoever changes something."""
_PRESENT: Final = _WRITING + 1
"""The advisory lock that all writers share for as long as they live."""


class PostgresDatabase(Database):
    """A database on a server, connected."""

    def __init__(self, address: str, *, writer: str, read_only: bool) -> None:
        url = make_url(address).set(drivername=DRIVER)
        super().__init__(url.render_as_string(hide_password=True), read_only=read_only)
        self._writer = writer
        try:
            self._engine = create_engine(
                url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_pre_ping=True, **options_of(self)
            )
        except ModuleNotFoundError:
            raise ResourceError(
                "PostgreSQL needs psycopg; install it by `pip install satqkd[postgres]`"
            ) from None
        if not read_only:
            event.listen(self._engine, "connect", self._claim_writer)

    @classmethod
    def create(cls, address: str, *, writer: str) -> "PostgresDatabase":
        """The database of a new store. Raises ResourceError where it holds one already."""
        database = cls(address, writer=writer, read_only=False)
        try:
            if database._holds_store():
                raise ResourceError(
                    f"{database.name}: expected an empty database, found a key store; open it"
                )
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def open(cls, address: str, *, writer: str, read_only: bool) -> "PostgresDatabase":
        """The database of an existing store. Raises KeyNotFound, ResourceError."""
        database = cls(address, writer=writer, read_only=read_only)
        try:
            if not database._holds_store():
                raise KeyNotFound(
                    f"{database.name}: no key store here; make one with `satqkd keys provision --node NAME`"
                )
        except BaseException:
            database.close()
            raise
        return database

    def checkpoint(self) -> None:
        """Nothing: old versions of rows go when the server vacuums them."""

    def checkpoint_if_wiped(self) -> None:
        """Nothing."""

    def require_sole_writer(self, connection: Connection) -> None:
        """Nobody else writes the store until this change is over. Raises ResourceError."""
        query = f"SELECT pg_try_advisory_xact_lock({_PRESENT})"
        if not connection.exec_driver_sql(query).scalar():
            raise ResourceError(f"{self.name}: others write this store; stop them first")

    def forget_old_rows(self) -> None:
        """Write the one row of the old root key out of the table; the server's own log may keep it."""
        with self._autocommit().connect() as connection:
            connection.exec_driver_sql("VACUUM FULL meta")

    def _autocommit(self) -> Engine:
        """The engine for statements that no transaction may hold."""
        assert self._engine is not None
        return self._engine.execution_options(isolation_level="AUTOCOMMIT")

    def _holds_store(self) -> bool:
        with self.snapshot() as connection:
            query = "SELECT to_regclass('migrations') IS NOT NULL AND to_regclass('blocks') IS NOT NULL"
            return bool(connection.exec_driver_sql(query).scalar_one())

    @contextmanager
    def _begun(self, *, read_only: bool) -> Iterator[Connection]:
        with super()._begun(read_only=read_only) as connection:
            if read_only:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            else:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITING})")
            yield connection

    def _claim_writer(self, driver: Any, _: object) -> None:
        """Hold this writer's name for as long as the connection lives."""
        number = int.from_bytes(hashlib.sha256(self._writer.encode()).digest()[:4], "big", signed=True)
        with driver.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", (_WRITING, number))
            if not cursor.fetchone()[0]:
                raise ResourceError(
                    f"{self.name}: another process writes this store as {self._writer!r}; stop it, or give "
                    f"this one another writer's name"
                )
            cursor.execute("SELECT pg_try_advisory_lock_shared(%s)", (_PRESENT,))
            if not cursor.fetchone()[0]:
                raise ResourceError(f"{self.name}: the store is being restored or sealed anew; try again")
        driver.commit()

    def _in_transaction(self, connection: Connection) -> bool:
        return connection.in_transaction() and not connection.invalidated

    def _explain(self, error: BaseException) -> Error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        state = getattr(error, "sqlstate", None) or ""
        if state.startswith("23") and ALREADY_USED in text:
            return KeyAlreadyUsed(
                f"{self.name}: some of these key bits were given out before; nothing was given now"
            )
        if state.startswith("23"):
            return KeyStoreError(f"{self.name}: the store refuses this change: {text}")
        if state.startswith("XX"):
            return DataFormatError(f"{self.name}: the store is damaged: {text}; restore a backup")
        return ResourceError(f"{self.name}: the store cannot be used: {text}; check the server and its disk")
