"""Settings and conditions reach the budget: each by its own function, none lost, none exchanged."""

from typing import Any

import msgspec
import numpy as np
import pytest

from satqkd.config import Isolation, Laser, Polarisation, Satellite, Station, Transmitter
from satqkd.errors import ConfigError
from satqkd.optics import (
    Conditions,
    LinkLosses,
    beacon_photons,
    doppler_shift_m,
    error_probabilities,
    filter_transmittance,
    laser_beam,
    link_losses,
)
from satqkd.optics.atmosphere import zenith_depths
from satqkd.optics.crosstalk import uplink_backscatter_rate_hz
from satqkd.optics.gate import gate_shares
from satqkd.optics.rates import _Light

replace = msgspec.structs.replace
LASER = Laser(wavelength_m=1550e-9, power_w=0.2, divergence_rad=2e-5)


def losses(satellite: Satellite, station: Station, **conditions: Any) -> LinkLosses:
    return link_losses(1e6, 0.8, satellite=satellite, station=station, conditions=Conditions(**conditions))


def test_doppler_detunes_the_filter(satellite: Satellite, station: Station) -> None:
    narrow = replace(station, filter_width_m=40e-12)
    at_rest, moving = (losses(satellite, narrow, range_rate_m_s=rate) for rate in (0.0, 7e3))
    expected = filter_transmittance(doppler_shift_m(7e3, wavelength_m=850e-9), width_m=40e-12)
    assert expected < 0.7
    assert float(moving.receiver_db - at_rest.receiver_db) == pytest.approx(-10 * np.log10(expected))


def test_shadows_of_mirrors(satellite: Satellite, station: Station) -> None:
    """A secondary takes its area from signal, sky, beacon and crosstalk alike; the sender's costs too."""
    shaded = replace(
        station,
        central_obscuration=0.5,
        receiver=replace(station.receiver, isolation=Isolation(beacon_db=90)),
    )
    plain = replace(shaded, central_obscuration=0.0)
    craft = replace(satellite, beacon=replace(satellite.beacon, laser=LASER))
    dim, full = losses(craft, shaded), losses(craft, plain)
    for name in ("background_hz", "crosstalk_hz"):
        assert float(getattr(dim, name) / getattr(full, name)) == pytest.approx(0.75, rel=2e-3), name
    assert float(dim.diffraction_db - full.diffraction_db) == pytest.approx(-10 * np.log10(0.75), abs=0.01)
    photons = [
        float(beacon_photons(1e6, 0.8, 0.0, satellite=craft, station=each)) for each in (shaded, plain)
    ]
    assert photons[0] / photons[1] == pytest.approx(0.75, rel=2e-3)

    def waist(obscuration: float) -> Satellite:
        return replace(
            satellite,
            transmitter=Transmitter(
                waist_radius_m=0.12,
                aperture_diameter_m=0.3,
                central_obscuration=obscuration,
                pointing_jitter_rad=0.0,
            ),
        )

    open_db, shaded_db = (float(losses(waist(each), station).diffraction_db) for each in (0.0, 0.5))
    assert shaded_db > open_db + 0.5


def test_a_shadow_widens_the_narrowest_beam(satellite: Satellite, station: Station) -> None:
    sent = replace(satellite.transmitter, divergence_rad=4e-6)
    losses(replace(satellite, transmitter=sent), station)
    with pytest.raises(ConfigError, match="below the diffraction limit"):
        losses(replace(satellite, transmitter=replace(sent, central_obscuration=0.6)), station)


def test_errors_by_basis_come_from_all_their_causes(satellite: Satellite, station: Station) -> None:
    axes = Polarisation(depolarisation=0.03, retardance_rad=0.3)
    ground = replace(station, receiver=replace(station.receiver, polarisation=axes))
    found = losses(satellite, ground, residual_angle_rad=0.05)
    expected = error_probabilities(
        0.05, optical_error_z=0.01, optical_error_x=0.01, depolarisation=0.03, retardance_rad=0.3
    )
    assert [float(found.error_z), float(found.error_x)] == pytest.approx(expected.tolist())
    assert float(found.error_x) > float(found.error_z) + 0.01
    impure = replace(satellite, source=replace(satellite.source, polarisation_extinction_db=20.0))
    assert float(losses(impure, station).error_z) == pytest.approx(0.01 + 0.98 / 101, rel=1e-6)


def test_the_moon_glares_near_itself(satellite: Satellite, station: Station) -> None:
    full = {"moon_elevation_rad": 0.7, "moon_phase_angle_rad": 0.0}
    near, far = (losses(satellite, station, **full, moon_separation_rad=each) for each in (0.1, 1.2))
    assert float(near.background_hz) > 1.5 * float(far.background_hz)


def test_the_sunlit_satellite_shines_through_air_and_cloud(satellite: Satellite, station: Station) -> None:
    shining = replace(satellite, sunlit_magnitude=2.0)

    def glint_hz(ground: Station, cloud_db: float = 0.0) -> float:
        lit, dark = (
            losses(shining, ground, sunlit=each, cloud_db=cloud_db).background_hz for each in (True, False)
        )
        return float(lit - dark)

    clear = glint_hz(replace(station, zenith_optical_depth=0.0))
    assert glint_hz(station) / clear == pytest.approx(np.exp(-0.3 / np.sin(0.8)), rel=2e-3)
    assert glint_hz(station, cloud_db=10.0) / glint_hz(station) == pytest.approx(0.1)


