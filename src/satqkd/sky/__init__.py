"""Where satellite, station, Sun and Moon are: orbits, topocentric geometry, passes, darkness. Knows no light.

UTC throughout; UT1 is taken equal to UTC unless their difference is given. No polar motion, no refraction:
below 0.01 degree, far under the error of a TLE. Needs no data file, no clock and no network.
"""

from satqkd.sky.constellation import Constellation, Looks, Positions
from satqkd.sky.elements import Elements, read_elements, select_elements
from satqkd.sky.geometry import Look, Site, look
from satqkd.sky.horizon import Horizon
from satqkd.sky.moon import MoonView, moon_position_m, moon_view
from satqkd.sky.orbit import OrbitModel, orbit_of
from satqkd.sky.passes import Pass, find_passes, find_passes_of_sites, is_night
from satqkd.sky.sun import (
    Darkness,
    SunView,
    darkness,
    sun_elevation_rad,
    sun_fraction,
    sun_position_m,
    sun_view,
    sunlit,
)
from satqkd.sky.surroundings import Surroundings, surroundings
from satqkd.sky.time import format_utc, gmst82_rad, julian_date, parse_utc

__all__ = [
    "Constellation",
    "Darkness",
    "Elements",
    "Horizon",
    "Look",
    "Looks",
    "MoonView",
    "OrbitModel",
    "Pass",
    "Positions",
    "Site",
    "SunView",
    "Surroundings",
    "darkness",
    "find_passes",
    "find_passes_of_sites",
    "format_utc",
    "gmst82_rad",
    "is_night",
    "julian_date",
    "look",
    "moon_position_m",
    "moon_view",
    "orbit_of",
    "parse_utc",
    "read_elements",
    "select_elements",
    "sun_elevation_rad",
    "sun_fraction",
    "sun_position_m",
    "sun_view",
    "sunlit",
    "surroundings",
]
