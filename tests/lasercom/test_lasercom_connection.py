"""Connections: either end starts again at any moment, and nothing is lost, doubled within one, or invented.

Two owners as the endpoint's contract asks for: a durable outbox that is offered again when the connection
changed and shortened by what is delivered, a durable record of what was read, written before `data_to_send`.
"""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.config import Impairments
from satqkd.lasercom import Channel, Direction, Endpoint, Fates, Frame, FrameLoss, Kind, Priority, encode
from satqkd.lasercom.connection import MAXIMUM_STARTS_LOST

TICK_S = 0.05
LIGHT_TIME_S = 0.004
Pair = tuple[int, int]


@dataclass
class Owner:
    """A node that may be killed between any two steps; what is a field here survives."""

    direction: Direction
    make: object
    boot: int = 0
    outbox: dict[Priority, list[bytes]] = field(default_factory=lambda: {p: [] for p in Priority})
    record: list[tuple[Pair, Priority, bytes]] = field(default_factory=list)
    offered: dict[tuple[Pair, Priority], list[bytes]] = field(default_factory=dict)
    """What was said in each connection, in order: the test's knowledge, no node's."""

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.boot += 1
        self.end: Endpoint = self.make(self.direction, boot=self.boot)
        self.connection = 0
        self.unread: set[Priority] = set()

    def reset(self) -> None:
        self.boot += 1
        self.end.reset(boot=self.boot)

    @property
    def pair(self) -> Pair:
        own, peer = self.end.boots
        return (own, peer) if self.direction is Direction.FROM_SATELLITE else (peer, own)

    def take(self, datagrams: list[bytes], now_s: float) -> list[tuple[Pair, Priority, bytes]]:
        taken = []
        for datagram in datagrams:
            self.end.receive(datagram, now_s)
        while (message := self.end.next_message()) is not None:
            taken.append((self.pair, *message))
        return taken

    def speak(self, taken: list[tuple[Pair, Priority, bytes]], now_s: float) -> list[bytes]:
        self.record += taken
        if self.end.connection != self.connection:
            self.connection = self.end.connection
            self.sent, self.settled = dict.fromkeys(Priority, 0), dict.fromkeys(Priority, 0)
        for priority in Priority if self.connection else ():
            self._offer(priority)
        return self.end.data_to_send(now_s)

    def _offer(self, priority: Priority) -> None:
        box = self.outbox[priority]
        delivered = self.end.delivered(priority)
        del box[: delivered - self.settled[priority]]
        self.sent[priority] -= delivered - self.settled[priority]
        self.settled[priority] = delivered
        for message in box[self.sent[priority] :]:
            if not self.end.room(len(message), priority=priority):
                break
            self.end.send(message, priority=priority)
            self.offered.setdefault((self.pair, priority), []).append(message)
            self.sent[priority] += 1


class World:
    """Two owners, two channels that lose, double, delay and damage."""

    def __init__(self, endpoint, impairments: Impairments, loss: float, seed: int) -> None:
        self.owners = [Owner(direction, endpoint) for direction in Direction]
        self.channels = [
            Channel(
                rate_bit_s=2e6,
                frame_loss=FrameLoss.constant(loss),
                rng=np.random.default_rng([seed, number, 0]),
                fates=Fates(impairments, np.random.default_rng([seed, number, 1])),
            )
            for number in (0, 1)
        ]
        self.ticks = 0
        self.numbers = 0

    def say(self, end: int, priority: Priority, size: int) -> None:
        self.numbers += 1
        self.owners[end].outbox[priority].append(self.numbers.to_bytes(4, "big") + bytes(size))

    def tick(self, *, killed: int | None = None) -> None:
        """killed: the owner that dies after it took its messages in and before it committed them."""
        now_s = self.ticks * TICK_S
        for number, owner in enumerate(self.owners):
            taken = owner.take(self.channels[1 - number].due(now_s), now_s)
            if killed == number:
                owner.start()
                continue
            for datagram in owner.speak(taken, now_s):
                self.channels[number].submit(datagram, now_s, LIGHT_TIME_S)
            self.check_delivered(number)
        self.ticks += 1

    def check_delivered(self, number: int) -> None:
        """No more is told delivered than the other's durable record of this connection holds."""
        owner, peer = self.owners[number], self.owners[1 - number]
        for priority in Priority:
            read = sum(entry[:2] == (owner.pair, priority) for entry in peer.record)
            assert owner.end.delivered(priority) <= read

    def check(self) -> None:
        """In each connection the record of a priority is what was said in it, in order, from its start."""
        for sender, reader in (self.owners, reversed(self.owners)):
            read: dict[tuple[Pair, Priority], list[bytes]] = {}
            for pair, priority, message in reader.record:
                read.setdefault((pair, priority), []).append(message)
            for key, messages in read.items():
                assert messages == sender.offered[key][: len(messages)]


