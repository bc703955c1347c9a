"""Streamed announcement: bases, classes and unkeyed values with each report, nothing of keyed values before
the end; the same key as deferred, and every message that is too early, forged or out of turn refused."""

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_session import checked

import wiretap
from satqkd.bits import to_bytes
from satqkd.config import Protocol
from satqkd.distill import gaps, messages
from satqkd.distill.outcome import AngleEstimated, BlockFinished
from satqkd.distill.parameters import Parameters
from satqkd.errors import AuthenticationError, ConfigError, RemoteProtocolError
from session_pair import DOWN, LIGHT_TIME_S, SOURCE, UP, Pair, Table, kind_of, parameters, with_message
from wiretap import Said, Violation

STREAMED: dict[str, Any] = {"announcement": "streamed", "bound": "variable-martingale"}


def streamed(**choices: Any) -> Parameters:
    return parameters(**STREAMED | choices)


def flown_in(agreed: Parameters, edges: list[int], **table: Any) -> Pair:
    """A pass of one block, announced in parts that end before these slots."""
    pair = Pair(agreed, Table(agreed, **table))
    pair.greet()
    for low, high in itertools.pairwise([0, *sorted(edges), agreed.slots]):
        rows = slice(*np.searchsorted(pair.table.slots, [low, high]))
        pair.station.announce(pair.table.slots[rows], pair.table.bases[rows], pair.table.bits[rows])
        pair.exchange(high / SOURCE.pulse_rate_hz + LIGHT_TIME_S)
    pair.open_block(0)
    return pair


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 60_000), max_size=30),
    st.sampled_from([("Z",), ("X",), ("Z", "X")]),
    st.sampled_from([("signal",), ("signal", "decoy")]),
    st.sampled_from([0.005, 0.03, 0.2]),
    st.integers(0, 50),
)
def test_however_reports_are_cut_the_key_is_that_of_the_deferred_block(
    edges: list[int], bases: Any, classes: Any, qber: float, seed: int
) -> None:
    choices = {"slots": 60_000, "keyed_bases": bases, "keyed_classes": classes, "frame_bits": 8192}
    pair = checked(flown_in(streamed(**choices), edges, qber=qber, seed=seed))
    whole = parameters(**choices, bound="variable-martingale")
    deferred = Pair(whole, Table(whole, qber=qber, seed=seed)).fly()
    assert pair.keys(UP) == deferred.keys(UP)
    assert pair.reports(UP) == deferred.reports(UP)
    angles = [
        [event for event in each.events[UP] if isinstance(event, AngleEstimated)] for each in (pair, deferred)
    ]
    assert angles[0] == angles[1]
    assert pair.satellite.epsilon_authentication == pair.station.epsilon_authentication


def test_a_good_channel_gives_key_in_every_block() -> None:
    pair = checked(Pair(agreed := streamed(slots=600_000, blocks=3), Table(agreed)).fly())
    assert [report.outcome for report in pair.reports(UP)] == ["key"] * 3


def said_of(pair: Pair) -> tuple[list[Said], wiretap.Rules]:
    return wiretap.from_messages(pair.said), wiretap.rules_of(pair.agreed)


def test_each_report_is_answered_at_once_for_just_its_detections() -> None:
    agreed = streamed(slots=100_000)
    pair = Pair(agreed, Table(agreed))
    pair.greet()
    pair.announce(0, parts=5)
    said, _ = said_of(pair)
    kinds = [each.kind for each in said if each.kind not in wiretap.TALK]
    assert kinds == ["Announce", "Bases", "Sift"] * 5
    told = [each for each in said if each.kind not in wiretap.TALK]
    for announce, bases, sift in zip(told[::3], told[1::3], told[2::3], strict=True):
        assert announce.fields[2] == bases.fields[1]
        assert len(sift.fields[1]) == (announce.fields[2] + 7) // 8
        assert sift.first_s == announce.first_s < agreed.end_s(0) + LIGHT_TIME_S + 1e-9


