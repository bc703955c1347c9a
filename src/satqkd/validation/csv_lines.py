"""CSV files of users, line by line, with the place of everything that can be wrong. Knows no columns."""

import csv
import io
import math
from pathlib import Path

from satqkd.errors import DataFormatError

MAXIMUM_BYTES = 16 << 20
"""What a file may make this program read."""


def csv_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Line numbers and cells, header first; comments (#) and empty lines left out, cells without blanks.

    Raises DataFormatError: no such file, no UTF-8, too large, no header, a line with more or fewer cells.
    """
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        lines = [
            (reader.line_num, [cell.strip() for cell in cells])
            for cells in reader
            if any(cell.strip() for cell in cells) and not cells[0].lstrip().startswith("#")
        ]
    except csv.Error as error:
        raise DataFormatError(f"{path}, line {reader.line_num}: expected CSV, got {error}") from None
    if not lines:
        raise DataFormatError(f"{path}: expected a header line with the names of the columns, got nothing")
    width = len(lines[0][1])
    for number, cells in lines:
        if len(cells) != width:
            raise DataFormatError(
                f"{path}, line {number}: expected {width} cells as in the header, got {len(cells)}"
            )
    return lines


def place(path: Path, line: int, column: str) -> str:
    """Where a cell stands, for messages."""
    return f"{path}, line {line}, column {column}"


def read_number(cell: str, where: str) -> float:
    """A finite number that is not negative. Raises DataFormatError."""
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise DataFormatError(
            f"{where}: expected a number, 0 or more, got {cell!r}; leave out what is unknown"
        )
    return value


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise DataFormatError(f"{path}: expected at most {MAXIMUM_BYTES >> 20} MiB; split the file")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataFormatError(
            f"{path}: cannot be read ({error.strerror}); give the path of a CSV file"
        ) from None
    except UnicodeDecodeError as error:
        raise DataFormatError(f"{path}, byte {error.start}: expected UTF-8 text") from None
