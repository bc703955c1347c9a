"""Labels swapped at random: the bias of unequal detectors goes, errors and times stay, off is as without."""

import hashlib
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from devices_models import STATION, Bench
from hypothesis import given, settings
from hypothesis import strategies as st
from test_twin_statistics import CASES, PERIOD_PS, brute_tally, p_value, slots_of, twin_tally

from satqkd.config import Tagger
from satqkd.devices import settings_of
from satqkd.devices.nature import swap_of
from satqkd.distill.clicks import Acceptance
from satqkd.distill.sync import Resolved
from satqkd.kernels.click_inputs import Swap
from satqkd.kernels.clicks_plain import swapped
from satqkd.randomness import key_words, stream_bytes
from satqkd.records import Tags

SIGMAS = 4.5
"""Two-sided chance 7e-6 that a right twin is rejected by one comparison."""
UNEQUAL = (0.5, 0.25, 0.5, 0.25)
"""Each basis favours its bit 0 two to one."""
RANDOM = {"label_swap": "random"}


def modulator(seed: int) -> Swap:
    return swap_of(msgspec.structs.replace(STATION.receiver, **RANDOM), seed)


def coins(slots: np.ndarray, seed: int = 1) -> np.ndarray:
    """Of the station, as the twin tosses them."""
    return swapped(slots, modulator(seed))


def photons(tags: Tags) -> Tags:
    here = tags.channel != 4
    return Tags(tags.time_ps[here], tags.channel[here])


def all_effects(bench: Bench, basis_choice: str, z_received: float, **receiver: Any) -> Tags:
    series = bench.series(
        0.3,
        transmittance=0.01,
        background_hz=3e4,
        start_s=-0.05,
        step_s=0.01,
        moving=True,
        errors=(0.03, 0.08),
    )
    twin = bench.receiver(
        series,
        slots=29_000_000,
        seed=7,
        source={
            "pulse_width_s": 2e-10,
            "diode_skew_s": (0.0, 3e-11, -2e-11, 1e-11),
            "intensity_fluctuation": (0.1, 0.2, 0.0),
        },
        receiver={
            "basis_choice": basis_choice,
            "basis_z_probability": z_received,
            "tagger": Tagger(resolution_s=1e-11, dead_time_s=2e-9),
            **receiver,
        },
        detector={
            "efficiency": (0.5, 0.4, 0.45, 0.3),
            "dark_rate_hz": (50.0, 900.0, 0.0, 3000.0),
            "dead_time_s": 5e-8,
            "recovery_s": 1e-8,
            "jitter_s": (1e-10, 2e-10, 3e-10, 4e-10),
            "jitter_tail_fraction": 0.1,
            "jitter_tail_s": 2e-10,
            "afterpulse_probability": 0.05,
            "afterpulse_decay_s": 5e-8,
        },
        clock={"offset_s": 3e-4, "drift": -7e-6, "white_frequency_noise": 1e-10},
    )
    return twin.read(1e9)


