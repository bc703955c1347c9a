"""Timeouts, loss by overtaking, pacing: the parts that decide when a frame goes again."""

import pytest

from satqkd.lasercom.recovery import Flight, FlightLog, Pacer, RoundTrip


def flights(n: int) -> list[Flight]:
    return [Flight(0, number, b"") for number in range(n)]


def test_the_timeout_follows_the_measured_round_trip() -> None:
    round_trip = RoundTrip(expected_s=0.15, tick_s=0.05)
    assert round_trip.timeout_s == pytest.approx(0.35)
    round_trip.sample(0.1)
    assert round_trip.timeout_s == pytest.approx(0.1 + 4 * 0.05)  # RFC 6298 (2.2)
    for _ in range(100):
        round_trip.sample(0.1)
    assert round_trip.timeout_s == pytest.approx(0.15)
    for _ in range(100):
        round_trip.sample(0.3)
    assert round_trip.timeout_s == pytest.approx(0.35, abs=0.01)


def test_silence_doubles_the_timeout_up_to_its_ceiling() -> None:
    round_trip = RoundTrip(expected_s=0.2, tick_s=0.05)
    round_trip.sample(0.1)
    for _ in range(100):
        round_trip.sample(0.1)
    waits = []
    for _ in range(5):
        waits.append(round_trip.timeout_s)
        round_trip.back_off()
    assert waits == pytest.approx([0.15, 0.3, 0.6, 0.6, 0.6])
    round_trip.heard()
    assert round_trip.timeout_s == pytest.approx(0.15)


def test_what_a_later_frame_overtakes_is_lost() -> None:
    log = FlightLog(RoundTrip(expected_s=0.1, tick_s=0.05))
    a, b, c, d = flights(4)
    for flight in (a, b, c, d):
        log.sent(flight, 0.0)
    assert log.acknowledged([b], 0.1) == [a]
    assert log.acknowledged([d], 0.1) == [c]
    log.sent(a, 0.1)
    assert log.acknowledged([a], 0.2) == []


def test_a_repeated_frame_gives_no_round_trip() -> None:
    round_trip = RoundTrip(expected_s=0.1, tick_s=0.05)
    log = FlightLog(round_trip)
    (flight,) = flights(1)
    before_s = round_trip.timeout_s
    log.sent(flight, 0.0)
    log.sent(flight, 5.0)
    log.acknowledged([flight], 5.01)
    assert round_trip.timeout_s == before_s


def test_an_early_answer_to_a_repeated_frame_condemns_nobody() -> None:
    log = FlightLog(RoundTrip(expected_s=0.1, tick_s=0.05))
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


def test_probes_wait_for_the_next_timeout_even_if_the_line_had_no_room() -> None:
    log = FlightLog(RoundTrip(expected_s=0.1, tick_s=0.05))
    log.sent(flights(1)[0], 0.0)
    assert log.probe_s == pytest.approx(0.25)
    log.timed_out(0.25)
    assert log.probe_s == pytest.approx(0.55)