def test_nothing_that_depends_on_keyed_values_comes_before_the_last_slot() -> None:
    """The satellite's keyed bits are turned round: what is said before the end stays as it was, byte for
    byte."""
    agreed = streamed(slots=100_000)

    def until_the_end(turned: bool) -> list[tuple[str, float, bytes]]:
        table = Table(agreed)
        matched = np.zeros(agreed.slots, np.bool_)
        matched[table.slots] = table.bases == table.basis[table.slots]
        if turned:
            table.bit[(table.intensity_class == 0) & matched] ^= 1
        pair = Pair(agreed, table)
        pair.greet()
        pair.announce(0, parts=4)
        return pair.said

    first = until_the_end(turned=False)
    assert first == until_the_end(turned=True)
    assert [kind_of(data) for *_, data in first].count("Sift") == 4


def test_values_of_crossed_rounds_wait_for_the_end() -> None:
    agreed = streamed(slots=100_000)

    def sayings(turned: bool) -> tuple[list[bytes], list[bytes]]:
        table = Table(agreed)
        crossed = np.zeros(agreed.slots, np.bool_)
        crossed[table.slots] = table.bases != table.basis[table.slots]
        table.bit[crossed] ^= turned
        pair = Pair(agreed, table)
        pair.greet()
        pair.announce(0, parts=4)
        before = [data for *_, data in pair.said]
        pair.open_block(0)
        return before, [data for *_, data in pair.said[len(before) :]]

    (before, after), (turned_before, turned_after) = sayings(turned=False), sayings(turned=True)
    assert before == turned_before
    assert after != turned_after


def out_of_turn(pair: Pair, way: str, message: Any, now_s: float) -> None:
    """One end says a message out of its turn, under a code that fits."""
    session = pair.satellite if way == DOWN else pair.station
    session._send(message)
    (data,) = session.data_to_send()
    (pair.station if way == DOWN else pair.satellite).receive(data, now_s)


def announced(slots: list[int], start: int) -> messages.Announce:
    told = np.array(slots, dtype=np.int64)
    return messages.Announce(0, start, told.size, gaps.encode(told, start_slot=start))


SMALL = streamed(slots=1000, blocks=2)
ONE_BIT = to_bytes(np.array([1], np.uint8))
REFUSED: list[tuple[list[Any], str]] = [
    ([messages.Bases(0, 1, ONE_BIT)], "not open"),
    ([announced([3], 0), messages.Bases(0, 2, ONE_BIT)], "bases of 2 detections came, 1 announced"),
    ([announced([3], 0), messages.Bases(0, 1, ONE_BIT), messages.Bases(0, 1, ONE_BIT)], "0 announced"),
    ([announced([3], 0), messages.Bases(0, 1, b"\x03")], "zeros behind"),
    ([announced([3], 0), messages.Ended(0, 1)], "before its last slot is past"),
    ([announced([3], 0), messages.ChooseCodes(0, (0, 0))], "cannot take ChooseCodes"),
    ([announced([3], 0), messages.Verdicts(0, 0, b"")], "cannot take Verdicts"),
    ([announced([450], 0)], "expected"),
]


@pytest.mark.parametrize(("sayings", "words"), REFUSED, ids=range(len(REFUSED)))
def test_a_station_out_of_turn_is_refused_while_light_comes(sayings: list[Any], words: str) -> None:
    """Nothing key-dependent can be had of the satellite before the block's end, whatever is asked."""
    pair = Pair(SMALL, Table(SMALL))
    pair.greet()
    with pytest.raises(RemoteProtocolError, match=words):
        for message in sayings:
            out_of_turn(pair, UP, message, 400e-6)
    assert {kind_of(data) for data in pair.satellite.data_to_send()} <= {"Sift"}