@pytest.mark.parametrize(
    ("basis_choice", "z_received", "count", "digest"),
    [("passive", 0.5, 76_252, "c3aa8697324615e8"), ("active", 0.7, 78_371, "187178bd4a6c77ae")],
)
def test_without_swap_the_tags_are_those_of_a_twin_that_knows_none(
    bench: Bench, basis_choice: str, z_received: float, count: int, digest: str
) -> None:
    """Digests of a twin that could not swap, times to the nanosecond: the option left out draws nothing."""
    tags = all_effects(bench, basis_choice, z_received)
    told = hashlib.sha256((tags.time_ps // 1000).astype("<i8").tobytes() + tags.channel.tobytes())
    assert (len(tags), told.hexdigest()[:16]) == (count, digest)
    other = all_effects(bench, basis_choice, z_received, **RANDOM)
    assert set(tags.channel.tolist()) == set(range(5))
    assert set(other.channel.tolist()) == set(range(9))


class Sifted(NamedTuple):
    """Rounds of matching bases as the station accepts them."""

    ones: int
    wrong: int
    n: int


def sifted(bench: Bench, basis_choice: str, **receiver: Any) -> Sifted:
    tags = photons(
        bench.receiver(
            bench.series(0.6, transmittance=0.01, errors=(0.05, 0.05)),
            slots=60_000_000,
            detector={"efficiency": UNEQUAL, "dead_time_s": 2e-8},
            receiver={"basis_choice": basis_choice, **receiver},
        ).read(1e9)
    )
    acceptance = Acceptance(1000.0, 20_000.0, stream_bytes(1, "ties"), label_swap=bool(receiver))
    found = acceptance.accept(Resolved(slots_of(tags), np.zeros(len(tags)), tags.channel, tags.time_ps))
    sent = settings_of(found.slot, key=bench.key, source=bench.source())
    same = sent.basis == found.basis
    return Sifted(int(found.bit[same].sum()), int((found.bit != sent.bit)[same].sum()), int(same.sum()))


@pytest.mark.parametrize("basis_choice", ["passive", "active"])
def test_unequal_detectors_bias_the_bits_without_the_swap_and_not_with_it(
    bench: Bench, basis_choice: str
) -> None:
    """Each statement at 4.5 standard deviations: one in 140 000 right twins is rejected by one of them.

    Power: labels told without light turned make half of the bits wrong; a flip of bits without light
    turned leaves sent and received equal but only by hiding nothing (the brute force below rejects it).
    """
    as_they_are, random = sifted(bench, basis_choice), sifted(bench, basis_choice, **RANDOM)
    assert min(as_they_are.n, random.n) > 50_000
    assert as_they_are.ones / as_they_are.n < 0.36  # 1/3 and what errors and ties add
    assert abs(random.ones - random.n / 2) < SIGMAS * random.n**0.5 / 2
    qber, other = as_they_are.wrong / as_they_are.n, random.wrong / random.n
    assert abs(qber - other) < SIGMAS * (qber * (1 - qber) * (1 / as_they_are.n + 1 / random.n)) ** 0.5
    assert abs(other - 0.05) < SIGMAS * (0.05 * 0.95 / random.n) ** 0.5 + 1e-3  # ties


@pytest.mark.parametrize(("basis_choice", "z_received"), CASES[:1])
def test_detectors_see_the_turned_bit(bench: Bench, basis_choice: str, z_received: float) -> None:
    """Brute force of a receiver that turns nothing, of the bits as turned: the same to the last pattern.

    Power: taken by the bits as sent, the detectors' pattern is another.
    """
    case = {"basis_choice": basis_choice, "z_received": z_received}
    brute = brute_tally(seed=1, **case)
    turned = twin_tally(bench, seed=11, turned_by=lambda slots: coins(slots, 11), **case)
    assert 1e-3 < p_value(turned, brute) < 1 - 1e-3
    as_sent = twin_tally(bench, seed=11, turned_by=lambda slots: 0 * slots, **case)
    assert p_value(as_sent, brute) < 1e-6


def test_every_tag_has_the_state_of_the_slot_it_falls_in(bench: Bench) -> None:
    """Light, dark counts and afterpulses alike; power: many fall in another slot than what made them."""
    noise = {"dark_rate_hz": 2e5, "afterpulse_probability": 0.25, "afterpulse_decay_s": 1e-7}
    series = bench.series(0.2, transmittance=0.005, start_s=-0.05)
    tags = photons(
        bench.receiver(
            series, slots=20_000_000, receiver=RANDOM, detector={"dead_time_s": 5e-8, **noise}
        ).read(1e9)
    )
    assert (slots_of(tags) < 0).sum() > 10_000
    place_ps = tags.time_ps - 5e5 / 299_792_458 * 1e12 - slots_of(tags) * float(PERIOD_PS)
    inside = np.abs(place_ps) < PERIOD_PS / 2 - 2  # on the edge itself a picosecond's rounding decides
    assert np.mean(inside) > 0.999
    assert np.array_equal(tags.channel[inside] > 4, coins(slots_of(tags))[inside] == 1)
    counts = np.bincount(tags.channel, minlength=9)
    assert np.ptp(counts[[0, 5]]) < SIGMAS * counts[[0, 5]].sum() ** 0.5


def test_the_coins_are_the_stations_and_no_setting_of_the_satellites(bench: Bench) -> None:
    """Key by name, and the coins of 100 000 slots tell nothing of class, basis or bit (4.5 sigma)."""
    slots = np.arange(100_000)
    sent = settings_of(slots, key=bench.key, source=bench.source())
    for column in (sent.intensity_class == 0, sent.basis, sent.bit):
        both = (coins(slots) == 1) & (column == 1)
        expected = np.mean(column) / 2 * slots.size
        assert abs(both.sum() - expected) < SIGMAS * expected**0.5
    assert modulator(1)[1:] not in (key_words(1, "twin", "dice"), key_words(1, "twin", "nature"))
    assert not np.array_equal(coins(slots), coins(slots, seed=2))


def test_skew_stays_with_the_diode_that_fired(bench: Bench) -> None:
    skew_s = (0.0, 300e-12, -200e-12, 90e-12)
    tags = photons(
        bench.receiver(
            bench.series(0.2, transmittance=0.02),
            slots=20_000_000,
            source={"diode_skew_s": skew_s},
            receiver=RANDOM,
        ).read(1e9)
    )
    slots = slots_of(tags)
    sent = settings_of(slots, key=bench.key, source=bench.source())
    late_ps = tags.time_ps - 5e5 / 299_792_458 * 1e12 - slots * float(PERIOD_PS)
    for state in range(4):
        here = (sent.basis == state // 2) & (sent.bit == state % 2)
        assert np.abs(late_ps[here] - 1e12 * skew_s[state]).max() < 1


def test_jitter_and_efficiency_stay_with_the_detector(bench: Bench) -> None:
    jitter_s = (50e-12, 400e-12, 100e-12, 200e-12)
    tags = photons(
        bench.receiver(
            bench.series(0.2, transmittance=0.02),
            slots=20_000_000,
            detector={"jitter_s": jitter_s},
            receiver=RANDOM,
        ).read(1e9)
    )
    late_ps = tags.time_ps - 5e5 / 299_792_458 * 1e12 - slots_of(tags) * float(PERIOD_PS)
    for detector in range(4):
        for state in (0, 5):
            spread = late_ps[tags.channel == detector + state].std()
            assert spread == pytest.approx(1e12 * jitter_s[detector] / 2.354820045, rel=0.03)


@settings(max_examples=15, deadline=None)
@given(ends_s=st.lists(st.floats(-0.1, 0.4), max_size=12), seed=st.integers(0, 3))
def test_the_stream_does_not_depend_on_the_reads(ends_s: list[float], seed: int) -> None:
    bench = Bench()
    series = bench.series(0.3, transmittance=2e-3, background_hz=2e4, start_s=-0.1, moving=True)

    def twin() -> Any:
        clock = {"offset_s": -3e-4, "drift": -5e-6}
        return bench.receiver(series, slots=30_000_000, seed=seed, receiver=RANDOM, clock=clock)

    whole, chopped = twin().read(1.0), twin()
    parts = [chopped.read(end_s) for end_s in [*sorted(ends_s), 1.0]]
    assert np.array_equal(np.concatenate([part.time_ps for part in parts]), whole.time_ps)
    assert np.array_equal(np.concatenate([part.channel for part in parts]), whole.channel)


H, V = np.array([1, 0], complex), np.array([0, 1], complex)
STATES = {0: (H, V), 1: ((H + V) / 2**0.5, (H - V) / 2**0.5)}
QUARTER_TURN = np.array([[0, -1], [1, 0]], complex)
HALF_WAVE = np.array([[0, 1], [1, 0]], complex)
"""A half-wave retarder with its axis at 45 degrees."""


def rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], complex)


def quarter_wave(angle: float) -> np.ndarray:
    return rotation(angle) @ np.diag([1, 1j]) @ rotation(-angle)


def probability(modulator: np.ndarray, arriving: np.ndarray, basis: int, bit: int) -> float:
    return float(abs(STATES[basis][bit].conj() @ modulator @ arriving) ** 2)


@settings(max_examples=100, deadline=None)
@given(psi=st.floats(-3.2, 3.2), phi=st.floats(-3.2, 3.2), turn=st.floats(-3.2, 3.2))
def test_a_quarter_turn_is_the_other_bit_whatever_arrives(psi: float, phi: float, turn: float) -> None:
    """By Jones vectors, elliptical light too: turned by 90 degrees each detector sees what the other saw.

    So a bit b turned clicks as 1 - b does unturned, with the frames' angle, a retarder and any elliptical
    light in front of the modulator. Power: a half-wave retarder, which is no rotation, leaves + where it was.
    """
    optics = rotation(turn) @ np.diag([1, np.exp(1j * phi)]) @ rotation(psi)
    for basis in (0, 1):
        for bit in (0, 1):
            for sent in (*STATES[0], *STATES[1]):
                seen = probability(QUARTER_TURN, optics @ sent, basis, bit)
                assert seen == pytest.approx(probability(np.eye(2), optics @ sent, basis, 1 - bit), abs=1e-12)
    rotator = quarter_wave(-np.pi / 4) @ np.diag([1, -1]) @ quarter_wave(np.pi / 4)
    assert abs(np.trace(rotator.conj().T @ QUARTER_TURN)) == pytest.approx(2.0)  # equal but for a phase
    plus = STATES[1][0]
    assert probability(HALF_WAVE, plus, 1, 0) == pytest.approx(1.0)
    assert probability(QUARTER_TURN, plus, 1, 1) == pytest.approx(1.0)


@settings(max_examples=100, deadline=None)
@given(psi=st.floats(-3.2, 3.2), phi=st.floats(-3.2, 3.2))
def test_a_retarder_behind_the_modulator_is_exact_for_light_that_arrives_linear(
    psi: float, phi: float
) -> None:
    """Power: circular light tells the two orders apart."""
    behind = np.diag([1, np.exp(1j * phi)])
    for basis, bit in ((0, 0), (0, 1), (1, 0), (1, 1)):
        for sent in (*STATES[0], *STATES[1]):
            light = rotation(psi) @ sent
            seen = probability(behind @ QUARTER_TURN, light, basis, bit)
            assert seen == pytest.approx(probability(behind, light, basis, 1 - bit), abs=1e-12)
    circular, quarter = (H + 1j * V) / 2**0.5, np.diag([1, 1j])
    assert probability(quarter @ QUARTER_TURN, circular, 1, 0) == pytest.approx(
        probability(quarter, circular, 1, 0)
    )
