"""A key store in memory that can be copied and put back, also as it was after each of its commits.

A process that is killed leaves what was committed last: so one run shows all the ways it can die.

The rules of the file (schema, triggers, checks) are the real ones; what is not is the file itself.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, insert

from satqkd.keys import KeyStore
from satqkd.keys.at_rest.vault import Cipher, Vault
from satqkd.keys.sql.schema import META, NODE_ID
from satqkd.keys.sql.sqlite import SqliteDatabase, engine_of
from satqkd.keys.store.migrations import migrate

PRAGMAS = ("foreign_keys=ON", "secure_delete=ON", "trusted_schema=OFF")


class ClearCipher(Cipher):
    """Seals nothing, so that equal states of a store are equal bytes."""

    def __init__(self) -> None:
        pass

    def seal(self, place: str, data: bytes | bytearray | memoryview) -> bytes:
        return bytes(data)

    def open(self, place: str, sealed: bytes) -> bytearray:
        return bytearray(sealed)


class ClearVault(Vault):
    """For stores in memory whose states are compared."""

    def __init__(self) -> None:
        pass

    def new_key(self, place: str) -> bytes:
        return b"clear"

    def cipher(self, place: str, wrapped: bytes) -> Cipher:
        return ClearCipher()

    def seal(self, place: str, data: bytes | bytearray | memoryview) -> bytes:
        return bytes(data)

    def open(self, place: str, sealed: bytes) -> bytearray:
        return bytearray(sealed)

    def close(self) -> None:
        pass


class VolatileDatabase(SqliteDatabase):
    """An SQLite database in memory, all that is secret in clear, no use log."""

    def __init__(self, name: str) -> None:
        super(SqliteDatabase, self).__init__(f"{name}.memory")
        self._wiped, self._lock_file = False, None
        self._driver = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._prepare()
        self._engine = engine_of(self, self._driver)
        self.lock_with(b"clear", ClearVault)

    def _prepare(self) -> None:
        for pragma in PRAGMAS:
            self._driver.execute(f"PRAGMA {pragma}")

    def checkpoint_if_wiped(self) -> None:
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

    def fill(self, node_id: str) -> None:
        """Make it the empty store of a node."""
        migrate(self)
        with self.transaction() as connection:
            connection.execute(insert(META).values(name=NODE_ID, value=node_id))


class MemoryDatabase(VolatileDatabase):
    """One that keeps copies of what a kill after each commit would leave."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.commits: list[bytes] | None = None
        """The copies, where they are kept."""

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Committed when the block ends."""
        with super().transaction() as connection:
            yield connection
        if self.commits is not None and self._work is None:
            self.commits.append(self.copy())


def memory_store(node_id: str) -> tuple[KeyStore, MemoryDatabase]:
    """An empty store in memory, and the database below it."""
    database = MemoryDatabase(node_id)
    database.fill(node_id)
    return KeyStore(database, node_id), database
