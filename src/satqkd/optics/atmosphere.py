"""Atmosphere: what clear air takes from a beam on its way down.

One number describes the air, the optical depth at the zenith in the beam's band; how a slant path
multiplies it is the airmass. The optical depth is given, or comes from a shipped table by wavelength,
visibility and site altitude. Mean extinction only: no turbulence, no cloud, no refraction of the path.
Sources: Kasten & Young, Appl. Opt. 28, 4735 (1989), eq. 3 and table II; 6SV1.1, Vermote et al., IEEE Trans.
Geosci. Remote Sens. 35, 675 (1997) (`optical_depth.csv`, made by `builders/optical_depth_6s.py`);
Rec. ITU-R P.1622-0, annex 1, section 3.1.
"""

from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.errors import ConfigError

Array = NDArray[np.float64]

_TABLE: Final = "optical_depth.csv"
_NM: Final = 1e-9
_KM: Final = 1e3
_UM_PER_M: Final = 1e6
_DB_PER_NEPER: Final = 10 / np.log(10)
_MIE_ELEVATION_RAD: Final = np.pi / 4
"""Below 45 degrees P.1622 gives no figure."""


def airmass(elevation_rad: ArrayLike) -> Array:
    r"""Relative optical airmass, 1 at the zenith to 5e-4.

    .. math::  X = \frac{1}{\sin h + 0.50572\,(h_\circ + 6.07995)^{-1.6364}}

    with the elevation h, in degrees where the degree sign stands. elevation_rad: true of any shape;
    returns that shape. Below the horizon there is no path: infinity.
    """
    h = np.asarray(elevation_rad, dtype=np.float64)
    above = np.maximum(h, 0.0)
    curved = 1 / (np.sin(above) + 0.50572 * (np.degrees(above) + 6.07995) ** -1.6364)
    return np.where(h < 0, np.inf, curved)


def atmosphere_transmittance(elevation_rad: ArrayLike, *, zenith_optical_depth: float) -> Array:
    r"""Fraction of the beam that clear air lets through, :math:`T = e^{-\tau X(h)}`.

    elevation_rad: any shape; returns that shape, values in [0, 1], 0 below the horizon.
    """
    X = airmass(elevation_rad)
    open_path = np.isfinite(X)
    return np.where(open_path, np.exp(-zenith_optical_depth * np.where(open_path, X, 0.0)), 0.0)


class ZenithDepths(NamedTuple):
    """Optical depths at the zenith, arrays of one shape; their sum is the whole."""

    rayleigh: Array
    """Scattering by molecules."""
    aerosol: Array
    """Scattering and absorption by haze and dust."""
    gas: Array
    """Absorption by water vapour, oxygen, ozone and carbon dioxide."""


def zenith_optical_depth(wavelength_m: ArrayLike, *, visibility_m: ArrayLike, altitude_m: ArrayLike) -> Array:
    """Optical depth of clear air above a station, at the zenith; the sum of `zenith_depths`."""
    depths = zenith_depths(wavelength_m, visibility_m=visibility_m, altitude_m=altitude_m)
    return np.asarray(depths.rayleigh + depths.aerosol + depths.gas)


def zenith_depths(wavelength_m: ArrayLike, *, visibility_m: ArrayLike, altitude_m: ArrayLike) -> ZenithDepths:
    """Optical depth of clear air above a station, by cause, from 6S.

    visibility_m: meteorological range as seen *at the station*, so a mountain station says its own clear
    air; altitude_m: the station's, above sea level, 0 to 5200 m. The three broadcast.
    Interpolated linearly in log wavelength, log visibility and altitude: of the logarithm of the Rayleigh
    and aerosol depths (which follow power laws), and of the gas depth itself. Gas has lines finer than the
    table's 10 nm; in a band of water or oxygen (720, 760, 820, 940, 1130, 1380 nm) ask a line-by-line model.
    Raises ConfigError outside the table.
    """
    table = _table()
    wavelength_nm = _within(wavelength_m, _NM, table.wavelength_nm, "wavelength", "nm")
    visibility_km = _within(visibility_m, _KM, table.visibility_km, "visibility", "km")
    altitude = _within(altitude_m, 1.0, table.altitude_m, "altitude", "m")
    row = _place(np.log(wavelength_nm), np.log(table.wavelength_nm))
    by_visibility = _place(np.log(visibility_km), np.log(table.visibility_km))
    by_altitude = _place(altitude, table.altitude_m)
    rayleigh = np.exp(_bilinear(np.log(table.rayleigh), row, by_altitude))
    aerosol = np.exp(_bilinear(np.log(table.aerosol), row, by_visibility))
    gas = _bilinear(table.gas, row, by_altitude)
    broadcast = np.broadcast_arrays(rayleigh, aerosol, gas)
    return ZenithDepths(*(np.array(each) for each in broadcast))


