"""Counts in, secret length out: the one function both ends of a pass call and must agree on.

Depends on counts, leak and settings alone. Each keyed basis is a proof of its own with the other basis as
test and the other's string given away; the epsilons of the bases add up to the targets. The caller vouches
that the leak holds every key-dependent bit of its basis, announced error counts and clear tags beyond
`verification_bits` included.
"""

from collections.abc import Mapping, Sequence

import msgspec

from satqkd.errors import ConfigError, DataFormatError
from satqkd.records import BASIS_NAMES, CLASS_NAMES
from satqkd.results import ClassCounts, KeyLength
from satqkd.security.bounds import BOUNDS
from satqkd.security.counts import source_from_counts, tabulate
from satqkd.security.problem import IDEAL, BasisCounts, BasisProblem, SecurityTargets, Terms
from satqkd.security.receiver import ReceiverModel
from satqkd.security.source import Floats, SourceLike, SourceModel
from satqkd.security.tails import shannon_bits
from satqkd.security.weight_choice import Foretold
from satqkd.security.weights import WeightSet


def key_length(
    counts: Sequence[ClassCounts],
    source: SourceLike | None,
    security: SecurityTargets,
    *,
    leaked_bits: Mapping[str, int] | int,
    bound: str = "variable-sharp",
    keyed_bases: Sequence[str] = ("Z", "X"),
    keyed_classes: Sequence[str] = ("signal",),
    receiver: ReceiverModel = IDEAL,
    vacuum_credit: bool = False,
    weights: Mapping[str, Sequence[WeightSet]] | None = None,
    planned: Sequence[ClassCounts] | None = None,
    pulses: int | None = None,
) -> KeyLength:
    """Secret bits of one block, and every term per basis in `terms["bases"][basis]`.

    counts: one row per basis and class, errors of both bases known.  source: intensities and probabilities,
    checked against the rows; None takes them from the rows.  leaked_bits: by basis; a single number is
    shared out in proportion to the keyed bits, good for planning and for one keyed basis only.
    receiver: what the station vouches for; omitted, both bases detect equally.  vacuum_credit: whether
    `variable-sharp` counts keyed empty pulses as secret.
    weights, planned, pulses: fixed before the block, from nothing of it. weights: sets for
    `variable-martingale` by key basis, each verified here. planned: rows like `counts` as they were expected;
    without weights that bound takes sets around them, and without rows a ladder of sets that depends on the
    source alone; `variable-kato` needs them. pulses: slots of the block, for `variable-kato`.
    Raises ConfigError for settings, DataFormatError for rows. Counts of zero give 0 bits, not an error.
    """
    model = source_from_counts(counts) if source is None else SourceModel.of(source)
    _check_settings(bound, keyed_bases, keyed_classes)
    if vacuum_credit and (bound != "variable-sharp" or model.classes != 3):
        raise ConfigError(
            f"vacuum_credit: expected bound variable-sharp and three classes, got {bound} and {model.classes}"
        )
    tables = tabulate(counts, model)
    sets = {} if weights is None else weights
    if not set(sets) <= set(keyed_bases) or not all(sets.values()):
        raise ConfigError(f"weights: expected sets for keyed bases {tuple(keyed_bases)}, got {tuple(sets)}")
    foretold = {} if planned is None else tabulate(planned, model)
    keyed = tuple(name in keyed_classes for name in CLASS_NAMES[: model.classes])
    leaks = _leak_by_basis(leaked_bits, tables, keyed_bases, keyed)
    bases: dict[str, Terms] = {}
    for basis in keyed_bases:
        other = "X" if basis == "Z" else "Z"
        problem = BasisProblem(
            source=model,
            key=tables[basis],
            test=tables[other],
            keyed=keyed,
            leaked_bits=leaks[basis],
            epsilon_secrecy=security.epsilon_secrecy / len(keyed_bases),
            epsilon_correctness=security.epsilon_correctness / len(keyed_bases),
            receiver=receiver,
            test_share=receiver.test_share(basis),
            vacuum_credit=vacuum_credit,
            weights=tuple(sets.get(basis, ())),
            foretold=Foretold(foretold[basis].detections, foretold[other].errors) if foretold else None,
            pulses=pulses,
        )
        BOUNDS[bound].check(bound, problem)
        bases[basis] = BOUNDS[bound].compute(problem) | _observed(tables[basis], keyed)
    return KeyLength(
        secret_bits=sum(terms["secret_bits"] for terms in bases.values()),
        bound=bound,
        terms={
            "bases": bases,
            "counts": {
                basis: {"detections": table.detections.tolist(), "errors": table.errors.tolist()}
                for basis, table in tables.items()
            },
            "source": _given(model),
            "receiver": _given(receiver),
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


def _leak_by_basis(
    leak: Mapping[str, int] | int,
    tables: Mapping[str, BasisCounts],
    bases: Sequence[str],
    keyed: tuple[bool, ...],
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


def _keyed_sum(column: Floats, keyed: tuple[bool, ...]) -> int:
    return int(sum(count for count, member in zip(column, keyed, strict=True) if member))


def _given(model: msgspec.Struct) -> Terms:
    """A model as plain values, without what was left out."""
    return {name: value for name, value in msgspec.to_builtins(model).items() if value is not None}


def _observed(table: BasisCounts, keyed: tuple[bool, ...]) -> Terms:
    sifted, errors = _keyed_sum(table.detections, keyed), _keyed_sum(table.errors, keyed)
    qber = errors / sifted if sifted else 0.0
    return {
        "sifted_bits": sifted,
        "errors": errors,
        "qber": qber,
        "shannon_bits": shannon_bits(sifted, errors),
    }
