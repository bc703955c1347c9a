"""The schedule file: the contacts of a satellite over days, read alike by each of its nodes.

One telescope, one contact at a time: laser links that overlap, or lie closer than the telescope turns, are
refused, unless windows part them; `turns` makes the windows. Everything follows from the file and the orbits,
so nodes that read the same file agree. Computes no link budget before a contact is flown.
"""

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from satqkd.config import Protocol, Traffic, load, read_toml
from satqkd.errors import ConfigError
from satqkd.mission import presets
from satqkd.mission.contact import ACQUISITION_S, Window, choose_pass, windows_of
from satqkd.mission.pace import UNPACED, read_speed
from satqkd.node.run_config import Port, RunConfig
from satqkd.sky import format_utc, parse_utc

Clock = Literal["start", "utc"]


class ScheduledContact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One contact as the file asks for it."""

    station: str
    """Preset name or TOML path."""
    at_utc: str
    """The pass that contains this instant, else the next by night."""
    seed: Annotated[int, Meta(ge=0, lt=2**53)] | None = None
    """None: the schedule's."""
    protocol: Protocol | None = None
    """None: the schedule's."""
    window: Window | None = None
    """The part that is flown."""


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Contacts of one satellite with its stations. Paths in `folder`: a folder a contact, summaries."""

    satellite: str
    """Preset name or TOML path."""
    folder: str
    stores: str | None = None
    """Folder of the key stores; default `folder`."""
    host: str = "127.0.0.1"
    port: Port
    contacts: Annotated[tuple[ScheduledContact, ...], Meta(min_length=1)]
    seed: Annotated[int, Meta(ge=0, lt=2**53)] = 1
    protocol: Protocol = Protocol()
    traffic: Traffic = Traffic()
    """What the nodes do for messages of users."""
    speed: str = UNPACED
    """Pass time against wall time: `max`, `realtime` or a factor."""
    clock: Clock = "start"
    """Paced: `utc` flies contacts at their own time of day; `start` the first at once, the others as much
    later as they are, over the speed."""
    turns: bool = False
    """Contacts that overlap share the time: each half of the overlap."""
    slew_s: Annotated[float, Meta(ge=0)] = 20.0
    """What the satellite's telescope takes to turn to another station."""
    closing_s: Annotated[float, Meta(ge=0)] = 15.0
    """Of the windows that `turns` makes."""
    wake_s: Annotated[float, Meta(ge=0)] = 30.0
    """So long before a contact a sleeping node of clock `utc` greets the emulator."""
    patience_s: Annotated[float, Meta(gt=0)] = 120.0
    grace_s: Annotated[float, Meta(gt=0)] = 2.0
    local_port_satellite: Port | None = None
    local_ports_stations: dict[str, Port] = {}
    """By the station's name."""

    def __post_init__(self) -> None:
        if read_speed(self.speed) not in (None, 1.0) and self.clock == "utc":
            raise ConfigError(
                f"schedule: clock = utc goes at the pace of the sky, got speed {self.speed}; set speed to "
                f"realtime or clock to start"
            )
        if read_speed(self.speed) is None and self.clock == "utc":
            raise ConfigError(
                "schedule: clock = utc demands speed = realtime, got max; set it, or clock to start"
            )


class PlannedContact(NamedTuple):
    """One contact of a schedule that was worked out."""

    config: RunConfig
    station: str
    """Its name."""
    begin: datetime
    """UTC from which the laser link is up."""
    end: datetime

    @property
    def begin_utc(self) -> str:
        """As text."""
        return format_utc(self.begin)


class _Found(NamedTuple):
    """A contact as the orbit gives it, before windows."""

    asked: ScheduledContact
    station: str
    epoch: datetime
    """Begin of the whole quantum link."""
    quantum_s: float
    link_start_s: float
    link_end_s: float
    window: Window | None

    @property
    def begin(self) -> datetime:
        from_s = self.link_start_s if self.window is None else max(self.link_start_s, self.window.from_s)
        return self.epoch + timedelta(seconds=from_s)

    @property
    def end(self) -> datetime:
        to_s = self.link_end_s if self.window is None else min(self.link_end_s, self.window.to_s)
        return self.epoch + timedelta(seconds=to_s)

    def since(self, moment: datetime) -> float:
        """Seconds of the whole contact at an instant."""
        return (moment - self.epoch).total_seconds()


def is_schedule(path: Path) -> bool:
    """Whether a file is a schedule, not a run file. Raises ConfigError for one that cannot be read."""
    return "contacts" in read_toml(path)


def read_schedule(path: Path) -> Schedule:
    """Read and check a schedule file, but for overlaps. Raises ConfigError."""
    schedule = load(read_toml(path), Schedule, str(path)).value
    if not Path(schedule.folder).is_dir():
        raise ConfigError(f"{path}: folder {schedule.folder} does not exist; make it")
    return schedule


