"""Two endpoints over two channels: everything arrives once, whole and in order, whatever the line does."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.errors import ConfigError, LocalProtocolError
from satqkd.lasercom import Direction, Endpoint, Frame, Kind, LinkCounts, Priority, decode, encode
from satqkd.lasercom.frames import (
    MAXIMUM_DATAGRAM_BYTES,
    MAXIMUM_PAYLOAD_BYTES,
    MAXIMUM_WINDOW_FRAMES,
    NOTHING_HELD,
    Held,
    encode_held,
)

SIZES = st.one_of(st.sampled_from([0, 1, 1103, 1104, 1105, 2208]), st.integers(0, 30_000))
TRAFFIC = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 1), st.sampled_from(Priority), SIZES),
    min_size=1,
    max_size=25,
)


def content(number: int, size: int) -> bytes:
    return np.random.default_rng([number, size]).bytes(size)


@given(TRAFFIC, st.floats(0, 0.4), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_message_arrives_once_intact_and_in_order(link, spoiler, traffic, loss, seed, noisy) -> None:
    mischief = spoiler(np.random.default_rng(seed)) if noisy else list
    line = link(loss=loss, seed=seed, mischief=mischief)
    sent: dict[tuple[int, int], list[bytes]] = {(end, p): [] for end in (0, 1) for p in Priority}
    for number, (wait, end, priority, size) in enumerate(traffic):
        for _ in range(wait):
            line.tick()
        message = content(number, size)
        (line.satellite, line.station)[end].send(message, priority=priority)
        sent[end, priority].append(message)
    line.run(until_s=line.now_s + 120)
    assert line.satellite.idle and line.station.idle
    for end, inbox in ((0, line.at_station), (1, line.at_satellite)):
        for priority in Priority:
            assert [m for _, p, m in inbox if p == priority] == sent[end, priority]


def test_one_percent_loss_leaves_the_line_nearly_full(link) -> None:
    line = link(loss=0.01)
    for number in range(5):
        line.satellite.send(content(number, 1 << 20), priority=1)
    line.run(until_s=30)
    received = sum(len(m) for _, _, m in line.at_station)
    assert received == 5 << 20
    assert 8 * received / line.now_s >= 0.9 * 10e6


@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_heavy_loss_leaves_most_of_what_gets_through(link, loss) -> None:
    """Both ways at once: nine tenths of the bits of frames that were not lost are payload that was read."""
    line = link(loss=loss)
    messages = [content(number, 1 << 16) for number in range(4)]
    while line.now_s < 12:
        for end in (line.satellite, line.station):
            while end.room(1 << 16, priority=3):
                end.send(messages[0], priority=3)
        line.tick()
    for inbox, channel in ((line.at_station, line.down), (line.at_satellite, line.up)):
        counts = channel.counts
        let_through = counts.bytes * (1 - counts.lost / counts.frames)
        assert sum(len(m) for _, _, m in inbox) >= 0.9 * let_through
        assert 8 * counts.bytes >= 0.95 * line.rates_bit_s[channel is line.up] * line.now_s


def test_the_more_urgent_overtakes(link) -> None:
    line = link(loss=0.01)
    line.satellite.send(content(1, 4 << 20), priority=Priority.FILES)
    for _ in range(10):
        line.tick()
    asked_s = line.now_s
    for priority in (Priority.TELEMETRY, Priority.DISTILLATION, Priority.URGENT):
        line.satellite.send(content(2, 20_000), priority=priority)
    line.run(until_s=30)
    order = [priority for _, priority, _ in line.at_station]
    assert order == list(Priority)
    assert line.at_station[2][0] - asked_s <= 0.4
    assert line.at_station[3][0] > asked_s + 2


@pytest.mark.parametrize("rate_bit_s", [1e5, 2e6, 10e6])
def test_a_call_gives_no_more_than_the_line_carries(endpoint, rate_bit_s) -> None:
    satellite, _ = acquainted(endpoint, rate_bit_s=rate_bit_s)
    for _ in range(3):
        satellite.send(bytes(4 << 20), priority=1)
    total = 0
    for tick in range(12):
        bits = 8 * sum(map(len, satellite.data_to_send(tick * 0.05)))
        total += bits
        assert bits <= rate_bit_s * 0.05 + 8 * MAXIMUM_DATAGRAM_BYTES
        assert total <= rate_bit_s * 0.05 * (tick + 1) + 8 * MAXIMUM_DATAGRAM_BYTES + 1e-3
    assert 8 * sum(map(len, satellite.data_to_send(60.0))) <= rate_bit_s * 0.05 + 8 * MAXIMUM_DATAGRAM_BYTES


def test_acknowledgements_go_first_and_one_a_call(endpoint) -> None:
    satellite, station = acquainted(endpoint)
    satellite.send(bytes(30_000), priority=0)
    station.send(bytes(30_000), priority=0)
    for datagram in satellite.data_to_send(0.0):
        station.receive(datagram, 0.05)
    kinds = [decode(datagram).kind for datagram in station.data_to_send(0.05)]
    assert kinds[0] is Kind.ACK and set(kinds[1:]) == {Kind.DATA}


def test_an_outage_heals(link) -> None:
    line = link(loss=0.01, outages=[(1.0, 6.0)])
    line.satellite.send(content(1, 2 << 20), priority=1)
    numbers: list[bytes] = []
    while line.now_s < 8:
        if line.ticks % 4 == 0:
            numbers.append(content(line.ticks, 300))
            line.station.send(numbers[-1], priority=0)
        line.tick()
    line.run(until_s=20)
    assert [m for _, _, m in line.at_station] == [content(1, 2 << 20)]
    assert [m for _, _, m in line.at_satellite] == numbers
    back_s = min(t for t, _, _ in line.at_satellite if t > 6)
    assert back_s <= 6 + 2 * 0.17 + 0.1
    assert line.satellite.counts.resent < 2 * line.down.counts.lost


ROUND_TRIP_S = 2 * 0.004 + 3 * 0.05 + 2 * 8 * MAXIMUM_DATAGRAM_BYTES / 10e6


@pytest.mark.parametrize("outage_s", [5.0, 60.0])
def test_after_an_outage_the_line_is_full_within_a_probe_and_a_round_trip(link, outage_s) -> None:
    """In it, four frames a round trip ask; after it, however long it was, the rate is back at once."""
    end_s = 3.0 + outage_s
    line = link(outages=[(3.0, end_s)])
    for _ in range(4):
        line.satellite.send(content(1, 4 << 20), priority=1)
    sent_by_s = {}
    while line.now_s < end_s + 2:
        sent_by_s[line.now_s] = line.satellite.counts
        line.tick()
    quiet = [counts for at_s, counts in sent_by_s.items() if 5.5 <= at_s <= end_s]
    probes = quiet[-1].frames - quiet[0].frames
    assert probes == pytest.approx(4 * (end_s - 5.5) / (ROUND_TRIP_S + 0.03), rel=0.15) or outage_s < 10
    back = [counts.bytes for at_s, counts in sent_by_s.items() if at_s >= end_s + 2 * ROUND_TRIP_S + 0.1]
    assert 8 * (back[20] - back[0]) == pytest.approx(10e6, rel=0.01)


def test_the_round_trip_may_change_along_the_pass(link) -> None:
    """Light time from 2 ms to 120 ms and back in a minute: nothing is repeated that was not lost."""
    line = link(
        rates_bit_s=(2e6, 2e6),
        settings={"light_time_s": lambda now_s: 0.002 + 0.118 * abs(np.sin(now_s / 20))},
    )
    while line.now_s < 60:
        line.light_time_s = float(0.002 + 0.118 * abs(np.sin(line.now_s / 20)))
        if line.satellite.room(1 << 16, priority=1):
            line.satellite.send(bytes(1 << 16), priority=1)
        line.tick()
    assert line.satellite.counts.resent == 0
    assert 8 * sum(len(m) for _, _, m in line.at_station) > 0.9 * 2e6 * 58


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
    others = [f for f in sent if f.kind is not Kind.DATA and f.direction is Direction.FROM_SATELLITE]
    assert line.satellite.counts.resent == len(data) - len({(f.stream, f.sequence) for f in data})
    assert line.down.counts.lost - len(others) <= line.satellite.counts.lost <= line.down.counts.lost
    assert line.satellite.counts.lost > 50


def test_a_line_without_loss_repeats_nothing(link) -> None:
    line = link()
    line.satellite.send(content(1, 2 << 20), priority=1)
    line.station.send(content(2, 300_000), priority=0)
    line.run(until_s=20)
    assert line.satellite.idle and line.station.idle
    assert (line.satellite.counts.lost, line.station.counts.lost) == (0, 0)
    assert (line.satellite.counts.resent, line.station.counts.resent) == (0, 0)


def test_damaged_and_foreign_datagrams_are_counted(endpoint) -> None:
    satellite, station = acquainted(endpoint)
    stranger, _ = acquainted(endpoint, link_tag=b"else")
    for end in (satellite, stranger):
        end.send(b"hello", priority=0)
    good, foreign = satellite.data_to_send(1.0)[0], stranger.data_to_send(1.0)[0]
    for datagram in (foreign, good[:-1], good + b"x", b"", bytes([good[0] ^ 1]) + good[1:]):
        station.receive(datagram, 1.1)
    satellite.receive(good, 1.1)
    assert station.counts.rejected == 5 and satellite.counts.rejected == 1
    assert station.next_message() is None
    assert station.data_to_send(1.1) == []
    station.receive(good, 1.1)
    assert station.next_message() == (0, b"hello")


def test_the_same_seed_gives_the_same_datagrams(link, spoiler) -> None:
    def trace() -> list[bytes]:
        line = link(loss=0.2, seed=5, mischief=spoiler(np.random.default_rng(5)))
        for number in range(6):
            line.satellite.send(content(number, 50_000), priority=number % 4)
            line.station.send(content(number, 9_000), priority=number % 4)
        line.run(until_s=60)
        return line.trace

    assert trace() == trace()


def acquainted(endpoint, **settings: object) -> tuple[Endpoint, Endpoint]:
    """Satellite and station that have heard each other, before time 0."""
    ends = [endpoint(direction, **settings) for direction in Direction]
    for tick in range(-4, 0):
        said = [end.data_to_send(tick * 0.05) for end in ends]
        for end, datagrams in zip(ends, reversed(said), strict=True):
            for datagram in datagrams:
                end.receive(datagram, tick * 0.05)
    assert all(end.connection == 1 for end in ends)
    return ends[0], ends[1]


def data_frame(sequence: int, payload: bytes, *, ends: str = "fl", stream: int = 0) -> bytes:
    who = (b"pass", Direction.FROM_SATELLITE, 1, 1)
    return encode(Frame(Kind.DATA, *who, stream, "f" in ends, "l" in ends, sequence, payload))


def ack_frame(*held: Held) -> bytes:
    payload = encode_held((*held, *(4 - len(held)) * [NOTHING_HELD]))
    return encode(Frame(Kind.ACK, b"pass", Direction.FROM_STATION, 1, 1, payload=payload))


def test_a_message_over_the_cap_is_not_taken(endpoint) -> None:
    _, station = acquainted(endpoint, maximum_message_bytes=1500)
    station.receive(data_frame(0, bytes(1000), ends="f"), 0.0)
    station.receive(data_frame(1, bytes(501), ends="l"), 0.0)
    assert station.counts.rejected == 1 and station.next_message() is None
    station.receive(data_frame(1, bytes(500), ends="l"), 0.05)
    assert station.counts.rejected == 1 and station.next_message() == (0, bytes(1500))


def test_a_piece_that_contradicts_its_message_is_not_taken(endpoint) -> None:
    _, station = acquainted(endpoint)
    station.receive(data_frame(1, b"xx", ends="f"), 0.0)
    station.receive(data_frame(0, b"abc", ends="f"), 0.0)
    assert station.counts.rejected == 1 and station.next_message() is None
    station.receive(data_frame(1, b"def", ends="l"), 0.0)
    assert station.next_message() == (0, b"abcdef")


def test_an_acknowledgement_of_what_was_never_sent_is_refused(endpoint) -> None:
    satellite, _ = acquainted(endpoint)
    satellite.send(bytes(3000), priority=0)
    satellite.data_to_send(0.0)
    for held in (Held(4, 0, 0), Held(0, 0, 0b1000), Held(2**32 - 1, 0, 1), Held(2, 1, 0), Held(3, 2, 0)):
        satellite.receive(ack_frame(held), 0.1)
    assert satellite.counts.rejected == 5 and not satellite.idle and satellite.delivered(0) == 0
    satellite.receive(ack_frame(Held(3, 1, 0)), 0.1)
    assert satellite.idle and satellite.delivered(0) == 1


FORGED = st.builds(
    lambda kind, boots, stream, ends, sequence, payload: Frame(
        kind, b"pass", Direction.FROM_STATION, *boots, stream, *ends, sequence, payload
    ),
    st.just(Kind.DATA),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.integers(0, 3),
    st.tuples(st.booleans(), st.booleans()),
    st.one_of(st.integers(0, 6), st.integers(0, 2**32 - 1)),
    st.binary(min_size=1, max_size=8),
)
FORGED_ACK = st.builds(
    lambda payload, boots: Frame(Kind.ACK, b"pass", Direction.FROM_STATION, *boots, payload=payload),
    st.one_of(
        st.binary(max_size=30),
        st.tuples(*4 * [st.builds(Held, st.integers(0, 5), st.integers(0, 2), st.integers(0, 63))]).map(
            encode_held
        ),
    ),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
FORGED_OPEN = st.builds(
    lambda boots: Frame(Kind.OPEN, b"pass", Direction.FROM_STATION, *boots),
    st.tuples(st.one_of(st.integers(1, 4), st.just(2**32 - 1)), st.integers(0, 2**32 - 1)),
)


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60), FORGED.map(encode), FORGED_ACK.map(encode), FORGED_OPEN.map(encode)
        ),
        max_size=40,
    )
)
@settings(max_examples=200, deadline=None)
def test_nothing_from_outside_raises(endpoint, datagrams) -> None:
    satellite, _ = acquainted(endpoint)
    for tick, datagram in enumerate(datagrams):
        if satellite.room(4000, priority=1):
            satellite.send(bytes(4000), priority=1)
        satellite.receive(datagram, tick * 0.05)
        satellite.data_to_send(tick * 0.05)
        satellite.next_message()
        satellite.next_timer_s()


def test_a_storm_of_forged_frames_costs_bounded_memory(endpoint) -> None:
    """Windows full of pieces on every stream, of message after message never ended, boot after boot."""
    satellite, _ = acquainted(endpoint, maximum_message_bytes=100_000)
    window_bytes = MAXIMUM_WINDOW_FRAMES * (MAXIMUM_PAYLOAD_BYTES + 400)
    tracemalloc.start()
    try:
        for boot in (2, 3):
            who = (b"pass", Direction.FROM_STATION, boot, 1)
            for stream in range(4):
                for sequence in range(2 * MAXIMUM_WINDOW_FRAMES):
                    piece = Frame(Kind.DATA, *who, stream, sequence == 0, False, sequence, bytes(1104))
                    satellite.receive(encode(piece), 0.0)
            satellite.data_to_send(float(boot))
        assert tracemalloc.get_traced_memory()[1] < 4 * (window_bytes + 2 * 100_000)
        assert satellite.connection == 3
    finally:
        tracemalloc.stop()


def test_a_peer_that_never_answers_costs_bounded_memory(endpoint) -> None:
    satellite, _ = acquainted(endpoint, maximum_message_bytes=100_000)
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


def test_a_stream_that_nobody_reads_holds_its_sender_and_no_other(link) -> None:
    """The station's files are never read: bounded unread, and everything else goes on; then it is read."""
    line = link(settings={"maximum_message_bytes": 20_000})
    files = [content(number, 20_000) for number in range(600)]
    others = [content(number, 900) for number in range(200)]
    read, unread = line.station._inbound[Priority.FILES].read, lambda: None
    line.station._inbound[Priority.FILES].read = unread
    waiting = list(files)

    def tick() -> None:
        while waiting and line.satellite.room(len(waiting[0]), priority=Priority.FILES):
            line.satellite.send(waiting.pop(0), priority=Priority.FILES)
        line.tick()

    for number in range(200):
        line.satellite.send(others[number], priority=number % 3)
        tick()
    assert len(waiting) > 400 and line.satellite.delivered(Priority.FILES) == 0
    assert sorted(m for _, _, m in line.at_station) == sorted(others)
    held = line.satellite.counts.frames
    for _ in range(200):
        tick()
    assert line.satellite.counts.frames - held < 200
    assert sum(map(line.satellite.delivered, range(3))) == 200
    line.station._inbound[Priority.FILES].read = read
    for _ in range(300):
        tick()
    assert [m for _, priority, m in line.at_station if priority == Priority.FILES] == files
    assert line.satellite.delivered(Priority.FILES) == len(files)