def mie_scattering_loss_db(
    elevation_rad: ArrayLike, *, wavelength_m: ArrayLike, altitude_m: ArrayLike
) -> Array:
    r"""Loss by aerosol scattering of Rec. ITU-R P.1622-0, for comparison with published link budgets.

    .. math::  A_S = \frac{4.3429\,\tau'}{\sin h}, \qquad \tau' = a h_E^3 + b h_E^2 + c h_E + d

    eqs. 1-3 of its annex 1 (a to d: polynomials of the wavelength in um; h_E: station altitude in km).
    A clear-sky climate of its own: neither visibility nor Rayleigh scattering is in it. For 800 to 2000 nm
    and 0 to 5 km, else ConfigError; NaN below 45 degrees, for which the recommendation does not hold.
    """
    lam = _within(wavelength_m, 1 / _UM_PER_M, np.array([0.8, 2.0]), "wavelength", "um", "ITU-R P.1622")
    h_E = _within(altitude_m, _KM, np.array([0.0, 5.0]), "altitude", "km", "ITU-R P.1622")
    a = -0.000545 * lam**2 + 0.002 * lam - 0.0038
    b = 0.00628 * lam**2 - 0.0232 * lam + 0.00439
    c = -0.028 * lam**2 + 0.101 * lam - 0.18
    d = -0.228 * lam**3 + 0.922 * lam**2 - 1.26 * lam + 0.719
    nepers = ((a * h_E + b) * h_E + c) * h_E + d
    h = np.asarray(elevation_rad, dtype=np.float64)
    steep = h >= _MIE_ELEVATION_RAD
    return np.where(steep, _DB_PER_NEPER * nepers / np.sin(np.where(steep, h, 1.0)), np.nan)


class _Table(NamedTuple):
    """The shipped table on its axes; `rayleigh` and `gas` by wavelength and altitude."""

    wavelength_nm: Array
    visibility_km: Array
    altitude_m: Array
    rayleigh: Array
    aerosol: Array
    """By wavelength and visibility."""
    gas: Array


@cache
def _table() -> _Table:
    text = files("satqkd.optics").joinpath(_TABLE).read_text(encoding="utf-8")
    rows = np.array([line.split(",") for line in text.splitlines() if line[0].isdigit()], dtype=np.float64)
    wavelength, visibility, altitude = rows[:, 0], rows[:, 1], rows[:, 2]
    at_sea, usual = altitude == 0, visibility == visibility[altitude > 0][0]
    n = len(np.unique(wavelength))
    by_visibility, by_altitude = rows[at_sea].reshape(n, -1, 6), rows[usual].reshape(n, -1, 6)
    return _Table(
        wavelength_nm=np.unique(wavelength),
        visibility_km=by_visibility[0, :, 1],
        altitude_m=by_altitude[0, :, 2],
        rayleigh=by_altitude[..., 3],
        aerosol=by_visibility[..., 4],
        gas=by_altitude[..., 5],
    )


def _within(
    value: ArrayLike, unit: float, allowed: Array, name: str, unit_name: str, source: str = _TABLE
) -> Array:
    """The value in the unit of `allowed`, at most rounding outside its ends."""
    asked = np.asarray(value, dtype=np.float64) / unit
    low, high = allowed[0], allowed[-1]
    slack = 1e-9 * high
    outside = ~((asked >= low - slack) & (asked <= high + slack))
    if outside.any():
        raise ConfigError(
            f"{name} {asked[outside].flat[0]:g} {unit_name} is outside {source}: allowed {low:g} to {high:g} "
            f"{unit_name}; give the optical depth itself for other air"
        )
    return np.clip(asked, low, high)


def _place(value: Array, axis: Array) -> tuple[NDArray[np.intp], Array]:
    """Index of the node below, and the fraction of the step above it."""
    index = np.clip(np.searchsorted(axis, value, side="right") - 1, 0, len(axis) - 2)
    return index, (value - axis[index]) / (axis[index + 1] - axis[index])


def _bilinear(
    grid: Array, row: tuple[NDArray[np.intp], Array], column: tuple[NDArray[np.intp], Array]
) -> Array:
    (i, u), (j, v) = row, column
    low = (1 - v) * grid[i, j] + v * grid[i, j + 1]
    high = (1 - v) * grid[i + 1, j] + v * grid[i + 1, j + 1]
    return np.asarray((1 - u) * low + u * high)
