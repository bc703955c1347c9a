"""Sifting: both ends hold one table of rounds, and no keyed value is told."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.bits import from_bytes, to_bytes
from satqkd.distill.messages import Crossed, Sift
from satqkd.distill.opened import Answered
from satqkd.distill.parameters import Parameters
from satqkd.distill.polarisation import sampled
from satqkd.distill.sift import (
    class_counts,
    crossed_at_station,
    rounds_of,
    sift_at_satellite,
    sift_at_station,
    tabulate,
)
from satqkd.errors import RemoteProtocolError
from satqkd.randomness import stream
from satqkd.records import Settings
from session_pair import parameters

CHOICES = [
    {"keyed_bases": bases, "keyed_classes": classes}
    for bases in (("Z",), ("X",), ("Z", "X"))
    for classes in (("signal",), ("signal", "decoy"))
] + [{"polarisation_sample": most} for most in (0, 1, 7)]


def columns(n: int, seed: int) -> dict[str, Any]:
    rng = stream(seed, "sift")
    return {
        name: rng.integers(0, top, n, dtype=np.uint8)
        for name, top in (("k", 3), ("b", 2), ("bit", 2), ("bases", 2), ("bits", 2))
    }


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 1000), st.sampled_from(CHOICES))
def test_both_ends_agree_with_a_count_by_hand(n: int, seed: int, choice: dict[str, Any]) -> None:
    agreed, c = parameters(**choice), columns(n, seed)
    choice = {"keyed_bases": ("Z", "X"), "keyed_classes": ("signal",)} | choice
    sent = Settings(c["k"], c["b"], c["bit"])
    ours, apart_bits, answer = sift_at_satellite(sent, c["bases"], agreed, block=7)
    theirs, wrong, keep = sift_at_station(c["bases"], c["bits"], answer, agreed)
    errors = tabulate(theirs.basis[wrong], theirs.intensity_class[wrong])
    assert answer.block == 7
    apart = [i for i in range(n) if c["b"][i] != c["bases"][i]]
    step = max(1, -(-len(apart) // (agreed.protocol.polarisation_sample or 1)))
    told = apart[::step] if agreed.protocol.polarisation_sample else []
    assert apart_bits.tolist() == [c["bit"][i] for i in apart]
    crossed = Crossed(7, to_bytes(sampled(apart_bits, agreed.protocol.polarisation_sample)))
    sample = crossed_at_station(c["bases"][~keep], c["bits"][~keep], crossed, agreed)
    expected = ([c["b"][i] for i in told], [c["bit"][i] for i in told], [c["bits"][i] for i in told])
    assert tuple(column.tolist() for column in sample) == expected

    kept = [i for i in range(n) if c["b"][i] == c["bases"][i]]
    keyed = [
        ("ZX"[c["b"][i]] in choice["keyed_bases"])
        and ("signal", "decoy", "vacuum")[c["k"][i]] in choice["keyed_classes"]
        for i in kept
    ]
    table = np.zeros((2, 3), dtype=np.int64)
    for i, is_keyed in zip(kept, keyed, strict=True):
        table[c["b"][i], c["k"][i]] += not is_keyed and c["bit"][i] != c["bits"][i]
    assert np.flatnonzero(keep).tolist() == kept
    for end, bits in ((ours, c["bit"]), (theirs, c["bits"])):
        assert end.basis.tolist() == [c["b"][i] for i in kept]
        assert end.intensity_class.tolist() == [c["k"][i] for i in kept]
        assert end.bit.tolist() == [bits[i] for i in kept]
        assert end.keyed.tolist() == keyed
    assert errors.tolist() == table.tolist()
    told = [c["bit"][i] for i, is_keyed in zip(kept, keyed, strict=True) if not is_keyed]
    assert from_bytes(answer.values, len(told)).tolist() == told
    for basis in range(2):
        mine = [c["bit"][i] for i, k in zip(kept, keyed, strict=True) if k and c["b"][i] == basis]
        assert ours.keyed_bits(basis).tolist() == mine


@pytest.mark.parametrize("field", ["keep", "is_signal", "is_vacuum", "values"])
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\x00"])
def test_an_answer_of_another_length_is_refused(field: str, change: Any) -> None:
    agreed, c = parameters(), columns(100, 1)
    _, _, answer = sift_at_satellite(Settings(c["k"], c["b"], c["bit"]), c["bases"], agreed, block=0)
    changed = msgspec.structs.replace(answer, **{field: change(getattr(answer, field))})
    with pytest.raises(RemoteProtocolError, match="expected"):
        sift_at_station(c["bases"], c["bits"], changed, agreed)


@pytest.mark.parametrize("n_bytes", [0, 12, 14])
def test_a_sample_of_another_length_is_refused(n_bytes: int) -> None:
    agreed, c = parameters(), columns(100, 1)
    with pytest.raises(RemoteProtocolError, match="sample of crossed rounds: expected 13 bytes"):
        crossed_at_station(c["bases"], c["bits"], Crossed(0, bytes(n_bytes)), agreed)


def test_tables_count_by_basis_and_class() -> None:
    table = tabulate(np.array([0, 1, 1, 1], np.uint8), np.array([2, 0, 0, 1], np.uint8))
    assert table.tolist() == [[0, 0, 1], [2, 1, 0]]
    rows = class_counts(table, np.zeros((2, 3), np.int64), parameters())
    assert [(row.basis, row.class_name, row.detections) for row in rows] == [
        ("Z", "signal", 0),
        ("Z", "decoy", 0),
        ("Z", "vacuum", 1),
        ("X", "signal", 2),
        ("X", "decoy", 1),
        ("X", "vacuum", 0),
    ]
    assert [row.intensity for row in rows[:3]] == [0.8, 0.1, 0.0]
    assert [row.probability for row in rows[3:]] == [0.5, 0.25, 0.25]


def test_the_sample_changes_nothing_of_keyed_rounds_and_holds_none_of_them() -> None:
    """No bit of a kept detection is in it: changed kept bits leave it as it was, others do not."""
    agreed, c = parameters(), columns(400, 3)
    sent = Settings(c["k"], c["b"], c["bit"])

    def sample(sent: Settings, agreed: Parameters) -> tuple[Sift, Crossed]:
        answered = Answered(0, agreed)
        answered.add(sent)
        return answered.answer(c["bases"]), answered.close()[1]

    sift, crossed = sample(sent, agreed)
    without = sample(sent, parameters(polarisation_sample=0))
    assert without == (sift, Crossed(0, b""))
    assert crossed.values
    for flipped, same in ((c["b"] == c["bases"], True), (c["b"] != c["bases"], False)):
        other = Settings(c["k"], c["b"], c["bit"] ^ flipped.astype(np.uint8))
        assert (sample(other, agreed)[1] == crossed) == same


@given(st.lists(st.tuples(*map(st.integers, (0, 0, 0), (1, 2, 1)), st.booleans()), max_size=30))
def test_rounds_keep_every_column_in_a_byte(rows):
    basis, classes, bit = (np.array([row[k] for row in rows], np.uint8) for k in range(3))
    keyed = np.array([row[3] for row in rows], np.bool_)
    rounds = rounds_of(basis, classes, bit, keyed)
    assert rounds.codes.nbytes == len(rows)
    for got, sent in (
        (rounds.basis, basis),
        (rounds.intensity_class, classes),
        (rounds.bit, bit),
        (rounds.keyed, keyed),
        *((rounds.keyed_bits(b), bit[keyed & (basis == b)]) for b in range(2)),
    ):
        np.testing.assert_array_equal(got, sent)
        assert got.dtype == sent.dtype
