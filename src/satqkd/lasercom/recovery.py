"""When to send again: round trip, frames in flight, pacing. Knows no stream and no message.

The round trip is twice the light time, which the orbit tells, and what both ends wait for their turn.
A frame is lost when one sent after it is acknowledged: a laser beam keeps the order of frames. On a path
that does not, frames that turn up after they were given up teach how long to wait for them (as RFC 8985,
3.3, does). When nothing comes back at all, a few frames are sent again as probes, at a steady pace: silence
is a cloud, never a crowd, so nothing backs off. No clock here: `now_s` is given.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

_PLAUSIBLE: Final = 0.75
"""An answer sooner than the light and this part of the shortest wait was to an earlier copy of the frame."""

LightTime = Callable[[float], float]
"""Light time one way, in seconds, at a time `now_s`."""


class Flight(msgspec.Struct, eq=False, gc=False):
    """One DATA frame of this end, from its making until every frame up to it is acknowledged."""

    stream: int
    sequence: int
    datagram: bytes
    order: int = -1
    """Number of its latest transmission, counted over all streams."""
    sent_s: float = 0.0
    overtaken_s: float | None = None
    """When a later frame was acknowledged and this one, as last sent, was not."""
    copy_overtaken_s: float | None = None
    """The same of the transmission before the latest."""
    attempts: int = 0
    acknowledged: bool = False
    repeating: bool = False
    """Waits to be sent again."""


class RoundTrip:
    """How soon and how late an answer can come.

    light_time_s: of the moment, from the orbit.
    tick_s: longest interval between calls, of either end.
    frame_s: time of the longest frame on the line; the answer's is taken to be no longer.
    """

    def __init__(self, *, light_time_s: LightTime, tick_s: float, frame_s: float) -> None:
        self._light_time_s = light_time_s
        self._waits_s = 3 * tick_s + 2 * frame_s
        self._shortest_wait_s: float | None = None

    def longest_s(self, now_s: float) -> float:
        """A tick to be sent in and one to be taken in at each end, the answer being sent in the latter."""
        return 2 * self._light_time_s(now_s) + self._waits_s

    def sample(self, round_trip_s: float, now_s: float) -> None:
        """Take one measurement of a frame that was sent once."""
        wait_s = max(0.0, round_trip_s - 2 * self._light_time_s(now_s))
        if self._shortest_wait_s is None or wait_s < self._shortest_wait_s:
            self._shortest_wait_s = wait_s

    def plausible(self, round_trip_s: float, now_s: float) -> bool:
        """Whether an answer after this time can be to the latest copy of a repeated frame."""
        wait_s = _PLAUSIBLE * (self._shortest_wait_s or 0.0)
        return round_trip_s >= 2 * self._light_time_s(now_s) + wait_s


class FlightLog:
    """Transmissions nobody has answered yet, in the order they were made."""

    def __init__(self, round_trip: RoundTrip) -> None:
        self._round_trip = round_trip
        self._in_flight: OrderedDict[int, Flight] = OrderedDict()
        self._overtaken: OrderedDict[int, Flight] = OrderedDict()
        self._next_order = 0
        self._newest_answered = -1
        self._last_activity_s = 0.0
        self._patience_s = 0.0

    def sent(self, flight: Flight, now_s: float) -> None:
        """Note one transmission of a frame."""
        self._forget(flight)
        flight.order, flight.sent_s = self._next_order, now_s
        flight.copy_overtaken_s, flight.overtaken_s = flight.overtaken_s, None
        flight.attempts += 1
        self._in_flight[flight.order] = flight
        self._next_order += 1
        self._last_activity_s = now_s

    def _forget(self, flight: Flight) -> bool:
        """Whether its latest transmission was still waited for."""
        waiting = self._in_flight.pop(flight.order, None) or self._overtaken.pop(flight.order, None)
        return waiting is not None

    def acknowledged(self, flights: Iterable[Flight], now_s: float) -> None:
        """Note frames newly acknowledged."""
        sample: Flight | None = None
        for flight in flights:
            self._last_activity_s = now_s
            if not self._forget(flight):
                self._learn_patience(flight.overtaken_s, now_s)
                continue
            if not self._to_latest(flight, now_s):
                self._learn_patience(flight.copy_overtaken_s, now_s)
                continue
            if flight.attempts == 1 and (sample is None or flight.order > sample.order):
                sample = flight
            self._newest_answered = max(self._newest_answered, flight.order)
        if sample is not None:
            self._round_trip.sample(now_s - sample.sent_s, now_s)
        while self._in_flight and next(iter(self._in_flight)) < self._newest_answered:
            order, late = self._in_flight.popitem(last=False)
            late.overtaken_s = now_s
            self._overtaken[order] = late

    def _to_latest(self, flight: Flight, now_s: float) -> bool:
        return flight.attempts == 1 or self._round_trip.plausible(now_s - flight.sent_s, now_s)

    def _learn_patience(self, overtaken_s: float | None, now_s: float) -> None:
        """A copy that was given up for lost was only late."""
        if overtaken_s is not None:
            late_s = min(now_s - overtaken_s, self._round_trip.longest_s(now_s))
            self._patience_s = max(self._patience_s, late_s)

    def lost(self, now_s: float) -> list[Flight]:
        """Frames to give up for lost now: overtaken, and waited for as long as frames have been late."""
        lost = []
        while now_s >= self._overdue_s():
            lost.append(self._overtaken.popitem(last=False)[1])
        return lost

    def _overdue_s(self) -> float:
        for flight in self._overtaken.values():
            if flight.overtaken_s is not None:
                return flight.overtaken_s + self._patience_s
        return math.inf

    def probed(self, now_s: float) -> None:
        """Note that probes go out now."""
        self._last_activity_s = now_s

    @property
    def probe_s(self) -> float:
        """When silence has lasted long enough for a probe."""
        return self._last_activity_s + self._round_trip.longest_s(self._last_activity_s)

    @property
    def timer_s(self) -> float:
        """When `lost` or a probe next has something."""
        return min(self._overdue_s(), self.probe_s)


class Pacer:
    """Token bucket in bits: what the line carries in a tick, and at most one frame more."""

    def __init__(self, *, rate_bit_s: float, tick_s: float, maximum_frame_bytes: int) -> None:
        self._rate_bit_s = rate_bit_s
        self._capacity_bits = rate_bit_s * tick_s + 8 * maximum_frame_bytes
        self._bits = rate_bit_s * tick_s
        self._at_s: float | None = None

    @property
    def at_s(self) -> float:
        """Time of the latest call."""
        return self._at_s or 0.0

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
        return self.at_s + max(0.0, 8 * n_bytes - self._bits) / self._rate_bit_s
