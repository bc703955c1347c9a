"""A scenario made into what is planned with: satellites with orbits, stations with places, pairs by index.

Reads the files that the scenario names, beside it. Knows no light and no pass.
"""

import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from satqkd.config import (
    Orbit,
    PairDemand,
    Protocol,
    Satellite,
    SatelliteGroup,
    Scenario,
    Service,
    Station,
    StationGroup,
    Weather,
    load,
    read_toml,
)
from satqkd.config.scenario import Waypoint, YieldRules
from satqkd.constants import DAY_S
from satqkd.errors import ConfigError, nearest
from satqkd.mission import presets
from satqkd.mission.course import site_of
from satqkd.plan.clear_sky import ClearSky, clear_sky
from satqkd.plan.places import Place, read_places
from satqkd.sky import format_utc, parse_utc, read_elements


class Pair(msgspec.Struct, frozen=True):
    """Two stations that want key with each other, by their index."""

    a: int
    b: int
    wish: PairDemand

    @property
    def name(self) -> str:
        """As the scenario names its ends."""
        return "-".join(self.wish.ends)


class Network(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """All that a plan is about. Times elsewhere are seconds after `start`."""

    name: str
    start: datetime
    duration_s: float
    objective: str
    satellites: tuple[Satellite, ...]
    stations: tuple[Station, ...]
    tracks: tuple[tuple[Waypoint, ...], ...]
    """Of ships; empty for a station that stays."""
    pairs: tuple[Pair, ...]
    service: Service
    yields: YieldRules = YieldRules()
    protocol: Protocol
    weather: Weather | None
    sky: ClearSky | None
    """Of all stations, a ship's where its track begins; None: always clear."""


def read_scenario(path: Path) -> Network:
    """The network of a scenario's file. Raises ConfigError, DataFormatError."""
    return network_of(load(read_toml(path), Scenario, str(path)).value, path.parent)


def network_of(scenario: Scenario, folder: Path = Path()) -> Network:
    """The network of a scenario; files are looked for in `folder`.

    Raises ConfigError for names that are double or unknown, for presets and files that are not there, and for
    a date before the start.
    """
    start = _moment(scenario.start_utc, f"scenario {scenario.name}, start_utc")
    satellites = [each for group in scenario.satellite for each in _satellites(group, scenario, folder)]
    stations = [each for group in scenario.station for each in _stations(group, folder)]
    _require_single("satellite", [each.name for each in satellites])
    _require_single("station or user", [s.name for s, _ in stations] + [u.name for u in scenario.user])
    sites = {station.name: site_of(station) for station, _ in stations}
    places = _index(scenario, [station.name for station, _ in stations])
    return Network(
        name=scenario.name,
        start=start,
        duration_s=scenario.duration_s,
        objective=scenario.objective,
        satellites=tuple(satellites),
        stations=tuple(station for station, _ in stations),
        tracks=tuple(track for _, track in stations),
        pairs=tuple(_pair(each, places, start) for each in scenario.pair),
        service=scenario.service,
        yields=scenario.yields,
        protocol=scenario.protocol,
        weather=scenario.weather,
        sky=None if scenario.weather is None else clear_sky(sites, scenario.weather, folder=folder),
    )


def _satellites(group: SatelliteGroup, scenario: Scenario, folder: Path) -> Iterator[Satellite]:
    craft = presets.satellite(_beside(group.preset, folder))
    name = group.name or craft.name
    if group.elements_file is not None:
        orbits = _orbits_of_file(folder / group.elements_file)
    elif group.pattern is not None:
        orbits = list(_pattern(group, scenario.start_utc))
    else:
        yield msgspec.structs.replace(craft, name=name)
        return
    digits = max(2, len(str(len(orbits))))
    for number, orbit in enumerate(orbits, 1):
        yield msgspec.structs.replace(craft, name=f"{name}-{number:0{digits}d}", orbit=orbit)


def _orbits_of_file(path: Path) -> list[Orbit]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read as a file of elements ({error.strerror})") from None
    return [each.orbit for each in read_elements(data, where=str(path))]


def _pattern(group: SatelliteGroup, epoch_utc: str) -> Iterator[Orbit]:
    r"""Walker's T/P/F: in plane p the satellites stand at :math:`2\pi (s P + p F)/T`.

    Source: Walker, Royal Aircraft Establishment TR 77044 (1977).
    """
    turn, each_plane = 2 * math.pi, group.count // group.planes
    for plane in range(group.planes):
        share = plane / group.planes
        for place in range(each_plane):
            latitude_rad = turn * (place * group.planes + plane * group.phasing) / group.count
            local_time_s = right_ascension_rad = None
            if group.pattern == "sun-synchronous":
                local_time_s = (group.first_local_time_s + share * DAY_S / 2) % DAY_S
            else:
                spread = turn if group.pattern == "walker-delta" else turn / 2
                right_ascension_rad = (group.first_right_ascension_rad + share * spread) % turn
            yield Orbit(
                epoch_utc=epoch_utc,
                altitude_m=group.altitude_m,
                inclination_rad=group.inclination_rad,
                local_time_of_ascending_node_s=local_time_s,
                right_ascension_rad=right_ascension_rad,
                argument_of_latitude_rad=latitude_rad % turn,
            )


def _stations(group: StationGroup, folder: Path) -> Iterator[tuple[Station, tuple[Waypoint, ...]]]:
    for name in group.presets:
        yield presets.station(_beside(name, folder)), ()
    if group.preset is None:
        return
    ground = presets.station(_beside(group.preset, folder))
    if group.table is not None:
        for place in read_places(folder / group.table):
            own = ground if place.preset is None else presets.station(_beside(place.preset, folder))
            yield _moved(own, place), ()
        return
    track = group.track
    latitude_rad = track[0].latitude_rad if track else group.latitude_rad
    longitude_rad = track[0].longitude_rad if track else group.longitude_rad
    if latitude_rad is None or longitude_rad is None:
        latitude_rad, longitude_rad = ground.latitude_rad, ground.longitude_rad
    place = Place(group.name or ground.name, latitude_rad, longitude_rad, group.altitude_m)
    yield _moved(ground, place), track


def _moved(station: Station, place: Place) -> Station:
    if station.clouds:
        raise ConfigError(
            f"station {station.name}: expected no clouds of one pass in a plan of many, got some; leave them "
            "out, weather is the scenario's"
        )
    return msgspec.convert(
        msgspec.to_builtins(station)
        | {
            "name": place.name,
            "latitude_rad": place.latitude_rad,
            "longitude_rad": place.longitude_rad,
            "altitude_m": station.altitude_m if place.altitude_m is None else place.altitude_m,
        },
        Station,
    )


def _beside(name: str, folder: Path) -> str:
    return str(folder / name) if name.endswith(".toml") else name


def _require_single(what: str, names: list[str]) -> None:
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise ConfigError(
            f"scenario: expected each {what} to have a name of its own, got {', '.join(double)} twice"
        )


def _index(scenario: Scenario, stations: list[str]) -> dict[str, int]:
    places = {name: index for index, name in enumerate(stations)}
    users = {}
    for user in scenario.user:
        users[user.name] = _place(user.station, places, f"user {user.name}")
    return places | users


def _place(name: str, places: dict[str, int], whose: str) -> int:
    if name not in places:
        near = nearest(name, places)
        raise ConfigError(
            f"{whose}: no station or user {name!r}; {near or 'known: ' + ', '.join(sorted(places))}"
        )
    return places[name]


def _pair(wish: PairDemand, places: dict[str, int], start: datetime) -> Pair:
    who = f"pair {'-'.join(wish.ends)}"
    a, b = (_place(end, places, who) for end in wish.ends)
    if a == b:
        raise ConfigError(f"{who}: both are at one station and need no satellite; take the pair out")
    if wish.by_utc is not None and _moment(wish.by_utc, f"{who}, by_utc") <= start:
        raise ConfigError(
            f"{who}, by_utc: expected a time after the start of the scenario, {format_utc(start)}, got "
            f"{wish.by_utc}; give a later one, or begin earlier"
        )
    return Pair(a, b, wish)


def _moment(utc: str, where: str) -> datetime:
    try:
        return parse_utc(utc)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
