"""Where stations are: tables of places, and ships that sail from one to the next. Reads tables, no clock."""

import csv
import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.config import Waypoint
from satqkd.errors import ConfigError, DataFormatError
from satqkd.sky import Site, parse_utc

Floats = NDArray[np.float64]

LEG_S: Final = 3 * 3600.0
"""A ship is taken to lie still so long, in the middle of the leg: at 10 m/s it is 54 km off at its ends."""
_MUST: Final = ("name", "latitude_deg", "longitude_deg")
_MAY: Final = ("altitude_m", "preset")


class Place(msgspec.Struct, frozen=True):
    """A row of a table of places."""

    name: str
    latitude_rad: float
    longitude_rad: float
    altitude_m: float | None = None
    preset: str | None = None


class Leg(NamedTuple):
    """A stretch of time, seconds after some epoch, and where a station is in it."""

    from_s: float
    to_s: float
    site: Site


def read_places(path: Path) -> list[Place]:
    """The rows of a CSV table: name, latitude_deg, longitude_deg, and altitude_m, preset where it has them.

    Raises ConfigError where it cannot be read, DataFormatError naming line and column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a table of places ({error})") from None
    found = [_place(row, f"{path}, line {number}") for number, row in enumerate(rows, 2)]
    if not found:
        raise DataFormatError(f"{path}: expected a row for each place below a line of names, got none")
    return found


def _place(row: dict[str, str], where: str) -> Place:
    unknown = [str(name) for name in row if name not in _MUST + _MAY]
    missing = [name for name in _MUST if not row.get(name)]
    if unknown or missing:
        raise DataFormatError(
            f"{where}: expected the columns {', '.join(_MUST)} and perhaps {', '.join(_MAY)}; "
            f"missing: {', '.join(missing) or 'none'}, unknown: {', '.join(unknown) or 'none'}"
        )
    latitude, longitude = (
        _number(row, name, limit, where) for name, limit in zip(_MUST[1:], (90, 180), strict=True)
    )
    altitude = _number(row, "altitude_m", 9000, where) if row.get("altitude_m") else None
    return Place(
        row["name"], math.radians(latitude), math.radians(longitude), altitude, row.get("preset") or None
    )


def _number(row: dict[str, str], name: str, limit: float, where: str) -> float:
    try:
        value = float(row[name])
    except ValueError:
        value = math.nan
    if not abs(value) <= limit:
        raise DataFormatError(
            f"{where}: {name}: expected a number from {-limit:g} to {limit:g}, got {row[name]!r}"
        )
    return value


def legs_of(
    track: Sequence[Waypoint], altitude_m: float, epoch: datetime, duration_s: float
) -> Iterator[Leg]:
    """A ship's legs in a window that begins at `epoch`; before its first waypoint and after its last it lies
    still.

    Raises ConfigError for waypoints that are not in order of time.
    """
    times_s = np.array([(parse_utc(each.utc) - epoch).total_seconds() for each in track])
    if not (np.diff(times_s) > 0).all():
        raise ConfigError(
            "station.track: expected waypoints in order of time, got one that is not; sort them"
        )
    points = np.array([_unit(each.latitude_rad, each.longitude_rad) for each in track])
    for from_s in np.arange(0.0, duration_s, LEG_S).tolist():
        to_s = min(from_s + LEG_S, duration_s)
        latitude_rad, longitude_rad = _between(times_s, points, (from_s + to_s) / 2)
        yield Leg(
            from_s,
            to_s,
            Site(latitude_rad=latitude_rad, longitude_rad=longitude_rad, altitude_m=altitude_m),
        )


def _unit(latitude_rad: float, longitude_rad: float) -> tuple[float, float, float]:
    flat = math.cos(latitude_rad)
    return flat * math.cos(longitude_rad), flat * math.sin(longitude_rad), math.sin(latitude_rad)


def _between(times_s: Floats, points: Floats, t_s: float) -> tuple[float, float]:
    """Latitude and longitude on the great circle between the waypoints around a time."""
    k = int(np.clip(np.searchsorted(times_s, t_s) - 1, 0, len(times_s) - 2))
    share = float(np.clip((t_s - times_s[k]) / (times_s[k + 1] - times_s[k]), 0.0, 1.0))
    one, two = points[k], points[k + 1]
    angle = math.acos(float(np.clip(one @ two, -1.0, 1.0)))
    if angle < 1e-12:
        x, y, z = one
    else:
        x, y, z = (math.sin((1 - share) * angle) * one + math.sin(share * angle) * two) / math.sin(angle)
    return math.atan2(z, math.hypot(x, y)), math.atan2(y, x)


def window_of(leg: Leg, epoch: datetime) -> tuple[datetime, float]:
    """Begin and length of a leg."""
    return epoch + timedelta(seconds=leg.from_s), leg.to_s - leg.from_s
