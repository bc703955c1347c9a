"""Orbits, sites and the Skyfield oracle that the tests of the room share."""

from datetime import datetime
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st
from skyfield.api import EarthSatellite, load, wgs84
from skyfield.timelib import Timescale

from satqkd.config import Orbit
from satqkd.sky import OrbitModel, Site, orbit_of, parse_utc

MICIUS_1 = "1 41731U 16051A   16354.56913372  .00000384  00000-0  18801-4 0  9991"
MICIUS_2 = "2 41731  97.3698 268.1064 0013349 175.8929 309.0190 15.23916091 19164"
XINGLONG = Site(latitude_rad=np.radians(40.39586667), longitude_rad=np.radians(117.5774583), altitude_m=893.0)
STELLENBOSCH = Site(latitude_rad=np.radians(-33.93), longitude_rad=np.radians(18.86), altitude_m=120.0)
EPOCH = parse_utc("2024-10-01T00:00:00Z")


def micius() -> OrbitModel:
    return orbit_of(Orbit(tle_line_1=MICIUS_1, tle_line_2=MICIUS_2))


def made_up(
    *,
    altitude_m: float = 500e3,
    local_time_h: float = 22.5,
    inclination_deg: float | None = None,
    latitude_argument_deg: float = 0.0,
    eccentricity: float = 0.0,
    epoch_utc: str = "2024-10-01T00:00:00Z",
) -> OrbitModel:
    return orbit_of(
        Orbit(
            epoch_utc=epoch_utc,
            altitude_m=altitude_m,
            local_time_of_ascending_node_s=local_time_h * 3600,
            inclination_rad=None if inclination_deg is None else float(np.radians(inclination_deg)),
            argument_of_latitude_rad=float(np.radians(latitude_argument_deg)),
            eccentricity=eccentricity,
        )
    )


orbits = st.builds(
    made_up,
    altitude_m=st.floats(350e3, 1500e3),
    local_time_h=st.floats(0, 24),
    inclination_deg=st.none() | st.floats(30, 110),
    latitude_argument_deg=st.floats(-180, 360),
    eccentricity=st.sampled_from([0.0, 0.002, 0.02]),
)


def any_shape(
    *, altitude_m: float, apogee_m: float, inclination_deg: float, angles_deg: list[float]
) -> OrbitModel:
    """From a perigee altitude and the climb to the apogee, low to beyond geostationary."""
    perigee, apogee = 6_378_137.0 + altitude_m, 6_378_137.0 + altitude_m + apogee_m
    node, perigee_angle, anomaly = np.radians(angles_deg).tolist()
    return orbit_of(
        Orbit(
            epoch_utc="2024-10-01T00:00:00Z",
            altitude_m=(perigee + apogee) / 2 - 6_378_137.0,
            eccentricity=(apogee - perigee) / (apogee + perigee),
            inclination_rad=float(np.radians(inclination_deg)),
            right_ascension_rad=node,
            argument_of_perigee_rad=perigee_angle,
            mean_anomaly_rad=anomaly,
        )
    )


wide_orbits = st.builds(
    any_shape,
    altitude_m=st.one_of(st.floats(300e3, 2000e3), st.floats(2000e3, 36_000e3)),
    apogee_m=st.one_of(st.just(0.0), st.floats(0, 100e3), st.floats(0, 40_000e3)),
    inclination_deg=st.just(0.0) | st.floats(0.01, 180),
    angles_deg=st.lists(st.floats(0, 360), min_size=3, max_size=3),
)
sites = st.builds(
    Site,
    latitude_rad=st.floats(-1.5, 1.5),
    longitude_rad=st.floats(-3.14, 3.14),
    altitude_m=st.floats(0, 4000),
)


@cache
def timescale(leap_seconds: int = 37) -> Timescale:
    """Skyfield's, with UT1 = UTC as in this room."""
    return load.timescale(builtin=True, delta_t=32.184 + leap_seconds)


def skyfield_pair(orbit: OrbitModel, site: Site, ts: Timescale) -> tuple[Any, Any]:
    """The same satellite and the same place in Skyfield's hands."""
    place = wgs84.latlon(
        np.degrees(site.latitude_rad), np.degrees(site.longitude_rad), elevation_m=site.altitude_m
    )
    return EarthSatellite.from_satrec(orbit.satrec, ts), place


def skyfield_times(ts: Timescale, epoch: datetime, t_s: np.ndarray) -> Any:
    seconds = epoch.hour * 3600 + epoch.minute * 60 + epoch.second + epoch.microsecond * 1e-6 + t_s
    return ts.utc(epoch.year, epoch.month, epoch.day, 0, 0, seconds)
