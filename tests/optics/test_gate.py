"""Shares of tags in gates against thrown tags, in closed form where there is one, and at their ends."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optics_oracles import gate_fraction

from satqkd.config import Detector, Receiver, Source, Tagger
from satqkd.optics import gate_shares
from satqkd.optics.gate import gate_centre_s, late_probability

SOURCE = Source(
    pulse_rate_hz=625e6,
    wavelength_m=850e-9,
    intensities=(0.8, 0.1, 0.0),
    probabilities=(0.5, 0.25, 0.25),
    pulse_width_s=0.2e-9,
)
RECEIVER = Receiver(
    optics_transmittance=0.5,
    optical_error=0.01,
    basis_choice="passive",
    gate_s=1e-9,
    detector=Detector.equal(efficiency=0.5, dark_rate_hz=25.0, dead_time_s=50e-9, jitter_s=350e-12),
)


def receiver(**changes: Any) -> Receiver:
    detector = {name: changes.pop(name) for name in list(changes) if name in Detector.__struct_fields__}
    replaced = msgspec.structs.replace(RECEIVER.detector, **{k: _four(v) for k, v in detector.items()})
    return msgspec.structs.replace(RECEIVER, detector=replaced, **changes)


def _four(value: Any) -> tuple[float, ...]:
    return (value,) * 4 if np.isscalar(value) else value


def test_gaussian_shares_are_the_error_function() -> None:
    shares = gate_shares(RECEIVER, SOURCE)
    kept = gate_fraction(1e-9, jitter_s=350e-12, pulse_width_s=0.2e-9)
    np.testing.assert_allclose(shares.own, kept, rtol=1e-6)  # the tagger's picosecond is the rest
    next_slot = late_probability(1.1e-9, np.hypot(350e-12, 0.2e-9) / 2.354820045, 0, 0)
    np.testing.assert_allclose(shares.others, 2 * next_slot, rtol=1e-3)


def test_shares_of_thrown_tags() -> None:
    """Skewed diodes, unequal jitter with tails, a fast source: gates catch what they should."""
    rng, n, period_s = np.random.default_rng(2), 400_000, 0.5e-9
    source = msgspec.structs.replace(
        SOURCE, pulse_rate_hz=2e9, diode_skew_s=(0.0, 60e-12, -80e-12, 20e-12), pulse_width_s=50e-12
    )
    tails, tail_s, jitter_s = (0.0, 0.2, 0.1, 0.3), (0.0, 4e-10, 2e-10, 9e-10), (1e-10, 2e-10, 3e-10, 1e-10)
    ground = receiver(jitter_s=jitter_s, jitter_tail_fraction=tails, jitter_tail_s=tail_s, gate_s=3e-10)
    sigma_s, tags = np.hypot(jitter_s, 50e-12) / 2.354820045, np.empty((4, 4, n))
    for state in range(4):
        for d in range(4):
            tags[state, d] = source.diode_skew_s[state] + sigma_s[d] * rng.standard_normal(n)
            tags[state, d] += (rng.random(n) < tails[d]) * rng.exponential(max(tail_s[d], 1e-15), n)
    centre_s = np.angle(np.exp(2j * np.pi * tags / period_s).mean()) / (2 * np.pi) * period_s
    slot = np.rint((tags - centre_s) / period_s)
    inside = np.abs(tags - centre_s - slot * period_s) <= 1.5e-10
    shares = gate_shares(ground, source)
    np.testing.assert_allclose(shares.own, (inside & (slot == 0)).mean(axis=2), atol=5 * 0.5 / n**0.5)
    np.testing.assert_allclose(shares.others, (inside & (slot != 0)).mean(axis=2), atol=5 * 0.5 / n**0.5)
    assert shares.others.max() > 0.12


def test_a_coarse_tagger_is_one_more_jitter() -> None:
    """Rounding to 1 ns against a gate of 4 of 10 ns: uniform over a nanosecond, as its variance is."""
    slow = msgspec.structs.replace(SOURCE, pulse_rate_hz=1e8)
    coarse = receiver(gate_s=4e-9, jitter_s=0.9e-9, tagger=Tagger(resolution_s=1e-9))
    spread_s = np.sqrt(0.9e-9**2 + 1e-18 / 12 * 2.354820045**2)
    kept = gate_fraction(4e-9, jitter_s=float(spread_s), pulse_width_s=0.2e-9)
    np.testing.assert_allclose(gate_shares(coarse, slow).own, kept, rtol=1e-9)


def test_the_centre_is_the_circular_mean() -> None:
    rng, n = np.random.default_rng(3), 10**6
    tags = 2e-10 + 1e-10 * rng.standard_normal(n) + (rng.random(n) < 0.3) * rng.exponential(3e-10, n)
    expected = np.angle(np.exp(2j * np.pi * tags / 1.6e-9).mean()) / (2 * np.pi) * 1.6e-9
    found = gate_centre_s(2e-10, sigma_s=1e-10, tail_fraction=0.3, tail_s=3e-10, period_s=1.6e-9)
    assert found == pytest.approx(expected, abs=1e-12)


def test_afterpulses_in_gates_of_thrown_times() -> None:
    rng, n = np.random.default_rng(4), 10**6
    ground = receiver(
        afterpulse_decay_s=(2e-8, 5e-8, 1e-9, 0.0), afterpulse_probability=0.01, hold_off_s=60e-9
    )
    shares = gate_shares(ground, SOURCE).afterpulse
    for d, decay_s in enumerate((2e-8, 5e-8, 1e-9)):
        since_s = 50e-9 + rng.exponential(decay_s, n)
        inside = np.abs(since_s - np.rint(since_s / 1.6e-9) * 1.6e-9) <= 0.5e-9
        expected = (inside & (since_s >= 60e-9)).mean()
        assert shares[d] == pytest.approx(expected, abs=5 * 0.5 / n**0.5)
    assert shares[3] == 0


@settings(max_examples=100, deadline=None)
@given(
    rate_hz=st.floats(1e7, 5e9),
    gate=st.floats(0.05, 1.0),
    jitter_s=st.floats(0, 1e-9),
    tail=st.floats(0, 1),
    tail_s=st.floats(0, 3e-9),
    skew=st.floats(-0.5, 0.5),
)
def test_shares_are_probabilities(rate_hz, gate, jitter_s, tail, tail_s, skew) -> None:
    """Own and others together are at most the certain tag; a gate as long as the period catches every tag."""
    skew_s = max(min(skew / rate_hz, 1e-8), -1e-8)
    source = msgspec.structs.replace(
        SOURCE, pulse_rate_hz=rate_hz, pulse_width_s=1e-11, diode_skew_s=(skew_s, 0.0, 0.0, -skew_s)
    )
    ground = receiver(
        jitter_s=jitter_s, jitter_tail_fraction=tail, jitter_tail_s=tail_s, gate_s=gate / rate_hz
    )
    shares = gate_shares(ground, source)
    assert (shares.own > -1e-12).all()
    assert (shares.others > -1e-12).all()
    assert (shares.own + shares.others < 1 + 1e-9).all()
    whole = gate_shares(msgspec.structs.replace(ground, gate_s=1 / rate_hz), source)
    np.testing.assert_allclose(whole.own + whole.others, 1, atol=1e-6)


@settings(max_examples=200, deadline=None)
@given(st.floats(-3e-9, 3e-9), st.floats(0, 1e-9), st.floats(0, 1), st.floats(0, 3e-9))
def test_later_is_less_likely(t_s: float, sigma_s: float, tail: float, tail_s: float) -> None:
    here, later = (float(late_probability(at, sigma_s, tail, tail_s)) for at in (t_s, t_s + 1e-10))
    assert -1e-12 <= later <= here + 1e-12 <= 1 + 2e-12
