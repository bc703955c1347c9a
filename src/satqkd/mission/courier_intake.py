"""The receiving half of a courier: what a neighbour offers, how much is on the disk, what becomes of it.

Bytes are believed to be on the disk when they are: custody is said of what was committed. Everything a peer
chooses is capped before it costs anything: sizes, number and bytes for one sender, answers that wait. What
is whole is dealt with in one transaction where it is the last of its kind: a message with its key and
receipt, a receipt with its message. No clock, no socket.
"""

import hashlib
from typing import Final

import msgspec
from sqlalchemy import Connection, select

from satqkd.config import Traffic
from satqkd.errors import AuthenticationError, DataFormatError, KeyNotFound, KeyStoreError, OriginRefused
from satqkd.keys import KeyStore, accept_relay
from satqkd.keys.network.relay import holds_relay
from satqkd.keys.sql.schema import BLOCKS
from satqkd.keys.traffic import Parcel, accept_grant, granted, inbox, outbox, parcels
from satqkd.keys.traffic.envelope import MAXIMUM_HEADER_BYTES
from satqkd.keys.traffic.parcels import ArrivalRow, parcel_of
from satqkd.mission.courier_messages import AnyCourierMessage, Chunk, Custody, Offer, Reason, Refused, Whole
from satqkd.mission.courier_notes import Notes
from satqkd.mission.courier_outgo import priority_of

FLUSH_BYTES: Final = 256 * 1024
"""Held in memory before it goes to the disk and custody is said."""
MAXIMUM_ANSWERS: Final = 256
"""That wait to be said; more questions are not heard."""


class Arriving(msgspec.Struct):
    """A parcel that comes in this connection."""

    pk: int
    size_bytes: int
    urgent: bool
    held_bytes: int
    """On the disk."""
    buffer: bytes = b""
    """Behind them, in memory."""
    gap_told: bool = False


