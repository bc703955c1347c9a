"""Two-line element sets: finding them in a text, and their columns, character by character.

The SGP4 library reads what it can of a damaged line; here every column is checked and the message
says which one is wrong. Reads no file.
Source: Space-Track, "Basic Description of the Two Line Element (TLE) Format".
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from satqkd.errors import DataFormatError

LINE_LENGTH: Final = 69
_LONGEST_NAME: Final = 60  # catalogues use 24; any line of a set is longer


class _Field(NamedTuple):
    first: int  # columns count from 1, both ends included
    last: int
    name: str
    form: str  # regular expression of exactly these columns
    example: str


_SATELLITE: Final = _Field(3, 7, "catalogue number", r"[ \dA-HJ-NP-Z][ \d]{3}\d", "41731")
_BLANK: Final = " "


def _angle(first: int, name: str) -> _Field:
    return _Field(first, first + 7, name, r"[ \d]{3}\.\d{4}", " 97.3698")


_LINE_1: Final = (
    _Field(1, 1, "line number", "1", "1"),
    _SATELLITE,
    _Field(8, 8, "classification", "[UCS ]", "U"),
    _Field(10, 17, "international designator", r"[ \dA-Z]{8}", "16051A  "),
    _Field(19, 20, "epoch year", r"\d\d", "16"),
    _Field(21, 32, "epoch day", r"[ \d]{2}\d\.\d{8}", "354.56913372"),
    _Field(34, 43, "first derivative of mean motion", r"[ +-][ 0]?\.\d{8}", " .00000384"),
    _Field(45, 52, "second derivative of mean motion", r"[ +-]\d{5}[ +-]\d", " 00000-0"),
    _Field(54, 61, "drag term", r"[ +-]\d{5}[ +-]\d", " 18801-4"),
    _Field(63, 63, "ephemeris type, SGP4", "[ 02]", "0"),
    _Field(65, 68, "element set number", r"[ \d]{4}", " 999"),
    _Field(69, 69, "checksum", r"\d", "1"),
)
_LINE_2: Final = (
    _Field(1, 1, "line number", "2", "2"),
    _SATELLITE,
    _angle(9, "inclination"),
    _angle(18, "right ascension of the node"),
    _Field(27, 33, "eccentricity", r"\d{7}", "0013349"),
    _angle(35, "argument of perigee"),
    _angle(44, "mean anomaly"),
    _Field(53, 63, "mean motion", r"[ \d]\d\.\d{8}", "15.23916091"),
    _Field(64, 68, "revolution number", r"[ \d]{5}", " 1916"),
    _Field(69, 69, "checksum", r"\d", "4"),
)


def check_tle(line_1: str, line_2: str) -> None:
    """Pass in silence, or raise DataFormatError naming the line, the columns, what they must hold."""
    for number, line, fields in ((1, line_1, _LINE_1), (2, line_2, _LINE_2)):
        _check_length(number, line)
        for field in fields:
            _check_field(number, line, field)
        _check_blanks(number, line, fields)
        _check_sum(number, line)
    if line_1[2:7] != line_2[2:7]:
        raise DataFormatError(
            f"TLE line 2, columns 3-7 (catalogue number): expected {line_1[2:7]!r} as in line 1, "
            f"got {line_2[2:7]!r}; take both lines from one element set"
        )
    _check_values(line_1, line_2)


def tle_sets(text: str, where: str) -> Iterator[tuple[str, str, str, str]]:
    """Name (may be empty), both lines, and the place, of each set in a text of two or three lines a set.

    The lines are not checked yet. Raises DataFormatError where a line has no partner.
    """
    name, first, place = "", "", ""
    for number, line in enumerate(text.splitlines(), 1):
        is_second = line.startswith("2 ") and len(line.rstrip()) > _LONGEST_NAME
        if bool(first) != is_second:
            expected = "line 2 of the set begun before" if first else "line 1 of a set before its line 2"
            raise DataFormatError(
                f"{where}, line {number}: expected {expected}, got {line!r}; give TLE text, or OMM as JSON, "
                "XML, KVN or CSV"
            )
        if is_second:
            yield name, first, line.rstrip(), place
            name, first = "", ""
        elif line.startswith("1 ") and len(line.rstrip()) > _LONGEST_NAME:
            first, place = line.rstrip(), f"{where}, set from line {number}"
        elif line.strip():
            _check_name(name, line, f"{where}, line {number}")
            name = line.removeprefix("0 ").strip()
    if first or name:
        raise DataFormatError(
            f"{where}: expected a set of two lines at its end, got {first or name!r} alone; fetch the file "
            "anew"
        )


def tle_catalogue_number(line_1: str) -> int:
    """NORAD number of a checked line; letters of the Alpha-5 scheme count from A = 10, without I and O."""
    first, rest = line_1[2], line_1[3:7]
    if first.isalpha():
        return 10_000 * (10 + "ABCDEFGHJKLMNPQRSTUVWXYZ".index(first)) + int(rest)
    return int(line_1[2:7])


def tle_epoch(line_1: str) -> datetime:
    """Epoch of a checked line; years count from 1957 to 2056."""
    year = int(line_1[18:20])
    first = datetime(year + (2000 if year < 57 else 1900), 1, 1, tzinfo=UTC)
    return first + timedelta(days=float(line_1[20:32]) - 1)


def checksum(line: str) -> int:
    """Last digit of the sum of the first 68 columns, a minus counting one (Space-Track)."""
    return sum(int(c) if c.isdigit() else c == "-" for c in line[: LINE_LENGTH - 1]) % 10


def _check_name(before: str, line: str, place: str) -> None:
    if before or len(line.rstrip()) > _LONGEST_NAME:
        raise DataFormatError(
            f"{place}: expected line 1 of a set, or its name of at most {_LONGEST_NAME} characters before "
            f"it, got {line!r}; give TLE text, or OMM as JSON, XML, KVN or CSV"
        )


def _check_length(number: int, line: str) -> None:
    if len(line) != LINE_LENGTH or not line.isascii():
        raise DataFormatError(
            f"TLE line {number}: expected {LINE_LENGTH} ASCII columns, got {len(line)}: {line!r}; "
            "copy the line with all its blanks"
        )


def _check_field(number: int, line: str, field: _Field) -> None:
    got = line[field.first - 1 : field.last]
    if not re.fullmatch(field.form, got):
        raise DataFormatError(
            f"TLE line {number}, {_columns(field)} ({field.name}): expected a form like "
            f"{field.example!r}, got {got!r}; copy the line anew"
        )


def _check_blanks(number: int, line: str, fields: tuple[_Field, ...]) -> None:
    held = {column for field in fields for column in range(field.first, field.last + 1)}
    for column in range(1, LINE_LENGTH + 1):
        if column not in held and line[column - 1] != _BLANK:
            raise DataFormatError(
                f"TLE line {number}, column {column}: expected a blank, got {line[column - 1]!r}; "
                "the fields of the line are shifted or joined, copy it anew"
            )


def _check_sum(number: int, line: str) -> None:
    if checksum(line) != int(line[-1]):
        raise DataFormatError(
            f"TLE line {number}, column {LINE_LENGTH} (checksum): expected {checksum(line)} from the columns "
            f"before it, got {line[-1]}; a character of the line was changed, copy it anew"
        )


def _check_values(line_1: str, line_2: str) -> None:
    limits = (
        (1, 21, 32, "epoch day", line_1, 1.0, 367.0),
        (2, 9, 16, "inclination", line_2, 0.0, 180.0),
        (2, 53, 63, "mean motion", line_2, 0.01, 18.0),
    )
    for number, first, last, name, line, low, high in limits:
        value = float(line[first - 1 : last])
        if not low <= value <= high:
            raise DataFormatError(
                f"TLE line {number}, columns {first}-{last} ({name}): expected {low:g} to {high:g}, "
                f"got {value:g}; look up the element set anew"
            )


def _columns(field: _Field) -> str:
    return f"column {field.first}" if field.first == field.last else f"columns {field.first}-{field.last}"
