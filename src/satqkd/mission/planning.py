"""Link budget and passes as tables, from the mean budget: the planner's answer, no dice."""

from datetime import datetime
from typing import Any, Final

import numpy as np

from satqkd.config import Satellite, Station
from satqkd.mission.contact import PLANNING_GRID_S, Contact, make_contact
from satqkd.mission.course import site_of
from satqkd.mission.foretold import expected_key
from satqkd.optics import LinkLosses, doppler_shift_m, gate_fits
from satqkd.records import DECOY
from satqkd.sky import (
    Darkness,
    Pass,
    darkness,
    find_passes_of_sites,
    format_utc,
    is_night,
    moon_view,
    orbit_of,
)

LOSS_COLUMNS: Final = tuple(name for name in LinkLosses.__struct_fields__ if name.endswith("_db"))
"""Parts of the loss in the order of the light's way, then their sum."""


def link_budget(contact: Contact, *, step_s: float) -> dict[str, Any]:
    """The link budget along the quantum window, one row each `step_s` (a multiple of the grid)."""
    rows = slice(0, contact.quantum_rows.stop, max(1, round(step_s / contact.step_s)))
    course, around, losses, rates = contact.look, contact.course.around, contact.losses, contact.rates
    columns: dict[str, Any] = {
        "t_s": course.t_s,
        "elevation_deg": np.degrees(course.elevation_rad),
        "range_km": course.range_m / 1e3,
        "range_rate_m_s": course.range_rate_m_s,
        **{name: getattr(losses, name) for name in LOSS_COLUMNS},
        "background_hz": losses.background_hz,
        "crosstalk_hz": losses.crosstalk_hz,
        "expected_detection_hz": rates.detection_hz,
        "expected_sifted_hz": rates.sifted_hz,
        "expected_qber": rates.qber,
        "expected_decoy_qber": rates.class_error[DECOY],
        "azimuth_deg": np.degrees(course.azimuth_rad),
        "light_time_s": course.light_time_s,
        "point_ahead_urad": 1e6 * course.point_ahead_rad,
        "doppler_pm": 1e12
        * doppler_shift_m(course.range_rate_m_s, wavelength_m=contact.satellite.source.wavelength_m),
        "frame_angle_deg": np.degrees(around.frame_angle_rad),
        "residual_angle_deg": np.degrees(contact.course.residual_angle_rad),
        "scintillation_index": losses.scintillation_index,
        "sun_elevation_deg": np.degrees(around.sun_elevation_rad),
        "moon_elevation_deg": np.degrees(around.moon_elevation_rad),
    }
    return {name: np.broadcast_to(column, course.t_s.shape)[rows] for name, column in columns.items()}


def find_pass_rows(
    satellite: Satellite, stations: list[Station], start: datetime, *, days: float, night: bool
) -> list[dict[str, Any]]:
    """Passes over stations in order of time, as `satqkd passes` prints them."""
    found = find_passes_of_sites(
        orbit_of(satellite.orbit),
        [site_of(station) for station in stations],
        start,
        duration_s=days * 86_400.0,
        minimum_elevation_rad=[station.minimum_elevation_rad for station in stations],
    )
    rows = []
    for station, passes in zip(stations, found, strict=True):
        for each in passes:
            by_night = is_night(each)
            if by_night or not night:
                rows.append(_row(satellite, station, each, by_night=by_night))
    return sorted(rows, key=lambda row: str(row["start_utc"]))


def _row(satellite: Satellite, station: Station, each: Pass, *, by_night: bool) -> dict[str, Any]:
    usable = station.maximum_range_m is None or each.min_range_m < station.maximum_range_m
    expected = 0 if gate_fits(satellite, station) else None
    if by_night and usable and expected is not None:
        contact = make_contact(satellite, station, each, step_s=PLANNING_GRID_S)
        expected = expected_key(contact).secret_bits
    moon = moon_view(site_of(station), each.culmination, 0.0)
    return {
        "station": station.name,
        "start_utc": format_utc(each.start),
        "culmination_utc": format_utc(each.culmination),
        "end_utc": format_utc(each.end),
        "max_elevation_deg": float(np.degrees(each.max_elevation_rad)),
        "min_range_km": each.min_range_m / 1e3,
        "start_azimuth_deg": float(np.degrees(each.start_azimuth_rad)),
        "culmination_azimuth_deg": float(np.degrees(each.culmination_azimuth_rad)),
        "end_azimuth_deg": float(np.degrees(each.end_azimuth_rad)),
        "sun_elevation_deg": float(np.degrees(each.sun_elevation_rad)),
        "darkness": Darkness(int(darkness(each.sun_elevation_rad))).name.lower(),
        "satellite_sunlit": each.sunlit,
        "moon_elevation_deg": float(np.degrees(moon.elevation_rad[0])),
        "moon_illuminated_fraction": float(moon.illuminated_fraction[0]),
        "expected_secret_bits": expected,
    }
