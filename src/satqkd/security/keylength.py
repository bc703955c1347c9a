"""Counts in, secret length out: the one function both ends of a pass call and must agree on.

Depends on counts, leak and settings alone. Each keyed basis is a proof of its own with the other basis as
test and the other's string given away; the epsilons of the bases add up to the targets. The caller vouches
that the leak holds every key-dependent bit of its basis, announced error counts and clear tags beyond
`verification_bits` included.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from satqkd.errors import ConfigError, DataFormatError
from satqkd.records import BASIS_NAMES, CLASS_NAMES
from satqkd.results import ClassCounts, KeyLength
from satqkd.security import asymptotic, lim2014, variable
from satqkd.security.decoy import Floats, SourceLike, SourceModel
from satqkd.security.problem import (
    BasisCounts,
    BasisProblem,
    SecurityTargets,
    Terms,
    source_from_counts,
    tabulate,
)
from satqkd.security.tails import binary_entropy

BOUNDS: Final[Mapping[str, Callable[[BasisProblem], Terms]]] = {
    "variable-sharp": variable.sharp,
    "variable": variable.published,
    "lim2014": lim2014.lim2014,
    "asymptotic": asymptotic.asymptotic,
}


def key_length(
    counts: Sequence[ClassCounts],
    source: SourceLike | None,
    security: SecurityTargets,
    *,
    leaked_bits: Mapping[str, int] | int,
    bound: str = "variable-sharp",
    keyed_bases: Sequence[str] = ("Z", "X"),
    keyed_classes: Sequence[str] = ("signal",),
) -> KeyLength:
    """Secret bits of one block, and every term per basis in `terms["bases"][basis]`.

    counts: one row per basis and class, errors of both bases known.  source: intensities and probabilities,
    checked against the rows; None takes them from the rows.  leaked_bits: by basis; a single number is
    shared out in proportion to the keyed bits, good for planning and for one keyed basis only.
    Raises ConfigError for settings, DataFormatError for rows. Counts of zero give 0 bits, not an error.
    """
    _check_settings(bound, keyed_bases, keyed_classes)
    model, tables = tabulate(counts, source_from_counts(counts) if source is None else source)
    keyed = (True, "decoy" in keyed_classes, "vacuum" in keyed_classes)
    leaks = _leak_by_basis(leaked_bits, tables, keyed_bases, keyed)
    bases: dict[str, Terms] = {}
    for basis in keyed_bases:
        problem = _problem(basis, model, tables, keyed, leaks[basis], security, len(keyed_bases))
        bases[basis] = BOUNDS[bound](problem) | _observed(tables[basis], keyed)
    return KeyLength(
        secret_bits=sum(terms["secret_bits"] for terms in bases.values()),
        bound=bound,
        terms={
            "bases": bases,
            "keyed_classes": [name for name in CLASS_NAMES if name in keyed_classes],
            "epsilon_secrecy": security.epsilon_secrecy,
            "epsilon_correctness": security.epsilon_correctness,
            "leaked_bits": sum(leaks.values()),
        },
    )


def _check_settings(bound: str, bases: Sequence[str], classes: Sequence[str]) -> None:
    if bound not in BOUNDS:
        raise ConfigError(f"bound: expected one of {', '.join(BOUNDS)}, got {bound!r}")
    if not bases or len(set(bases)) != len(bases) or not set(bases) <= set(BASIS_NAMES):
        raise ConfigError(f"keyed_bases: expected Z, X or both once, got {tuple(bases)}")
    if "signal" not in classes or len(set(classes)) != len(classes) or not set(classes) <= set(CLASS_NAMES):
        raise ConfigError(
            f"keyed_classes: expected signal, and decoy or vacuum if they are keyed too, got {tuple(classes)}"
        )


def _problem(
    basis: str,
    source: SourceModel,
    tables: Mapping[str, BasisCounts],
    keyed: tuple[bool, bool, bool],
    leak: int,
    security: SecurityTargets,
    n_bases: int,
) -> BasisProblem:
    return BasisProblem(
        source=source,
        key=tables[basis].detections,
        test=tables["X" if basis == "Z" else "Z"],
        keyed=keyed,
        leaked_bits=leak,
        epsilon_secrecy=security.epsilon_secrecy / n_bases,
        epsilon_correctness=security.epsilon_correctness / n_bases,
    )


def _leak_by_basis(
    leak: Mapping[str, int] | int,
    tables: Mapping[str, BasisCounts],
    bases: Sequence[str],
    keyed: tuple[bool, bool, bool],
) -> dict[str, int]:
    if isinstance(leak, Mapping):
        by_basis = dict(leak)
    else:
        by_basis = _shared_out(leak, {basis: _keyed_sum(tables[basis].detections, keyed) for basis in bases})
    if set(by_basis) != set(bases) or any(bits < 0 for bits in by_basis.values()):
        raise DataFormatError(
            f"leaked_bits: expected a number >= 0 for each keyed basis {tuple(bases)}, got {leak}"
        )
    return by_basis


def _shared_out(total: int, sizes: dict[str, int]) -> dict[str, int]:
    """Shares rounded up, so that together they are never less than the total."""
    whole = sum(sizes.values())
    return {basis: -(-total * size // whole) if whole else total for basis, size in sizes.items()}


def _keyed_sum(column: Floats, keyed: tuple[bool, bool, bool]) -> int:
    return int(sum(column[k] for k in range(3) if keyed[k]))


def _observed(table: BasisCounts, keyed: tuple[bool, bool, bool]) -> Terms:
    sifted, errors = _keyed_sum(table.detections, keyed), _keyed_sum(table.errors, keyed)
    qber = errors / sifted if sifted else 0.0
    return {
        "sifted_bits": sifted,
        "errors": errors,
        "qber": qber,
        "shannon_bits": sifted * binary_entropy(qber),
    }
