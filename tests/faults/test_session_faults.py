"""Peers that are wrong, early, late or hostile: the session ends in one error, nothing is confirmed."""

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.distill import gaps, messages, reconcile
from satqkd.distill.authenticate import MAXIMUM_SKIPPED_PASSES, pass_key_bits
from satqkd.distill.parameters import Parameters
from satqkd.distill.session import Session
from satqkd.distill.station_block import StationBlock
from satqkd.errors import AuthenticationError, KeyExhausted, LocalProtocolError, RemoteProtocolError
from session_pair import (
    DOWN,
    LIGHT_TIME_S,
    UP,
    Pair,
    Pool,
    Table,
    kind_of,
    parameters,
    resealed,
    with_message,
)

AGREED = parameters(slots=150_000)
SMALL = parameters(slots=300)


@lru_cache(maxsize=4)
def table(agreed: Parameters = AGREED) -> Table:
    return Table(agreed)


def pair(agreed: Parameters = AGREED, **settings: Any) -> Pair:
    return Pair(agreed, table(agreed), **settings)


def said_by_kind() -> dict[str, int]:
    """Number in the whole conversation of the first message of each kind."""
    numbers: dict[str, int] = {}
    for number, (_, _, data) in enumerate(pair().fly().said):
        numbers.setdefault(kind_of(data), number)
    return numbers


KINDS = said_by_kind()


class Nth:
    """Changes the n-th message of the conversation on its way."""

    def __init__(self, number: int, change: Callable[[str, bytes], bytes | None]) -> None:
        self.number, self.change, self.seen = number, change, -1

    def __call__(self, direction: str, data: bytes) -> bytes | None:
        self.seen += 1
        return self.change(direction, data) if self.seen == self.number else data


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


def sender(mine: Pair, direction: str) -> Session:
    return mine.satellite if direction == DOWN else mine.station


def test_a_wrong_peer_is_named_and_no_key_is_drawn() -> None:
    mine = pair(SMALL, station_agreed=msgspec.structs.replace(SMALL, station="impostor"))
    with pytest.raises(
        RemoteProtocolError, match=r"expected hello of \w+ to \w+, got .*wrong peer"
    ) as caught:
        mine.greet()
    assert caught.value.exit_code == 4
    assert [pool.drawn for pool in mine.pools] == [[], []]


