"""The twin's clicks against brute force over every pulse: exact in distribution, and the test has power."""

import numpy as np
import pytest
from scipy import stats

from satqkd.constants import SPEED_OF_LIGHT_M_S
from satqkd.devices import settings_of
from satqkd.records import Tags

PULSES = 8_000_000
TRANSMITTANCE = 0.9
EFFICIENCY = (0.999, 0.6, 0.8, 0.95)
FLUCTUATION = (0.1, 0.3, 0.0)
MU = (0.8, 0.3, 0.0)
PROBABILITIES = (0.5, 0.3, 0.2)
Z_SENT, ERROR = 0.6, (0.05, 0.15)
PERIOD_PS = 10_000


def slots_of(tags: Tags, range_m: float = 5e5) -> np.ndarray:
    """Slot of each tag, for a station that stands still with a perfect clock."""
    delay_ps = range_m / SPEED_OF_LIGHT_M_S * 1e12
    return np.rint((tags.time_ps - delay_ps) / PERIOD_PS).astype(np.int64)


def tally(intensity_class, basis, bit, pattern) -> np.ndarray:
    cell = ((intensity_class.astype(np.int64) * 2 + basis) * 2 + bit) * 16 + pattern
    return np.bincount(cell, minlength=3 * 2 * 2 * 16)


def twin_tally(
    bench,
    *,
    seed: int,
    basis_choice: str,
    z_received: float,
    source: dict | None = None,
    turned_by=None,
    **detector,
) -> np.ndarray:
    """turned_by: of a receiver that swaps labels, by what the bits sent in slots are taken to be turned."""
    duration_s = PULSES * PERIOD_PS * 1e-12
    receiver = bench.receiver(
        bench.series(duration_s, transmittance=TRANSMITTANCE, step_s=0.01, errors=ERROR),
        slots=PULSES,
        seed=seed,
        source={"intensity_fluctuation": FLUCTUATION, **(source or {})},
        detector={"efficiency": EFFICIENCY, **detector},
        receiver={
            "basis_choice": basis_choice,
            "basis_z_probability": z_received,
            "label_swap": "none" if turned_by is None else "random",
        },
    )
    tags = receiver.read(1e9)
    tags = bench.photons(Tags(tags.time_ps, tags.channel - np.uint8(5) * (tags.channel > 4)))
    slots = slots_of(tags)
    first = np.flatnonzero(np.diff(slots, prepend=-1))
    pattern = np.bitwise_or.reduceat(1 << tags.channel.astype(np.int64), first)
    settings = settings_of(slots[first], key=bench.key, source=bench.source(**source or {}))
    bit = settings.bit if turned_by is None else settings.bit ^ turned_by(slots[first])
    return tally(settings.intensity_class, settings.basis, bit, pattern)


def brute_tally(*, seed: int, basis_choice: str, z_received: float) -> np.ndarray:
    """Every pulse, every photon, with numpy's own generators and none of the twin's methods."""
    rng, total = np.random.default_rng([seed, 2024]), 0
    for _ in range(8):
        n = PULSES // 8
        intensity_class = np.searchsorted(np.cumsum(PROBABILITIES[:2]), rng.random(n), "right")
        basis, bit = (rng.random(n) >= Z_SENT).astype(int), rng.integers(0, 2, n)
        spread = np.sqrt(3) * np.array(FLUCTUATION)[intensity_class] * rng.uniform(-1, 1, n)
        photons = rng.poisson(np.array(MU)[intensity_class] * (1 + spread) * TRANSMITTANCE)
        shared = rng.random(n) >= z_received
        pattern = np.zeros(n, np.int64)
        while (here := np.flatnonzero(photons > 0)).size:
            own = rng.random(here.size) >= z_received
            measured = (shared[here] if basis_choice == "active" else own).astype(int)
            same = measured == basis[here]
            flipped = rng.random(here.size) < np.where(same, np.array(ERROR)[basis[here]], 0.5)
            detector = 2 * measured + (bit[here] ^ flipped)
            seen = rng.random(here.size) < np.array(EFFICIENCY)[detector]
            pattern[here[seen]] |= 1 << detector[seen]
            photons[here] -= 1
        seen = pattern > 0
        total = total + tally(intensity_class[seen], basis[seen], bit[seen], pattern[seen])
    return total


