"""Statements that are run too often to be put together each time, in the words of either database."""

import sqlite3
from typing import Any

from sqlalchemy import Connection


def raw(connection: Connection) -> sqlite3.Connection:
    """SQLite's own connection underneath."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def run(connection: Connection, statement: str, values: tuple[object, ...] = ()) -> Any:
    """The cursor of a statement; `?` stands for a value. Its errors hold no values."""
    if connection.dialect.name == "sqlite":
        return raw(connection).execute(statement, values)
    return connection.exec_driver_sql(statement.replace("?", "%s"), values)
