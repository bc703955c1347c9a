"""User traffic with one neighbour over the laser link: the satellite with a station, a station with it.

    courier.connected()                             a connection began: what is not acknowledged is said again
    courier.receive(priority, data, now_utc)        a message of the link came
    courier.to_send(now_utc, room)                  messages to give to the link, as far as it has room
    courier.key_changed(now_utc)                    key was confirmed: seal what waits, make relays
    courier.poll_spool(now_utc)                     take over what `satqkd send` left beside the store
    courier.events()                                lines for the event log

Sans-I/O: no clock, no socket. All that lasts is in the store, committed before a word is said of it, so a
courier made anew from its store goes on. What comes is not authenticated; no message raises because of it.
What each can do, right or forged, stands in `docs/traffic.md`.
"""

from datetime import timedelta
from typing import Any, Final

from satqkd.config import Traffic
from satqkd.errors import ResourceError
from satqkd.keys import KeyStore
from satqkd.keys.traffic import outbox, parcels, seal_waiting, spool
from satqkd.mission.courier_intake import Intake
from satqkd.mission.courier_messages import Chunk, Custody, Offer, Refused, Whole, decode, encode
from satqkd.mission.courier_notes import Notes
from satqkd.mission.courier_outgo import Outgo, Room
from satqkd.mission.courier_policy import make_due_grant, make_due_relays
from satqkd.sky import format_utc, parse_utc

LOOK_CALLS: Final = 20
"""Of `to_send` between two looks into the store of a courier whom nothing has stirred: what another contact's
courier left there is found so."""


class Courier:
    """One end of the traffic with one neighbour."""

    def __init__(self, store: KeyStore, peer: str, settings: Traffic, *, carrier: bool, demo: bool) -> None:
        """carrier: this is the satellite, which takes messages for others. demo: key not secret will do."""
        self._store, self._peer, self._settings = store, peer, settings
        self._carrier, self._demo = carrier, demo
        self._notes = Notes()
        self._rejected = 0
        self._spool_told = False
        self._calls = 0
        self.connected()

    def connected(self) -> None:
        """A connection begins: nothing that was said in the last one counts."""
        self._intake = Intake(
            self._store, self._peer, self._settings, self._notes, carrier=self._carrier, demo=self._demo
        )
        self._outgo = Outgo(self._store, self._peer, self._notes, carrier=self._carrier)
        self._begun = False
        self._stirred = True

    def receive(self, priority: int, data: bytes, now_utc: str) -> None:
        """Take a message; bytes that are none are counted and dropped, whatever stream they came by."""
        message = decode(data)
        self._stirred = True
        match message:
            case Offer():
                self._intake.offer(message, now_utc)
            case Whole():
                self._intake.whole(message, now_utc)
            case Chunk():
                self._intake.chunk(message, now_utc)
            case Custody():
                self._outgo.custody(message, now_utc)
            case Refused():
                self._outgo.refused(message, now_utc)
            case None:
                self._reject(priority, now_utc)
        if self._intake.new_key:
            self.key_changed(now_utc)

    def to_send(self, now_utc: str, room: Room) -> list[tuple[int, bytes]]:
        """Priority and bytes of messages for the link: answers first, then parcels.

        room(priority, n_bytes) is asked once for each message; when it says yes, the message is returned.
        """
        if not self._begun:
            self._begun = True
            self._expire(now_utc)
            self.key_changed(now_utc)
        self._calls += 1
        if not self._stirred and self._calls % LOOK_CALLS:
            return []
        full: set[int] = set()
        answers, self._intake.answers = self._intake.answers, []
        going: list[tuple[int, bytes]] = []
        for priority, message in answers:
            data = encode(message)
            if priority not in full and room(priority, len(data)):
                going.append((priority, data))
            else:
                full.add(priority)
                self._intake.answers.append((priority, message))
        going += self._outgo.to_send(room)
        self._stirred = bool(full) or self._outgo.waits_for_room
        return going

    def key_changed(self, now_utc: str) -> None:
        """Use new key: relays and grants at the satellite; open what waited for key, seal what waits."""
        self._intake.new_key, self._stirred = False, True
        if self._carrier:
            self._make_records(now_utc)
        self._intake.retry(now_utc)
        self._seal(now_utc)
        if self._intake.new_key:
            self.key_changed(now_utc)

    def poll_spool(self, now_utc: str) -> None:
        """Take over messages that wait beside the store."""
        limit = self._settings.maximum_message_bytes
        try:
            queued, refused = spool.take_over(self._store, now_utc=now_utc, maximum_bytes=limit)
        except ResourceError as error:
            if not self._spool_told:
                self._spool_told = True
                self._notes.log(now_utc, "traffic", "spool_refused", reason=str(error))
            return
        for reason in refused:
            self._notes.log(now_utc, "traffic", "spool_refused", reason=reason)
        for message_id in queued:
            self._notes.log(now_utc, "traffic", "queued", message=message_id)
        if queued:
            self._stirred = True
            self._seal(now_utc)

    def events(self) -> list[dict[str, Any]]:
        """What happened since the last time, as `utc stage event` and counts."""
        return self._notes.take()

    def _seal(self, now_utc: str) -> None:
        for news in seal_waiting(self._store, now_utc=now_utc):
            if news.state == "sealed":
                self._notes.log(now_utc, "traffic", "sealed", message=news.id, bits=news.key_bits)
            elif news.state == "refused":
                self._notes.log(now_utc, "traffic", "no_key_refused", message=news.id, reason=news.reason)
            else:
                self._notes.log(now_utc, "traffic", "no_key_waiting", message=news.id, reason=news.reason)

    def _make_records(self, now_utc: str) -> None:
        made = make_due_relays(self._store, self._settings, now_utc=now_utc, demo=self._demo)
        for relay_id, bits in made:
            self._notes.log(now_utc, "traffic", "relayed", relay=relay_id, bits=bits)
        number = make_due_grant(self._store, self._settings, self._peer, now_utc=now_utc, demo=self._demo)
        if number is not None:
            self._notes.log(now_utc, "traffic", "granted", grant=number, bits=self._settings.grant_bits)

    def _expire(self, now_utc: str) -> None:
        before_utc = format_utc(parse_utc(now_utc) - timedelta(seconds=self._settings.retention_s))
        node = self._store.node_id
        with self._store.snapshot() as connection:
            if not parcels.any_before(connection, before_utc):
                return
        with self._store.transaction() as connection:
            own = outbox.expire(connection, node, before_utc, now_utc)
            carried = parcels.expire(connection, before_utc, node, self._peer)
        for message_id in own:
            self._notes.log(now_utc, "traffic", "expired", message=message_id)
        if carried:
            self._notes.log(now_utc, "traffic", "given_up", parcels=len(carried))

    def _reject(self, priority: int, now_utc: str) -> None:
        """A flood must not fill the log: the 1st, 2nd, 4th, 8th ... is noted."""
        self._rejected += 1
        if self._rejected & (self._rejected - 1) == 0:
            self._notes.log(now_utc, "traffic", "rejected", priority=priority, messages=self._rejected)
