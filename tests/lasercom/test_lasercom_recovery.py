"""Loss by overtaking, patience, probing, pacing: the parts that decide when a frame goes again."""

import pytest

from satqkd.lasercom.recovery import Flight, FlightLog, Pacer, RoundTrip

TICK_S = 0.05


def round_trip(light_time_s: float = 0.004) -> RoundTrip:
    return RoundTrip(light_time_s=lambda now_s: light_time_s, tick_s=TICK_S, frame_s=0.001)


def flights(n: int) -> list[Flight]:
    return [Flight(0, number, b"") for number in range(n)]


def answered(log: FlightLog, answered: list[Flight], now_s: float) -> list[Flight]:
    log.acknowledged(answered, now_s)
    return log.lost(now_s)


def test_the_round_trip_is_that_of_the_orbit_at_the_moment() -> None:
    trip = RoundTrip(light_time_s=lambda now_s: 0.002 + 1e-5 * now_s, tick_s=TICK_S, frame_s=0.001)
    assert trip.longest_s(0.0) == pytest.approx(2 * 0.002 + 3 * TICK_S + 2 * 0.001)
    assert trip.longest_s(600.0) - trip.longest_s(0.0) == pytest.approx(2 * 6e-3)


def test_an_answer_cannot_come_sooner_than_light_and_most_of_the_shortest_wait() -> None:
    trip = round_trip()
    assert not trip.plausible(0.007, 0.0) and trip.plausible(0.009, 0.0)
    trip.sample(0.108, 0.0)
    trip.sample(0.158, 0.0)
    assert not trip.plausible(0.082, 0.0) and trip.plausible(0.084, 0.0)


def test_what_a_later_frame_overtakes_is_lost() -> None:
    log = FlightLog(round_trip())
    a, b, c, d = flights(4)
    for flight in (a, b, c, d):
        log.sent(flight, 0.0)
    assert answered(log, [b], 0.1) == [a]
    assert answered(log, [d], 0.1) == [c]
    log.sent(a, 0.1)
    assert answered(log, [a], 0.2) == []


def test_a_frame_that_came_late_teaches_patience() -> None:
    """Given up for lost at 0.1, there at 0.15: from then on a frame gets 0.05 s of grace."""
    log = FlightLog(round_trip())
    late, other, slow, quick = flights(4)
    for flight in (late, other):
        log.sent(flight, 0.0)
    assert answered(log, [other], 0.1) == [late]
    assert answered(log, [late], 0.15) == []
    for flight in (slow, quick):
        log.sent(flight, 0.2)
    assert answered(log, [quick], 0.3) == []
    assert log.timer_s == pytest.approx(0.35)
    assert log.lost(0.34) == [] and log.lost(0.36) == [slow]


def test_a_copy_that_came_late_after_all_teaches_patience_too() -> None:
    log = FlightLog(round_trip())
    late, other, slow, quick = flights(4)
    for flight in (late, other):
        log.sent(flight, 0.0)
    assert answered(log, [other], 0.1) == [late]
    log.sent(late, 0.1)
    assert answered(log, [late], 0.15) == []
    for flight in (slow, quick):
        log.sent(flight, 0.2)
    assert answered(log, [quick], 0.3) == [] and log.lost(0.36) == [slow]


def test_patience_ends_at_a_round_trip() -> None:
    trip = round_trip()
    log = FlightLog(trip)
    late, other, slow, quick = flights(4)
    for flight in (late, other):
        log.sent(flight, 0.0)
    assert answered(log, [other], 0.1) == [late]
    assert answered(log, [late], 9.0) == []
    for flight in (slow, quick):
        log.sent(flight, 9.0)
    assert answered(log, [quick], 9.1) == []
    assert log.lost(9.1 + trip.longest_s(9.0) + 1e-6) == [slow]


def test_a_lost_answer_teaches_nothing() -> None:
    """The repeated frame arrived, its answer did not, and a probe asked again after a cloud."""
    log = FlightLog(round_trip())
    frame, other, slow, quick = flights(4)
    for flight in (frame, other):
        log.sent(flight, 0.0)
    assert answered(log, [other], 0.1) == [frame]
    log.sent(frame, 0.1)
    log.sent(frame, 30.0)
    assert answered(log, [frame], 30.01) == []
    for flight in (slow, quick):
        log.sent(flight, 31.0)
    assert answered(log, [quick], 31.1) == [slow]


def test_an_early_answer_to_a_repeated_frame_condemns_nobody() -> None:
    log = FlightLog(round_trip())
    first, second, third, fourth = flights(4)
    log.sent(fourth, 0.0)
    assert answered(log, [fourth], 0.1) == []
    log.sent(first, 0.1)
    log.sent(second, 0.1)
    log.sent(first, 0.18)
    assert answered(log, [first], 0.2) == []
    log.sent(third, 0.2)
    assert answered(log, [third], 0.3) == [second]


def test_probing_goes_on_at_a_steady_pace() -> None:
    trip = round_trip()
    log = FlightLog(trip)
    log.sent(flights(1)[0], 0.0)
    for number in range(1, 400):
        assert log.probe_s == pytest.approx(number * trip.longest_s(0.0))
        log.probed(log.probe_s)


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
