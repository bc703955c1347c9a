"""The pace of pass time: an exact schedule, caught up after a stall, on a clock that the test turns."""

import inspect
import time

import pytest

from satqkd.errors import ConfigError
from satqkd.mission.pace import Pace, read_speed
from satqkd.mission.run_pass import step_through


class Clock:
    """A monotonic clock that moves only when somebody sleeps or works; sleeps end a little late."""

    def __init__(self, oversleep_s: float = 0.0) -> None:
        self.now_s = 1e6
        self._oversleep_s = oversleep_s

    def sleep(self, duration_s: float) -> None:
        assert duration_s > 0
        self.now_s += duration_s + self._oversleep_s

    def pace(self, speed: float | None) -> Pace:
        return Pace(speed, now_s=lambda: self.now_s, sleep=self.sleep)


@pytest.mark.parametrize(("speed", "ticks_a_s"), [(1.0, 20.0), (10.0, 200.0), (0.5, 10.0)])
def test_tick_k_is_granted_at_its_place_and_nothing_adds_up(speed: float, ticks_a_s: float) -> None:
    """An hour of ticks; every sleep ends 1 ms late, which a sleep a tick would add up to over a minute."""
    clock = Clock(oversleep_s=1e-3)
    pace, start_s = clock.pace(speed), clock.now_s
    for tick in range(-200, 72_000):
        pace.wait(tick)
        assert 0 <= clock.now_s - (start_s + (tick + 200) / ticks_a_s) < 1.001e-3
    assert pace.report().largest_lateness_s == pytest.approx(1e-3, rel=1e-3)
    assert pace.report().mean_lateness_s == pytest.approx(1e-3, rel=1e-3)


def test_a_stall_is_caught_up_and_then_the_schedule_holds_again() -> None:
    clock = Clock()
    pace, start_s = clock.pace(1.0), clock.now_s
    granted_s = []
    for tick in range(100):
        pace.wait(tick)
        granted_s.append(clock.now_s - start_s)
        clock.now_s += 1.0 if tick == 10 else 0.001
    assert granted_s[11] == pytest.approx(1.5)
    late = [at_s > tick * 0.05 + 1e-6 for tick, at_s in enumerate(granted_s)]
    assert late == [11 <= tick <= 30 for tick in range(100)]
    assert granted_s[31:] == pytest.approx([tick * 0.05 for tick in range(31, 100)])
    report = pace.report()
    assert report.ticks == 100
    assert report.largest_lateness_s == pytest.approx(1.5 - 0.55)
    assert 0 < report.mean_lateness_s < report.largest_lateness_s


def test_the_clock_to_go_by_is_one_that_nobody_can_set() -> None:
    """So what holds above on a clock that only goes on holds when the time of day is stepped."""
    assert inspect.signature(Pace).parameters["now_s"].default is time.monotonic


def test_without_a_speed_nobody_sleeps_and_nothing_is_late() -> None:
    clock = Clock()
    pace = clock.pace(None)
    before_s = clock.now_s
    for tick in range(50):
        pace.wait(tick)
        clock.now_s += 1
    assert clock.now_s - before_s == 50
    report = pace.report()
    assert (report.speed, report.ticks, report.largest_lateness_s) == (None, 50, 0.0)


def test_a_pass_in_memory_steps_at_the_pace() -> None:
    clock = Clock()
    seen = []

    class Terminal:
        finished = False
        first_tick = -20

        def step(self, now_s: float, datagrams: list[bytes]) -> list[bytes]:
            seen.append((now_s, clock.now_s))
            return []

    class Link:
        ticks = range(-20, 20)

        def due(self, direction: str, now_s: float) -> list[bytes]:
            return []

        def submit(self, direction: str, datagrams: list[bytes], now_s: float) -> None: ...

    start_s = clock.now_s
    step_through(Link(), Terminal(), Terminal(), None, clock.pace(10.0))  # type: ignore[arg-type]
    assert len(seen) == 80
    for pass_s, wall_s in seen:
        assert wall_s - start_s == pytest.approx((pass_s + 1) / 10)


@pytest.mark.parametrize(("text", "speed"), [("max", None), ("realtime", 1.0), ("10", 10.0), ("0.25", 0.25)])
def test_a_speed_is_read(text: str, speed: float | None) -> None:
    assert read_speed(text) == speed


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "nan", "inf", "1x"])
def test_what_is_no_speed_is_refused_in_words(text: str) -> None:
    with pytest.raises(ConfigError, match="expected max, realtime or a factor above 0"):
        read_speed(text)
