"""What a satellite is made of. SI units; ranges checked when made."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from satqkd.config.base import (
    Aperture,
    Decibels,
    Divergence,
    Identifier,
    Inside,
    Jitter,
    Settings,
    Shadow,
    Time,
    Wavelength,
)
from satqkd.config.lasercom import Beacon, Lasercom
from satqkd.config.orbit import Orbit
from satqkd.errors import ConfigError
from satqkd.header import SMALLEST_HEADER_SLOTS

Photons = Annotated[float, Meta(gt=0, le=100)]
Dimmer = Annotated[float, Meta(ge=0, le=100)]
MeanRange = tuple[Annotated[float, Meta(ge=0, le=100)], Annotated[float, Meta(ge=0, le=100)]]
Bias = Annotated[float, Meta(gt=-1, lt=1)]
Fluctuation = Annotated[float, Meta(ge=0, le=0.5)]
Skew = Annotated[float, Meta(ge=-1e-8, le=1e-8)]


class Source(Settings, frozen=True, kw_only=True):
    """The decoy-state BB84 source. Classes in the order signal, decoy, vacuum.

    What the protocol knows are `intensities` and the probabilities; bias, fluctuation, extinction and skew
    are nature's, which twin and budget play and no bound is told.
    """

    pulse_rate_hz: Annotated[float, Meta(ge=1e3, le=1e11)]
    wavelength_m: Wavelength
    intensities: tuple[Photons, Photons, Dimmer]
    """Nominal mean photon number per pulse at the telescope's exit: signal, decoy, vacuum."""
    probabilities: tuple[Inside, Inside, Inside]
    intensity_intervals: tuple[MeanRange, MeanRange, MeanRange] | None = None
    """Lowest and highest mean photon number of each class that the mission vouches for, whatever it is from
    pulse to pulse; the bound takes the worst. None: exact."""
    basis_z_probability: Inside = 0.5
    pulse_width_s: Annotated[float, Meta(gt=0, le=1e-3)]
    """Full width at half maximum."""
    intensity_bias: tuple[Bias, Bias, Bias] = (0.0, 0.0, 0.0)
    """True over nominal mean photon number, less 1."""
    intensity_fluctuation: tuple[Fluctuation, Fluctuation, Fluctuation] = (0.0, 0.0, 0.0)
    """Relative standard deviation from pulse to pulse, uniformly distributed."""
    intensity_extinction_db: Decibels | None = None
    """How far below the signal a pulse is that should be dark; that light is on every pulse of class
    vacuum. None: dark is dark."""
    polarisation_extinction_db: Annotated[float, Meta(gt=0, le=400)] | None = None
    """Power in the wanted over power in the orthogonal polarisation as sent. None: pure."""
    diode_skew_s: tuple[Skew, Skew, Skew, Skew] = (0.0, 0.0, 0.0, 0.0)
    """How late the laser diodes of H, V, + and - fire."""

    def __post_init__(self) -> None:
        signal, decoy, vacuum = self.intensities
        if not signal > decoy + vacuum or not decoy > vacuum:
            raise ConfigError(
                f"source.intensities: expected signal > decoy + vacuum and decoy > vacuum, "
                f"got {self.intensities}"
            )
        if abs(sum(self.probabilities) - 1) > 1e-9:
            raise ConfigError(f"source.probabilities: expected a sum of 1, got {sum(self.probabilities)}")
        for mean, (low, high) in zip(self.intensities, self.intensity_intervals or (), strict=False):
            if not low <= mean <= high:
                raise ConfigError(
                    f"source.intensity_intervals: expected [lowest, highest] around each of "
                    f"{self.intensities}, got {self.intensity_intervals}"
                )
        period_s = 1 / self.pulse_rate_hz
        if max(map(abs, self.diode_skew_s)) > period_s / 2:
            raise ConfigError(
                f"source.diode_skew: expected at most half the pulse period of {period_s * 1e12:.4g} ps, got "
                f"{[1e12 * skew for skew in self.diode_skew_s]} ps; a later diode fires in the next slot"
            )

    @property
    def true_intensities(self) -> tuple[float, float, float]:
        """Mean photon numbers as nature has them: bias and the light of dark pulses included."""
        signal, decoy, vacuum = (
            mean * (1 + bias) for mean, bias in zip(self.intensities, self.intensity_bias, strict=True)
        )
        if self.intensity_extinction_db is not None:
            vacuum += signal * 10 ** (-self.intensity_extinction_db / 10)
        return signal, decoy, vacuum


