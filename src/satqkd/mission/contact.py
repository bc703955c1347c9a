"""One contact: which pass, from when to when light and messages fly, and what the link is like along it.

Pass time 0 is the emission of slot 0. The quantum window is where the station's mask and range limit
allow; the laser link lives longer, so that the last block is closed before the satellite sets. The
course is computed once on an even grid, from which budget, twin and emulator read. Mean loss only: what
fades is `mission.fading`.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from satqkd.config import Protocol, Satellite, Station
from satqkd.distill.parameters import Parameters
from satqkd.errors import ConfigError, NoPassError
from satqkd.mission.course import Course, course_of, site_of
from satqkd.mission.edges import block_edges
from satqkd.mission.flown import agreed_parameters, light_time_s
from satqkd.mission.pools import planned_blocks
from satqkd.optics import ExpectedRates, LinkLosses
from satqkd.sky import (
    Look,
    OrbitModel,
    Pass,
    Site,
    find_passes,
    format_utc,
    is_night,
    look,
    orbit_of,
    parse_utc,
)

GRID_S: Final = 0.05
"""Of a pass that is flown: the twin's light time needs it."""
PLANNING_GRID_S: Final = 1.0
"""Of a pass that is only planned."""
GREETING_S: Final = 10.0
"""The laser link is up so long before slot 0 at most."""
ACQUISITION_S: Final = 2.0
"""In a window, of the laser link before the first slot."""
SEARCH_S: Final = 14 * 86_400.0


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The part of a contact that one station has, where a telescope serves several by turns.

    Times of the whole contact: 0 is where its quantum link would begin. Raises ConfigError for one too short.
    """

    from_s: float
    """The laser link begins, the quantum link `ACQUISITION_S` later at the earliest."""
    to_s: float
    """The laser link ends."""
    closing_s: Annotated[float, Meta(ge=0)] = 15.0
    """The quantum link ends so long before, that the last block can be closed."""

    def __post_init__(self) -> None:
        if not self.to_s - self.from_s > ACQUISITION_S + self.closing_s:
            raise ConfigError(
                f"window from {self.from_s:g} to {self.to_s:g} s: expected more than the "
                f"{ACQUISITION_S + self.closing_s:g} s that acquisition and closing_s take; widen it"
            )


class Contact(msgspec.Struct, frozen=True, eq=False):
    """One satellite, one station, one pass, and the course of its link."""

    satellite: Satellite
    station: Station
    pass_: Pass
    epoch: datetime
    """UTC of pass time 0."""
    slots: int
    course: Course
    """On an even grid from pass time 0 to the end of the laser link."""
    step_s: float
    """Of that grid."""
    link_start_s: float
    link_end_s: float

    @property
    def look(self) -> Look:
        """Geometry of the course."""
        return self.course.look

    @property
    def losses(self) -> LinkLosses:
        """Mean losses and noise of the course."""
        return self.course.losses

    @property
    def rates(self) -> ExpectedRates:
        """Mean counts of the course."""
        return self.course.rates

    @property
    def quantum_end_s(self) -> float:
        """Pass time at which the last slot is past."""
        return self.slots / self.satellite.source.pulse_rate_hz

    @property
    def quantum_rows(self) -> slice:
        """Grid rows inside the quantum window."""
        return slice(0, int(self.quantum_end_s / self.step_s) + 1)

    def light_time_s(self, now_s: float) -> float:
        """Light time at a pass time, held at the ends of the course."""
        return light_time_s(self.look, now_s)

    @property
    def expected_qber(self) -> float:
        """Mean error rate of sifted signal bits over the quantum window, from the budget."""
        sifted = self.rates.sifted_hz[self.quantum_rows]
        return float(np.average(self.rates.qber[self.quantum_rows], weights=sifted)) if sifted.any() else 0.5

    def total(self, rate_hz: NDArray[np.float64]) -> float:
        """A rate along the course, integrated over the quantum window; linear between grid points."""
        t_s, rows, end_s = self.look.t_s, self.quantum_rows, self.quantum_end_s
        at_end_hz = np.interp(end_s, t_s, rate_hz)
        return float(np.trapezoid(np.append(rate_hz[rows], at_end_hz), np.append(t_s[rows], end_s)))

    def parameters(self, protocol: Protocol, *, seed: int) -> Parameters:
        """What both ends agree before this contact."""
        started = format_utc(self.epoch.replace(microsecond=0)).replace("-", "").replace(":", "")
        pass_id = f"{self.satellite.name}.{self.station.name}.{started}.seed{seed}"
        return agreed_parameters(
            self,
            protocol,
            pass_id=pass_id,
            edges=block_edges(self, protocol),
            planned=planned_blocks(self, protocol),
        )


def contact_of(
    satellite: Satellite, station: Station, at_utc: str | None = None, *, window: Window | None = None
) -> Contact:
    """The contact that contains the instant, else the next by night; default the satellite's epoch.

    window: the part of it that is flown; pass time 0 is then the first slot of the part.

    Raises ConfigError for a time that is none, NoPassError, DataFormatError for a malformed TLE.
    """
    at = parse_utc(at_utc or satellite.reference_epoch_utc)
    return make_contact(satellite, station, choose_pass(satellite, station, at), window=window)


def choose_pass(satellite: Satellite, station: Station, at: datetime) -> Pass:
    """The pass that contains the instant, else the next night pass. Raises NoPassError."""
    orbit, site = orbit_of(satellite.orbit), site_of(station)
    start = at - timedelta(seconds=orbit.period_s)
    passes = find_passes(
        orbit, site, start, duration_s=SEARCH_S, minimum_elevation_rad=station.minimum_elevation_rad
    )
    for each in passes:
        night = is_night(each)
        if each.start <= at <= each.end and not night:
            raise NoPassError(
                f"the pass of {satellite.name} over {station.name} at {format_utc(at)} is by day (Sun at "
                f"{np.degrees(each.sun_elevation_rad):.1f} degrees): no quantum link; choose a night pass "
                f"with `satqkd passes {satellite.name} {station.name} --night`"
            )
        if each.end >= at and night:
            return each
    raise NoPassError(
        f"no night pass of {satellite.name} over {station.name} above "
        f"{np.degrees(station.minimum_elevation_rad):.0f} degrees within {SEARCH_S / 86_400:.0f} days of "
        f"{format_utc(at)}; try another --at"
    )


def make_contact(
    satellite: Satellite,
    station: Station,
    pass_: Pass,
    *,
    step_s: float = GRID_S,
    window: Window | None = None,
) -> Contact:
    """The course of a pass on a grid of `step_s`, of its window alone where there is one.

    Raises NoPassError when range limit or window leave nothing.
    """
    orbit, site = orbit_of(satellite.orbit), site_of(station)
    start_s, end_s = _quantum_window(orbit, site, station, pass_)
    whole = _whole_milliseconds(pass_.start + timedelta(seconds=start_s))
    if window is not None:
        start_s, end_s = _cut(start_s, end_s, window)
    epoch = _whole_milliseconds(pass_.start + timedelta(seconds=start_s))
    link_start_s, link_end_s = _link_window(orbit, site, station, pass_, epoch)
    if window is not None:
        offset_s = (epoch - whole).total_seconds()
        link_start_s = max(link_start_s, window.from_s - offset_s)
        link_end_s = min(link_end_s, window.to_s - offset_s)
    t_s = np.arange(0.0, link_end_s + step_s, step_s)
    return Contact(
        satellite=satellite,
        station=station,
        pass_=pass_,
        epoch=epoch,
        slots=int((end_s - start_s) * satellite.source.pulse_rate_hz),
        course=course_of(satellite, station, orbit, epoch, t_s),
        step_s=step_s,
        link_start_s=link_start_s,
        link_end_s=link_end_s,
    )


class WholeContact(NamedTuple):
    """When a contact can be flown, without a window; no course is computed for it."""

    epoch: datetime
    """UTC at which the quantum link can begin."""
    quantum_s: float
    """Its length."""
    link_start_s: float
    """Seconds after the epoch, as `link_end_s`."""
    link_end_s: float


def windows_of(satellite: Satellite, station: Station, pass_: Pass) -> WholeContact:
    """Begin and end of both links in a pass. Raises NoPassError when the range limit leaves nothing."""
    orbit, site = orbit_of(satellite.orbit), site_of(station)
    start_s, end_s = _quantum_window(orbit, site, station, pass_)
    epoch = _whole_milliseconds(pass_.start + timedelta(seconds=start_s))
    return WholeContact(epoch, end_s - start_s, *_link_window(orbit, site, station, pass_, epoch))


def _quantum_window(orbit: OrbitModel, site: Site, station: Station, pass_: Pass) -> tuple[float, float]:
    """Seconds after the pass's rise between which the quantum link runs."""
    limit_m = station.maximum_range_m
    if limit_m is None:
        return 0.0, pass_.duration_s
    grid_s = np.arange(0.0, pass_.duration_s, 0.01)
    window = _span(grid_s, lambda t_s: look(orbit, site, pass_.start, t_s).range_m <= limit_m)
    if window is None:
        raise NoPassError(
            f"the pass never comes nearer than {pass_.min_range_m / 1e3:.0f} km, {station.name} works below "
            f"{limit_m / 1e3:.0f} km; choose a higher pass"
        )
    return window


