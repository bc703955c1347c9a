"""The audit log: what was done to key, never what the key is; each entry seals the ones before.

digest = SHA-256(previous digest, then the JSON array [number, utc, event, detail]); the first previous
digest is 32 zero bytes. A changed, removed or inserted entry breaks the chain from there on. A log that
was cut at its end, or rewritten whole, shows only against a head noted elsewhere.
"""

import hashlib
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, select

from satqkd.keys.model import AuditReport, KeyRange
from satqkd.keys.sql.schema import AUDIT
from satqkd.keys.sql.statements import run

_START: Final = bytes(32)
_LAST: Final = "SELECT number, digest FROM audit ORDER BY number DESC LIMIT 1"
_ADD: Final = "INSERT INTO audit (number, utc, event, detail, previous, digest) VALUES (?, ?, ?, ?, ?, ?)"


def append(connection: Connection, event: str, utc: str | None, **detail: Any) -> None:
    """Add an entry inside the transaction that does what it tells."""
    last = run(connection, _LAST).fetchone()
    number, previous = (last[0] + 1, bytes(last[1])) if last else (1, _START)
    text = msgspec.json.encode(detail, order="deterministic").decode()
    digest = _digest(previous, number, utc, event, text)
    run(connection, _ADD, (number, utc, event, text, previous, digest))


def verify(connection: Connection) -> AuditReport:
    """Walk the chain from its start."""
    previous, entries, first_bad = _START, 0, None
    for row in connection.execute(select(AUDIT).order_by(AUDIT.c.number)):
        entries += 1
        expected = _digest(previous, entries, row.utc, row.event, row.detail)
        if first_bad is None and (row.number, row.previous, row.digest) != (entries, previous, expected):
            first_bad = entries
        previous = row.digest
    return AuditReport(intact=first_bad is None, entries=entries, first_bad=first_bad, head=previous.hex())


def entries(connection: Connection) -> list[dict[str, Any]]:
    """All entries in order as `number utc event` and the fields of their detail."""
    rows = connection.execute(select(AUDIT).order_by(AUDIT.c.number))
    return [
        {"number": row.number, "utc": row.utc, "event": row.event, **msgspec.json.decode(row.detail)}
        for row in rows
    ]


def spent_ranges(connection: Connection) -> list[KeyRange]:
    """Every range that the log says was spent: the second of the store's two books."""
    return [
        msgspec.convert(piece, KeyRange)
        for entry in entries(connection)
        if entry["event"] == "spend"
        for piece in entry["ranges"]
    ]


def _digest(previous: bytes, number: int, utc: str | None, event: str, detail: str) -> bytes:
    return hashlib.sha256(previous + msgspec.json.encode([number, utc, event, detail])).digest()
