"""Passes under conditions that hurt: beacons missed, clouds, wandering clocks, receivers of another kind."""

from pathlib import Path
from typing import Any

import pytest

from satqkd.config import Cloud, Laser, LaserReceiver, Tagger
from satqkd.mission.fading import Fading
from toy_pass import Flight, fly_toy, toy_satellite, toy_station

BEACON = Laser(wavelength_m=532e-9, power_w=1e-6, divergence_rad=2e-5)


def fly(folder: Path, *, satellite: dict[str, Any] | None = None, **station: Any) -> Flight:
    return fly_toy(folder, satellite=toy_satellite(**satellite or {}), station=toy_station(**station))


def assert_key(flight: Flight) -> None:
    assert (flight.report.outcome, flight.report.keys_match) == ("key", True)
    assert flight.report.secret_bits > 5_000
    assert flight.keys[0] == flight.keys[1]


@pytest.mark.parametrize(("photons_wanted", "share"), [(1.4e7, 0.7), (1e12, 0.0)])
def test_beacons_that_are_missed(tmp_path: Path, photons_wanted: float, share: float) -> None:
    """Two thirds of the beacons, missed in fades, are enough; none is a pass without key, with its counts."""
    craft = toy_satellite(
        beacon__laser=BEACON,
        beacon__detection_photons=photons_wanted,
        transmitter__pointing_correlation_s=0.02,
    )
    flight = fly_toy(tmp_path, satellite=craft, station=toy_station())
    seen = Fading(flight.contact, 1).series().beacon_seen
    in_window = int(seen.size * flight.contact.quantum_end_s / flight.contact.look.t_s[-1])
    assert seen[:in_window].mean() == pytest.approx(share, abs=0.1)
    if share > 0:
        assert_key(flight)
    else:
        assert flight.report.outcome == "no_key"
        assert (flight.report.detections, flight.report.secret_bits) == (0, 0)


def test_a_cloud_costs_photons_and_the_pass_goes_on(tmp_path: Path) -> None:
    """Two of eight seconds under cloud: the counts of the others, and what the laser lost is sent again."""
    laser = Laser(wavelength_m=1550e-9, power_w=0.05, divergence_rad=1e-4)
    photodiode = LaserReceiver(
        aperture_diameter_m=0.2,
        optics_transmittance=0.5,
        quantum_efficiency=0.8,
        amplifier_noise_a_sqrt_hz=1e-12,
    )
    lit = {"lasercom__laser": laser, "lasercom__receiver": photodiode, "lasercom__frame_loss": 0.0}
    clear, cloudy = (
        fly(_made(tmp_path / name), satellite=lit, clouds=clouds, **lit)
        for name, clouds in (("clear", ()), ("cloudy", (Cloud(from_s=3.0, to_s=5.0, loss_db=40.0),)))
    )
    assert_key(clear)
    assert 0.7 < cloudy.report.detections / clear.report.detections < 0.8
    assert clear.report.classical["up"]["lost"] == 0
    assert clear.report.classical["outages"] == []
    for direction in ("down", "up"):
        (outage,) = [row for row in cloudy.report.classical["outages"] if row["direction"] == direction]
        assert (outage["from_s"], outage["to_s"]) == pytest.approx((3.0, 5.0), abs=0.15)
    assert cloudy.report.classical["up"]["lost"] > 10
    assert cloudy.report.classical["up"]["resent"] > 10
    assert cloudy.report.keys_match
    assert cloudy.keys[0] == cloudy.keys[1]


def test_a_clock_that_wanders_is_followed(tmp_path: Path) -> None:
    """A crystal of 1e-10 at 1 s walks some hundred picoseconds a second."""
    assert_key(
        fly(
            tmp_path,
            clock__white_frequency_noise=1e-10,
            clock__random_walk_frequency_noise=3e-11,
            receiver__tagger=Tagger(resolution_s=50e-12, dead_time_s=5e-9),
        )
    )


def test_detectors_with_every_fault_still_give_equal_keys(tmp_path: Path) -> None:
    flight = fly(
        tmp_path,
        receiver__hold_off_s=150e-9,
        receiver__detector__efficiency=(0.5, 0.45, 0.5, 0.48),
        receiver__detector__afterpulse_probability=0.01,
        receiver__detector__afterpulse_decay_s=50e-9,
        receiver__detector__recovery_s=20e-9,
        receiver__detector__jitter_tail_fraction=0.1,
        receiver__detector__jitter_tail_s=300e-12,
    )
    assert flight.report.keys_match
    assert flight.keys[0] == flight.keys[1]
    assert flight.report.detections > 250_000


def test_an_active_receiver_with_biased_bases(tmp_path: Path) -> None:
    flight = fly(
        tmp_path,
        satellite={"source__basis_z_probability": 0.8},
        receiver__basis_choice="active",
        receiver__basis_z_probability=0.8,
    )
    z, x = (sum(row.detections for row in flight.report.counts if row.basis == basis) for basis in ("Z", "X"))
    assert z / x == pytest.approx(16, rel=0.05)
    assert flight.report.keys_match


def _made(path: Path) -> Path:
    path.mkdir()
    return path
