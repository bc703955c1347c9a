"""Sessions that die and are taken up again: what is said and made is that of sessions that never died."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.distill.memory import Input, Memory, RecordedRandom, Remembered
from satqkd.distill.outcome import BlockReport
from satqkd.distill.parameters import Parameters
from satqkd.distill.satellite_session import SatelliteSession
from satqkd.distill.session import Session
from satqkd.distill.station_session import StationSession
from satqkd.errors import LocalProtocolError
from satqkd.randomness import stream_bytes
from session_pair import DOWN, SOURCE, UP, MemoryShelf, Pair, Pool, Table, flown, kind_of, parameters

AGREED = parameters(slots=300_000, blocks=3)
Dies = Callable[[str, int], bool]
"""Given an end (by the direction in which it speaks) and how many messages it has taken."""


class Durable:
    """What one end has written down."""

    def __init__(self) -> None:
        self.memory, self.inputs, self.outbox = b"", b"", []  # type: tuple[bytes, bytes, list[bytes]]

    def commit(self, session: Session) -> None:
        memory = session.memory()
        gone = {each.block for each in memory.finished}
        known = msgspec.msgpack.decode(self.inputs, type=list[Input]) if self.inputs else []
        kept = [each for each in known + session.inputs() if each.block not in gone]
        self.memory, self.inputs = msgspec.msgpack.encode(memory), msgspec.msgpack.encode(kept)
        self.outbox += session.data_to_send()

    def remembered(self) -> Remembered:
        inputs = msgspec.msgpack.decode(self.inputs, type=tuple[Input, ...])
        return Remembered(msgspec.msgpack.decode(self.memory, type=Memory), inputs)


class MortalPair(Pair):
    """Each end dies where `dies` says, after what it did is durable; its peer says the rest again."""

    def __init__(self, agreed: Parameters, table: Table, *, dies: Dies, **more: Any) -> None:
        super().__init__(agreed, table, **more)
        self.dies, self.deaths = dies, 0
        self.durable = {DOWN: Durable(), UP: Durable()}
        self.told = {DOWN: 0, UP: 0}

    def exchange(self, now_s: float) -> None:
        for way in (DOWN, UP):
            self.commit(way)
        while any(self.told[way] < len(self.durable[way].outbox) for way in (DOWN, UP)):
            for way in (DOWN, UP):
                self.speak(way, now_s)

    def session(self, way: str) -> Session:
        return self.satellite if way == DOWN else self.station

    def speak(self, way: str, now_s: float) -> None:
        other = UP if way == DOWN else DOWN
        while self.told[way] < len(self.durable[way].outbox):
            data = self.durable[way].outbox[self.told[way]]
            self.told[way] += 1
            if self.told[way] > sum(each == way for each, *_ in self.said):
                self.said.append((way, now_s, data))
            before = self.session(other).received
            self.session(other).receive(data, now_s)
            self.commit(other)
            taken = self.session(other).received
            if taken > before and self.dies(other, taken):
                self.revive(other)
                self.told[way] = self.receipted(other) if self.session(way).received else 0

    def receipted(self, by: str) -> int:
        """What the peer of an end knows that it has."""
        receipt = self.session(by).receipt()
        told = self.session(UP if by == DOWN else DOWN).receipted(receipt) if receipt else None
        return 0 if told is None else told

    def commit(self, way: str) -> None:
        session = self.session(way)
        while (event := session.next_event()) is not None:
            self.events[way].append(event)
            self.shelves[way == UP].handle(event, self.agreed)
        self.durable[way].commit(session)

    def revive(self, way: str) -> None:
        self.deaths += 1
        remembered, pool, shelf = (
            self.durable[way].remembered(),
            self.pools[way == UP],
            self.shelves[way == UP],
        )
        if way == DOWN:
            dead = self.satellite._random._randbytes
            self.satellite = SatelliteSession(
                self.agreed, pool, self.table, dead, shelf, remembered=remembered
            )
        else:
            self.station = StationSession(self.agreed, pool, shelf, remembered=remembered)


def twin_of(agreed: Parameters, dies: Dies, **more: Any) -> MortalPair:
    pair = MortalPair(agreed, Table(agreed), dies=dies, **more)
    pair.fly()
    return pair


def same_pass(one: Pair, other: Pair) -> None:
    assert [(way, data) for way, _, data in one.said] == [(way, data) for way, _, data in other.said]
    for way in (DOWN, UP):
        assert one.reports(way) == other.reports(way)
        assert one.keys(way) == other.keys(way)
        assert one.confirmed(way) == other.confirmed(way) != set()
    assert [pool.drawn for pool in one.pools] == [pool.drawn for pool in other.pools]


@pytest.mark.parametrize(
    "protocol",
    [
        {},
        {"reconciliation": "cascade-least-leak"},
        {"keyed_bases": ("Z",), "keyed_classes": ("signal", "decoy")},
        {"further_rounds": 5, "frame_bits": 8192},
    ],
    ids=lambda protocol: ",".join(protocol) or "default",
)
def test_ends_that_die_after_every_message_say_and_make_the_same(protocol: dict[str, Any]) -> None:
    agreed = parameters(slots=200_000, blocks=2, **protocol)
    plain = flown(agreed)
    pair = twin_of(agreed, lambda way, taken: True)
    assert pair.deaths >= len(pair.said)
    same_pass(pair, plain)


@settings(max_examples=15, deadline=None)
@given(st.sets(st.tuples(st.sampled_from([DOWN, UP]), st.integers(1, 60)), max_size=8))
def test_ends_that_die_anywhere_say_and_make_the_same(deaths: set[tuple[str, int]]) -> None:
    left = set(deaths)

    def dies(way: str, taken: int) -> bool:
        dead = (way, taken) in left
        left.discard((way, taken))
        return dead

    same_pass(twin_of(AGREED, dies), flown(AGREED))


def test_the_two_epsilons_of_authentication_are_those_of_an_unbroken_pass() -> None:
    plain, pair = flown(AGREED), twin_of(AGREED, lambda way, taken: True)
    for way in ("satellite", "station"):
        assert getattr(pair, way).epsilon_authentication == getattr(plain, way).epsilon_authentication > 0


def test_pools_are_taken_up_where_they_were() -> None:
    def passes() -> list[Parameters]:
        plan = [("p", 2_000), ("p", 2_000)]
        return [
            parameters(slots=80_000, blocks=2, planned=plan, pass_id=f"pass{number}", **rules)
            for number in range(3)
        ]

    rules: dict[str, Any] = {"pooling": "pooled", "pool_sifted_bits": 9_000}
    made: list[tuple[dict[int, bytes], list[BlockReport]]] = []
    for dies in (lambda way, taken: False, lambda way, taken: True):
        shelves = (MemoryShelf(), MemoryShelf())
        for number, agreed in enumerate(passes()):
            pools = (Pool(position_bits=8192 * number), Pool(position_bits=8192 * number))
            pair = MortalPair(agreed, Table(agreed, seed=number), dies=dies, shelves=shelves, pools=pools)
            pair.fly()
            made.append((pair.keys(DOWN), pair.reports(DOWN)))
            assert pair.keys(DOWN) == pair.keys(UP)
        assert shelves[0].taken == shelves[1].taken != []
        assert shelves[0].states == shelves[1].states
    assert made[:3] == made[3:]
    assert any(keys for keys, _ in made)


def test_a_cut_block_is_taken_up_as_it_was_cut() -> None:
    flights = []
    for dies in (lambda way, taken: False, lambda way, taken: True):
        table = Table(AGREED)
        table.horizon_slots = 60_000
        pair = MortalPair(AGREED, table, dies=dies)
        pair.greet()
        for low, high, at_slot in (
            (0, 70_000, 70_000),
            (70_000, 75_000, 150_000),
            (75_000, 100_000, 151_000),
        ):
            rows = slice(*np.searchsorted(table.slots, [low, high]))
            pair.station.announce(table.slots[rows], table.bases[rows], table.bits[rows])
            pair.exchange(at_slot / SOURCE.pulse_rate_hz + 1e-7)
        pair.open_block(0)
        assert "Cut" in [kind_of(data) for *_, data in pair.said]
        flights.append(pair)
    assert flights[0].reports(UP) == flights[1].reports(UP) != []
    assert flights[0].said == flights[1].said


def test_a_finished_block_leaves_no_input_behind() -> None:
    pair = twin_of(AGREED, lambda way, taken: False)
    for durable in pair.durable.values():
        assert durable.remembered().inputs == ()
        assert len(durable.remembered().memory.finished) == 3


def test_raw_key_does_not_show_in_text() -> None:
    pair = Pair(AGREED, Table(AGREED))
    pair.greet()
    pair.announce(0)
    shown = repr(pair.satellite.inputs()) + repr(pair.station.inputs()) + repr(pair.station.memory())
    key = pair.station.memory().pass_key
    assert len(key) > 64
    assert repr(key)[2:40] not in shown
    assert "bytes" not in shown and "\\x" not in shown


class TestRecordedRandom:
    def test_what_was_drawn_is_drawn_again(self) -> None:
        source = RecordedRandom(stream_bytes(1, "source"))
        first = source(5) + source(3)
        noted = source.noted()
        assert (noted, source.noted()) == (first, b"")
        again: list[bytes] = []
        source.replay(noted, lambda: again.extend((source(5), source(3))))
        assert b"".join(again) == first
        assert source(8) != first

    @pytest.mark.parametrize("drawn", [4, 6])
    def test_another_number_of_bytes_tells_of_other_software(self, drawn: int) -> None:
        source = RecordedRandom(stream_bytes(1, "source"))
        with pytest.raises(LocalProtocolError, match="other software"):
            source.replay(bytes(5), lambda: source(drawn))


def test_a_receipt_of_another_key_proves_nothing() -> None:
    one, other = Pair(AGREED, Table(AGREED)), Pair(AGREED, Table(AGREED), pools=(Pool(seed=2), Pool(seed=2)))
    for pair in (one, other):
        assert pair.satellite.receipt() == b""
        pair.greet()
    receipt = one.station.receipt()
    assert one.satellite.receipted(receipt) == one.satellite.sent
    assert other.satellite.receipted(receipt) is None
    assert one.station.receipted(receipt) is None, "a receipt turned back is none"
    assert one.satellite.receipted(receipt[:-1] + bytes([receipt[-1] ^ 1])) is None
    message = (
        next(data for way, _, data in one.said if way == UP and kind_of(data) != "Hello")
        if len(one.said) > 3
        else receipt
    )
    assert one.satellite.receipted(message) in (None, one.satellite.sent)