class Transmitter(Settings, frozen=True, kw_only=True):
    """The satellite's telescope and its pointing: the beam by a divergence, or by its waist."""

    ALTERNATIVES: ClassVar = (("divergence_rad", "divergence_convention"), ("waist_radius_m",))

    divergence_rad: Divergence | None = None
    divergence_convention: Literal["disc_full", "gaussian_1e2_full", "gaussian_fwhm_full"] | None = None
    """Which angle `divergence_rad` is: full angle of a uniform disc, full 1/e^2 intensity angle of a
    Gaussian, or its full width at half maximum."""
    waist_radius_m: Aperture | None = None
    """1/e^2 intensity radius of the Gaussian at the aperture, which truncates it; instead of a divergence."""
    aperture_diameter_m: Aperture
    central_obscuration: Shadow = 0.0
    """Diameter of the secondary mirror's shadow over that of the aperture."""
    pointing_jitter_rad: Jitter
    """Standard deviation per axis."""
    pointing_bias_rad: Jitter = 0.0
    pointing_correlation_s: Time | None = None
    """Correlation time of the jitter; none: it fades nothing, only its mean loss enters."""

    def __post_init__(self) -> None:
        by_angle = self.divergence_rad is not None and self.divergence_convention is not None
        partly = self.divergence_rad is not None or self.divergence_convention is not None
        if by_angle == (self.waist_radius_m is not None) or partly != by_angle:
            raise ConfigError(
                "transmitter: expected either divergence and divergence_convention, or waist_radius; give "
                "one of the two"
            )


class Header(Settings, frozen=True, kw_only=True):
    """Public pulses, again and again, that number the slots where no beacon does."""

    duration_s: Annotated[float, Meta(ge=0.05, le=60)] = 0.5
    """Of each header: bright and dark pulses by a public code, not keyed."""
    interval_s: Annotated[float, Meta(ge=1, le=3600)] = 10.0
    """From the beginning of one to that of the next; the first begins with slot 0."""

    def __post_init__(self) -> None:
        if self.duration_s > self.interval_s / 2:
            raise ConfigError(
                f"header.duration: expected at most half the interval of {self.interval_s} s, got "
                f"{self.duration_s} s; what a header takes is not keyed"
            )

    def header_slots(self, pulse_rate_hz: float) -> int:
        """Pulses of a header."""
        return round(self.duration_s * pulse_rate_hz)

    def interval_slots(self, pulse_rate_hz: float) -> int:
        """Pulses from one header to the next."""
        return round(self.interval_s * pulse_rate_hz)


class Satellite(Settings, frozen=True, kw_only=True):
    """A satellite: orbit, source, telescope, laser terminal, and what tells its clock: beacon or header."""

    ALTERNATIVES: ClassVar = (("beacon",), ("header",))

    name: Identifier
    description: str
    reference_epoch_utc: str
    """Where searches for passes begin when no time is given."""
    orbit: Orbit
    source: Source
    source_memory_s: Annotated[float, Meta(gt=0, le=1e5)] | None = None
    """How long it remembers what it sent, for the station to ask; none: as long as the pass lasts."""
    transmitter: Transmitter
    beacon: Beacon | None = None
    header: Header | None = None
    """Public pulses in the quantum beam that tell its clock; instead of a beacon."""
    lasercom: Lasercom
    sunlit_magnitude: Annotated[float, Meta(ge=-10, le=20)] | None = None
    """Stellar magnitude of the sunlit satellite at 1000 km; none: it shines by its beams alone."""

    def __post_init__(self) -> None:
        if (self.beacon is None) == (self.header is None):
            raise ConfigError(
                "satellite: expected a beacon or a header, by which the station's clock follows, got "
                f"{'neither' if self.beacon is None else 'both'}; give one of the two"
            )
        self._check_header_long_enough()
        beacon_laser = None if self.beacon is None else self.beacon.laser
        for name, laser in (("beacon", beacon_laser), ("lasercom", self.lasercom.laser)):
            if laser is not None and (laser.pointing_jitter_rad or laser.pointing_correlation_s):
                raise ConfigError(
                    f"{name}.laser.pointing: expected none on a satellite, whose beams share the pointing of "
                    "its transmitter; give transmitter.pointing_jitter and transmitter.pointing_correlation"
                )

    def _check_header_long_enough(self) -> None:
        rate_hz = self.source.pulse_rate_hz
        if self.header is not None and self.header.header_slots(rate_hz) < SMALLEST_HEADER_SLOTS:
            raise ConfigError(
                f"header.duration: expected at least {SMALLEST_HEADER_SLOTS} pulses, "
                f"{SMALLEST_HEADER_SLOTS / rate_hz:.3g} s at {rate_hz:.6g} Hz, got {self.header.duration_s} s"
            )
