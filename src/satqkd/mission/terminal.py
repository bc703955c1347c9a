"""A node during a pass, but for its process: device, session, laser link and key store put together.

`step(now_s, datagrams)` advances one tick of pass time and returns the datagrams to send. The order in
a tick is fixed: take in, work, commit what the session wants stored, then speak. Both roles are the same
but for what they do with light. No process, no socket, no pacing: `run_pass` steps two of these in memory,
the node room steps one in each process.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar, Final

import msgspec

from satqkd.constants import PS_PER_S
from satqkd.devices import Receiver, Transmitter, TurnsPlate
from satqkd.distill.clicks import Acceptance, Detections
from satqkd.distill.messages import MAXIMUM_MESSAGE_BYTES
from satqkd.distill.outcome import (
    AngleEstimated,
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
from satqkd.distill.polarisation import plate_setting_rad
from satqkd.distill.readiness import warm_up
from satqkd.distill.satellite_session import SatelliteSession
from satqkd.distill.session import Session, SessionState
from satqkd.distill.station_session import StationSession
from satqkd.errors import KeyAlreadyUsed
from satqkd.keys import AuthenticationPool, KeyStore
from satqkd.lasercom import Direction, Endpoint
from satqkd.mission.clock import KeyedSlots, clock_recovery, log_clock, never_locked, without_header
from satqkd.mission.flown import FlownContact
from satqkd.mission.kept import KeptBlocks
from satqkd.mission.report import UNFINISHED, BlockAngle, NodeReport
from satqkd.randomness import RandBytes
from satqkd.sky import format_utc

TICKS_PER_S: Final = 20
TICK_S: Final = 1 / TICKS_PER_S
ROUND_TRIP_S: Final = 0.2
"""First guess: four ticks. The link measures its own."""
SETTLING_S: Final = 1.0
"""After a block's last slot, all its clicks have slots by then: the sync's window and light time fit in."""
TURNAROUND_S: Final = 2.5
"""After a block's last slot, its angle is known by then: settling, bases on their way up, the answer down."""
PLATE_NOTICE_S: Final = 0.3
"""A new setting of the plate is given so long before the first light it is for."""
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


class SatelliteTerminal(Terminal):
    """The satellite during a pass: answers for what its source sent."""

    NODE = "satellite"
    DIRECTION = Direction.FROM_SATELLITE

    def __init__(
        self,
        contact: FlownContact,
        parameters: Parameters,
        *,
        transmitter: Transmitter,
        store: KeyStore,
        origin: str,
        randbytes: RandBytes,
        log: LogEvent = lambda line: None,
    ) -> None:
        keys = AuthenticationPool(store, parameters.station, purpose=f"pass {parameters.pass_id}")
        header = parameters.header
        keyed = transmitter if header is None else KeyedSlots(transmitter, header)
        kept = KeptBlocks(store, parameters.station, origin=origin)
        session = SatelliteSession(parameters, keys, keyed, randbytes, kept)
        super().__init__(contact, parameters, session, store, kept, origin, log)

    def _rate_bit_s(self) -> float:
        return self.contact.satellite.lasercom.rate_bit_s

    def _work(self, now_s: float) -> None:
        """The source runs by itself; its settings are asked for when slots are announced."""


