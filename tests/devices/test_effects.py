"""Each effect of source, detectors, tagger and clock, alone in the twin, against its own arithmetic."""

import tracemalloc
from typing import Any

import msgspec
import numpy as np
import pytest
from devices_models import STATION, Bench
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.beacon import beacon_code
from satqkd.config import Tagger
from satqkd.devices import settings_of
from satqkd.devices.nature import (
    PIECE_PS,
    clock_wander_s,
    detection_of,
    light_of,
    path_of,
    pieces_of,
    pulses_of,
)
from satqkd.records import LinkSeries, Tags

DELAY_PS = 5e5 / 299_792_458 * 1e12


def late_ps(tags: Tags, period_ps: float) -> np.ndarray:
    """Time of each tag after the nearest slot, for a station that stands still."""
    since = tags.time_ps - DELAY_PS
    return np.asarray(since - np.rint(since / period_ps) * period_ps)


def slots_of(tags: Tags, period_ps: float) -> np.ndarray:
    return np.rint((tags.time_ps - DELAY_PS) / period_ps).astype(np.int64)


def shine(
    bench: Bench, duration_s: float = 0.3, series: dict[str, Any] | None = None, **changes: Any
) -> Tags:
    """Photon tags of a steady bright link at 100 MHz."""
    columns = {"transmittance": 0.02, **(series or {})}
    receiver = bench.receiver(bench.series(duration_s, **columns), slots=int(duration_s * 1e8), **changes)
    return bench.photons(receiver.read(1e9))


