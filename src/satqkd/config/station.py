"""What a ground station is made of. SI units; ranges checked when made."""

from typing import Annotated, ClassVar, Final, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from satqkd.config.base import (
    DETECTORS,
    Aperture,
    Decibels,
    EventRate,
    Fraction,
    Identifier,
    Inside,
    Settings,
    Shadow,
    Time,
)
from satqkd.config.lasercom import Lasercom
from satqkd.config.monitors import BrightLight, Monitors
from satqkd.errors import ConfigError

Afterpulsing = Annotated[float, Meta(ge=0, le=0.3)]
EachInside = tuple[Inside, Inside, Inside, Inside]
EachRate = tuple[EventRate, EventRate, EventRate, EventRate]
Short = Annotated[float, Meta(ge=0, le=1e-2)]
EachShort = tuple[Short, Short, Short, Short]
Lag = Annotated[float, Meta(ge=-1e-8, le=1e-8)]
EachLag = tuple[Lag, Lag, Lag, Lag]
EachFraction = tuple[Fraction, Fraction, Fraction, Fraction]
EachAfterpulsing = tuple[Afterpulsing, Afterpulsing, Afterpulsing, Afterpulsing]
ErrorShare = Annotated[float, Meta(ge=0, le=0.5)]
Spread = Annotated[float, Meta(ge=0, le=0.5)]

NONE: Final = (0.0, 0.0, 0.0, 0.0)


class Detector(Settings, frozen=True, kw_only=True):
    """The four single-photon detectors, in the order H, V, +, -; in TOML one number stands for all four."""

    efficiency: EachInside
    dark_rate_hz: EachRate
    dead_time_s: EachShort
    """Without any response after a click."""
    recovery_s: EachShort = NONE
    """Time constant with which the efficiency comes back after the dead time, as 1 - exp(-t / recovery)."""
    jitter_s: EachShort
    """Full width at half maximum of the Gaussian timing error."""
    jitter_tail_fraction: EachFraction = NONE
    """Share of the clicks that are late besides, by an exponential time."""
    jitter_tail_s: EachShort = NONE
    """Mean of that time."""
    lag_s: EachLag = NONE
    """How late each tags light against the common time; what differs opens the way to time shifts."""
    afterpulse_probability: EachAfterpulsing = NONE
    """That a click is followed by one more without light."""
    afterpulse_decay_s: EachShort = NONE
    """Mean time of the afterpulse after the end of the dead time."""

    @classmethod
    def equal(cls, **numbers: float) -> "Detector":
        """Four detectors with the same numbers."""
        return cls(**{name: (number,) * DETECTORS for name, number in numbers.items()})

    def each(self, name: str) -> NDArray[np.float64]:
        """A field as an array, float64, shape (4,)."""
        return np.array(getattr(self, name), dtype=np.float64)

    @property
    def mean_efficiency(self) -> float:
        """Of the four."""
        return sum(self.efficiency) / DETECTORS


class Tagger(Settings, frozen=True, kw_only=True):
    """The time tagger behind all detectors."""

    resolution_s: Annotated[float, Meta(gt=0, le=1e-6)] = 1e-12
    """Tags are multiples of it; a picosecond is the grain of a tag in this software."""
    dead_time_s: Short = 0.0
    """After a tag, on the same channel."""

    def __post_init__(self) -> None:
        whole = self.resolution_s * 1e12
        if whole < 0.5 or abs(whole - round(whole)) > 1e-6:
            raise ConfigError(
                f"tagger.resolution: expected a whole number of picoseconds, got {whole:g} ps; tags are "
                "whole picoseconds"
            )


class Polarisation(Settings, frozen=True, kw_only=True):
    """How the station follows the satellite's polarisation frame, and what the path does to it."""

    compensation: Literal["ideal", "waveplate", "none"] = "ideal"
    """A frame that never turns, a half-wave plate turned by prediction each `update_s`, or nothing."""
    update_s: Time = 1.0
    """Time between two settings of the wave plate."""
    residual_angle_rad: Annotated[float, Meta(ge=-0.8, le=0.8)] = 0.0
    """What is left between the frames besides, now one way round, now the other: prediction error."""
    static_angle_rad: Annotated[float, Meta(ge=-0.8, le=0.8)] = 0.0
    """What is left all along a pass, with its sign: calibration error, which the plate can follow."""
    drift_rad_s: Annotated[float, Meta(ge=-0.01, le=0.01)] = 0.0
    """How fast the static angle grows from slot 0 on."""
    depolarisation: Fraction = 0.0
    """Share of the light that arrives without polarisation."""
    retardance_rad: Annotated[float, Meta(ge=-3.2, le=3.2)] = 0.0
    """Phase between H and V from mirrors; an error in basis X alone."""


