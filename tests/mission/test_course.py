"""The course hands everything on that lies around; the budget's columns are what they are called."""

from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from satqkd.config import Cloud, Polarisation, Station
from satqkd.mission import Contact, contact_of, course_of, link_budget, presets
from satqkd.mission.course import Course, cloud_db
from satqkd.optics import Conditions, doppler_shift_m, link_losses
from satqkd.records import DECOY
from satqkd.sky import orbit_of, parse_utc

replace = msgspec.structs.replace


def test_whatever_lies_around_reaches_the_losses() -> None:
    """By day, by night, under the Moon, in sunlight and shadow, approaching and receding."""
    craft = replace(presets.satellite("jinan-1"), sunlit_magnitude=2.0)
    ground = replace(presets.station("jinan"), filter_width_m=20e-12)
    sunlit = set()
    for number in range(16):
        epoch = parse_utc(craft.reference_epoch_utc) + timedelta(hours=12 * number)
        course = course_of(craft, ground, orbit_of(craft.orbit), epoch, np.arange(0.0, 6000.0, 60.0))
        around, seen = course.around, course.look
        sunlit |= set(around.sunlit.tolist())
        told = Conditions(
            range_rate_m_s=seen.range_rate_m_s,
            residual_angle_rad=course.residual_angle_rad,
            sun_elevation_rad=around.sun_elevation_rad,
            moon_elevation_rad=around.moon_elevation_rad,
            moon_phase_angle_rad=around.moon_phase_angle_rad,
            moon_separation_rad=around.moon_separation_rad,
            sunlit=around.sunlit,
        )
        direct = link_losses(
            seen.range_m, seen.elevation_rad, satellite=craft, station=ground, conditions=told
        )
        for name in ("background_hz", "receiver_db", "error_z", "error_x"):
            np.testing.assert_array_equal(getattr(course.losses, name), getattr(direct, name), err_msg=name)
    assert sunlit == {True, False}


def _course(compensation: str, **changes: Any) -> Course:
    craft, ground = presets.satellite("jinan-1"), presets.station("stellenbosch")
    axes = Polarisation(compensation=compensation, **changes)  # type: ignore[arg-type]
    turned = replace(ground, receiver=replace(ground.receiver, polarisation=axes))
    start = parse_utc(craft.reference_epoch_utc) + timedelta(hours=9.6)
    return course_of(craft, turned, orbit_of(craft.orbit), start, np.arange(0.0, 400.0))


def _residual(compensation: str, **changes: Any) -> tuple[np.ndarray, np.ndarray]:
    course = _course(compensation, **changes)
    return course.residual_angle_rad, course.around.frame_angle_rad


def test_a_static_residual_adds_and_an_uncompensated_frame_turns() -> None:
    still, turning = _residual("ideal", residual_angle_rad=0.1)
    assert np.ptp(turning) > 0.5
    np.testing.assert_allclose(still, 0.1)
    np.testing.assert_allclose(_residual("none", residual_angle_rad=0.1)[0], turning + 0.1)


def test_a_plate_that_moves_more_rarely_leaves_more() -> None:
    fast, slow = (np.abs(_residual("waveplate", update_s=each)[0]).max() for each in (0.1, 2.0))
    assert slow > 10 * fast > 0


def test_presets_have_no_angle_that_a_plate_could_undo() -> None:
    """So their light is what it was before angles had signs."""
    for name in presets.names(Station):
        axes = presets.station(name).receiver.polarisation
        assert (axes.static_angle_rad, axes.drift_rad_s) == (0.0, 0.0)
        assert axes.compensation != "none"
    assert _course("waveplate", residual_angle_rad=0.1).crossed is None
    assert _course("ideal", residual_angle_rad=0.1).crossed is None


@pytest.mark.parametrize("compensation", ["ideal", "waveplate", "none"])
@pytest.mark.parametrize("sign", [1, -1])
def test_light_has_one_contrast_in_both_bases_together(compensation: str, sign: int) -> None:
    """Own and other basis are two sides of one length, which static angle and drift leave as it is."""
    still = _course(compensation, residual_angle_rad=0.05)
    turned = _course(
        compensation, residual_angle_rad=0.05, static_angle_rad=sign * 0.1, drift_rad_s=sign * 1e-4
    )
    angle_rad = sign * (0.1 + 1e-4 * np.arange(400.0))
    whole = 1 - 2 * still.losses.error_z
    other = 0 * whole if still.crossed is None else still.crossed[0]
    own = whole * np.cos(2 * angle_rad) - other * np.sin(2 * angle_rad)
    assert turned.crossed is not None
    np.testing.assert_allclose(1 - 2 * turned.losses.error_z, own, atol=1e-9)
    np.testing.assert_allclose(
        turned.crossed[0], other * np.cos(2 * angle_rad) + whole * np.sin(2 * angle_rad), atol=1e-9
    )


def test_clouds_add() -> None:
    clouds = (Cloud(from_s=0.0, to_s=9.0, loss_db=3.0), Cloud(from_s=5.0, to_s=12.0, loss_db=2.0))
    ground: Station = replace(presets.station("jinan"), clouds=clouds)
    assert cloud_db(ground, np.array([1.0, 6.0, 10.0, 12.0])).tolist() == [3.0, 5.0, 2.0, 0.0]


@pytest.fixture(scope="module")
def contact() -> Contact:
    """By night, with the Moon up and scintillation to tell from pointing."""
    return contact_of(presets.satellite("micius"), presets.station("xinglong"), "2016-12-19T16:52:13Z")


def test_the_budgets_columns_are_what_they_are_called(contact: Contact) -> None:
    columns = link_budget(contact, step_s=10.0)
    seen, around, losses, rates = contact.look, contact.course.around, contact.losses, contact.rates
    rows = slice(0, contact.quantum_rows.stop, round(10.0 / contact.step_s))
    wavelength_m = contact.satellite.source.wavelength_m
    expected = {
        "elevation_deg": np.degrees(seen.elevation_rad),
        "azimuth_deg": np.degrees(seen.azimuth_rad),
        "range_km": seen.range_m / 1e3,
        "range_rate_m_s": seen.range_rate_m_s,
        "light_time_s": seen.range_m / 299_792_458,
        "point_ahead_urad": 1e6 * seen.point_ahead_rad,
        "doppler_pm": 1e12 * doppler_shift_m(seen.range_rate_m_s, wavelength_m=wavelength_m),
        "frame_angle_deg": np.degrees(around.frame_angle_rad),
        "residual_angle_deg": np.degrees(contact.course.residual_angle_rad),
        "sun_elevation_deg": np.degrees(around.sun_elevation_rad),
        "moon_elevation_deg": np.degrees(around.moon_elevation_rad),
        "scintillation_index": losses.scintillation_index,
        "crosstalk_hz": losses.crosstalk_hz,
        "background_hz": losses.background_hz,
        "total_db": losses.total_db,
        "expected_detection_hz": rates.detection_hz,
        "expected_sifted_hz": rates.sifted_hz,
        "expected_qber": rates.qber,
        "expected_decoy_qber": rates.class_error[DECOY],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(columns[name], values[rows], rtol=1e-12, err_msg=name)
    assert 25 < columns["point_ahead_urad"].max() < 55
    distinct = {tuple(np.round(columns[name], 9)) for name in expected}
    assert len(distinct) == len(expected)
