"""Expected rates against arithmetic, against dice, and at their ends."""

from typing import Any

import msgspec
import numpy as np
import pytest
from optics_oracles import gate_fraction

from satqkd.config import Satellite, Station
from satqkd.errors import ConfigError
from satqkd.optics import LinkLosses, expected_rates, link_losses


def _losses(
    transmittance: float,
    background_hz: float = 0.0,
    *,
    crosstalk_hz: float = 0.0,
    errors: tuple[float, float] = (0.01, 0.01),
) -> LinkLosses:
    """A budget of which only what the rates need is filled."""
    unused = np.zeros(1)
    return LinkLosses(
        diffraction_db=unused,
        pointing_db=unused,
        atmosphere_db=unused,
        cloud_db=unused,
        receiver_db=unused,
        calibration_db=unused,
        detector_db=unused,
        total_db=unused,
        transmittance=np.array([transmittance]),
        background_hz=np.array([background_hz]),
        crosstalk_hz=np.array([crosstalk_hz]),
        error_z=np.array([errors[0]]),
        error_x=np.array([errors[1]]),
        fading_variance=unused,
        scintillation_index=unused,
    )


def _with_detector(station: Station, **changes: Any) -> Station:
    each = {name: (value,) * 4 if np.isscalar(value) else value for name, value in changes.items()}
    detector = msgspec.structs.replace(station.receiver.detector, **each)
    return msgspec.structs.replace(
        station, receiver=msgspec.structs.replace(station.receiver, detector=detector)
    )


def test_sifted_to_detected_ratio_of_micius(satellite: Satellite, station: Station) -> None:
    """Published: 1 671 072 of 3 551 136 = 0.470574, counting error 2.6e-4; needs little background."""
    rates = expected_rates(_losses(1e-3), satellite=satellite, station=station)
    assert float(rates.sifted_hz[0] / rates.detection_hz[0]) == pytest.approx(0.470574, abs=5e-4)
    noisy = expected_rates(_losses(1e-3, 1e4), satellite=satellite, station=station)
    assert float(noisy.sifted_hz[0] / noisy.detection_hz[0]) < 0.465


@pytest.mark.parametrize(("basis_choice", "z_received"), [("passive", 0.5), ("active", 0.8)])
def test_against_brute_force_dice(
    satellite: Satellite, station: Station, basis_choice: Any, z_received: float
) -> None:
    """Photons, four unequal detectors, noise, ties thrown pulse by pulse; a rate off by 2 % is rejected."""
    efficiency, dark_hz, errors = (0.5, 0.3, 0.45, 0.6), (2e5, 6e5, 1e5, 0.0), (0.03, 0.08)
    station = _with_detector(station, dead_time_s=0.0, dark_rate_hz=dark_hz, efficiency=efficiency)
    receiver = msgspec.structs.replace(
        station.receiver, basis_choice=basis_choice, basis_z_probability=z_received
    )
    station = msgspec.structs.replace(station, receiver=receiver)
    losses = _losses(0.4, 1e6, crosstalk_hz=5e5, errors=errors)
    rates = expected_rates(losses, satellite=satellite, station=station)
    rng, n = np.random.default_rng(3), 400_000
    in_gate = gate_fraction(2e-9, jitter_s=350e-12, pulse_width_s=0.2e-9)
    noise_hz = np.array(dark_hz) + 1.5e6 * np.array(efficiency) / sum(efficiency)
    for k, mu in enumerate(satellite.source.intensities):
        basis, bit = rng.integers(0, 2, (2, n))
        clicks = rng.random((4, n)) < -np.expm1(-noise_hz * 2e-9)[:, None]
        photons, shared = rng.poisson(mu * 0.4, n), rng.random(n) >= z_received
        for photon in range(int(photons.max(initial=0))):
            measured = (rng.random(n) >= z_received) if basis_choice == "passive" else shared
            same = measured == basis
            flipped = rng.random(n) < np.where(same, np.where(basis == 0, *errors), 0.5)
            detector = 2 * measured + (bit ^ flipped)
            seen = (photons > photon) & (rng.random(n) < np.array(efficiency)[detector] * in_gate)
            clicks[detector[seen], np.flatnonzero(seen)] = True
        any_z, any_x = clicks[0] | clicks[1], clicks[2] | clicks[3]
        outcome_basis = np.where(any_z & any_x, rng.integers(0, 2, n), np.where(any_z, 0, 1))
        several = clicks.sum(axis=0) > 1
        outcome_bit = np.where(several, rng.integers(0, 2, n), clicks[1] | clicks[3])
        detected = any_z | any_x
        matched = detected & (outcome_basis == basis)
        wrong = matched & (outcome_bit != bit)
        for name, expected, found in (
            ("gain", rates.class_gain[k], detected.mean()),
            ("Z", rates.matched_gain[k, 0], matched[basis == 0].mean()),
            ("X", rates.matched_gain[k, 1], matched[basis == 1].mean()),
            ("Z errors", rates.wrong_gain[k, 0], wrong[basis == 0].mean()),
            ("X errors", rates.wrong_gain[k, 1], wrong[basis == 1].mean()),
            ("error", rates.class_error[k] * matched.mean(), wrong.mean()),
        ):
            value = float(expected[0])
            assert abs(found - value) < 4.5 * np.sqrt(value / (n / 2)), (k, name)
    assert 4.5 * np.sqrt(1 / (float(rates.class_gain[0, 0]) * n)) < 0.025


