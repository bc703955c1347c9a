"""The compiled click kernels give the keys of their numpy twins, draw by draw."""

import numpy as np
import pytest

from satqkd.constants import SPEED_OF_LIGHT_M_S
from satqkd.header import header_codes
from satqkd.kernels import clicks, clicks_plain
from satqkd.kernels.click_inputs import Detection, Light, Path, Pieces, Pulses


def make_path(
    n: int = 21, step_ps: int = 2_500_000_000, offset_ps: float = 3e8, drift: float = 1.3e-5
) -> Path:
    grid_ps = (np.arange(n, dtype=np.int64) - 2) * step_ps
    t_s = grid_ps * 1e-12
    range_m = np.sqrt(5e5**2 + (7.5e3 * (t_s - 0.02)) ** 2)
    slope = 7.5e3**2 * (t_s - 0.02) / range_m / SPEED_OF_LIGHT_M_S
    wander_ps = np.cumsum(np.random.default_rng(1).normal(0, 300, n))
    return Path(grid_ps, 1 / step_ps, range_m / SPEED_OF_LIGHT_M_S * 1e12, slope, wander_ps, offset_ps, drift)


def make_light(path: Path, seed: int = 5, *, fast: int = 83, most: float = 0.4) -> Light:
    rng, n = np.random.default_rng(seed), path.grid_ps.size
    return Light(
        transmittance=rng.uniform(0.01, most, n),
        background_hz=rng.uniform(1e5, 9e5, n),
        error_z=rng.uniform(0, 0.1, n),
        error_x=rng.uniform(0.1, 0.3, n),
        crossed_z=np.zeros(n),
        crossed_x=np.zeros(n),
        fading=rng.uniform(0.3, 1.7, fast),
        beacon_seen=rng.uniform(0, 1, fast),
        fast_steps_per_ps=(fast - 1) / float(path.grid_ps[-1] - path.grid_ps[0]),
    )


def make_pulses(period_ps: int = 1600, fraction_ps: float = 0.0) -> Pulses:
    mu, spread, skew = np.array([0.8, 0.3, 0.01]), np.array([0.1, 0.2, 0.0]), np.array([0.0, 30.0, -50.0, 9])
    return Pulses(period_ps, fraction_ps, mu, spread, skew, 11, 22, 2**31, 2**31 + 2**30, 2**31)


def make_detection(passive: bool = True, *, equal: bool = False) -> Detection:
    each = np.ones(4) if equal else np.array([1.0, 0.7, 1.1, 0.9])
    return Detection(
        below_z=2**31 if passive else 3 * 2**30,
        passive=passive,
        efficiency=0.6 * each,
        sigma_ps=200.0 * each,
        tail_fraction=np.zeros(4) if equal else np.array([0.0, 0.1, 0.3, 0.0]),
        tail_ps=700.0 * each,
        dark_hz=300.0 * each**2,
        beacon_sigma_ps=150.0,
        key_0=33,
        key_1=44,
    )


def make_pieces(*edges: int, bound: float = 0.8 * 1.2 * 0.4 * 1.7 * 0.66) -> Pieces:
    return Pieces(np.array(edges, np.int64), np.full(len(edges) - 1, bound))


def filled(kernel, *arguments) -> np.ndarray:
    out = np.empty(0, np.int64)
    count = kernel(*arguments, out, 0)
    out = np.empty(count, np.int64)
    assert kernel(*arguments, out, 0) == count
    return np.sort(out)


@pytest.mark.parametrize("passive", [True, False])
@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("fraction_ps", [0.0, 0.7312])
def test_pulse_keys_equal_the_plain_twin(passive, equal, fraction_ps):
    path = make_path()
    pieces = make_pieces(1_000, 70_000, 70_000, 140_000, 200_000)
    nature = (make_light(path), make_detection(passive, equal=equal), path)
    arguments = (pieces, 2**32 - 1, make_pulses(fraction_ps=fraction_ps), *nature)
    expected = np.sort(clicks_plain.pulse_keys(*arguments))
    assert expected.size > 7_000
    assert np.array_equal(filled(clicks.pulse_keys, *arguments), expected)


def test_lagging_detectors_equal_the_plain_twin_and_tag_later_by_their_lag():
    path, pieces = make_path(), make_pieces(1_000, 70_000, 200_000)
    light, on_time = make_light(path), make_detection()
    late = on_time._replace(lag_ps=np.array([0.0, 250.0, -90.0, 0.0]))
    keys = np.sort(clicks_plain.pulse_keys(pieces, 5, make_pulses(), light, late, path))
    assert np.array_equal(filled(clicks.pulse_keys, pieces, 5, make_pulses(), light, late, path), keys)
    before = np.sort(clicks_plain.pulse_keys(pieces, 5, make_pulses(), light, on_time, path))
    for detector, lag_ps in enumerate(late.lag_ps):
        times, earlier = ((each[each & 7 == detector] >> 3) for each in (keys, before))
        assert times.size > 1_000 and (np.abs(times - earlier - lag_ps) <= 1).all()