def test_a_laser_is_called_by_its_full_angle() -> None:
    assert laser_beam(LASER).half_angle_rad == 1e-5


def test_bright_light_is_pointed_as_the_telescope_is(satellite: Satellite, station: Station) -> None:
    receiver = replace(station.receiver, isolation=Isolation(beacon_db=90.0))
    ground = replace(station, receiver=receiver)

    def crosstalk_hz(jitter_rad: float, bias_rad: float) -> float:
        sent = replace(satellite.transmitter, pointing_jitter_rad=jitter_rad, pointing_bias_rad=bias_rad)
        craft = replace(satellite, transmitter=sent, beacon=replace(satellite.beacon, laser=LASER))
        return float(losses(craft, ground).crosstalk_hz)

    spread = 10.0**2 + 4 * 2.0**2
    kept = 10.0**2 / spread * np.exp(-2 * 5.0**2 / spread)
    assert crosstalk_hz(2e-6, 5e-6) / crosstalk_hz(0.0, 0.0) == pytest.approx(kept)


def test_what_nothing_explains_is_charged_to_the_beacon(satellite: Satellite, station: Station) -> None:
    craft = replace(satellite, beacon=replace(satellite.beacon, laser=LASER))
    clear, lossy = (
        float(beacon_photons(1e6, 0.8, 0.0, satellite=craft, station=replace(station, calibration_loss_db=x)))
        for x in (0.0, 10.0)
    )
    assert lossy == pytest.approx(clear / 10)


def test_only_haze_scatters_the_uplink_back_besides_air(satellite: Satellite, station: Station) -> None:
    receiver = replace(station.receiver, isolation=Isolation(uplink_db=80.0, uplink_overlap_m=20.0))
    hazy = replace(
        station,
        zenith_optical_depth=None,
        visibility_m=23e3,
        receiver=receiver,
        lasercom=replace(station.lasercom, laser=LASER),
    )
    aerosol = zenith_depths(1550e-9, visibility_m=23e3, altitude_m=100.0).aerosol
    expected = uplink_backscatter_rate_hz(
        0.2,
        elevation_rad=0.8,
        wavelength_m=1550e-9,
        altitude_m=100.0,
        aerosol_optical_depth=float(aerosol),
        telescope_diameter_m=1.0,
        overlap_range_m=20.0,
        optics_transmittance=0.5,
        detector_efficiency=0.5,
        isolation_db=80.0,
    )
    assert float(losses(satellite, hazy).crosstalk_hz) == pytest.approx(float(expected))


def _with_detector(station: Station, **changes: Any) -> Station:
    detector = replace(station.receiver.detector, **changes)
    return replace(station, receiver=replace(station.receiver, detector=detector))


def test_background_is_shared_as_the_efficiencies(satellite: Satellite, station: Station) -> None:
    unequal = _with_detector(station, efficiency=(0.6, 0.2, 0.4, 0.4), dark_rate_hz=(0.0,) * 4)
    light = losses(satellite, unequal)
    shares = _Light(light, satellite, unequal).dark_and_sky_hz(light) / light.background_hz
    np.testing.assert_allclose(shares, [0.375, 0.125, 0.25, 0.25])


def test_tags_saturate_by_dead_time_and_recovery(satellite: Satellite, station: Station) -> None:
    slow = _with_detector(station, dark_rate_hz=(1e6,) * 4, dead_time_s=(5e-8,) * 4, recovery_s=(1e-7,) * 4)
    light = replace(losses(satellite, slow), transmittance=np.array(0.0), background_hz=np.array(0.0))
    np.testing.assert_allclose(
        _Light(light, satellite, slow).tag_hz(light), 1e6 / (1 + 1e6 * 1.5e-7), rtol=1e-9
    )


def test_what_leaks_is_weighed_by_how_often_a_state_is_sent(satellite: Satellite, station: Station) -> None:
    """Only - is late; sent one time in twenty, it leaks a fifth of what a quarter would."""
    source = replace(
        satellite.source,
        pulse_rate_hz=1e9,
        basis_z_probability=0.9,
        diode_skew_s=(0.0, 0.0, 0.0, 4.9e-10),
        pulse_width_s=1e-11,
    )
    craft = replace(satellite, source=source)
    quiet = _with_detector(station, dark_rate_hz=(0.0,) * 4, jitter_s=(2e-10,) * 4)
    quiet = replace(quiet, receiver=replace(quiet.receiver, gate_s=0.7e-9))
    light = replace(losses(craft, quiet), background_hz=np.array(0.0), crosstalk_hz=np.array(0.0))
    shares = gate_shares(quiet.receiver, source)
    inner = _Light(light, craft, quiet)
    noise = inner.noise(light, inner.tag_hz(light), shares)
    weights = np.array([0.45, 0.45, 0.05, 0.05])
    expected = np.einsum("s,sd,sd->d", weights, shares.others, inner.mean_photons().reshape(4, 4))
    assert shares.others[3].min() > 10 * shares.others[0].max()
    np.testing.assert_allclose(noise.ravel(), expected, rtol=1e-9)