class StationTerminal(Terminal):
    """The station during a pass: tags to slots, slots to detections, detections to blocks."""

    NODE = "station"
    DIRECTION = Direction.FROM_STATION

    def __init__(
        self,
        contact: FlownContact,
        parameters: Parameters,
        *,
        receiver: Receiver,
        store: KeyStore,
        origin: str,
        tie_bits: RandBytes,
        log: LogEvent = lambda line: None,
    ) -> None:
        warm_up(parameters.protocol)
        keys = AuthenticationPool(store, parameters.satellite, purpose=f"pass {parameters.pass_id}")
        kept = KeptBlocks(store, parameters.satellite, origin=origin)
        self._station_session = StationSession(parameters, keys, kept)
        super().__init__(contact, parameters, self._station_session, store, kept, origin, log)
        settings = contact.station.receiver
        self._receiver = receiver
        self._clock = clock_recovery(parameters, end_s=contact.link_end_s)
        self._header = parameters.header
        edges_ps = settings.gate_s * PS_PER_S, settings.exclusion_s * PS_PER_S
        self._acceptance = Acceptance(*edges_ps, tie_bits, label_swap=settings.label_swap == "random")
        self._plate = [(0, 0.0)]
        self._next_block = 0
        self._next_announcement_s = 0.0
        self._was_locked = False

    def report(self) -> NodeReport:
        """What this end accounts for; without a lock of the clock its blocks say so."""
        clock = self._clock.report()
        report = msgspec.structs.replace(super().report(), clock=clock)
        if self._clock.ever_locked:
            return report
        told = never_locked(clock)
        blocks = (msgspec.structs.replace(block, reason=f"{told}; {block.reason}") for block in report.blocks)
        return msgspec.structs.replace(report, blocks=tuple(blocks))

    def _rate_bit_s(self) -> float:
        return self.contact.station.lasercom.rate_bit_s

    def _work(self, now_s: float) -> None:
        if self._next_block == self.parameters.protocol.blocks:
            return
        self._clock.feed(self._receiver.read(now_s - self.parameters.maximum_light_time_s))
        if self._station_session.state is not SessionState.RUNNING:
            return
        self._report_lock(now_s)
        if now_s >= self._next_announcement_s:
            self._next_announcement_s = now_s + self.parameters.protocol.announce_interval_s
            self._announce(self._acceptance.accept(self._clock.resolved()), now_s)
        if now_s >= self._block_end_s:
            self._close_block(now_s)

    @property
    def _block_end_s(self) -> float:
        """When the clicks of the block under way are all known."""
        return self.parameters.end_s(self._next_block) + self.parameters.maximum_light_time_s + SETTLING_S

    def _close_block(self, now_s: float) -> None:
        self._announce(self._acceptance.accept(self._clock.resolved()), now_s)
        if self._next_block == self.parameters.protocol.blocks - 1:
            self._announce(self._acceptance.accept(self._clock.flush()), now_s)
            self._announce(self._acceptance.flush(), now_s)
            self.log(now_s, "sift", "clicks", **self._acceptance.counts.to_dict())
            log_clock(self, now_s, self._clock.report())
        self._station_session.end_block(self._next_block, now_s)
        self._next_block += 1

    def _announce(self, detections: Detections, now_s: float) -> None:
        """Tell slots of blocks still open; what comes later than its block's end is cut."""
        detections = without_header(detections, self._header)
        open_slots = detections.slot >= self.parameters.first_slot(self._next_block)
        if not open_slots.any():
            return
        slots = detections.slot[open_slots]
        self._station_session.announce(slots, detections.basis[open_slots], detections.bit[open_slots])
        self.log(now_s, "sift", "announced", detections=int(slots.size), last_slot=int(slots[-1]))

    def _handle(self, event: Event, now_s: float) -> None:
        if isinstance(event, AngleEstimated):
            self._learn_angle(event, now_s)
        else:
            super()._handle(event, now_s)

    def _learn_angle(self, event: AngleEstimated, now_s: float) -> None:
        """Tell the angle, and turn the plate for a later block.

        What is set follows from counts; from which slot, from the block's number. Only an answer that comes
        too late even so, after an outage of the link, leaves the plate as it is.
        """
        found, then_rad = event.estimate, self._plate_rad(event.block)
        angle = BlockAngle(
            block=event.block,
            rounds=found.rounds,
            angle_deg=math.degrees(found.angle_rad),
            standard_error_deg=math.degrees(found.standard_error_rad),
            contrast_z=found.contrast_z,
            contrast_x=found.contrast_x,
            plate_deg=math.degrees(then_rad),
        )
        self.angles.append(angle)
        self.log(
            now_s,
            "polarisation",
            "estimated",
            block=angle.block,
            rounds=angle.rounds,
            angle_deg=round(angle.angle_deg, 4),
            standard_error_deg=round(angle.standard_error_deg, 4),
        )
        served = self._block_served_by(event.block)
        if served is None:
            return
        now_rad = self._plate_rad(served)
        setting_rad = plate_setting_rad(now_rad, then_rad, found)
        if setting_rad != now_rad:
            self._turn_plate(setting_rad, served, now_s)

    def _block_served_by(self, block: int) -> int | None:
        """The first block to be turned by what a block taught: by slot numbers, not by when it was known.

        The block after the next, for the next is in flight when the angle is known; a later one where blocks
        are short.
        """
        known_s = self.parameters.end_s(block) + TURNAROUND_S
        later = range(block + 2, self.parameters.protocol.blocks)
        return next((each for each in later if self.parameters.end_s(each - 1) >= known_s), None)

    def _turn_plate(self, angle_rad: float, block: int, now_s: float) -> None:
        has_plate = self.contact.station.receiver.polarisation.compensation != "none"
        if not has_plate or not isinstance(self._receiver, TurnsPlate):
            return
        in_time = now_s + PLATE_NOTICE_S <= self.parameters.end_s(block - 1)
        if in_time:
            self._receiver.turn_plate(angle_rad, self.parameters.first_slot(block))
            self._plate.append((block, angle_rad))
        told_deg = round(math.degrees(angle_rad), 4)
        self.log(now_s, "polarisation", "turned" if in_time else "late", block=block, plate_deg=told_deg)

    def _plate_rad(self, block: int) -> float:
        """Setting of the plate in a block, beyond prediction."""
        return next(angle_rad for first, angle_rad in reversed(self._plate) if first <= block)

    def _report_lock(self, now_s: float) -> None:
        if self._clock.locked != self._was_locked:
            self._was_locked = self._clock.locked
            seen, lost = self._clock.beacons_seen, self._clock.dropped_clicks
            self._station_session.report_lock(locked=self._was_locked, beacons_seen=seen)
            self.log(
                now_s, "sync", "locked" if self._was_locked else "lost", beacons=seen, dropped_clicks=lost
            )
