"""Swapped labels: compiled and plain kernels agree, the coins are fair, slots are found back from times."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_click_kernels import filled, make_detection, make_light, make_path, make_pieces, make_pulses

from satqkd.kernels import clicks, clicks_plain, labels, labels_plain
from satqkd.kernels.click_inputs import NO_SWAP, Swap
from satqkd.kernels.clicks_plain import slot_ps, station_ps, swapped

SWAP = Swap(True, 55, 66)
PIECES = make_pieces(1_000, 70_000, 70_000, 140_000, 200_000)


@pytest.mark.parametrize("passive", [True, False])
def test_pulse_keys_equal_the_plain_twin(passive: bool) -> None:
    path = make_path()
    arguments = (
        PIECES,
        3,
        make_pulses(),
        make_light(path),
        make_detection(passive)._replace(swap=SWAP),
        path,
    )
    expected = np.sort(clicks_plain.pulse_keys(*arguments))
    assert expected.size > 7_000
    assert np.array_equal(filled(clicks.pulse_keys, *arguments), expected)


def test_equal_detectors_change_roles_and_nothing_else() -> None:
    """Same photons at the same times, skewed diodes too; in a swapped slot each at the other detector."""
    path, pulses = make_path(), make_pulses()
    still, light = make_detection(equal=True), make_light(path)
    out = np.empty((2, 50_000), np.int64)
    counts = [
        clicks.pulse_keys(PIECES, 3, pulses, light, detection, path, row, 0)
        for detection, row in zip((still, still._replace(swap=SWAP)), out, strict=True)
    ]
    assert counts[0] == counts[1] > 7_000
    plain, turned = out[:, : counts[0]]
    assert np.array_equal(plain >> 3, turned >> 3)
    slots = labels_plain.arriving_slots(plain >> 3, 1600.0, path)
    assert np.array_equal((plain & 7) ^ swapped(slots, SWAP), turned & 7)


def test_one_coin_a_slot_and_it_is_fair() -> None:
    """Runs and neighbours too: of 400 000 slots, 4.5 standard deviations."""
    slots = np.arange(-200_000, 200_000) + 2**32
    coins = swapped(slots, SWAP)
    compiled = [clicks.swapped(int(slot), np.uint64(55), np.uint64(66)) for slot in slots[199_900:200_100]]
    assert compiled == coins[199_900:200_100].tolist()
    for tosses in (coins, coins[1:] ^ coins[:-1], coins[2:] ^ coins[:-2]):
        assert abs(tosses.mean() - 0.5) < 4.5 * 0.5 / tosses.size**0.5
    assert not np.array_equal(swapped(slots, SWAP._replace(key_1=67)), coins)
    assert not swapped(slots, NO_SWAP).any()


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    period=st.sampled_from([(1600, 0.0), (10_000, 0.0), (4285, 5 / 7), (250, 0.0)]),
    offset_ps=st.floats(-1e9, 1e9),
    drift=st.floats(-2e-5, 2e-5),
)
def test_a_slot_is_found_back_from_when_its_light_arrives(
    seed: int, period: tuple[int, float], offset_ps: float, drift: float
) -> None:
    """From just after half a period early to just before half a period late, slots before 0 as well."""
    path = make_path(offset_ps=offset_ps, drift=drift)
    rng, period_ps = np.random.default_rng(seed), sum(period)
    low, high = (int(edge / period_ps) + 1 for edge in path.grid_ps[[0, -1]])
    slots = rng.integers(low, high - 1, 200)
    late_ps = rng.uniform(-0.5, 0.5, slots.size) * (period_ps - 8)
    times = station_ps(slot_ps(slots, *period), late_ps, path)
    assert np.array_equal(labels_plain.arriving_slots(times, period_ps, path), slots)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), period_ps=st.sampled_from([1600.0, 4285.714285]))
def test_labels_equal_the_plain_twin(seed: int, period_ps: float) -> None:
    path, rng = make_path(), np.random.default_rng(seed)
    low, high = station_ps(path.grid_ps[[0, -1]], np.zeros(2), path)
    times = np.sort(rng.integers(low - 10**6, high + 10**6, 500))
    channel = rng.integers(0, 5, times.size).astype(np.uint8)
    plain, compiled = channel.copy(), channel.copy()
    labels_plain.label(times, plain, period_ps, SWAP, path)
    labels.label(times, compiled, period_ps, SWAP, path)
    assert np.array_equal(plain, compiled)
    state = swapped(labels_plain.arriving_slots(times, period_ps, path), SWAP)
    assert np.array_equal(plain, np.where(channel == 4, 4, channel + 5 * state))
    assert set(plain.tolist()) == set(range(9))
