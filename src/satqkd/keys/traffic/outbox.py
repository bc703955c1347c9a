"""What this node's users send: queued in plain, sealed with key, on its way, delivered by receipt.

    waiting --key--> sealed --the next hop holds it--> handed --receipt--> delivered
       |                |                                |
       +--> refused     +-----------> expired <----------+     (waiting too)

Sealing is one transaction: key is spent, the ciphertext stored to go, the plain text overwritten. The
ciphertext stays until the receipt; so nothing that somebody else says can lose it. Times are given.
"""

import hmac
from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, and_, func, insert, select, update

from satqkd.errors import KeyStoreError
from satqkd.keys.ledger import audit, ledger
from satqkd.keys.sql import cells
from satqkd.keys.sql.traffic_schema import OUTBOX
from satqkd.keys.store.key_store import KeyStore
from satqkd.keys.traffic import parcels, seal
from satqkd.keys.traffic.seal import Plain
from satqkd.keys.traffic_model import Draft, OutgoingRow, Parcel, check_draft

UNDER_WAY = ("sealed", "handed")
_COLUMNS = [each for each in OUTBOX.c if each.name not in ("content", "token")]


class Sealing(msgspec.Struct, frozen=True):
    """What became of a message that waited."""

    id: str
    state: str
    key_bits: int
    reason: str


def queue(store: KeyStore, draft: Draft, *, now_utc: str, spool_id: str | None = None) -> str:
    """Store a message to be sent; gives its id. The same `spool_id` again changes nothing.

    Raises ConfigError.
    """
    check_draft(draft, store.node_id)
    with store.transaction() as connection:
        same = and_(OUTBOX.c.spool_id.is_not(None), OUTBOX.c.spool_id == spool_id)
        known = connection.execute(select(OUTBOX.c.number).where(same)).scalar()
        number = known or _insert(connection, draft, now_utc, spool_id)
    return f"{store.node_id}:{number}"


def _insert(connection: Connection, draft: Draft, utc: str, spool_id: str | None) -> int:
    flags = {name: int(getattr(draft, name)) for name in ("is_text", "urgent", "demo")}
    connection.execute(
        insert(OUTBOX).values(
            receiver=draft.receiver,
            name=draft.name,
            **flags,
            policy=draft.policy,
            state="waiting",
            reason="",
            size_bytes=len(draft.content),
            key_bits=0,
            content=cells.ERASED,
            spool_id=spool_id,
            queued_utc=utc,
        )
    )
    number = int(connection.execute(select(func.max(OUTBOX.c.number))).scalar_one())
    sealed = cells.seal(connection, cells.outbox_place(number, "content"), draft.content)
    connection.execute(update(OUTBOX).where(OUTBOX.c.number == number).values(content=sealed))
    audit.append(connection, "queued", utc, receiver=draft.receiver, number=number, bytes=len(draft.content))
    return number


def seal_waiting(store: KeyStore, *, now_utc: str) -> list[Sealing]:
    """Seal what key suffices for, urgent first, then in order; refuse or let wait the others, as each says.

    A message that does not fit does not hold up smaller ones behind it.
    """
    with store.snapshot() as connection:
        order = (OUTBOX.c.urgent.desc(), OUTBOX.c.number)
        waiting = connection.execute(
            select(*_COLUMNS).where(OUTBOX.c.state == "waiting").order_by(*order)
        ).all()
    return [news for row in waiting for news in _settle(store, row, now_utc)]


def _settle(store: KeyStore, row: Row[Any], utc: str) -> Iterator[Sealing]:
    message_id = f"{store.node_id}:{row.number}"
    with store.snapshot() as connection:
        short = _shortage(connection, row)
    if short is None:
        with store.transaction() as connection:
            key_bits = _seal(connection, store.node_id, row, utc)
        yield Sealing(message_id, "sealed", key_bits, "")
    elif row.policy == "refuse":
        with store.transaction() as connection:
            _end(connection, row.number, "refused", utc, reason=short)
        yield Sealing(message_id, "refused", 0, short)
    elif short != row.reason:
        with store.transaction() as connection:
            say_reason(connection, row.number, short)
        yield Sealing(message_id, "waiting", 0, short)


def _shortage(connection: Connection, row: Row[Any]) -> str | None:
    key_bits = seal.key_bits_for(_plain(connection, row))
    try:
        ledger.allocate(connection, row.receiver, "pair", key_bits, demo=bool(row.demo))
    except KeyStoreError as error:
        return str(error)
    return None


