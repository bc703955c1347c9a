"""Rows of kind model: pointing, air and background against printed figures.

M11 pointing jitter (Toyoshima et al. 2002), M12 airmass (Kasten & Young 1989), M13 extinction of a clear
site against a MODTRAN table, M14 background counts (Miao et al. 2005). A model row says that formula and code
agree.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from satqkd.optics import (
    airmass,
    background_rate_hz,
    loss_db,
    mean_pointing_fraction,
    zenith_optical_depth,
)
from satqkd.validation.rows import Array, Row, absolute, printed_row, relative, row

JITTERS_RAD: Final = np.array([1e-6, 2e-6, 3e-6])
AIRMASS_DEG: Final = (30, 20, 15, 10, 5)
AIRMASS: Final = ("1.994", "2.903", "3.813", "5.586", "10.31")
MODTRAN_DEG: Final = (90, 60, 45, 30, 20, 15, 10)
MODTRAN: Final = np.array([0.895, 0.880, 0.855, 0.802, 0.726, 0.657, 0.539])
"""Transmittance at 850 nm, shipped with SatQuMA 2.0.0."""
MODTRAN_785_NM: Final = 0.876
"""At the zenith."""
RADIANCES: Final = {"moonless": 1.5e-5, "full Moon": 1.5e-3, "clear day": 1.5}
"""W m^-2 sr^-1 um^-1."""
_MODTRAN: Final = "cnqo-qcomms/SatQuMA 2.0.0, MODTRAN table of transmittance by elevation"


def rows() -> list[Row]:
    """All of them."""
    return [
        pointing("M11a", half_angle_rad=5e-6),
        pointing("M11b", half_angle_rad=10e-6),
        kasten_young(airmass),
        slant(airmass),
        clearest(),
        background("M14a", telescope_diameter_m=0.28, field_of_view_rad=60e-6),
        background("M14b", telescope_diameter_m=1.0, field_of_view_rad=40e-6),
    ]


_POINTING: Final = {
    "M11a": ("10 urad", ("0.64", "2.15", "3.87")),
    "M11b": ("20 urad", ("0.17", "0.64", "1.34")),
}


def pointing(row_id: str, *, half_angle_rad: float) -> Row:
    """M11: mean loss of a Gaussian beam by jitter; half_angle_rad: 1/e^2."""
    name, printed = _POINTING[row_id]
    return printed_row(
        row_id,
        f"mean pointing loss, beam of {name} full 1/e^2 angle, dB",
        places=[f"{1e6 * each:g} urad an axis" for each in JITTERS_RAD],
        printed=printed,
        computed=loss_db(mean_pointing_fraction(JITTERS_RAD, half_angle_rad=half_angle_rad)),
        source="Toyoshima et al., JOSA A 19, 567 (2002): b / (b + 1), b = w^2 / (4 sigma^2), by hand",
    )


def kasten_young(law: Callable[[Array], Array]) -> Row:
    """M12: airmass at five elevations; law: of the elevation in radians."""
    return printed_row(
        "M12",
        "relative airmass",
        places=[f"{each} degrees" for each in AIRMASS_DEG],
        printed=AIRMASS,
        computed=law(np.radians(AIRMASS_DEG)),
        source="Kasten & Young, Appl. Opt. 28, 4735 (1989), eq. 3",
    )


def slant(law: Callable[[Array], Array]) -> Row:
    """M13a: how extinction grows towards the horizon, after one depth is fitted to the whole table."""
    mass = law(np.radians(MODTRAN_DEG))
    depth = float(-(mass @ np.log(MODTRAN)) / (mass @ mass))
    computed = np.exp(-depth * mass)
    worst = int(np.argmax(np.abs(computed - MODTRAN)))
    return row(
        "M13a",
        f"transmittance of a clear site at 850 nm, {MODTRAN_DEG[worst]} degrees",
        published=float(MODTRAN[worst]),
        computed=round(float(computed[worst]), 4),
        tolerance=absolute(
            float(MODTRAN[worst]),
            0.001,
            why=f"one unit of the last printed digit, each of {len(MODTRAN)}; the worst is shown",
        ),
        blind=False,
        source=_MODTRAN,
        kind="model",
        fitted=f"zenith optical depth {depth:.4f}, to these {len(MODTRAN)} transmittances",
    )


def clearest(*, visibility_m: float = 60e3) -> Row:
    """M13b: the shipped 6S table at its clearest against MODTRAN's clear site, at two wavelengths."""
    published = -np.log(np.array([MODTRAN_785_NM, MODTRAN[0]]))
    computed = zenith_optical_depth(np.array([785e-9, 850e-9]), visibility_m=visibility_m, altitude_m=0.0)
    worst = int(np.argmax(np.abs(computed / published - 1)))
    return row(
        "M13b",
        f"zenith optical depth of a clear site, 6S against MODTRAN, {(785, 850)[worst]} nm",
        published=round(float(published[worst]), 4),
        computed=round(float(computed[worst]), 4),
        tolerance=relative(
            float(published[worst]),
            0.15,
            why="the aerosols of the MODTRAN run are not stated; the worse of two",
        ),
        blind=False,
        source=f"{_MODTRAN}; here the shipped table of 6S at sea level",
        kind="model",
        fitted="visibility 60 km, the clearest of the 6S table, chosen for the clear site",
    )


_BACKGROUND: Final = {"M14a": ("2.8", "279", "2.8e5"), "M14b": ("16", "1.6e3", "1.6e6")}


def background(row_id: str, *, telescope_diameter_m: float, field_of_view_rad: float) -> Row:
    """M14: counts a second by radiance, 1 nm wide, a quarter of the light counted."""
    rate_hz = background_rate_hz(
        np.array(list(RADIANCES.values())),
        field_of_view_rad=field_of_view_rad,
        filter_width_m=1e-9,
        telescope_diameter_m=telescope_diameter_m,
        wavelength_m=850e-9,
        optics_transmittance=0.5,
        detector_efficiency=0.5,
    )
    printed = _BACKGROUND[row_id]
    return printed_row(
        row_id,
        f"background of a {telescope_diameter_m:g} m telescope, counts/s",
        places=list(RADIANCES),
        printed=printed,
        computed=rate_hz,
        source="Miao et al., New J. Phys. 7, 215 (2005), eq. 1, by hand; 1 nm, optics and detector 0.5 each",
    )
