"""What is planned: satellites, stations, users, pairs that want key, rules of the terminals, the horizon.

Hardware is named by presets or files of settings; here stands only how many of them there are, and where.
"""

from typing import Annotated, Literal

from msgspec import Meta

from satqkd.config.base import Identifier, Positive, Settings
from satqkd.config.orbit import Inclination
from satqkd.config.protocol import Protocol
from satqkd.config.weather import Weather
from satqkd.errors import ConfigError

Latitude = Annotated[float, Meta(ge=-1.5707963267948966, le=1.5707963267948966)]
Longitude = Annotated[float, Meta(ge=-3.141592653589793, le=3.141592653589793)]


class SatelliteGroup(Settings, frozen=True, kw_only=True):
    """One satellite, or several of the same hardware: of a file of elements, or in a pattern."""

    preset: str
    """Preset or file of settings; its orbit holds where nothing else is said."""
    name: Identifier | None = None
    """Of one satellite, and of several what their numbers are put behind. Omitted: the preset's."""
    elements_file: str | None = None
    """Every element set of this file is a satellite; beside the scenario."""
    pattern: Literal["walker-delta", "walker-star", "sun-synchronous"] | None = None
    """`walker-delta`: planes spread over a whole turn of right ascension; `walker-star`: over half a turn;
    `sun-synchronous`: local times of the ascending nodes spread over half a day."""
    count: Annotated[int, Meta(ge=1, le=10_000)] = 1
    """Satellites of the pattern, a multiple of `planes`."""
    planes: Annotated[int, Meta(ge=1, le=10_000)] = 1
    phasing: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """Walker's F: from one plane to the next satellites are ahead by F/count of a turn."""
    altitude_m: Positive | None = None
    inclination_rad: Inclination | None = None
    """Of a Walker pattern."""
    first_right_ascension_rad: float = 0.0
    """Of the first plane of a Walker pattern, at the scenario's start."""
    first_local_time_s: Annotated[float, Meta(ge=0, lt=86_400)] = 81_000.0
    """Mean local time of the first plane's ascending node, `sun-synchronous`; 22:30."""

    def __post_init__(self) -> None:
        if self.elements_file is not None and self.pattern is not None:
            raise ConfigError("satellite: expected elements_file or pattern, got both; keep one")
        if self.pattern is None and (self.count, self.planes, self.phasing, self.altitude_m) != (
            1,
            1,
            0,
            None,
        ):
            raise ConfigError(
                "satellite: count, planes, phasing and altitude belong to a pattern, and there is none; name "
                "one, or leave them out"
            )
        if self.pattern is not None:
            self._check_pattern()

    def _check_pattern(self) -> None:
        if self.altitude_m is None or (self.pattern != "sun-synchronous" and self.inclination_rad is None):
            raise ConfigError(
                f"satellite.pattern {self.pattern!r}: expected altitude, and inclination but for "
                "sun-synchronous; give them"
            )
        if self.pattern == "sun-synchronous" and self.inclination_rad is not None:
            raise ConfigError("satellite.inclination: a sun-synchronous orbit finds it itself; leave it out")
        if self.count % self.planes or self.phasing >= self.planes:
            raise ConfigError(
                f"satellite: expected count a multiple of planes and phasing below planes, got "
                f"{self.count}/{self.planes}/{self.phasing}"
            )


class Waypoint(Settings, frozen=True, kw_only=True):
    """Where a ship is at an instant; between two it sails along the great circle at even speed."""

    utc: str
    latitude_rad: Latitude
    longitude_rad: Longitude


class StationGroup(Settings, frozen=True, kw_only=True):
    """One station, several presets, the rows of a table of places, or a ship."""

    preset: str | None = None
    """Preset or file of settings: hardware, and the place where nothing else is said."""
    presets: tuple[str, ...] = ()
    """Several stations, each as its preset is."""
    name: Identifier | None = None
    table: str | None = None
    """CSV beside the scenario, a row a station: name, latitude_deg, longitude_deg and, where it has them,
    altitude_m and preset."""
    latitude_rad: Latitude | None = None
    longitude_rad: Longitude | None = None
    altitude_m: Annotated[float, Meta(ge=-500, le=9000)] | None = None
    track: tuple[Waypoint, ...] = ()
    """Of a ship."""

    def __post_init__(self) -> None:
        if (self.preset is None) == (not self.presets):
            raise ConfigError("station: expected preset or presets; give one of the two")
        alone = (self.name, self.table, self.latitude_rad, self.longitude_rad, self.altitude_m)
        if self.presets and (any(each is not None for each in alone) or self.track):
            raise ConfigError("station: presets stand alone; a place, a table or a track goes with preset")
        if (self.latitude_rad is None) != (self.longitude_rad is None):
            raise ConfigError("station: expected latitude and longitude together, got one of them")
        if self.table is not None and (self.name or self.latitude_rad is not None or self.track):
            raise ConfigError("station: a table has names and places itself; leave name, place, track out")
        if len(self.track) == 1:
            raise ConfigError("station.track: expected two waypoints or more, got one")


