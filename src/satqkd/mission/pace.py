"""How fast pass time goes against the wall clock: tick k is due at start + (k - first) ticks / speed.

The schedule is fixed by its start, so nothing adds up: a tick that comes late is followed by the next at
once until the schedule is caught up. Reads a monotonic clock that is given, never the time of day, so a clock
that is stepped changes nothing. Without a speed every tick is due at once. Decides nothing about key.
"""

import math
import time
from collections.abc import Callable
from typing import Final

from satqkd.errors import ConfigError
from satqkd.mission.report import PaceReport
from satqkd.mission.terminal import TICKS_PER_S

REALTIME: Final = "realtime"
UNPACED: Final = "max"


class Pace:
    """The schedule of one pass.

    speed: pass seconds a wall second, None for as fast as it goes. now_s, sleep: the clock to go by.
    """

    def __init__(
        self,
        speed: float | None = None,
        *,
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.speed = speed
        self._now_s, self._sleep = now_s, sleep
        self._first: tuple[int, float] | None = None
        self._ticks, self._late_s, self._worst_s = 0, 0.0, 0.0

    def left_s(self, tick: int) -> float:
        """Wall seconds until a tick is due, 0 when it is; the first tick asked about starts the schedule."""
        if self.speed is None:
            return 0.0
        return max(0.0, self._due_s(tick, self.speed) - self._now_s())

    def granted(self, tick: int) -> None:
        """Account for a tick that is granted now."""
        self._ticks += 1
        if self.speed is not None:
            late_s = max(0.0, self._now_s() - self._due_s(tick, self.speed))
            self._late_s += late_s
            self._worst_s = max(self._worst_s, late_s)

    def wait(self, tick: int) -> None:
        """Sleep until a tick is due, and account for it."""
        while (left_s := self.left_s(tick)) > 0:
            self._sleep(left_s)
        self.granted(tick)

    def report(self) -> PaceReport:
        """The account so far."""
        return PaceReport(self.speed, self._ticks, self._worst_s, self._late_s / max(1, self._ticks))

    def _due_s(self, tick: int, speed: float) -> float:
        if self._first is None:
            self._first = (tick, self._now_s())
        first, start_s = self._first
        return start_s + (tick - first) / (TICKS_PER_S * speed)


def read_speed(text: str) -> float | None:
    """Pass seconds a wall second of `realtime`, a factor, or None for `max`. Raises ConfigError."""
    if text == UNPACED:
        return None
    try:
        speed = 1.0 if text == REALTIME else float(text)
    except ValueError:
        speed = math.nan
    if not (math.isfinite(speed) and speed > 0):
        raise ConfigError(f"speed: expected max, realtime or a factor above 0, got {text!r}")
    return speed