def test_diodes_fire_late_by_their_skew(bench: Bench) -> None:
    skew_s = (0.0, 300e-12, -200e-12, 90e-12)
    tags = shine(bench, source={"diode_skew_s": skew_s}, detector={"jitter_s": 50e-12})
    sent = settings_of(slots_of(tags, 10_000), key=bench.key, source=bench.source())
    for state in range(4):
        here = (sent.basis == state // 2) & (sent.bit == state % 2)
        mean_ps = late_ps(tags, 10_000)[here].mean()
        assert mean_ps == pytest.approx(1e12 * skew_s[state], abs=4 * 21 / here.sum() ** 0.5 + 0.6)


def test_jitter_has_its_tail_and_each_detector_its_own(bench: Bench) -> None:
    detector = {
        "jitter_s": (100e-12, 100e-12, 300e-12, 20e-12),
        "jitter_tail_fraction": (0.0, 0.2, 0.0, 0.5),
        "jitter_tail_s": (0.0, 500e-12, 0.0, 300e-12),
    }
    tags = shine(bench, detector=detector)
    for d in range(4):
        late = late_ps(tags, 10_000)[tags.channel == d]
        share, tail_ps = detector["jitter_tail_fraction"][d], 1e12 * detector["jitter_tail_s"][d]
        sigma_ps = 1e12 * detector["jitter_s"][d] / 2.354820045
        variance = sigma_ps**2 + share * (2 - share) * tail_ps**2
        assert late.mean() == pytest.approx(share * tail_ps, abs=4.5 * (variance / late.size) ** 0.5 + 0.1)
        assert late.var() == pytest.approx(variance, rel=0.05)
        assert (late > 3 * tail_ps + 5 * sigma_ps).mean() <= 0.06 * share + 1e-4


def test_efficiencies_and_dark_rates_are_each_detectors_own(bench: Bench) -> None:
    efficiency, dark_hz = (0.5, 0.25, 0.4, 0.1), (0.0, 1e5, 3e4, 2e5)
    lit = shine(bench, detector={"efficiency": efficiency}, source={"basis_z_probability": 0.5})
    counts = np.bincount(lit.channel, minlength=4)
    mean_photons = 0.5 * 0.8 + 0.3 * 0.3
    expected = 0.3e8 * mean_photons * 0.02 * np.array(efficiency) / 4
    assert (np.abs(counts - expected) < 4.5 * np.sqrt(expected) + 0.004 * expected).all()
    dark = shine(bench, series={"transmittance": 0.0}, detector={"dark_rate_hz": dark_hz})
    expected = 0.3 * np.array(dark_hz)
    assert (np.abs(np.bincount(dark.channel, minlength=4) - expected) < 4.5 * np.sqrt(expected) + 1e-9).all()


def test_afterpulses_follow_clicks_across_reads_and_segments(bench: Bench) -> None:
    detector = {"dead_time_s": 1e-4, "afterpulse_probability": 0.25, "afterpulse_decay_s": 1e-3}
    series = {"transmittance": 0.0, "background_hz": 400.0}
    plain = shine(bench, 60.0, series=series, detector={"dead_time_s": 1e-4})
    after = shine(bench, 60.0, series=series, detector=detector)
    assert set(plain.time_ps.tolist()) <= set(after.time_ps.tolist()) or len(after) > len(plain)
    expected = len(plain) / (1 - 0.25)
    assert len(after) == pytest.approx(expected, rel=0.05)
    chopped = bench.receiver(bench.series(60.0, **series), slots=int(60 * 1e8), detector=detector)
    parts = [bench.photons(chopped.read(t_s)) for t_s in np.arange(0.0, 61.0, 0.037)]
    parts.append(bench.photons(chopped.read(1e9)))
    assert np.array_equal(np.concatenate([part.time_ps for part in parts]), after.time_ps)


def test_the_tagger_rounds_down_and_is_dead(bench: Bench) -> None:
    tagger = Tagger(resolution_s=125e-12, dead_time_s=2e-7)
    tags = shine(bench, receiver={"tagger": tagger}, series={"background_hz": 1e6})
    assert (tags.time_ps % 125 == 0).all()
    for d in range(4):
        assert np.diff(tags.time_ps[tags.channel == d]).min() >= 200_000 - 125
    free = shine(bench, series={"background_hz": 1e6})
    assert 0.9 < len(tags) / len(free) < 0.99


def test_fluctuation_of_pulses_raises_pairs_not_singles(bench: Bench) -> None:
    """<mu^2> = mu^2 (1 + s^2): with s = 0.5 a quarter more pulses with two photons."""

    def pairs(fluctuation: float) -> tuple[int, int]:
        source = {"probabilities": (0.98, 0.01, 0.01), "intensity_fluctuation": (fluctuation, 0.0, 0.0)}
        tags = shine(bench, source=source, series={"transmittance": 0.1})
        number = np.unique(slots_of(tags, 10_000), return_counts=True)[1]
        return int(number.size), int((number > 1).sum())

    calm, rough = pairs(0.0), pairs(0.5)
    assert rough[1] / calm[1] == pytest.approx(1.25, abs=0.03)
    assert rough[0] / calm[0] == pytest.approx(1.0, abs=0.01)


def test_dark_pulses_shine_by_the_extinction(bench: Bench) -> None:
    tags = shine(bench, 0.05, source={"intensity_extinction_db": 13.0}, series={"transmittance": 0.5})
    sent = settings_of(np.unique(slots_of(tags, 10_000)), key=bench.key, source=bench.source())
    vacuum = int((sent.intensity_class == 2).sum())
    expected = 0.05e8 * 0.2 * -np.expm1(-0.8 * 10**-1.3 * 0.25)
    assert abs(vacuum - expected) < 4.5 * expected**0.5


def test_errors_change_along_the_pass_and_differ_by_basis(bench: Bench) -> None:
    t_s = np.arange(6) * 0.1
    series = bench.series(0.5, transmittance=0.02)
    series = msgspec.structs.replace(series, error_z=0.4 * t_s, error_x=np.full(6, 0.1))
    tags = bench.photons(bench.receiver(series, slots=50_000_000).read(1e9))
    slots = slots_of(tags, 10_000)
    sent = settings_of(slots, key=bench.key, source=bench.source())
    wrong, same = tags.channel % 2 != sent.bit, tags.channel // 2 == sent.basis
    for early, late in ((0.05, 0.15), (0.35, 0.45)):
        here = same & (sent.basis == 0) & (slots > early * 1e8) & (slots < late * 1e8)
        middle = 0.4 * (early + late) / 2
        assert wrong[here].mean() == pytest.approx(middle, abs=4 * (middle / here.sum()) ** 0.5)
    here = same & (sent.basis == 1)
    assert wrong[here].mean() == pytest.approx(0.1, abs=4 * (0.1 / here.sum()) ** 0.5)


def test_counts_follow_the_fading_millisecond_by_millisecond(bench: Bench) -> None:
    fading = np.repeat([0.1, 2.0, 0.5, 1.4], 50)[: 201 - 1]
    fading = np.append(fading, fading[-1])
    series = bench.series(0.2, step_s=0.2, transmittance=0.02, fading=fading)
    tags = bench.photons(bench.receiver(series, slots=20_000_000).read(1e9))
    counts = np.bincount((slots_of(tags, 10_000) // 100_000), minlength=200)[:200]
    middle = (fading[:-1] + fading[1:]) / 2
    expected = 1e5 * (0.5 * 0.8 + 0.3 * 0.3) * 0.02 * 0.5 * middle
    assert (((counts - expected) ** 2 / expected).sum() - 200) / np.sqrt(400) < 4.5


def test_beacons_are_tagged_with_their_probability(bench: Bench) -> None:
    series = bench.series(4.0, transmittance=0.0, beacon_seen=0.3)
    tags = bench.receiver(series, slots=0).read(1e9)
    assert abs(len(tags) - 40_000 * 0.3) < 4.5 * (40_000 * 0.21) ** 0.5


@pytest.mark.parametrize(("white", "walk"), [(1e-9, 0.0), (0.0, 1e-10)])
def test_the_clock_has_its_allan_deviation(white: float, walk: float) -> None:
    clock = msgspec.structs.replace(
        STATION.clock, white_frequency_noise=white, random_walk_frequency_noise=walk
    )
    step_s, n = 0.05, 400_000
    wander = clock_wander_s(clock, n, step_s, seed=3)
    assert wander[0] == 0
    for tau_s in (0.5, 1.0, 5.0):
        m = round(tau_s / step_s)
        second = wander[2 * m :] - 2 * wander[m:-m] + wander[: -2 * m]
        allan = np.sqrt(np.mean(second**2) / 2) / tau_s
        assert allan == pytest.approx(np.sqrt(white**2 / tau_s + walk**2 * tau_s), rel=0.07)


def test_tags_carry_the_wander_of_the_clock(bench: Bench) -> None:
    clock = {"white_frequency_noise": 1e-8}
    tags = bench.receiver(bench.series(2.0, transmittance=0.0), slots=0, clock=clock).read(1e9)
    steady = bench.receiver(bench.series(2.0, transmittance=0.0), slots=0).read(1e9)
    apart = tags.time_ps - steady.time_ps
    assert 1000 < np.ptp(apart) < 60_000
    assert np.abs(np.diff(apart)).max() < 200


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(2, 40),
    fast=st.integers(2, 300),
    slots=st.integers(0, 30_000_000),
    rate_hz=st.sampled_from([1e8, 625e6, 7e8 / 3]),
)
def test_the_bound_of_a_piece_is_never_exceeded_and_pieces_cover_all_slots(
    seed: int, rows: int, fast: int, slots: int, rate_hz: float
) -> None:
    rng, bench = np.random.default_rng(seed), Bench()
    t_s = np.linspace(-0.03, 0.45, rows)
    slots = min(slots, int(0.44 * rate_hz))
    series = LinkSeries(
        t_s=t_s,
        range_m=np.full(rows, 5e5),
        range_rate_m_s=np.zeros(rows),
        transmittance=rng.random(rows),
        background_hz=np.zeros(rows),
        error_z=np.zeros(rows),
        error_x=np.zeros(rows),
        fading=rng.random(fast) * 3,
        beacon_seen=np.ones(fast),
    )
    source = bench.source(pulse_rate_hz=rate_hz, intensity_fluctuation=(0.1, 0.5, 0.0))
    pulses = pulses_of(source, bench.key)
    light, path = light_of(series), path_of(series, STATION, 1)
    detection = detection_of(STATION.receiver, source, 1)
    pieces = pieces_of(slots, pulses, light, detection, path)
    assert pieces.first_slot[0] == 0
    assert pieces.first_slot[-1] == slots
    assert (np.diff(pieces.first_slot) >= 0).all()
    if slots == 0:
        return
    slot = rng.integers(0, slots, 2000)
    at_s = slot / rate_hz
    piece = np.searchsorted(pieces.first_slot, slot, "right") - 1
    assert (np.abs(at_s // (PIECE_PS * 1e-12) - piece) <= 1).all()
    mean = np.interp(at_s, t_s, series.transmittance)
    mean *= np.interp(at_s, np.linspace(-0.03, 0.45, fast), series.fading)
    brightest = max(mu * (1 + 3**0.5 * s) for mu, s in zip((0.8, 0.3, 0.0), (0.1, 0.5, 0.0), strict=True))
    assert (mean * brightest * 0.5 <= pieces.bound[piece] * (1 + 1e-9)).all()


def test_a_gigahertz_pass_holds_no_more_than_a_segment(bench: Bench) -> None:
    """Two seconds at 4 GHz and a million counts a second, read tick by tick: 18 MB of tags, never held."""
    series = bench.series(2.0, transmittance=1.2e-3)
    receiver = bench.receiver(
        series,
        slots=int(2.0 * 4e9),
        source={"pulse_rate_hz": 4e9},
        detector={"dead_time_s": 5e-8, "afterpulse_probability": 0.02, "afterpulse_decay_s": 5e-8},
    )
    receiver.read(0.0)
    tracemalloc.start()
    total = sum(len(receiver.read(t_s)) for t_s in np.arange(0.05, 2.2, 0.05).tolist())
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total > 2_000_000
    assert peak_bytes < 9 * total / 2  # a tag is nine bytes


def test_beacons_are_spread_by_their_detector(bench: Bench) -> None:
    tags = bench.receiver(bench.series(2.0, transmittance=0.0), slots=0, detector={"jitter_s": 500e-12})
    times = tags.read(1e9).time_ps
    emitted = np.arange(times.size) * 100_000_000 + beacon_code(times.size).astype(np.int64) * 1_000_000
    late = times - emitted - DELAY_PS
    assert late.std() == pytest.approx(500 / 2.354820045, rel=4 / (2 * times.size) ** 0.5)


def test_another_seed_is_another_wander() -> None:
    clock = msgspec.structs.replace(STATION.clock, white_frequency_noise=1e-10)
    one, again, other = (clock_wander_s(clock, 9, 1.0, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
