"""Timeouts, loss by overtaking, pacing: the parts that decide when a frame goes again."""

import pytest

from satqkd.lasercom.recovery import Flight, FlightLog, Pacer


def flights(n: int) -> list[Flight]:
    return [Flight(0, number, b"") for number in range(n)]


def test_what_a_later_frame_overtakes_is_lost() -> None:
    log = FlightLog(round_trip_s=0.1, tick_s=0.05)
    a, b, c, d = flights(4)
    for flight in (a, b, c, d):
        log.sent(flight, 0.0)
    assert log.acknowledged([b], 0.1) == [a]
    assert log.acknowledged([d], 0.1) == [c]
    log.sent(a, 0.1)
    assert log.acknowledged([a], 0.2) == []


def test_an_early_answer_to_a_repeated_frame_condemns_nobody() -> None:
    log = FlightLog(round_trip_s=0.1, tick_s=0.05)
    first, second, third = flights(3)
    log.sent(first, 0.0)
    log.sent(second, 0.0)
    log.sent(first, 0.08)
    assert log.acknowledged([first], 0.1) == []
    log.sent(third, 0.1)
    assert log.acknowledged([third], 0.2) == [second]


def test_the_bucket_holds_a_tick_and_one_frame() -> None:
    pacer = Pacer(rate_bit_s=8000.0, tick_s=0.05, maximum_frame_bytes=100)
    pacer.refill(0.0)
    assert pacer.take(50) and not pacer.take(1)
    assert pacer.ready_s(100) == pytest.approx(0.1)
    pacer.refill(0.0999)
    assert not pacer.take(100)
    pacer.refill(0.1001)
    assert pacer.take(100)
    pacer.refill(1000.0)
    assert pacer.take(100) and pacer.take(50) and not pacer.take(1)


def test_probes_keep_a_steady_pace_that_follows_the_round_trip() -> None:
    log = FlightLog(round_trip_s=0.1, tick_s=0.05)
    log.sent(flights(1)[0], 0.0)
    assert log.probe_s == pytest.approx(0.2)
    for probe in range(1, 400):
        log.probed(log.probe_s)
        assert log.probe_s == pytest.approx(0.2 * (probe + 1))
    log.round_trip_s = 0.3
    assert log.probe_s == pytest.approx(399 * 0.2 + 0.2 + 0.3)
