"""The generated family: the same at both ends, well formed, with the leak its class names."""

from math import log2, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.distill import codes
from satqkd.errors import LocalProtocolError
from satqkd.security.tails import binary_entropy

CLASSES = st.integers(0, len(codes.LEAK_FRACTIONS) - 1)


def class_near(leak):
    return int(np.argmin([abs(fraction - leak) for fraction in codes.LEAK_FRACTIONS]))


def four_cycles(matrix):
    """Pairs of columns that meet twice in the same two block rows at the same difference of shifts."""
    seen = {}
    row = np.repeat(np.arange(matrix.rows), np.diff(matrix.row_start))
    for column in range(matrix.columns):
        own = np.flatnonzero(matrix.column == column)
        for i, a in enumerate(own):
            for b in own[:i]:
                difference = int(matrix.shift[a] - matrix.shift[b]) % matrix.lift
                key = (row[a], row[b], difference)
                seen[key] = seen.get(key, 0) + 1
    return sum(count * (count - 1) // 2 for count in seen.values())


GOLDEN = {
    (8192, 0.1): "160291c26227f5f327e81be5422b206d6ad8e52516dba76162f49d24705c8cb5",
    (100_000, 0.2): "d71b429bbc1a4911f32ae09134d0108f9e37a88781a5f4f129e2df12607e9b13",
    (262_144, 0.05): "23c7f2920f0fdade0a5f8b5e74d25c98368d220003bbe79f0ca04f302e76fef1",
}


@pytest.mark.parametrize(("n_bits", "leak"), GOLDEN)
def test_construction_is_pinned(n_bits, leak):
    """Both ends, today and next year, on any machine, must build this very matrix."""
    codes.code.cache_clear()
    assert codes.code(n_bits, class_near(leak)).digest() == GOLDEN[n_bits, leak]


def test_seed_and_class_change_the_matrix():
    digests = {codes.code(20_000, k, seed=seed).digest() for k in (60, 61) for seed in (0, 1)}
    assert len(digests) == 4


@given(n_bits=st.integers(8192, 70_000), leak_class=CLASSES)
@settings(max_examples=25, deadline=None)
def test_every_code_is_well_formed(n_bits, leak_class):
    matrix = codes.code(n_bits, leak_class)
    leak = codes.LEAK_FRACTIONS[leak_class]
    assert matrix.lift % codes.LIFT_STEP == 0
    assert 0 <= matrix.columns * matrix.lift - n_bits < matrix.lift
    assert leak * n_bits <= matrix.rows_bits <= 1.05 * leak * n_bits
    assert matrix.shift.min() >= 0
    assert matrix.shift.max() < matrix.lift
    row = np.repeat(np.arange(matrix.rows), np.diff(matrix.row_start))
    cells = row * matrix.columns + matrix.column
    assert np.unique(cells).size == cells.size  # at most one circulant in a cell
    assert (np.bincount(matrix.column, minlength=matrix.columns) >= 2).all()
    weights = np.diff(matrix.row_start)
    assert weights.max() - weights.min() <= 2


@pytest.mark.parametrize(("n_bits", "leak"), [(65_536, 0.3), (262_144, 0.1), (262_144, 0.2)])
def test_no_four_cycles_where_there_is_room(n_bits, leak):
    matrix = codes.code(n_bits, class_near(leak))
    assert four_cycles(matrix) == 0
    shifts = np.random.default_rng(0).integers(0, matrix.lift, matrix.shift.size).astype(np.int32)
    assert four_cycles(codes.msgspec.structs.replace(matrix, shift=shifts)) > 0  # random shifts have some


def test_degree_two_columns_are_an_open_chain():
    """A ring of them would be a code word of few bits."""
    matrix = codes.code(65_536, class_near(0.3))
    degrees = np.bincount(matrix.column, minlength=matrix.columns)
    assert 0 < (degrees == 2).sum() < matrix.rows


@pytest.mark.parametrize("n_bits", [1, 100, 368])
def test_a_string_shorter_than_its_syndrome_is_sent_itself(n_bits):
    matrix = codes.code(n_bits, 0)
    assert matrix.is_identity
    assert matrix.rows_bits == n_bits


@given(n_bits=st.integers(0, 3_000_000), frame_bits=st.integers(8192, codes.LONGEST_CODE))
def test_frames_hold_every_bit(n_bits, frame_bits):
    sizes = codes.frame_sizes(n_bits, frame_bits=frame_bits)
    assert sum(sizes) == n_bits
    assert all(0 < size <= frame_bits for size in sizes)
    assert all(size == frame_bits for size in sizes[:-1])


@given(sizes=st.lists(st.integers(1, 500), min_size=0, max_size=6))
def test_interleaved_frames_take_every_bit_once_and_evenly(sizes):
    order = codes.interleaved_order(sizes)
    assert sorted(order) == list(range(sum(sizes)))
    start = 0
    for size in sizes:
        part = order[start : start + size]
        start += size
        assert (np.diff(part) > 0).all()
        centre = (part.mean() + 0.5) / sum(sizes)
        assert abs(centre - 0.5) <= 1.0 / size


@given(
    qber=st.floats(0.001, 0.05),
    length=st.integers(8192, codes.LONGEST_CODE),
    sample=st.integers(1000, 10**9),
)
def test_a_class_lies_above_the_one_way_floor_and_its_own_margin(qber, length, sample):
    """Floor n h + z sqrt(n v) at failure 10^-2 (facts: reconciliation, 2c)."""
    chosen = codes.choose_class(qber, frame_length=length, sample_bits=sample)
    spread = sqrt(qber * (1 - qber)) * log2((1 - qber) / qber)
    floor = binary_entropy(qber) + 2.33 * spread / sqrt(length)
    if chosen is None:
        assert codes.LEAK_FRACTIONS[-1] < 1.08 * floor + 5 * spread / sqrt(min(length, sample))
    else:
        assert codes.LEAK_FRACTIONS[chosen] > floor
        worse = codes.choose_class(min(0.5, qber * 1.2), frame_length=length, sample_bits=sample)
        assert worse is None or worse >= chosen


@pytest.mark.parametrize("length", [1, 8192, 262_144])
def test_classes_reach_from_no_errors_to_five_and_a_half_percent(length):
    assert codes.choose_class(0.0, frame_length=length) is not None
    assert codes.choose_class(0.055, frame_length=length, sample_bits=10**6) is not None
    assert codes.choose_class(0.15, frame_length=length) is None
    assert codes.choose_class(0.5, frame_length=length) is None


def test_a_poor_estimate_costs_margin():
    sure = codes.choose_class(0.01, frame_length=262_144, sample_bits=10**9)
    unsure = codes.choose_class(0.01, frame_length=262_144, sample_bits=2_000)
    assert unsure > sure + 5


@pytest.mark.parametrize(
    ("n_bits", "leak_class"), [(0, 0), (codes.LONGEST_CODE + 1, 0), (9000, -1), (9000, 10_000)]
)
def test_sizes_out_of_range_are_refused(n_bits, leak_class):
    with pytest.raises(LocalProtocolError, match="expected"):
        codes.code(n_bits, leak_class)
    with pytest.raises(LocalProtocolError, match="QBER"):
        codes.choose_class(0.7, frame_length=10_000)
