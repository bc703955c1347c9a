"""Profiles of turbulence and wind over a station: how strong the air's C_n^2 is at each height.

A profile is built once, as layers that stand for integrals over height. Knows no beam and no elevation.
Sources: Andrews & Phillips, Laser Beam Propagation through Random Media, 2nd ed. (2005), ch. 12, here "AP";
Recommendation ITU-R P.1621-2 (2015); Ntanos et al., Photonics 8, 544 (2021).
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.errors import ConfigError

Array = NDArray[np.float64]

TURBULENCE_TOP_M: Final = 20_000.0  # P.1621-2, 5.1.2: "effective height of the turbulence"

_EDGES_M: Final = (0.0, 10.0, 50.0, 200.0, 800.0, 3000.0, 8000.0, 13_000.0, TURBULENCE_TOP_M)
_NODE, _WEIGHT = np.polynomial.legendre.leggauss(6)


class Profile(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Turbulence above a station, as layers that stand for an integral over height."""

    height_m: Array
    """Above the station, ascending, float64."""
    layer_cn2_m13: Array
    """C_n^2 times the layer's thickness, m^(1/3): `sum(layer_cn2_m13 * f(height_m))` is the moment of f."""

    def moment(self, exponent: float) -> float:
        r""":math:`\int C_n^2(h)\,h^p\,dh` over the height above the station."""
        return float(self.layer_cn2_m13 @ self.height_m**exponent)


def hufnagel_valley_cn2_m23(
    height_m: ArrayLike,
    *,
    rms_wind_m_s: float = 21.0,
    ground_cn2_m23: float = 1.7e-14,
    station_altitude_m: float = 0.0,
) -> Array:
    r"""C_n^2 in m^(-2/3) at heights above the station; the defaults are HV 5/7.

    .. math::  C_n^2 = 0.00594\Big(\frac{w}{27}\Big)^2 (10^{-5}z)^{10} e^{-z/1000}
        + 2.7\cdot10^{-16}e^{-z/1500} + A\,e^{-h_s/700}\,e^{-h/100}

    AP 12.1, with the station's altitude as Ntanos eq. 11: z = h + h_s is above the sea, the ground layer
    follows the terrain and thins out on mountains.
    """
    h, w = np.asarray(height_m, dtype=np.float64), rms_wind_m_s
    z = h + station_altitude_m
    jet = 0.00594 * (w / 27) ** 2 * (1e-5 * z) ** 10 * np.exp(-z / 1000)
    ground = ground_cn2_m23 * np.exp(-station_altitude_m / 700 - h / 100)
    return np.asarray(jet + 2.7e-16 * np.exp(-z / 1500) + ground)


def hufnagel_valley_profile(
    *, rms_wind_m_s: float = 21.0, ground_cn2_m23: float = 1.7e-14, station_altitude_m: float = 0.0
) -> Profile:
    """Layers of `hufnagel_valley_cn2_m23` from the station up to 20 km above the sea."""
    h, thickness = _layers(TURBULENCE_TOP_M - station_altitude_m)
    cn2 = hufnagel_valley_cn2_m23(
        h, rms_wind_m_s=rms_wind_m_s, ground_cn2_m23=ground_cn2_m23, station_altitude_m=station_altitude_m
    )
    return Profile(height_m=h, layer_cn2_m13=cn2 * thickness)


def itu_profile(
    *, ground_wind_m_s: float = 2.3, ground_cn2_m23: float = 1.7e-14, station_altitude_m: float = 0.0
) -> Profile:
    """Layers of ITU-R P.1621-2 eq. 6: Hufnagel-Valley by the wind at the ground.

    All three terms go by the height above the sea; a station only cuts off what is below it. The default
    wind is the one for sites where it is not known.
    """
    h, thickness = _layers(TURBULENCE_TOP_M - station_altitude_m)
    cn2 = hufnagel_valley_cn2_m23(
        h + station_altitude_m, rms_wind_m_s=itu_rms_wind_m_s(ground_wind_m_s), ground_cn2_m23=ground_cn2_m23
    )
    return Profile(height_m=h, layer_cn2_m13=cn2 * thickness)


def itu_rms_wind_m_s(ground_wind_m_s: float) -> float:
    r"""Rms wind of the high atmosphere, :math:`\sqrt{v_g^2 + 33.11\,v_g + 360.31}`: P.1621-2 eq. 5.

    The Bufton profile's own integral (AP 12.2) has 30.69 and 348.91 instead: 21 m/s at 2.8 m/s, not 2.3.
    """
    return float(np.sqrt(ground_wind_m_s**2 + 33.11 * ground_wind_m_s + 360.31))


def bufton_wind_m_s(height_m: ArrayLike, *, ground_wind_m_s: float = 5.0) -> Array:
    r"""Wind :math:`V = V_g + 30\,e^{-((h-9400)/4800)^2}` at heights above the station (AP 12.3, no slew)."""
    h = np.asarray(height_m, dtype=np.float64)
    return np.asarray(ground_wind_m_s + 30 * np.exp(-(((h - 9400) / 4800) ** 2)))


def _layers(top_m: float) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights in bands that follow the scale heights, up to the top."""
    if top_m <= 0:
        raise ConfigError(
            f"station altitude {(TURBULENCE_TOP_M - top_m) / 1e3:.4g} km is above the turbulence, whose top "
            f"is at {TURBULENCE_TOP_M / 1e3:.4g} km; give metres above the sea"
        )
    edges = np.array([*(edge for edge in _EDGES_M if edge < top_m), top_m])
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (_NODE + 1)).ravel(), (half * _WEIGHT).ravel()
