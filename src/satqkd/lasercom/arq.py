"""One end of the laser link: messages in, datagrams out, and back; reliable, in order, by priority.

Selective repeat per priority stream; one acknowledgement a call says what is held of every stream, so a
lost acknowledgement is made good by the next. The line is filled no faster than its rate; protocol
messages always go before user traffic. Sans-I/O: five verbs, `now_s` given, no clock, no socket, no
randomness. What comes from outside never raises: a datagram that cannot be right is dropped and counted.
"""

import math
from typing import Final

import msgspec

from satqkd.errors import ConfigError, LocalProtocolError
from satqkd.lasercom.frames import (
    LINK_TAG_BYTES,
    MAXIMUM_DATAGRAM_BYTES,
    MAXIMUM_WINDOW_FRAMES,
    STREAMS,
    Direction,
    Frame,
    Kind,
    decode,
    decode_held,
    encode,
    encode_held,
)
from satqkd.lasercom.recovery import FlightLog, Pacer, RoundTrip
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
    """Datagrams received and dropped: damaged, foreign, over a cap, or in contradiction."""

    def __add__(self, other: "LinkCounts") -> "LinkCounts":
        return LinkCounts(
            **{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__}
        )


class Endpoint:
    """One end of the link: `send`, `receive`, `next_message`, `data_to_send`, `next_timer_s`.

    link_tag: 4 bytes, the same at both ends, new for every contact.
    direction: who this end is; frames of the same direction coming in are foreign.
    rate_bit_s: what this end's transmitter carries; datagram bytes count, nothing below them.
    round_trip_s: from handing out a datagram to taking in its acknowledgement, waiting for ticks
        included; the first guess of the timeout, and the measure of the window.
    maximum_message_bytes: longest message either way; a peer that announces more is not served.
    maximum_buffer_bytes: per stream and way, bytes accepted and not yet acknowledged, or received and
        not yet read. Omitted: four of the longest messages.
    window_factor: frames beyond the first missing one, in units of rate times round trip; a frame that
        is lost again and again holds the window, so heavy loss needs several.
    tick_s: longest interval between calls that the pacing makes up for.
    Raises ConfigError for a tag, rate, time or cap out of range.
    """

    def __init__(
        self,
        *,
        link_tag: bytes,
        direction: Direction,
        rate_bit_s: float,
        round_trip_s: float,
        maximum_message_bytes: int,
        maximum_buffer_bytes: int | None = None,
        window_factor: float = 8.0,
        tick_s: float = 0.05,
    ) -> None:
        _check_positive(rate_bit_s=rate_bit_s, round_trip_s=round_trip_s, tick_s=tick_s)
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
        self._link_tag = link_tag
        self._direction = direction
        self._maximum_message_bytes = maximum_message_bytes
        self._buffer_bytes = buffer_bytes
        window = _window_frames(window_factor * rate_bit_s * round_trip_s)
        self._outbound = [
            Outbound(stream=stream, link_tag=link_tag, direction=direction, window_frames=window)
            for stream in range(STREAMS)
        ]
        self._inbound = [
            Inbound(maximum_message_bytes=maximum_message_bytes, maximum_unread_bytes=buffer_bytes)
            for _ in range(STREAMS)
        ]
        self._log = FlightLog(RoundTrip(expected_s=round_trip_s, tick_s=tick_s))
        self._pacer = Pacer(rate_bit_s=rate_bit_s, tick_s=tick_s, maximum_frame_bytes=MAXIMUM_DATAGRAM_BYTES)
        self._acknowledgements = 0
        self._owes_acknowledgement = False
        self._bytes = self._frames = self._lost = self._resent = self._rejected = 0

    def send(self, message: bytes, *, priority: int) -> None:
        """Accept a message for delivery in order within its priority: 0 protocol, 1 user traffic.

        Raises LocalProtocolError when it is too long, or when the stream's buffer is full (see `room`).
        """
        if not 0 <= priority < STREAMS:
            raise LocalProtocolError(f"lasercom send: expected priority 0 or 1, got {priority}")
        if len(message) > self._maximum_message_bytes:
            raise LocalProtocolError(
                f"lasercom send: expected at most {self._maximum_message_bytes} bytes, got {len(message)}; "
                f"split the message"
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
        return self._outbound[priority].held_bytes + wire_bytes(message_bytes) <= self._buffer_bytes

    def receive(self, datagram: bytes, now_s: float) -> None:
        """Take in one datagram, whatever it is."""
        frame = decode(datagram)
        if frame is None or frame.link_tag != self._link_tag or frame.direction == self._direction:
            self._rejected += 1
        elif frame.kind is Kind.ACK:
            self._receive_acknowledgement(frame, now_s)
        elif self._inbound[frame.stream].accept(frame):
            self._owes_acknowledgement = True

    def _receive_acknowledgement(self, frame: Frame, now_s: float) -> None:
        held = decode_held(frame.payload)
        if held is None or not all(map(Outbound.possible, self._outbound, held)):
            self._rejected += 1
            return
        news = [f for out, entry in zip(self._outbound, held, strict=True) for f in out.acknowledge(entry)]
        for flight in self._log.acknowledged(news, now_s):
            self._lost += 1
            self._outbound[flight.stream].repeat(flight)

    def next_message(self) -> tuple[int, bytes] | None:
        """The next whole message as (priority, bytes), protocol first; None if there is none."""
        for priority, inbound in enumerate(self._inbound):
            message, advanced = inbound.read()
            self._owes_acknowledgement |= advanced
            if message is not None:
                return priority, message
        return None

    def data_to_send(self, now_s: float) -> list[bytes]:
        """Datagrams to hand to the transmitter now, as many as the line carries: acknowledgement first."""
        self._pacer.refill(now_s)
        datagrams: list[bytes] = []
        if self._owes_acknowledgement:
            self._acknowledge_into(datagrams)
        self._probe_in_silence(now_s)
        for outbound in self._outbound:
            if not self._drain_into(datagrams, outbound, now_s):
                break
        self._frames += len(datagrams)
        self._bytes += sum(map(len, datagrams))
        return datagrams

    def _acknowledge_into(self, datagrams: list[bytes]) -> None:
        payload = encode_held(tuple(inbound.held for inbound in self._inbound))
        number = self._acknowledgements
        datagram = encode(Frame(Kind.ACK, self._link_tag, self._direction, 0, number, 0, 0, payload))
        if self._pacer.take(len(datagram)):
            datagrams.append(datagram)
            self._acknowledgements += 1
            self._owes_acknowledgement = False

    def _probe_in_silence(self, now_s: float) -> None:
        if now_s < self._log.probe_s or not any(outbound.in_flight for outbound in self._outbound):
            return
        self._log.timed_out(now_s)
        left = _PROBES
        for outbound in self._outbound:
            for flight in outbound.probes(left):
                outbound.repeat(flight)
                left -= 1

    def _drain_into(self, datagrams: list[bytes], outbound: Outbound, now_s: float) -> bool:
        while (flight := outbound.head()) is not None:
            if not self._pacer.take(len(flight.datagram)):
                return False
            outbound.pop()
            self._log.sent(flight, now_s)
            self._resent += flight.attempts > 1
            datagrams.append(flight.datagram)
        return True

    def next_timer_s(self) -> float | None:
        """When `data_to_send` next has something, as far as known now; None if only the peer can wake it."""
        if self._owes_acknowledgement:
            return self._pacer.ready_s(MAXIMUM_DATAGRAM_BYTES)
        heads = [flight for outbound in self._outbound if (flight := outbound.head()) is not None]
        if heads:
            return self._pacer.ready_s(len(heads[0].datagram))
        return self._log.probe_s if any(outbound.in_flight for outbound in self._outbound) else None

    @property
    def idle(self) -> bool:
        """Everything sent has been acknowledged."""
        return all(outbound.idle for outbound in self._outbound)

    @property
    def backlog_bytes(self) -> int:
        """Frames accepted and not yet acknowledged in order, all streams."""
        return sum(outbound.held_bytes for outbound in self._outbound)

    @property
    def counts(self) -> LinkCounts:
        """What this end sent and refused so far."""
        rejected = self._rejected + sum(inbound.rejected for inbound in self._inbound)
        return LinkCounts(self._bytes, self._frames, self._lost, self._resent, rejected)


def _window_frames(window_bits: float) -> int:
    frames = math.ceil(window_bits / (8 * MAXIMUM_DATAGRAM_BYTES))
    return min(max(frames, _MINIMUM_WINDOW_FRAMES), MAXIMUM_WINDOW_FRAMES)


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise ConfigError(f"lasercom {name}: expected a finite number above 0, got {value}")
