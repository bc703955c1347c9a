"""The two halves of one priority stream: cutting messages into frames, and putting them together.

Frames of a stream are numbered without gaps; a message is a run of frames, the first and the last marked.
Both halves are bounded: by bytes accepted and by frames beyond the first missing one, and both live as long
as one connection. Knows no time, no other stream and no counter.
"""

import heapq
from collections import deque
from typing import Final

from satqkd.errors import LocalProtocolError
from satqkd.lasercom.connection import Peering
from satqkd.lasercom.frames import (
    MAXIMUM_PAYLOAD_BYTES,
    MAXIMUM_WINDOW_FRAMES,
    OVERHEAD_BYTES,
    Frame,
    Held,
    Kind,
)
from satqkd.lasercom.recovery import Flight

_SEQUENCE_LIMIT: Final = 1 << 32


def wire_bytes(message_bytes: int) -> int:
    """Bytes on the line for a message of this length sent once: its own and its frames' overhead."""
    n_frames = max(1, -(-message_bytes // MAXIMUM_PAYLOAD_BYTES))
    return message_bytes + n_frames * OVERHEAD_BYTES


class Outbound:
    """Messages on their way out: waiting, cut into frames, sent, not yet acknowledged."""

    def __init__(self, *, stream: int, peering: Peering) -> None:
        self._stream = stream
        self._peering = peering
        self._messages: deque[bytes] = deque()
        self._offset = 0
        self._base = 0
        self._next_sequence = 0
        self._ends: deque[int] = deque()
        self._arrived = 0
        self._flights: dict[int, Flight] = {}
        self._fresh: Flight | None = None
        self._again: list[int] = []
        self.held_bytes = 0
        """Bytes of frames accepted and not yet acknowledged in order."""
        self.delivered = 0
        """Messages that the peer's owner has read."""

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

    def head(self, window_frames: int) -> Flight | None:
        """The frame to send next: one to repeat, else the next piece the window allows."""
        while self._again:
            flight = self._flights.get(self._again[0])
            if flight is not None and not flight.acknowledged:
                return flight
            self._take_repeat()
        if self._fresh is None and self._messages and self._next_sequence < self._base + window_frames:
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
                f"lasercom stream {self._stream}: expected fewer than 2**32 frames in a connection; "
                f"reset the link with a new boot"
            )
        message, offset, sequence = self._messages[0], self._offset, self._next_sequence
        piece = message[offset : offset + MAXIMUM_PAYLOAD_BYTES]
        self._offset += len(piece)
        self._next_sequence += 1
        last = self._offset == len(message)
        if last:
            self._messages.popleft()
            self._ends.append(sequence)
            self._offset = 0
        datagram = self._peering.encode(
            Kind.DATA, stream=self._stream, first=offset == 0, last=last, sequence=sequence, payload=piece
        )
        return Flight(self._stream, sequence, datagram)

    def repeat(self, flight: Flight) -> None:
        """Send a frame again before anything new of this stream."""
        if not flight.repeating:
            flight.repeating = True
            heapq.heappush(self._again, flight.sequence)

    def possible(self, held: Held) -> bool:
        """Whether the peer can hold what it says: nothing that was never sent."""
        sent = self._next_sequence - (self._fresh is not None)
        if held.expected + held.bitmap.bit_length() > sent:
            return False
        arrived = self._arrived
        for end in self._ends:
            if end >= held.expected or arrived >= held.taken:
                break
            arrived += 1
        return held.taken <= arrived

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
        while self._ends and self._ends[0] < self._base:
            self._ends.popleft()
            self._arrived += 1
        self.delivered = max(self.delivered, held.taken)
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
        """The oldest frames to ask with; when the peer holds all but reads nothing, one of those."""
        missing = [flight for flight in self._flights.values() if not flight.acknowledged]
        chosen = missing[:count] or list(self._flights.values())[: min(count, 1)]
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
        self._inside = False
        self._partial = bytearray()
        self._messages: deque[bytes] = deque()
        self._unread_bytes = 0
        self._taken = 0
        self.rejected = 0
        """Frames refused: over a cap, too far ahead, or in contradiction to their message."""

    @property
    def held(self) -> Held:
        """What to acknowledge."""
        return Held(self._expected, self._taken, self._bitmap)

    def accept(self, frame: Frame) -> bool:
        """Take a DATA frame of this stream; False when nothing is to be acknowledged for it."""
        ahead = frame.sequence - self._expected
        if ahead >= MAXIMUM_WINDOW_FRAMES:
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
        fits = len(self._partial) + len(frame.payload) <= self._maximum_message_bytes
        return fits and frame.first is not self._inside

    def _join(self, frame: Frame) -> None:
        self._partial += frame.payload
        self._inside = not frame.last
        if frame.last:
            self._messages.append(bytes(self._partial))
            self._unread_bytes += len(self._partial) + OVERHEAD_BYTES
            self._partial.clear()

    def read(self) -> bytes | None:
        """The next whole message, if any; further frames may come in for it."""
        if not self._messages:
            return None
        message = self._messages.popleft()
        self._unread_bytes -= len(message) + OVERHEAD_BYTES
        self._taken += 1
        self._advance()
        return message
