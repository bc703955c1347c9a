"""Tables of passes that users hold: a CSV, a pass a line, any subset of the known figures.

Columns are `satellite`, `station`, `start_utc` or `culmination_utc`, and figures whose unit stands in the
name; a `..._tolerance` column beside a figure says how near is near enough, relative. Parses and checks;
knows no model. `docs/validation.md` is the description for users.
"""

from datetime import datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from satqkd.config.loader import UNITS
from satqkd.errors import ConfigError, DataFormatError, nearest
from satqkd.sky import parse_utc
from satqkd.validation.csv_lines import csv_lines, place, read_number
from satqkd.validation.rows import Number

NAMES: Final = ("satellite", "station")
TIMES: Final = ("start_utc", "culmination_utc")
SUFFIX: Final = "_tolerance"
DEFAULT_TOLERANCES: Final[dict[str, Number]] = {
    "max_elevation_rad": 0.02,
    "min_range_m": 0.02,
    "duration_s": 0.05,
    "detections": 0.5,
    "sifted_bits": 0.5,
    "qber": 0.3,
    "secret_bits": 0.6,
}
"""Figures by their name in SI, and what is near enough where the table does not say."""

When = Literal["start", "culmination"]


class Given(msgspec.Struct, frozen=True):
    """One figure of one pass."""

    column: str
    """As the table writes it, with its unit."""
    figure: str
    """In SI."""
    scale: Number
    """Of the column's unit, in SI."""
    published: Number
    """In the column's unit."""
    tolerance: Number


class TablePass(msgspec.Struct, frozen=True):
    """One line of a table."""

    line: int
    satellite: str
    station: str
    at: datetime
    when: When
    """What `at` is of the pass."""
    given: tuple[Given, ...]


class _Column(NamedTuple):
    name: str
    figure: str
    scale: Number


def read_table(path: Path) -> list[TablePass]:
    """The passes of a file. Raises DataFormatError with line and column."""
    (header_line, header), *lines = csv_lines(path)
    figures = _figure_columns(path, header_line, header)
    if not lines:
        raise DataFormatError(f"{path}: expected at least one pass below the header, got none")
    return [_pass(path, line, dict(zip(header, cells, strict=True)), figures) for line, cells in lines]


def known_columns() -> dict[str, tuple[str, Number]]:
    """Names of figure columns, with the figure in SI and the unit's size."""
    known: dict[str, tuple[str, Number]] = {}
    for figure in DEFAULT_TOLERANCES:
        base = next((base for base in ("rad", "m", "s") if figure.endswith(f"_{base}")), None)
        if base is None:
            known[figure] = (figure, 1)
            continue
        stem = figure.removesuffix(base)
        known |= {stem + unit: (figure, scale) for unit, scale in UNITS[base].items()}
    return known


def _figure_columns(path: Path, line: int, header: list[str]) -> list[_Column]:
    known = known_columns()
    allowed = [*NAMES, *TIMES, *known, *(name + SUFFIX for name in known)]
    for name in header:
        if name not in allowed:
            hint = nearest(name, allowed) or f"known: {', '.join(sorted(known))}"
            raise DataFormatError(
                f"{path}, line {line}: unknown column {name!r}; {hint} (the unit stands in the name)"
            )
        if header.count(name) > 1:
            raise DataFormatError(f"{path}, line {line}: column {name} stands there twice; keep one")
    missing = [name for name in NAMES if name not in header]
    if missing or not set(TIMES) & set(header):
        raise DataFormatError(
            f"{path}, line {line}: expected the columns satellite, station and start_utc or culmination_utc, "
            f"got {', '.join(header)}; add what is missing"
        )
    columns = [_Column(name, *known[name]) for name in header if name in known]
    _check_figures(path, line, header, columns)
    return columns


def _check_figures(path: Path, line: int, header: list[str], columns: list[_Column]) -> None:
    if not columns:
        raise DataFormatError(
            f"{path}, line {line}: expected at least one figure to compare, got none; known: "
            f"{', '.join(sorted(known_columns()))}"
        )
    figures = [column.figure for column in columns]
    for column in columns:
        if figures.count(column.figure) > 1:
            raise DataFormatError(
                f"{path}, line {line}: {column.name} is given twice, in two units; keep one column"
            )
    names = [column.name for column in columns]
    for name in header:
        if name.endswith(SUFFIX) and name.removesuffix(SUFFIX) not in names:
            raise DataFormatError(
                f"{path}, line {line}: column {name} has no column {name.removesuffix(SUFFIX)} beside it; "
                "give the figure too"
            )


def _pass(path: Path, line: int, cells: dict[str, str], columns: list[_Column]) -> TablePass:
    for name in NAMES:
        if not cells[name]:
            raise DataFormatError(
                f"{place(path, line, name)}: expected a preset's name or a TOML path, got ''"
            )
    when: When = "culmination" if cells.get("culmination_utc") else "start"
    column = f"{when}_utc"
    try:
        at = parse_utc(cells.get(column, ""))
    except ConfigError as error:
        raise DataFormatError(f"{place(path, line, column)}: {error}") from None
    return TablePass(
        line=line,
        satellite=cells["satellite"],
        station=cells["station"],
        at=at,
        when=when,
        given=tuple(_given(path, line, cells, each) for each in columns if cells[each.name]),
    )


def _given(path: Path, line: int, cells: dict[str, str], column: _Column) -> Given:
    published = read_number(cells[column.name], place(path, line, column.name))
    if column.figure == "qber" and published > 0.5:
        raise DataFormatError(
            f"{place(path, line, column.name)}: expected a share of 0.5 or less, got {published:g}; "
            "write 1.1 % as 0.011"
        )
    name = column.name + SUFFIX
    tolerance: Number = DEFAULT_TOLERANCES[column.figure]
    if cells.get(name):
        tolerance = read_number(cells[name], place(path, line, name))
        if not 0 < tolerance < 1:
            raise DataFormatError(
                f"{place(path, line, name)}: expected a share above 0 and below 1, got {tolerance:g}; "
                "write 30 % as 0.3"
            )
    return Given(column.name, column.figure, column.scale, published, tolerance)
