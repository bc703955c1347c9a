"""One pass at one end: hello, acquisition, announcements, and the routing of messages to blocks.

No input or output: `receive(data, now_s)`, `next_event()`, `data_to_send()`; the station's session adds
`announce` and `end_block`. There are no timers: silence is the laser link's and the node's business. Times
are pass time, seconds since slot 0 on the satellite's clock. Messages arrive in order and once (the laser
link's business too); anything else ends the session. A node handles the events before it sends what the
session wants sent: commit, then speak.
"""

from collections import deque
from enum import Enum
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from satqkd.bits import Bits
from satqkd.distill import gaps, messages
from satqkd.distill.authenticate import (
    TO_SATELLITE,
    TO_STATION,
    AuthenticationKeys,
    PassKeys,
    agreed_position,
    pass_key_bits,
    require_equal,
    split_online_code,
)
from satqkd.distill.block import BlockHalf
from satqkd.distill.outcome import BlockFinished, BlockReport, Event
from satqkd.distill.parameters import Parameters
from satqkd.distill.satellite_block import SatelliteBlock
from satqkd.distill.station_block import State as StationState
from satqkd.distill.station_block import StationBlock
from satqkd.errors import LocalProtocolError, RemoteProtocolError
from satqkd.randomness import RandBytes
from satqkd.records import Settings


class SessionState(Enum):
    """What a session knows of its peer."""

    GREETING = "has said hello, has not heard the peer's"
    RUNNING = "both agreed; blocks are under way"


class SettingsSource(Protocol):
    """What the satellite's session needs of its transmitter."""

    @property
    def horizon_slots(self) -> int | None:
        """How many of the latest slots are remembered; None when all are."""

    def settings(self, slots: NDArray[np.int64]) -> Settings:
        """What was sent in these slots."""


class Session:
    """What both roles share: envelope, online code, sequence, hello, blocks."""

    SENDS: ClassVar[bytes]
    RECEIVES: ClassVar[bytes]

    def __init__(self, parameters: Parameters, node: str, peer: str, keys: AuthenticationKeys) -> None:
        self.parameters = parameters
        self.state = SessionState.GREETING
        self.peer = peer
        self._node, self._store = node, keys
        self._keys: PassKeys | None = None
        self._sent = self._received = 0
        self._outgoing: deque[bytes] = deque()
        self._events: deque[Event] = deque()
        self._blocks: dict[int, BlockHalf] = {}
        self._hello = messages.Hello(node, peer, parameters.digest, keys.position_bits)
        self._send(self._hello)

    @property
    def finished(self) -> bool:
        """Whether every block of the pass has been reported."""
        return sum(block.reported for block in self._blocks.values()) == self.parameters.protocol.blocks

    def interrupted(self, reason: str) -> list[BlockReport]:
        """Accounts of the blocks that are open and will not be closed any more."""
        return [block.interrupted(reason) for block in self._blocks.values() if not block.reported]

    @property
    def authentication_bits_spent(self) -> int:
        """Authentication key that this pass has taken from the store."""
        return 0 if self._keys is None else pass_key_bits(self.parameters.protocol.blocks)

    def receive(self, data: bytes, now_s: float) -> None:
        """Take one message of the peer. Raises RemoteProtocolError or AuthenticationError; both are final."""
        envelope = self._open(data)
        message = envelope.message
        if isinstance(message, messages.Hello):
            self._on_hello(message)
        elif self.state is SessionState.GREETING:
            raise RemoteProtocolError(
                f"session is GREETING and cannot take {type(message).__name__}; expected Hello"
            )
        elif isinstance(message, messages.BlockMessage):
            self._on_block_message(message, now_s)
        else:
            self._on_link_message(message)

    def data_to_send(self) -> list[bytes]:
        """Messages for the peer, in order; call after the events are handled."""
        outgoing = list(self._outgoing)
        self._outgoing.clear()
        return outgoing

    def next_event(self) -> Event | None:
        """The oldest event not yet taken, or None."""
        return self._events.popleft() if self._events else None

    def _on_hello(self, hello: messages.Hello) -> None:
        if self.state is not SessionState.GREETING:
            raise RemoteProtocolError(f"session is {self.state.name} and cannot take a second Hello")
        if (hello.node, hello.peer) != (self.peer, self._node):
            raise RemoteProtocolError(
                f"expected hello of {self.peer} to {self._node}, got {hello.node} to {hello.peer}: "
                f"wrong peer; check both configurations"
            )
        if hello.parameter_digest != self.parameters.digest:
            raise RemoteProtocolError(
                f"{hello.node} has other parameters for pass {self.parameters.pass_id}: give both ends the "
                f"same preset, protocol settings and version"
            )
        blocks = self.parameters.protocol.blocks
        position = agreed_position(
            self._hello.authentication_position_bits, hello.authentication_position_bits, blocks
        )
        self._keys = PassKeys(self._store.draw(position, pass_key_bits(blocks)), blocks)
        hellos = sorted((self._hello, hello), key=lambda each: each.node)
        self._opening = b"".join(map(messages.encode_one, hellos)) + self.parameters.pass_id.encode()
        self.state = SessionState.RUNNING
        self._on_running()

    def _on_running(self) -> None:
        """The hellos agree."""

    def _on_link_message(self, message: messages.Message) -> None:
        raise RemoteProtocolError(f"{type(self).__name__} cannot take {type(message).__name__}")

    def _on_block_message(self, message: messages.BlockMessage, now_s: float) -> None:
        block = self._blocks.get(message.block)
        if block is None:
            raise RemoteProtocolError(
                f"{type(message).__name__} for block {message.block}, which is not open"
            )
        for reply in block.receive(message):
            self._send(reply)
        self._collect(block)

    def _collect(self, block: BlockHalf) -> None:
        self._events.extend(block.events)
        if any(isinstance(event, BlockFinished) for event in block.events):
            block.reported = True
        block.events.clear()

    def _send(self, message: messages.AnyMessage | messages.BlockMessage) -> None:
        envelope = messages.Envelope(
            messages.VERSION,
            self.parameters.pass_id,
            self._sent,
            message,  # type: ignore[arg-type]
        )
        self._sent += 1
        data = messages.encode(envelope)
        self._outgoing.append(data + self._code(self.SENDS, data, message))

    def _open(self, data: bytes) -> messages.Envelope:
        body, code = split_online_code(data)
        if self._keys is not None:
            require_equal(self._code(self.RECEIVES, body, None), code, "message")
        envelope = messages.decode(body)
        if envelope.pass_id != self.parameters.pass_id:
            raise RemoteProtocolError(
                f"expected pass {self.parameters.pass_id}, got a message of {envelope.pass_id}"
            )
        if envelope.sequence != self._received:
            raise RemoteProtocolError(f"expected message {self._received}, got {envelope.sequence}")
        self._received += 1
        return envelope

    def _code(self, direction: bytes, data: bytes, message: object) -> bytes:
        """Zeros for hello (no key is agreed yet; the block's one-time tags cover it), else the code."""
        if self._keys is None or isinstance(message, messages.Hello):
            return bytes(16)
        return self._keys.online_code(direction, data)

    def _require_keys(self) -> PassKeys:
        if self._keys is None:
            raise RemoteProtocolError("session is GREETING: no block can be opened before hello")
        return self._keys


