"""Kills within one process: at a chosen point the files are copied as they are, and the work is broken off.

Points are before and after each commit, each line of a use log, its sync, and each checkpoint. The copy is
what a killed process leaves; whatever the broken one still does on its way out reaches the copy no more.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from satqkd.keys.sql import use_log
from satqkd.keys.sql.database import Database
from satqkd.keys.sql.sqlite import SqliteDatabase


class Killed(BaseException):
    """Work that is broken off."""


class KillPoints:
    """Counts points from 1; at one of them what lies in a folder is copied, and `Killed` raised."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed: list[str] = []
        self._at, self._name = 0, ""
        self._folder, self._copy = Path(), Path()
        self._watch(monkeypatch)

    def kill_at(self, at: int | str, folder: Path, copy: Path) -> None:
        """From here on: at so many points, or the first of a name."""
        self.passed = []
        self._at, self._name = (at, "") if isinstance(at, int) else (0, at)
        self._folder, self._copy = folder, copy

    def never(self) -> None:
        """No kill any more."""
        self._at, self._name = 0, ""

    def _pass(self, name: str) -> None:
        self.passed.append(name)
        if len(self.passed) == self._at or name == self._name:
            self.never()
            shutil.rmtree(self._copy, ignore_errors=True)
            shutil.copytree(self._folder, self._copy)
            for lock in self._copy.rglob("*.lock"):
                lock.unlink()
            raise Killed(name)

    def _watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        begun, add, checkpoint = Database._begun, use_log.UseLog.add, SqliteDatabase.checkpoint_if_wiped
        write, sync = use_log._write, use_log.os.fdatasync

        @contextmanager
        def _begun(database: Database, *, read_only: bool) -> Iterator[Connection]:
            with begun(database, read_only=read_only) as connection:
                yield connection
                if not read_only:
                    self._pass("before commit")
            if not read_only:
                self._pass("after commit")

        def _write(descriptor: int, data: bytes) -> None:
            self._pass("before line")
            write(descriptor, data)
            self._pass("after line")

        def _sync(descriptor: int) -> None:
            sync(descriptor)
            self._pass("after sync")

        def _add(log: use_log.UseLog, ranges: object) -> None:
            add(log, ranges)  # type: ignore[arg-type]
            self._pass("told")

        def _checkpoint(database: SqliteDatabase) -> None:
            checkpoint(database)
            self._pass("after checkpoint")

        monkeypatch.setattr(Database, "_begun", _begun)
        monkeypatch.setattr(use_log, "_write", _write)
        monkeypatch.setattr(use_log.os, "fdatasync", _sync)
        monkeypatch.setattr(use_log.UseLog, "add", _add)
        monkeypatch.setattr(SqliteDatabase, "checkpoint_if_wiped", _checkpoint)
