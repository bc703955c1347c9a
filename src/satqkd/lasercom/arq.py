"""One end of the laser link: messages in, datagrams out, and back; reliable, in order, by priority.

Selective repeat per priority stream; one acknowledgement a call says what is held of every stream, so a
lost acknowledgement is made good by the next. The line is filled no faster than its rate; streams go in the
order of their priority. Sans-I/O: five verbs, `now_s` given, no clock, no socket, no randomness. What comes
from outside never raises: a datagram that cannot be right is dropped and counted.

What holds, holds within a connection: from one start of either end to the next. A new start begins all
streams anew; whoever owns the endpoint says again what its peer has not told it to have taken.

    unknown ──a frame of the peer──► connected ──a frame of a later start of the peer, or `reset`──► connected
    sends OPEN                       sends DATA, ACK                                    (the next connection)
"""

import math
from collections.abc import Callable
from typing import Final

import msgspec

from satqkd.errors import ConfigError, LocalProtocolError
from satqkd.lasercom.frames import (
    LINK_TAG_BYTES,
    MAXIMUM_BOOT,
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
from satqkd.lasercom.recovery import FlightLog, Pacer
from satqkd.lasercom.streams import Inbound, Label, Outbound, wire_bytes

RoundTripOf = Callable[[float], float]
"""From a time to the round trip at that time, both in seconds."""
_MINIMUM_WINDOW_FRAMES: Final = 16
_PROBES: Final = 4
_BUFFERED_MESSAGES: Final = 4
ABANDONED_S: Final = 3.0
"""A start of the peer that was silent for so long gives way to an earlier one: else one forged frame of a
late start would shut the true peer out for good."""


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
    boot: from 1; a larger one at every start of this end under this tag.
    rate_bit_s: what this end's transmitter carries; datagram bytes count, nothing below them.
    round_trip_s: at a time: from handing out a datagram to taking in its acknowledgement, twice the light
        time and waiting for ticks included.
    maximum_message_bytes: longest message either way; a peer that announces more is not served.
    maximum_buffer_bytes: per stream and way, bytes accepted and not yet acknowledged, or received and
        not yet read. Omitted: four of the longest messages.
    window_factor: frames beyond the first missing one, in units of rate times round trip; a frame that
        is lost again and again holds the window, so heavy loss needs several.
    tick_s: longest interval between calls that the pacing makes up for.
    Acknowledgements leave in `data_to_send` alone: an owner that makes durable what `next_message` gave
    before it calls that never acknowledges what a crash could take.
    Raises ConfigError for a tag, boot, rate, time or cap out of range.
    """

    def __init__(
        self,
        *,
        link_tag: bytes,
        direction: Direction,
        boot: int,
        rate_bit_s: float,
        round_trip_s: RoundTripOf,
        maximum_message_bytes: int,
        maximum_buffer_bytes: int | None = None,
        window_factor: float = 8.0,
        tick_s: float = 0.05,
    ) -> None:
        _check_positive(rate_bit_s=rate_bit_s, round_trip_s=round_trip_s(0.0), tick_s=tick_s)
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
        self._label = Label(link_tag, _checked_boot(boot), 0, direction)
        self._rate_bit_s, self._tick_s = rate_bit_s, tick_s
        self._round_trip_s, self._window_factor = round_trip_s, window_factor
        self._maximum_message_bytes = maximum_message_bytes
        self._buffer_bytes = buffer_bytes
        self._pacer = Pacer(rate_bit_s=rate_bit_s, tick_s=tick_s, maximum_frame_bytes=MAXIMUM_DATAGRAM_BYTES)
        self.connection = 0
        """How many connections there have been; 0 before the peer was heard."""
        self._heard_s = -math.inf
        self._open_s = -math.inf
        self._bytes = self._frames = self._lost = self._resent = self._rejected = 0
        self._start_streams(0.0)

    def _start_streams(self, now_s: float) -> None:
        """All streams from the beginning, under the label as it is now."""
        round_trip_s = self._round_trip_s(now_s)
        window = self._window_frames(round_trip_s)
        self._outbound = [
            Outbound(stream=stream, label=self._label, window_frames=window) for stream in range(STREAMS)
        ]
        self._inbound = [
            Inbound(
                maximum_message_bytes=self._maximum_message_bytes, maximum_unread_bytes=self._buffer_bytes
            )
            for _ in range(STREAMS)
        ]
        self._log = FlightLog(round_trip_s=round_trip_s, tick_s=self._tick_s)
        self._acknowledgements = 0
        self._owes_acknowledgement = False

    def reset(self, now_s: float, *, boot: int) -> None:
        """Start anew by this end's will, under a new boot: the peer does the same when it hears of it.

        Raises ConfigError unless the boot is larger than the one before.
        """
        if boot <= self._label.boot:
            raise ConfigError(f"lasercom boot: expected more than {self._label.boot}, got {boot}")
        self._label = self._label._replace(boot=_checked_boot(boot))
        self._connect(now_s)

    def _connect(self, now_s: float) -> None:
        """A new connection; while the peer has not been heard there is none to begin."""
        self._rejected += sum(inbound.rejected for inbound in self._inbound)
        self._start_streams(now_s)
        if self._label.peer_boot:
            self.connection += 1
            self._owes_acknowledgement = True

    def send(self, message: bytes, *, priority: int) -> None:
        """Accept a message for delivery, in order within its `Priority`.

        Raises LocalProtocolError when no peer has been heard yet, when it is too long, or when the stream's
        buffer is full (see `room`).
        """
        if not 0 <= priority < STREAMS:
            raise LocalProtocolError(
                f"lasercom send: expected a priority in 0..{STREAMS - 1}, got {priority}"
            )
        if not self.connection:
            raise LocalProtocolError("lasercom send: expected a connection, no peer has been heard yet")
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
        foreign = frame is None or (frame.link_tag, frame.direction) != (
            self._label.link_tag,
            1 - self._label.direction,
        )
        if frame is None or foreign or not self._of_this_start(frame, now_s):
            self._rejected += 1
        elif frame.peer_boot != self._label.boot:
            self._owes_acknowledgement = True  # it does not know this start yet: whatever goes out tells it
        elif frame.kind is Kind.ACK:
            self._receive_acknowledgement(frame, now_s)
        elif frame.kind is Kind.DATA and self._inbound[frame.stream].accept(frame):
            self._owes_acknowledgement = True

    def _of_this_start(self, frame: Frame, now_s: float) -> bool:
        """Whether a frame is of the peer's start that counts; a later start becomes that one."""
        known = self._label.peer_boot
        abandoned = now_s - self._heard_s > ABANDONED_S
        if frame.boot < known and not abandoned:
            return False
        self._heard_s = now_s
        if frame.boot != known:
            self._label = self._label._replace(peer_boot=frame.boot)
            self._connect(now_s)
        return True

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
        self._log.round_trip_s = self._round_trip_s(now_s)
        for outbound in self._outbound:
            outbound.window_frames = self._window_frames(self._log.round_trip_s)
        datagrams: list[bytes] = []
        if not self.connection:
            self._open_into(datagrams, now_s)
        if self._owes_acknowledgement:
            self._acknowledge_into(datagrams)
        self._probe_in_silence(now_s)
        for outbound in self._outbound:
            if not self._drain_into(datagrams, outbound, now_s):
                break
        self._frames += len(datagrams)
        self._bytes += sum(map(len, datagrams))
        return datagrams

    def _open_into(self, datagrams: list[bytes], now_s: float) -> None:
        """Ask for the peer, once a round trip."""
        if now_s < self._open_s:
            return
        datagram = encode(Frame(Kind.OPEN, *self._label, 0, 0, 0, 0, b""))
        if self._pacer.take(len(datagram)):
            datagrams.append(datagram)
            self._open_s = now_s + self._log.round_trip_s

    def _acknowledge_into(self, datagrams: list[bytes]) -> None:
        payload = encode_held(tuple(inbound.held for inbound in self._inbound))
        number = self._acknowledgements
        datagram = encode(Frame(Kind.ACK, *self._label, 0, number, 0, 0, payload))
        if self._pacer.take(len(datagram)):
            datagrams.append(datagram)
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
        if not self.connection:
            return max(self._open_s, 0.0)
        heads = [flight for outbound in self._outbound if (flight := outbound.head()) is not None]
        if heads:
            return self._pacer.ready_s(len(heads[0].datagram))
        return self._log.probe_s if any(outbound.in_flight for outbound in self._outbound) else None

    def _window_frames(self, round_trip_s: float) -> int:
        bits = self._window_factor * self._rate_bit_s * round_trip_s
        frames = math.ceil(bits / (8 * MAXIMUM_DATAGRAM_BYTES))
        return min(max(frames, _MINIMUM_WINDOW_FRAMES), MAXIMUM_WINDOW_FRAMES)

    @property
    def idle(self) -> bool:
        """Everything sent has been acknowledged."""
        return all(outbound.idle for outbound in self._outbound)

    @property
    def counts(self) -> LinkCounts:
        """What this end sent and refused so far."""
        rejected = self._rejected + sum(inbound.rejected for inbound in self._inbound)
        return LinkCounts(self._bytes, self._frames, self._lost, self._resent, rejected)


def _checked_boot(boot: int) -> int:
    if not 0 < boot <= MAXIMUM_BOOT:
        raise ConfigError(f"lasercom boot: expected 1..{MAXIMUM_BOOT}, got {boot}")
    return boot


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise ConfigError(f"lasercom {name}: expected a finite number above 0, got {value}")