def test_reading_again_is_told_to_the_sender(endpoint) -> None:
    _, station = acquainted(endpoint, maximum_message_bytes=100, maximum_buffer_bytes=150)
    for number in range(3):
        station.receive(data_frame(number, bytes(100)), 0.0)
    assert len(station.data_to_send(0.0)) == 1 and station.data_to_send(0.05) == []
    station.next_message()
    (datagram,) = station.data_to_send(0.1)
    assert decode(datagram).payload == encode_held((Held(3, 1, 0), *3 * [NOTHING_HELD]))


def test_a_message_is_delivered_when_it_was_read_and_that_was_told(endpoint) -> None:
    satellite, station = acquainted(endpoint)
    satellite.send(b"hello", priority=2)
    for datagram in satellite.data_to_send(0.0):
        station.receive(datagram, 0.05)
    for datagram in station.data_to_send(0.05):
        satellite.receive(datagram, 0.1)
    assert satellite.idle and satellite.delivered(2) == 0
    assert station.next_message() == (Priority.TELEMETRY, b"hello")
    assert satellite.delivered(2) == 0
    for datagram in station.data_to_send(0.1):
        satellite.receive(datagram, 0.15)
    assert satellite.delivered(2) == 1


def test_the_less_urgent_does_not_slip_through_while_the_line_is_full(endpoint) -> None:
    satellite, _ = acquainted(endpoint, rate_bit_s=2e6)
    satellite.send(bytes(60_000), priority=0)
    satellite.send(b"small", priority=1)
    streams = [decode(d).stream for tick in range(8) for d in satellite.data_to_send(tick * 0.05)]
    assert streams == 55 * [0] + [1]


