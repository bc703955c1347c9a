"""One end of the laser link: messages in, datagrams out, and back; reliable, in order, by priority.

Selective repeat per priority stream; one acknowledgement a call says what is held of every stream, so a
lost acknowledgement is made good by the next. The line is filled no faster than its rate; frames of a more
urgent stream always go first. Sans-I/O: five verbs, `now_s` given, no clock, no socket, no randomness.
What comes from outside never raises: a datagram that cannot be right is dropped and counted.

The contract of an owner that must not lose what it took: take messages with `next_message`, commit what
follows from them, then call `data_to_send`; only there is the peer told that they were read, and may forget
them. What this end sends is kept by its owner until `delivered` counts it, and offered again whenever
`connection` has changed: everything else of an old connection is gone.
"""

import math
from typing import Final

import msgspec

from satqkd.errors import ConfigError, LocalProtocolError
from satqkd.lasercom.connection import Peering
from satqkd.lasercom.frames import (
    LINK_TAG_BYTES,
    MAXIMUM_DATAGRAM_BYTES,
    MAXIMUM_WINDOW_FRAMES,
    STREAMS,
    Direction,
    Frame,
    Kind,
    Priority,
    decode,
    decode_held,
    encode_held,
)
from satqkd.lasercom.framing import BARE, Framing
from satqkd.lasercom.recovery import FlightLog, LightTime, Pacer, RoundTrip
from satqkd.lasercom.streams import Inbound, Outbound, wire_bytes

_MINIMUM_WINDOW_FRAMES: Final = 16
_PROBES: Final = 4
_BUFFERED_MESSAGES: Final = 4


class LinkCounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one end put on the line, and what it refused from it."""

    bytes: int = 0
    """Of datagrams sent, acknowledgements and repetitions included."""
    frames: int = 0
    """Datagrams sent."""
    lost: int = 0
    """Frames found lost because a later one was acknowledged; each was sent again."""
    resent: int = 0
    """Frames sent again, after a loss or as a probe in silence."""
    rejected: int = 0
    """Datagrams received and dropped: damaged, foreign, of another connection, over a cap, or in
    contradiction."""

    def __add__(self, other: "LinkCounts") -> "LinkCounts":
        return LinkCounts(
            **{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__}
        )


class Endpoint:
    """One end of the link: `send`, `receive`, `next_message`, `data_to_send`, `next_timer_s`.

    link_tag: 4 bytes, the same at both ends, new for every contact.
    direction: who this end is; frames of the same direction coming in are foreign.
    boot: from 1, larger at every start of this end, whatever became of the last; 32 bits.
    rate_bit_s: what this end's transmitter carries; datagram bytes count, nothing below them.
    light_time_s: one way, of the moment; with ticks and frames on the line it gives the round trip.
    maximum_message_bytes: longest message either way; a longer one is not taken.
    maximum_buffer_bytes: per stream and way, bytes accepted and not yet acknowledged, or received and
        not yet read. Omitted: four of the longest messages.
    window_factor: frames beyond the first missing one, in units of rate times round trip; a frame that
        is lost again and again holds the window, so heavy loss needs several.
    tick_s: longest interval between calls, here and at the peer.
    framing: what datagrams travel in.
    Raises ConfigError for a tag, boot, rate, time or cap out of range.
    """

    def __init__(
        self,
        *,
        link_tag: bytes,
        direction: Direction,
        boot: int,
        rate_bit_s: float,
        light_time_s: LightTime,
        maximum_message_bytes: int,
        maximum_buffer_bytes: int | None = None,
        window_factor: float = 8.0,
        tick_s: float = 0.05,
        framing: Framing = BARE,
    ) -> None:
        _check_positive(rate_bit_s=rate_bit_s, tick_s=tick_s)
        _check_positive(maximum_message_bytes=maximum_message_bytes, window_factor=window_factor)
        if len(link_tag) != LINK_TAG_BYTES:
            raise ConfigError(f"lasercom link_tag: expected {LINK_TAG_BYTES} bytes, got {len(link_tag)}")
        largest = wire_bytes(maximum_message_bytes)
        buffer_bytes = _BUFFERED_MESSAGES * largest if maximum_buffer_bytes is None else maximum_buffer_bytes
        if buffer_bytes < largest:
            raise ConfigError(
                f"lasercom maximum_buffer_bytes: expected at least {largest}, the frames of the longest "
                f"message, got {buffer_bytes}"
            )
        self._link_tag, self._direction, self._framing = link_tag, direction, framing
        self._maximum_message_bytes, self._buffer_bytes = maximum_message_bytes, buffer_bytes
        self._window_bit_s = window_factor * rate_bit_s
        longest_bytes = MAXIMUM_DATAGRAM_BYTES + framing.overhead_bytes
        frame_s = 8 * longest_bytes / rate_bit_s
        self._round_trip = RoundTrip(light_time_s=light_time_s, tick_s=tick_s, frame_s=frame_s)
        self._pacer = Pacer(rate_bit_s=rate_bit_s, tick_s=tick_s, maximum_frame_bytes=longest_bytes)
        self._peering = Peering(link_tag=link_tag, direction=direction, boot=boot)
        self._bytes = self._frames = self._lost = self._resent = self._rejected = 0
        self._inbound: list[Inbound] = []
        self._begin()

    def _begin(self) -> None:
        """A connection with nothing said yet."""
        self._rejected += sum(inbound.rejected for inbound in self._inbound)
        self._outbound = [Outbound(stream=stream, peering=self._peering) for stream in range(STREAMS)]
        self._inbound = [
            Inbound(
                maximum_message_bytes=self._maximum_message_bytes, maximum_unread_bytes=self._buffer_bytes
            )
            for _ in range(STREAMS)
        ]
        self._log = FlightLog(self._round_trip)
        self._acknowledgements = 0
        self._owes_acknowledgement = False

    @property
    def connection(self) -> int:
        """Counts connections; 0 before the first, when nothing can be sent."""
        return self._peering.connection

    @property
    def boots(self) -> tuple[int, int]:
        """Of this end, and of the peer as last heard, 0 for not at all: together they name the connection."""
        return self._peering.boot, self._peering.peer_boot

    @property
    def addressed_boot(self) -> int:
        """Largest boot by which the peer has addressed this end, 0 for none. Above its own one, the count of
        starts has gone back, or somebody made frames up: the peer hears nothing until a `reset` beyond it."""
        return self._peering.addressed_boot

    def reset(self, *, boot: int) -> None:
        """Drop the connection and begin another with a larger boot of this end.

        Raises LocalProtocolError when the boot is not larger than the last.
        """
        self._peering.reset(boot)
        self._begin()

    def send(self, message: bytes, *, priority: int) -> None:
        """Accept a message for delivery in order within its priority.

        Raises LocalProtocolError when no connection is open, when it is too long, or when the stream's
        buffer is full (see `room`).
        """
        if not 0 <= priority < STREAMS:
            raise LocalProtocolError(f"lasercom send: expected a priority 0 to {STREAMS - 1}, got {priority}")
        if len(message) > self._maximum_message_bytes:
            raise LocalProtocolError(
                f"lasercom send: expected at most {self._maximum_message_bytes} bytes, got {len(message)}; "
                f"split the message"
            )
        if not self.connection:
            raise LocalProtocolError(
                f"lasercom send: expected an open connection, got priority {priority} before the peer was "
                f"heard; keep the message until `connection` is not 0"
            )
        if not self.room(len(message), priority=priority):
            raise LocalProtocolError(
                f"lasercom send: expected room in stream {priority}, got {len(message)} bytes on top of "
                f"{self._outbound[priority].held_bytes} of {self._buffer_bytes} not acknowledged; wait for "
                f"the peer, or take the link for lost"
            )
        self._outbound[priority].offer(bytes(message))

    def room(self, message_bytes: int, *, priority: int) -> bool:
        """Whether `send` takes a message of this length now."""
        held_bytes = self._outbound[priority].held_bytes
        return self.connection > 0 and held_bytes + wire_bytes(message_bytes) <= self._buffer_bytes

    def delivered(self, priority: int) -> int:
        """How many messages of this priority, of those sent in this connection, the peer's owner has read
        and committed: the first so many."""
        return self._outbound[priority].delivered

    def receive(self, datagram: bytes, now_s: float) -> None:
        """Take in one datagram, whatever it is."""
        bare = self._framing.unwrap(datagram)
        frame = None if bare is None else decode(bare)
        if frame is None or frame.link_tag != self._link_tag or frame.direction == self._direction:
            self._rejected += 1
            return
        before = self.connection
        current = self._peering.hear(frame)
        if self.connection != before:
            self._begin()
        if current:
            self._receive_current(frame, now_s)
        elif frame.kind is not Kind.OPEN:
            self._rejected += 1

    def _receive_current(self, frame: Frame, now_s: float) -> None:
        if frame.kind is Kind.ACK:
            self._receive_acknowledgement(frame, now_s)
        elif frame.kind is Kind.DATA and self._inbound[frame.stream].accept(frame):
            self._owes_acknowledgement = True

    def _receive_acknowledgement(self, frame: Frame, now_s: float) -> None:
        held = decode_held(frame.payload)
        if held is None or not all(map(Outbound.possible, self._outbound, held)):
            self._rejected += 1
            return
        news = [f for out, entry in zip(self._outbound, held, strict=True) for f in out.acknowledge(entry)]
        self._log.acknowledged(news, now_s)

    def next_message(self) -> tuple[Priority, bytes] | None:
        """The next whole message and its priority, the most urgent first; None if there is none."""
        for priority, inbound in zip(Priority, self._inbound, strict=True):
            if (message := inbound.read()) is not None:
                self._owes_acknowledgement = True
                return priority, message
        return None

    def data_to_send(self, now_s: float) -> list[bytes]:
        """Datagrams to hand to the transmitter now, as many as the line carries.

        What opens the connection goes first, then the acknowledgement, then messages by priority.
        """
        self._pacer.refill(now_s)
        datagrams: list[bytes] = []
        self._open_into(datagrams, now_s)
        if self._owes_acknowledgement:
            self._acknowledge_into(datagrams)
        for flight in self._log.lost(now_s):
            self._lost += 1
            self._outbound[flight.stream].repeat(flight)
        self._probe_in_silence(now_s)
        window_frames = self._window_frames(now_s)
        for outbound in self._outbound:
            if not self._drain_into(datagrams, outbound, window_frames, now_s):
                break
        self._frames += len(datagrams)
        self._bytes += sum(map(len, datagrams))
        return datagrams

    def _put(self, datagrams: list[bytes], datagram: bytes, priority: int) -> bool:
        """Whether the line has room for a datagram, which then goes out."""
        if not self._pacer.take(len(datagram) + self._framing.overhead_bytes):
            return False
        datagrams.append(self._framing.wrap(datagram, priority))
        return True

    def _open_into(self, datagrams: list[bytes], now_s: float) -> None:
        tell_s = self._peering.tell_s(self._round_trip.longest_s(now_s))
        if tell_s is None or now_s < tell_s:
            return
        if self._put(datagrams, self._peering.encode(Kind.OPEN), Priority.URGENT):
            self._peering.told(now_s)

    def _acknowledge_into(self, datagrams: list[bytes]) -> None:
        payload = encode_held(tuple(inbound.held for inbound in self._inbound))
        datagram = self._peering.encode(Kind.ACK, sequence=self._acknowledgements, payload=payload)
        if self._put(datagrams, datagram, Priority.URGENT):
            self._acknowledgements += 1
            self._owes_acknowledgement = False

    def _probe_in_silence(self, now_s: float) -> None:
        if now_s < self._log.probe_s or not any(outbound.in_flight for outbound in self._outbound):
            return
        self._log.probed(now_s)
        left = _PROBES
        for outbound in self._outbound:
            for flight in outbound.probes(left):
                outbound.repeat(flight)
                left -= 1

    def _window_frames(self, now_s: float) -> int:
        window_bits = self._window_bit_s * self._round_trip.longest_s(now_s)
        frames = math.ceil(window_bits / (8 * MAXIMUM_DATAGRAM_BYTES))
        return min(max(frames, _MINIMUM_WINDOW_FRAMES), MAXIMUM_WINDOW_FRAMES)

    def _drain_into(
        self, datagrams: list[bytes], outbound: Outbound, window_frames: int, now_s: float
    ) -> bool:
        while (flight := outbound.head(window_frames)) is not None:
            if not self._put(datagrams, flight.datagram, flight.stream):
                return False
            outbound.pop()
            self._log.sent(flight, now_s)
            self._resent += flight.attempts > 1
        return True

    def next_timer_s(self) -> float | None:
        """When `data_to_send` next has something, as far as known now; None if only the peer can wake it.

        Before the first call it is a time that is past.
        """
        now_s = self._pacer.at_s
        times_s = [self._peering.tell_s(self._round_trip.longest_s(now_s))]
        if self._owes_acknowledgement:
            times_s.append(self._pacer.ready_s(MAXIMUM_DATAGRAM_BYTES))
        window_frames = self._window_frames(now_s)
        heads = (outbound.head(window_frames) for outbound in self._outbound)
        if (flight := next((head for head in heads if head is not None), None)) is not None:
            times_s.append(self._pacer.ready_s(len(flight.datagram)))
        elif any(outbound.in_flight for outbound in self._outbound):
            times_s.append(self._log.timer_s)
        return min((time_s for time_s in times_s if time_s is not None), default=None)

    @property
    def idle(self) -> bool:
        """A connection is open and everything sent in it has been acknowledged."""
        return self.connection > 0 and all(outbound.idle for outbound in self._outbound)

    @property
    def backlog_bytes(self) -> int:
        """Frames accepted and not yet acknowledged in order, all streams."""
        return sum(outbound.held_bytes for outbound in self._outbound)

    @property
    def counts(self) -> LinkCounts:
        """What this end sent and refused so far."""
        rejected = self._rejected + sum(inbound.rejected for inbound in self._inbound)
        return LinkCounts(self._bytes, self._frames, self._lost, self._resent, rejected)


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise ConfigError(f"lasercom {name}: expected a finite number above 0, got {value}")
