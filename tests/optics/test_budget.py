"""The budget adds up, keeps its promises on shapes and ends, and refuses the impossible."""

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from satqkd.config import Satellite, Station
from satqkd.errors import ConfigError
from satqkd.optics import link_losses

PARTS = (
    "diffraction_db",
    "pointing_db",
    "atmosphere_db",
    "cloud_db",
    "receiver_db",
    "calibration_db",
    "detector_db",
)


def test_every_part_at_one_point(satellite: Satellite, station: Station) -> None:
    losses = link_losses(1e6, np.radians(30), satellite=satellite, station=station)
    expected = {
        "diffraction_db": 20.0,  # 10 m disc into 1 m
        "pointing_db": 0.4735,  # beta = 50 / (4 * 1.44)
        "atmosphere_db": 0.3 * 1.9942 * 4.3429,
        "receiver_db": 3.0103,
        "cloud_db": 0.0,
        "calibration_db": 1.5,
        "detector_db": 3.0103,
    }
    for name, value in expected.items():
        assert float(getattr(losses, name)) == pytest.approx(value, abs=1e-3), name
    without_detector_db = sum(expected.values()) - expected["detector_db"]
    assert -10 * np.log10(losses.transmittance) == pytest.approx(without_detector_db, abs=3e-3)
    assert float(losses.background_hz) == pytest.approx(159, rel=0.02)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(range_m=st.floats(1e2, 5e6), elevation_rad=st.floats(0, 1.57), diameter_m=st.floats(0.05, 5))
def test_total_is_the_sum_and_no_part_is_a_gain(
    satellite: Satellite, station: Station, range_m: float, elevation_rad: float, diameter_m: float
) -> None:
    station = msgspec.structs.replace(station, telescope_diameter_m=diameter_m)
    losses = link_losses(
        np.array([range_m, 1.5 * range_m]), elevation_rad, satellite=satellite, station=station
    )
    parts = np.array([getattr(losses, name) for name in PARTS])
    assert (parts >= 0).all()
    np.testing.assert_allclose(parts.sum(axis=0), losses.total_db, rtol=1e-12)
    assert losses.total_db[0] <= losses.total_db[1]
    without_detector_db = losses.total_db - losses.detector_db
    np.testing.assert_allclose(-10 * np.log10(losses.transmittance), without_detector_db, atol=1e-9)


def test_all_arrays_have_the_broadcast_shape(satellite: Satellite, station: Station) -> None:
    losses = link_losses(np.full((4, 1), 1e6), np.full(3, 0.5), satellite=satellite, station=station)
    for name in losses.__struct_fields__:
        value = getattr(losses, name)
        assert value.shape == (4, 3), name
        assert value.dtype == np.float64, name


def test_below_the_horizon_nothing_arrives(satellite: Satellite, station: Station) -> None:
    losses = link_losses([3e6, 1e6], [-0.1, 0.5], satellite=satellite, station=station)
    assert losses.total_db[0] == np.inf
    assert losses.transmittance[0] == 0
    assert losses.transmittance[1] > 0


def test_background_does_not_pay_the_calibration(satellite: Satellite, station: Station) -> None:
    plain = link_losses(1e6, 0.5, satellite=satellite, station=station)
    lossy = msgspec.structs.replace(station, calibration_loss_db=9.0)
    other = link_losses(1e6, 0.5, satellite=satellite, station=lossy)
    assert other.background_hz == plain.background_hz
    assert other.total_db == pytest.approx(plain.total_db + 7.5)


def test_a_beam_narrower_than_its_aperture_allows_is_refused(satellite: Satellite, station: Station) -> None:
    narrow = msgspec.structs.replace(satellite.transmitter, divergence_rad=3e-6)
    impossible = msgspec.structs.replace(satellite, transmitter=narrow)
    with pytest.raises(ConfigError, match=r"divergence 3 urad .* below the diffraction limit 3\.61 urad"):
        link_losses(1e6, 0.5, satellite=impossible, station=station)
