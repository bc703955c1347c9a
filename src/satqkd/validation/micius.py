"""Rows of the Micius pass over Xinglong on 19 December 2016 (Liao et al., Nature 549, 43 (2017)).

V1 geometry, V2 counts, V4 ratio and QBER, V5 final key. The pass is found from the published TLE by SGP4.
The loss is the preset's, a formula fitted to the loss curve of this same pass, so V2 checks the arithmetic of
source, detector and sifting, and not the optics (`physics` does). The paper prints no counts by class: V5
takes the published number of sifted bits and splits it as the model says. Each function computes one row
from the contact it is given.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final

import msgspec
import numpy as np

from satqkd.mission import Contact, contact_of, presets
from satqkd.mission.foretold import expected_pass_counts
from satqkd.records import BASIS_NAMES
from satqkd.results import ClassCounts
from satqkd.security import SecurityTargets, key_length, planned_leak
from satqkd.validation.rows import Row, absolute, bracket_row, factor, relative, row

AT_UTC: Final = "2016-12-19T16:52:13Z"
PAPER: Final = "Liao et al., Nature 549, 43 (2017)"
COUNTED: Final = f"{PAPER}; arithmetic only: the preset's loss is fitted to the loss of this pass"
LOSS_FORMULA: Final = (
    "loss formula of the xinglong preset (two constants), to the published loss curve, not to the counts"
)

# Published.
MIN_RANGE_KM: Final = 645.0
WINDOW_S: Final = 273.0
DETECTIONS: Final = 3_551_136
SIFTED: Final = 1_671_072
SIFTED_SHARE: Final = SIFTED / DETECTIONS
SIFTED_SHARE_TOLERANCE: Final = absolute(
    SIFTED_SHARE, 0.0005, why="two standard errors of the count, 0.00026 each"
)
NEAREST_SIFTED_HZ: Final = 12_000.0
FARTHEST_SIFTED_HZ: Final = 1_000.0
QBER: Final = 0.011
FINAL_KEY: Final = 300_939
TARGETS: Final = SecurityTargets(epsilon_secrecy=1e-9, epsilon_correctness=1e-15)

# Taken for what is not published.
EFFICIENCY: Final = 1.16
"""Reconciliation leak over the Shannon limit."""
_DIGITISED: Final = "0.4 dB of digitising and fitting the loss curve"
_READ_OFF: Final = "published as about, to one or two digits"
_CHOSEN: Final = "reconciliation efficiency 1.16, chosen knowing the result"
KEY_BAND: Final = (250_000.0, 400_000.0)
"""Where finite-key bounds of the literature put the key of this pass, f from 1.16 to 1.4."""
FINITE_BOUNDS: Final = ("variable", "lim2014", "variable-sharp")


@cache
def published_pass() -> Contact:
    """The pass, from the shipped presets."""
    return contact_of(presets.satellite("micius"), presets.station("xinglong"), AT_UTC)


def rows() -> list[Row]:
    """All rows of this pass."""
    contact = published_pass()
    return [
        min_range(contact),
        window(contact),
        detections(contact),
        sifted(contact),
        nearest_rate(contact),
        farthest_rate(contact),
        ratio(contact),
        qber(contact),
        final_key(contact, "lim2014"),
        final_key(contact, "variable-sharp"),
        key_of_all_bounds(contact),
    ]


def min_range(contact: Contact) -> Row:
    """V1: closest range."""
    return row(
        "V1a",
        "closest range, km",
        published=MIN_RANGE_KM,
        computed=round(float(contact.look.range_m[contact.quantum_rows].min()) / 1e3, 2),
        tolerance=absolute(MIN_RANGE_KM, 2, "km", why="SGP4 with elements of the day; printed to 1 km"),
        blind=True,
        source=f"{PAPER}; TLE of the day and site, SGP4",
    )


def window(contact: Contact) -> Row:
    """V1: how long the satellite is nearer than the station's range limit of 1200 km."""
    return row(
        "V1b",
        "time inside 1200 km, s",
        published=WINDOW_S,
        computed=round(contact.quantum_end_s, 2),
        tolerance=absolute(WINDOW_S, 3, "s", why="2 km along the track at each end, printed to 1 s"),
        blind=True,
        source=f"{PAPER}; TLE of the day and site, SGP4",
    )


def detections(contact: Contact) -> Row:
    """V2: all detections of the window."""
    return row(
        "V2a",
        "detections",
        published=DETECTIONS,
        computed=round(contact.total(contact.rates.detection_hz)),
        tolerance=relative(DETECTIONS, 0.10, why=_DIGITISED),
        blind=False,
        source=COUNTED,
        kind="arithmetic",
        fitted=LOSS_FORMULA,
    )


def sifted(contact: Contact) -> Row:
    """V2: signal detections in matching bases."""
    return row(
        "V2b",
        "sifted bits",
        published=SIFTED,
        computed=round(contact.total(contact.rates.sifted_hz)),
        tolerance=relative(SIFTED, 0.10, why=_DIGITISED),
        blind=False,
        source=COUNTED,
        kind="arithmetic",
        fitted=LOSS_FORMULA,
    )


