"""The sending half of a courier: which parcels are said in this connection, and how far.

What is not acknowledged lies in the store; here stands only what was said since the connection began, so
nothing is lost with it. The peer's word is believed as far as it cannot harm: `handed` is what a user may
see, and only an end-to-end receipt makes the sender forget its bytes. No clock, no socket.
"""

from collections.abc import Callable
from typing import Final

import msgspec
from sqlalchemy import Connection

from satqkd.keys import KeyStore
from satqkd.keys.traffic import outbox, parcels
from satqkd.keys.traffic.parcels import ParcelRow, parcel_of
from satqkd.mission.courier_messages import (
    CHUNK_BYTES,
    WHOLE_BYTES,
    AnyCourierMessage,
    Chunk,
    Custody,
    Offer,
    Refused,
    Whole,
    encode,
)
from satqkd.mission.courier_notes import Notes

URGENT: Final = 0
FILES: Final = 3
"""Priorities of the laser link."""
WINDOW_BYTES: Final = 1 << 20
"""Sent ahead of the peer's disk at most."""
OFFERS_AHEAD: Final = 8
"""Large parcels offered and not finished at a time."""
LOST: Final = ("wrong tag", "unreadable")
"""Reasons for which a carried message is worth nothing: its sender still has it."""
Room = Callable[[int, int], bool]


class Sending(msgspec.Struct):
    """How far a parcel is said in this connection."""

    sent_bytes: int = 0
    acknowledged_bytes: int = 0
    allowed: bool = False
    """The peer said from where on it wants the bytes."""
    finished: bool = False


class Outgo:
    """What leaves for one neighbour."""

    def __init__(self, store: KeyStore, peer: str, notes: Notes, *, carrier: bool) -> None:
        self._store, self._peer, self._notes, self._carrier = store, peer, notes, carrier
        self.said: dict[int, Sending] = {}
        """By row of the parcel."""
        self.waits_for_room = False
        """Of the link, for something that would be said at once."""

    def to_send(self, room: Room) -> list[tuple[int, bytes]]:
        """What there is room for, in order; each message goes once in a connection."""
        going: list[tuple[int, bytes]] = []
        full: set[int] = set()
        with self._store.snapshot() as connection:
            rows = parcels.leaving(connection, self._peer if self._carrier else None)
            self.said = {row.pk: self.said[row.pk] for row in rows if row.pk in self.said}
            for row in rows:
                priority = priority_of(urgent=bool(row.urgent), size_bytes=row.size_bytes)
                while priority not in full and (message := self._next(connection, row)) is not None:
                    data = encode(message)
                    if room(priority, len(data)):
                        going.append((priority, data))
                        self._mark(row, message)
                    else:
                        full.add(priority)
        self.waits_for_room = bool(full)
        return going

    def _next(self, connection: Connection, row: ParcelRow) -> AnyCourierMessage | None:
        sending = self.said.get(row.pk)
        if sending is None:
            return self._first(connection, row)
        ahead_bytes = sending.sent_bytes - sending.acknowledged_bytes
        if not sending.allowed or sending.sent_bytes == row.size_bytes or ahead_bytes >= WINDOW_BYTES:
            return None
        data = parcels.piece(connection, row, sending.sent_bytes, CHUNK_BYTES)
        return Chunk(parcel_of(row), sending.sent_bytes, data)

    def _first(self, connection: Connection, row: ParcelRow) -> AnyCourierMessage | None:
        if row.size_bytes <= WHOLE_BYTES:
            data = parcels.piece(connection, row, 0, row.size_bytes)
            return Whole(parcel_of(row), bool(row.urgent), data)
        if sum(not each.finished for each in self.said.values()) >= OFFERS_AHEAD:
            return None
        return Offer(parcel_of(row), row.size_bytes, row.sha256, bool(row.urgent))

    def _mark(self, row: ParcelRow, message: AnyCourierMessage) -> None:
        if isinstance(message, Chunk):
            self.said[row.pk].sent_bytes += len(message.data)
        else:
            small = isinstance(message, Whole)
            self.said[row.pk] = Sending(sent_bytes=row.size_bytes if small else 0, finished=small)

    def custody(self, custody: Custody, now_utc: str) -> None:
        """The peer says how much of a parcel it holds."""
        with self._store.snapshot() as connection:
            row = parcels.find(connection, custody.parcel)
        sending = None if row is None else self.said.get(row.pk)
        if row is None or sending is None or custody.offset > row.size_bytes:
            return
        if custody.resume:
            sending.sent_bytes, sending.allowed, sending.finished = custody.offset, True, False
        sending.acknowledged_bytes = min(custody.offset, sending.sent_bytes)
        if custody.offset == row.size_bytes:
            sending.sent_bytes = sending.acknowledged_bytes = row.size_bytes
            sending.finished = True
            self._held(row, now_utc)

    def _held(self, row: ParcelRow, now_utc: str) -> None:
        """Receipts have served; messages are kept until their receipt, records until they are old."""
        if row.kind == "receipt":
            with self._store.transaction() as connection:
                parcels.remove(connection, parcel_of(row))
        elif row.kind == "message" and row.source == self._store.node_id:
            with self._store.transaction() as connection:
                news = outbox.handed(connection, row.number)
            if news:
                self._notes.log(now_utc, "traffic", "handed", message=f"{row.source}:{row.number}")

    def refused(self, refused: Refused, now_utc: str) -> None:
        """The peer does not take a parcel: not in this connection, and a carried one that is spoilt never."""
        with self._store.snapshot() as connection:
            row = parcels.find(connection, refused.parcel)
        sending = None if row is None else self.said.get(row.pk)
        if row is None or sending is None:
            return
        sending.finished, sending.allowed = True, False
        self._notes.log(
            now_utc, "traffic", "refused_by_peer", parcel=row.kind, message=f"{row.source}:{row.number}",
            reason=refused.reason,
        )  # fmt: skip
        own = row.source == self._store.node_id
        if row.kind == "message" and (own or refused.reason in LOST):
            with self._store.transaction() as connection:
                if own:
                    outbox.say_reason(connection, row.number, f"{self._peer}: {refused.reason}")
                else:
                    parcels.remove(connection, parcel_of(row))


def priority_of(*, urgent: bool, size_bytes: int) -> int:
    """Which stream of the link a parcel goes by."""
    return URGENT if urgent and size_bytes <= WHOLE_BYTES else FILES