class SatelliteSession(Session):
    """The satellite's end: reference string, syndromes, seeds."""

    SENDS, RECEIVES = TO_STATION, TO_SATELLITE

    def __init__(
        self,
        parameters: Parameters,
        keys: AuthenticationKeys,
        transmitter: SettingsSource,
        randbytes: RandBytes,
    ) -> None:
        super().__init__(parameters, parameters.satellite, parameters.station, keys)
        self._transmitter, self._randbytes = transmitter, randbytes
        self._next_slot = 0
        self.lock_report: messages.LockReport | None = None

    def _on_running(self) -> None:
        self._send(
            messages.BeaconSchedule(self.parameters.beacon_rate_hz, self.parameters.beacon_code_shift_s)
        )

    def _on_link_message(self, message: messages.Message) -> None:
        if isinstance(message, messages.LockReport):
            self.lock_report = message
        else:
            super()._on_link_message(message)

    def _on_block_message(self, message: messages.BlockMessage, now_s: float) -> None:
        if isinstance(message, messages.Announce):
            self._on_announce(message, now_s)
            return
        if isinstance(message, messages.Bases):
            self._require_past(message.block, now_s)
            self._open_block(message.block)
        super()._on_block_message(message, now_s)

    def _on_announce(self, message: messages.Announce, now_s: float) -> None:
        first, end = (self.parameters.first_slot(message.block + step) for step in (0, 1))
        if (
            message.start_slot < max(self._next_slot, first)
            or message.block >= self.parameters.protocol.blocks
        ):
            raise RemoteProtocolError(
                f"announcement of block {message.block} starts at slot {message.start_slot}, which is told "
                f"already or outside its block; the session ends"
            )
        block = self._open_block(message.block)
        block.expect(message.detections)
        sent = int(now_s * self.parameters.source.pulse_rate_hz)
        slots = gaps.decode(
            message.gaps,
            start_slot=message.start_slot,
            maximum_count=message.detections,
            end_slot=min(end, sent),
        )
        if slots.size != message.detections:
            raise RemoteProtocolError(f"expected {message.detections} slots, got {slots.size}")
        if slots.size == 0:
            return
        self._require_remembered(int(slots[0]), sent)
        self._next_slot = int(slots[-1]) + 1
        block.announced(message, self._transmitter.settings(slots))

    def _require_remembered(self, slot: int, sent: int) -> None:
        horizon = self._transmitter.horizon_slots
        if horizon is not None and slot < sent - horizon:
            raise RemoteProtocolError(
                f"slot {slot} is announced, the source remembers {horizon} slots and has sent {sent}: "
                f"the link was interrupted too long; the session ends"
            )

    def _open_block(self, index: int) -> SatelliteBlock:
        if index not in self._blocks:
            if index >= self.parameters.protocol.blocks:
                raise RemoteProtocolError(
                    f"block {index} of a pass of {self.parameters.protocol.blocks} blocks"
                )
            self._blocks[index] = SatelliteBlock(
                index, self.parameters, self._require_keys(), self._opening, self._randbytes
            )
        block = self._blocks[index]
        assert isinstance(block, SatelliteBlock)
        return block

    def _require_past(self, block: int, now_s: float) -> None:
        """Nothing is told of a block before its last pulse has reached the ground."""
        past_s = self.parameters.end_s(block) + self.parameters.maximum_light_time_s
        if now_s < past_s:
            raise RemoteProtocolError(
                f"bases of block {block} came at {now_s:.3f} s, before its last slot is past "
                f"({past_s:.3f} s): the station's clock or the peer is wrong; the session ends"
            )


