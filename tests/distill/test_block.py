"""The halves of a block: what each state takes, what a failed frame costs, who refuses unequal keys."""

from enum import Enum
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_messages import ONE_OF_EACH

import wiretap
from satqkd.distill import block, messages, reconcile, satellite_block, station_block
from satqkd.distill.authenticate import PassKeys, pass_key_bits
from satqkd.distill.block import BlockHalf
from satqkd.distill.frames import frame_sizes
from satqkd.distill.outcome import SecretRefused
from satqkd.errors import RemoteProtocolError
from satqkd.results import KeyLength
from session_pair import DOWN, UP, Pair, Table, flown, parameters

HALVES: tuple[tuple[type[BlockHalf], type[Enum]], ...] = (
    (satellite_block.SatelliteBlock, satellite_block.State),
    (station_block.StationBlock, station_block.State),
)
BLOCK_MESSAGES = [each for each in ONE_OF_EACH if isinstance(each, messages.BlockMessage)]


def half(kind: type[BlockHalf], state: Enum) -> BlockHalf:
    keys = PassKeys(bytes(pass_key_bits(1) // 8), 1)
    extra = (lambda n: bytes(n),) if kind is satellite_block.SatelliteBlock else ()
    made = kind(0, parameters(), keys, b"hellos", *extra)
    made.state = state
    return made


@pytest.mark.parametrize(
    ("kind", "state"), [(kind, state) for kind, states in HALVES for state in states], ids=str
)
def test_a_state_takes_what_its_table_says_and_nothing_else(kind: type[BlockHalf], state: Enum) -> None:
    for message in BLOCK_MESSAGES:
        if (state, type(message)) in kind.TRANSITIONS:
            continue
        mine = half(kind, state)
        before = b"".join(mine._transcript.parts())
        with pytest.raises(RemoteProtocolError, match=f"{state.name}.*cannot take {type(message).__name__}"):
            mine.receive(message)
        assert (mine.state, mine.events, b"".join(mine._transcript.parts())) == (state, [], before)


@pytest.mark.parametrize(("kind", "states"), HALVES, ids=["satellite", "station"])
def test_every_state_is_reached_and_every_message_handled(kind: type[BlockHalf], states: type[Enum]) -> None:
    reached = {state for after in kind.TRANSITIONS.values() for state in after}
    assert reached | {states["COLLECTING"]} >= set(states) - {
        station_block.State.ANNOUNCED,
        station_block.State.KEPT,
    }
    assert {message for _, message in kind.TRANSITIONS} == set(kind.HANDLERS)
    assert not any(state is states["FINISHED"] for state, _ in kind.TRANSITIONS)


@pytest.mark.parametrize("size", [1, 3])
def test_a_bit_string_of_another_length_is_refused(size: int) -> None:
    assert messages.bits_of(b"\x05\x01", 9, "x").tolist() == [1, 0, 1, 0, 0, 0, 0, 0, 1]
    with pytest.raises(RemoteProtocolError, match="verdicts: expected 2 bytes for 9 bits"):
        messages.bits_of(bytes(size), 9, "verdicts")


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_secret_lengths_fill_bytes_and_lose_at_most_seven_bits(z: int, x: int) -> None:
    mine = half(satellite_block.SatelliteBlock, satellite_block.State.COLLECTING)
    terms = {"bases": {"Z": {"secret_bits": z}, "X": {"secret_bits": x}}}
    lengths = mine._secret_lengths(KeyLength(z + x, "variable-sharp", terms))
    assert sum(lengths) == (z + x) // 8 * 8
    assert all(0 <= got <= asked for got, asked in zip(lengths, (z, x), strict=True))


class Failing:
    """Makes the decoder give up on the n-th frame that it begins (on all for None), however many rows it
    gets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int | None) -> None:
        begun: list[reconcile.Attempt] = []
        true = reconcile.Attempt.run

        def run(attempt: reconcile.Attempt, *args: int) -> reconcile.Decoded:
            if not any(attempt is each for each in begun):
                begun.append(attempt)
            found = true(attempt, *args)
            if number is None or (len(begun) > number and attempt is begun[number]):
                return msgspec.structs.replace(found, converged=False)
            return found

        monkeypatch.setattr(reconcile.Attempt, "run", run)


def test_a_failed_frame_is_charged_whole_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    agreed = parameters(slots=400_000, frame_bits=8192)
    plain = flown(agreed)
    (known,) = plain.reports(UP)
    keyed = sum(row.detections for row in known.counts if (row.basis, row.class_name) == ("Z", "signal"))
    lengths = frame_sizes(keyed, frame_bits=8192)
    Failing(monkeypatch, 1)
    pair = flown(agreed)
    (before,), (report,), (other,) = plain.reports(UP), pair.reports(UP), pair.reports(DOWN)
    assert (before.frames_failed, report.frames_failed, other.frames_failed) == (0, 1, 1)
    for one in (report, other):
        assert (one.sifted_bits, one.counts, one.frames) == (before.sifted_bits, before.counts, before.frames)
    said = wiretap.from_messages(pair.said)
    account = wiretap.recount(said, 0, wiretap.rules_of(agreed))
    assert (account.leaked_bits, account.failed) == (report.leaked_bits, 1)
    assert len(lengths) > 1 and account.leaked_bits["Z"] >= lengths[1]
    assert account.leaked_bits["X"] == before.leaked_bits["X"]
    assert (report.outcome, pair.keys(UP)) == ("key", pair.keys(DOWN))
    assert pair.confirmed(UP) == pair.confirmed(DOWN) == {0}
    more = report.leaked_bits["Z"] - before.leaked_bits["Z"]
    assert 0 < report.secret_bits <= before.secret_bits - more + 8


def test_when_all_frames_fail_nothing_is_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    Failing(monkeypatch, None)
    pair = flown()
    (report,), (other,) = pair.reports(UP), pair.reports(DOWN)
    assert (report.outcome, other.outcome, report.secret_bits) == ("no_key", "no_key", 0)
    assert report.frames_failed == report.frames
    assert report.reconciliation_rounds == 6
    assert report.errors > 0
    assert report.counts == other.counts
    assert pair.keys(UP) == pair.keys(DOWN) == {}


@pytest.mark.parametrize("liar", [DOWN, UP])
def test_one_flipped_bit_makes_both_say_no(liar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agreed = parameters()
    pair = Pair(agreed, Table(agreed))
    true, kind = block.BlockHalf._distilled, HALVES[0][0] if liar == DOWN else HALVES[1][0]

    def flipped(mine: BlockHalf, *args: Any) -> bytes:
        secret = bytearray(true(mine, *args))
        secret[len(secret) // 2] ^= 0x10
        return bytes(secret)

    monkeypatch.setattr(kind, "_distilled", flipped)
    pair.fly()
    assert pair.keys(UP).keys() == pair.keys(DOWN).keys() == {0}
    assert pair.keys(UP) != pair.keys(DOWN)
    for way in (UP, DOWN):
        (report,) = pair.reports(way)
        assert (report.outcome, report.keys_match, report.secret_bits) == ("unconfirmed", False, 0)
        assert "differ" in report.reason
        assert pair.confirmed(way) == set()
        assert [each.block for each in pair.events[way] if isinstance(each, SecretRefused)] == [0]


def test_a_wrong_correction_is_caught_by_the_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder claims success with one wrong bit: the block is given up, all its errors counted."""
    true = reconcile.Attempt.run

    def run(attempt: reconcile.Attempt, *args: int) -> reconcile.Decoded:
        found = true(attempt, *args)
        bits = found.bits.copy()
        bits[7] ^= 1
        return msgspec.structs.replace(found, bits=bits, converged=True)

    honest = flown().reports(UP)[0]
    monkeypatch.setattr(reconcile.Attempt, "run", run)
    pair = flown()
    for way in (UP, DOWN):
        (report,) = pair.reports(way)
        assert (report.outcome, report.secret_bits, report.counts) == ("aborted", 0, honest.counts)
        assert "verification tags differ" in report.reason
    assert pair.keys(UP) == pair.keys(DOWN) == {}