@pytest.mark.parametrize(
    "change",
    [
        {"slots": 301},
        {"expected_qber": 0.006},
        {"software": "another version"},
        {"protocol": parameters(epsilon_secrecy=1e-8).protocol},
        {"protocol": parameters(keyed_bases=("Z",)).protocol},
        {"maximum_light_time_s": 0.0051},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_parameters_end_the_pass_before_key_is_drawn(change: dict[str, Any]) -> None:
    mine = pair(SMALL, station_agreed=msgspec.structs.replace(SMALL, **change))
    with pytest.raises(RemoteProtocolError, match="other parameters"):
        mine.greet()
    assert [pool.drawn for pool in mine.pools] == [[], []]


def test_a_message_of_another_pass_is_refused() -> None:
    mine = pair(SMALL, station_agreed=msgspec.structs.replace(SMALL, pass_id="another.pass"))
    with pytest.raises(RemoteProtocolError, match="expected pass"):
        mine.greet()


def test_stores_of_other_pairs_disagree_at_the_first_message() -> None:
    mine = pair(SMALL, pools=(Pool(seed=1), Pool(seed=2)))
    with pytest.raises(AuthenticationError) as caught:
        mine.greet()
    assert caught.value.exit_code == 3


@settings(max_examples=60, deadline=None)
@given(st.integers(2, max(KINDS.values())), st.integers(0, 2**20))
def test_any_changed_bit_ends_the_session_unconfirmed(number: int, bit: int) -> None:
    mine = pair(hook=Nth(number, lambda _, data: flipped(data, bit)))
    with pytest.raises(AuthenticationError) as caught:
        mine.fly()
    assert caught.value.exit_code == 3
    assert mine.confirmed(DOWN) == set()
    assert mine.confirmed(UP) <= ({0} if number == KINDS["Done"] else set())
    assert all(report.outcome != "key" for report in mine.reports(DOWN))


@settings(max_examples=80, deadline=None)
@given(st.sampled_from([0, 1]), st.integers(0, 2**11))
def test_a_changed_hello_ends_the_session_or_changes_nothing(number: int, bit: int) -> None:
    mine = pair(SMALL, hook=Nth(number, lambda _, data: flipped(data, bit)))
    try:
        mine.fly()
    except RemoteProtocolError:
        return
    length = len(mine.said[number][2])
    assert bit // 8 % length >= length - 16


def test_a_message_said_twice_has_no_effect_the_second_time() -> None:
    plain = pair().fly()
    for number, (direction, _, _) in enumerate(plain.said):
        mine = pair()
        receiver = sender(mine, UP if direction == DOWN else DOWN)

        def twice(_: str, data: bytes, receiver: Session = receiver) -> bytes:
            receiver.receive(data, 1.0)
            return data

        mine.hook = Nth(number, twice)
        mine.fly()
        assert [data for _, _, data in mine.said] == [data for _, _, data in plain.said]
        assert (mine.keys(DOWN), mine.keys(UP)) == (plain.keys(DOWN), plain.keys(UP))


def test_a_lost_message_is_noticed_by_the_next() -> None:
    mine = pair(hook=Nth(KINDS["Announce"], lambda *_: None))
    with pytest.raises(RemoteProtocolError, match=r"expected message \d+, got \d+"):
        mine.fly()


def test_a_message_of_an_earlier_pass_with_other_key_is_refused() -> None:
    old = pair(pools=(Pool(seed=9), Pool(seed=9))).fly().said
    mine = pair(hook=Nth(KINDS["Bases"], lambda *_: old[KINDS["Bases"]][2]))
    with pytest.raises(AuthenticationError):
        mine.fly()


def test_ones_own_words_come_back() -> None:
    mine = pair(SMALL)
    mine.greet()
    for session, data in ((mine.satellite, mine.said[2][2]), (mine.station, None)):
        if data is None:
            mine.station.report_lock(locked=True, beacons_seen=1)
            (data,) = mine.station.data_to_send()
        with pytest.raises(AuthenticationError):
            session.receive(data, 0.0)


def one_slot_earlier(message: messages.Announce) -> messages.Announce:
    slots = gaps.decode(
        message.gaps, start_slot=message.start_slot, maximum_count=message.detections, end_slot=10**6
    )
    place = int(np.flatnonzero(np.diff(slots) > 1)[0]) + 1
    slots[place] -= 1
    return announced(slots.tolist(), message.start_slot)


def changed(**fields: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A change of some fields of a message."""
    return lambda message: msgspec.structs.replace(
        message, **{name: change(getattr(message, name)) for name, change in fields.items()}
    )


def bit_77(data: bytes) -> bytes:
    return flipped(data, 77)


def first_counts_one_more(table: Any) -> Any:
    return ((table[0][0] + 1, *table[0][1:]), *table[1:])


UNDER_A_FITTING_CODE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "Announce": (one_slot_earlier, "transcript"),
    "Ended": (changed(detections=lambda n: n + 1), "detections were announced"),
    "Bases": (changed(bases=bit_77), "transcript"),
    "Sift": (changed(values=bit_77), "transcript"),
    "Crossed": (changed(values=bit_77), "transcript"),
    "ChooseCodes": (changed(code_classes=lambda classes: (classes[0] + 8, *classes[1:])), "parities"),
    "Parities": (changed(parities=bit_77), "transcript"),
    "Verdicts": (changed(verdicts=lambda data: flipped(data, 0)), "awaited|cannot take Parities"),
    "Verify": (changed(seed=bit_77), "aborted"),
    "Close": (changed(errors=first_counts_one_more), "transcript"),
    "Amplify": (changed(seeds=lambda seeds: (bit_77(seeds[0]), *seeds[1:])), "transcript"),
    "Confirm": (changed(key_tag=bit_77), "unconfirmed"),
    "Confirmed": (changed(key_tag=bit_77), "unconfirmed"),
}
"""Message, change, and what ends the block: words of an error, or an outcome."""


@pytest.mark.parametrize("kind", UNDER_A_FITTING_CODE)
def test_who_breaks_the_code_on_line_still_meets_the_one_time_tags(kind: str) -> None:
    """The code on line is worth nothing here; still no block is confirmed with a changed message."""
    mine = pair()
    change, end = UNDER_A_FITTING_CODE[kind]
    mine.hook = Nth(KINDS[kind], lambda way, data: with_message(sender(mine, way), data, change))
    if end in ("aborted", "unconfirmed"):
        mine.fly()
        assert [report.outcome for way in (UP, DOWN) for report in mine.reports(way)] == [end] * 2
    else:
        with pytest.raises(AuthenticationError if end == "transcript" else RemoteProtocolError, match=end):
            mine.fly()
    assert mine.confirmed(UP) == mine.confirmed(DOWN) == set()
    assert all(report.secret_bits == 0 for way in (UP, DOWN) for report in mine.reports(way))


def test_a_verdict_turned_round_under_a_fitting_code_confirms_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The satellite found another key and says so; on the way its no becomes a yes."""
    true = StationBlock._distilled
    monkeypatch.setattr(StationBlock, "_distilled", lambda *args: flipped(true(*args), 5))
    mine = pair()
    yes = changed(matches=lambda _: True)
    mine.hook = Nth(KINDS["Confirmed"], lambda way, data: with_message(sender(mine, way), data, yes))
    mine.fly()
    assert mine.confirmed(UP) == mine.confirmed(DOWN) == set()


def test_no_seed_leaves_before_the_close_is_verified() -> None:
    mine, drawn = pair(), []
    source = mine.satellite._random._randbytes

    def randbytes(count: int) -> bytes:
        drawn.append(count)
        return source(count)

    mine.satellite._random._randbytes = randbytes

    def change(message: Any) -> Any:
        return msgspec.structs.replace(message, transcript_tag=bytes(16))

    mine.hook = Nth(KINDS["Close"], lambda way, data: with_message(sender(mine, way), data, change))
    with pytest.raises(AuthenticationError, match="transcript of block 0"):
        mine.fly()
    assert len(drawn) == 1
    assert "Amplify" not in [kind_of(data) for _, _, data in mine.said]
    assert mine.satellite.data_to_send() == []


@settings(max_examples=150, deadline=None)
@given(st.integers(2, max(KINDS.values())), st.integers(0, 2**20) | st.integers(0, 60), st.integers(1, 255))
def test_a_faulty_peer_ends_the_session_in_the_one_error(number: int, place: int, change: int) -> None:
    """Any byte changed under a fitting code: refused, or harmless; both ends never confirm unequal keys."""
    mine = pair()

    def spoil(body: bytes) -> bytes:
        changed = bytearray(body)
        changed[place % len(body)] ^= change
        return bytes(changed)

    mine.hook = Nth(number, lambda way, data: resealed(sender(mine, way), data, spoil))
    with suppress(RemoteProtocolError):
        mine.fly()
    if mine.confirmed(UP) and mine.confirmed(DOWN):
        assert mine.keys(UP) == mine.keys(DOWN)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.booleans(), st.sampled_from([UP, DOWN]))
def test_any_bytes_from_a_stranger_end_in_the_one_error(data: bytes, greeted: bool, way: str) -> None:
    mine = pair(SMALL)
    if greeted:
        mine.greet()
    with pytest.raises(AuthenticationError if greeted and len(data) > 16 else RemoteProtocolError):
        sender(mine, way).receive(data, 0.0)
    if not greeted:
        assert [pool.drawn for pool in mine.pools] == [[], []]


@pytest.mark.parametrize("greeted", [False, True])
def test_an_oversize_message_is_refused(greeted: bool) -> None:
    mine = pair(SMALL)
    if greeted:
        mine.greet()
    huge = bytes(messages.MAXIMUM_MESSAGE_BYTES + 100)
    data = resealed(mine.satellite, huge, lambda body: body) if greeted else huge
    with pytest.raises(RemoteProtocolError, match="at most"):
        mine.station.receive(data, 0.0)


def test_nothing_but_hello_is_taken_first() -> None:
    mine = pair(SMALL)
    envelope = messages.Envelope(messages.VERSION, SMALL.pass_id, 0, messages.Done(0, True))
    for session in (mine.satellite, mine.station):
        with pytest.raises(RemoteProtocolError, match="GREETING and cannot take Done"):
            session.receive(messages.encode(envelope) + bytes(16), 0.0)


def say(mine: Pair, direction: str, message: Any, now_s: float) -> None:
    """Let an end say a message out of its turn."""
    session = sender(mine, direction)
    session._send(message)
    (data,) = session.data_to_send()
    (mine.station if direction == DOWN else mine.satellite).receive(data, now_s)


def announced(slots: list[int], start: int, block: int = 0) -> messages.Announce:
    told = np.array(slots, dtype=np.int64)
    return messages.Announce(block, start, told.size, gaps.encode(told, start_slot=start))


TWO = parameters(slots=1000, blocks=2)
OUT_OF_TURN: list[tuple[str, Any, str]] = [
    (UP, messages.BeaconSchedule(1e4, 5e-6), "cannot take BeaconSchedule"),
    (DOWN, messages.LockReport(True, 1), "cannot take LockReport"),
    (DOWN, messages.BeaconSchedule(1e4, 6e-6), "the satellite sends"),
    (UP, messages.ChooseCodes(0, (0, 0)), "not open"),
    (DOWN, messages.Sift(0, b"", b"", b"", b""), "not open"),
    (DOWN, messages.Crossed(0, b""), "not open"),
    (UP, announced([3], 0, block=2), "outside its block"),
    (UP, announced([3], 0, block=65535), "outside its block"),
    (UP, announced([501], 0, block=1), "outside its block"),
    (UP, announced([500], 0), "expected"),
    (UP, announced([700], 600), "expected"),
    (UP, messages.Announce(0, 0, 2, announced([3], 0).gaps), "expected 2 slots"),
    (UP, messages.Announce(0, 0, 1, b""), "announcement"),
    (UP, messages.Announce(0, 0, messages.MAXIMUM_ANNOUNCED + 1, announced([3], 0).gaps), "cannot be read"),
    (UP, messages.Bases(0, 1, b"\x00"), "not open"),
    (UP, messages.Bases(0, 0, b""), "cannot be read"),
    (UP, messages.Bases(0, messages.MAXIMUM_ANNOUNCED + 1, b""), "cannot be read"),
    (UP, messages.Bases(0, 1, bytes(messages.MAXIMUM_ANNOUNCED // 8 + 1)), "cannot be read"),
    (UP, messages.Ended(1, 0), "before its last slot"),
    (UP, messages.Ended(2, 0), r"block 2 of|before"),
]


@pytest.mark.parametrize(("way", "message", "words"), OUT_OF_TURN, ids=range(len(OUT_OF_TURN)))
def test_what_is_out_of_turn_is_refused(way: str, message: Any, words: str) -> None:
    mine = pair(TWO)
    mine.greet()
    with pytest.raises(RemoteProtocolError, match=words):
        say(mine, way, message, TWO.end_s(0) + LIGHT_TIME_S)


@pytest.mark.parametrize("way", [UP, DOWN])
def test_a_second_hello_is_refused(way: str) -> None:
    mine = pair(TWO)
    mine.greet()
    source, receiver = (mine.satellite, mine.station) if way == DOWN else (mine.station, mine.satellite)
    source._send(source._hello)
    (data,) = source.data_to_send()
    with pytest.raises(AuthenticationError):
        receiver.receive(data, 0.0)
    with pytest.raises(RemoteProtocolError, match="second Hello"):
        receiver.receive(resealed(source, data, lambda body: body), 0.0)


@pytest.mark.parametrize("again", [[10], [20], [3, 30]])
def test_slots_told_already_are_refused(again: list[int]) -> None:
    mine = pair(TWO)
    mine.greet()
    say(mine, UP, announced([10, 20], 0), 0.1)
    with pytest.raises(RemoteProtocolError, match="told already"):
        say(mine, UP, announced(again, 0), 0.1)
    mine = pair(TWO)
    mine.greet()
    say(mine, UP, announced([10, 20], 0), 0.1)
    say(mine, UP, announced([21], 21), 0.1)


def test_slots_not_sent_yet_are_refused() -> None:
    mine = pair(TWO)
    mine.greet()
    say(mine, UP, announced([99], 0), 100e-6)
    with pytest.raises(RemoteProtocolError):
        say(mine, UP, announced([100], 100), 100e-6)


def test_nothing_is_announced_before_slot_0() -> None:
    mine = pair(TWO)
    mine.greet()
    with pytest.raises(RemoteProtocolError):
        say(mine, UP, announced([0], 0), -3.0)


def test_slots_after_the_end_are_refused() -> None:
    mine = pair(TWO)
    mine.greet()
    say(mine, UP, announced([10], 0), 0.1)
    say(mine, UP, messages.Ended(0, 1), 0.1)
    with pytest.raises(RemoteProtocolError, match="cannot take Announce"):
        say(mine, UP, announced([20], 11), 0.1)


def test_an_end_or_bases_of_another_number_of_detections_are_refused() -> None:
    for message in (messages.Ended(0, 2), messages.Ended(0, 0)):
        mine = pair(TWO)
        mine.greet()
        say(mine, UP, announced([10], 0), 0.1)
        with pytest.raises(RemoteProtocolError, match="1 detections were announced"):
            say(mine, UP, message, 0.1)
    mine = pair(TWO)
    mine.greet()
    say(mine, UP, announced([10], 0), 0.1)
    say(mine, UP, messages.Ended(0, 1), 0.1)
    with pytest.raises(RemoteProtocolError, match="bases of 2 detections came, 1 announced"):
        say(mine, UP, messages.Bases(0, 2, b"\x00"), 0.1)
    mine = pair(TWO)
    mine.greet()
    say(mine, UP, announced([10], 0), 0.1)
    with pytest.raises(RemoteProtocolError, match="bases came before the block's end"):
        say(mine, UP, messages.Bases(0, 1, b"\x00"), 0.1)


@pytest.mark.parametrize(("early_s", "refused"), [(1e-5, True), (-1e-5, False)])
def test_a_block_does_not_end_until_the_last_light_is_down(early_s: float, refused: bool) -> None:
    mine = pair(SMALL)
    mine.greet()
    mine.announce(0)
    with pytest.raises(LocalProtocolError, match="still in flight"):
        mine.station.end_block(0, SMALL.end_s(0) + LIGHT_TIME_S - 1e-5)
    mine.station.end_block(0, SMALL.end_s(0) + LIGHT_TIME_S)
    ended, *bases = mine.station.data_to_send()
    assert kind_of(ended) == "Ended"
    now_s = SMALL.end_s(0) + LIGHT_TIME_S - early_s
    if not refused:
        for data in (ended, *bases):
            mine.satellite.receive(data, now_s)
        assert [kind_of(data) for data in mine.satellite.data_to_send()] == ["Sift", "Crossed"]
        return
    with pytest.raises(RemoteProtocolError, match="before its last slot is past"):
        mine.satellite.receive(ended, now_s)
    assert mine.satellite.data_to_send() == []


def test_too_little_authentication_key_ends_the_pass() -> None:
    mine = pair(SMALL, pools=(Pool(bits=1280), Pool(bits=1272)))
    with pytest.raises(KeyExhausted) as caught:
        mine.greet()
    assert caught.value.exit_code == 3
    assert [kind_of(data) for data in mine.station.data_to_send()] in ([], ["Hello"])


def test_a_hello_far_ahead_burns_at_most_the_cap() -> None:
    mine = pair(
        SMALL,
        pools=(Pool(position_bits=0), Pool(position_bits=MAXIMUM_SKIPPED_PASSES * pass_key_bits(1) + 8)),
    )
    with pytest.raises(AuthenticationError, match="bits past ours"):
        mine.greet()
    assert mine.pools[0].drawn == []


def test_a_pass_that_breaks_off_has_spent_its_key_and_the_next_one_takes_other() -> None:
    pools = (Pool(), Pool())
    first = pair(hook=Nth(KINDS["Close"], lambda _, data: flipped(data, 3)), pools=pools)
    with pytest.raises(AuthenticationError):
        first.fly()
    second = pair(pools=pools).fly()
    assert second.reports(UP)[0].outcome == "key"
    for pool in pools:
        (one, length), (other, _) = pool.drawn
        assert other >= one + length


def test_a_dropped_last_word_leaves_the_satellite_unconfirmed() -> None:
    mine = pair(hook=Nth(KINDS["Done"], lambda *_: None)).fly()
    assert (mine.confirmed(UP), mine.confirmed(DOWN)) == ({0}, set())
    assert mine.reports(DOWN) == []
    assert not mine.satellite.finished


def waiting(kind: str, agreed: Parameters) -> tuple[Pair, bytes]:
    """A pair of two blocks stopped where the satellite says its first message of a kind, and that message:
    nothing that it says from then on arrives."""
    mine = pair(agreed)
    caught: list[bytes] = []

    def hook(direction: str, data: bytes) -> bytes | None:
        if direction == DOWN and (caught or kind_of(data) == kind):
            caught.append(data)
            return None
        return data

    mine.hook = hook
    mine.greet()
    for block in range(2):
        mine.announce(block)
    mine.station.end_block(0, mine.end_s(1))
    mine.exchange(mine.end_s(1))
    return mine, caught[0]


@pytest.mark.parametrize("block", [1, 2, 77])
def test_a_sift_answer_to_bases_that_were_not_said_is_not_kept(block: int) -> None:
    """Neither of a block that still collects while another is open, nor of one that does not exist."""
    mine, sift = waiting("Sift", parameters(slots=150_000, blocks=2))
    forged = with_message(mine.satellite, sift, lambda each: msgspec.structs.replace(each, block=block))
    with pytest.raises(RemoteProtocolError, match=r"all bases told are answered|not open"):
        mine.station.receive(forged, mine.end_s(1))
    assert mine.station._held == {}


def test_failed_frames_are_revealed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    true = reconcile.Attempt.run
    monkeypatch.setattr(
        reconcile.Attempt, "run", lambda *args: msgspec.structs.replace(true(*args), converged=False)
    )
    mine = pair()
    said: list[bytes] = []

    def hook(direction: str, data: bytes) -> bytes | None:
        if kind_of(data) == "Reveal":
            said.append(data)
        if kind_of(data) == "Verify":
            again = with_message(mine.satellite, data, lambda _: messages.decode(said[0][:-16]).message)
            mine.station.receive(again, mine.end_s(0))
        return data

    mine.hook = hook
    with pytest.raises(RemoteProtocolError, match=r"no failed frames in basis . awaited"):
        mine.fly()