def test_a_block_that_the_station_gives_up_while_light_comes_is_over_without_a_value_told() -> None:
    pair = Pair(SMALL, Table(SMALL))
    pair.greet()
    for message in (announced([3], 0), messages.Bases(0, 1, ONE_BIT), messages.Abandon(0, "aborted", "why")):
        out_of_turn(pair, UP, message, 400e-6)
    assert {kind_of(data) for data in pair.satellite.data_to_send()} == {"Sift"}
    (report,) = [
        each.report for each in iter(pair.satellite.next_event, None) if isinstance(each, BlockFinished)
    ]
    assert (report.outcome, report.reason, report.secret_bits) == ("aborted", "why", 0)
    for message in (announced([7], 4), messages.Bases(0, 1, ONE_BIT)):
        with pytest.raises(RemoteProtocolError):
            out_of_turn(pair, UP, message, 400e-6)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (messages.Sift(0, b"", b"", b"", b""), "all bases told are answered"),
        (messages.Crossed(0, b""), "cannot take Crossed"),
        (messages.Parities(0, 0, b""), "cannot take Parities"),
        (messages.Verify(0, b"", b""), "cannot take Verify"),
    ],
)
def test_a_satellite_out_of_turn_is_refused_while_light_comes(message: Any, words: str) -> None:
    pair = Pair(SMALL, Table(SMALL))
    pair.greet()
    pair.announce(0, parts=1)
    with pytest.raises(RemoteProtocolError, match=words):
        out_of_turn(pair, DOWN, message, 1e-3)


def test_a_satellite_that_leaves_an_answer_out_is_found_out() -> None:
    pair = Pair(SMALL, Table(SMALL))
    pair.greet()
    station = pair.station
    rows = slice(*np.searchsorted(pair.table.slots, [0, 500]))
    station.announce(pair.table.slots[rows], pair.table.bases[rows], pair.table.bits[rows])
    station.data_to_send()
    station.end_block(0, pair.end_s(0))
    with pytest.raises(RemoteProtocolError, match="1 messages of bases have no answer"):
        out_of_turn(pair, DOWN, messages.Crossed(0, b""), pair.end_s(0))


@pytest.mark.parametrize("way", [DOWN, UP])
@pytest.mark.parametrize("kind", ["Announce", "Bases", "Sift"])
def test_a_report_or_answer_forged_on_the_way_is_not_taken(kind: str, way: str) -> None:
    """Without the code on line nothing is answered; with it the one-time tags decide."""
    if (kind == "Sift") != (way == DOWN):
        return
    agreed = streamed(slots=100_000)
    pair = Pair(agreed, Table(agreed))
    answers: list[bytes] = []

    def forge(direction: str, data: bytes) -> bytes:
        answers.append(data)
        return data[:-1] + bytes([data[-1] ^ 1]) if kind_of(data) == kind else data

    pair.hook = forge
    pair.greet()
    with pytest.raises(AuthenticationError, match="message"):
        pair.announce(0)
    assert kind_of(answers[-1]) == kind


