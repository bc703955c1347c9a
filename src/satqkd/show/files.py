"""What this room reads from a pass folder: views that know only the fields they draw.

`pass.json` must be there; `course.json` and `station.json` may be missing, as after a pass whose station
died, and what draws from them is then left out. Unknown fields are ignored, so that the writers may grow.
Counts and times only; no key is in these files. Knows no session and no store.
"""

from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.errors import DataFormatError
from satqkd.results import ClassCounts, to_json

Number = float | None
T = TypeVar("T")

PASS_FILE: Final = "pass.json"
COURSE_FILE: Final = "course.json"
STATION_FILE: Final = "station.json"


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What the heading of a picture says, and how long the quantum link ran."""

    satellite: str
    station: str
    start_utc: str
    duration_s: float
    detail: str = ""


class BlockView(msgspec.Struct, frozen=True, kw_only=True):
    """One block of a pass."""

    block: int
    outcome: str
    reason: str = ""
    detections: int
    sifted_bits: int
    errors: int
    frames: int
    frames_failed: int
    leaked_bits: dict[str, int]
    secret_bits: int
    terms: dict[str, Any] = {}


class PassView(msgspec.Struct, frozen=True, kw_only=True):
    """One pass, both ends, as `satqkd pass --json` prints it; None where there is nothing to say."""

    pass_id: str
    satellite: str
    station: str
    start_utc: str
    duration_s: float
    max_elevation_deg: Number
    min_range_km: Number
    pulses: int
    detections: int
    sifted_bits: int
    qber: Number
    counts: tuple[ClassCounts, ...]
    blocks: tuple[BlockView, ...]
    frames: int
    frames_failed: int
    reconciliation_efficiency: Number
    leaked_bits: int
    authentication_bits_spent: int
    secret_bits: int
    epsilon_secrecy: float
    epsilon_correctness: float
    epsilon_authentication: float
    bound: str
    announcement: str
    keys_match: bool
    outcome: str
    reason: str
    timings_s: dict[str, Any]
    classical: dict[str, Any]
    processes: dict[str, Any]
    seed: int
    origin: str

    @property
    def scene(self) -> Scene:
        """Heading of this pass's pictures."""
        twin = "   photons from the digital twin" if self.origin == "twin" else ""
        return Scene(
            satellite=self.satellite,
            station=self.station,
            start_utc=self.start_utc,
            duration_s=self.duration_s,
            detail=f"pass {self.pass_id}{twin}",
        )


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """The course of a link, rows in order of pass time; None where a value is not finite.

    What earlier versions did not write may be left out; `array` makes a column of NaN of an empty one.
    """

    t_s: tuple[float, ...]
    elevation_deg: tuple[Number, ...]
    range_km: tuple[Number, ...]
    diffraction_db: tuple[Number, ...]
    pointing_db: tuple[Number, ...]
    atmosphere_db: tuple[Number, ...]
    cloud_db: tuple[Number, ...] = ()
    receiver_db: tuple[Number, ...]
    calibration_db: tuple[Number, ...]
    detector_db: tuple[Number, ...]
    total_db: tuple[Number, ...]
    expected_sifted_hz: tuple[Number, ...]
    expected_qber: tuple[Number, ...]
    expected_decoy_qber: tuple[Number, ...]
    background_hz: tuple[Number, ...] = ()
    crosstalk_hz: tuple[Number, ...] = ()
    expected_detection_hz: tuple[Number, ...] = ()
    azimuth_deg: tuple[Number, ...] = ()
    range_rate_m_s: tuple[Number, ...] = ()
    doppler_pm: tuple[Number, ...] = ()
    frame_angle_deg: tuple[Number, ...] = ()
    residual_angle_deg: tuple[Number, ...] = ()
    scintillation_index: tuple[Number, ...] = ()

    def __post_init__(self) -> None:
        sizes = {name: len(getattr(self, name)) for name in self.__struct_fields__}
        if len({size for size in sizes.values() if size}) != 1 or sizes["t_s"] < 2:
            raise DataFormatError(f"course: expected columns of one length, at least 2, got {sizes}")
        if (np.diff(self.t_s) <= 0).any():
            raise DataFormatError("course: expected t_s to increase from row to row")

    def array(self, name: str) -> NDArray[np.float64]:
        """Column of this name, float64, one row a grid point, NaN where there is no finite value."""
        values = np.array(getattr(self, name) or (np.nan,) * len(self.t_s), dtype=np.float64)
        return np.where(np.isfinite(values), values, np.nan)


class EvidenceRow(msgspec.Struct, frozen=True, kw_only=True):
    """Where one preset number comes from."""

    path: str
    mark: str
    source: str
    preset: str
    value: Any = None
    """In SI units, where the writer gives it."""


class CourseFile(msgspec.Struct, frozen=True):
    """`course.json`: what was expected of a pass, and on what evidence."""

    columns: Columns
    evidence: tuple[EvidenceRow, ...] = ()


class Profile(msgspec.Struct, frozen=True):
    """Keyed rounds, revealed decoys and errors of these in each second of pass time that has any, one block.

    Errors of keyed rounds are not among them: where those lie depends on the key.
    """

    block: int
    second: tuple[int, ...]
    sifted: tuple[int, ...]
    revealed: tuple[int, ...]
    errors: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes = [len(column) for column in (self.second, self.sifted, self.revealed, self.errors)]
        if len(set(sizes)) != 1:
            raise DataFormatError(
                f"profile of block {self.block}: expected second, sifted, revealed and errors of one length, "
                f"got {sizes}"
            )
        if any(wrong > told for wrong, told in zip(self.errors, self.revealed, strict=True)):
            raise DataFormatError(
                f"profile of block {self.block}: expected errors among the revealed rounds, got more errors "
                "than these in a second"
            )


class _Station(msgspec.Struct, frozen=True):
    profiles: tuple[Profile, ...] = ()


class PassFiles(msgspec.Struct, frozen=True):
    """One pass folder, read."""

    folder: Path
    report: PassView
    course: CourseFile | None
    profiles: tuple[Profile, ...]


def read_pass(folder: Path) -> PassFiles:
    """Read a pass folder. Raises DataFormatError naming the file and what is wrong with it."""
    report = _read(folder / PASS_FILE, PassView)
    if report is None:
        raise DataFormatError(
            f"{folder}: expected a pass folder with {PASS_FILE} in it; give the DIR of `pass --out DIR`"
        )
    station = _read(folder / STATION_FILE, _Station)
    return PassFiles(
        folder=folder,
        report=report,
        course=_read(folder / COURSE_FILE, CourseFile),
        profiles=() if station is None else station.profiles,
    )


def pass_view(report: Any) -> PassView:
    """View of a pass report given as a struct or as a plain dict. Raises DataFormatError."""
    return _decode(to_json(report), PassView, "pass report")


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataFormatError(f"{path}: cannot be read ({error}); check its permissions") from None
    return _decode(data, kind, str(path))


def _decode(data: bytes, kind: type[T], where: str) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataFormatError(f"{where}: {error}; write it anew with `satqkd pass --out`") from None
    except DataFormatError as error:
        raise DataFormatError(f"{where}: {error}") from None
