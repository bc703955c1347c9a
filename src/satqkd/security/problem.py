"""One proof: one basis is key, the other is test; what goes in and what every bound gives back.

Also the tables around it: counts of a block as rows, and rows a planner expects. No bound here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from satqkd.errors import DataFormatError
from satqkd.records import BASIS_NAMES, CLASS_NAMES
from satqkd.results import ClassCounts
from satqkd.security.decoy import Floats, SourceLike, SourceModel

Terms = dict[str, Any]


class SecurityTargets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Failure probabilities of a whole block, both bases together."""

    epsilon_secrecy: float
    """Trace distance from a perfectly secret key."""
    epsilon_correctness: float
    """Probability that the two ends hold different keys and do not notice."""

    def __post_init__(self) -> None:
        for name in ("epsilon_secrecy", "epsilon_correctness"):
            value = getattr(self, name)
            if not 1e-100 <= value < 1:
                raise DataFormatError(f"security {name}: expected 1e-100 <= {name} < 1, got {value}")


class BasisCounts(msgspec.Struct, frozen=True, eq=False):
    """Matched detections of one basis by class, float64 of shape (3,): signal, decoy, vacuum."""

    detections: Floats
    errors: Floats


class BasisProblem(msgspec.Struct, frozen=True, eq=False):
    """All a bound may look at for one keyed basis. The key basis's own errors are not in it."""

    source: SourceModel
    key: Floats
    """Detections in the key basis, shape (3,)."""
    test: BasisCounts
    """Detections and errors in the other basis."""
    keyed: tuple[bool, bool, bool]
    """Which classes are key: signal, decoy, vacuum."""
    leaked_bits: float
    epsilon_secrecy: float
    """This basis's share."""
    epsilon_correctness: float

    def keyed_share(self, photons: int) -> float:
        """Probability that an n-photon pulse belongs to a keyed class; exactly 1 when no other can hold n."""
        share = self.source.class_share(photons)
        others = float(sum(share[k] for k in range(3) if not self.keyed[k]))
        return 1.0 - others

    @property
    def keyed_detections(self) -> float:
        """Detections in the key basis that become key."""
        return float(sum(self.key[k] for k in range(3) if self.keyed[k]))

    def contradicts(self, *, keyed_singles: float, test_singles: float) -> bool:
        """More single photons claimed than detections seen: a statement failed or the source is another."""
        return keyed_singles > self.keyed_detections or test_singles > float(self.test.detections.sum())


def tabulate(counts: Sequence[ClassCounts], source: SourceLike) -> tuple[SourceModel, dict[str, BasisCounts]]:
    """Rows as arrays per basis; DataFormatError unless each basis and class has one row that agrees.

    A missing row is an error, not a zero: fewer vacuum counts would mean more key.
    """
    rows = {(row.basis, row.class_name): row for row in counts}
    wanted = [(basis, name) for basis in BASIS_NAMES for name in CLASS_NAMES]
    if len(rows) != len(counts) or set(rows) != set(wanted):
        got = sorted(f"{row.basis}/{row.class_name}" for row in counts)
        raise DataFormatError(
            "counts: expected one row for each of Z and X with signal, decoy and vacuum (write 0 detections "
            f"for a class without any), got {', '.join(got) or 'none'}"
        )
    model = SourceModel(source.intensities, source.probabilities)
    for (_, name), row in rows.items():
        _check_row(row, model, CLASS_NAMES.index(name))
    return model, {basis: _columns(rows, basis) for basis in BASIS_NAMES}


def source_from_counts(counts: Sequence[ClassCounts]) -> SourceModel:
    """The source as the rows name it; DataFormatError when a class has no row."""
    rows = {row.class_name: row for row in counts}
    if set(rows) != set(CLASS_NAMES):
        raise DataFormatError(f"counts: expected rows for {', '.join(CLASS_NAMES)}, got {sorted(rows)}")
    signal, decoy, vacuum = (rows[name] for name in CLASS_NAMES)
    return SourceModel(
        (signal.intensity, decoy.intensity, vacuum.intensity),
        (signal.probability, decoy.probability, vacuum.probability),
    )


def expected_counts(
    *,
    pulses: float,
    source: SourceLike,
    gain: ArrayLike,
    error: ArrayLike,
    matched_probability: Mapping[str, float],
) -> list[ClassCounts]:
    """Rows a link is expected to give, rounded to whole counts, for planning.

    gain, error: detection probability per pulse and error rate of the detections, shape (3,) for signal,
    decoy, vacuum, or (2, 3) with bases Z, X first.  matched_probability: {"Z": ..., "X": ...}, that both
    ends take the basis.  Returns six rows.
    """
    gains = np.broadcast_to(np.asarray(gain, dtype=np.float64), (2, 3))
    errors = np.broadcast_to(np.asarray(error, dtype=np.float64), (2, 3))
    rows = []
    for b, basis in enumerate(BASIS_NAMES):
        for k, name in enumerate(CLASS_NAMES):
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


def _columns(rows: Mapping[tuple[str, str], ClassCounts], basis: str) -> BasisCounts:
    ordered = [rows[basis, name] for name in CLASS_NAMES]
    return BasisCounts(
        np.array([row.detections for row in ordered], dtype=np.float64),
        np.array([row.errors for row in ordered], dtype=np.float64),
    )