SCHEDULE = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from(["say", "say", "say", "say", "kill", "kill mid-step", "reset"]),
        st.integers(0, 1),
        st.sampled_from(Priority),
        st.one_of(st.integers(0, 40), st.integers(0, 6000)),
    ),
    min_size=1,
    max_size=30,
)
HARM = st.builds(
    lambda burst, doubled, late, spoilt: Impairments(
        burst_loss=burst,
        burst_s=0.1,
        duplicated=doubled,
        reordered=late,
        delay_spread_s=0.4,
        corrupted=spoilt,
    ),
    *4 * [st.sampled_from([0.0, 0.05, 0.3])],
)


@given(SCHEDULE, HARM, st.sampled_from([0.0, 0.05, 0.3]), st.integers(0, 2**32 - 1))
@settings(max_examples=120, deadline=None)
def test_whoever_starts_again_whenever_it_does(endpoint, schedule, harm, loss, seed) -> None:
    """Exactly once and in order within a connection and priority; over all connections at least once."""
    world = World(endpoint, harm, loss, seed)
    said: list[set[bytes]] = [set(), set()]
    for wait, action, end, priority, size in schedule:
        for _ in range(wait):
            world.tick()
        owner = world.owners[end]
        if action == "say":
            world.say(end, priority, size)
            said[end].add(owner.outbox[priority][-1])
        elif action == "kill":
            owner.start()
        elif action == "kill mid-step":
            world.tick(killed=end)
        else:
            owner.reset()
    for _ in range(600):
        world.tick()
        if not any(box for owner in world.owners for box in owner.outbox.values()):
            break
    world.check()
    for number, reader in ((0, world.owners[1]), (1, world.owners[0])):
        assert not any(world.owners[number].outbox.values())
        assert {message for _, _, message in reader.record} == said[number]


def quiet(endpoint) -> World:
    world = World(endpoint, Impairments(), 0.0, 1)
    while not all(owner.connection for owner in world.owners):
        world.tick()
    return world


def test_an_opening_costs_at_most_a_round_trip(endpoint) -> None:
    """OPENs cross: from the third tick on both may speak; an end that starts again likewise."""
    world = World(endpoint, Impairments(), 0.0, 1)
    world.tick()
    assert [owner.end.connection for owner in world.owners] == [0, 0]
    world.tick()
    assert [owner.end.connection for owner in world.owners] == [1, 1]
    for _ in range(10):
        world.tick()
    world.owners[1].start()
    ticks = 0
    while not world.owners[1].end.connection:
        world.tick()
        ticks += 1
    assert ticks <= 3 and world.owners[0].end.connection == 2


def test_an_open_connection_says_nothing_more(endpoint) -> None:
    world = quiet(endpoint)
    for _ in range(5):
        world.tick()
    before = [owner.end.counts.frames for owner in world.owners]
    for _ in range(100):
        world.tick()
    assert [owner.end.counts.frames for owner in world.owners] == before
    assert all(frames <= 3 for frames in before)


def test_openings_go_on_at_a_steady_pace_until_heard(endpoint) -> None:
    alone = endpoint(Direction.FROM_STATION)
    said = [tick for tick in range(1200) if alone.data_to_send(tick * TICK_S)]
    gaps = np.diff(said) * TICK_S
    assert said[0] == 0 and set(gaps.round(6)) == {0.2}


