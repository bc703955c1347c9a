"""Sets of orbital elements as catalogues serve them: TLE text, or OMM as JSON, XML, KVN or CSV.

The form is told from the text itself. What is not an element set of SGP4 is refused with the place.
Mean motion is Kozai's in all of them and is handed on as it is. Reads no file.
Sources: CCSDS 502.0-B-3, section 4.2 (OMM); CelesTrak, "A New Way to Obtain GP Data".
"""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from satqkd.config import Orbit
from satqkd.constants import DAY_S
from satqkd.errors import ConfigError, DataFormatError
from satqkd.sky.omm import Fields, omm_fields
from satqkd.sky.tle import check_tle, tle_catalogue_number, tle_epoch, tle_sets

_REV_PER_DAY_RAD_S: Final = 2 * math.pi / DAY_S
_EPOCH: Final = re.compile(
    r"(\d{4})-(?:(\d\d)-(\d\d)|(\d{3}))T(\d\d):(\d\d):([0-5]\d(?:\.\d*)?)Z?"
)  # calendar or day of the year
_MUST_SAY: Final = {
    "CENTER_NAME": ("EARTH",),
    "REF_FRAME": ("TEME", "TEMEOFDATE"),
    "TIME_SYSTEM": ("UTC",),
    "MEAN_ELEMENT_THEORY": ("SGP4", "SGP/SGP4"),
    "EPHEMERIS_TYPE": ("0", "2"),
}
"""What the elements must be for SGP4, where the message tells it."""


class Elements(msgspec.Struct, frozen=True, kw_only=True):
    """One element set of a catalogue."""

    name: str
    """As the catalogue has it; empty where it gives none."""
    catalogue_number: int
    epoch: datetime
    """UTC, to 1 us."""
    orbit: Orbit
    """The settings that describe it, for `orbit_of`."""


def read_elements(data: bytes | str, *, where: str = "elements") -> list[Elements]:
    """All element sets of a file's content, in its order; the form is found out.

    where: what messages call the file. Raises DataFormatError that names entry and field.
    """
    text = _text(data, where)
    fields = omm_fields(text, where)
    if fields is not None:
        found = [_of_fields(each, f"{where}, entry {number}") for number, each in enumerate(fields, 1)]
    else:
        found = [_of_tle(*each) for each in tle_sets(text, where)]
    if not found:
        raise DataFormatError(f"{where}: expected at least one element set, got none; fetch the file anew")
    return found


def select_elements(
    found: Sequence[Elements], *, catalogue_number: int | None = None, at: datetime | None = None
) -> Elements:
    """The one set of a catalogue number; of several, the nearest in time to `at`, or the newest.

    The number may be left out where all sets are of one satellite. Raises ConfigError where the choice is
    open or there is none.
    """
    numbers = sorted({each.catalogue_number for each in found})
    if catalogue_number is None and len(numbers) != 1:
        raise ConfigError(
            f"orbit.catalogue_number: expected the number of one of {len(numbers)} satellites in the file, "
            f"got none; give one of {_some(numbers)}"
        )
    fitting = [each for each in found if catalogue_number in (None, each.catalogue_number)]
    if not fitting:
        raise ConfigError(
            f"orbit.catalogue_number: expected a satellite of the file, got {catalogue_number}; it holds "
            f"{_some(numbers)}"
        )
    if at is None:
        return max(fitting, key=lambda each: each.epoch)
    return min(fitting, key=lambda each: abs(each.epoch - at))


def _some(numbers: Sequence[int]) -> str:
    told = ", ".join(map(str, numbers[:5]))
    return f"{told} and {len(numbers) - 5} more" if len(numbers) > 5 else told


def _text(data: bytes | str, where: str) -> str:
    if isinstance(data, str):
        return data.removeprefix("\ufeff")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataFormatError(
            f"{where}: expected text in UTF-8, got byte 0x{data[error.start]:02x} at {error.start}; save the "
            "file as UTF-8"
        ) from None


def _of_tle(name: str, line_1: str, line_2: str, place: str) -> Elements:
    try:
        check_tle(line_1, line_2)
    except DataFormatError as problem:
        raise DataFormatError(f"{place}: {problem}") from None
    return Elements(
        name=name,
        catalogue_number=tle_catalogue_number(line_1),
        epoch=tle_epoch(line_1),
        orbit=Orbit(tle_line_1=line_1, tle_line_2=line_2),
    )


def _of_fields(fields: Fields, place: str) -> Elements:
    for key, allowed in _MUST_SAY.items():
        got = fields.get(key, "").upper().replace(" ", "")
        if got and got not in allowed:
            raise DataFormatError(
                f"{place}, {key}: expected {' or '.join(allowed)}, got {fields[key]}; only elements of SGP4 "
                "can be carried forward, ask the catalogue for GP data"
            )
    epoch = _epoch(fields, place)
    number = int(_number(fields, "NORAD_CAT_ID", place, least=0, most=999_999_999, default=0))
    return Elements(
        name=fields.get("OBJECT_NAME", ""),
        catalogue_number=number,
        epoch=epoch,
        orbit=Orbit(
            epoch_utc=epoch.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z",
            mean_motion_rad_s=_REV_PER_DAY_RAD_S * _number(fields, "MEAN_MOTION", place, least=0.01, most=18),
            eccentricity=_number(fields, "ECCENTRICITY", place, least=0, most=0.9999999),
            inclination_rad=math.radians(_number(fields, "INCLINATION", place, least=0, most=180)),
            right_ascension_rad=_angle_rad(fields, "RA_OF_ASC_NODE", place),
            argument_of_perigee_rad=_angle_rad(fields, "ARG_OF_PERICENTER", place),
            mean_anomaly_rad=_angle_rad(fields, "MEAN_ANOMALY", place),
            drag_term_per_earth_radius=_number(fields, "BSTAR", place, least=-10, most=10),
        ),
    )


def _angle_rad(fields: Fields, key: str, place: str) -> float:
    return math.radians(_number(fields, key, place, least=-360, most=360))


def _number(
    fields: Fields, key: str, place: str, *, least: float, most: float, default: float | None = None
) -> float:
    got = fields.get(key, "")
    if not got:
        if default is not None:
            return default
        hint = (
            "; SEMI_MAJOR_AXIS is not SGP4's" if key == "MEAN_MOTION" and "SEMI_MAJOR_AXIS" in fields else ""
        )
        raise DataFormatError(f"{place}: expected {key}, got none{hint}; fetch the element set anew")
    try:
        value = float(got)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise DataFormatError(
            f"{place}, {key}: expected a number from {least:g} to {most:g}, got {got}; fetch the element set "
            "anew"
        )
    return value


def _epoch(fields: Fields, place: str) -> datetime:
    got = fields.get("EPOCH", "")
    try:
        year, month, day, day_of_year, hour, minute, second = _EPOCH.fullmatch(got).groups()  # type: ignore[union-attr]
        if day_of_year and not 1 <= int(day_of_year) <= 366:
            raise ValueError("day of the year")
        first = datetime(int(year), int(month or 1), int(day or 1), int(hour), int(minute), tzinfo=UTC)
        return first + timedelta(days=int(day_of_year or 1) - 1, microseconds=round(1e6 * float(second)))
    except (AttributeError, ValueError):
        raise DataFormatError(
            f"{place}, EPOCH: expected UTC such as 2020-04-06T19:53:20.932800, got {got or 'none'}; fetch "
            "the element set anew"
        ) from None
