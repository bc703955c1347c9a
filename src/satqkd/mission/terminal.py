"""A node during a pass, but for its process: device, session, laser link and key store put together.

`step(now_s, datagrams)` advances one tick of pass time and returns the datagrams to send. The order in
a tick is fixed: take in, work, commit what the session wants stored, then speak. Both roles are the same
but for what they do with light. No process, no socket, no pacing: `run_pass` steps two of these in memory,
the node room steps one in each process.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar, Final

from satqkd.distill.messages import MAXIMUM_MESSAGE_BYTES
from satqkd.distill.outcome import (
    BlockFinished,
    BlockReport,
    ErrorProfile,
    Event,
    RawConfirmed,
    RawLeftOut,
    RawReady,
    SecretConfirmed,
    SecretReady,
    SecretRefused,
    StageEntered,
)
from satqkd.distill.parameters import Parameters
from satqkd.distill.session import Session
from satqkd.errors import KeyAlreadyUsed
from satqkd.keys import KeyStore
from satqkd.lasercom import Direction, Endpoint
from satqkd.mission.flown import FlownContact
from satqkd.mission.kept import KeptBlocks
from satqkd.mission.report import UNFINISHED, BlockAngle, NodeReport
from satqkd.sky import format_utc

TICKS_PER_S: Final = 20
TICK_S: Final = 1 / TICKS_PER_S
ROUND_TRIP_S: Final = 0.2
"""First guess: four ticks. The link measures its own."""
LogEvent = Callable[[dict[str, Any]], None]


class Terminal(ABC):
    """What both roles share."""

    NODE: ClassVar[str]
    DIRECTION: ClassVar[Direction]

    def __init__(
        self,
        contact: FlownContact,
        parameters: Parameters,
        session: Session,
        store: KeyStore,
        kept: KeptBlocks,
        origin: str,
        log: LogEvent,
    ) -> None:
        self.contact, self.parameters, self.session = contact, parameters, session
        self.reports: list[BlockReport] = []
        self.profiles: list[ErrorProfile] = []
        self.angles: list[BlockAngle] = []
        self.confirmed_s: dict[int, float] = {}
        self.stage_s: dict[str, float] = {}
        self._store, self._kept, self._origin, self._log = store, kept, origin, log
        self._refuse_known_blocks()
        self._link = Endpoint(
            link_tag=hashlib.sha256(parameters.pass_id.encode()).digest()[:4],
            direction=self.DIRECTION,
            rate_bit_s=self._rate_bit_s(),
            round_trip_s=ROUND_TRIP_S,
            maximum_message_bytes=MAXIMUM_MESSAGE_BYTES + 4096,
            tick_s=TICK_S,
        )

    @property
    def finished(self) -> bool:
        """Every block is reported and everything said has arrived."""
        return self.session.finished and self._link.idle

    @property
    def backlog_bytes(self) -> int:
        """Given to the laser link and not yet acknowledged by the peer."""
        return self._link.backlog_bytes

    def step(self, now_s: float, datagrams: list[bytes]) -> list[bytes]:
        """One tick: datagrams that arrived, datagrams to send. Protocol errors end the session."""
        for datagram in datagrams:
            self._link.receive(datagram, now_s)
        while (arrived := self._link.next_message()) is not None:
            self.session.receive(arrived[1], now_s)
            self._commit(now_s)
        self._work(now_s)
        self._commit(now_s)
        for message in self.session.data_to_send():
            self._link.send(message, priority=0)
        return self._link.data_to_send(now_s)

    def report(self) -> NodeReport:
        """What this end accounts for; a block the link's end cut off is accounted for as it stands."""
        return NodeReport(
            node=self.NODE,
            pass_id=self.parameters.pass_id,
            blocks=tuple(self.reports + self.session.interrupted(UNFINISHED)),
            profiles=tuple(self.profiles),
            confirmed_s=self.confirmed_s,
            stage_s=self.stage_s,
            authentication_bits_spent=self.session.authentication_bits_spent,
            epsilon_authentication=self.session.epsilon_authentication,
            link=self._link.counts,
            polarisation=tuple(self.angles),
            raw_left_out=self._kept.left_out,
        )

    def log(self, now_s: float, stage: str, event: str, **counts: Any) -> None:
        """One line of the event log; never key."""
        self._log({"t_s": round(now_s, 3), "node": self.NODE, "stage": stage, "event": event, **counts})

    @abstractmethod
    def _rate_bit_s(self) -> float:
        """What this end's laser terminal carries."""

    @abstractmethod
    def _work(self, now_s: float) -> None:
        """What this end does with light in a tick."""

    def _commit(self, now_s: float) -> None:
        while (event := self.session.next_event()) is not None:
            self._handle(event, now_s)

    def _handle(self, event: Event, now_s: float) -> None:
        match event:
            case SecretReady():
                self._add_block(event)
                self.log(now_s, "amplify", "stored_unconfirmed", block=event.block, bits=event.bits)
            case SecretConfirmed():
                self._store.confirm_block(self.block_id(event.block))
                self.confirmed_s[event.block] = now_s
                self.log(now_s, "authenticate", "confirmed", block=event.block)
            case SecretRefused():
                self._store.discard_block(self.block_id(event.block))
                self.log(now_s, "authenticate", "discarded", block=event.block)
            case RawReady() | RawConfirmed() | RawLeftOut():
                self._kept.handle(event, self, now_s)
            case StageEntered():
                self.stage_s[f"{event.block}.{event.stage}"] = now_s
                self.log(now_s, "block", event.stage, block=event.block)
            case ErrorProfile():
                self.profiles.append(event)
            case BlockFinished(report):
                self.reports.append(report)
                self.log(
                    now_s,
                    "block",
                    "reported",
                    block=report.block,
                    outcome=report.outcome,
                    reason=report.reason,
                    sifted_bits=report.sifted_bits,
                    errors=report.errors,
                    leaked_bits=sum(report.leaked_bits.values()),
                    secret_bits=report.secret_bits,
                )

    def end_utc(self, block: int) -> str:
        """When the block's last slot is past, as both stores note it."""
        return format_utc(self.contact.epoch + timedelta(seconds=self.parameters.end_s(block)))

    def block_id(self, block: int) -> str:
        """Name of a block in both stores; not made from the key."""
        return self.parameters.block_id(block)

    def _refuse_known_blocks(self) -> None:
        """A pass flown into a store once is not flown into it again: its blocks would meet their names."""
        mine = {self.block_id(block) for block in range(self.parameters.protocol.blocks)}
        known = self._store.list_blocks() + self._store.list_raw_blocks()
        if mine & {row.block_id for row in known}:
            raise KeyAlreadyUsed(
                f"pass {self.parameters.pass_id} is in the store {self._store.path} already; take another "
                f"folder, pass or seed"
            )

    def _add_block(self, event: SecretReady) -> None:
        self._store.add_block(
            self.block_id(event.block),
            peer=self.session.peer,
            kind="link",
            origin=self._origin,
            key=event.secret,
            allocator=self.parameters.satellite,
            now_utc=self.end_utc(event.block),
        )