class StationSession(Session):
    """The station's end: detections, decoding, the closing of blocks."""

    SENDS, RECEIVES = TO_SATELLITE, TO_STATION

    def __init__(self, parameters: Parameters, keys: AuthenticationKeys) -> None:
        super().__init__(parameters, parameters.station, parameters.satellite, keys)
        self._next_slot = 0
        self._held: dict[int, messages.Sift] = {}

    def _on_block_message(self, message: messages.BlockMessage, now_s: float) -> None:
        """A block's code classes are chosen when all blocks before it are finished: what they taught is then
        known, whatever the link's delays."""
        block = self._blocks.get(message.block)
        waits = isinstance(block, StationBlock) and block.state is StationState.ANNOUNCED
        if isinstance(message, messages.Sift) and waits:
            if message.block in self._held:
                raise RemoteProtocolError(f"block {message.block}: a second Sift; the session ends")
            self._held[message.block] = message
        else:
            super()._on_block_message(message, now_s)
        while self._held and self._is_next(min(self._held)):
            index = min(self._held)
            self._teach(index)
            super()._on_block_message(self._held.pop(index), now_s)

    def _is_next(self, index: int) -> bool:
        return all(block.reported for number, block in self._blocks.items() if number < index)

    def _teach(self, index: int) -> None:
        for number in sorted(self._blocks):
            earlier, block = self._blocks[number], self._blocks.get(index)
            if number < index and isinstance(earlier, StationBlock) and isinstance(block, StationBlock):
                block.earlier |= earlier.lessons()

    def _on_link_message(self, message: messages.Message) -> None:
        if not isinstance(message, messages.BeaconSchedule):
            super()._on_link_message(message)
        expected = messages.BeaconSchedule(
            self.parameters.beacon_rate_hz, self.parameters.beacon_code_shift_s
        )
        if message != expected:
            raise RemoteProtocolError(f"expected {expected}, the satellite sends {message}")

    def report_lock(self, *, locked: bool, beacons_seen: int) -> None:
        """Tell the satellite whether the beacons are followed."""
        if self.state is SessionState.RUNNING:
            self._send(messages.LockReport(locked, beacons_seen))

    def announce(self, slots: NDArray[np.int64], bases: Bits, bits: Bits) -> None:
        """Tell the slots of detections (increasing, after all told before), keep bases and bits.

        Slots outside the pass are no detections: they are cut. Messages end at block edges.
        """
        blocks = self.parameters.protocol.blocks
        edges = np.searchsorted(slots, [self.parameters.first_slot(block) for block in range(blocks + 1)])
        for index in range(blocks):
            for start in range(int(edges[index]), int(edges[index + 1]), messages.MAXIMUM_ANNOUNCED):
                part = slice(start, min(start + messages.MAXIMUM_ANNOUNCED, int(edges[index + 1])))
                self._announce_in(index, slots[part], bases[part], bits[part])

    def end_block(self, index: int, now_s: float) -> None:
        """All detections of the block are told and its last slot is past: say its bases.

        Raises LocalProtocolError before the last slot can have arrived: bases said are said.
        """
        if now_s < self.parameters.end_s(index) + self.parameters.maximum_light_time_s:
            raise LocalProtocolError(f"block {index} is still in flight at {now_s:.3f} s: bases must wait")
        block = self._open_block(index)
        for message in block.end():
            self._send(message)
        self._collect(block)

    def _announce_in(self, index: int, slots: NDArray[np.int64], bases: Bits, bits: Bits) -> None:
        """One message; a block that is full is cut here, whatever comes after."""
        block = self._open_block(index)
        room = messages.MAXIMUM_BLOCK_DETECTIONS - block.detections
        slots, bases, bits = slots[:room], bases[:room], bits[:room]
        if slots.size == 0:
            return
        start = max(self._next_slot, self.parameters.first_slot(index))
        message = messages.Announce(index, start, slots.size, gaps.encode(slots, start_slot=start))
        self._send(block.collect(message, slots, bases, bits))
        self._next_slot = int(slots[-1]) + 1

    def _open_block(self, index: int) -> StationBlock:
        if index not in self._blocks:
            self._blocks[index] = StationBlock(index, self.parameters, self._require_keys(), self._opening)
        block = self._blocks[index]
        assert isinstance(block, StationBlock)
        return block