def nearest_rate(contact: Contact) -> Row:
    """V2: sifted rate at the closest range."""
    nearest = int(np.argmin(contact.look.range_m[contact.quantum_rows]))
    return row(
        "V2c",
        "sifted rate at closest range, bit/s",
        published=NEAREST_SIFTED_HZ,
        computed=round(float(contact.rates.sifted_hz[contact.quantum_rows][nearest])),
        tolerance=factor(NEAREST_SIFTED_HZ, 1.3, why=_READ_OFF),
        blind=False,
        source=f"{COUNTED}; published as about 12 kbit/s",
        kind="arithmetic",
        fitted=LOSS_FORMULA,
    )


def farthest_rate(contact: Contact) -> Row:
    """V2: sifted rate at the edges of the window, mean of both."""
    rates = contact.rates.sifted_hz[contact.quantum_rows]
    return row(
        "V2d",
        "sifted rate at 1200 km, bit/s",
        published=FARTHEST_SIFTED_HZ,
        computed=round(float(rates[0] + rates[-1]) / 2),
        tolerance=factor(FARTHEST_SIFTED_HZ, 1.3, why=_READ_OFF),
        blind=False,
        source=f"{COUNTED}; published as about 1 kbit/s",
        kind="arithmetic",
        fitted=LOSS_FORMULA,
    )


def ratio(contact: Contact) -> Row:
    """V4: sifted over detected; depends on intensities, probabilities and background, hardly on loss."""
    computed = contact.total(contact.rates.sifted_hz) / contact.total(contact.rates.detection_hz)
    return row(
        "V4a",
        "sifted over detections (arithmetic)",
        published=round(SIFTED_SHARE, 6),
        computed=round(computed, 6),
        tolerance=SIFTED_SHARE_TOLERANCE,
        blind=False,
        source=f"{PAPER}; the preset's basis match and background were inferred with this ratio",
        kind="arithmetic",
    )


def qber(contact: Contact) -> Row:
    """V4: mean error rate of sifted bits."""
    return row(
        "V4b",
        "mean QBER",
        published=QBER,
        computed=round(contact.expected_qber, 6),
        tolerance=absolute(QBER, 0.001, why="one unit of the last printed digit"),
        blind=False,
        source=f"{PAPER}; the preset's optical error is the published QBER less dark counts and background",
        fitted="optical error of the xinglong preset, to this figure",
    )


def final_key(contact: Contact, bound: str) -> Row:
    """V5: the key of the published number of sifted bits under one bound."""
    return row(
        "V5a" if bound == "lim2014" else "V5b",
        f"final key, {bound}, f {EFFICIENCY:g}, bits",
        published=FINAL_KEY,
        computed=_key(published_counts(contact), bound),
        tolerance=relative(
            FINAL_KEY, 0.10, KEY_BAND, why="f between 1.16 and 1.4 and the bounds of the literature"
        ),
        blind=False,
        source=f"{PAPER}; {_COUNTS_NOTE}",
        fitted=_CHOSEN,
    )


def key_of_all_bounds(contact: Contact) -> Row:
    """V5: whether the published key lies between those of the finite-key bounds here."""
    counts = published_counts(contact)
    keys = [_key(counts, bound) for bound in FINITE_BOUNDS]
    return bracket_row(
        "V5c",
        f"final key, {', '.join(FINITE_BOUNDS)}, f {EFFICIENCY:g}, bits",
        published=FINAL_KEY,
        computed=(min(keys), max(keys)),
        blind=False,
        source=f"{PAPER}; {_COUNTS_NOTE}",
        fitted=_CHOSEN,
    )


_COUNTS_NOTE: Final = (
    "published sifted bits and QBER, counts by class as the model splits them (the paper prints none); "
    "f and the authors' bound are not published: chosen knowing the result"
)


def published_counts(contact: Contact) -> list[ClassCounts]:
    """The model's counts by basis and class, scaled so that the signal rounds are the published ones.

    Errors of signal rounds are the published share of them; those of decoy and vacuum rounds the model's.
    """
    model = expected_pass_counts(contact)
    scale = SIFTED / sum(each.detections for each in model if each.class_name == "signal")
    return [_scaled(each, scale) for each in model]


def _scaled(counts: ClassCounts, scale: float) -> ClassCounts:
    detections = round(scale * counts.detections)
    errors = QBER * detections if counts.class_name == "signal" else scale * counts.errors
    return msgspec.structs.replace(counts, detections=detections, errors=min(round(errors), detections))


def _key(counts: list[ClassCounts], bound: str) -> int:
    return key_length(counts, None, TARGETS, leaked_bits=_leak(counts), bound=bound).secret_bits


def _leak(counts: list[ClassCounts]) -> Mapping[str, int]:
    return planned_leak(counts, keyed_bases=BASIS_NAMES, keyed_classes=("signal",), efficiency=EFFICIENCY)
