"""Rows of kind model: turbulence against printed tables and worked examples.

M1 to M4: the Hufnagel-Valley 5/7 profile at 850 nm by elevation; the printed figures are adaptive quadratures
of the same integrals of Andrews & Phillips (2005), made apart from this code. M5: what gives the profile its
name. M6: times. M7 to M9: Rec. ITU-R P.1622-0 and P.1621-2. M10: a worked example of the book. A model row
says that formula and code agree; whether the air does is for measurements.
"""

from typing import Final

import numpy as np

from satqkd.optics import Profile, hufnagel_valley_profile, scintillation_index, uplink_scintillation_index
from satqkd.optics.cn2 import itu_rms_wind_m_s
from satqkd.optics.turbulence import (
    coherence_time_s,
    fried_parameter_m,
    isoplanatic_angle_rad,
    itu_log_irradiance_variance,
    point_scintillation_index,
    rytov_variance,
)
from satqkd.validation.rows import Array, Number, Row, printed_row, relative, row

WAVELENGTH_M: Final = 850e-9
ELEVATIONS_DEG: Final = (90, 60, 45, 30, 20, 10)
_PLACES: Final = [f"{each} degrees" for each in ELEVATIONS_DEG]
_ELEVATION_RAD: Final = np.radians(ELEVATIONS_DEG)
_BOOK: Final = "Andrews & Phillips, Laser Beam Propagation through Random Media, 2nd ed. (2005)"
_TABLE: Final = f"{_BOOK}, eqs. 12.38 to 12.40, adaptive quadrature over HV 5/7 at 850 nm"
_P1622: Final = "Rec. ITU-R P.1622-0 (2003), table 2: elevation 75 degrees, station 5.5 m above the ground"
_P1621: Final = "Rec. ITU-R P.1621-2 (2015)"

RYTOV: Final = ("0.125", "0.163", "0.236", "0.446", "0.895", "3.1")
POINT_INDEX: Final = ("0.123", "0.159", "0.226", "0.395", "0.660", "1.12")
AVERAGED: Final = {
    0.28: ("0.0054", "0.0082", "0.015", "0.041", "0.118", "0.72"),
    0.5: ("0.0014", "0.0022", "0.0040", "0.011", "0.035", "0.25"),
    1.0: ("0.0003", "0.0004", "0.0008", "0.0023", "0.007", "0.054"),
}
FRIED_M: Final = ("0.094", "0.086", "0.076", "0.062", "0.049", "0.033")
FLUCTUATION_DB: Final = ("0.32", "0.39", "0.53", "0.87", "1.45", "3.2")
ITU_WAVELENGTHS_M: Final = (0.532e-6, 0.850e-6, 1.064e-6, 1.55e-6)
ITU_VARIANCE: Final = {21.0: ("0.23", "0.13", "0.10", "0.07"), 30.0: ("0.36", "0.21", "0.16", "0.10")}


def rows(profile: Profile | None = None) -> list[Row]:
    """All of them; profile: another air than HV 5/7, for the rows that are about it."""
    air = hufnagel_valley_profile() if profile is None else profile
    return [
        *by_elevation(air),
        *by_name(air),
        *times(air),
        *(itu_variances(f"M7{letter}", wind) for letter, wind in zip("ab", ITU_VARIANCE, strict=True)),
        itu_wind(),
        *itu_coefficients(),
        *worked_example(air),
    ]


def by_elevation(profile: Profile) -> list[Row]:
    """M1 to M4: strength, index at a point and behind apertures, coherence diameter."""
    rytov = rytov_variance(_ELEVATION_RAD, profile=profile, wavelength_m=WAVELENGTH_M)
    indices = {
        diameter_m: scintillation_index(
            _ELEVATION_RAD, profile=profile, wavelength_m=WAVELENGTH_M, aperture_diameter_m=diameter_m
        )
        for diameter_m in AVERAGED
    }
    fried = fried_parameter_m(_ELEVATION_RAD, profile=profile, wavelength_m=WAVELENGTH_M)
    return [
        _column("M1", "Rytov variance at 850 nm", RYTOV, rytov),
        _column(
            "M2", "scintillation index of a point at 850 nm", POINT_INDEX, point_scintillation_index(rytov)
        ),
        *(
            _column(
                f"M3{letter}",
                f"scintillation index of a {diameter_m:g} m aperture at 850 nm",
                AVERAGED[diameter_m],
                index,
            )
            for letter, (diameter_m, index) in zip("abc", indices.items(), strict=True)
        ),
        _column(
            "M3d",
            "rms fluctuation of a 0.28 m aperture at 850 nm, dB",
            FLUCTUATION_DB,
            10 / np.log(10) * np.sqrt(np.log1p(indices[0.28])),
        ),
        _column("M4", "coherence diameter r0 at 850 nm, m", FRIED_M, fried),
    ]


def by_name(profile: Profile) -> list[Row]:
    """M5: 5 cm and 7 microradians at 500 nm."""
    wavelength_m = 500e-9
    return [
        _one(
            "M5a",
            "r0 of HV 5/7 at 500 nm, zenith, cm",
            "5",
            100 * fried_parameter_m(np.pi / 2, profile=profile, wavelength_m=wavelength_m),
            f"{_BOOK}, 12.2: the 5 of HV 5/7",
        ),
        _one(
            "M5b",
            "isoplanatic angle of HV 5/7 at 500 nm, zenith, urad",
            "7",
            1e6 * isoplanatic_angle_rad(np.pi / 2, profile=profile, wavelength_m=wavelength_m),
            f"{_BOOK}, 12.2: the 7 of HV 5/7",
        ),
        _one(
            "M5c",
            "isoplanatic angle of HV 5/7 at 850 nm, zenith, urad",
            "13.3",
            1e6 * isoplanatic_angle_rad(np.pi / 2, profile=profile, wavelength_m=WAVELENGTH_M),
            f"{_P1621}, eq. 14a, adaptive quadrature over HV 5/7",
        ),
    ]


