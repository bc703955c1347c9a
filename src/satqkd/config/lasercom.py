"""The bright light of the link: beacons and the two-way classical laser. SI units; ranges checked when made.

Where light and receiver of a direction are given, their budget makes the frame loss change along the pass;
where they are not, the frame loss is one number.
"""

from typing import Annotated, Literal

from msgspec import Meta

from satqkd.config.base import (
    Aperture,
    Decibels,
    Divergence,
    Fraction,
    Inside,
    Jitter,
    Power,
    Settings,
    Time,
    Wavelength,
)
from satqkd.errors import ConfigError


class Laser(Settings, frozen=True, kw_only=True):
    """Bright light that leaves a terminal, a Gaussian beam."""

    wavelength_m: Wavelength
    power_w: Power
    """Mean, at the telescope's exit."""
    extinction: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Power of a 0 over that of a 1, where it carries bits."""
    divergence_rad: Divergence
    """Full 1/e^2 intensity angle."""
    pointing_jitter_rad: Jitter = 0.0
    """Standard deviation per axis, of a terminal that points by itself; not for a satellite's beams, which
    share the pointing of its transmitter."""
    pointing_correlation_s: Time | None = None
    """Correlation time of that jitter; none: it enters as its mean loss and fades nothing."""


class LaserReceiver(Settings, frozen=True, kw_only=True):
    """What receives the other terminal's classical light: direct detection of on-off keying."""

    aperture_diameter_m: Aperture
    optics_transmittance: Inside
    quantum_efficiency: Inside
    gain: Annotated[float, Meta(ge=1, le=1e6)] = 1.0
    """Of the avalanche; 1 for a photodiode without."""
    ionisation_ratio: Fraction = 0.0
    """Of holes over electrons: what makes the avalanche noisy."""
    dark_current_a: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """The multiplied part, before gain."""
    amplifier_noise_a_sqrt_hz: Annotated[float, Meta(gt=0, le=1e-3)]
    """Current noise referred to the amplifier's input."""
    coding_gain_db: Decibels = 0.0
    """Optical power that the modem's error-correcting code saves."""


class Beacon(Settings, frozen=True, kw_only=True):
    """Numbered light pulses that carry the satellite's clock to the station."""

    rate_hz: Annotated[float, Meta(gt=0, le=1e7)]
    code_shift_s: Annotated[float, Meta(gt=0, le=1)]
    """How much later a beacon whose code bit is 1 is emitted."""
    laser: Laser | None = None
    """Its light; none: bright enough that every beacon is tagged, and no crosstalk."""
    detection_photons: Annotated[float, Meta(gt=0, le=1e15)] | None = None
    """Photons a pulse inside the aperture at which half of the beacons are tagged; none: every one is."""

    def __post_init__(self) -> None:
        if self.laser is not None and self.laser.extinction:
            raise ConfigError(
                "beacon.laser.extinction: expected none, a beacon carries no bits; leave it out"
            )
        if self.detection_photons is not None and self.laser is None:
            raise ConfigError(
                "beacon.detection_photons: expected a laser with it, got none: its photons are not known; "
                "give beacon.laser, or leave it out"
            )


class Outage(Settings, frozen=True, kw_only=True):
    """A stretch of pass time in which nothing of this terminal arrives."""

    from_s: Annotated[float, Meta(ge=-1e5, le=1e5)]
    to_s: Annotated[float, Meta(ge=-1e5, le=1e5)]

    def __post_init__(self) -> None:
        if not self.from_s < self.to_s:
            raise ConfigError(f"outages: expected from_s before to_s, got {self.from_s} and {self.to_s}")


class Impairments(Settings, frozen=True, kw_only=True):
    """What befalls a terminal's frames in the emulator besides light, fading and `frame_loss`.

    Each frame has its fate by the seed and its number alone, bursts by the seed and pass time.
    """

    burst_loss: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Share of the time that is in bursts, on average; what is sent in one is lost."""
    burst_s: Annotated[float, Meta(ge=1e-3, le=1e3)] = 0.05
    """Mean length of a burst."""
    duplicated: Fraction = 0.0
    """Probability that a frame arrives twice."""
    reordered: Fraction = 0.0
    """Probability that a frame arrives late, so that others may overtake it."""
    delay_spread_s: Annotated[float, Meta(ge=0, le=60)] = 0.0
    """How late at most: evenly spread from 0 to this; second copies too."""
    corrupted: Fraction = 0.0
    """Probability that one to three bytes of a frame are changed."""
    outages: tuple[Outage, ...] = ()

    def __post_init__(self) -> None:
        if self.reordered and not self.delay_spread_s:
            raise ConfigError("impairments: expected a delay_spread above 0 with reordered, got none")


class Lasercom(Settings, frozen=True, kw_only=True):
    """Classical laser link: what one terminal sends with, and receives the other with."""

    rate_bit_s: Annotated[float, Meta(gt=0, le=1e12)]
    """Of what this terminal sends."""
    frame_loss: Fraction
    """Probability that a frame of this terminal is lost whatever the light is like."""
    laser: Laser | None = None
    receiver: LaserReceiver | None = None
    framing: Literal["bare", "space-packets"] = "bare"
    """What datagrams travel in; both terminals of a link need the same."""
    base_apid: Annotated[int, Meta(ge=0, le=2043)] = 64
    """With space packets: APID of the first priority; the others take the next three."""
    impairments: Impairments = Impairments()
