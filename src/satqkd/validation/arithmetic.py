"""Rows of kind arithmetic: what follows from published inputs by counting. They check bookkeeping, no model.

A1: sifted over detected of a decoy source with basis sifting of one half. A2: what 10 urad at 1200 km into
1 m loses by each meaning of divergence, of which only the uniform disc meets the published 22 dB. A3: the
same Gaussian at the ranges of a low orbit.
"""

from typing import Final

import numpy as np

from satqkd.config import Satellite
from satqkd.mission import presets
from satqkd.optics import collected_fraction_of_divergence, loss_db
from satqkd.optics.diffraction import Convention
from satqkd.records import SIGNAL
from satqkd.validation import micius
from satqkd.validation.rows import Array, Row, printed_row, row

DIVERGENCE_RAD: Final = 10e-6
FARTHEST_M: Final = 1.2e6
RANGES_M: Final = (500e3, 800e3, 1200e3)
_CLOSED_FORM: Final = "by hand: 1 - exp(-2 a^2 / w^2) with the 1/e^2 radius w at the station"


def rows() -> list[Row]:
    """All of them."""
    return [
        sifting(presets.satellite("micius")),
        *conventions(DIVERGENCE_RAD),
        *gaussian_at_ranges(DIVERGENCE_RAD),
    ]


def sifting(satellite: Satellite) -> Row:
    """A1: one half of the signal's share of all light; no loss, no noise in it."""
    source = satellite.source
    light = np.multiply(source.probabilities, source.intensities)
    return row(
        "A1",
        "sifted over detected, one half of the signal's share of the light",
        published=round(micius.SIFTED_SHARE, 6),
        computed=round(float(0.5 * light[SIGNAL] / light.sum()), 6),
        tolerance=micius.SIFTED_SHARE_TOLERANCE,
        blind=False,
        source=f"{micius.PAPER}: counts, intensities and probabilities; an identity of the inputs",
        kind="arithmetic",
    )


def conventions(divergence_rad: float) -> list[Row]:
    """A2: three meanings of one angle."""
    meanings: tuple[tuple[str, str, Convention, str, str], ...] = (
        ("A2a", "uniform disc", "disc_full", "22", f"{micius.PAPER}: 22 dB"),
        ("A2b", "Gaussian 1/e^2 full angle", "gaussian_1e2_full", "18.6", f"{_CLOSED_FORM} of 6 m"),
        (
            "A2c",
            "Gaussian full width at half maximum",
            "gaussian_fwhm_full",
            "23.2",
            f"{_CLOSED_FORM} of 10.2 m",
        ),
    )
    return [
        printed_row(
            row_id,
            f"diffraction, 10 urad at 1200 km into 1 m, {name}, dB",
            places=("1200 km",),
            printed=(printed,),
            computed=_loss_db(np.array([FARTHEST_M]), divergence_rad, convention, receiver_radius_m=0.5),
            source=source,
            kind="arithmetic",
        )
        for row_id, name, convention, printed, source in meanings
    ]


def gaussian_at_ranges(divergence_rad: float) -> list[Row]:
    """A3: 1/e^2 full angle, a portable and a large telescope."""
    return [
        printed_row(
            row_id,
            f"diffraction, 10 urad Gaussian 1/e^2 full angle into {2 * radius_m:g} m, dB",
            places=[f"{each / 1e3:.0f} km" for each in RANGES_M],
            printed=printed,
            computed=_loss_db(
                np.array(RANGES_M), divergence_rad, "gaussian_1e2_full", receiver_radius_m=radius_m
            ),
            source=f"{_CLOSED_FORM} of 2.5, 4 and 6 m",
            kind="arithmetic",
        )
        for row_id, radius_m, printed in (
            ("A3a", 0.14, ("22.0", "26.1", "29.6")),
            ("A3b", 0.5, ("11.1", "15.1", "18.6")),
        )
    ]


def _loss_db(
    range_m: Array, divergence_rad: float, convention: Convention, *, receiver_radius_m: float
) -> Array:
    return loss_db(
        collected_fraction_of_divergence(
            range_m, divergence_rad=divergence_rad, convention=convention, receiver_radius_m=receiver_radius_m
        )
    )