class User(Settings, frozen=True, kw_only=True):
    """Who draws key, and of which station."""

    name: Identifier
    station: Identifier


class PairDemand(Settings, frozen=True, kw_only=True):
    """Two stations, or users, that want key end to end."""

    ends: tuple[Identifier, Identifier]
    weight: Positive = 1.0
    """Under `max-min` a pair of weight 2 gets twice the key of one of weight 1."""
    priority: Positive = 1.0
    """A bit of this pair under `priority`."""
    demand_bits: Positive | None = None
    """Wanted in all, under `demand`."""
    by_utc: str | None = None
    """When `demand_bits` are wanted; the end of the horizon where nothing is said."""
    demand_bit_s: Annotated[float, Meta(ge=0)] = 0.0
    """Used up steadily in operation."""
    satellites: Annotated[int, Meta(ge=1, le=8)] = 1
    """Key is the exclusive or of key over so many satellites, so that no fewer know it."""

    def __post_init__(self) -> None:
        if self.ends[0] == self.ends[1]:
            raise ConfigError(f"pair.ends: expected two, got {self.ends[0]!r} twice")
        if self.by_utc is not None and self.demand_bits is None:
            raise ConfigError("pair.by_utc: expected demand_bits with it; give both, or neither")


class Service(Settings, frozen=True, kw_only=True):
    """What satellites and stations can do between and during contacts. Times are assumed, not published."""

    setup_s: Annotated[float, Meta(ge=0, le=3600)] = 60.0
    """Between two contacts of one satellite, or of one station: slew and acquisition."""
    minimum_elevation_rad: Annotated[float, Meta(ge=0, lt=1.5)] | None = None
    """Contacts above it, where it is higher than the station's own."""
    maximum_sun_elevation_rad: Annotated[float, Meta(ge=-1.5, le=1.5)] = -0.20943951023931953
    """Contacts with the Sun no higher over the station at culmination; -12 degrees."""
    contact_per_revolution_s: Positive | None = None
    """Power: so long at most does a satellite send in one revolution."""
    store_bits: Positive | None = None
    """Link key on board with one station at most."""
    key_life_s: Positive | None = None
    """Link key on board that is older is given up."""
    least_key_bits: Annotated[float, Meta(ge=0)] = 0.0
    """Contacts that give less are not flown."""
    period_s: Annotated[float, Meta(ge=60)] = 86_400.0
    """The planner's books of stores are kept in steps of this."""


class YieldRules(Settings, frozen=True, kw_only=True):
    """How the key of passes is foretold. Neither number is published of any link: both are assumed."""

    loss_spread_db: Annotated[float, Meta(ge=0, le=6)] = 0.0
    """Standard deviation of a pass's loss around its budget's, normal in dB, each pass for itself."""
    pool_s: Annotated[float, Meta(ge=60)] | None = None
    """Passes of a link in the same period of this length, counted from the start, are told as one block
    too."""


class Scenario(Settings, frozen=True, kw_only=True):
    """A question to the planner."""

    name: Identifier
    description: str = ""
    start_utc: str
    duration_s: Annotated[float, Meta(gt=0, le=3.2e9)]
    objective: Literal["total", "max-min", "priority", "demand"] = "max-min"
    satellite: Annotated[tuple[SatelliteGroup, ...], Meta(min_length=1)]
    station: Annotated[tuple[StationGroup, ...], Meta(min_length=1)]
    user: tuple[User, ...] = ()
    pair: tuple[PairDemand, ...] = ()
    service: Service = Service()
    yields: YieldRules = YieldRules()
    weather: Weather | None = None
    """None: the sky is always clear."""
    protocol: Protocol = Protocol()
