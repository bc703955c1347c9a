"""Two endpoints over two channels: everything arrives once, whole and in order, whatever the line does."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.errors import ConfigError, LocalProtocolError
from satqkd.lasercom import Direction, Frame, Kind, LinkCounts, decode, encode
from satqkd.lasercom.frames import MAXIMUM_DATAGRAM_BYTES, MAXIMUM_WINDOW_FRAMES, Held, encode_held

NOTHING = 3 * (Held(0, 0),)
SIZES = st.one_of(st.sampled_from([0, 1, 1099, 1100, 1101, 2200]), st.integers(0, 30_000))
TRAFFIC = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 1), st.integers(0, 3), SIZES), min_size=1, max_size=25
)


def content(number: int, size: int) -> bytes:
    return np.random.default_rng([number, size]).bytes(size)


@given(TRAFFIC, st.floats(0, 0.4), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_message_arrives_once_intact_and_in_order(link, spoiler, traffic, loss, seed, noisy) -> None:
    mischief = spoiler(np.random.default_rng(seed)) if noisy else list
    line = link(loss=loss, seed=seed, mischief=mischief)
    sent: dict[tuple[int, int], list[bytes]] = {(end, p): [] for end in (0, 1) for p in range(4)}
    for number, (wait, end, priority, size) in enumerate(traffic):
        for _ in range(wait):
            line.tick()
        message = content(number, size)
        (line.satellite, line.station)[end].send(message, priority=priority)
        sent[end, priority].append(message)
    line.run(until_s=line.now_s + 120)
    assert line.satellite.idle and line.station.idle
    for end, inbox in ((0, line.at_station), (1, line.at_satellite)):
        for priority in range(4):
            assert [m for _, p, m in inbox if p == priority] == sent[end, priority]


def test_one_percent_loss_leaves_the_line_nearly_full(link) -> None:
    line = link(loss=0.01)
    for number in range(5):
        line.satellite.send(content(number, 1 << 20), priority=1)
    line.run(until_s=30)
    received = sum(len(m) for _, _, m in line.at_station)
    assert received == 5 << 20
    assert 8 * received / (line.now_s - line.begun_s) >= 0.9 * 10e6


def test_heavy_loss_still_uses_most_of_what_gets_through(link) -> None:
    line = link(loss=0.2)
    for number in range(8):
        line.satellite.send(content(number, 1 << 20), priority=1)
    line.run(until_s=60)
    received = sum(len(m) for _, _, m in line.at_station)
    assert received == 8 << 20
    assert 8 * received / (line.now_s - line.begun_s) >= 0.9 * 0.8 * 10e6


def test_the_protocol_overtakes_user_traffic(link) -> None:
    line = link(loss=0.01)
    line.satellite.send(content(1, 4 << 20), priority=1)
    for _ in range(10):
        line.tick()
    asked_s = line.now_s
    line.satellite.send(content(2, 20_000), priority=0)
    line.run(until_s=30)
    (first_s, first, message), (bulk_s, bulk, _) = line.at_station
    assert (first, bulk) == (0, 1)
    assert message == content(2, 20_000)
    assert first_s - asked_s <= 0.3
    assert bulk_s > asked_s + 2


@pytest.mark.parametrize("rate_bit_s", [1e5, 2e6, 10e6])
def test_a_call_gives_no_more_than_the_line_carries(endpoint, rate_bit_s) -> None:
    satellite = endpoint(Direction.FROM_SATELLITE, rate_bit_s=rate_bit_s)
    for _ in range(3):
        satellite.send(bytes(4 << 20), priority=1)
    total = 0
    for tick in range(1, 13):
        bits = 8 * sum(map(len, satellite.data_to_send(tick * 0.05)))
        total += bits
        assert bits <= rate_bit_s * 0.05 + 8 * MAXIMUM_DATAGRAM_BYTES
        assert total <= rate_bit_s * 0.05 * (tick + 1) + 1e-3
    assert 8 * sum(map(len, satellite.data_to_send(60.0))) <= rate_bit_s * 0.05 + 8 * MAXIMUM_DATAGRAM_BYTES


def test_acknowledgements_go_first_and_one_a_call(endpoint) -> None:
    satellite, station = endpoint(Direction.FROM_SATELLITE), endpoint(Direction.FROM_STATION)
    satellite.send(bytes(30_000), priority=0)
    station.send(bytes(30_000), priority=0)
    for datagram in satellite.data_to_send(0.0):
        station.receive(datagram, 0.05)
    kinds = [decode(datagram).kind for datagram in station.data_to_send(0.05)]
    assert kinds[0] is Kind.ACK and set(kinds[1:]) == {Kind.DATA}


def test_an_outage_heals(link) -> None:
    line = link(loss=0.01, outages=[(1.0, 6.0)])
    line.satellite.send(content(1, 2 << 20), priority=1)
    numbers = []
    while line.now_s < 8:
        if line.ticks % 4 == 0:
            numbers.append(content(line.ticks, 300))
            line.station.send(numbers[-1], priority=0)
        line.tick()
    line.run(until_s=20)
    assert [m for _, _, m in line.at_station] == [content(1, 2 << 20)]
    assert [m for _, _, m in line.at_satellite] == numbers
    back_s = min(t for t, _, _ in line.at_satellite if t > 6)
    assert back_s <= 6 + 3 * 0.15 + 0.2
    assert line.satellite.counts.resent < 2 * line.down.counts.lost


def test_a_silent_outage_is_only_probed(link) -> None:
    line = link(outages=[(0.5, 30.0)])
    while line.now_s < 0.5:
        line.tick()
    line.satellite.send(content(1, 2 << 20), priority=1)
    while line.now_s < 30:
        line.tick()
    probes_s = 1.5 * 0.15 + 0.05
    assert 0.8 * 4 * 29 / (probes_s + 0.05) <= line.satellite.counts.resent <= 4 * 29 / probes_s
    line.run(until_s=40)
    assert line.satellite.idle and line.now_s < 34


def test_the_counts_agree_with_the_channels(link) -> None:
    line = link(loss=(0.1, 0.0))
    line.satellite.send(content(1, 1 << 20), priority=1)
    line.station.send(content(2, 100_000), priority=0)
    line.run(until_s=20)
    for end, channel in ((line.satellite, line.down), (line.station, line.up)):
        assert (end.counts.bytes, end.counts.frames) == (channel.counts.bytes, channel.counts.frames)
        assert end.counts.rejected == 0 and channel.counts.dropped == 0
    sent = [decode(datagram) for datagram in line.trace]
    data = [f for f in sent if f.kind is Kind.DATA and f.direction is Direction.FROM_SATELLITE]
    assert line.satellite.counts.resent == len(data) - len({(f.stream, f.sequence) for f in data})
    acknowledgements = line.satellite.counts.frames - len(data)
    assert acknowledgements > 0
    assert line.down.counts.lost - acknowledgements <= line.satellite.counts.lost <= line.down.counts.lost
    assert line.satellite.counts.lost > 50


def test_a_line_without_loss_repeats_nothing(link) -> None:
    line = link(settings={"round_trip_s": 0.05})
    line.satellite.send(content(1, 2 << 20), priority=1)
    line.station.send(content(2, 300_000), priority=0)
    line.run(until_s=20)
    assert line.satellite.idle and line.station.idle
    assert (line.satellite.counts.lost, line.station.counts.lost) == (0, 0)
    assert (line.satellite.counts.resent, line.station.counts.resent) == (0, 0)


def test_damaged_and_foreign_datagrams_are_counted(endpoint) -> None:
    satellite, station = endpoint(Direction.FROM_SATELLITE), endpoint(Direction.FROM_STATION)
    other = endpoint(Direction.FROM_SATELLITE, link_tag=b"else")
    for end in (satellite, other):
        end.send(b"hello", priority=0)
    good, foreign = satellite.data_to_send(0.0)[0], other.data_to_send(0.0)[0]
    for datagram in (foreign, good[:-1], good + b"x", b"", bytes([good[0] ^ 1]) + good[1:]):
        station.receive(datagram, 0.1)
    satellite.receive(good, 0.1)
    assert station.counts.rejected == 5 and satellite.counts.rejected == 1
    assert station.next_message() is None
    assert station.data_to_send(0.1) == []
    station.receive(good, 0.1)
    assert station.next_message() == (0, b"hello")


def test_the_same_seed_gives_the_same_datagrams(link, spoiler) -> None:
    def trace() -> list[bytes]:
        line = link(loss=0.2, seed=5, mischief=spoiler(np.random.default_rng(5)))
        for number in range(6):
            line.satellite.send(content(number, 50_000), priority=number % 2)
            line.station.send(content(number, 9_000), priority=number % 2)
        line.run(until_s=60)
        return line.trace

    assert trace() == trace()


def data_frame(sequence: int, total: int, offset: int, payload: bytes, *, stream: int = 0) -> bytes:
    return encode(
        Frame(Kind.DATA, b"pass", 1, 1, Direction.FROM_SATELLITE, stream, sequence, total, offset, payload)
    )


def test_a_message_announced_too_long_is_not_taken(endpoint) -> None:
    station = endpoint(Direction.FROM_STATION, maximum_message_bytes=5000)
    station.receive(data_frame(0, 5001, 0, b"x"), 0.0)
    assert station.counts.rejected == 1 and station.data_to_send(0.0) == []
    station.receive(data_frame(0, 5000, 0, b"x"), 0.05)
    assert station.counts.rejected == 1 and len(station.data_to_send(0.05)) == 1


def test_a_piece_that_contradicts_its_message_is_not_taken(endpoint) -> None:
    station = endpoint(Direction.FROM_STATION)
    station.receive(data_frame(1, 6, 2, b"xx"), 0.0)
    station.receive(data_frame(2, 7, 5, b"xx"), 0.0)
    station.receive(data_frame(0, 6, 0, b"abc"), 0.0)
    assert station.counts.rejected == 1 and station.next_message() is None
    station.receive(data_frame(1, 6, 3, b"def"), 0.0)
    assert station.next_message() == (0, b"abcdef")
    assert station.counts.rejected == 2


def test_an_acknowledgement_of_what_was_never_sent_is_refused(endpoint) -> None:
    satellite = endpoint(Direction.FROM_SATELLITE)
    satellite.send(bytes(3000), priority=0)
    satellite.data_to_send(0.0)
    for held in (Held(4, 0), Held(0, 0b1000), Held(2**32 - 1, 1)):
        payload = encode_held((held, *NOTHING))
        satellite.receive(
            encode(Frame(Kind.ACK, b"pass", 1, 1, Direction.FROM_STATION, 0, 0, 0, 0, payload)), 0.1
        )
    assert satellite.counts.rejected == 3 and not satellite.idle
    payload = encode_held((Held(3, 0), *NOTHING))
    satellite.receive(
        encode(Frame(Kind.ACK, b"pass", 1, 1, Direction.FROM_STATION, 0, 0, 0, 0, payload)), 0.1
    )
    assert satellite.idle


FORGED = st.builds(
    Frame,
    st.just(Kind.DATA),
    st.just(b"pass"),
    st.just(1),
    st.just(1),
    st.just(Direction.FROM_STATION),
    st.integers(0, 3),
    st.one_of(st.integers(0, 6), st.integers(0, 2**32 - 1)),
    st.integers(4, 8),
    st.integers(0, 3),
    st.just(b"x"),
)
FORGED_ACK = st.builds(
    lambda payload: Frame(Kind.ACK, b"pass", 1, 1, Direction.FROM_STATION, 0, 0, 0, 0, payload),
    st.one_of(
        st.binary(max_size=20),
        st.tuples(*4 * [st.builds(Held, st.integers(0, 5), st.integers(0, 63))]).map(encode_held),
    ),
)


@given(st.lists(st.one_of(st.binary(max_size=60), FORGED.map(encode), FORGED_ACK.map(encode)), max_size=40))
@settings(max_examples=150, deadline=None)
def test_nothing_from_outside_raises(endpoint, datagrams) -> None:
    satellite = endpoint(Direction.FROM_SATELLITE)
    satellite.send(bytes(4000), priority=1)
    for tick, datagram in enumerate(datagrams):
        satellite.receive(datagram, tick * 0.05)
        satellite.data_to_send(tick * 0.05)
        satellite.next_message()
        satellite.next_timer_s()


def test_a_peer_that_never_answers_costs_bounded_memory(endpoint) -> None:
    satellite = endpoint(Direction.FROM_SATELLITE, maximum_message_bytes=100_000)
    tracemalloc.start()
    try:
        with pytest.raises(LocalProtocolError, match=r"expected room in stream 1"):
            for number in range(10_000):
                satellite.send(bytes(number % 50_000), priority=1)
        assert not satellite.room(50_000, priority=1)
        assert satellite.room(100_000, priority=0)
        for tick in range(2_000):
            satellite.data_to_send(tick * 0.05)
        first = tracemalloc.get_traced_memory()[0]
        for tick in range(2_000, 12_000):
            satellite.data_to_send(tick * 0.05)
        grown = tracemalloc.get_traced_memory()[0] - first
    finally:
        tracemalloc.stop()
    assert first < 3_000_000 and grown < 20_000
    assert not satellite.idle


def test_a_reader_that_stops_holds_the_sender_and_then_goes_on(link) -> None:
    line = link(settings={"maximum_message_bytes": 20_000})
    messages = [content(number, 20_000) for number in range(60)]
    unread = line.station.next_message
    line.station.next_message = lambda: None
    waiting = list(messages)
    for _ in range(300):
        while waiting and line.satellite.room(len(waiting[0]), priority=0):
            line.satellite.send(waiting.pop(0), priority=0)
        line.tick()
    assert len(waiting) > 20
    line.station.next_message = unread
    for _ in range(300):
        while waiting and line.satellite.room(len(waiting[0]), priority=0):
            line.satellite.send(waiting.pop(0), priority=0)
        line.tick()
    assert [m for _, _, m in line.at_station] == messages


def test_reading_again_is_told_to_the_sender(endpoint) -> None:
    station = endpoint(Direction.FROM_STATION, maximum_message_bytes=100, maximum_buffer_bytes=150)
    for number in range(3):
        station.receive(data_frame(number, 100, 0, bytes(100)), 0.0)
    assert len(station.data_to_send(0.0)) == 1 and station.data_to_send(0.05) == []
    station.next_message()
    (datagram,) = station.data_to_send(0.1)
    assert decode(datagram).payload[:4] == (3).to_bytes(4, "little")


def test_user_traffic_does_not_slip_through_while_the_protocol_waits(endpoint) -> None:
    satellite = endpoint(Direction.FROM_SATELLITE, rate_bit_s=2e6)
    satellite.send(bytes(60_000), priority=0)
    satellite.send(b"small", priority=1)
    streams = [decode(d).stream for tick in range(8) for d in satellite.data_to_send(tick * 0.05)]
    assert streams == 55 * [0] + [1]


def test_a_frame_far_ahead_is_not_held(endpoint) -> None:
    station = endpoint(Direction.FROM_STATION)
    station.receive(data_frame(MAXIMUM_WINDOW_FRAMES, 1, 0, b"x"), 0.0)
    assert station.counts.rejected == 1
    station.receive(data_frame(MAXIMUM_WINDOW_FRAMES - 1, 1, 0, b"x"), 0.0)
    assert station.counts.rejected == 1


def test_the_timer_says_when_there_is_something_to_send(endpoint) -> None:
    satellite, station = endpoint(Direction.FROM_SATELLITE), endpoint(Direction.FROM_STATION)
    assert satellite.next_timer_s() is None and satellite.data_to_send(0.0) == []
    satellite.send(b"hello", priority=0)
    assert satellite.next_timer_s() == 0.0
    (datagram,) = satellite.data_to_send(0.0)
    probe_s = satellite.next_timer_s()
    assert probe_s is not None and 0.15 < probe_s < 0.6
    assert satellite.data_to_send(probe_s - 0.01) == []
    assert satellite.data_to_send(probe_s) == [datagram]
    station.receive(datagram, 1.0)
    assert station.next_timer_s() is not None
    satellite.receive(station.data_to_send(1.0)[0], 1.1)
    assert satellite.idle and satellite.next_timer_s() is None and station.next_timer_s() is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"link_tag": b"abc"},
        {"rate_bit_s": 0.0},
        {"round_trip_s": float("nan")},
        {"maximum_message_bytes": 0},
        {"maximum_buffer_bytes": 1000},
    ],
)
def test_settings_out_of_range_are_refused(endpoint, wrong) -> None:
    with pytest.raises(ConfigError, match=rf"lasercom {next(iter(wrong))}: expected"):
        endpoint(Direction.FROM_STATION, **wrong)


def test_misuse_is_named(endpoint) -> None:
    station = endpoint(Direction.FROM_STATION, maximum_message_bytes=10)
    with pytest.raises(LocalProtocolError, match="at most 10 bytes, got 11"):
        station.send(bytes(11), priority=0)
    with pytest.raises(LocalProtocolError, match=r"priority in 0\.\.3, got 4"):
        station.send(b"", priority=4)


def test_counts_add_up() -> None:
    assert LinkCounts(1, 2, 3, 4, 5) + LinkCounts(bytes=10) == LinkCounts(11, 2, 3, 4, 5)