def times(profile: Profile) -> list[Row]:
    """M6: Greenwood time at the zenith, still and slewing."""
    computed = coherence_time_s(
        np.pi / 2, profile=profile, wavelength_m=WAVELENGTH_M, slew_rad_s=np.array([0.0, 5e-3, 15e-3])
    )
    return [
        printed_row(
            "M6",
            "coherence time at 850 nm, zenith, Bufton wind, ms",
            places=("no slew", "5 mrad/s", "15 mrad/s"),
            printed=("3.5", "1.6", "0.74"),
            computed=1e3 * computed,
            source="Kellerer & Tokovinin, A&A 461, 775 (2007), table 1; Bufton wind of "
            f"{_BOOK}, 12.3; adaptive quadrature over HV 5/7",
        )
    ]


def itu_variances(row_id: str, rms_wind_m_s: float, *, station_height_m: float = 5.5) -> Row:
    """M7: log-intensity variance of a point at four wavelengths."""
    profile = hufnagel_valley_profile(rms_wind_m_s=rms_wind_m_s, station_altitude_m=station_height_m)
    computed = [
        float(itu_log_irradiance_variance(np.radians(75.0), profile=profile, wavelength_m=each))
        for each in ITU_WAVELENGTHS_M
    ]
    return printed_row(
        row_id,
        f"log-intensity variance, rms wind {rms_wind_m_s:g} m/s",
        places=[f"{1e9 * each:.0f} nm" for each in ITU_WAVELENGTHS_M],
        printed=ITU_VARIANCE[rms_wind_m_s],
        computed=np.array(computed),
        source=_P1622,
    )


def itu_wind(*, ground_wind_m_s: float = 2.3) -> Row:
    """M8: the high wind where the wind at the ground is not known."""
    return _one(
        "M8",
        "rms wind aloft for 2.3 m/s at the ground, m/s",
        "21",
        np.array(itu_rms_wind_m_s(ground_wind_m_s)),
        f"{_P1621}, 5.1.1, step 1 and eq. 5",
    )


def itu_coefficients() -> list[Row]:
    """M9: the recommendations print each formula with its constants multiplied out too, wavelength in um.

    A layer of unit strength at 1 m height makes every moment 1; at 1 um and the zenith the constant is left.
    """
    unit = Profile(height_m=np.array([1.0]), layer_cn2_m13=np.array([1.0]))
    wavelength_m = 1e-6
    constants = (
        (
            "M9a",
            "constant of r0, 1e-8",
            1.1654,
            1e8 * fried_parameter_m(np.pi / 2, profile=unit, wavelength_m=wavelength_m),
            f"{_P1621}, eq. 8b",
        ),
        (
            "M9b",
            "constant of the isoplanatic angle, 1e-9",
            3.663,
            1e9 * isoplanatic_angle_rad(np.pi / 2, profile=unit, wavelength_m=wavelength_m),
            f"{_P1621}, eq. 14b",
        ),
        (
            "M9c",
            "constant of the log-intensity variance, 1e8",
            1.924,
            1e-8 * itu_log_irradiance_variance(np.pi / 2, profile=unit, wavelength_m=wavelength_m),
            "Rec. ITU-R P.1622-0 (2003), eq. 4b",
        ),
    )
    return [
        _within(
            row_id, what, published, computed, 0.001, "its two printed forms differ by up to 0.08 %", source
        )
        for row_id, what, published, computed, source in constants
    ]


def worked_example(profile: Profile) -> list[Row]:
    """M10: an uplink at 1.06 um, 2 cm beam, 30 degrees from the zenith, to a geostationary satellite."""
    wavelength_m, h = 1.06e-6, np.radians(60.0)
    up = uplink_scintillation_index(
        h, profile=profile, wavelength_m=wavelength_m, beam_radius_m=0.02, satellite_altitude_m=38.5e6
    )
    down = rytov_variance(h, profile=profile, wavelength_m=wavelength_m)
    source = f"{_BOOK}, ch. 12, worked example 1"
    return [
        _one("M10a", "uplink scintillation index", "0.07", up, source),
        _one("M10b", "downlink scintillation index", "0.13", down, source),
        _within(
            "M10c",
            "r0 at 1.06 um, 60 degrees, cm",
            11.24,
            100 * fried_parameter_m(h, profile=profile, wavelength_m=wavelength_m),
            0.005,
            "the book has 0.42 for 0.423 and its integral rounded to 2.24e-12",
            source,
        ),
        _within(
            "M10d",
            "isoplanatic angle at 1.06 um, 60 degrees, urad",
            13.5,
            1e6 * isoplanatic_angle_rad(h, profile=profile, wavelength_m=wavelength_m),
            0.02,
            "the profile here ends at 20 km as in P.1621-2; the air above it takes 1.6 %",
            source,
        ),
    ]


def _column(row_id: str, what: str, printed: tuple[str, ...], computed: Array) -> Row:
    return printed_row(row_id, what, places=_PLACES, printed=printed, computed=computed, source=_TABLE)


def _one(row_id: str, what: str, printed: str, computed: Array, source: str) -> Row:
    return printed_row(
        row_id, what, places=("",), printed=(printed,), computed=np.atleast_1d(computed), source=source
    )


def _within(
    row_id: str, what: str, published: Number, computed: Array, share: Number, why: str, source: str
) -> Row:
    return row(
        row_id,
        what,
        published=published,
        computed=float(f"{float(computed):.6g}"),
        tolerance=relative(published, share, why=why),
        blind=True,
        source=source,
        kind="model",
    )
