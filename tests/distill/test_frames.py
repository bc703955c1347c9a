"""How strings are cut: every bit once, every frame evenly from the whole."""

import tracemalloc
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from satqkd.distill import codes
from satqkd.distill.frames import frame_sizes, interleaved, interleaved_order, joined, split


@given(n_bits=st.integers(0, 3_000_000), frame_bits=st.integers(8192, codes.LONGEST_CODE))
def test_frames_hold_every_bit(n_bits, frame_bits):
    sizes = frame_sizes(n_bits, frame_bits=frame_bits)
    assert sum(sizes) == n_bits
    assert all(0 < size <= frame_bits for size in sizes)
    assert len(sizes) <= -(-n_bits // frame_bits)
    assert len(set(sizes[:-1])) <= 1
    if sizes:
        assert sizes[0] - len(sizes) < sizes[-1] <= sizes[0] or len(sizes) ** 2 > n_bits


@given(sizes=st.lists(st.integers(1, 500), min_size=0, max_size=6))
def test_interleaved_frames_take_every_bit_once_and_evenly(sizes):
    order = interleaved_order(sizes)
    assert sorted(order) == list(range(sum(sizes)))
    start = 0
    for size in sizes:
        part = order[start : start + size]
        start += size
        assert (np.diff(part) > 0).all()
        centre = (part.mean() + 0.5) / sum(sizes)
        assert abs(centre - 0.5) <= 1.0 / size


@given(st.lists(st.integers(0, 20), max_size=6))
def test_split_undoes_joined(lengths):
    parts = [np.full(n, i % 2, np.uint8) for i, n in enumerate(lengths)]
    again = split(joined(parts), lengths)
    assert [part.tolist() for part in again] == [part.tolist() for part in parts]


@given(sizes=st.lists(st.integers(1, 40), max_size=6))
def test_the_order_is_that_of_moments_and_of_frames_where_they_are_equal(sizes):
    moments = sorted(
        (Fraction(2 * j + 1, 2 * size), frame, j) for frame, size in enumerate(sizes) for j in range(size)
    )
    place = {(frame, j): at for at, (_, frame, j) in enumerate(moments)}
    expected = [place[frame, j] for frame, size in enumerate(sizes) for j in range(size)]
    assert interleaved_order(sizes).tolist() == expected
    values = np.arange(sum(sizes), dtype=np.float64)
    assert interleaved(values, sizes).tolist() == expected


def test_frames_are_cut_in_a_few_bytes_a_bit_and_frame() -> None:
    """An order of the whole string would take eight bytes a bit, and 24 while it is made."""
    bits = np.zeros(2_000_000, np.uint8)
    sizes = frame_sizes(bits.size, frame_bits=65_536)
    tracemalloc.start()
    try:
        interleaved(bits, sizes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * bits.size