def planned_contacts(schedule: Schedule) -> list[PlannedContact]:
    """The contacts in order of time, their windows made and checked.

    Raises ConfigError for contacts that overlap or are there twice, NoPassError.
    """
    found = sorted((_find(schedule, asked) for asked in schedule.contacts), key=lambda each: each.begin)
    for earlier, later in pairwise(found):
        if (earlier.station, earlier.epoch) == (later.station, later.epoch):
            raise ConfigError(
                f"schedule: the pass over {earlier.station} at {format_utc(earlier.epoch)} is there twice; "
                f"remove one"
            )
    if schedule.turns:
        found = _take_turns(found, schedule)
    for earlier, later in pairwise(found):
        _check_apart(earlier, later, schedule)
    return [_planned(each, schedule) for each in found]


def _find(schedule: Schedule, asked: ScheduledContact) -> _Found:
    satellite, station = presets.satellite(schedule.satellite), presets.station(asked.station)
    pass_ = choose_pass(satellite, station, parse_utc(asked.at_utc))
    whole = windows_of(satellite, station, pass_)
    return _Found(asked, station.name, *whole, asked.window)


def _take_turns(found: list[_Found], schedule: Schedule) -> list[_Found]:
    """Neighbours in time that are too close are parted in the middle of what both could use."""
    found = list(found)
    for k in range(len(found) - 1):
        earlier, later = found[k], found[k + 1]
        if _gap_s(earlier, later) < schedule.slew_s:
            middle = _middle(earlier, later, schedule.closing_s)
            half_s = schedule.slew_s / 2
            found[k] = _within(earlier, schedule, to_s=earlier.since(middle) - half_s)
            found[k + 1] = _within(later, schedule, from_s=later.since(middle) + half_s)
    return found


def _middle(earlier: _Found, later: _Found, closing_s: float) -> datetime:
    """Of what both could use: each gets as much light of the time in which both have quantum links.

    Where light does not overlap, the middle of the time in which both have laser links.
    """
    ends = [each.epoch + timedelta(seconds=each.quantum_s) for each in (earlier, later)]
    low, high = max(earlier.epoch, later.epoch), min(ends)
    if low >= high:
        low, high = later.begin, min(earlier.end, later.end)
        return low + (high - low) / 2
    return low + (high - low) / 2 + timedelta(seconds=(closing_s - ACQUISITION_S) / 2)


def _within(found: _Found, schedule: Schedule, *, from_s: float = -1e9, to_s: float = 1e9) -> _Found:
    """The contact with its window cut further. Raises ConfigError when it leaves too little."""
    asked = found.window
    low_s = max(from_s, found.link_start_s if asked is None else asked.from_s)
    high_s = min(to_s, found.link_end_s if asked is None else asked.to_s)
    closing_s = schedule.closing_s if asked is None else asked.closing_s
    usable_s = min(found.quantum_s, high_s - closing_s) - max(0.0, low_s + ACQUISITION_S)
    if usable_s <= 0:
        raise ConfigError(
            f"schedule: turns leave no light for {found.station} at {format_utc(found.begin)}, from "
            f"{low_s:.1f} to {high_s:.1f} s with closing_s = {closing_s:g} s; leave this contact out, or set "
            f"windows by hand"
        )
    window = Window(from_s=round(low_s, 3), to_s=round(high_s, 3), closing_s=closing_s)
    return found._replace(window=window)


def _gap_s(earlier: _Found, later: _Found) -> float:
    return (later.begin - earlier.end).total_seconds()


def _check_apart(earlier: _Found, later: _Found, schedule: Schedule) -> None:
    gap_s = _gap_s(earlier, later)
    if gap_s >= schedule.slew_s - 1e-6:
        return
    raise ConfigError(
        f"schedule: {earlier.station} until {format_utc(earlier.end)} and {later.station} from "
        f"{format_utc(later.begin)} are {gap_s:.1f} s apart, expected at least slew_s = {schedule.slew_s:g} "
        f"s: the satellite has one telescope; set turns = true, or windows, or leave one out"
    )


def _planned(found: _Found, schedule: Schedule) -> PlannedContact:
    asked = found.asked
    name = format_utc(found.epoch.replace(microsecond=0)).replace("-", "").replace(":", "")
    config = RunConfig(
        satellite=schedule.satellite,
        station=asked.station,
        at_utc=asked.at_utc,
        seed=schedule.seed if asked.seed is None else asked.seed,
        folder=str(Path(schedule.folder) / f"{name}-{found.station}"),
        stores=schedule.stores or schedule.folder,
        host=schedule.host,
        port=schedule.port,
        patience_s=schedule.patience_s,
        grace_s=schedule.grace_s,
        protocol=schedule.protocol if asked.protocol is None else asked.protocol,
        traffic=schedule.traffic,
        speed=schedule.speed,
        window=found.window,
    )
    return PlannedContact(config, found.station, found.begin, found.end)
