"""The two halves of one priority stream: cutting messages into frames, and putting them together.

Frames of a stream are numbered without gaps; a message is a run of frames that carry its length and
their offset in it. Both halves are bounded: by bytes accepted and by frames beyond the first missing one.
Knows no time, no other stream and no counter.
"""

import heapq
from collections import deque
from typing import Final, NamedTuple

from satqkd.errors import LocalProtocolError
from satqkd.lasercom.frames import (
    MAXIMUM_PAYLOAD_BYTES,
    MAXIMUM_WINDOW_FRAMES,
    OVERHEAD_BYTES,
    Direction,
    Frame,
    Held,
    Kind,
    encode,
)
from satqkd.lasercom.recovery import Flight

_SEQUENCE_LIMIT: Final = 1 << 32


def wire_bytes(message_bytes: int) -> int:
    """Bytes on the line for a message of this length sent once: its own and its frames' overhead."""
    n_frames = max(1, -(-message_bytes // MAXIMUM_PAYLOAD_BYTES))
    return message_bytes + n_frames * OVERHEAD_BYTES


class Label(NamedTuple):
    """What all frames of one end in one connection have in common, in the order of their fields."""

    link_tag: bytes
    boot: int
    peer_boot: int
    direction: Direction


class Outbound:
    """Messages on their way out: waiting, cut into frames, sent, not yet acknowledged."""

    def __init__(self, *, stream: int, label: Label, window_frames: int) -> None:
        self._stream = stream
        self._label = label
        self.window_frames = window_frames
        """Beyond the oldest that is not acknowledged."""
        self._messages: deque[bytes] = deque()
        self._offset = 0
        self._base = 0
        self._next_sequence = 0
        self._flights: dict[int, Flight] = {}
        self._fresh: Flight | None = None
        self._again: list[int] = []
        self.held_bytes = 0
        """Bytes of frames accepted and not yet acknowledged in order."""

    @property
    def idle(self) -> bool:
        """Nothing waits, nothing is unacknowledged."""
        return not self._messages and not self._flights and self._fresh is None

    @property
    def in_flight(self) -> bool:
        """Some frame was sent and is not yet acknowledged in order."""
        return bool(self._flights)

    def offer(self, message: bytes) -> None:
        """Queue a message."""
        self._messages.append(message)
        self.held_bytes += wire_bytes(len(message))

    def head(self) -> Flight | None:
        """The frame to send next: one to repeat, else the next piece the window allows."""
        while self._again:
            flight = self._flights.get(self._again[0])
            if flight is not None and not flight.acknowledged:
                return flight
            self._take_repeat()
        if self._fresh is None and self._messages and len(self._flights) < self.window_frames:
            self._fresh = self._cut()
        return self._fresh

    def pop(self) -> None:
        """The head goes out."""
        if self._again:
            self._take_repeat()
        elif self._fresh is not None:
            self._flights[self._fresh.sequence] = self._fresh
            self._fresh = None

    def _take_repeat(self) -> None:
        flight = self._flights.get(heapq.heappop(self._again))
        if flight is not None:
            flight.repeating = False

    def _cut(self) -> Flight:
        if self._next_sequence == _SEQUENCE_LIMIT:
            raise LocalProtocolError(
                f"lasercom stream {self._stream}: expected fewer than 2**32 frames in one connection; "
                f"start the link anew"
            )
        message, offset, sequence = self._messages[0], self._offset, self._next_sequence
        piece = message[offset : offset + MAXIMUM_PAYLOAD_BYTES]
        frame = Frame(Kind.DATA, *self._label, self._stream, sequence, len(message), offset, piece)
        self._offset += len(piece)
        self._next_sequence += 1
        if self._offset == len(message):
            self._messages.popleft()
            self._offset = 0
        return Flight(self._stream, sequence, encode(frame))

    def repeat(self, flight: Flight) -> None:
        """Send a frame again before anything new of this stream."""
        if not flight.repeating:
            flight.repeating = True
            heapq.heappush(self._again, flight.sequence)

    def possible(self, held: Held) -> bool:
        """Whether the peer can hold what it says: nothing that was never sent."""
        sent = self._next_sequence - (self._fresh is not None)
        return held.expected + held.bitmap.bit_length() <= sent

    def acknowledge(self, held: Held) -> list[Flight]:
        """Take in what the peer holds; gives the frames it had not acknowledged before."""
        news = []
        while self._base < held.expected:
            flight = self._flights.pop(self._base)
            self._base += 1
            self.held_bytes -= len(flight.datagram)
            if not flight.acknowledged:
                flight.acknowledged = True
                news.append(flight)
        bitmap = held.bitmap
        while bitmap:
            lowest = bitmap & -bitmap
            bitmap ^= lowest
            late = self._flights.get(held.expected + lowest.bit_length() - 1)
            if late is not None and not late.acknowledged:
                late.acknowledged = True
                news.append(late)
        return news

    def probes(self, count: int) -> list[Flight]:
        """The oldest frames to ask with; ones held out of order too, when no other is left."""
        missing = [flight for flight in self._flights.values() if not flight.acknowledged]
        chosen = (missing or list(self._flights.values()))[:count]
        for flight in chosen:
            flight.acknowledged = False
        return chosen


class Inbound:
    """Frames coming in: held until in order, put together, read by the owner."""

    def __init__(self, *, maximum_message_bytes: int, maximum_unread_bytes: int) -> None:
        self._maximum_message_bytes = maximum_message_bytes
        self._maximum_unread_bytes = maximum_unread_bytes
        self._expected = 0
        self._bitmap = 0
        self._frames: dict[int, Frame] = {}
        self._partial = bytearray()
        self._announced_bytes = 0
        self._messages: deque[bytes] = deque()
        self._unread_bytes = 0
        self.rejected = 0
        """Frames refused: over a cap, too far ahead, or in contradiction to their message."""

    @property
    def held(self) -> Held:
        """What to acknowledge."""
        return Held(self._expected, self._bitmap)

    def accept(self, frame: Frame) -> bool:
        """Take a DATA frame of this stream; False when nothing is to be acknowledged for it."""
        ahead = frame.sequence - self._expected
        if frame.message_bytes > self._maximum_message_bytes or ahead >= MAXIMUM_WINDOW_FRAMES:
            self.rejected += 1
            return False
        if ahead >= 0 and frame.sequence not in self._frames:
            self._frames[frame.sequence] = frame
            self._bitmap |= 1 << ahead
            self._advance()
        return True

    def _advance(self) -> None:
        while self._bitmap & 1 and self._unread_bytes < self._maximum_unread_bytes:
            frame = self._frames.pop(self._expected)
            if not self._continues(frame):
                self._bitmap ^= 1
                self.rejected += 1
                return
            self._bitmap >>= 1
            self._expected += 1
            self._join(frame)

    def _continues(self, frame: Frame) -> bool:
        if frame.offset != len(self._partial):
            return False
        return frame.offset == 0 or frame.message_bytes == self._announced_bytes

    def _join(self, frame: Frame) -> None:
        self._announced_bytes = frame.message_bytes
        self._partial += frame.payload
        if len(self._partial) == frame.message_bytes:
            self._messages.append(bytes(self._partial))
            self._unread_bytes += len(self._partial) + OVERHEAD_BYTES
            self._partial.clear()

    def read(self) -> tuple[bytes | None, bool]:
        """The next whole message, if any; and whether reading it let further frames in."""
        if not self._messages:
            return None, False
        message = self._messages.popleft()
        self._unread_bytes -= len(message) + OVERHEAD_BYTES
        before = self._expected
        self._advance()
        return message, self._expected != before
