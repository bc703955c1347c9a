"""The generated family: the same at both ends, well formed, with the leak its class names."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.distill import codes
from satqkd.errors import LocalProtocolError

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
    (8192, 0.1): "fa754170c33fcdb064ca188ff16708cddb1da76d3468fbfc5da47812466ce658",
    (100_000, 0.2): "3b953325f3fec7de4a47fba9a28f7fae0fe5914db60fa3ff7fcf54e4f4ec4de8",
    (262_144, 0.05): "e15cc71dc3808f11be2999eefdf163c43269e2b21c0f875bc8d6b8864a1dc483",
}


@pytest.mark.parametrize(("n_bits", "leak"), GOLDEN)
def test_construction_is_pinned(n_bits, leak):
    """Both ends, today and next year, on any machine, must build this very matrix."""
    codes.code.cache_clear()
    codes._full.cache_clear()
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
    assert leak * n_bits <= matrix.rows_bits <= max(1.05 * leak * n_bits, leak * n_bits + codes.LIFT_STEP)
    assert matrix.shift.min() >= 0
    assert matrix.shift.max() < matrix.lift
    row = np.repeat(np.arange(matrix.rows), np.diff(matrix.row_start))
    cells = row * matrix.columns + matrix.column
    assert np.unique(cells).size == cells.size  # at most one circulant in a cell
    assert (np.bincount(matrix.column, minlength=matrix.columns) >= 2).all()
    weights = np.diff(matrix.row_start)
    assert weights.max() - weights.min() <= 2


@pytest.mark.parametrize(
    ("n_bits", "leak", "share"),
    [(65_536, 0.3, 0), (262_144, 0.2, 0), (262_144, 0.1, 0.05), (65_536, 0.1, 0.4)],
)
def test_shifts_leave_no_four_cycles_where_there_is_room_and_few_where_there_is_none(n_bits, leak, share):
    """Of those that random shifts have."""
    matrix = codes.code(n_bits, class_near(leak))
    shifts = np.random.default_rng(0).integers(0, matrix.lift, matrix.shift.size).astype(np.int32)
    by_chance = four_cycles(codes.msgspec.structs.replace(matrix, shift=shifts))
    assert by_chance > 50
    assert four_cycles(matrix) <= share * by_chance


def test_degree_two_columns_are_an_open_chain():
    """A ring of them would be a code word of few bits."""
    matrix = codes.code(65_536, class_near(0.3))
    degrees = np.bincount(matrix.column, minlength=matrix.columns)
    assert 0 < (degrees == 2).sum() < matrix.rows


@pytest.mark.parametrize("n_bits", [1, 100, 176])
def test_a_string_shorter_than_its_syndrome_is_sent_itself(n_bits):
    matrix = codes.code(n_bits, 0)
    assert matrix.is_identity
    assert matrix.rows_bits == n_bits


@pytest.mark.parametrize(("n_bits", "leak"), [(8192, 0.1), (65_536, 0.03), (262_144, 0.2)])
def test_dividing_rows_keeps_every_circulant_and_every_column(n_bits, leak):
    matrix = codes.code(n_bits, class_near(leak))
    rows = matrix.division_order[: matrix.rows // 3].tolist()
    divided = matrix.divided(rows)
    assert divided.rows == matrix.rows + len(rows)
    edges = lambda each: sorted(zip(each.column.tolist(), each.shift.tolist(), strict=True))  # noqa: E731
    assert edges(divided) == edges(matrix)
    weights = np.diff(divided.row_start)
    assert weights.max() <= np.diff(matrix.row_start).max()
    at = 0
    for row in range(matrix.rows):
        parts = 2 if row in rows else 1
        own = slice(divided.row_start[at], divided.row_start[at + parts])
        assert sorted(divided.column[own]) == sorted(
            matrix.column[matrix.row_start[row] : matrix.row_start[row + 1]]
        )
        if parts == 2:
            first = divided.column[divided.row_start[at] : divided.row_start[at + 1]]
            np.testing.assert_array_equal(first, matrix.column[matrix.first_half(row)])
            assert abs(int(weights[at]) - int(weights[at + 1])) <= 1
        at += parts


def test_rows_are_divided_evenly_over_the_matrix():
    matrix = codes.code(262_144, class_near(0.1))
    order = matrix.division_order
    assert sorted(order) == list(range(matrix.rows))
    first = np.sort(order[:8])
    assert np.diff(np.append(first, first[0] + matrix.rows)).max() <= matrix.rows // 4
    assert codes.code(100, 0).division_order.size == 0


@pytest.mark.parametrize(
    ("n_bits", "leak_class"), [(0, 0), (codes.LONGEST_CODE + 1, 0), (9000, -1), (9000, 10_000)]
)
def test_sizes_out_of_range_are_refused(n_bits, leak_class):
    with pytest.raises(LocalProtocolError, match="expected"):
        codes.code(n_bits, leak_class)
