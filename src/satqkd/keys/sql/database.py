"""The database under a store: durable changes, consistent views, and what both databases share.

A store is one database with one connection at a time from this process. Every change is one explicit
transaction that is on the disk when it returns. What uses key is told to the use log before the commit; where
that did not return it is in doubt whether the change came about, and the log keeps the line until the
database says that it did not. `sqlite` and `postgres` say how each is opened, locked and wiped, and what its
errors mean. Knows nothing of ranges' meaning, peers or purposes.
"""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import Any, Final

from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.exc import DBAPIError

from satqkd.errors import Error, LocalProtocolError, ResourceError
from satqkd.keys.at_rest.vault import Vault
from satqkd.keys.model import KeyRange
from satqkd.keys.sql import use_names
from satqkd.keys.sql.schema import USES
from satqkd.keys.sql.statements import run
from satqkd.keys.sql.use_log import UseLog

_OPTION: Final = "satqkd_database"
_META: Final = "SELECT value FROM meta WHERE name = ?"


class Database(ABC):
    """An open store's database. Use `transaction()` to write and `snapshot()` to read."""

    _driver_errors: tuple[type[Exception], ...] = ()
    """Of statements that went past SQLAlchemy."""

    def __init__(self, name: str, *, read_only: bool = False) -> None:
        self.name = name
        """How errors call it: a path, or an address without its password."""
        self.read_only = read_only
        self.uses: UseLog | None = None
        self.retirements = 0
        """How often key was given up here, so that who holds some in memory looks again."""
        self.locked_root = b""
        """The root key as it is stored."""
        self._vault: Vault | None = None
        self._unlock: Callable[[], Vault] | None = None
        self._pid = os.getpid()
        self._mutex = threading.Lock()
        self._working = threading.local()
        self._engine: Engine | None = None

    @property
    def vault(self) -> Vault:
        """What seals and opens secret bytes, unlocked when it is first needed."""
        if self._vault is None:
            if self._unlock is None:
                raise LocalProtocolError(f"{self.name}: the store is locked or closed; open it again")
            self._vault = self._unlock()
        return self._vault

    def lock_with(self, locked_root: bytes, unlock: Callable[[], Vault]) -> None:
        """How secret bytes can be read and written from here on."""
        self.locked_root, self._unlock, self._vault = locked_root, unlock, None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One durable change: committed when the block ends, rolled back when it raises.

        Within `work` of this thread, a part of it: durable when that is, and undone alone where it raises.
        """
        within = self._work is not None
        with self.part() as connection, self._undone_alone(connection) if within else nullcontext():
            yield connection

    @contextmanager
    def work(self) -> Iterator[None]:
        """One durable change made of all parts inside; nothing is begun before the first of them."""
        if self.read_only:
            raise LocalProtocolError(f"{self.name}: opened for reading; open it for writing to change it")
        if self._work is not None:
            yield
            return
        with ExitStack() as stack:
            self._working.work = work = _Work(stack)
            stack.callback(self._working.__dict__.clear)
            yield
            if work.connection is not None:
                self._require_under_way()
                self._tell_uses(work, work.connection)

    @contextmanager
    def part(self) -> Iterator[Connection]:
        """A part of `work` of this thread, which is not undone alone: whoever catches its error gives up the
        whole. Alone it is a work of its own."""
        with self.work(), self._explained():
            work = self._work
            assert work is not None
            if work.connection is None:
                work.connection = work.stack.enter_context(self._connection(read_only=False))
            self._require_under_way()
            yield work.connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A consistent view for reading; within `work` of this thread, of what it has changed."""
        with self._connection(read_only=True) if self._work is None else self.part() as connection:
            yield connection

    @property
    def changing(self) -> bool:
        """Whether this thread has a change under way."""
        return self._work is not None

    def note_use(self, ranges: Sequence[KeyRange]) -> None:
        """The change under way uses key: the use log is told before it is committed."""
        if self._work is not None:
            self._work.ranges.extend(ranges)

    def note_new(self, block_id: str) -> None:
        """The change under way stores or confirms a block: before it, none of the block's key was used."""
        if self._work is not None:
            self._work.new.add(block_id)

    def told_before(self) -> None:
        """All that the change under way uses is in the use log already: what settles a crash needs no line,
        and may be killed and done again."""
        if self._work is not None:
            self._work.ranges.clear()

    def _tell_uses(self, work: "_Work", connection: Connection) -> None:
        """A line in the log, and its number in the database."""
        if self.uses is None or not work.ranges:
            return
        if self.uses.doubted:
            self._settle_doubt(self.uses, connection)
        self.uses.add([use_names.of_new(each) if each.block_id in work.new else each for each in work.ranges])
        work.told = self.uses
        self._count_uses(connection, self.uses.count, self.uses.writer)

    def _settle_doubt(self, uses: UseLog, connection: Connection) -> None:
        """The last line of the log goes again where its change did not come about."""
        counted = connection.execute(select(USES.c.uses).where(USES.c.writer == uses.writer)).scalar()
        if int(counted or 0) < uses.count:
            uses.undo()
        uses.doubted = False

    def _require_under_way(self) -> None:
        """SQLite undoes a whole change by itself where the disk fails it; whoever passed over that error must
        not go on with what is left of it."""
        work = self._work
        if work is not None and work.connection is not None and not self._in_transaction(work.connection):
            raise ResourceError(
                f"{self.name}: the change under way was undone by the database; nothing of it is kept"
            )

    @property
    def _work(self) -> "_Work | None":
        """Of this thread."""
        return getattr(self._working, "work", None)

    @contextmanager
    def _connection(self, *, read_only: bool) -> Iterator[Connection]:
        if self._engine is None:
            raise LocalProtocolError(f"{self.name}: the store is closed; open it again")
        if os.getpid() != self._pid:
            raise ResourceError(
                f"{self.name}: opened by process {self._pid}, used by its child {os.getpid()}: two writers "
                f"would give the same key twice; open the store in the process that uses it"
            )
        work = None if read_only else self._work
        with self._mutex, self._explained():
            with self._begun(read_only=read_only) as connection:
                yield connection
            if work is not None and work.told is not None:
                work.told.doubted = False

    @contextmanager
    def _begun(self, *, read_only: bool) -> Iterator[Connection]:
        """A transaction, committed at the end."""
        assert self._engine is not None
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _undone_alone(self, connection: Connection) -> Iterator[None]:
        """A part of a change that is undone alone where it raises, unless the database undid the whole."""
        work = self._work
        assert work is not None
        noted = len(work.ranges)
        run(connection, "SAVEPOINT part")
        try:
            yield
        except BaseException:
            if self._in_transaction(connection):
                run(connection, "ROLLBACK TO SAVEPOINT part")
                run(connection, "RELEASE SAVEPOINT part")
                del work.ranges[noted:]
            raise
        run(connection, "RELEASE SAVEPOINT part")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """The database's errors in the words of the error tree, without the statement they came from."""
        try:
            yield
        except Error:
            raise
        except DBAPIError as error:
            raise self._explain(error.orig or error) from None
        except self._driver_errors as error:
            raise self._explain(error) from None

    def close(self) -> None:
        """Give the database back and forget the keys. May be called again."""
        if (
            self.uses is not None
            and self.uses.doubted
            and self._engine is not None
            and os.getpid() == self._pid
        ):
            with suppress(Exception), self._begun(read_only=True) as connection:  # else the line stays
                self._settle_doubt(self.uses, connection)
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None
        if self.uses is not None:
            self.uses.close()
            self.uses = None
        if self._vault is not None:
            self._vault.close()
        self._vault = self._unlock = None

    def _count_uses(self, connection: Connection, count: int, writer: str) -> None:
        connection.execute(update(USES).where(USES.c.writer == writer).values(uses=count))

    @abstractmethod
    def require_sole_writer(self, connection: Connection) -> None:
        """Nobody else writes the store until this change is over. Raises ResourceError."""

    @abstractmethod
    def forget_old_rows(self) -> None:
        """After the root key was changed: what the database keeps of rows that are no more goes."""

    @abstractmethod
    def checkpoint(self) -> None:
        """What was wiped is gone from where the database keeps its log; within a change, after it."""

    @abstractmethod
    def checkpoint_if_wiped(self) -> None:
        """`checkpoint`, if it was asked for within a change that is over now."""

    @abstractmethod
    def _in_transaction(self, connection: Connection) -> bool:
        """Whether the transaction goes on."""

    @abstractmethod
    def _explain(self, error: BaseException) -> Error:
        """An error of the driver in the words of the error tree."""


class _Work:
    """A durable change under way."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.connection: Connection | None = None
        self.ranges: list[KeyRange] = []
        """Key that it uses."""
        self.new: set[str] = set()
        """Blocks that it stores or confirms."""
        self.told: UseLog | None = None
        """The log that has a line of it."""


def options_of(database: Database) -> dict[str, Any]:
    """What an engine is told, so that `database_of` finds its way back."""
    return {"execution_options": {_OPTION: database}, "hide_parameters": True}


def database_of(connection: Connection) -> Database:
    """The database that a connection belongs to."""
    database = connection.get_execution_options()[_OPTION]
    assert isinstance(database, Database)
    return database


def vault_of(connection: Connection) -> Vault:
    """What seals and opens the secret bytes of a connection's store."""
    return database_of(connection).vault


def meta_of(connection: Connection, name: str) -> str | None:
    """What the store says of itself under a name."""
    row = run(connection, _META, (name,)).fetchone()
    return None if row is None else str(row[0])
