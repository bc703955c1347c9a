"""The course of a link: where the satellite is, what lies around, what is lost, what should be counted.

One call on any grid of pass times; budget, plots, twin and emulator read from it. Mean values: fading is
`mission.fading`. No dice.
"""

from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.config import Satellite, Station
from satqkd.optics import (
    Conditions,
    ExpectedRates,
    LinkLosses,
    crossed_of,
    expected_rates,
    link_losses,
    residual_angle_rad,
    stepping_contrast,
)
from satqkd.sky import Look, OrbitModel, Site, Surroundings, look, surroundings

Array = NDArray[np.float64]


class Course(msgspec.Struct, frozen=True, eq=False):
    """Columns of one length, in pass time."""

    look: Look
    around: Surroundings
    residual_angle_rad: Array
    """Between the polarisation frames after compensation."""
    losses: LinkLosses
    rates: ExpectedRates
    crossed: Array | None
    """Contrast of detections in the other basis, shape (2, n), row 0 sent in Z; None where the axes are
    aligned all along, but for what goes both ways."""


def course_of(
    satellite: Satellite, station: Station, orbit: OrbitModel, epoch: datetime, t_s: ArrayLike
) -> Course:
    """The course at `epoch` + `t_s`, shape (n,), increasing. Raises DataFormatError where SGP4 refuses."""
    seen = look(orbit, site_of(station), epoch, t_s)
    around = surroundings(seen)
    residual = _residual_angle_rad(station, seen.t_s, around.frame_angle_rad)
    conditions = Conditions(
        range_rate_m_s=seen.range_rate_m_s,
        residual_angle_rad=residual,
        sun_elevation_rad=around.sun_elevation_rad,
        moon_elevation_rad=around.moon_elevation_rad,
        moon_phase_angle_rad=around.moon_phase_angle_rad,
        moon_separation_rad=around.moon_separation_rad,
        sunlit=around.sunlit,
        cloud_db=cloud_db(station, seen.t_s),
    )
    losses = link_losses(
        seen.range_m, seen.elevation_rad, satellite=satellite, station=station, conditions=conditions
    )
    rates = expected_rates(losses, satellite=satellite, station=station)
    crossed = _crossed(satellite, station, seen.t_s, around.frame_angle_rad)
    return Course(seen, around, residual, losses, rates, crossed)


def site_of(station: Station) -> Site:
    """Where a station stands."""
    return Site(
        latitude_rad=station.latitude_rad, longitude_rad=station.longitude_rad, altitude_m=station.altitude_m
    )


def cloud_db(station: Station, t_s: Array) -> Array:
    """Loss of the clouds that pass, shape of t_s; where several are, their sum."""
    total = np.zeros_like(t_s)
    for cloud in station.clouds:
        total += np.where((t_s >= cloud.from_s) & (t_s < cloud.to_s), cloud.loss_db, 0.0)
    return total


def _residual_angle_rad(station: Station, t_s: Array, frame_angle_rad: Array) -> Array:
    """The angle that makes the mean error of an instant: what goes both ways enters by what it costs."""
    axes, turned_rad = station.receiver.polarisation, _turned_rad(station, t_s, frame_angle_rad)
    if axes.compensation == "none":
        return turned_rad
    if turned_rad.any():
        left_rad = np.arccos(np.cos(2 * axes.residual_angle_rad) * np.cos(2 * turned_rad)) / 2
    else:
        left_rad = np.full_like(t_s, axes.residual_angle_rad)
    if axes.compensation == "ideal":
        return np.asarray(left_rad)
    return residual_angle_rad(
        frame_angle_rad, time_s=t_s, update_interval_s=axes.update_s, static_rad=left_rad
    )


def _turned_rad(station: Station, t_s: Array, frame_angle_rad: Array) -> Array:
    """The light's axes in the receiver's, with their sign: what a plate could undo."""
    axes = station.receiver.polarisation
    left_rad = axes.static_angle_rad + axes.drift_rad_s * t_s
    if axes.compensation == "none":
        return np.asarray(frame_angle_rad + axes.residual_angle_rad + left_rad)
    return np.asarray(left_rad)


def _crossed(satellite: Satellite, station: Station, t_s: Array, frame_angle_rad: Array) -> Array | None:
    axes, turned_rad = station.receiver.polarisation, _turned_rad(station, t_s, frame_angle_rad)
    if not turned_rad.any():
        return None
    crossed = crossed_of(satellite, station, turned_rad)
    if axes.compensation == "none":
        return crossed
    kept = np.full_like(t_s, np.cos(2 * axes.residual_angle_rad))
    if axes.compensation == "waveplate":
        kept *= stepping_contrast(frame_angle_rad, time_s=t_s, update_interval_s=axes.update_s)
    return np.asarray(crossed * kept)
