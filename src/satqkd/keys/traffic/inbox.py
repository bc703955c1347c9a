"""What came for this node: opened once, kept, and answered with a receipt as often as it is asked for.

Tag, key, message and receipt are one transaction: a receipt leaves only when the message is on the disk.
"""

from typing import Any

from sqlalchemy import Connection, Row, and_, insert, select

from satqkd.errors import DataFormatError, KeyNotFound
from satqkd.keys.ledger import audit
from satqkd.keys.sql import cells
from satqkd.keys.sql.traffic_schema import INBOX
from satqkd.keys.store.key_store import KeyStore
from satqkd.keys.traffic import parcels, seal
from satqkd.keys.traffic.seal import Opened
from satqkd.keys.traffic_model import IncomingRow, Parcel

_COLUMNS = [each for each in INBOX.c if each.name not in ("content", "token")]


def receive(connection: Connection, parcel: Parcel, data: bytes, utc: str, *, demo: bool) -> Opened | None:
    """Open a message, keep it, put its receipt on its way; None when the tag does not fit.

    Raises what `seal.unseal` raises, and DataFormatError when parcel and message differ.
    """
    header = seal.read_message_header(data)
    if (header.sender, header.receiver, header.number) != (parcel.source, parcel.destination, parcel.number):
        raise DataFormatError(
            f"sealed message: expected that of {parcel.source!r}, number {parcel.number}, got number "
            f"{header.number} of {header.sender!r}"
        )
    opened = seal.unseal(connection, parcel.destination, data, utc, demo=demo)
    if opened is not None:
        _keep(connection, opened, utc)
        answer(connection, parcel, utc)
    return opened


def _keep(connection: Connection, opened: Opened, utc: str) -> None:
    plain, header = opened.plain, opened.header
    with opened.token as token:
        sealed_token = cells.seal(
            connection, cells.inbox_place(header.sender, header.number, "token"), token.expose()
        )
    connection.execute(
        insert(INBOX).values(
            sender=header.sender,
            number=header.number,
            name=plain.name,
            is_text=int(plain.is_text),
            urgent=int(plain.urgent),
            size_bytes=len(plain.content),
            key_bits=opened.key_bits,
            origin=opened.origin,
            content=cells.seal(
                connection, cells.inbox_place(header.sender, header.number, "content"), plain.content
            ),
            token=sealed_token,
            received_utc=utc,
        )
    )
    audit.append(connection, "received", utc, sender=header.sender, number=header.number)


def _found(sender: str, number: int) -> Any:
    return select(*_COLUMNS).where(and_(INBOX.c.sender == sender, INBOX.c.number == number))


def has(connection: Connection, parcel: Parcel) -> bool:
    """Whether a message was received before."""
    return connection.execute(_found(parcel.source, parcel.number)).first() is not None


def answer(connection: Connection, parcel: Parcel, utc: str) -> None:
    """Put the receipt of a message that was received on its way, if it is not."""
    row = connection.execute(_found(parcel.source, parcel.number)).one()
    token = _cell(connection, row, "token")
    parcels.add(connection, parcel.answer, token, urgent=bool(row.urgent), utc=utc)


def incoming(store: KeyStore) -> list[IncomingRow]:
    """All messages that came, the oldest first."""
    with store.snapshot() as connection:
        rows = connection.execute(select(*_COLUMNS).order_by(INBOX.c.pk)).all()
    return [_row(row) for row in rows]


def _row(row: Row[Any]) -> IncomingRow:
    return IncomingRow(
        id=f"{row.sender}:{row.number}",
        sender=row.sender,
        name=row.name,
        is_text=bool(row.is_text),
        urgent=bool(row.urgent),
        size_bytes=row.size_bytes,
        key_bits=row.key_bits,
        origin=row.origin,
        received_utc=row.received_utc,
    )


def content_of(store: KeyStore, sender: str, number: int) -> bytes:
    """The plain text of a message that came. Raises KeyNotFound."""
    with store.snapshot() as connection:
        row = connection.execute(_found(sender, number)).first()
        if row is None:
            raise KeyNotFound(f"no message {sender}:{number} came; see `satqkd messages`")
        return _cell(connection, row, "content")


def _cell(connection: Connection, row: Row[Any], name: str) -> bytes:
    cell = connection.execute(select(INBOX.c[name]).where(INBOX.c.pk == row.pk)).scalar_one()
    return cells.unseal(connection, cells.inbox_place(row.sender, row.number, name), cell)