def p_value(a: np.ndarray, b: np.ndarray) -> float:
    """Two samples of PULSES pulses each; pulses without a click are a cell, rare cells are pooled."""
    a, b = (np.append(counts, PULSES - counts.sum()) for counts in (a, b))
    common = a + b >= 40
    a, b = (np.append(counts[common], counts[~common].sum()) for counts in (a, b))
    a, b = a[a + b > 0], b[a + b > 0]
    statistic = ((a - b) ** 2 / (a + b)).sum()
    return float(stats.chi2.sf(statistic, a.size - 1))


CASES = [("passive", 0.5), ("active", 0.7)]


@pytest.mark.parametrize(("basis_choice", "z_received"), CASES)
def test_twin_is_brute_force_in_distribution(bench, basis_choice, z_received):
    case = {"basis_choice": basis_choice, "z_received": z_received}
    brute = brute_tally(seed=1, **case)
    assert 1e-3 < p_value(twin_tally(bench, seed=11, **case), brute) < 1 - 1e-3
    doubles = brute.reshape(-1, 16)[:, [3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15]].sum()
    assert doubles > PULSES / 100
    for wrong in (
        {"source": {"probabilities": (0.505, 0.295, 0.2)}},
        {"source": {"intensity_fluctuation": (0.0, 0.0, 0.0)}},
        {"efficiency": (0.999, 0.6, 0.8, 0.91)},
    ):
        assert p_value(twin_tally(bench, seed=11, **wrong, **case), brute) < 1e-6


def test_passive_and_active_receivers_are_told_apart(bench):
    brute = brute_tally(seed=2, basis_choice="active", z_received=0.5)
    assert p_value(twin_tally(bench, seed=12, basis_choice="passive", z_received=0.5), brute) < 1e-6


def test_clicks_and_double_clicks_at_low_transmittance_follow_the_formula(bench):
    slots, t_s = 200_000_000, np.arange(21) * 0.1
    transmittance = 0.02 * (1 + 0.9 * np.sin(3 * t_s))
    series = bench.series(2.0, transmittance=transmittance)
    tags = bench.photons(bench.receiver(series, slots=slots, seed=3).read(9.0))
    at = np.arange(0.5, 20_000) * 1e-4
    mean = np.outer(MU, np.interp(at, t_s, transmittance) * 0.5)
    clicks = slots * np.average(-np.expm1(-mean).mean(axis=1), weights=PROBABILITIES)
    several = slots * np.average((1 - np.exp(-mean) * (1 + mean)).mean(axis=1), weights=PROBABILITIES)
    photons = np.unique(slots_of(tags), return_counts=True)[1]
    assert abs(photons.size - clicks) < 4 * clicks**0.5
    assert abs((photons > 1).sum() - several) < 4 * several**0.5
    assert several > 1000


def test_optical_error_is_the_qber(bench):
    receiver = bench.receiver(bench.series(1.0, transmittance=0.01, errors=(0.15, 0.15)), slots=100_000_000)
    tags = bench.photons(receiver.read(9.0))
    settings = settings_of(slots_of(tags), key=bench.key, source=bench.source())
    matched = tags.channel // 2 == settings.basis
    wrong = (tags.channel % 2 != settings.bit)[matched].mean()
    assert abs(wrong - 0.15) < 4 * (0.15 * 0.85 / matched.sum()) ** 0.5
    assert abs((tags.channel % 2 != settings.bit)[~matched].mean() - 0.5) < 0.01
