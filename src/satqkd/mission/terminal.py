"""A node during a contact, but for its process: device, conversations, laser link and key store put together.

`step(now_s, datagrams)` advances one tick of pass time and returns the datagrams to send. The order in a
tick is fixed: take in, work, write down in one transaction, then speak. A terminal made anew on the store of
one that died goes on where that one was; passes with this peer that an earlier contact left unfinished go
on beside the pass of this contact. Both roles are the same but for what they do with light. No process, no
socket, no pacing: `run_pass` steps two of these in memory, the node room steps one in each process.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from satqkd.config import Traffic
from satqkd.distill.memory import Remembered
from satqkd.distill.messages import MAXIMUM_MESSAGE_BYTES, address_of
from satqkd.distill.outcome import BlockReport, Event
from satqkd.distill.parameters import Parameters
from satqkd.distill.session import Session, SessionState
from satqkd.errors import ForgedMessage, RemoteProtocolError
from satqkd.keys import Journal, KeyStore, next_boot
from satqkd.lasercom import MAXIMUM_BOOT, Direction, Endpoint, Priority, framing_of
from satqkd.mission.conversation import (
    Conversation,
    MakeSession,
    stored_epoch,
    stored_parameters,
)
from satqkd.mission.flown import FlownContact
from satqkd.mission.kept import KeptBlocks
from satqkd.mission.last_words import LastWords
from satqkd.mission.report import UNFINISHED, NodeReport, ResumedBlock
from satqkd.mission.telemetry import Telemetry, TelemetryLine
from satqkd.mission.user_traffic import STREAMS, UserTraffic

TICKS_PER_S: Final = 20
TICK_S: Final = 1 / TICKS_PER_S
MAXIMUM_UNPROVEN: Final = 20
"""Messages that do not fit the shared key before any did: the stores are no pair. Once one did, those that
do not are forged, and cost time alone: each starts the link anew, and the true one is said again."""
RETENTION: Final = timedelta(days=30)
"""An unfinished pass is gone on with for so long."""
NO_TRAFFIC: Final = Traffic()
"""Messages are carried as they come; no key is relayed or granted for them."""
LogEvent = Callable[[dict[str, Any]], None]


class Terminal(ABC):
    """What both roles share."""

    NODE: ClassVar[str]
    DIRECTION: ClassVar[Direction]

    def __init__(
        self,
        contact: FlownContact,
        parameters: Parameters,
        *,
        peer: str,
        store: KeyStore,
        origin: str,
        traffic: Traffic,
        log: LogEvent,
    ) -> None:
        self.contact, self.parameters, self.peer = contact, parameters, peer
        self.store, self._origin, self._log = store, origin, log
        self._lines: list[dict[str, Any]] = []
        self._forged = 0
        self._connection = 0
        self._last_words = LastWords(Journal(store, peer))
        self.earlier = self._earlier_conversations()
        spoken_for = {name for each in self.earlier for name in each.session.spoken_for}
        self.conversation = self._converse(parameters, contact.epoch, self._open_session, spoken_for)
        self.traffic = UserTraffic(
            store,
            peer,
            traffic,
            carrier=self.DIRECTION is Direction.FROM_SATELLITE,
            origin=origin,
            epoch=contact.epoch,
            add_line=self._add_line,
        )
        self.telemetry = TelemetryLine()
        worked_s = self.conversation.worked_s
        self.first_tick = math.floor(max(worked_s * TICKS_PER_S + 1.5, contact.link_start_s * TICKS_PER_S))
        """The first that no earlier process has worked and written down."""
        self._link = Endpoint(
            link_tag=hashlib.sha256(parameters.pass_id.encode()).digest()[:4],
            direction=self.DIRECTION,
            boot=next_boot(store),
            rate_bit_s=self._rate_bit_s(),
            light_time_s=contact.light_time_s,
            maximum_message_bytes=MAXIMUM_MESSAGE_BYTES + 4096,
            tick_s=TICK_S,
            framing=framing_of(contact.satellite.lasercom, contact.station.lasercom, self.DIRECTION),
        )

    @property
    def session(self) -> Session:
        """Of the pass of this contact."""
        return self.conversation.session

    @property
    def resumed(self) -> bool:
        """Whether the pass had begun in an earlier process."""
        return self.conversation.resumed

    @property
    def reports(self) -> list[BlockReport]:
        """Blocks of this pass of which nothing more will be said."""
        return self.conversation.account.reports

    @property
    def finished(self) -> bool:
        """Every block is reported, of earlier passes too, and everything said has arrived. Messages of users
        that can go on in this contact are on their way at one end or the other until they are done."""
        return self._done and self._link.idle

    @property
    def _done(self) -> bool:
        return all(each.finished for each in self._conversations())

    @property
    def backlog_bytes(self) -> int:
        """Given to the laser link and not yet acknowledged by the peer."""
        return self._link.backlog_bytes

    def step(self, now_s: float, datagrams: list[bytes]) -> list[bytes]:
        """One tick: datagrams that arrived, datagrams to send.

        An error of the pass' protocol is written down, then raised: the pass is over, and stays so. After
        any other error the terminal is of no use; one made anew goes on.
        """
        with self.store.work():
            failure = self._take_in(now_s, datagrams)
            if failure is None:
                self._work(now_s)
                self._settle(self.conversation, now_s)
                for each in self._conversations():
                    each.write_down(now_s)
                confirmed = sum(len(each.account.confirmed_s) for each in self._conversations())
                self.traffic.work(now_s, confirmed)
        self._tell_log()
        if failure is not None:
            raise failure
        if self._connection:
            for each in self._conversations():
                each.speak(self._link, now_s)
            self._last_words.speak(self._link)
            if not self._done:
                self.telemetry.speak(self._link, self._telemetry(now_s))
            self.traffic.speak(self._link, now_s)
        return self._link.data_to_send(now_s)

    def report(self) -> NodeReport:
        """What this end accounts for; a block the link's end cut off is accounted for as it stands."""
        here, account = self.conversation, self.conversation.account
        closed = here.closed
        return NodeReport(
            node=self.NODE,
            pass_id=self.parameters.pass_id,
            blocks=tuple(account.reports + self.session.interrupted(UNFINISHED)),
            profiles=tuple(account.profiles),
            confirmed_s=account.confirmed_s,
            stage_s=account.stage_s,
            authentication_bits_spent=account.spent_bits
            if closed
            else self.session.authentication_bits_spent,
            epsilon_authentication=account.epsilon if closed else self.session.epsilon_authentication,
            link=self._link.counts,
            polarisation=tuple(account.angles),
            raw_left_out=account.left_out,
            resumed=tuple(
                ResumedBlock(each.parameters.pass_id, report)
                for each in self.earlier
                for report in each.account.reports[each.reported_before :]
            ),
            traffic=dict(self.traffic.counts),
            telemetry=self.telemetry.heard,
        )

    def _telemetry(self, now_s: float) -> Telemetry:
        reports = self.reports
        return Telemetry(
            t_s=now_s,
            blocks_finished=len(reports),
            secret_bits=sum(each.secret_bits for each in reports),
            backlog_bytes=self.backlog_bytes,
            waiting_messages=sum(each.backlog for each in self._conversations()),
        )

    def log(self, now_s: float, stage: str, event: str, **counts: Any) -> None:
        """One line of the event log, told when what it says is durable; never key."""
        self._add_line(now_s, stage, event, counts)

    def _add_line(self, now_s: float, stage: str, event: str, counts: dict[str, Any]) -> None:
        self._lines.append(
            {"t_s": round(now_s, 3), "node": self.NODE, "stage": stage, "event": event, **counts}
        )

    @abstractmethod
    def _rate_bit_s(self) -> float:
        """What this end's laser terminal carries."""

    @abstractmethod
    def _open_session(
        self, parameters: Parameters, kept: KeptBlocks, remembered: Remembered | None
    ) -> Session:
        """The session of the pass of this contact."""

    @abstractmethod
    def _open_earlier(
        self, parameters: Parameters, kept: KeptBlocks, remembered: Remembered | None
    ) -> Session:
        """The session of a pass that an earlier contact left unfinished: its light is over."""

    @abstractmethod
    def _work(self, now_s: float) -> None:
        """What this end does with light in a tick."""

    @abstractmethod
    def _handle(self, event: Event, now_s: float) -> None:
        """What this end does with an event of this pass that is not for the store."""

    def _conversations(self) -> list[Conversation]:
        return [self.conversation, *self.earlier]

    def _converse(
        self,
        parameters: Parameters,
        epoch: datetime,
        make: MakeSession,
        spoken_for: Collection[str] = (),
    ) -> Conversation:
        pass_id = parameters.pass_id

        def log(then_s: float, stage: str, event: str, **counts: Any) -> None:
            if pass_id != self.parameters.pass_id:
                counts["pass_id"] = pass_id
            self._add_line(then_s - self._since_s(epoch), stage, event, counts)

        return Conversation(
            parameters,
            make,
            store=self.store,
            peer=self.peer,
            epoch=epoch,
            origin=self._origin,
            log=log,
            spoken_for=spoken_for,
        )

    def _earlier_conversations(self) -> list[Conversation]:
        """Passes to be gone on with; what is too old is given up, and so is a pass whose peer was not heard
        in its own contact: no detection of it is known to both ends, and the authentication key that it
        would draw is this contact's by now."""
        found = []
        for row in Journal(self.store, self.peer).unfinished():
            if row.pass_id == self.parameters.pass_id:
                continue
            each = self._converse(stored_parameters(row), stored_epoch(row), self._open_earlier)
            reason = ""
            if self.contact.epoch - each.epoch > RETENTION:
                reason = f"not finished within {RETENTION.days} days"
            elif each.session.state is SessionState.GREETING:
                reason = "the peer was not heard in its contact"
            if reason:
                with self.store.work():
                    each.give_up(reason, 0.0)
            else:
                found.append(each)
        return found

    def _take_in(self, now_s: float, datagrams: list[bytes]) -> RemoteProtocolError | None:
        for datagram in datagrams:
            self._link.receive(datagram, now_s)
        if self._link.boots[0] < self._link.addressed_boot < MAXIMUM_BOOT:
            self._link.reset(boot=next_boot(self.store, after=self._link.addressed_boot))
        if self._link.connection != self._connection:
            self._connect(now_s)
        while (arrived := self._link.next_message()) is not None:
            priority, data = arrived
            if priority == Priority.TELEMETRY:
                self.telemetry.receive(data)
            elif priority in STREAMS:
                self.traffic.receive(priority, data, now_s)
            elif (failure := self._route(data, now_s)) is not None:
                return failure
        return None

    def _connect(self, now_s: float) -> None:
        """The link starts, or one end of it started anew: say again what is not receipted."""
        self._connection = self._link.connection
        self.log(now_s, "link", "connected", connection=self._connection)
        self._last_words.connected()
        for each in self._conversations():
            each.reconnected()
        self.traffic.connected()

    def _route(self, data: bytes, now_s: float) -> RemoteProtocolError | None:
        """Give a message to its pass; an error that ends this contact's pass, or None."""
        address = address_of(data[:-16])
        found = [
            each for each in self._conversations() if address and each.parameters.pass_id == address.pass_id
        ]
        if not found:
            self.log(now_s, "link", "stray")
            if address is not None and not address.is_receipt:
                self._last_words.asked(address.pass_id)
            return None
        conversation = found[0]
        if address is not None and address.is_receipt:
            conversation.receive_receipt(data)
            return None
        if conversation.closed:
            return None
        return self._hear(conversation, data, now_s)

    def _since_s(self, epoch: datetime) -> float:
        """How much later pass time is in a pass of this epoch than in this contact's."""
        return (self.contact.epoch - epoch).total_seconds()

    def _hear(self, conversation: Conversation, data: bytes, now_s: float) -> RemoteProtocolError | None:
        then_s = now_s + self._since_s(conversation.epoch)
        try:
            conversation.session.receive(data, then_s)
            self._settle(conversation, then_s)
        except ForgedMessage as error:
            self._forged += 1
            self.log(now_s, "link", "forged", forged=self._forged)
            if conversation.session.proven or self._forged < MAXIMUM_UNPROVEN:
                self._link.reset(boot=next_boot(self.store))
                return None
            conversation.fail(error, then_s)
            return error
        except RemoteProtocolError as error:
            conversation.fail(error, then_s)
            return error if conversation is self.conversation else None
        return None

    def _settle(self, conversation: Conversation, then_s: float) -> None:
        for event in conversation.handle_events(then_s):
            if conversation is self.conversation:
                self._handle(event, then_s)
        if conversation is self.conversation and conversation.session.proven:
            self._drop_unanswered(then_s)

    def _drop_unanswered(self, now_s: float) -> None:
        """Passes that the peer never took up, by where its authentication key stood at its hello for this
        one. A hello that anybody could have said is not enough: the peer is proven by now."""
        for each in self.earlier:
            if not (each.closed or each.answered) and each.session.is_unknown_to(self.session):
                each.give_up("the peer did not hear it in its contact", now_s + self._since_s(each.epoch))

    def _tell_log(self) -> None:
        for line in self._lines:
            self._log(line)
        self._lines.clear()