CHANGES: dict[str, Callable[[Any], Any]] = {
    "Bases": lambda each: msgspec.structs.replace(each, bases=bytes([each.bases[0] ^ 4]) + each.bases[1:]),
    "Sift": lambda each: msgspec.structs.replace(each, values=bytes([each.values[0] ^ 4]) + each.values[1:]),
    "Crossed": lambda each: msgspec.structs.replace(
        each, values=bytes([each.values[0] ^ 4]) + each.values[1:]
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_who_breaks_the_code_on_line_meets_the_tag_over_the_transcript(kind: str) -> None:
    agreed = streamed()
    pair = Pair(agreed, Table(agreed))
    changed: list[str] = []

    def forge(direction: str, data: bytes) -> bytes:
        if kind_of(data) != kind or changed:
            return data
        changed.append(kind)
        session = pair.satellite if direction == DOWN else pair.station
        return with_message(session, data, CHANGES[kind])

    pair.hook = forge
    with pytest.raises(
        (AuthenticationError, RemoteProtocolError), match=r"transcript|awaited|lengths|expected"
    ):
        pair.fly()
    assert changed
    assert pair.confirmed(UP) == pair.confirmed(DOWN) == set()


def test_a_deferred_peer_is_refused_in_hello() -> None:
    agreed = streamed()
    other = parameters(bound="variable-martingale")
    with pytest.raises(RemoteProtocolError, match="other parameters"):
        Pair(agreed, Table(agreed), station_agreed=other).greet()


@pytest.mark.parametrize("bound", ["variable-sharp", "variable"])
def test_a_bound_that_needs_untold_bases_is_refused_with_the_reason(bound: str) -> None:
    with pytest.raises(ConfigError, match=rf'{bound} is proved only .* set bound = "variable-martingale"'):
        streamed(bound=bound)


def test_a_pool_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match='a stream tells them at once; set pooling = "per-pass"'):
        Protocol(**STREAMED, pooling="pooled")


@pytest.fixture(scope="module")
def story() -> tuple[list[Said], wiretap.Rules]:
    agreed = streamed(slots=200_000, blocks=2)
    pair = checked(Pair(agreed, Table(agreed)).fly())
    return said_of(pair)


@pytest.mark.parametrize(
    "kind", ["Ended", "Crossed", "ChooseCodes", "Parities", "Verdicts", "Verify", "Close"]
)
def test_the_reader_sees_what_a_stream_may_not_tell(
    story: tuple[list[Said], wiretap.Rules], kind: str
) -> None:
    said, rules = story
    early = [
        each._replace(first_s=each.first_s - 0.02, last_s=each.last_s - 0.02) if each.kind == kind else each
        for each in said
    ]
    wiretap.check_order(said, rules)
    with pytest.raises(Violation):
        wiretap.check_order(early, rules)


def test_the_reader_sees_an_answer_before_its_bases_and_bases_before_their_report(
    story: tuple[list[Said], wiretap.Rules],
) -> None:
    said, rules = story
    place = next(i for i, each in enumerate(said) if each.kind == "Sift")
    early = [*said]
    early[place] = said[place]._replace(first_s=said[place].first_s - 0.01)
    with pytest.raises(Violation, match="Sift came before its bases"):
        wiretap.check_order(early, rules)
    place = next(i for i, each in enumerate(said) if each.kind == "Bases")
    swapped = [*said]
    swapped[place] = said[place]._replace(sequence=said[place - 1].sequence)
    swapped[place - 1] = said[place - 1]._replace(sequence=said[place].sequence)
    swapped.sort(key=lambda each: (each.direction, each.sequence))
    with pytest.raises(Violation, match="that were not announced"):
        wiretap.check_order(swapped, rules)


def test_the_reader_sees_a_stream_where_none_was_agreed(story: tuple[list[Said], wiretap.Rules]) -> None:
    said, rules = story
    with pytest.raises(Violation, match="before its last slot"):
        wiretap.check_order(said, rules._replace(streamed=False))


@pytest.mark.parametrize("how", ["deferred", "streamed"])
def test_bases_told_before_the_first_answer_are_answered_in_their_order(how: str) -> None:
    """A block of more detections than a message takes; and reports that wait for a slow link."""
    agreed = parameters(slots=600_000, **(STREAMED if how == "streamed" else {}))
    pair = Pair(agreed, Table(agreed))
    pair.greet()
    assert pair.table.slots.size > messages.MAXIMUM_ANNOUNCED
    for rows in (slice(0, 1000), slice(1000, None)):
        pair.station.announce(pair.table.slots[rows], pair.table.bases[rows], pair.table.bits[rows])
    pair.open_block(0)
    checked(pair)
    told = [each.fields[1] for each in wiretap.from_messages(pair.said) if each.kind == "Bases"]
    sizes = [1000] if how == "streamed" else []
    whole, rest = divmod(pair.table.slots.size - sum(sizes), messages.MAXIMUM_ANNOUNCED)
    assert told == [*sizes, *[messages.MAXIMUM_ANNOUNCED] * whole, rest]
    assert whole >= 1
