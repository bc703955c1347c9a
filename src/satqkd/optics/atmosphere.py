"""Atmosphere: what clear air takes from a beam on its way down.

One number describes the air, the optical depth at the zenith in the beam's band; how a slant path
multiplies it is the airmass. Mean extinction only: no turbulence, no cloud, no refraction of the path.
Source: Kasten & Young, Appl. Opt. 28, 4735 (1989), eq. 3 and table II.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def airmass(elevation_rad: ArrayLike) -> NDArray[np.float64]:
    r"""Relative optical airmass, 1 at the zenith to 5e-4.

    .. math::  X = \frac{1}{\sin h + 0.50572\,(h_\circ + 6.07995)^{-1.6364}}

    with the elevation h, in degrees where the degree sign stands. elevation_rad: true of any shape;
    returns that shape. Below the horizon there is no path: infinity.
    """
    h = np.asarray(elevation_rad, dtype=np.float64)
    above = np.maximum(h, 0.0)
    curved = 1 / (np.sin(above) + 0.50572 * (np.degrees(above) + 6.07995) ** -1.6364)
    return np.where(h < 0, np.inf, curved)


def atmosphere_transmittance(elevation_rad: ArrayLike, *, zenith_optical_depth: float) -> NDArray[np.float64]:
    r"""Fraction of the beam that clear air lets through, :math:`T = e^{-\tau X(h)}`.

    elevation_rad: any shape; returns that shape, values in [0, 1], 0 below the horizon.
    """
    X = airmass(elevation_rad)
    open_path = np.isfinite(X)
    return np.where(open_path, np.exp(-zenith_optical_depth * np.where(open_path, X, 0.0)), 0.0)
