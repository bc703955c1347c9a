"""A satellite and a station with round numbers, for the tests of this room."""

import pytest

from satqkd.config import (
    Beacon,
    Clock,
    Detector,
    Lasercom,
    Orbit,
    Receiver,
    Satellite,
    Source,
    Station,
    Transmitter,
)


@pytest.fixture
def satellite() -> Satellite:
    return Satellite(
        name="round-numbers",
        description="for tests",
        reference_epoch_utc="2024-01-01T00:00:00Z",
        orbit=Orbit(
            epoch_utc="2024-01-01T00:00:00Z", altitude_m=500e3, local_time_of_ascending_node_s=81000.0
        ),
        source=Source(
            pulse_rate_hz=100e6,
            wavelength_m=850e-9,
            intensities=(0.8, 0.1, 0.0),
            probabilities=(0.5, 0.25, 0.25),
            pulse_width_s=0.2e-9,
        ),
        transmitter=Transmitter(
            divergence_rad=10e-6,
            divergence_convention="disc_full",
            aperture_diameter_m=0.3,
            pointing_jitter_rad=1.2e-6,
        ),
        beacon=Beacon(rate_hz=10e3, code_shift_s=5e-6),
        lasercom=Lasercom(rate_bit_s=10e6, frame_loss=0.0),
    )


@pytest.fixture
def station() -> Station:
    return Station(
        name="round-numbers",
        description="for tests",
        latitude_rad=0.7,
        longitude_rad=2.0,
        altitude_m=100.0,
        minimum_elevation_rad=0.17,
        lasercom_minimum_elevation_rad=0.09,
        telescope_diameter_m=1.0,
        zenith_optical_depth=0.3,
        sky_radiance_w_m2_sr_um=1.5e-4,
        field_of_view_rad=40e-6,
        filter_width_m=1e-9,
        calibration_loss_db=1.5,
        receiver=Receiver(
            optics_transmittance=0.5,
            optical_error=0.01,
            basis_choice="passive",
            gate_s=2e-9,
            detector=Detector.equal(efficiency=0.5, dark_rate_hz=25.0, dead_time_s=50e-9, jitter_s=350e-12),
        ),
        clock=Clock(offset_s=0.0, drift=0.0),
        lasercom=Lasercom(rate_bit_s=2e6, frame_loss=0.0),
    )
