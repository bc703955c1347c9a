"""Tables of the probability of a clear sky by place and month: reading them, with the place of each error.

A table is CSV in UTF-8: a row of names of columns, in any order, then a row a place; lines that begin with
`#` and empty lines are passed over. Columns and the shipped table's origin: `docs/weather.md`. Knows no
station and no time.
"""

import csv
import typing
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from satqkd.config.loader import Mark
from satqkd.errors import DataFormatError, nearest

MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
COLUMNS: Final = ("name", "latitude_deg", "longitude_deg", *MONTHS, "evidence", "source")
SHIPPED: Final = "clear_sky.csv"
_MARKS: Final = typing.get_args(Mark)


class Climate(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a table: a place and how often its sky is clear, month by month."""

    name: str
    latitude_rad: float
    """Geodetic, north positive."""
    longitude_rad: float
    """East positive."""
    clear: tuple[float, ...]
    """Probabilities of a clear sky, January to December."""
    evidence: Mark
    source: str


@cache
def shipped_table() -> tuple[Climate, ...]:
    """The table that comes with the software, `clear_sky.csv`: example numbers."""
    return parse_table(files("satqkd.plan").joinpath(SHIPPED).read_text(encoding="utf-8"), SHIPPED)


def read_table(path: Path) -> tuple[Climate, ...]:
    """The places of a CSV file, in its order.

    Raises DataFormatError naming line and column for what is not as `docs/weather.md` says.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataFormatError(
            f"{path}: no such file; give a CSV of clear-sky probabilities (docs/weather.md)"
        ) from None
    except UnicodeDecodeError as error:
        raise DataFormatError(f"{path}: expected UTF-8 text, got {error}; save it as CSV in UTF-8") from None
    except OSError as error:
        raise DataFormatError(
            f"{path}: cannot be read ({error.strerror}); mend that or name another"
        ) from None
    return parse_table(text, str(path))


def parse_table(text: str, where: str) -> tuple[Climate, ...]:
    """`read_table` of a text; `where` names its file in messages."""
    lines = _lines(text, where)
    _, header = next(lines, (0, []))
    _check_header(header, where)
    places: dict[str, Climate] = {}
    for number, cells in lines:
        place = _Row(f"{where}, line {number}", header, cells).place()
        if place.name in places:
            raise DataFormatError(
                f"{where}, line {number}, column name: expected each place once, got {place.name!r} again; "
                "keep one of its rows"
            )
        places[place.name] = place
    if not places:
        raise DataFormatError(f"{where}: expected a row a place below the header, got none; add one")
    return tuple(places.values())


def _lines(text: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line that says something."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            yield number, [cell.strip() for cell in next(csv.reader([line], strict=True))]
        except csv.Error as error:
            raise DataFormatError(
                f"{where}, line {number}: expected cells between commas, got {error}; mend its quotes"
            ) from None


def _check_header(header: Sequence[str], where: str) -> None:
    missing = [name for name in COLUMNS if name not in header]
    unknown = [name for name in header if name not in COLUMNS]
    if unknown:
        near = nearest(unknown[0], COLUMNS) or f"the columns are {', '.join(COLUMNS)}"
        raise DataFormatError(f"{where}: unknown column {unknown[0]!r}; {near}")
    if missing or len(set(header)) != len(header):
        wrong = f"no {', '.join(missing)}" if missing else "one twice"
        raise DataFormatError(f"{where}: expected the columns {', '.join(COLUMNS)} once each, got {wrong}")


class _Row:
    """The cells of a line by column; `where` names file and line."""

    def __init__(self, where: str, header: Sequence[str], cells: Sequence[str]) -> None:
        if len(cells) != len(header):
            raise DataFormatError(
                f"{where}: expected {len(header)} cells, got {len(cells)}; quote a cell that holds a comma"
            )
        self.where, self.cells = where, dict(zip(header, cells, strict=True))

    def place(self) -> Climate:
        """Checked, in SI units."""
        for name in ("name", "source"):
            if not self.cells[name]:
                raise self._error(name, "text")
        if self.cells["evidence"] not in _MARKS:
            raise self._error("evidence", f"one of {', '.join(_MARKS)}")
        return Climate(
            name=self.cells["name"],
            latitude_rad=float(np.radians(self._number("latitude_deg", -90, 90, "degrees"))),
            longitude_rad=float(np.radians(self._number("longitude_deg", -180, 180, "degrees"))),
            clear=tuple(self._number(m, 0, 1, "a probability, 0.42 for 42 per cent,") for m in MONTHS),
            evidence=self.cells["evidence"],  # type: ignore[arg-type]
            source=self.cells["source"],
        )

    def _number(self, column: str, low: float, high: float, meaning: str) -> float:
        try:
            value = float(self.cells[column])
        except ValueError:
            value = np.nan
        if not low <= value <= high:
            raise self._error(column, f"{meaning} from {low} to {high}")
        return value

    def _error(self, column: str, wanted: str) -> DataFormatError:
        return DataFormatError(
            f"{self.where}, column {column}: expected {wanted}, got {self.cells[column]!r}; correct the cell"
        )
