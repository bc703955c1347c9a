"""Expected rates against arithmetic, against dice, and at their ends."""

import msgspec
import numpy as np
import pytest

from satqkd.config import Satellite, Station
from satqkd.errors import ConfigError
from satqkd.optics import LinkLosses, expected_rates, gate_fraction, link_losses


def _losses(transmittance: float, background_hz: float = 0.0) -> LinkLosses:
    """A budget of which only what the rates need is filled."""
    unused = np.zeros(1)
    return LinkLosses(
        diffraction_db=unused,
        pointing_db=unused,
        atmosphere_db=unused,
        receiver_db=unused,
        calibration_db=unused,
        detector_db=unused,
        total_db=unused,
        transmittance=np.array([transmittance]),
        background_hz=np.array([background_hz]),
    )


def _with_detector(station: Station, **changes: float) -> Station:
    detector = msgspec.structs.replace(station.receiver.detector, **changes)
    return msgspec.structs.replace(
        station, receiver=msgspec.structs.replace(station.receiver, detector=detector)
    )


def test_sifted_to_detected_ratio_of_micius(satellite: Satellite, station: Station) -> None:
    """Published: 1 671 072 of 3 551 136 = 0.470574, counting error 2.6e-4; needs little background."""
    rates = expected_rates(_losses(1e-3), satellite=satellite, station=station)
    assert float(rates.sifted_hz[0] / rates.detection_hz[0]) == pytest.approx(0.470574, abs=5e-4)
    noisy = expected_rates(_losses(1e-3, 1e4), satellite=satellite, station=station)
    assert float(noisy.sifted_hz[0] / noisy.detection_hz[0]) < 0.465


def test_against_brute_force_dice(satellite: Satellite, station: Station) -> None:
    """Photons, noise and errors thrown pulse by pulse; a rate off by 2 % is rejected."""
    station = _with_detector(station, dead_time_s=0.0, dark_rate_hz=2e5)
    rates = expected_rates(_losses(0.2, 1e6), satellite=satellite, station=station)
    rng, n = np.random.default_rng(3), 400_000
    eta = 0.2 * 0.5
    in_gate = gate_fraction(2e-9, jitter_s=350e-12, pulse_width_s=0.2e-9)
    noise = rng.random(n) < (4 * 2e5 + 1e6) * 2e-9
    for index, mu in enumerate(satellite.source.intensities):
        photon = rng.binomial(rng.poisson(mu, n), eta * in_gate) > 0
        click = photon | noise
        wrong = np.where(noise, rng.random(n) < 0.5, rng.random(n) < 0.01) & click
        gain, error = float(rates.class_gain[index, 0]), float(rates.class_error[index, 0])
        assert abs(click.mean() - gain) < 4 * np.sqrt(gain / n)
        assert abs(wrong.sum() / click.sum() - error) < 4 * np.sqrt(error / click.sum())
    assert 4 * np.sqrt(1 / (float(rates.class_gain[0, 0]) * n)) < 0.025


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


def test_dead_time_is_per_detector_and_never_paralyses(satellite: Satellite, station: Station) -> None:
    slow = _with_detector(station, dead_time_s=1e-6)
    ideal = _with_detector(station, dead_time_s=0.0)
    bright = _losses(0.5)
    free = expected_rates(bright, satellite=satellite, station=ideal)
    dead = expected_rates(bright, satellite=satellite, station=slow)
    raw_hz = float(free.detection_hz[0])
    assert float(dead.detection_hz[0]) == pytest.approx(raw_hz / (1 + raw_hz / 4 * 1e-6), rel=0.01)
    assert float(dead.detection_hz[0]) < 4 / 1e-6
    assert float(dead.qber[0]) == float(free.qber[0])


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
    assert ratio == pytest.approx((0.9 * 0.8 + 0.1 * 0.2) / 0.5)


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