def _cut(start_s: float, end_s: float, window: Window) -> tuple[float, float]:
    """What a window leaves of a quantum link, in the same seconds. Raises NoPassError."""
    low_s = max(start_s, start_s + window.from_s + ACQUISITION_S)
    high_s = min(end_s, start_s + window.to_s - window.closing_s)
    if low_s >= high_s:
        raise NoPassError(
            f"window from {window.from_s:g} to {window.to_s:g} s: expected a part of the quantum link, "
            f"0 to {end_s - start_s:.1f} s, with closing_s = {window.closing_s:g} s to spare; move it"
        )
    return low_s, high_s


def _link_window(
    orbit: OrbitModel, site: Site, station: Station, pass_: Pass, epoch: datetime
) -> tuple[float, float]:
    """Pass times between which the laser link is above its own mask."""
    grid_s = np.arange(-GREETING_S, pass_.duration_s + 600.0, 0.1)
    mask_rad = station.lasercom_minimum_elevation_rad
    window = _span(grid_s, lambda t_s: look(orbit, site, epoch, t_s).elevation_rad >= mask_rad)
    return (0.0, pass_.duration_s) if window is None else window


def _span(
    grid_s: NDArray[np.float64], holds: Callable[[NDArray[np.float64]], NDArray[np.bool_]]
) -> tuple[float, float] | None:
    """First and last grid time at which something holds that holds in one stretch; None where it never does.

    Every hundredth time is looked at, then the two gaps in which it begins and ends; all of them only where
    it holds at none.
    """
    coarse = np.append(np.arange(0, grid_s.size - 1, 100), grid_s.size - 1)
    up = np.flatnonzero(holds(grid_s[coarse]))
    if up.size == 0:
        found = grid_s[holds(grid_s)]
        return (float(found[0]), float(found[-1])) if found.size > 1 else None
    before, after = coarse[max(up[0] - 1, 0)], coarse[min(up[-1] + 1, coarse.size - 1)]
    rising, setting = grid_s[before : coarse[up[0]] + 1], grid_s[coarse[up[-1]] : after + 1]
    return float(rising[holds(rising)][0]), float(setting[holds(setting)][-1])


def _whole_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
