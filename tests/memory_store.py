"""A key store in memory that can be copied and put back, also as it was after each of its commits.

A process that is killed leaves what was committed last: so one run shows all the ways it can die.

The rules of the file (schema, triggers, checks) are the real ones; what is not is the file itself.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert

from satqkd.keys import KeyStore
from satqkd.keys.database import Database, _engine, _explained, migrate
from satqkd.keys.schema import META


class MemoryDatabase(Database):
    """An SQLite database in memory behind the store's own interface."""

    def __init__(self, name: str) -> None:
        self.path, self.read_only = Path(f"{name}.memory"), False
        self._driver = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._prepare()
        self._engine = _engine(self._driver, read_only=False)
        self.commits: list[bytes] | None = None
        """Copies of what a kill after each commit would leave, where they are kept."""

    def _prepare(self) -> None:
        for pragma in ("foreign_keys=ON", "secure_delete=ON", "trusted_schema=OFF"):
            self._driver.execute(f"PRAGMA {pragma}")

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Committed when the block ends."""
        with self.snapshot() as connection:
            yield connection
        if self.commits is not None:
            self.commits.append(self.copy())

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        assert self._engine is not None
        with _explained(self.path), self._engine.begin() as connection:
            yield connection

    def checkpoint(self) -> None:
        """There is no log."""

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds, by SQLite alone."""
        return self._driver.execute(query).fetchall()

    def copy(self) -> bytes:
        """All of it."""
        return self._driver.serialize()

    def put_back(self, copy: bytes) -> None:
        """Be as it was when copied."""
        self._driver.deserialize(copy)
        self._prepare()

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


def memory_store(node_id: str) -> tuple[KeyStore, MemoryDatabase]:
    """An empty store in memory, and the database below it."""
    database = MemoryDatabase(node_id)
    migrate(database)
    with database.transaction() as connection:
        connection.execute(insert(META).values(name="node_id", value=node_id))
    return KeyStore(database, node_id), database
