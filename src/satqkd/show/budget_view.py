"""What the budget's picture draws, gathered from one contact: columns, sky track, noise, a sample of fading.

The columns are those of `link_budget` on the contact's own grid, so that nothing which moves within a second
is drawn by one point of it. The fading is that of twin and emulator under the same seed. Draws nothing.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.show.artists import Array
from satqkd.show.files import Columns, Scene

if TYPE_CHECKING:
    from satqkd.lasercom import FrameLoss
    from satqkd.mission import Contact

SAMPLE_S: Final = 3.0
"""Length of the fading sample."""
_TRACK_STEP_S: Final = 1.0


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The satellite rises above the quantum link's mask, culminates or sets."""

    name: str
    utc: str
    """Hours, minutes and whole seconds."""
    azimuth_deg: float
    elevation_deg: float


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """Sun or Moon at the satellite's culmination, no refraction."""

    azimuth_deg: float
    elevation_deg: float
    lit_percent: int | None = None
    """Of the Moon's disc."""


class SkyTrack(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The satellite's way over the station's sky while it is above the laser link's mask."""

    t_s: Array
    """Pass time, from before the first pulse to after the last."""
    azimuth_deg: Array
    elevation_deg: Array
    events: tuple[Event, ...]
    """In order of time."""
    mask_deg: float
    """Of the quantum link."""
    laser_mask_deg: float
    sun: Body
    moon: Body


class FadingView(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What one seed makes of the fading: a few seconds of the quantum beam, and both laser links."""

    t_s: Array
    transmittance: Array
    """Instantaneous, satellite's exit to detector's face; shape of t_s."""
    mean: Array
    """The budget's; shape of t_s."""
    down: "FrameLoss"
    up: "FrameLoss"
    causes: tuple[str, ...]
    """What fades the quantum beam by the settings; empty: nothing does."""
    seed: int


class BudgetView(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One contact's budget, ready to be drawn."""

    scene: Scene
    columns: Columns
    track: SkyTrack
    fading: FadingView
    wavelength_m: float
    dark_rate_hz: float
    """Of the four detectors together."""
    gate_s: float
    pulse_rate_hz: float
    compensation: str
    """How the station follows the satellite's polarisation frame, in words."""
    link_end_s: float
    """The laser link lives until then."""


def budget_view(contact: "Contact", *, seed: int) -> BudgetView:
    """The view of a contact. Raises DataFormatError where SGP4 refuses the elements."""
    receiver = contact.station.receiver
    return BudgetView(
        scene=_scene(contact),
        columns=budget_columns(contact),
        track=sky_track(contact),
        fading=fading_view(contact, seed=seed),
        wavelength_m=contact.satellite.source.wavelength_m,
        dark_rate_hz=float(receiver.detector.each("dark_rate_hz").sum()),
        gate_s=receiver.gate_s,
        pulse_rate_hz=contact.satellite.source.pulse_rate_hz,
        compensation=_compensation(contact),
        link_end_s=float(contact.look.t_s[-1]),
    )


def budget_columns(contact: "Contact") -> Columns:
    """Every row of the contact's grid that lies in the quantum window."""
    from satqkd.mission import link_budget

    columns = link_budget(contact, step_s=contact.step_s)
    known = [name for name in Columns.__struct_fields__ if name in columns]
    return msgspec.convert({name: tuple(columns[name].tolist()) for name in known}, Columns)


def sky_track(contact: "Contact") -> SkyTrack:
    """Track, events, Sun and Moon of a contact."""
    from satqkd.mission import site_of
    from satqkd.sky import look, orbit_of

    station, pass_ = contact.station, contact.pass_
    rise_s, top_s, set_s = (
        (moment - contact.epoch).total_seconds() for moment in (pass_.start, pass_.culmination, pass_.end)
    )
    orbit, around_s = orbit_of(contact.satellite.orbit), set_s - rise_s + 900.0
    t_s = np.arange(rise_s - around_s, set_s + around_s, _TRACK_STEP_S)
    seen = look(orbit, site_of(station), contact.epoch, t_s)
    up = _stretch(
        seen.elevation_rad >= station.lasercom_minimum_elevation_rad, int(np.argmin(abs(t_s - top_s)))
    )
    at = look(orbit, site_of(station), contact.epoch, [rise_s, top_s, set_s])
    sun, moon = _bodies(contact, top_s)
    return SkyTrack(
        t_s=t_s[up],
        azimuth_deg=np.degrees(seen.azimuth_rad[up]),
        elevation_deg=np.degrees(seen.elevation_rad[up]),
        events=tuple(
            Event(
                name=name,
                utc=f"{contact.epoch + timedelta(seconds=seconds + 0.5):%H:%M:%S}",
                azimuth_deg=float(np.degrees(at.azimuth_rad[k])),
                elevation_deg=float(np.degrees(at.elevation_rad[k])),
            )
            for k, (name, seconds) in enumerate((("rise", rise_s), ("culmination", top_s), ("set", set_s)))
        ),
        mask_deg=float(np.degrees(station.minimum_elevation_rad)),
        laser_mask_deg=float(np.degrees(station.lasercom_minimum_elevation_rad)),
        sun=sun,
        moon=moon,
    )


def fading_view(contact: "Contact", *, seed: int) -> FadingView:
    """The fading about the highest elevation of the quantum window, and the laser links along the pass."""
    from satqkd.mission import Fading

    fading = Fading(contact, seed)
    series = fading.series()
    grid_s = series.fast_t_s
    rows = contact.quantum_rows
    top_s = series.t_s[rows][np.argmax(contact.look.elevation_rad[rows])]
    start_s = min(max(top_s - SAMPLE_S / 2, 0.0), max(contact.quantum_end_s - SAMPLE_S, 0.0))
    chosen = (grid_s >= start_s) & (grid_s <= min(start_s + SAMPLE_S, contact.quantum_end_s))
    mean = np.interp(grid_s[chosen], series.t_s, series.transmittance)
    return FadingView(
        t_s=grid_s[chosen],
        transmittance=mean * series.fading[chosen],
        mean=mean,
        down=fading.downlink(),
        up=fading.uplink(),
        causes=_causes(contact),
        seed=seed,
    )


def _scene(contact: "Contact") -> Scene:
    from satqkd.sky import format_utc

    return Scene(
        satellite=contact.satellite.name,
        station=contact.station.name,
        start_utc=format_utc(contact.epoch),
        duration_s=contact.quantum_end_s,
    )


def _stretch(up: NDArray[np.bool_], row: int) -> slice:
    """The unbroken run of true values about a row."""
    down = np.flatnonzero(~up)
    before, after = down[down < row], down[down > row]
    return slice(int(before[-1]) + 1 if before.size else 0, int(after[0]) if after.size else len(up))


def _bodies(contact: "Contact", at_s: float) -> tuple[Body, Body]:
    """Sun and Moon."""
    from satqkd.mission import site_of
    from satqkd.sky import moon_view, sun_view

    site = site_of(contact.station)
    sun, moon = sun_view(site, contact.epoch, at_s), moon_view(site, contact.epoch, at_s)
    return (
        Body(azimuth_deg=_degrees(sun.azimuth_rad), elevation_deg=_degrees(sun.elevation_rad)),
        Body(
            azimuth_deg=_degrees(moon.azimuth_rad),
            elevation_deg=_degrees(moon.elevation_rad),
            lit_percent=round(100 * float(moon.illuminated_fraction[0])),
        ),
    )


def _degrees(angle_rad: Array) -> float:
    return float(np.degrees(angle_rad[0]))


def _causes(contact: "Contact") -> tuple[str, ...]:
    turbulent = contact.station.turbulence is not None
    pointing = contact.satellite.transmitter.pointing_correlation_s is not None
    return ("turbulence",) * turbulent + ("pointing",) * pointing


def _compensation(contact: "Contact") -> str:
    axes = contact.station.receiver.polarisation
    match axes.compensation:
        case "ideal":
            return "followed without delay"
        case "waveplate":
            return f"half-wave plate, turned every {axes.update_s:g} s"
        case "none":
            return "not followed"