def _plain(connection: Connection, row: Row[Any]) -> Plain:
    content = _cell(connection, row.number, "content")
    return Plain(row.name, bool(row.is_text), bool(row.urgent), content)


def _seal(connection: Connection, node_id: str, row: Row[Any], utc: str) -> int:
    plain = _plain(connection, row)
    sealed = seal.seal(connection, node_id, row.receiver, row.number, plain, utc, demo=bool(row.demo))
    with sealed.token as token:
        sealed_token = cells.seal(connection, cells.outbox_place(row.number, "token"), token.expose())
    change = {"state": "sealed", "reason": "", "key_bits": sealed.key_bits, "sealed_utc": utc}
    connection.execute(
        update(OUTBOX).where(OUTBOX.c.number == row.number).values(**change, content=None, token=sealed_token)
    )
    parcel = Parcel("message", node_id, row.receiver, row.number)
    parcels.add(connection, parcel, sealed.data, urgent=bool(row.urgent), utc=utc)
    return sealed.key_bits


def _cell(connection: Connection, number: int, name: str) -> bytes:
    cell = connection.execute(select(OUTBOX.c[name]).where(OUTBOX.c.number == number)).scalar_one()
    return cells.unseal(connection, cells.outbox_place(number, name), cell)


def say_reason(connection: Connection, number: int, reason: str) -> None:
    """Note why a message is held up."""
    connection.execute(update(OUTBOX).where(OUTBOX.c.number == number).values(reason=reason))


def handed(connection: Connection, number: int) -> bool:
    """The next hop says that it holds the message; whether that is news. Nobody vouches for it."""
    here = and_(OUTBOX.c.number == number, OUTBOX.c.state == "sealed")
    return connection.execute(update(OUTBOX).where(here).values(state="handed", reason="")).rowcount == 1


def receipt(connection: Connection, node_id: str, parcel: Parcel, token: bytes, utc: str) -> bool | None:
    """Take a receipt: True when it ends its message, False for a wrong token, None when nothing waits."""
    here = and_(
        OUTBOX.c.number == parcel.number,
        OUTBOX.c.receiver == parcel.source,
        OUTBOX.c.state.in_(UNDER_WAY),
    )
    if connection.execute(select(OUTBOX.c.number).where(here)).first() is None:
        return None
    if not hmac.compare_digest(_cell(connection, parcel.number, "token"), token):
        return False
    _end(connection, parcel.number, "delivered", utc, reason="")
    parcels.remove(connection, Parcel("message", node_id, parcel.source, parcel.number))
    return True


def _end(connection: Connection, number: int, state: str, utc: str, *, reason: str) -> None:
    change = {"state": state, "reason": reason, "content": None, "token": None, "ended_utc": utc}
    connection.execute(update(OUTBOX).where(OUTBOX.c.number == number).values(**change))
    audit.append(connection, state, utc, number=number)


def expire(connection: Connection, node_id: str, before_utc: str, utc: str) -> list[str]:
    """Give up messages queued before a time; plain text is overwritten, key that was used stays used."""
    old = and_(OUTBOX.c.queued_utc < before_utc, OUTBOX.c.state.in_(("waiting", *UNDER_WAY)))
    rows = connection.execute(select(OUTBOX.c.number, OUTBOX.c.receiver).where(old)).all()
    for row in rows:
        _end(connection, row.number, "expired", utc, reason="no receipt came in time")
        parcels.remove(connection, Parcel("message", node_id, row.receiver, row.number))
    return [f"{node_id}:{row.number}" for row in rows]


def outgoing(store: KeyStore) -> list[OutgoingRow]:
    """All messages that this node sends or sent, the oldest first."""
    with store.snapshot() as connection:
        rows = connection.execute(select(*_COLUMNS).order_by(OUTBOX.c.number)).all()
    return [_row(store.node_id, row) for row in rows]


def _row(node_id: str, row: Row[Any]) -> OutgoingRow:
    return OutgoingRow(
        id=f"{node_id}:{row.number}",
        to=row.receiver,
        state=row.state,
        name=row.name,
        is_text=bool(row.is_text),
        urgent=bool(row.urgent),
        policy=row.policy,
        size_bytes=row.size_bytes,
        key_bits=row.key_bits,
        reason=row.reason,
        queued_utc=row.queued_utc,
        sealed_utc=row.sealed_utc,
        ended_utc=row.ended_utc,
    )