def test_nothing_but_noise_is_half_wrong(satellite: Satellite, station: Station) -> None:
    rates = expected_rates(_losses(0.0), satellite=satellite, station=station)
    assert float(rates.qber[0]) == 0.5
    assert float(rates.detection_hz[0]) == pytest.approx(100 * 2e-9 * 100e6, rel=1e-4)
    np.testing.assert_allclose(rates.class_gain[:, 0], 2e-7, rtol=1e-4)


def test_neither_light_nor_noise(satellite: Satellite, station: Station) -> None:
    rates = expected_rates(
        _losses(0.0), satellite=satellite, station=_with_detector(station, dark_rate_hz=0.0)
    )
    assert float(rates.detection_hz[0]) == 0
    assert float(rates.qber[0]) == 0.5


def test_slots_near_a_click_are_excluded(satellite: Satellite, station: Station) -> None:
    """Poisson tags: nothing within the exclusion time before a gate opens has the probability exp(-R t)."""
    losses = _losses(0.02)
    free = expected_rates(losses, satellite=satellite, station=_with_detector(station, dead_time_s=0.0))
    dead = expected_rates(losses, satellite=satellite, station=_with_detector(station, dead_time_s=5e-8))
    raw_hz = float(free.detection_hz[0])
    expected = np.exp(-raw_hz / (1 + raw_hz / 4 * 5e-8) * 5e-8)
    assert float(dead.detection_hz[0]) / raw_hz == pytest.approx(expected, rel=2e-4)
    assert 0.9 < expected < 0.99
    assert float(dead.qber[0]) == pytest.approx(float(free.qber[0]), rel=1e-9)
    longer = msgspec.structs.replace(
        station, receiver=msgspec.structs.replace(station.receiver, hold_off_s=2e-7)
    )
    held = expected_rates(losses, satellite=satellite, station=longer)
    half_gate_s = station.receiver.gate_s / 2
    power = (2e-7 + half_gate_s) / (5e-8 + half_gate_s)
    assert float(held.live_fraction[0]) == pytest.approx(float(dead.live_fraction[0]) ** power, rel=1e-9)


def test_fading_excludes_more(satellite: Satellite, station: Station) -> None:
    steady = _losses(0.02)
    fading = msgspec.structs.replace(steady, fading_variance=np.array([0.5]))
    calm, rough = (expected_rates(each, satellite=satellite, station=station) for each in (steady, fading))
    assert float(rough.live_fraction[0]) == pytest.approx(float(calm.live_fraction[0]) ** 1.5, rel=1e-9)


def test_afterpulses_add_errors_in_proportion_to_the_counts(satellite: Satellite, station: Station) -> None:
    """A tenth of the clicks again, 20 % of them in a gate of 2 ns of 10: noise of 2 % of the clicks."""
    quiet = _with_detector(station, dark_rate_hz=0.0)
    after = _with_detector(quiet, afterpulse_probability=0.1, afterpulse_decay_s=1e-6)
    clean, dirty = (
        expected_rates(_losses(1e-3), satellite=satellite, station=each) for each in (quiet, after)
    )
    added = float(dirty.detection_hz[0] - clean.detection_hz[0]) / float(clean.detection_hz[0])
    assert added == pytest.approx(0.1 / 0.9 * 0.2, rel=0.03)
    assert float(dirty.qber[0]) > float(clean.qber[0]) + 0.3 * added * 0.5


