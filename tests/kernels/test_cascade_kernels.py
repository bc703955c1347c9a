"""The compiled searches against their plain twin, round by round; the plain pieces against the obvious."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.distill.cascade import CascadeEnd, CascadeSchedule
from satqkd.errors import RemoteProtocolError
from satqkd.kernels import cascade, cascade_plain


def state(schedule):
    """What the schedule knows, in a form that both kernels share."""
    search = schedule._search
    shared = [search.marks, search.bits, search.reached, search.spent, search.busy, search.low, search.high]
    return [*shared, schedule._low, schedule._end]


@given(
    lengths=st.lists(st.integers(1, 1500), min_size=1, max_size=4),
    qber=st.floats(0.001, 0.2),
    name=st.sampled_from(["least-leak", "fewest-rounds"]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_every_round_equals_the_plain_twins(lengths, qber, name, seed):
    errors = (np.random.default_rng(seed).random(sum(lengths)) < qber).astype(np.uint8)
    fast = CascadeSchedule(lengths, qber / 2, variant=name, compiled=True)
    plain = CascadeSchedule(lengths, qber / 2, variant=name)
    end = CascadeEnd(plain, errors)
    while not plain.done:
        differences = end.parities()
        plain.take(differences)
        fast.take(differences)
        for ours, theirs in zip(state(fast), state(plain), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert fast.done


@given(seed=st.integers(0, 2**31), bias=st.sampled_from([0.1, 0.5]))
@settings(max_examples=40, deadline=None)
def test_impossible_answers_end_alike(seed, bias):
    rng = np.random.default_rng(seed)
    fast, plain = (CascadeSchedule([300, 90], 0.05, compiled=compiled) for compiled in (True, False))
    while not plain.done:
        differences = (rng.random(plain.asked) < bias).astype(np.uint8)
        ends = []
        for schedule in (fast, plain):
            try:
                schedule.take(differences)
                ends.append(schedule.asked)
            except RemoteProtocolError as error:
                ends.append(str(error))
        assert ends[0] == ends[1]
        if isinstance(ends[0], str):
            break


def board():
    """Two frames of 40 and 24 bits in two passes; the second pass in reverse order, left out by one frame."""
    order = np.array([np.r_[0:40, 0:24], np.r_[39:-1:-1, 23:-1:-1]], np.int32)
    blocks = np.array([[8, 1], [16, 0]], np.int32)
    return cascade_plain.Tables(order, order.copy(), np.array([0, 40]), blocks, np.array([0, 40, 64]))


def test_bits_and_slots_are_inverse():
    slots = cascade_plain.slots_of(np.array([0, 39, 40, 63]), board())
    assert slots.tolist() == [0, 39, 40, 63, 103, 64, 127, 104]
    assert cascade_plain.bits_at(slots, board()).tolist() == [0, 39, 40, 63] * 2


def test_blocks_are_found_within_their_frame():
    used, low, high = cascade_plain.block_of(np.array([0, 15, 39, 40, 63, 64, 103, 104]), board())
    assert used.tolist() == [True] * 7 + [False]
    assert low[:7].tolist() == [0, 8, 32, 40, 63, 64, 96]
    assert high[:7].tolist() == [8, 16, 40, 41, 64, 80, 104]


def test_segments_are_halves_of_halves():
    marks = np.full(129, cascade_plain.FOUND, np.uint8)
    marks[[4, 6, 10]] |= cascade_plain.BOUNDARY
    low, high = cascade_plain.segment_of(
        np.array([3, 4, 6, 8]), np.array([0, 0, 0, 8]), np.array([8, 8, 8, 16]), marks
    )
    assert low.tolist() == [0, 4, 6, 8]  # 10 is no middle of 8..16: the block was never halved
    assert high.tolist() == [4, 6, 8, 16]


@given(values=st.lists(st.integers(0, 2**60), max_size=200))
@settings(deadline=None)
def test_sort(values):
    array = np.array(values, np.int64)
    cascade._sort(array)
    assert array.tolist() == sorted(values)
