"""Where satellite, station and Sun are: orbits, topocentric geometry, passes, darkness. Knows no light.

UTC throughout, UT1 taken equal to UTC, no polar motion, no refraction: below 0.01 degree, far under
the error of a TLE. Needs no data file, no clock and no network.
"""

from satqkd.sky.geometry import Look, Site, look
from satqkd.sky.orbit import OrbitModel, orbit_of
from satqkd.sky.passes import Pass, find_passes, find_passes_of_sites, is_night
from satqkd.sky.sun import sun_elevation_rad, sun_position_m, sunlit
from satqkd.sky.time import format_utc, gmst82_rad, julian_date, parse_utc

__all__ = [
    "Look",
    "OrbitModel",
    "Pass",
    "Site",
    "find_passes",
    "find_passes_of_sites",
    "format_utc",
    "gmst82_rad",
    "is_night",
    "julian_date",
    "look",
    "orbit_of",
    "parse_utc",
    "sun_elevation_rad",
    "sun_position_m",
    "sunlit",
]
