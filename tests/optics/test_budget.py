"""The budget adds up, keeps its promises on shapes and ends, and refuses the impossible."""

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from satqkd.config import Isolation, Laser, Satellite, Station, Transmitter, Turbulence
from satqkd.errors import ConfigError
from satqkd.optics import Conditions, link_losses

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


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    range_m=st.floats(1.0, 4e7),
    elevation_rad=st.floats(-0.2, 1.57),
    wavelength_m=st.floats(540e-9, 1560e-9),
    receiver_m=st.floats(0.02, 12),
    transmitter_m=st.floats(0.02, 3),
    waist=st.floats(0.05, 20),
    shadows=st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)),
    visibility_m=st.one_of(st.none(), st.floats(5e3, 60e3)),
    residual_rad=st.floats(-7, 7),
    rate_m_s=st.floats(-1e4, 1e4),
    cloud_db=st.floats(0, 60),
)
def test_energy_is_conserved_whatever_the_settings(
    satellite: Satellite,
    station: Station,
    range_m: float,
    elevation_rad: float,
    wavelength_m: float,
    receiver_m: float,
    transmitter_m: float,
    waist: float,
    shadows: tuple[float, float],
    visibility_m: float | None,
    residual_rad: float,
    rate_m_s: float,
    cloud_db: float,
) -> None:
    """No part is a gain and no share above 1, near or far, at any wavelength, aperture or obscuration."""
    replace = msgspec.structs.replace
    craft = replace(
        satellite,
        source=replace(satellite.source, wavelength_m=wavelength_m),
        transmitter=Transmitter(
            waist_radius_m=waist * transmitter_m / 2,
            aperture_diameter_m=transmitter_m,
            central_obscuration=shadows[0],
            pointing_jitter_rad=1e-6,
            pointing_bias_rad=1e-6,
            pointing_correlation_s=0.01,
        ),
        sunlit_magnitude=4.0,
    )
    ground = replace(
        station,
        telescope_diameter_m=receiver_m,
        central_obscuration=shadows[1],
        visibility_m=visibility_m,
        zenith_optical_depth=0.1 if visibility_m is None else None,
        turbulence=Turbulence(ground_cn2_m23=1.7e-14, high_wind_m_s=21.0, ground_wind_m_s=5.0),
    )
    conditions = Conditions(
        range_rate_m_s=rate_m_s, residual_angle_rad=residual_rad, cloud_db=cloud_db, sunlit=True
    )
    losses = link_losses(range_m, elevation_rad, satellite=craft, station=ground, conditions=conditions)
    for name in PARTS:
        assert float(getattr(losses, name)) >= -1e-12, name
    assert 0 <= float(losses.transmittance) <= 1
    assert 0 <= float(losses.error_z) <= 1
    assert 0 <= float(losses.error_x) <= 1
    assert float(losses.background_hz) >= 0
    assert float(losses.fading_variance) >= 0


def test_noise_of_the_sky_follows_sun_moon_and_sunlight(satellite: Satellite, station: Station) -> None:
    def background_hz(**conditions: object) -> float:
        losses = link_losses(
            1e6, 0.8, satellite=satellite, station=station, conditions=Conditions(**conditions)
        )
        return float(losses.background_hz)

    dark = background_hz()
    full_moon = {"moon_elevation_rad": 0.7, "moon_phase_angle_rad": 0.0, "moon_separation_rad": 0.5}
    assert background_hz(**full_moon) > 1.1 * dark
    new_moon = background_hz(**{**full_moon, "moon_phase_angle_rad": 3.1})
    assert background_hz(**full_moon) - dark > 50 * (new_moon - dark)
    assert background_hz(sun_elevation_rad=0.3) > 100 * dark
    shining = msgspec.structs.replace(satellite, sunlit_magnitude=4.0)
    lit, unlit = (
        link_losses(
            1e6, 0.8, satellite=shining, station=station, conditions=Conditions(sunlit=each)
        ).background_hz
        for each in (True, False)
    )
    assert float(unlit) == dark
    assert float(lit) > dark + 100


def test_crosstalk_is_its_own_row_and_needs_light_and_a_leak(satellite: Satellite, station: Station) -> None:
    replace = msgspec.structs.replace
    laser = Laser(wavelength_m=1550e-9, power_w=0.2, divergence_rad=1e-4)
    craft = replace(
        satellite,
        beacon=replace(satellite.beacon, laser=laser),
        lasercom=replace(satellite.lasercom, laser=laser),
    )

    def crosstalk_hz(**isolation: float) -> float:
        receiver = replace(station.receiver, isolation=Isolation(uplink_overlap_m=10.0, **isolation))
        ground = replace(
            station, receiver=receiver, lasercom=replace(station.lasercom, laser=replace(laser, power_w=1.0))
        )
        return float(link_losses(1e6, 0.8, satellite=craft, station=ground).crosstalk_hz)

    assert crosstalk_hz() == 0
    one = {name: crosstalk_hz(**{name: 90.0}) for name in ("beacon_db", "downlink_db", "uplink_db")}
    assert min(one.values()) > 0
    assert one["beacon_db"] == pytest.approx(one["downlink_db"])
    assert crosstalk_hz(beacon_db=90.0, downlink_db=90.0, uplink_db=90.0) == pytest.approx(sum(one.values()))
    assert crosstalk_hz(beacon_db=100.0) == pytest.approx(one["beacon_db"] / 10)
    # By hand: 0.2 W x 1 m in a Gaussian of 50 m radius, air, optics and detectors of one half, 9 orders down.
    air = np.exp(-0.3 / np.sin(0.8))
    caught = -np.expm1(-2 * (0.5 / 50) ** 2)
    by_hand = 0.2 * caught * air / 1.2816e-19 * 0.5 * 0.5 * 1e-9
    assert one["beacon_db"] == pytest.approx(by_hand, rel=0.01)


def test_backscatter_wants_the_distance_from_which_beam_and_view_overlap() -> None:
    with pytest.raises(ConfigError, match="expected uplink_overlap with uplink_db"):
        Isolation(uplink_db=90.0)