def test_what_an_old_connection_left_half_done_is_gone(endpoint) -> None:
    """Half a message in, whole ones unread, unacknowledged ones out: none survives the peer's new boot."""
    satellite, station = (endpoint(direction) for direction in Direction)
    exchange(satellite, station)
    station.send(b"unread", priority=0)
    station.send(bytes(3000), priority=1)
    *most, _ = station.data_to_send(1.0)
    for datagram in most:
        satellite.receive(datagram, 1.1)
    satellite.send(b"never heard", priority=0)
    late = satellite.data_to_send(1.1)
    again = endpoint(Direction.FROM_STATION, boot=2)
    exchange(satellite, again)
    assert (satellite.connection, again.connection) == (2, 1)
    assert satellite.next_message() is None and satellite.idle and satellite.delivered(0) == 0
    again.send(b"anew", priority=1)
    for datagram in again.data_to_send(3.0):
        satellite.receive(datagram, 3.1)
    assert satellite.next_message() == (1, b"anew")
    for datagram in (*most, *late):
        satellite.receive(datagram, 3.2)
        again.receive(datagram, 3.2)
    assert satellite.next_message() is None and again.next_message() is None
    assert (satellite.connection, again.connection) == (2, 1)


def test_a_boot_beyond_its_own_is_seen_by_the_end_that_was_left_behind(endpoint) -> None:
    """Its count of starts went back: nobody hears it, until it takes a boot beyond the one it is named."""
    satellite, station = endpoint(Direction.FROM_SATELLITE), endpoint(Direction.FROM_STATION, boot=9)
    exchange(satellite, station)
    behind = endpoint(Direction.FROM_STATION, boot=4)
    satellite.send(b"to boot 9", priority=0)
    for datagram in satellite.data_to_send(3.0):
        behind.receive(datagram, 3.1)
    exchange(satellite, behind)
    assert behind.addressed_boot == 9 and satellite.connection == 1
    assert behind.next_message() is None
    behind.reset(boot=behind.addressed_boot + 1)
    exchange(satellite, behind)
    assert satellite.boots == (1, 10) and behind.boots == (10, 1) and satellite.connection == 2


@pytest.mark.parametrize("boot", [2**32 - 1, 2**32 - 2, 1 + MAXIMUM_STARTS_LOST + 1])
def test_a_frame_that_names_a_start_that_cannot_have_been_is_not_believed(endpoint, boot: int) -> None:
    """Anybody can make it up; followed, it would use up all boots, and the end could never start again."""
    satellite = endpoint(Direction.FROM_SATELLITE)
    satellite.receive(encode(Frame(Kind.OPEN, b"pass", Direction.FROM_STATION, 1, boot)), 1.0)
    assert satellite.addressed_boot == 0
    last = Frame(Kind.OPEN, b"pass", Direction.FROM_STATION, 1, 1 + MAXIMUM_STARTS_LOST)
    satellite.receive(encode(last), 1.0)
    assert satellite.addressed_boot == 1 + MAXIMUM_STARTS_LOST


def exchange(satellite: Endpoint, station: Endpoint, *, ticks: int = 4) -> None:
    for tick in range(ticks):
        now_s = 2.0 + tick * TICK_S
        down, up = satellite.data_to_send(now_s), station.data_to_send(now_s)
        for datagram in down:
            station.receive(datagram, now_s)
        for datagram in up:
            satellite.receive(datagram, now_s)


@pytest.mark.parametrize("dead_s", [0.2, 60.0])
def test_either_end_may_be_away_for_long(endpoint, dead_s) -> None:
    world = quiet(endpoint)
    for _ in range(20):
        world.say(0, Priority.DISTILLATION, 3000)
        world.say(1, Priority.FILES, 3000)
    satellite, station = world.owners
    for _ in range(int(dead_s / TICK_S)):
        now_s = world.ticks * TICK_S
        for datagram in satellite.speak(satellite.take(world.channels[1].due(now_s), now_s), now_s):
            world.channels[0].submit(datagram, now_s, LIGHT_TIME_S)
        world.channels[0].due(now_s)
        world.ticks += 1
    station.start()
    for _ in range(60):
        world.tick()
    assert not any(box for owner in world.owners for box in owner.outbox.values())
    world.check()
