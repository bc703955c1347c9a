"""What a satellite, a station and their protocol are made of. SI units; ranges checked when made.

Numbers live in `presets/*.toml` with their evidence, not here: a default below is a convention of the
software (sizes of messages, the choice of bound), never a property of somebody's hardware.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from satqkd.errors import ConfigError

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Inside = Annotated[float, Meta(gt=0, lt=1)]
Identifier = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all settings: frozen, keyword-only, unknown keys refused."""


class Orbit(Settings, frozen=True, kw_only=True):
    """A TLE, or the mean elements of a near-circular orbit where no TLE is known."""

    tle_line_1: str | None = None
    tle_line_2: str | None = None
    epoch_utc: str | None = None
    """Epoch of the elements, ISO 8601 with Z; a TLE carries its own."""
    altitude_m: Positive | None = None
    """Mean altitude above the equatorial radius."""
    inclination_rad: NotNegative | None = None
    """Omitted: the inclination that makes the orbit Sun-synchronous at this altitude."""
    eccentricity: Annotated[float, Meta(ge=0, lt=0.05)] = 0.0
    local_time_of_ascending_node_s: float | None = None
    """Mean solar time at which the satellite crosses the equator northward, seconds after midnight."""
    argument_of_latitude_rad: float = 0.0
    """Angle from the ascending node along the orbit at the epoch."""

    def __post_init__(self) -> None:
        has_tle = self.tle_line_1 is not None and self.tle_line_2 is not None
        has_elements = None not in (self.epoch_utc, self.altitude_m, self.local_time_of_ascending_node_s)
        if has_tle == has_elements:
            raise ConfigError(
                "orbit: expected either tle_line_1 and tle_line_2, or epoch_utc, altitude_km and "
                "local_time_of_ascending_node_s; give one of the two"
            )


class Source(Settings, frozen=True, kw_only=True):
    """The decoy-state BB84 source. Classes in the order signal, decoy, vacuum."""

    pulse_rate_hz: Positive
    wavelength_m: Positive
    intensities: tuple[Positive, Positive, NotNegative]
    """Mean photon number per pulse at the telescope's exit: signal, decoy, vacuum."""
    probabilities: tuple[Inside, Inside, Inside]
    basis_z_probability: Inside = 0.5
    pulse_width_s: Positive
    """Full width at half maximum."""

    def __post_init__(self) -> None:
        signal, decoy, vacuum = self.intensities
        if not signal > decoy + vacuum or not decoy > vacuum:
            raise ConfigError(
                f"source.intensities: expected signal > decoy + vacuum and decoy > vacuum, "
                f"got {self.intensities}"
            )
        if abs(sum(self.probabilities) - 1) > 1e-9:
            raise ConfigError(f"source.probabilities: expected a sum of 1, got {sum(self.probabilities)}")


class Transmitter(Settings, frozen=True, kw_only=True):
    """The satellite's telescope and its pointing."""

    divergence_rad: Positive
    divergence_convention: Literal["disc_full", "gaussian_1e2_full", "gaussian_fwhm_full"]
    """Which angle `divergence_rad` is: full angle of a uniform disc, full 1/e^2 intensity angle of a
    Gaussian, or its full width at half maximum."""
    aperture_diameter_m: Positive
    pointing_jitter_rad: NotNegative
    """Standard deviation per axis."""
    pointing_bias_rad: NotNegative = 0.0


class Beacon(Settings, frozen=True, kw_only=True):
    """Numbered light pulses that carry the satellite's clock to the station."""

    rate_hz: Positive
    code_shift_s: Positive
    """How much later a beacon whose code bit is 1 is emitted."""


class Lasercom(Settings, frozen=True, kw_only=True):
    """Classical laser link, one direction: what the terminal that sends can do."""

    rate_bit_s: Positive
    frame_loss: Fraction
    """Probability that a frame is lost."""


class Detector(Settings, frozen=True, kw_only=True):
    """One of four equal single-photon detectors."""

    efficiency: Inside
    dark_rate_hz: NotNegative
    dead_time_s: NotNegative
    jitter_s: NotNegative
    """Full width at half maximum of the timing error."""