class Intake:
    """What comes from one neighbour."""

    def __init__(
        self, store: KeyStore, peer: str, settings: Traffic, notes: Notes, *, carrier: bool, demo: bool
    ) -> None:
        self._store, self._peer, self._settings, self._notes = store, peer, settings, notes
        self._carrier, self._demo = carrier, demo
        self.coming: dict[Parcel, Arriving] = {}
        self.answers: list[tuple[int, AnyCourierMessage]] = []
        """Priority and message, in order."""
        self.new_key = False
        """A record was accepted: what waits for key may be looked at again."""

    def offer(self, offer: Offer, now_utc: str) -> None:
        """Answer from where on the parcel is wanted, that it is here, or that it is not taken."""
        if not self._wanted(offer, offer.size_bytes, offer.sha256, now_utc):
            return
        row = self._begin(offer, offer.size_bytes, offer.sha256, now_utc)
        if row is None:
            self._say(offer, offer.size_bytes, Refused(offer.parcel, "full"))
            return
        self.coming[offer.parcel] = Arriving(row.pk, row.size_bytes, offer.urgent, row.held_bytes)
        resume = row.held_bytes < row.size_bytes
        self._say(offer, offer.size_bytes, Custody(offer.parcel, row.held_bytes, resume))

    def whole(self, whole: Whole, now_utc: str) -> None:
        """Take a small parcel."""
        sha256, size_bytes = hashlib.sha256(whole.data).digest(), len(whole.data)
        if not self._wanted(whole, size_bytes, sha256, now_utc):
            return
        row = self._begin(whole, size_bytes, sha256, now_utc)
        if row is None:
            self._say(whole, size_bytes, Refused(whole.parcel, "full"))
            return
        if row.held_bytes < size_bytes:
            with self._store.transaction() as connection:
                parcels.extend(connection, row.pk, row.held_bytes, whole.data[row.held_bytes :])
        self.settle(row, now_utc)

    def chunk(self, chunk: Chunk, now_utc: str) -> None:
        """Append bytes; those that do not follow are not taken, and after a gap the peer is told once."""
        coming = self.coming.get(chunk.parcel)
        if coming is None:
            return
        position = coming.held_bytes + len(coming.buffer)
        if chunk.offset > position and not coming.gap_told:
            coming.gap_told, coming.buffer = True, b""
            self._answer(coming, Custody(chunk.parcel, coming.held_bytes, True))
        if chunk.offset != position or position + len(chunk.data) > coming.size_bytes:
            return
        coming.gap_told = False
        coming.buffer += chunk.data
        whole = position + len(chunk.data) == coming.size_bytes
        if whole or len(coming.buffer) >= FLUSH_BYTES:
            self._flush(chunk.parcel, coming)
        if whole:
            self._settle_coming(chunk.parcel, now_utc)

    def _flush(self, parcel: Parcel, coming: Arriving) -> None:
        with self._store.transaction() as connection:
            parcels.extend(connection, coming.pk, coming.held_bytes, coming.buffer)
        coming.held_bytes += len(coming.buffer)
        coming.buffer = b""
        if coming.held_bytes < coming.size_bytes:
            self._answer(coming, Custody(parcel, coming.held_bytes, False))

    def _settle_coming(self, parcel: Parcel, now_utc: str) -> None:
        self.coming.pop(parcel)
        with self._store.snapshot() as connection:
            row = parcels.find_arrival(connection, parcel, self._peer)
        if row is not None:
            self.settle(row, now_utc)

    def retry(self, now_utc: str) -> None:
        """Deal with what is whole and waited for key, or for a restart."""
        with self._store.snapshot() as connection:
            rows = parcels.complete(connection)
        for row in rows:
            self.settle(row, now_utc)

    # what is taken at all

    def _wanted(self, message: Offer | Whole, size_bytes: int, sha256: bytes, now_utc: str) -> bool:
        """Whether a parcel is to come; otherwise the answer is given here."""
        if len(self.answers) >= MAXIMUM_ANSWERS:
            return False
        with self._store.snapshot() as connection:
            reason = self._unwanted(connection, message.parcel, size_bytes)
            done = reason is None and self._done(connection, message.parcel, sha256)
        if reason is not None:
            self._say(message, size_bytes, Refused(message.parcel, reason))
        elif done:
            self._answer_again(message.parcel, now_utc)
            self._say(message, size_bytes, Custody(message.parcel, size_bytes, False))
        return reason is None and not done

    def _unwanted(self, connection: Connection, parcel: Parcel, size_bytes: int) -> Reason | None:
        here = parcel.destination == self._store.node_id
        record = parcel.kind in ("relay", "grant")
        from_peer = parcel.source == self._peer
        if size_bytes > self._settings.maximum_message_bytes + MAXIMUM_HEADER_BYTES:
            return "too large"
        if parcel.source == parcel.destination:
            return "unknown receiver"
        if record or not self._carrier:
            right_way = here and parcel.source != self._store.node_id and (from_peer or not record)
        else:
            known = select(BLOCKS.c.pk).where(BLOCKS.c.peer == parcel.destination).limit(1)
            right_way = from_peer and (here or connection.execute(known).first() is not None)
        return None if right_way and not (record and self._carrier) else "unknown receiver"

    def _done(self, connection: Connection, parcel: Parcel, sha256: bytes) -> bool:
        """Whether there is nothing left to do with a parcel here."""
        if parcel.kind == "relay":
            return holds_relay(connection, parcel.source, parcel.number)
        if parcel.kind == "grant":
            return granted(connection, parcel.source, parcel.destination, parcel.number)
        if parcel.destination == self._store.node_id:
            return parcel.kind == "message" and inbox.has(connection, parcel)
        held = parcels.find(connection, parcel)
        if held is not None and held.sha256 == sha256:
            return True
        return parcel.kind == "message" and parcels.find(connection, parcel.answer) is not None

    def _answer_again(self, parcel: Parcel, now_utc: str) -> None:
        if parcel.kind == "message" and parcel.destination == self._store.node_id:
            with self._store.transaction() as connection:
                inbox.answer(connection, parcel, now_utc)

    def _begin(
        self, message: Offer | Whole, size_bytes: int, sha256: bytes, now_utc: str
    ) -> ArrivalRow | None:
        """The arrival as far as it is, or a new one; None when there is no room."""
        with self._store.transaction() as connection:
            row = parcels.find_arrival(connection, message.parcel, self._peer)
            if row is not None and (row.size_bytes, row.sha256) == (size_bytes, sha256):
                return row
            if row is not None:
                parcels.drop_arrival(connection, row.pk)
                self.coming.pop(message.parcel, None)
            if not self._make_room(connection, message.parcel, size_bytes):
                return None
            parcels.begin(
                connection, message.parcel, self._peer, size_bytes, sha256, urgent=message.urgent, utc=now_utc
            )
            return parcels.find_arrival(connection, message.parcel, self._peer)

    def _make_room(self, connection: Connection, parcel: Parcel, size_bytes: int) -> bool:
        """Within the quota; arrivals of earlier connections give way, custody never does."""
        arriving = parcels.arriving(connection, self._peer)
        count, kept_bytes = (0, 0)
        if parcel.destination != self._store.node_id:
            count, kept_bytes = parcels.carried(connection, parcel.source)
        active = {coming.pk for coming in self.coming.values()}
        old = [row for row in arriving if row.pk not in active]
        count, kept_bytes = count + len(arriving), kept_bytes + sum(row.size_bytes for row in arriving)
        quota, quota_bytes = self._settings.quota_messages, self._settings.quota_bytes
        giving_way: list[ArrivalRow] = []
        while old and (count >= quota or kept_bytes + size_bytes > quota_bytes):
            giving_way.append(old.pop(0))
            count, kept_bytes = count - 1, kept_bytes - giving_way[-1].size_bytes
        if count >= quota or kept_bytes + size_bytes > quota_bytes:
            return False
        for row in giving_way:
            parcels.drop_arrival(connection, row.pk)
        return True

    # what becomes of it

    def settle(self, row: ArrivalRow, now_utc: str) -> None:
        """Deal with a parcel that is all here, and say so."""
        with self._store.snapshot() as connection:
            data = parcels.arrived(connection, row.pk)
        parcel = parcel_of(row)
        if hashlib.sha256(data).digest() != row.sha256:
            self._start_again(row, now_utc)
            return
        if parcel.destination != self._store.node_id:
            reason = self._carry(parcel, row, data, now_utc)
        elif parcel.kind == "message":
            reason = self._open(parcel, row, data, now_utc)
        elif parcel.kind == "receipt":
            reason = self._receipt(parcel, row, data, now_utc)
        else:
            reason = self._accept(parcel, row, data, now_utc)
        answer = Custody(parcel, row.size_bytes, False) if reason is None else Refused(parcel, reason)
        self.answers.append((priority_of(urgent=bool(row.urgent), size_bytes=row.size_bytes), answer))

    def _start_again(self, row: ArrivalRow, now_utc: str) -> None:
        """The bytes are not what was offered: none of them is kept."""
        parcel = parcel_of(row)
        with self._store.transaction() as connection:
            parcels.drop_arrival(connection, row.pk)
            pk = parcels.begin(
                connection, parcel, row.from_hop, row.size_bytes, row.sha256,
                urgent=bool(row.urgent), utc=row.since_utc,
            )  # fmt: skip
        self._notes.log(now_utc, "traffic", "spoilt", parcel=parcel.kind, message=_id(parcel))
        if row.from_hop == self._peer:
            self.coming[parcel] = Arriving(pk, row.size_bytes, bool(row.urgent), 0)
            self._answer(self.coming[parcel], Custody(parcel, 0, True))

    def _carry(self, parcel: Parcel, row: ArrivalRow, data: bytes, now_utc: str) -> Reason | None:
        with self._store.transaction() as connection:
            if parcel.kind == "receipt":
                parcels.remove(connection, parcel.answer)
            parcels.remove(connection, parcel)
            parcels.add(connection, parcel, data, urgent=bool(row.urgent), utc=now_utc)
            parcels.drop_arrival(connection, row.pk)
        self._notes.log(
            now_utc, "traffic", "carried", parcel=parcel.kind, message=_id(parcel), bytes=len(data)
        )
        return None

    def _open(self, parcel: Parcel, row: ArrivalRow, data: bytes, now_utc: str) -> Reason | None:
        try:
            with self._store.transaction() as connection:
                opened = inbox.receive(connection, parcel, data, now_utc, demo=self._demo)
                parcels.drop_arrival(connection, row.pk)
        except KeyNotFound:
            self._notes.log(now_utc, "traffic", "kept_for_key", message=_id(parcel))
            return None
        except OriginRefused:
            return self._drop(parcel, row, "origin", now_utc)
        except (KeyStoreError, DataFormatError):
            return self._drop(parcel, row, "unreadable", now_utc)
        if opened is None:
            self._notes.log(now_utc, "traffic", "dropped", message=_id(parcel), reason="wrong tag")
            return "wrong tag"
        self._notes.log(
            now_utc, "traffic", "received", message=_id(parcel), bytes=len(opened.plain.content),
            bits=opened.key_bits,
        )  # fmt: skip
        return None

    def _drop(self, parcel: Parcel, row: ArrivalRow, reason: Reason, now_utc: str) -> Reason:
        with self._store.transaction() as connection:
            parcels.drop_arrival(connection, row.pk)
        self._notes.log(now_utc, "traffic", "dropped", message=_id(parcel), reason=reason)
        return reason

    def _receipt(self, parcel: Parcel, row: ArrivalRow, data: bytes, now_utc: str) -> Reason | None:
        with self._store.transaction() as connection:
            good = outbox.receipt(connection, self._store.node_id, parcel, data, now_utc)
            parcels.drop_arrival(connection, row.pk)
        if good:
            self._notes.log(now_utc, "traffic", "delivered", message=_id(parcel))
        elif good is False:
            self._notes.log(now_utc, "traffic", "wrong_receipt", message=_id(parcel))
        return None

    def _accept(self, parcel: Parcel, row: ArrivalRow, data: bytes, now_utc: str) -> Reason | None:
        try:
            bits = self._accept_record(parcel, data, now_utc)
        except AuthenticationError:
            return self._drop(parcel, row, "wrong tag", now_utc)
        except OriginRefused:
            return self._drop(parcel, row, "origin", now_utc)
        except (KeyStoreError, DataFormatError):
            return self._drop(parcel, row, "unreadable", now_utc)
        with self._store.transaction() as connection:
            parcels.drop_arrival(connection, row.pk)
        self.new_key = True
        self._notes.log(now_utc, "traffic", "accepted", parcel=parcel.kind, message=_id(parcel), bits=bits)
        return None

    def _accept_record(self, parcel: Parcel, data: bytes, now_utc: str) -> int:
        if parcel.kind == "relay":
            return accept_relay(self._store, data, now_utc=now_utc, demo=self._demo).bits
        with self._store.transaction() as connection:
            bits = accept_grant(connection, self._store.node_id, data, now_utc, demo=self._demo)
        if bits is None:
            raise AuthenticationError("the tag of a grant does not fit; nothing was stored; get it again")
        return bits

    def _answer(self, coming: Arriving, answer: AnyCourierMessage) -> None:
        self.answers.append((priority_of(urgent=coming.urgent, size_bytes=coming.size_bytes), answer))

    def _say(self, message: Offer | Whole, size_bytes: int, answer: AnyCourierMessage) -> None:
        self.answers.append((priority_of(urgent=message.urgent, size_bytes=size_bytes), answer))


def _id(parcel: Parcel) -> str:
    """How people call it: a receipt by its message."""
    return f"{parcel.destination if parcel.kind == 'receipt' else parcel.source}:{parcel.number}"