class Isolation(Settings, frozen=True, kw_only=True):
    """How much darker bright light is at a single-photon detector than behind the receiver's optics, dB.

    Filters, baffles and angles together; none: nothing of it comes through.
    """

    beacon_db: Decibels | None = None
    downlink_db: Decibels | None = None
    uplink_db: Decibels | None = None
    """Of the station's own uplink light scattered back by the air."""
    uplink_overlap_m: Annotated[float, Meta(ge=0.1, le=1e5)] | None = None
    """Distance from which on the uplink's beam lies in the receiver's view; needed with uplink_db."""

    def __post_init__(self) -> None:
        if self.uplink_db is not None and self.uplink_overlap_m is None:
            raise ConfigError(
                "isolation: expected uplink_overlap with uplink_db, got none: what the air scatters back "
                "goes as one over it; give the distance from which beam and view overlap"
            )


class Limits(Settings, frozen=True, kw_only=True):
    """What the station vouches for about its receiver; the bound takes the worst, whatever nature does."""

    efficiency_spread: Spread = 0.0
    """Largest relative deviation of a detector's efficiency from the common one."""
    dark_spread: Spread = 0.0
    """Largest relative deviation of a detector's dark counts from the mean of the four."""
    basis_spread: Spread = 0.0
    """Largest deviation of the probability that a photon is measured in Z from `basis_z_probability`."""


class Receiver(Settings, frozen=True, kw_only=True):
    """What stands behind the station's telescope."""

    optics_transmittance: Inside
    optical_error: ErrorShare
    """Probability that a photon in the sender's basis reaches the wrong detector with aligned frames."""
    basis_choice: Literal["active", "passive"]
    basis_z_probability: Inside = 0.5
    label_swap: Literal["none", "random"] = "none"
    """random: a modulator before the analyser turns the light of a slot by 90 degrees or not, by a coin."""
    gate_s: Annotated[float, Meta(gt=0, le=1e-3)]
    """Full width of the acceptance window around a slot."""
    hold_off_s: Short | None = None
    """A detection within this time of any earlier click is dropped; none: the longest dead time."""
    polarisation: Polarisation = Polarisation()
    isolation: Isolation = Isolation()
    limits: Limits = Limits()
    detector: Detector
    tagger: Tagger = Tagger()
    bright_light: BrightLight | None = None
    """None: nothing is known of it, and no bias current is read."""
    monitors: Monitors = Monitors()

    def __post_init__(self) -> None:
        if self.monitors.bias_current_limit_a is not None and self.bright_light is None:
            raise ConfigError(
                "receiver.monitors.bias_current_limit: expected bright_light with it, got none: what a bias "
                "current shows of light is not known; give both or neither"
            )
        if self.monitors.coincidence_false_alarm is not None and self.basis_choice != "passive":
            raise ConfigError(
                "receiver.monitors.coincidence_false_alarm: expected a passive receiver, got an active one, "
                "in which light clicks in one basis at a time; leave it out"
            )
        if self.basis_choice == "passive" and self.basis_z_probability != 0.5:
            raise ConfigError(
                f"receiver.basis_z_probability: a passive receiver must be 0.5, got "
                f"{self.basis_z_probability}: with a biased splitter multi-photon pulses shift the test "
                f'probability, which no bound here covers; use basis_choice = "active" or 0.5'
            )
        if not abs(self.basis_z_probability - 0.5) + self.limits.basis_spread < 0.5:
            raise ConfigError(
                f"receiver.limits.basis_spread: expected both bases to stay possible around "
                f"{self.basis_z_probability}, got {self.limits.basis_spread}"
            )
        if self.hold_off_s is not None and self.hold_off_s < self.longest_dead_time_s:
            raise ConfigError(
                f"receiver.hold_off: expected at least the longest dead time, "
                f"{self.longest_dead_time_s * 1e9:g} ns, got {self.hold_off_s * 1e9:g} ns: within it not all "
                "detectors are alive; lengthen it or leave it out"
            )

    @property
    def longest_dead_time_s(self) -> float:
        """How long after a tag a detector may still be dead.

        A tagger slower than its detector hides clicks, the last of them at the end of its own dead time.
        """
        dead_s, hidden_s = self.detector.each("dead_time_s"), self.tagger.dead_time_s
        return float(np.where(dead_s < hidden_s, dead_s + hidden_s, dead_s).max())

    @property
    def exclusion_s(self) -> float:
        """How near to an earlier click a detection is dropped."""
        return self.longest_dead_time_s if self.hold_off_s is None else self.hold_off_s


