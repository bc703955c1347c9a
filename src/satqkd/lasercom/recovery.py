"""When to send again: round-trip estimate, frames in flight, pacing. Knows no stream and no message.

A laser beam keeps the order of frames, so a frame is lost as soon as one sent after it is acknowledged
(on a path that reorders, this costs a needless repetition, nothing else). When nothing comes back at
all, a few frames are sent again as probes, at intervals that double up to three round trips.
Round-trip time and its deviation by RFC 6298 section 2; repeated frames give no sample (Karn and
Partridge 1987); probes instead of a whole window again as in RFC 9002 section 6.2. No clock here:
`now_s` is given.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import msgspec

_SMOOTHING: Final = 1 / 8  # RFC 6298 (2.3)
_DEVIATION_SMOOTHING: Final = 1 / 4  # RFC 6298 (2.3)
_CEILING_ROUND_TRIPS: Final = 3
"""Silence here is a cloud or a lost frame, never a crowd: probing often disturbs nobody."""
_PLAUSIBLE: Final = 0.75
"""An answer sooner than this part of the shortest round trip was to an earlier copy of the frame."""


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


class RoundTrip:
    """Smoothed round-trip time and the timeout that follows from it."""

    def __init__(self, *, expected_s: float, tick_s: float) -> None:
        self._expected_s = expected_s
        self._tick_s = tick_s
        self._smoothed_s: float | None = None
        self._deviation_s = 0.0
        self._shortest_s = expected_s
        self._doublings = 0

    def sample(self, round_trip_s: float) -> None:
        """Take one measurement of a frame that was sent once."""
        if self._smoothed_s is None:
            self._smoothed_s, self._deviation_s = round_trip_s, round_trip_s / 2
            self._shortest_s = round_trip_s
            return
        error_s = round_trip_s - self._smoothed_s
        self._deviation_s += _DEVIATION_SMOOTHING * (abs(error_s) - self._deviation_s)
        self._smoothed_s += _SMOOTHING * error_s
        self._shortest_s = min(self._shortest_s, round_trip_s)

    def plausible(self, round_trip_s: float) -> bool:
        """Whether an answer after this time can be to the latest copy of a repeated frame."""
        return round_trip_s >= _PLAUSIBLE * self._shortest_s

    def back_off(self) -> None:
        """A timeout passed in silence."""
        self._doublings = min(self._doublings + 1, 16)

    def heard(self) -> None:
        """The peer acknowledged something new."""
        self._doublings = 0

    @property
    def timeout_s(self) -> float:
        """How long silence lasts before a probe."""
        ceiling_s = _CEILING_ROUND_TRIPS * max(self._expected_s, self._smoothed_s or 0.0)
        return min(self._base_s() * 2.0**self._doublings, max(ceiling_s, self._base_s()))

    def _base_s(self) -> float:
        if self._smoothed_s is None:
            return 2 * self._expected_s + self._tick_s
        return self._smoothed_s + max(4 * self._deviation_s, self._tick_s)


class FlightLog:
    """Transmissions nobody has answered yet, in the order they were made."""

    def __init__(self, round_trip: RoundTrip) -> None:
        self._round_trip = round_trip
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
        sample: Flight | None = None
        heard = False
        for flight in flights:
            heard = True
            self._in_flight.pop(flight.order, None)
            if flight.attempts == 1 and (sample is None or flight.order > sample.order):
                sample = flight
            if flight.attempts == 1 or self._round_trip.plausible(now_s - flight.sent_s):
                self._newest_answered = max(self._newest_answered, flight.order)
        if sample is not None:
            self._round_trip.sample(now_s - sample.sent_s)
        if heard:
            self._round_trip.heard()
            self._last_activity_s = now_s
        return self._overtaken()

    def _overtaken(self) -> list[Flight]:
        lost = []
        while self._in_flight and next(iter(self._in_flight)) < self._newest_answered:
            lost.append(self._in_flight.popitem(last=False)[1])
        return lost

    def timed_out(self, now_s: float) -> None:
        """Note that probes go out now."""
        self._round_trip.back_off()
        self._last_activity_s = now_s

    @property
    def probe_s(self) -> float:
        """When silence has lasted long enough for a probe."""
        return self._last_activity_s + self._round_trip.timeout_s


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
