"""The station during a pass: tags to slots, slots to detections, detections to blocks, angles to the plate.

See `terminal` for what both roles share.
"""

import math
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.bits import Bits
from satqkd.config import Traffic
from satqkd.constants import PS_PER_S
from satqkd.devices import Receiver, Skips, TurnsPlate
from satqkd.distill.clicks import Acceptance, Detections
from satqkd.distill.memory import Remembered
from satqkd.distill.outcome import AngleEstimated, Event
from satqkd.distill.parameters import Parameters
from satqkd.distill.polarisation import plate_setting_rad
from satqkd.distill.readiness import warm_up
from satqkd.distill.recovery import Resolved
from satqkd.distill.session import SessionState
from satqkd.distill.station_session import StationSession
from satqkd.keys import AuthenticationPool, KeyStore
from satqkd.lasercom import Direction
from satqkd.mission.account import Note
from satqkd.mission.clock import clock_recovery, log_clock, never_locked, without_header
from satqkd.mission.conversation import Conversation
from satqkd.mission.flown import FlownContact
from satqkd.mission.kept import KeptBlocks
from satqkd.mission.monitors import StationMonitors, alarm_reason
from satqkd.mission.report import BlockAngle, NodeReport
from satqkd.mission.terminal import NO_TRAFFIC, TICK_S, LogEvent, Terminal
from satqkd.randomness import RandBytes

