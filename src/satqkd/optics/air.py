"""The air over a station as its settings tell it: optical depth by wavelength, and turbulence.

Knows no satellite and no clock.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.config import Station
from satqkd.optics.atmosphere import zenith_depths, zenith_optical_depth
from satqkd.optics.cn2 import Profile, hufnagel_valley_profile

LOWEST_TURBULENT_RAD: Final = np.radians(3.0)
"""Turbulence theory of flat layers is held here for lower elevations."""


def station_optical_depth(station: Station, wavelength_m: float) -> float:
    """At the zenith: the station's own number at any wavelength, or that of its visibility."""
    if station.visibility_m is None:
        return 0.0 if station.zenith_optical_depth is None else station.zenith_optical_depth
    return float(
        zenith_optical_depth(wavelength_m, visibility_m=station.visibility_m, altitude_m=station.altitude_m)
    )


def station_aerosol_depth(station: Station, wavelength_m: float) -> float:
    """The aerosol's part of it: of the visibility; all of it where that is given as one number."""
    if station.visibility_m is None:
        return station_optical_depth(station, wavelength_m)
    depths = zenith_depths(wavelength_m, visibility_m=station.visibility_m, altitude_m=station.altitude_m)
    return float(depths.aerosol)


def station_profile(station: Station) -> Profile | None:
    """Turbulence over a station; None where it has none."""
    air = station.turbulence
    if air is None:
        return None
    return hufnagel_valley_profile(
        rms_wind_m_s=air.high_wind_m_s,
        ground_cn2_m23=air.ground_cn2_m23,
        station_altitude_m=station.altitude_m,
    )


def turbulent_elevation_rad(elevation_rad: ArrayLike) -> NDArray[np.float64]:
    """Elevation to ask turbulence theory for."""
    return np.maximum(np.asarray(elevation_rad, dtype=np.float64), LOWEST_TURBULENT_RAD)
