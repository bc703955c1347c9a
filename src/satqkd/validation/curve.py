"""V2 on the published loss curve itself, for users who hold it: no formula between curve and counts.

The curve is loss against range, without the detector, digitised from Liao et al., Nature 549, 43 (2017); it
is not shipped here. Its file is a CSV with the header `range_km,loss_db`; lines that begin with # are
comments.
"""

from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.errors import DataFormatError
from satqkd.mission import Contact
from satqkd.optics import expected_rates
from satqkd.optics.decibel import fraction_of_db
from satqkd.validation import micius
from satqkd.validation.csv_lines import csv_lines, place, read_number
from satqkd.validation.rows import Row

HEADER = ("range_km", "loss_db")
SOURCE = f"{micius.PAPER}; loss from the digitised curve that was given, detector from the preset"


class LossCurve(NamedTuple):
    """Loss by range, ranges ascending."""

    range_m: NDArray[np.float64]
    loss_db: NDArray[np.float64]


def read_loss_curve(path: Path) -> LossCurve:
    """The curve of a file. Raises DataFormatError with line and column."""
    lines = csv_lines(path)
    number, header = lines[0]
    if tuple(header) != HEADER:
        raise DataFormatError(
            f"{path}, line {number}: expected the header {','.join(HEADER)}, got {','.join(header)}"
        )
    values = np.array(
        [
            [read_number(cell, place(path, line, name)) for name, cell in zip(HEADER, cells, strict=True)]
            for line, cells in lines[1:]
        ]
    ).reshape(-1, 2)
    if len(values) < 2 or (np.diff(values[:, 0]) <= 0).any():
        raise DataFormatError(
            f"{path}: expected at least two rows with rising {HEADER[0]}; sort them by range"
        )
    return LossCurve(1e3 * values[:, 0], values[:, 1])


def rows(curve: LossCurve) -> list[Row]:
    """V2 once more, on the curve."""
    contact = on_curve(micius.published_pass(), curve)
    return [
        _on_curve("V2e", micius.detections(contact)),
        _on_curve("V2f", micius.sifted(contact)),
        _on_curve("V2g", micius.nearest_rate(contact)),
        _on_curve("V2h", micius.farthest_rate(contact)),
    ]


def on_curve(contact: Contact, curve: LossCurve) -> Contact:
    """The contact with the curve's loss in place of the budget's; noise and errors stay."""
    loss_db = np.interp(contact.look.range_m, curve.range_m, curve.loss_db)
    losses = msgspec.structs.replace(
        contact.losses,
        total_db=loss_db + contact.losses.detector_db,
        transmittance=fraction_of_db(loss_db),
    )
    rates = expected_rates(losses, satellite=contact.satellite, station=contact.station)
    course = msgspec.structs.replace(contact.course, losses=losses, rates=rates)
    return msgspec.structs.replace(contact, course=course)


def _on_curve(row_id: str, row: Row) -> Row:
    return msgspec.structs.replace(row, id=row_id, what=f"{row.what}, on the curve", source=SOURCE, fitted="")