Overheard = Callable[[NDArray[np.int64], Bits], None]
TURNAROUND_S: Final = 2.5
"""After a block's last slot, its angle is known by then: settling, bases on their way up, the answer down."""
PLATE_NOTICE_S: Final = 0.3
"""A new setting of the plate is given so long before the first light it is for."""


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
        traffic: Traffic = NO_TRAFFIC,
        live: bool = True,
        log: LogEvent = lambda line: None,
    ) -> None:
        """live: light comes now; a recording has no bias currents for the monitors to miss."""
        warm_up(parameters.protocol)
        super().__init__(
            contact,
            parameters,
            peer=parameters.satellite,
            store=store,
            origin=origin,
            traffic=traffic,
            log=log,
        )
        settings = contact.station.receiver
        self._receiver = receiver
        self._clock = clock_recovery(parameters, end_s=contact.link_end_s)
        self._header = parameters.header
        edges_ps = settings.gate_s * PS_PER_S, settings.exclusion_s * PS_PER_S
        self._acceptance = Acceptance(*edges_ps, tie_bits, label_swap=settings.label_swap == "random")
        self._monitors = StationMonitors(
            settings,
            parameters,
            receiver,
            earlier=self.conversation.account.watched,
            tells_currents=live,
        )
        self._alarms: dict[int, str] = {}
        """By block whose clicks are all in: why it must not be opened, empty where it may."""
        self._light_over = False
        self.overheard: Overheard = lambda slots, bases: None
        """Told every announcement: its slots, and the bases that are public when their block is over."""
        self._begun = False
        self._next_announcement_s = 0.0
        self._was_locked = False

    def report(self) -> NodeReport:
        """What this end accounts for; without a lock of the clock its blocks say so."""
        clock = self._clock.report()
        report = msgspec.structs.replace(
            super().report(), clock=clock, monitors=tuple(self.conversation.account.readings)
        )
        if self._clock.ever_locked:
            return report
        told = never_locked(clock)
        blocks = (msgspec.structs.replace(block, reason=f"{told}; {block.reason}") for block in report.blocks)
        return msgspec.structs.replace(report, blocks=tuple(blocks))

    def _rate_bit_s(self) -> float:
        return self.contact.station.lasercom.rate_bit_s

    def _open_session(
        self, parameters: Parameters, kept: KeptBlocks, remembered: Remembered | None
    ) -> StationSession:
        keys = AuthenticationPool(self.store, self.peer, purpose=f"pass {parameters.pass_id}")
        return StationSession(parameters, keys, kept, remembered=remembered)

    _open_earlier = _open_session

    @property
    def _station_session(self) -> StationSession:
        assert isinstance(self.session, StationSession)
        return self.session

    @property
    def _next_block(self) -> int:
        return self._station_session.next_block

    def _begin(self, now_s: float) -> None:
        """Tell the receiver what an earlier process knew."""
        self._begun = True
        if self.resumed:
            for block, angle_rad in self.conversation.account.plate[1:]:
                if isinstance(self._receiver, TurnsPlate):
                    self._receiver.turn_plate(angle_rad, self.parameters.first_slot(block))
            if isinstance(self._receiver, Skips):
                self._receiver.skip(now_s - self.parameters.maximum_light_time_s)

    def _end_light(self, earlier: Conversation, now_s: float) -> None:
        """No light of an earlier pass comes any more: a block ends with what was told of it."""
        session, then_s = earlier.session, now_s + self._since_s(earlier.epoch)
        assert isinstance(session, StationSession)
        block = session.next_block
        greeting = earlier.closed or session.state is not SessionState.RUNNING
        if greeting or block == session.parameters.protocol.blocks:
            return
        if then_s >= session.parameters.end_s(block) + session.parameters.maximum_light_time_s:
            session.end_block(block, then_s)
            self._settle(earlier, then_s)

    def _work(self, now_s: float) -> None:
        if not self._begun:
            self._begin(now_s)
        for each in self.earlier:
            self._end_light(each, now_s)
        if self.conversation.closed or self._next_block == self.parameters.protocol.blocks:
            return
        if not self._light_over:
            self._clock.feed(self._receiver.read(now_s - self.parameters.maximum_light_time_s))
        if self._station_session.state is not SessionState.RUNNING:
            return
        self._report_lock(now_s)
        due = now_s > self._next_announcement_s - TICK_S / 2  # a tick is not missed for its last digit
        if due and not self._light_over:
            self._next_announcement_s = now_s + self.parameters.protocol.announce_interval_s
            self._announce(self._acceptance.accept(self._watched(self._clock.resolved())), now_s)
            self._monitors.read_currents(now_s - self.parameters.maximum_light_time_s)
            self._note_watched(now_s)
        if now_s >= self._block_end_s:
            self._close_block(now_s)

    @property
    def _block_end_s(self) -> float:
        """When the clicks of the block under way have their slots: one tick more than the clock takes, for
        the tag that comes after them."""
        past_s = self.parameters.end_s(self._next_block) + self.parameters.maximum_light_time_s
        return past_s + self._clock.delay_s + TICK_S

    def _close_block(self, now_s: float) -> None:
        """End the block or refuse it. The session may put the end off: then this is asked again."""
        block = self._next_block
        if block not in self._alarms:
            self._take_last(now_s)
            self._alarms[block] = self._alarm(now_s)
        if self._alarms[block]:
            self._station_session.refuse_block(block, self._alarms[block])
        else:
            self._station_session.end_block(block, now_s)

    def _take_last(self, now_s: float) -> None:
        """The last clicks of the block under way, and of the pass."""
        self._announce(self._acceptance.accept(self._watched(self._clock.resolved())), now_s)
        if self._next_block == self.parameters.protocol.blocks - 1:
            self._announce(self._acceptance.accept(self._watched(self._clock.flush())), now_s)
            self._announce(self._acceptance.flush(), now_s)
            self._light_over = True
            self.log(now_s, "sift", "clicks", **self._acceptance.counts.to_dict())
            log_clock(self, now_s, self._clock.report())

    def _watched(self, clicks: Resolved) -> Resolved:
        self._monitors.feed(clicks)
        return clicks

    def _note_watched(self, now_s: float) -> None:
        for block, watched in self._monitors.news().items():
            self.conversation.note(Note(now_s, block, watched=watched))

    def _alarm(self, now_s: float) -> str:
        """Why the block under way must not be opened, by the station's monitors; empty where it may."""
        block, account = self._next_block, self.conversation.account
        earlier = [each for each in account.readings if each.block == block]
        if earlier:
            return alarm_reason(earlier)
        readings = self._monitors.judge(block)
        self.conversation.note(Note(now_s, block, readings=readings))
        for each in readings:
            self.log(
                now_s,
                "monitor",
                "judged",
                block=each.block,
                monitor=each.monitor,
                reading=each.reading,
                limit=each.limit,
                alarm=each.alarm,
            )
        return alarm_reason(readings)

    def _announce(self, detections: Detections, now_s: float) -> None:
        """Tell slots of blocks still open; what comes later than its block's end is cut."""
        detections = without_header(detections, self._header)
        open_slots = detections.slot >= self.parameters.first_slot(self._next_block)
        if not open_slots.any():
            return
        slots = detections.slot[open_slots]
        self._station_session.announce(slots, detections.basis[open_slots], detections.bit[open_slots])
        self.overheard(slots, detections.basis[open_slots])
        self.log(now_s, "sift", "announced", detections=int(slots.size), last_slot=int(slots[-1]))

    def _handle(self, event: Event, now_s: float) -> None:
        if isinstance(event, AngleEstimated):
            self._learn_angle(event, now_s)

    def _learn_angle(self, event: AngleEstimated, now_s: float) -> None:
        """Tell the angle, and turn the plate for a later block.

        What is set follows from counts; from which slot, from the block's number. Only an answer that comes
        too late even so, after an outage of the link, leaves the plate as it is.
        """
        found, then_rad = event.estimate, self.conversation.account.plate_rad(event.block)
        angle = BlockAngle(
            block=event.block,
            rounds=found.rounds,
            angle_deg=math.degrees(found.angle_rad),
            standard_error_deg=math.degrees(found.standard_error_rad),
            contrast_z=found.contrast_z,
            contrast_x=found.contrast_x,
            plate_deg=math.degrees(then_rad),
        )
        self.conversation.note(Note(now_s, event.block, angle=angle))
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
        now_rad = self.conversation.account.plate_rad(served)
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
            self.conversation.note(Note(now_s, block, plate_rad=angle_rad))
        told_deg = round(math.degrees(angle_rad), 4)
        self.log(now_s, "polarisation", "turned" if in_time else "late", block=block, plate_deg=told_deg)

    def _report_lock(self, now_s: float) -> None:
        if self._clock.locked != self._was_locked:
            self._was_locked = self._clock.locked
            seen, lost = self._clock.beacons_seen, self._clock.dropped_clicks
            self._station_session.report_lock(locked=self._was_locked, beacons_seen=seen)
            self.log(
                now_s, "sync", "locked" if self._was_locked else "lost", beacons=seen, dropped_clicks=lost
            )
