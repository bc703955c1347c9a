"""How strings are cut: every bit once, every frame evenly from the whole."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from satqkd.distill import codes
from satqkd.distill.frames import frame_sizes, interleaved_order, joined, split


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
