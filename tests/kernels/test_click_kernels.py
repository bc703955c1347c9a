"""The compiled click kernels give the keys of their numpy twins, draw by draw."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.constants import SPEED_OF_LIGHT_M_S
from satqkd.kernels import clicks, clicks_plain
from satqkd.kernels.clicks_plain import Detection, Path, Pulses


def make_path(
    n: int = 21, step_ps: int = 2_500_000_000, offset_ps: float = 3e8, drift: float = 1.3e-5
) -> Path:
    grid_ps = (np.arange(n, dtype=np.int64) - 2) * step_ps
    t_s = grid_ps * 1e-12
    range_m = np.sqrt(5e5**2 + (7.5e3 * (t_s - 0.02)) ** 2)
    slope = 7.5e3**2 * (t_s - 0.02) / range_m / SPEED_OF_LIGHT_M_S
    return Path(grid_ps, step_ps, range_m / SPEED_OF_LIGHT_M_S * 1e12, slope, offset_ps, drift)


def make_pulses(period_ps: int = 1600, fraction_ps: float = 0.0) -> Pulses:
    mu = np.array([0.8, 0.3, 0.0])
    return Pulses(period_ps, fraction_ps, mu, 11, 22, 2**31, 2**31 + 2**30, 2**31)


def make_detection(passive: bool = True, sigma_ps: float = 200.0) -> Detection:
    return Detection(2**31 if passive else 3 * 2**30, 2**26, passive, sigma_ps, 150.0, 33, 44)


def filled(kernel, *arguments) -> np.ndarray:
    out = np.empty(0, np.int64)
    count = kernel(*arguments, out, 0)
    out = np.empty(count, np.int64)
    assert kernel(*arguments, out, 0) == count
    return np.sort(out)


@pytest.mark.parametrize("passive", [True, False])
@pytest.mark.parametrize("fraction_ps", [0.0, 0.7312])
def test_pulse_keys_equal_the_plain_twin(passive, fraction_ps):
    path = make_path()
    detected = np.random.default_rng(5).uniform(0.01, 0.4, path.grid_ps.size)
    pulses = make_pulses(fraction_ps=fraction_ps)
    arguments = (1_000, 200_000, 2**32 - 1, 0.8 * 0.4, detected, pulses, make_detection(passive), path)
    expected = np.sort(clicks_plain.pulse_keys(*arguments))
    assert expected.size > 10_000
    assert np.array_equal(filled(clicks.pulse_keys, *arguments), expected)


def test_slots_beyond_32_bits():
    path = make_path(n=4, step_ps=5_000_000_000_000)
    arguments = (
        2**32 - 5_000,
        2**32 + 5_000,
        7,
        0.24,
        np.full(4, 0.3),
        make_pulses(),
        make_detection(),
        path,
    )
    expected = np.sort(clicks_plain.pulse_keys(*arguments))
    assert expected.size > 500
    assert np.array_equal(filled(clicks.pulse_keys, *arguments), expected)


def test_noise_keys_equal_the_plain_twin():
    path = make_path()
    noise_hz = np.random.default_rng(6).uniform(1e5, 1e6, path.grid_ps.size)
    arguments = (-4_000_000_000, 40_000_000_000, 3, 1e6, noise_hz, make_detection(), path)
    expected = np.sort(clicks_plain.noise_keys(*arguments))
    assert expected.size > 10_000
    assert np.array_equal(filled(clicks.noise_keys, *arguments), expected)


def test_beacon_keys_equal_the_plain_twin():
    emission = np.arange(400, dtype=np.int64) * 100_000_000
    arguments = (10, emission, 50_000_000, 39_000_000_000, 4, make_detection(), make_path())
    expected = np.sort(clicks_plain.beacon_keys(*arguments))
    assert expected.size == 389
    assert np.array_equal(filled(clicks.beacon_keys, *arguments), expected)


def test_nothing_is_written_past_the_room():
    path = make_path()
    arguments = (0, 5_000, 0, 0.8, np.ones(path.grid_ps.size), make_pulses(), make_detection(), path)
    whole = np.empty(20_000, np.int64)
    count = clicks.pulse_keys(*arguments, whole, 0)
    room = np.full(100, -1, np.int64)
    assert clicks.pulse_keys(*arguments, room[:50], 0) == count > 100
    assert np.array_equal(room[:50], whole[:50])
    assert (room[50:] == -1).all()


def test_no_light_and_no_noise_give_no_keys():
    path, out = make_path(), np.empty(10, np.int64)
    dark = np.zeros(path.grid_ps.size)
    pulses, detection = make_pulses(), make_detection()
    assert clicks.pulse_keys(0, 1_000_000, 0, 0.0, dark, pulses, detection, path, out, 3) == 3
    assert clicks.noise_keys(0, 10**9, 0, 0.0, dark, detection, path, out, 3) == 3
    assert clicks_plain.pulse_keys(0, 10, 0, 0.0, dark, pulses, detection, path).size == 0
    assert clicks_plain.noise_keys(0, 10**9, 0, 0.0, dark, detection, path).size == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-2000, 2000), st.integers(0, 4)), max_size=80),
    st.integers(0, 300),
)
def test_dead_time_equals_the_plain_twin_and_holds(events, dead_ps):
    keys = np.sort(np.array([8 * time + channel for time, channel in events], np.int64))
    last, last_plain = np.full(8, -(2**60), np.int64), np.full(8, -(2**60), np.int64)
    seen = np.empty(keys.size, np.bool_)
    clicks.apply_dead_time(keys, dead_ps, last, seen)
    assert np.array_equal(seen, clicks_plain.apply_dead_time(keys, dead_ps, last_plain))
    assert np.array_equal(last, last_plain)
    for channel in range(4):
        times = keys[seen & (keys & 7 == channel)] >> 3
        assert (np.diff(times) >= dead_ps).all()
    assert seen[keys & 7 == 4].all()


def test_dead_time_is_not_prolonged_by_what_is_not_seen():
    keys = np.array([0, 80, 110, 190], np.int64) * 8
    seen = np.empty(4, np.bool_)
    clicks.apply_dead_time(keys, 100, np.full(8, -(2**60), np.int64), seen)
    assert seen.tolist() == [True, False, True, False]


def test_words_become_normal_deviates_within_their_bound():
    extreme = clicks.normal(np.uint64(0), np.uint64(0))
    assert 6.7 < extreme < clicks_plain.LARGEST_DEVIATE
    words = np.random.default_rng(9).integers(0, 2**32, (2, 200_000), dtype=np.uint64)
    deviates = clicks_plain.normal(words[0], words[1])
    assert abs(deviates.mean()) < 0.01
    assert abs(deviates.var() - 1) < 0.015
    assert abs((deviates**4).mean() - 3) < 0.1


@pytest.mark.parametrize("mean", [1e-6, 0.02, 0.8, 5.0])
def test_photon_number_is_zero_truncated_poisson(mean):
    grain = 200_000
    uniform = (np.arange(grain) + 0.5) / grain
    number = np.array([clicks.photon_number(u, mean) for u in uniform[:: 10 if mean > 1 else 50]])
    assert number.min() == 1
    assert number.mean() == pytest.approx(mean / -np.expm1(-mean), rel=2e-3)
