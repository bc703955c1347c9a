"""Channels to outcomes, and the watch over a modulator that should toss and does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.distill.labels import SEVERAL, SLOTS_ALIKE, LabelWatch, basis_of, click_bits, disagree, outcomes
from satqkd.errors import DataFormatError

CHANNELS = [0, 1, 2, 3, 5, 6, 7, 8]


def test_one_click_says_basis_and_bit() -> None:
    """H, V, +, -, then the same with roles changed."""
    sets = click_bits(np.array(CHANNELS, np.uint8))
    assert sets.dtype == np.uint8
    assert outcomes(sets).tolist() == [0, 1, 2, 3, 1, 0, 3, 2]


@given(st.sets(st.sampled_from(CHANNELS), min_size=2))
def test_several_clicks_say_what_their_channels_say(channels: set[int]) -> None:
    clicks = int(np.bitwise_or.reduce(click_bits(np.array(sorted(channels), np.uint8))))
    assert outcomes(np.array([clicks], np.uint8))[0] == SEVERAL
    assert disagree(clicks) == (min(channels) < 4 < max(channels))
    bases = {(channel - 5 if channel > 4 else channel) // 2 for channel in channels}
    assert basis_of(clicks) == (bases.pop() if len(bases) == 1 else None)


def fed(watch: LabelWatch, slot: np.ndarray, channel: np.ndarray, pieces: int) -> None:
    for rows in np.array_split(np.arange(slot.size), pieces):
        watch.check(slot[rows], channel[rows].astype(np.uint8))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), pieces=st.integers(1, 40), at=st.integers(0, 300), state=st.booleans())
def test_labels_that_stand_still_are_refused_however_clicks_are_cut(
    seed: int, pieces: int, at: int, state: bool
) -> None:
    """127 slots alike pass, 128 do not; three clicks in a slot are one toss."""
    rng = np.random.default_rng(seed)
    swapped = rng.random(600) < 0.5
    swapped[at : at + SLOTS_ALIKE - 1] = state
    swapped[[max(at - 1, 0), at + SLOTS_ALIKE - 1]] = not state
    slot = np.repeat(np.arange(600) * 7, 3)
    channel = np.repeat(5 * swapped, 3) + rng.integers(0, 4, 1800)
    fed(LabelWatch(swaps=True), slot, channel, pieces)
    swapped[max(at - 1, 0) : at + SLOTS_ALIKE] = state
    channel = np.repeat(5 * swapped, 3) + rng.integers(0, 4, 1800)
    with pytest.raises(DataFormatError, match="swapped at random"):
        fed(LabelWatch(swaps=True), slot, channel, pieces)


def test_fair_coins_pass() -> None:
    rng = np.random.default_rng(1)
    fed(LabelWatch(swaps=True), np.arange(10**6), 5 * rng.integers(0, 2, 10**6), 17)


@pytest.mark.parametrize("channel", [4, 9])
def test_a_channel_of_no_detector_is_refused(channel: int) -> None:
    with pytest.raises(DataFormatError, match=f"detectors 0..3 and 5..8, got {channel}"):
        LabelWatch(swaps=True).check(np.array([1]), np.array([channel], np.uint8))


def test_swapped_labels_are_refused_where_nothing_swaps_them() -> None:
    watch = LabelWatch(swaps=False)
    fed(watch, np.arange(1000), np.zeros(1000), 3)
    with pytest.raises(DataFormatError, match='label_swap is "none", got 5'):
        watch.check(np.array([1000]), np.array([5], np.uint8))
