"""Every pass of every satellite over every station, as columns: what a schedule chooses from.

Knows geometry and darkness, no light. Worked satellite by satellite, so that memory beyond the columns stays
that of one satellite.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.config import Satellite, Station
from satqkd.mission.course import site_of
from satqkd.plan.network import Network
from satqkd.plan.places import legs_of, window_of
from satqkd.sky import OrbitModel, Pass, find_passes, find_passes_of_sites, orbit_of

Floats = NDArray[np.float64]
Indices = NDArray[np.int32]


class Opportunities(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Columns of one length, a row a pass, ordered by satellite, station and time."""

    satellite: Indices
    """Index into the network's."""
    station: Indices
    start_s: Floats
    """After the network's start; above the mask, as `culmination_s` and `end_s`."""
    culmination_s: Floats
    end_s: Floats
    max_elevation_rad: Floats
    min_range_m: Floats
    sun_elevation_rad: Floats
    """At the station, at culmination."""
    sunlit: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.start_s)

    @property
    def duration_s(self) -> Floats:
        """Above the mask."""
        return self.end_s - self.start_s

    def taken(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "Opportunities":
        """Some of the rows, in the order given."""
        return Opportunities(**{name: getattr(self, name)[rows] for name in self.__struct_fields__})

    def pass_of(self, row: int, start: datetime) -> Pass:
        """A row as a pass; azimuths are not kept. start: the network's."""
        rise, top, set_ = (
            start + timedelta(seconds=float(column[row]))
            for column in (self.start_s, self.culmination_s, self.end_s)
        )
        return Pass(
            start=rise,
            culmination=top,
            end=set_,
            max_elevation_rad=float(self.max_elevation_rad[row]),
            start_azimuth_rad=float("nan"),
            culmination_azimuth_rad=float("nan"),
            end_azimuth_rad=float("nan"),
            min_range_m=float(self.min_range_m[row]),
            sun_elevation_rad=float(self.sun_elevation_rad[row]),
            sunlit=bool(self.sunlit[row]),
        )


def find_opportunities(network: Network) -> Opportunities:
    """All passes that culminate in the horizon with the Sun as low as the service demands.

    Raises as `sky.find_passes` does.
    """
    parts = [_of_satellite(network, index, craft) for index, craft in enumerate(network.satellites)]
    return joined(parts)


def joined(parts: Iterable[Opportunities]) -> Opportunities:
    """One after the other."""
    listed = list(parts)
    return Opportunities(
        **{
            name: np.concatenate([getattr(each, name) for each in listed])
            for name in Opportunities.__struct_fields__
        }
    )


def _of_satellite(network: Network, index: int, craft: Satellite) -> Opportunities:
    orbit = orbit_of(craft.orbit)
    low_rad = network.service.minimum_elevation_rad or 0.0
    masks_rad = [max(each.minimum_elevation_rad, low_rad) for each in network.stations]
    staying = [k for k, track in enumerate(network.tracks) if not track]
    found = dict(zip(staying, _staying(network, orbit, staying, masks_rad), strict=True))
    for k, track in enumerate(network.tracks):
        if track:
            found[k] = list(_sailing(network, orbit, k, masks_rad[k]))
    parts = [_columns(network, index, k, found[k]) for k in sorted(found)]
    return joined(parts)


def _staying(
    network: Network, orbit: OrbitModel, chosen: list[int], masks_rad: list[float]
) -> list[list[Pass]]:
    if not chosen:
        return []
    return find_passes_of_sites(
        orbit,
        [site_of(network.stations[k]) for k in chosen],
        network.start,
        duration_s=network.duration_s,
        minimum_elevation_rad=[masks_rad[k] for k in chosen],
    )


def _sailing(network: Network, orbit: OrbitModel, station: int, mask_rad: float) -> Iterator[Pass]:
    altitude_m = network.stations[station].altitude_m
    for leg in legs_of(network.tracks[station], altitude_m, network.start, network.duration_s):
        begin, length_s = window_of(leg, network.start)
        yield from find_passes(orbit, leg.site, begin, duration_s=length_s, minimum_elevation_rad=mask_rad)


def station_at(network: Network, station: int, t_s: float) -> Station:
    """A station where it is at a time."""
    track, ground = network.tracks[station], network.stations[station]
    if not track:
        return ground
    legs = legs_of(track, ground.altitude_m, network.start, network.duration_s)
    site = next(leg.site for leg in legs if t_s < leg.to_s or leg.to_s == network.duration_s)
    return msgspec.structs.replace(ground, latitude_rad=site.latitude_rad, longitude_rad=site.longitude_rad)


def _columns(network: Network, satellite: int, station: int, passes: list[Pass]) -> Opportunities:
    limit_m = network.stations[station].maximum_range_m or np.inf
    kept = [
        each
        for each in passes
        if each.sun_elevation_rad <= network.service.maximum_sun_elevation_rad and each.min_range_m < limit_m
    ]

    def seconds(name: str) -> Floats:
        return np.array(
            [(getattr(each, name) - network.start).total_seconds() for each in kept], dtype=np.float64
        )

    def column(name: str) -> Floats:
        return np.array([getattr(each, name) for each in kept], dtype=np.float64)

    return Opportunities(
        satellite=np.full(len(kept), satellite, dtype=np.int32),
        station=np.full(len(kept), station, dtype=np.int32),
        start_s=seconds("start"),
        culmination_s=seconds("culmination"),
        end_s=seconds("end"),
        max_elevation_rad=column("max_elevation_rad"),
        min_range_m=column("min_range_m"),
        sun_elevation_rad=column("sun_elevation_rad"),
        sunlit=np.array([each.sunlit for each in kept], dtype=np.bool_),
    )
