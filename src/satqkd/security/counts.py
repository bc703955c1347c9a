"""Tables around a proof: counts of a block as rows, and rows a planner expects. No bound here."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from satqkd.errors import DataFormatError
from satqkd.records import BASIS_NAMES, CLASS_NAMES
from satqkd.results import ClassCounts
from satqkd.security.problem import BasisCounts
from satqkd.security.source import SourceLike, SourceModel
from satqkd.security.tails import shannon_bits


def tabulate(counts: Sequence[ClassCounts], source: SourceModel) -> dict[str, BasisCounts]:
    """Rows as arrays per basis; DataFormatError unless each basis and class has one row that agrees.

    A missing row is an error, not a zero: fewer vacuum counts would mean more key.
    """
    rows = {(row.basis, row.class_name): row for row in counts}
    names = CLASS_NAMES[: source.classes]
    wanted = [(basis, name) for basis in BASIS_NAMES for name in names]
    if len(rows) != len(counts) or set(rows) != set(wanted):
        got = sorted(f"{row.basis}/{row.class_name}" for row in counts)
        raise DataFormatError(
            f"counts: expected one row for each of Z and X with {', '.join(names)} (write 0 detections "
            f"for a class without any), got {', '.join(got) or 'none'}"
        )
    for (_, name), row in rows.items():
        _check_row(row, source, CLASS_NAMES.index(name))
    return {basis: _columns(rows, basis, names) for basis in BASIS_NAMES}


def source_from_counts(counts: Sequence[ClassCounts]) -> SourceModel:
    """The source as the rows name it, exact; DataFormatError when a class has no row."""
    rows = {row.class_name: row for row in counts}
    names = CLASS_NAMES[: max(2, len(rows))]
    if set(rows) != set(names):
        raise DataFormatError(
            f"counts: expected rows for signal, decoy and perhaps vacuum, got {sorted(rows) or 'none'}"
        )
    return SourceModel(
        tuple(rows[name].intensity for name in names), tuple(rows[name].probability for name in names)
    )


def planned_leak(
    counts: Sequence[ClassCounts],
    *,
    keyed_bases: Sequence[str],
    keyed_classes: Sequence[str],
    efficiency: float,
) -> dict[str, int]:
    """Bits that reconciliation of each keyed basis is expected to tell, rounded up.

    efficiency: the leak over the Shannon limit of the keyed rounds' own error rate.
    """
    leak = {}
    for basis in keyed_bases:
        rows = [row for row in counts if row.basis == basis and row.class_name in keyed_classes]
        sifted, errors = sum(row.detections for row in rows), sum(row.errors for row in rows)
        leak[basis] = math.ceil(efficiency * shannon_bits(sifted, errors))
    return leak


def expected_counts(
    *,
    pulses: float,
    source: SourceLike,
    gain: ArrayLike,
    error: ArrayLike,
    matched_probability: Mapping[str, float],
) -> list[ClassCounts]:
    """Rows a link is expected to give, rounded to whole counts, for planning.

    gain, error: detection probability per pulse and error rate of the detections, shape (classes,) for
    signal, decoy, vacuum, or (2, classes) with bases Z, X first.  matched_probability: {"Z": ..., "X": ...},
    that both ends take the basis.  Returns a row for each basis and class.
    """
    classes = len(source.intensities)
    gains = np.broadcast_to(np.asarray(gain, dtype=np.float64), (2, classes))
    errors = np.broadcast_to(np.asarray(error, dtype=np.float64), (2, classes))
    rows = []
    for b, basis in enumerate(BASIS_NAMES):
        for k, name in enumerate(CLASS_NAMES[:classes]):
            mu, p = float(source.intensities[k]), float(source.probabilities[k])
            expected = pulses * matched_probability[basis] * p * float(gains[b, k])
            wrong = round(expected * float(errors[b, k]))
            detections = round(expected)
            rows.append(ClassCounts(basis, name, mu, p, detections, min(wrong, detections)))
    return rows


def _check_row(row: ClassCounts, source: SourceModel, k: int) -> None:
    expected = (source.intensities[k], source.probabilities[k])
    if not np.allclose((row.intensity, row.probability), expected, rtol=1e-9, atol=0):
        raise DataFormatError(
            f"counts {row.basis}/{row.class_name}: expected intensity and probability {expected} of the "
            f"source, got ({row.intensity}, {row.probability}); give the source the counts were taken with"
        )


def _columns(rows: Mapping[tuple[str, str], ClassCounts], basis: str, names: Sequence[str]) -> BasisCounts:
    ordered = [rows[basis, name] for name in names]
    return BasisCounts(
        np.array([row.detections for row in ordered], dtype=np.float64),
        np.array([row.errors for row in ordered], dtype=np.float64),
    )
