"""When to send again: frames in flight, probes in silence, pacing. Knows no stream and no message.

A laser beam keeps the order of frames, so a frame is lost as soon as one sent after it is acknowledged
(on a path that reorders, this costs a needless repetition, nothing else). When nothing comes back at all,
a few frames are sent again as probes (as in RFC 9002 section 6.2), at one steady interval however long it
lasts: silence here is a cloud, never a crowd. The round trip is not measured but known, from the orbit. An
answer to a repeated frame tells only that it arrived (Karn and Partridge 1987), unless it comes too soon to
be to the latest copy. No clock here: `now_s` is given.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import msgspec

_PATIENCE: Final = 1.5
"""Round trips of silence before a probe."""
_PLAUSIBLE: Final = 0.5
"""An answer sooner than this part of the round trip was to an earlier copy of the frame."""


class Flight(msgspec.Struct, eq=False, gc=False):
    """One DATA frame of this end, from its making until every frame up to it is acknowledged."""

    stream: int
    sequence: int
    datagram: bytes
    order: int = -1
    """Number of its latest transmission, counted over all streams."""
    sent_s: float = 0.0
    attempts: int = 0
    acknowledged: bool = False
    repeating: bool = False
    """Waits to be sent again."""


class FlightLog:
    """Transmissions nobody has answered yet, in the order they were made."""

    def __init__(self, *, round_trip_s: float, tick_s: float) -> None:
        self.round_trip_s = round_trip_s
        """As it is now."""
        self._tick_s = tick_s
        self._in_flight: OrderedDict[int, Flight] = OrderedDict()
        self._next_order = 0
        self._newest_answered = -1
        self._last_activity_s = 0.0

    def sent(self, flight: Flight, now_s: float) -> None:
        """Note one transmission of a frame."""
        self._in_flight.pop(flight.order, None)
        flight.order, flight.sent_s = self._next_order, now_s
        flight.attempts += 1
        self._in_flight[flight.order] = flight
        self._next_order += 1
        self._last_activity_s = now_s

    def acknowledged(self, flights: Iterable[Flight], now_s: float) -> list[Flight]:
        """Note frames newly acknowledged; gives those that are lost because later ones arrived."""
        for flight in flights:
            self._in_flight.pop(flight.order, None)
            if flight.attempts == 1 or now_s - flight.sent_s >= _PLAUSIBLE * self.round_trip_s:
                self._newest_answered = max(self._newest_answered, flight.order)
            self._last_activity_s = now_s
        return self._overtaken()

    def _overtaken(self) -> list[Flight]:
        lost = []
        while self._in_flight and next(iter(self._in_flight)) < self._newest_answered:
            lost.append(self._in_flight.popitem(last=False)[1])
        return lost

    def probed(self, now_s: float) -> None:
        """Note that probes go out now."""
        self._last_activity_s = now_s

    @property
    def probe_s(self) -> float:
        """When silence has lasted long enough for a probe."""
        return self._last_activity_s + _PATIENCE * self.round_trip_s + self._tick_s


class Pacer:
    """Token bucket in bits: what the line carries in a tick, and at most one frame more."""

    def __init__(self, *, rate_bit_s: float, tick_s: float, maximum_frame_bytes: int) -> None:
        self._rate_bit_s = rate_bit_s
        self._capacity_bits = rate_bit_s * tick_s + 8 * maximum_frame_bytes
        self._bits = rate_bit_s * tick_s
        self._at_s: float | None = None

    def refill(self, now_s: float) -> None:
        """Credit the time that passed; time that runs backwards credits nothing."""
        if self._at_s is not None and now_s > self._at_s:
            earned = (now_s - self._at_s) * self._rate_bit_s
            self._bits = min(self._capacity_bits, self._bits + earned)
        self._at_s = now_s if self._at_s is None else max(now_s, self._at_s)

    def take(self, n_bytes: int) -> bool:
        """Spend a frame of this size if the line has room for it."""
        if 8 * n_bytes > self._bits:
            return False
        self._bits -= 8 * n_bytes
        return True

    def ready_s(self, n_bytes: int) -> float:
        """When a frame of this size may go."""
        return (self._at_s or 0.0) + max(0.0, 8 * n_bytes - self._bits) / self._rate_bit_s
