"""Bytes on their way, on the disk: parcels that leave this node, arrivals that come in piece by piece.

A parcel's bytes never change; it goes when its task is done. An arrival grows in order; what it holds on
the disk is what a peer may be told that it holds. Knows no key and no meaning of the bytes. Every function
works inside the caller's transaction.
"""

import hashlib
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Table,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.sql.expression import TableClause

from satqkd.keys.sql import blobs
from satqkd.keys.sql.traffic_schema import ARRIVALS, OUTBOX, PARCELS
from satqkd.keys.traffic_model import Parcel

ParcelRow = Row[Any]
ArrivalRow = Row[Any]
_WITHOUT_DATA = [each for each in PARCELS.c if each.name != "data"]
_ARRIVAL_WITHOUT_DATA = [each for each in ARRIVALS.c if each.name != "data"]


def parcel_of(row: Row[Any]) -> Parcel:
    """The name of a row of either table."""
    return Parcel(row.kind, row.source, row.destination, row.number)


def _is(table: TableClause | Table, parcel: Parcel) -> ColumnElement[bool]:
    return and_(
        table.c.kind == parcel.kind,
        table.c.source == parcel.source,
        table.c.destination == parcel.destination,
        table.c.number == parcel.number,
    )


def add(connection: Connection, parcel: Parcel, data: bytes, *, urgent: bool, utc: str) -> None:
    """Put bytes on their way; nothing when they are already."""
    if find(connection, parcel) is not None:
        return
    values = {name: getattr(parcel, name) for name in Parcel.__struct_fields__}
    connection.execute(
        insert(PARCELS).values(
            **values,
            urgent=int(urgent),
            size_bytes=len(data),
            sha256=hashlib.sha256(data).digest(),
            data=data,
            since_utc=utc,
        )
    )


def find(connection: Connection, parcel: Parcel) -> ParcelRow | None:
    """A parcel's row without its bytes, if it is on its way."""
    return connection.execute(select(*_WITHOUT_DATA).where(_is(PARCELS, parcel))).first()


def remove(connection: Connection, parcel: Parcel) -> bool:
    """Forget a parcel and its bytes; whether there was one."""
    return connection.execute(delete(PARCELS).where(_is(PARCELS, parcel))).rowcount > 0


def leaving(connection: Connection, destination: str | None) -> list[ParcelRow]:
    """What is on its way, without bytes: urgent first, then key, receipts, messages, the oldest first.

    destination: only what is for this node; None for all.
    """
    kinds = {"relay": 0, "grant": 1, "receipt": 2}
    order = case(kinds, value=PARCELS.c.kind, else_=3)
    query = select(*_WITHOUT_DATA).order_by(PARCELS.c.urgent.desc(), order, PARCELS.c.pk)
    if destination is not None:
        query = query.where(PARCELS.c.destination == destination)
    return list(connection.execute(query))


def piece(connection: Connection, row: ParcelRow, offset_bytes: int, length_bytes: int) -> bytes:
    """Some of a parcel's bytes."""
    return blobs.read(connection, PARCELS, row.pk, offset_bytes, length_bytes)


def any_before(connection: Connection, before_utc: str) -> bool:
    """Whether anything of user traffic has been here since before a time."""
    old = (
        exists().where(OUTBOX.c.queued_utc < before_utc, OUTBOX.c.ended_utc.is_(None)),
        exists().where(PARCELS.c.since_utc < before_utc),
        exists().where(ARRIVALS.c.since_utc < before_utc),
    )
    return bool(connection.execute(select(or_(*old))).scalar())


def expire(connection: Connection, before_utc: str, own: str, from_hop: str) -> list[Parcel]:
    """Forget what has been here since before a time; gives the parcels.

    Not this node's own messages, which the outbox gives up itself; of arrivals those of one neighbour.
    """
    old = and_(PARCELS.c.since_utc < before_utc, or_(PARCELS.c.kind != "message", PARCELS.c.source != own))
    gone = [parcel_of(row) for row in connection.execute(select(*_WITHOUT_DATA).where(old))]
    connection.execute(delete(PARCELS).where(old))
    late = and_(ARRIVALS.c.from_hop == from_hop, ARRIVALS.c.since_utc < before_utc)
    connection.execute(delete(ARRIVALS).where(late))
    return gone


def begin(
    connection: Connection,
    parcel: Parcel,
    from_hop: str,
    size_bytes: int,
    sha256: bytes,
    *,
    urgent: bool,
    utc: str,
) -> int:
    """Make room for bytes that are coming; gives the arrival's row number."""
    values = {name: getattr(parcel, name) for name in Parcel.__struct_fields__}
    connection.execute(
        insert(ARRIVALS).values(
            **values,
            from_hop=from_hop,
            urgent=int(urgent),
            size_bytes=size_bytes,
            sha256=sha256,
            held_bytes=0,
            data=bytes(size_bytes),
            since_utc=utc,
        )
    )
    row = find_arrival(connection, parcel, from_hop)
    assert row is not None
    return int(row.pk)


def find_arrival(connection: Connection, parcel: Parcel, from_hop: str) -> ArrivalRow | None:
    """What has come of a parcel from a neighbour, without the bytes."""
    mine = and_(_is(ARRIVALS, parcel), ARRIVALS.c.from_hop == from_hop)
    return connection.execute(select(*_ARRIVAL_WITHOUT_DATA).where(mine)).first()


def extend(connection: Connection, pk: int, offset_bytes: int, data: bytes) -> None:
    """Append bytes to an arrival that holds `offset_bytes` so far."""
    blobs.write(connection, ARRIVALS, pk, data, offset_bytes)
    here = and_(ARRIVALS.c.pk == pk, ARRIVALS.c.held_bytes == offset_bytes)
    changed = connection.execute(update(ARRIVALS).where(here).values(held_bytes=offset_bytes + len(data)))
    assert changed.rowcount == 1


def arrived(connection: Connection, pk: int) -> bytes:
    """All bytes of an arrival."""
    return blobs.read(connection, ARRIVALS, pk)


def drop_arrival(connection: Connection, pk: int) -> None:
    """Forget an arrival."""
    connection.execute(delete(ARRIVALS).where(ARRIVALS.c.pk == pk))


def complete(connection: Connection) -> list[ArrivalRow]:
    """Arrivals that are all here and not yet dealt with, key before messages."""
    whole = ARRIVALS.c.held_bytes == ARRIVALS.c.size_bytes
    order = case({"relay": 0, "grant": 0}, value=ARRIVALS.c.kind, else_=1)
    rows = connection.execute(select(*_ARRIVAL_WITHOUT_DATA).where(whole).order_by(order, ARRIVALS.c.pk))
    return list(rows)


def arriving(connection: Connection, from_hop: str) -> list[ArrivalRow]:
    """All arrivals from a neighbour, the oldest first."""
    mine = ARRIVALS.c.from_hop == from_hop
    return list(connection.execute(select(*_ARRIVAL_WITHOUT_DATA).where(mine).order_by(ARRIVALS.c.pk)))


def carried(connection: Connection, source: str) -> tuple[int, int]:
    """Number and bytes of what lies here for another node's sake: the parcels of a source."""
    own = select(func.count(), func.coalesce(func.sum(PARCELS.c.size_bytes), 0)).where(
        PARCELS.c.source == source
    )
    count, size_bytes = connection.execute(own).one()
    return int(count), int(size_bytes)