def test_a_frame_far_ahead_is_not_held(endpoint) -> None:
    _, station = acquainted(endpoint)
    station.receive(data_frame(MAXIMUM_WINDOW_FRAMES, b"x"), 0.0)
    assert station.counts.rejected == 1
    station.receive(data_frame(MAXIMUM_WINDOW_FRAMES - 1, b"x"), 0.0)
    assert station.counts.rejected == 1


def test_the_timer_says_when_there_is_something_to_send(endpoint) -> None:
    fresh = endpoint(Direction.FROM_SATELLITE)
    assert fresh.next_timer_s() < 0.0 and len(fresh.data_to_send(0.0)) == 1
    again_s = fresh.next_timer_s()
    assert again_s == pytest.approx(ROUND_TRIP_S) and fresh.data_to_send(again_s - 0.01) == []
    assert len(fresh.data_to_send(again_s)) == 1
    satellite, station = acquainted(endpoint)
    assert satellite.next_timer_s() is None and satellite.data_to_send(0.0) == []
    satellite.send(b"hello", priority=0)
    assert satellite.next_timer_s() == 0.0
    (datagram,) = satellite.data_to_send(0.0)
    probe_s = satellite.next_timer_s()
    assert probe_s == pytest.approx(ROUND_TRIP_S)
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
        {"boot": 0},
        {"boot": 1 << 32},
        {"tick_s": float("nan")},
        {"maximum_message_bytes": 0},
        {"maximum_buffer_bytes": 1000},
    ],
)
def test_settings_out_of_range_are_refused(endpoint, wrong) -> None:
    with pytest.raises(ConfigError, match=rf"lasercom {next(iter(wrong))}: expected"):
        endpoint(Direction.FROM_STATION, **wrong)


def test_misuse_is_named(endpoint) -> None:
    _, station = acquainted(endpoint, maximum_message_bytes=10)
    with pytest.raises(LocalProtocolError, match="at most 10 bytes, got 11"):
        station.send(bytes(11), priority=0)
    with pytest.raises(LocalProtocolError, match="a priority 0 to 3, got 4"):
        station.send(b"", priority=4)
    with pytest.raises(LocalProtocolError, match=r"a boot above 1 .* got 1"):
        station.reset(boot=1)
    alone = endpoint(Direction.FROM_STATION)
    assert not alone.room(1, priority=0) and not alone.idle
    with pytest.raises(LocalProtocolError, match="an open connection"):
        alone.send(b"", priority=0)


def test_counts_add_up() -> None:
    assert LinkCounts(1, 2, 3, 4, 5) + LinkCounts(bytes=10) == LinkCounts(11, 2, 3, 4, 5)
