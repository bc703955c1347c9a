"""Ends that are started anew, forged boots: a connection is kept apart from those before it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.errors import ConfigError, LocalProtocolError
from satqkd.lasercom import Direction, Endpoint, Frame, Kind, Priority, decode, encode
from satqkd.lasercom.arq import ABANDONED_S


def open_frame(boot: int, peer_boot: int = 0) -> bytes:
    return encode(Frame(Kind.OPEN, b"pass", boot, peer_boot, Direction.FROM_SATELLITE, 0, 0, 0, 0, b""))


def test_nothing_is_sent_before_the_peer_is_heard_but_an_opening_a_round_trip(stranger) -> None:
    station = stranger(Direction.FROM_STATION, boot=4)
    with pytest.raises(LocalProtocolError, match="no peer has been heard"):
        station.send(b"x", priority=Priority.FILES)
    sent = [(tick, data) for tick in range(9) for data in station.data_to_send(tick * 0.05)]
    assert [tick for tick, _ in sent] == [0, 3, 6]
    (frame,) = {decode(data) for _, data in sent}
    assert frame == Frame(Kind.OPEN, b"pass", 4, 0, Direction.FROM_STATION, 0, 0, 0, 0, b"")


def test_one_opening_is_enough_for_both(stranger) -> None:
    satellite, station = stranger(Direction.FROM_SATELLITE), stranger(Direction.FROM_STATION)
    for datagram in satellite.data_to_send(0.0):
        station.receive(datagram, 0.0)
    assert (satellite.connection, station.connection) == (0, 1)
    station.send(b"hello", priority=1)
    answer, data = station.data_to_send(0.05)
    assert decode(answer).kind is Kind.ACK
    satellite.receive(data, 0.1)
    assert satellite.connection == 1 and satellite.next_message() == (1, b"hello")


def test_a_piece_of_the_past_does_not_complete_a_message_of_the_present(stranger) -> None:
    satellite, station = stranger(Direction.FROM_SATELLITE), stranger(Direction.FROM_STATION)
    meet(satellite, station)
    satellite.send(b"a" * 2000, priority=1)
    first, second = satellite.data_to_send(1.0)
    station.receive(first, 1.0)
    later = stranger(Direction.FROM_SATELLITE, boot=2)
    meet(later, station)
    station.receive(second, 1.2)
    station.receive(first, 1.2)
    assert station.next_message() is None and station.connection == 2
    later.send(b"b" * 2000, priority=1)
    for datagram in later.data_to_send(1.3):
        station.receive(datagram, 1.3)
    assert station.next_message() == (1, b"b" * 2000)


def test_a_reset_is_followed_by_the_peer_and_drops_what_was_on_its_way(stranger) -> None:
    satellite, station = stranger(Direction.FROM_SATELLITE), stranger(Direction.FROM_STATION)
    meet(satellite, station)
    satellite.send(b"before", priority=1)
    (old,) = satellite.data_to_send(1.0)
    station.reset(1.0, boot=9)
    assert station.connection == 2
    station.receive(old, 1.05)
    assert station.next_message() is None
    for datagram in station.data_to_send(1.05):
        satellite.receive(datagram, 1.1)
    assert satellite.connection == 2 and satellite.idle
    satellite.send(b"after", priority=1)
    for datagram in satellite.data_to_send(1.1):
        station.receive(datagram, 1.15)
    assert station.next_message() == (1, b"after")
    with pytest.raises(ConfigError, match="more than 9, got 9"):
        station.reset(1.2, boot=9)


def test_an_earlier_boot_counts_only_when_the_later_one_has_gone_silent(stranger) -> None:
    station = stranger(Direction.FROM_STATION)
    station.receive(open_frame(5), 0.0)
    station.receive(open_frame(2**32 - 1), 1.0)
    assert station.connection == 2
    station.receive(open_frame(5), 1.0 + ABANDONED_S)
    assert (station.connection, station.counts.rejected) == (2, 1)
    station.receive(open_frame(5), 1.1 + ABANDONED_S)
    assert station.connection == 3


@pytest.mark.parametrize("boot", [0, -1, 2**32])
def test_a_boot_out_of_range_is_refused(stranger, boot) -> None:
    with pytest.raises(ConfigError, match="lasercom boot: expected"):
        stranger(Direction.FROM_STATION, boot=boot)


def meet(satellite: Endpoint, station: Endpoint) -> None:
    for sender, receiver in 2 * [(satellite, station), (station, satellite)]:
        for datagram in sender.data_to_send(0.9):
            receiver.receive(datagram, 0.9)


STARTS = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 1)), max_size=4)
TRAFFIC = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 3), st.integers(0, 5000)), min_size=4, max_size=25
)


@given(TRAFFIC, STARTS, st.floats(0, 0.3), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=80, deadline=None)
def test_within_a_connection_all_arrives_once_whole_and_in_order(
    link, stranger, spoiler, traffic, starts, loss, seed, noisy
) -> None:
    """Ends are started anew at any moment while the line still carries what they said before."""
    line = link(loss=loss, seed=seed, mischief=spoiler(np.random.default_rng(seed)) if noisy else list)
    boots, said, heard = {0: 1, 1: 1}, {}, {}
    due = sorted((line.ticks + tick, end) for tick, end in starts)
    ends = lambda: (line.satellite, line.station)  # noqa: E731
    queue = [(number, *each) for number, each in enumerate(traffic)]

    def tick() -> None:
        while due and due[0][0] <= line.ticks:
            _, end = due.pop(0)
            boots[end] += 1
            fresh = stranger(Direction(end), boot=boots[end], rate_bit_s=line.rates_bit_s[end])
            setattr(line, ("satellite", "station")[end], fresh)
        before = len(line.at_station), len(line.at_satellite)
        line.tick()
        for end, inbox, seen in ((0, line.at_station, before[0]), (1, line.at_satellite, before[1])):
            other = ends()[1 - end]
            for _, priority, message in inbox[seen:]:
                heard.setdefault((end, priority), []).append((boots[0], boots[1], other.connection, message))

    for number, wait, priority, size in queue:
        for _ in range(wait):
            tick()
        for end in (0, 1):
            message = number.to_bytes(4, "little") + bytes([end]) + bytes(size)
            if ends()[end].connection and ends()[end].room(len(message), priority=priority):
                ends()[end].send(message, priority=priority)
                said.setdefault((end, priority), []).append(message)
    for _ in range(400):
        tick()
        if not due and all(each.connection and each.idle for each in ends()):
            break
    for way, arrived in heard.items():
        messages = [message for *_, message in arrived]
        assert set(messages) <= set(said[way]), "nothing is invented"
        assert len(set(messages)) == len(messages), "nothing arrives twice"
        order = [said[way].index(message) for message in messages]
        assert order == sorted(order), "nothing overtakes in its stream"
    if not starts:
        assert {way: [message for *_, message in each] for way, each in heard.items()} == said
