"""Where a satellite is: a TLE, an entry of a file of elements, or mean elements. SI units.

Mean elements are those of SGP4, in TEME at their epoch. A file is named here, not read.
"""

from itertools import product
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from satqkd.config.base import Positive, Settings
from satqkd.errors import ConfigError

_TLE: Final = ("tle_line_1", "tle_line_2")
_FILE: Final = ("elements_file", "catalogue_number")
_SIZE: Final = ("altitude_m", "mean_motion_rad_s")
_NODE: Final = ("local_time_of_ascending_node_s", "right_ascension_rad")
_PHASE: Final = ("argument_of_latitude_rad", "mean_anomaly_rad")
_COMMON: Final = (
    "epoch_utc",
    "inclination_rad",
    "eccentricity",
    "argument_of_perigee_rad",
    "drag_term_per_earth_radius",
)
Inclination = Annotated[float, Meta(ge=0, le=3.1415926535897936)]


class Orbit(Settings, frozen=True, kw_only=True):
    """One of three: a TLE; an entry of a file of elements; mean elements, which begin with `epoch_utc`."""

    ALTERNATIVES: ClassVar[tuple[tuple[str, ...], ...]] = (
        _TLE,
        _FILE,
        *((*_COMMON, *choice) for choice in product(_SIZE, _NODE, _PHASE)),
    )

    tle_line_1: str | None = None
    tle_line_2: str | None = None
    elements_file: str | None = None
    """Path of a file of elements: TLE text, or OMM as JSON, XML, KVN or CSV."""
    catalogue_number: Annotated[int, Meta(ge=0, le=999_999_999)] | None = None
    """NORAD number of the satellite in `elements_file`; may be left out where the file holds one."""
    epoch_utc: str | None = None
    """Epoch of the mean elements, ISO 8601 with Z; a TLE carries its own."""
    altitude_m: Positive | None = None
    """Semi-major axis less the Earth's equatorial radius."""
    mean_motion_rad_s: Positive | None = None
    """As a TLE or an OMM carries it (Kozai's); instead of `altitude_m`."""
    inclination_rad: Inclination | None = None
    """Omitted: the inclination that makes the orbit Sun-synchronous at `altitude_m`."""
    eccentricity: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    local_time_of_ascending_node_s: float | None = None
    """Mean solar time at which the satellite crosses the equator northward, seconds after midnight."""
    right_ascension_rad: float | None = None
    """Of the ascending node; instead of `local_time_of_ascending_node_s`."""
    argument_of_perigee_rad: float = 0.0
    argument_of_latitude_rad: float | None = None
    """Angle from the ascending node along the orbit at the epoch. Omitted with `mean_anomaly_rad`: 0."""
    mean_anomaly_rad: float | None = None
    """At the epoch; instead of `argument_of_latitude_rad`."""
    drag_term_per_earth_radius: float = 0.0
    """B* of SGP4, per 6378.135 km."""

    def __post_init__(self) -> None:
        tle, file = self._given(*_TLE), self._given(*_FILE)
        elements = self._given("epoch_utc", *_SIZE, "inclination_rad", *_NODE, *_PHASE)
        if sum(map(bool, (tle, file, elements))) != 1:
            raise ConfigError(
                "orbit: expected either tle_line_1 and tle_line_2, or elements_file, or mean elements with "
                f"epoch_utc; got {', '.join(tle + file + elements) or 'none of them'}; give one of the three"
            )
        if len(tle) == 1:
            raise ConfigError(
                f"orbit: expected tle_line_1 and tle_line_2, got {tle[0]} alone; copy both lines from one "
                "element set"
            )
        if file and self.elements_file is None:
            raise ConfigError("orbit: catalogue_number chooses from elements_file, which is missing; name it")
        if elements:
            self._check_elements()

    def _given(self, *names: str) -> list[str]:
        return [name for name in names if getattr(self, name) is not None]

    def _check_elements(self) -> None:
        if self.epoch_utc is None:
            raise ConfigError(
                "orbit: expected epoch_utc with mean elements, got none; give their epoch in UTC"
            )
        self._check_choice(_SIZE, "the size of the orbit", least=1)
        self._check_choice(_NODE, "where its plane lies", least=1)
        self._check_choice(_PHASE, "where the satellite is at the epoch", least=0)
        if self.inclination_rad is None and self.altitude_m is None:
            raise ConfigError(
                "orbit: expected inclination with mean_motion, got none; only an orbit given by its altitude "
                "finds its Sun-synchronous inclination itself"
            )

    def _check_choice(self, names: tuple[str, str], meaning: str, *, least: int) -> None:
        got = self._given(*names)
        if not least <= len(got) <= 1:
            raise ConfigError(
                f"orbit: expected {names[0]} or {names[1]} ({meaning}), got "
                f"{' and '.join(got) or 'neither'}; give one of the two"
            )