class Turbulence(Settings, frozen=True, kw_only=True):
    """The Hufnagel-Valley atmosphere over a station."""

    ground_cn2_m23: Annotated[float, Meta(gt=0, le=1e-10)]
    """Structure constant at the ground, m^(-2/3)."""
    high_wind_m_s: Annotated[float, Meta(gt=0, le=200)]
    """Rms wind between 5 and 20 km."""
    ground_wind_m_s: Annotated[float, Meta(ge=0, le=100)]


class Cloud(Settings, frozen=True, kw_only=True):
    """A cloud that passes: loss for all light, both ways, in a stretch of pass time."""

    from_s: float
    to_s: float
    loss_db: Annotated[float, Meta(gt=0, le=400)]

    def __post_init__(self) -> None:
        if not self.from_s < self.to_s:
            raise ConfigError(f"cloud: expected from_s before to_s, got {self.from_s} and {self.to_s}")


class Clock(Settings, frozen=True, kw_only=True):
    """The station's clock against the satellite's: nature in the twin, unknown to the protocol."""

    offset_s: Annotated[float, Meta(ge=-1e-3, le=1e-3)]
    drift: Annotated[float, Meta(ge=-2e-5, le=2e-5)]
    """Fractional frequency error."""
    white_frequency_noise: Annotated[float, Meta(ge=0, le=1e-8)] = 0.0
    """Allan deviation at 1 s of white frequency noise, which makes the time walk at random."""
    random_walk_frequency_noise: Annotated[float, Meta(ge=0, le=1e-8)] = 0.0
    """Allan deviation at 1 s of frequency that walks at random."""


class Station(Settings, frozen=True, kw_only=True):
    """A ground station: place, telescope, sky, receiver, clock, laser terminal."""

    ALTERNATIVES: ClassVar = (("zenith_optical_depth",), ("visibility_m",))

    name: Identifier
    description: str
    latitude_rad: Annotated[float, Meta(ge=-1.5707963267948966, le=1.5707963267948966)]
    longitude_rad: Annotated[float, Meta(ge=-3.141592653589793, le=3.141592653589793)]
    altitude_m: Annotated[float, Meta(ge=-500, le=9000)]
    minimum_elevation_rad: Annotated[float, Meta(ge=0, lt=1.5707963267948966)]
    """Quantum transmission above this."""
    lasercom_minimum_elevation_rad: Annotated[float, Meta(ge=0, lt=1.5707963267948966)]
    """The laser link works above this, so that a block can be closed after the last photon."""
    maximum_range_m: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    """Quantum transmission only nearer than this, where an experiment was cut so."""
    telescope_diameter_m: Aperture
    central_obscuration: Shadow = 0.0
    """Diameter of the secondary mirror's shadow over that of the telescope."""
    zenith_optical_depth: Annotated[float, Meta(ge=0, le=20)] | None = None
    visibility_m: Annotated[float, Meta(ge=5e3, le=60e3)] | None = None
    """Meteorological range at the ground, from which the optical depth follows; instead of it."""
    turbulence: Turbulence | None = None
    """None: the air scintillates nothing."""
    clouds: tuple[Cloud, ...] = ()
    sky_radiance_w_m2_sr_um: Annotated[float, Meta(ge=0, le=1e4)]
    """Spectral radiance of the moonless night sky with the site's own glow, W m^-2 sr^-1 um^-1."""
    field_of_view_rad: Annotated[float, Meta(gt=0, le=0.2)]
    """Full angle."""
    filter_width_m: Annotated[float, Meta(ge=1e-12, le=1e-6)]
    """Full width at half maximum of the spectral filter."""
    calibration_loss_db: Decibels
    """Loss that no named part explains, fitted to a published outcome; 0 where nothing was fitted."""
    receiver: Receiver
    clock: Clock
    lasercom: Lasercom

    def __post_init__(self) -> None:
        if self.lasercom_minimum_elevation_rad > self.minimum_elevation_rad:
            raise ConfigError(
                "station: lasercom_minimum_elevation must not be above minimum_elevation: the laser link "
                "carries the messages of the quantum link"
            )
        if (self.zenith_optical_depth is None) == (self.visibility_m is None):
            raise ConfigError(
                "station: expected either zenith_optical_depth or visibility; give one of the two"
            )
