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
    expected_rates,
    link_losses,
    residual_angle_rad,
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
    return Course(seen, around, residual, losses, rates)


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
    axes = station.receiver.polarisation
    match axes.compensation:
        case "ideal":
            return np.full_like(frame_angle_rad, axes.residual_angle_rad)
        case "none":
            return np.asarray(frame_angle_rad + axes.residual_angle_rad)
        case "waveplate":
            return residual_angle_rad(
                frame_angle_rad,
                time_s=t_s,
                update_interval_s=axes.update_s,
                static_rad=axes.residual_angle_rad,
            )