class Receiver(Settings, frozen=True, kw_only=True):
    """What stands behind the station's telescope."""

    optics_transmittance: Inside
    optical_error: Annotated[float, Meta(ge=0, le=0.5)]
    """Probability that a photon in the sender's basis reaches the wrong detector."""
    basis_choice: Literal["active", "passive"]
    basis_z_probability: Inside = 0.5
    gate_s: Positive
    """Full width of the acceptance window around a slot."""
    detector: Detector

    def __post_init__(self) -> None:
        if self.basis_choice == "passive" and self.basis_z_probability != 0.5:
            raise ConfigError(
                f"receiver.basis_z_probability: a passive receiver must be 0.5, got "
                f"{self.basis_z_probability}: with a biased splitter multi-photon pulses shift the test "
                f'probability, which no bound here covers; use basis_choice = "active" or 0.5'
            )


class Clock(Settings, frozen=True, kw_only=True):
    """The station's clock against the satellite's: nature in the twin, unknown to the protocol."""

    offset_s: Annotated[float, Meta(ge=-1e-3, le=1e-3)]
    drift: Annotated[float, Meta(ge=-2e-5, le=2e-5)]
    """Fractional frequency error."""


class Satellite(Settings, frozen=True, kw_only=True):
    """A satellite: orbit, source, telescope, beacon, laser terminal."""

    name: Identifier
    description: str
    reference_epoch_utc: str
    """Where searches for passes begin when no time is given."""
    orbit: Orbit
    source: Source
    transmitter: Transmitter
    beacon: Beacon
    lasercom: Lasercom


class Station(Settings, frozen=True, kw_only=True):
    """A ground station: place, telescope, sky, receiver, clock, laser terminal."""

    name: Identifier
    description: str
    latitude_rad: Annotated[float, Meta(ge=-1.5707963267948966, le=1.5707963267948966)]
    longitude_rad: Annotated[float, Meta(ge=-3.141592653589793, le=3.141592653589793)]
    altitude_m: Annotated[float, Meta(ge=-500, le=9000)]
    minimum_elevation_rad: Annotated[float, Meta(ge=0, lt=1.5707963267948966)]
    """Quantum transmission above this."""
    lasercom_minimum_elevation_rad: Annotated[float, Meta(ge=0, lt=1.5707963267948966)]
    """The laser link works above this, so that a block can be closed after the last photon."""
    maximum_range_m: Positive | None = None
    """Quantum transmission only nearer than this, where an experiment was cut so."""
    telescope_diameter_m: Positive
    zenith_optical_depth: NotNegative
    sky_radiance_w_m2_sr_um: NotNegative
    """Spectral radiance of the night sky in the quantum band, W m^-2 sr^-1 um^-1."""
    field_of_view_rad: Positive
    """Full angle."""
    filter_width_m: Positive
    calibration_loss_db: NotNegative
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


class Protocol(Settings, frozen=True, kw_only=True):
    """What both ends agree in hello; nothing of it is taken from a block's own counts."""

    bound: Literal["variable-sharp", "variable"] = "variable-sharp"
    """Bounds that hold for the counts as they come; `lim2014` and `asymptotic` are for comparison only."""
    announcement: Literal["deferred"] = "deferred"
    epsilon_secrecy: Inside = 1e-9
    epsilon_correctness: Inside = 1e-15
    keyed_bases: tuple[Literal["Z", "X"], ...] = ("Z", "X")
    keyed_classes: tuple[Literal["signal", "decoy"], ...] = ("signal",)
    blocks: Annotated[int, Meta(ge=1, le=100)] = 1
    """Blocks a pass is cut into, by slot numbers of equal count."""
    maximum_qber: Inside = 0.055
    """Above this no code class exists; the block ends as `aborted`."""
    announce_interval_s: Positive = 0.1
    frame_bits: Annotated[int, Meta(ge=8192, le=1048576)] = 262144
    """Largest reconciliation frame."""

    def __post_init__(self) -> None:
        if not self.keyed_bases or len(set(self.keyed_bases)) != len(self.keyed_bases):
            raise ConfigError(f"protocol.keyed_bases: expected Z, X or both once, got {self.keyed_bases}")
        if self.keyed_classes not in (("signal",), ("signal", "decoy")):
            raise ConfigError(
                'protocol.keyed_classes: expected ["signal"] or ["signal", "decoy"], got '
                f"{self.keyed_classes}"
            )
