"""What a map of a network shows beside its plan: ground tracks, key by place, how likely skies are clear.

Key by place is the surrogate's for a station that stands alone at each place of a grid, so many places that
it takes seconds. Knows no plan, no picture.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.config import Station
from satqkd.constants import DAY_S
from satqkd.plan.clear_sky import EARTH_MEAN_RADIUS_M
from satqkd.plan.clear_sky_table import Climate
from satqkd.plan.network import Network
from satqkd.plan.opportunities import find_opportunities
from satqkd.plan.yields import fast_yields
from satqkd.sky import Constellation, orbit_of

Floats = NDArray[np.float64]
TRACK_STEP_S: Final = 60.0
SKY_STEP_S: Final = 3600.0
MOST_LINKS: Final = 960
"""Satellites times places: some 5 ms each."""
SATELLITE_DAYS: Final = 12
"""Of which key is the mean: a single satellite's first day tells more of chance than of places."""
MOST_DAYS: Final = 7
_ROWS: Final = 12
_COLUMNS: Final = (4, 12)
"""Of the grid, at least and at most."""


class SubTrack(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Points under a satellite in the first day, geocentric, shape (n,)."""

    satellite: str
    latitude_rad: Floats
    longitude_rad: Floats
    reach_rad: float
    """From such a point to where the satellite stands at the stations' mean mask, at the Earth's centre."""


class KeyByPlace(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Key that a station would get in a day if it stood at a place and had the satellites for itself."""

    station: str
    """Whose terminal and altitude 0."""
    latitude_rad: Floats
    """Middles of n even rows."""
    longitude_rad: Floats
    """Middles of m even columns."""
    day_bits: Floats
    """Expected under a clear sky, shape (n, m)."""
    satellites: int
    """That were counted, evenly chosen; the sum is scaled to all of them."""
    days: float
    """From the start, whose mean it is."""


class StationClear(msgspec.Struct, frozen=True, kw_only=True):
    """How likely the sky of a station is clear, the mean over the horizon, day and night."""

    station: str
    clear: float
    row: Climate | None
    """Of a table; None: the scenario's default."""


def tracks_of(network: Network) -> list[SubTrack]:
    """Ground tracks of the first day, a point a minute."""
    t_s = np.arange(0.0, min(DAY_S, network.duration_s), TRACK_STEP_S)
    orbits = [orbit_of(each.orbit) for each in network.satellites]
    x, y, z = np.moveaxis(Constellation(orbits).positions(network.start, t_s).position_m, -1, 0)
    radius_m = np.sqrt(x**2 + y**2 + z**2)
    low_rad = network.service.minimum_elevation_rad or 0.0
    mask_rad = np.mean([max(each.minimum_elevation_rad, low_rad) for each in network.stations])
    nearness = EARTH_MEAN_RADIUS_M / radius_m.mean(axis=1)
    reach_rad = np.arccos(np.cos(mask_rad) * nearness) - mask_rad
    return [
        SubTrack(
            satellite=craft.name,
            latitude_rad=np.arcsin(z[k] / radius_m[k]),
            longitude_rad=np.arctan2(y[k], x[k]),
            reach_rad=float(reach_rad[k]),
        )
        for k, craft in enumerate(network.satellites)
    ]


def coverage_of(network: Network) -> KeyByPlace | None:
    """Key by place, as a station like the first one would get it, a day's mean over the first days.

    The more satellites, the fewer days and columns of the grid; of a hundred, every fifth is counted. A
    terminal whose polarisation drifts has no surrogate and is no model; None where all do.
    """
    model = next((each for each in network.stations if not each.receiver.polarisation.drift_rad_s), None)
    if model is None:
        return None
    columns, chosen = _grid_of(len(network.satellites))
    latitude_rad = _middles(np.pi / 2, _ROWS)
    longitude_rad = _middles(np.pi, columns)
    places = [(float(a), float(b)) for a in latitude_rad for b in longitude_rad]
    stations = tuple(_moved(model, f"{k}", *place) for k, place in enumerate(places))
    there = msgspec.structs.replace(
        network,
        duration_s=min(DAY_S * _days_of(len(chosen)), network.duration_s),
        satellites=tuple(network.satellites[k] for k in chosen),
        stations=stations,
        tracks=((),) * len(stations),
        pairs=(),
        sky=None,
    )
    scale = len(network.satellites) / len(chosen) * DAY_S / there.duration_s
    return KeyByPlace(
        station=model.name,
        latitude_rad=latitude_rad,
        longitude_rad=longitude_rad,
        day_bits=scale * _key_of(there).reshape(_ROWS, columns),
        satellites=len(chosen),
        days=there.duration_s / DAY_S,
    )


def skies_of(network: Network) -> list[StationClear] | None:
    """Of each station, in order; None where there is no weather."""
    if network.sky is None:
        return None
    t_s = np.arange(0.0, network.duration_s, SKY_STEP_S)
    clear = network.sky.availability(network.start, t_s).mean(axis=1)
    return [
        StationClear(station=name, clear=float(share), row=row)
        for name, share, row in zip(network.sky.names, clear, network.sky.rows, strict=True)
    ]


def _grid_of(satellites: int) -> tuple[int, Sequence[int]]:
    """Columns, and which satellites are counted."""
    columns = int(np.clip(MOST_LINKS // (_ROWS * satellites), *_COLUMNS))
    count = min(satellites, MOST_LINKS // (_ROWS * columns))
    return columns, [k * satellites // count for k in range(count)]


def _days_of(satellites: int) -> int:
    return max(1, min(MOST_DAYS, SATELLITE_DAYS // satellites))


def _middles(reach_rad: float, count: int) -> Floats:
    edges = np.linspace(-reach_rad, reach_rad, count + 1)
    return np.asarray((edges[:-1] + edges[1:]) / 2)


def _moved(station: Station, name: str, latitude_rad: float, longitude_rad: float) -> Station:
    return msgspec.structs.replace(
        station, name=name, latitude_rad=latitude_rad, longitude_rad=longitude_rad, altitude_m=0.0
    )


def _key_of(network: Network) -> Floats:
    """Key of each station, of passes that are worth flying; shape (stations,)."""
    passes = find_opportunities(network)
    bits = fast_yields(network, passes)
    worth = np.where(bits >= network.service.least_key_bits, bits, 0.0)
    return np.asarray(np.bincount(passes.station, worth, len(network.stations)), dtype=np.float64)
