"""A user's table of passes against the model: a row for each figure given, then bias and scatter by figure.

Each pass is found by its time in the orbit of the named satellite, its figures come from the mean budget and
the default bound of the named satellite and station. Day passes are compared too. No dice.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from satqkd.config import Satellite, Station
from satqkd.errors import ConfigError, DataFormatError, NoPassError
from satqkd.mission import Contact, expected_key, make_contact, presets, site_of
from satqkd.mission.contact import PLANNING_GRID_S
from satqkd.sky import Pass, find_passes, format_utc, orbit_of
from satqkd.validation.csv_lines import place
from satqkd.validation.rows import Array, Number, Row, absolute, relative, row
from satqkd.validation.table import Given, TablePass, read_table

NEAR_S: Final = 600.0
"""How far a table's time may be from the model's: masks differ, and elements are of another day."""
LIGHT: Final = ("detections", "sifted_bits", "qber", "secret_bits")
"""Figures that a calibrated loss enters."""


def compare_table(path: Path) -> list[Row]:
    """Rows of a table's figures in its order, then bias and rms of ln(computed/published) of each figure.

    Raises DataFormatError (file, unknown preset), NoPassError (no such pass); line and column are told.
    """
    passes = read_table(path)
    found = [(given, each) for entry in passes for given, each in _pass_rows(path, entry)]
    return [*(each for _, each in found), *_summary(found)]


def _pass_rows(path: Path, entry: TablePass) -> Iterator[tuple[Given, Row]]:
    satellite, station = _settings(path, entry)
    contact = _contact(path, entry, satellite, station)
    calibrated = f"calibration loss of {station.name}" if station.calibration_loss_db else ""
    for given in entry.given:
        yield (
            given,
            row(
                f"T{entry.line}.{given.column}",
                f"{given.column} of {satellite.name} over {station.name}, "
                f"{format_utc(contact.pass_.culmination)}",
                published=given.published,
                computed=_rounded(_FIGURES[given.figure](contact) / given.scale),
                tolerance=relative(given.published, given.tolerance),
                blind=False,
                source=f"{path.name}, line {entry.line}",
                fitted=calibrated if given.figure in LIGHT else "",
            ),
        )


def _settings(path: Path, entry: TablePass) -> tuple[Satellite, Station]:
    column = "satellite"
    try:
        satellite = _satellite(entry.satellite)
        column = "station"
        return satellite, _station(entry.station)
    except ConfigError as error:
        raise DataFormatError(f"{place(path, entry.line, column)}: {error}") from None


def _contact(path: Path, entry: TablePass, satellite: Satellite, station: Station) -> Contact:
    where = f"{path}, line {entry.line}"
    try:
        return make_contact(
            satellite, station, _nearest_pass(where, entry, satellite, station), step_s=PLANNING_GRID_S
        )
    except NoPassError as error:
        raise NoPassError(str(error) if where in str(error) else f"{where}: {error}") from None


def _nearest_pass(where: str, entry: TablePass, satellite: Satellite, station: Station) -> Pass:
    """The pass whose start or culmination is nearest to the table's."""
    orbit = orbit_of(satellite.orbit)
    passes = find_passes(
        orbit,
        site_of(station),
        entry.at - timedelta(seconds=orbit.period_s),
        duration_s=2 * orbit.period_s,
        minimum_elevation_rad=station.minimum_elevation_rad,
    )

    def off_s(each: Pass) -> float:
        moment = each.culmination if entry.when == "culmination" else each.start
        return abs((moment - entry.at).total_seconds())

    best = min(passes, key=off_s, default=None)
    if best is None or off_s(best) > NEAR_S:
        nearest = "none within a revolution" if best is None else f"the nearest is {off_s(best):.0f} s off"
        raise NoPassError(
            f"{where}: expected a pass of {satellite.name} over {station.name} with its {entry.when} within "
            f"{NEAR_S:.0f} s of {format_utc(entry.at)}, {nearest}; check the time, or give elements of that "
            "day"
        )
    return best


def _summary(found: list[tuple[Given, Row]]) -> Iterator[Row]:
    for figure in dict.fromkeys(given.figure for given, _ in found):
        of_figure = [(given, each) for given, each in found if given.figure == figure]
        ratios = _log_ratios([each for _, each in of_figure])
        if not ratios.size:
            continue
        worst = max(given.tolerance for given, _ in of_figure)
        limit = float(-np.log1p(-worst))
        column = of_figure[0][0].column
        left_out = len(of_figure) - ratios.size
        passes = f"{ratios.size} passes" + (f", {left_out} with 0 left out" if left_out else "")
        for name, value in (("bias", ratios.mean()), ("rms", np.sqrt(np.mean(ratios**2)))):
            yield row(
                f"T.{name}.{column}",
                f"{name} of ln(computed / published) of {column}, {passes}",
                published=0,
                computed=round(float(value), 4),
                tolerance=absolute(0, round(limit, 4), why=f"the widest tolerance of a pass, {worst:g}"),
                blind=False,
                source="the rows above",
                fitted=next((each.fitted for _, each in of_figure if each.fitted), ""),
            )


def _log_ratios(rows: list[Row]) -> Array:
    """Of the rows where both numbers are above 0."""
    pairs = [
        (each.published, each.computed)
        for each in rows
        if each.published and isinstance(each.computed, int | float) and each.computed > 0
    ]
    return np.array([float(np.log(computed / published)) for published, computed in pairs])


_FIGURES: Final[dict[str, Callable[[Contact], Number]]] = {
    "max_elevation_rad": lambda contact: contact.pass_.max_elevation_rad,
    "min_range_m": lambda contact: contact.pass_.min_range_m,
    "duration_s": lambda contact: contact.quantum_end_s,
    "detections": lambda contact: contact.total(contact.rates.detection_hz),
    "sifted_bits": lambda contact: contact.total(contact.rates.sifted_hz),
    "qber": lambda contact: contact.expected_qber,
    "secret_bits": lambda contact: expected_key(contact).secret_bits,
}


def _rounded(value: Number) -> Number:
    return float(f"{value:.7g}")


@cache
def _satellite(name: str) -> Satellite:
    return presets.satellite(name)


@cache
def _station(name: str) -> Station:
    return presets.station(name)
