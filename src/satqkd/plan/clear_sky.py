"""How likely the sky of each site is clear, at every moment of the year.

Rows of tables become probabilities of sites: by name from a table of one's own, else from the nearest place
of the shipped one. Between months they are interpolated so that each month keeps its mean. An expectation
only: nothing is drawn here.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.config.weather import Weather
from satqkd.errors import ConfigError
from satqkd.plan.clear_sky_table import Climate, read_table, shipped_table
from satqkd.sky import Site

Column = NDArray[np.float64]
EARTH_MEAN_RADIUS_M: Final = 6_371_008.8  # IUGG, (2a + b) / 3 of WGS 84


class ClearSky(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Probabilities of n sites, in the order in which they were given."""

    names: tuple[str, ...]
    latitude_rad: Column
    longitude_rad: Column
    monthly: NDArray[np.float64]
    """Means of calendar months, January first, shape (n, 12)."""
    rows: tuple[Climate | None, ...]
    """What each site's probabilities were taken from; None: `default_clear`."""

    def __post_init__(self) -> None:
        n = len(self.names)
        shapes = (self.latitude_rad.shape, self.longitude_rad.shape, self.monthly.shape, len(self.rows))
        if shapes != ((n,), (n,), (n, 12), n) or len(set(self.names)) != n:
            raise ConfigError(
                f"clear sky: expected {n} different names with a position, a row and 12 months each, got "
                f"{len(set(self.names))} names and shapes {shapes}; give one of each a site"
            )
        if not ((self.monthly >= 0) & (self.monthly <= 1)).all():
            raise ConfigError(
                "clear sky: expected probabilities from 0 to 1, got others; see docs/weather.md"
            )

    def availability(self, epoch: datetime, t_s: ArrayLike) -> NDArray[np.float64]:
        r"""Probability that each site is clear, shape (n, m).

        t_s: seconds after `epoch`, shape (m,). With a month's mean p, its neighbours' p', p'' and the part u
        of the month that is over, linear from a to b in the first half and from b to c in the second,

        .. math::  a = [(p' + p)/2], \quad c = [(p + p'')/2], \quad b = 2p - (a + c)/2,

        where the bracket is held between 2p - 1 and 2p, and between 0 and 1. The mean over the month,
        (a + 2b + c)/4, is p exactly, and no value leaves [0, 1]. It is continuous where of p and p',
        and of 1 - p and 1 - p', neither is more than three times the other; else it jumps at the month's end.
        Raises ConfigError for an epoch without time zone.
        """
        month, u = _part_of_month(epoch, np.asarray(t_s, dtype=np.float64))
        first, middle, last = (each[:, month] for each in self._nodes())
        early = first + (middle - first) * (2 * u)
        late = middle + (last - middle) * (2 * u - 1)
        return np.clip(np.where(u < 0.5, early, late), 0.0, 1.0)

    def _nodes(self) -> tuple[NDArray[np.float64], ...]:
        """Values at the beginning, the middle and the end of each month, (n, 12) each."""
        p = self.monthly
        low, high = np.maximum(2 * p - 1, 0), np.minimum(2 * p, 1)
        first = np.clip((np.roll(p, 1, axis=1) + p) / 2, low, high)
        last = np.clip((p + np.roll(p, -1, axis=1)) / 2, low, high)
        return first, 2 * p - (first + last) / 2, last


def clear_sky(sites: Mapping[str, Site], weather: Weather, *, folder: Path = Path()) -> ClearSky:
    """Probabilities of sites by the names of their stations.

    Of each site, the first that there is: the row of its name in `weather.table` (a path from `folder`); the
    nearest place of the shipped table within `weather.nearest_m`; `weather.default_clear` all year.
    Raises DataFormatError for a table that cannot be read, ConfigError for a site without any of the three,
    naming the nearest place, and for one whose own row lies farther away than `nearest_m`.
    """
    own = read_table(folder / weather.table) if weather.table is not None else ()
    rows = tuple(_row(name, site, weather, own) for name, site in sites.items())
    clear = [(weather.default_clear,) * 12 if row is None else row.clear for row in rows]
    return ClearSky(
        names=tuple(sites),
        latitude_rad=np.array([site.latitude_rad for site in sites.values()], dtype=np.float64),
        longitude_rad=np.array([site.longitude_rad for site in sites.values()], dtype=np.float64),
        monthly=np.array(clear, dtype=np.float64).reshape(-1, 12),
        rows=rows,
    )


def distances_m(latitude_rad: ArrayLike, longitude_rad: ArrayLike) -> NDArray[np.float64]:
    """Great-circle distances of n places on a sphere of the Earth's mean radius, (n, n), to 0.6 per cent."""
    latitude, longitude = np.asarray(latitude_rad, float), np.asarray(longitude_rad, float)
    up = np.array(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
    )
    chord = np.linalg.norm(up[:, :, None] - up[:, None, :], axis=0)
    return np.asarray(2 * EARTH_MEAN_RADIUS_M * np.arcsin(np.minimum(chord / 2, 1.0)))


def _row(name: str, site: Site, weather: Weather, own: Sequence[Climate]) -> Climate | None:
    named = next((place for place in own if place.name == name), None)
    if named is not None:
        away_m = _away_m(site, [named])[0]
        if away_m > weather.nearest_m:
            raise ConfigError(
                f"weather.table: expected the row {name!r} within {weather.nearest_m / 1e3:g} km of that "
                f"station, got one {away_m / 1e3:.0f} km away; correct its place, or raise weather.nearest_km"
            )
        return named
    shipped = shipped_table()
    away_m = _away_m(site, shipped)
    nearest = int(np.argmin(away_m))
    if away_m[nearest] <= weather.nearest_m:
        return shipped[nearest]
    if weather.default_clear is not None:
        return None
    raise ConfigError(
        f"weather: expected probabilities of a clear sky for {name!r}, got no row of that name and no place "
        f"within {weather.nearest_m / 1e3:g} km: the nearest, {shipped[nearest].name}, is "
        f"{away_m[nearest] / 1e3:.0f} km away; add a row to a table and name it in weather.table, or give "
        "weather.nearest_km or weather.default_clear"
    )


def _away_m(site: Site, places: Sequence[Climate]) -> Column:
    latitude = [site.latitude_rad, *(place.latitude_rad for place in places)]
    longitude = [site.longitude_rad, *(place.longitude_rad for place in places)]
    return distances_m(latitude, longitude)[0, 1:]


def _part_of_month(epoch: datetime, t_s: Column) -> tuple[NDArray[np.intp], Column]:
    """Calendar month (January 0) of each moment, and the part of it in [0, 1) that is over, to 1 us."""
    if epoch.tzinfo is None:
        raise ConfigError(f"weather: expected an epoch with a time zone, got {epoch.isoformat()}; give UTC")
    begin = np.datetime64(epoch.astimezone(UTC).replace(tzinfo=None), "us")
    moment = begin + np.rint(1e6 * t_s).astype("timedelta64[us]")
    month = moment.astype("datetime64[M]")
    first, following = month.astype("datetime64[us]"), (month + 1).astype("datetime64[us]")
    return month.astype(np.intp) % 12, (moment - first) / (following - first)