def test_what_leaks_from_neighbours_is_noise(satellite: Satellite, station: Station) -> None:
    """At 4 GHz 350 ps of jitter mix the slots: bits of neighbours come in, wrong half the time."""
    source = msgspec.structs.replace(satellite.source, pulse_rate_hz=4e9, pulse_width_s=2e-11)
    fast = msgspec.structs.replace(satellite, source=source)
    quiet = _with_detector(station, dark_rate_hz=0.0, dead_time_s=0.0)
    receiver = msgspec.structs.replace(quiet.receiver, gate_s=0.25e-9)
    quiet = msgspec.structs.replace(quiet, receiver=receiver)
    rates = expected_rates(_losses(1e-3), satellite=fast, station=quiet)
    # A gate as long as the period loses nothing.
    assert float(rates.detection_hz[0]) == pytest.approx(4e9 * 0.5e-3 * 0.425, rel=2e-3)
    own = 0.8 * gate_fraction(0.25e-9, jitter_s=350e-12, pulse_width_s=2e-11)
    leaked = 0.425 * (1 - own / 0.8)
    assert leaked > 0.15
    assert float(rates.qber[0]) == pytest.approx((0.01 * own + 0.5 * leaked) / (own + leaked), rel=2e-3)


def test_recovery_and_fluctuation_change_what_they_should(satellite: Satellite, station: Station) -> None:
    slow = _with_detector(station, recovery_s=2e-7)
    full, weak = (
        expected_rates(_losses(0.02), satellite=satellite, station=each) for each in (station, slow)
    )
    assert 0.9 < float(weak.class_gain[0, 0] / full.class_gain[0, 0]) < 0.99
    biased = msgspec.structs.replace(
        satellite, source=msgspec.structs.replace(satellite.source, intensity_bias=(0.05, 0.0, 0.0))
    )
    bright = expected_rates(_losses(1e-4), satellite=biased, station=station)
    plain = expected_rates(_losses(1e-4), satellite=satellite, station=station)
    assert float(bright.class_gain[0, 0] / plain.class_gain[0, 0]) == pytest.approx(1.05, rel=1e-3)
    assert float(bright.class_gain[1, 0]) == pytest.approx(float(plain.class_gain[1, 0]), rel=1e-4)


def test_biased_bases_match_more_often(satellite: Satellite, station: Station) -> None:
    source = msgspec.structs.replace(satellite.source, basis_z_probability=0.9)
    receiver = msgspec.structs.replace(station.receiver, basis_choice="active", basis_z_probability=0.8)
    even = expected_rates(_losses(1e-3), satellite=satellite, station=station)
    biased = expected_rates(
        _losses(1e-3),
        satellite=msgspec.structs.replace(satellite, source=source),
        station=msgspec.structs.replace(station, receiver=receiver),
    )
    ratio = float(biased.sifted_hz[0] / even.sifted_hz[0])
    assert ratio == pytest.approx((0.9 * 0.8 + 0.1 * 0.2) / 0.5, rel=1e-3)  # multi-photon ties aside


def test_gate_fraction_of_a_gaussian() -> None:
    """A gate of one full width at half maximum keeps erf(sqrt(ln 2)) = 0.761."""
    assert gate_fraction(5e-10, jitter_s=3e-10, pulse_width_s=4e-10) == pytest.approx(0.76096, abs=1e-5)
    assert gate_fraction(2e-9, jitter_s=350e-12, pulse_width_s=0.2e-9) > 1 - 1e-8


def test_photons_outside_the_gate_are_not_counted(satellite: Satellite, station: Station) -> None:
    """Noise shrinks with the gate, light by the Gaussian's tails."""
    quiet = _with_detector(station, dark_rate_hz=0.0)
    tight = msgspec.structs.replace(quiet, receiver=msgspec.structs.replace(quiet.receiver, gate_s=0.2e-9))
    wide_hz, tight_hz = (
        float(expected_rates(_losses(1e-3), satellite=satellite, station=at).detection_hz[0])
        for at in (quiet, tight)
    )
    kept = gate_fraction(0.2e-9, jitter_s=350e-12, pulse_width_s=0.2e-9)
    assert 0.4 < kept < 0.5
    assert tight_hz / wide_hz == pytest.approx(kept, rel=1e-3)


def test_a_gate_longer_than_the_period_is_refused(satellite: Satellite, station: Station) -> None:
    fast = msgspec.structs.replace(
        satellite, source=msgspec.structs.replace(satellite.source, pulse_rate_hz=625e6)
    )
    with pytest.raises(ConfigError, match=r"gate 2 ns .* period 1\.6 ns"):
        expected_rates(_losses(1e-3), satellite=fast, station=station)


def test_shapes_follow_the_budget(satellite: Satellite, station: Station) -> None:
    losses = link_losses(np.full((2, 3), 1e6), 0.5, satellite=satellite, station=station)
    rates = expected_rates(losses, satellite=satellite, station=station)
    assert rates.sifted_hz.shape == rates.qber.shape == rates.detection_hz.shape == (2, 3)
    assert rates.class_gain.shape == rates.class_error.shape == (3, 2, 3)