def test_pulse_keys_of_a_public_header_equal_the_plain_twin():
    path = make_path()
    first, second = header_codes("micius")
    pulses = make_pulses()._replace(
        header_slots=100_000, interval_slots=150_000, first_code=first, second_code=second
    )
    nature = (make_light(path), make_detection(), path)
    pieces = make_pieces(1_000, 70_000, 200_000)
    expected = np.sort(clicks_plain.pulse_keys(pieces, 5, pulses, *nature))
    assert np.array_equal(filled(clicks.pulse_keys, pieces, 5, pulses, *nature), expected)
    without = np.sort(clicks_plain.pulse_keys(pieces, 5, make_pulses(), *nature))
    assert expected.size > 7_000 and not np.array_equal(expected, without)


def test_slots_beyond_32_bits():
    path = make_path(n=4, step_ps=5_000_000_000_000)
    pieces = make_pieces(2**32 - 20_000, 2**32 + 20_000)
    arguments = (pieces, 7, make_pulses(), make_light(path), make_detection(), path)
    expected = np.sort(clicks_plain.pulse_keys(*arguments))
    assert expected.size > 300
    assert np.array_equal(filled(clicks.pulse_keys, *arguments), expected)


def test_noise_keys_equal_the_plain_twin():
    path = make_path()
    nature = (make_light(path), make_detection(), path)
    arguments = (-4_000_000_000, 40_000_000_000, 3, 1e6, *nature)
    expected = np.sort(clicks_plain.noise_keys(*arguments))
    assert expected.size > 10_000
    assert np.array_equal(filled(clicks.noise_keys, *arguments), expected)


def test_noise_is_shared_as_efficiencies_and_dark_rates_say():
    path = make_path(n=9, step_ps=1_000_000_000_000)
    light, detection = make_light(path), make_detection()
    light = light._replace(background_hz=np.full(9, 4e3))
    detection = detection._replace(dark_hz=np.array([5e3, 0.0, 1e3, 0.0]))
    keys = filled(clicks.noise_keys, 0, 6 * 10**12, 3, 2e4, light, detection, path)
    share = detection.efficiency / detection.efficiency.sum()
    expected = 6 * (detection.dark_hz + 4e3 * share)
    counts = np.bincount(keys & 7, minlength=4)
    assert (np.abs(counts - expected) < 4.5 * np.sqrt(expected)).all()


def test_beacon_keys_equal_the_plain_twin():
    emission = np.arange(400, dtype=np.int64) * 100_000_000
    path = make_path()
    light = make_light(path)
    nature = (light, make_detection(), path)
    arguments = (10, emission, 50_000_000, 39_000_000_000, 4, *nature)
    expected = np.sort(clicks_plain.beacon_keys(*arguments))
    assert 120 < expected.size < 270
    assert np.array_equal(filled(clicks.beacon_keys, *arguments), expected)
    bright = light._replace(beacon_seen=np.ones_like(light.beacon_seen))
    assert filled(clicks.beacon_keys, *arguments[:5], bright, *nature[1:]).size == 389


def test_nothing_is_written_past_the_room():
    path = make_path()
    arguments = (make_pieces(0, 5_000), 0, make_pulses(), make_light(path), make_detection(), path)
    whole = np.empty(20_000, np.int64)
    count = clicks.pulse_keys(*arguments, whole, 0)
    room = np.full(100, -1, np.int64)
    assert clicks.pulse_keys(*arguments, room[:50], 0) == count > 100
    assert np.array_equal(room[:50], whole[:50])
    assert (room[50:] == -1).all()


def test_no_light_and_no_noise_give_no_keys():
    path, out = make_path(), np.empty(10, np.int64)
    nature = (make_light(path), make_detection(), path)
    dark, pulses = make_pieces(0, 1_000_000, bound=0.0), make_pulses()
    assert clicks.pulse_keys(dark, 0, pulses, *nature, out, 3) == 3
    assert clicks.noise_keys(0, 10**9, 0, 0.0, *nature, out, 3) == 3
    assert clicks_plain.pulse_keys(dark, 0, pulses, *nature).size == 0
    assert clicks_plain.noise_keys(0, 10**9, 0, 0.0, *nature).size == 0


def test_cuts_into_pieces_and_looser_bounds_leave_the_distribution():
    """A tight bound a piece and a loose one for all give the same clicks in the mean, not the same draws."""
    path = make_path()
    light, detection, pulses = make_light(path), make_detection(), make_pulses()
    edges = tuple(range(0, 20_000_001, 400_000))
    cut = make_pieces(*edges)
    whole = make_pieces(0, 20_000_000, bound=2.0)
    counts = [
        clicks.pulse_keys(p, 1, pulses, light, detection, path, np.empty(0, np.int64), 0)
        for p in (cut, whole)
    ]
    assert counts[0] != counts[1]
    assert abs(counts[0] - counts[1]) < 4.5 * np.sqrt(sum(counts))


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
