"""The tables of docs/attacks.md, as computed; run this file to print them.

Kilobits of a block of both bases, signal keyed, leak 1.16 times the Shannon bits of the errors seen.
"""

from collections.abc import Iterable, Sequence

from eavesdropping import Attack
from link_attacks import (
    ATTACKS,
    MICIUS_LINK,
    MICIUS_PULSES,
    no_attack,
    shown,
    time_shifted,
    unknown_bits,
)
from security_models import EVEN_RECEIVER, MICIUS, TARGETS, leak
from side_channel import arrivals_apart, lacking_overlap, rows_of, told_apart, unknown_of_signal

from satqkd.results import ClassCounts
from satqkd.security import BOUNDS, ReceiverModel, SourceModel, key_length

ONE_DECOY = SourceModel((0.8, 0.1), (0.7, 0.3))
SIGNAL = ("signal",)


def left_over(unknown: dict[str, float], leaked: dict[str, int]) -> float:
    """Bits that any privacy amplification may promise, of both bases."""
    return sum(max(0.0, unknown[basis] - leaked[basis]) for basis in unknown)


def promised(
    rows: Sequence[ClassCounts],
    bound: str,
    classes: tuple[str, ...] = SIGNAL,
    *,
    planned: Sequence[ClassCounts],
    pulses: float = MICIUS_PULSES,
    receiver: ReceiverModel = EVEN_RECEIVER,
    vacuum_credit: bool = False,
) -> int:
    """Bits a bound gives for the rows, both bases keyed; planned: the rows that the ends expect."""
    return key_length(
        rows,
        None,
        TARGETS,
        leaked_bits=leak(list(rows), classes),
        bound=bound,
        keyed_classes=classes,
        planned=planned,
        pulses=round(pulses),
        receiver=receiver,
        vacuum_credit=vacuum_credit,
    ).secret_bits


def covering(source: SourceModel, classes: tuple[str, ...] = SIGNAL) -> list[str]:
    """Bounds that answer for a source and keyed classes; a decoy that is the only one must be revealed."""
    lone = source.classes == 2 and "decoy" in classes
    return [
        name
        for name, bound in BOUNDS.items()
        if source.classes in bound.classes and not (lone and bound.proved)
    ]


def effects_table() -> str:
    """What each attack does to one photon number after the other, in the order Z / X where they differ."""
    rows = []
    for name, attack in ATTACKS.items():
        effects = [attack(MICIUS_LINK, MICIUS)(n) for n in range(4)]
        yields = [_pair(effect.detected, ".2e") for effect in effects]
        single = effects[1]
        error, unknown = (_pair(value / single.detected, ".3f") for value in (single.wrong, single.unknown))
        rows.append([name, *yields, error, unknown])
    return _table(["attack", "Y0", "Y1", "Y2", "Y3", "e1", "unknown of a single photon, bits"], rows)


def two_decoys_table() -> str:
    """What is left, and what each bound promises, with two decoys."""
    return _promises(MICIUS)


def one_decoy_table() -> str:
    """The same with one."""
    return _promises(ONE_DECOY)


def _promises(source: SourceModel) -> str:
    bounds, planned = covering(source), expected(source)
    rows = []
    for name, attack in ATTACKS.items():
        acts = attack(MICIUS_LINK, source)
        seen = shown(source, acts, MICIUS_PULSES)
        bits = [promised(seen, bound, planned=planned) for bound in bounds]
        rows.append([name, _kilobits(_left(source, acts, seen)), *map(_kilobits, bits)])
    return _table(["attack", "left", *(f"`{bound}`" for bound in bounds)], rows)


def expected(source: SourceModel, pulses: float = MICIUS_PULSES) -> list[ClassCounts]:
    """Rows of the Micius link without attack."""
    return shown(source, no_attack(MICIUS_LINK), pulses)


def time_shift_table() -> str:
    """Time shift, and what a receiver that vouches for its spread is given."""
    rows = []
    for spread in (0.0, 0.001, 0.01, 0.05, 0.2, 0.6):
        acts = time_shifted(MICIUS_LINK, MICIUS, spread)
        seen = shown(MICIUS, acts, MICIUS_PULSES)
        bits = [
            _kilobits(promised(seen, "variable-sharp", planned=seen, receiver=each))
            for each in vouched(spread)
        ]
        rows.append([f"{spread:g}", _kilobits(_left(MICIUS, acts, seen)), *bits])
    return _table(["spread", "left", "spread not told", "told", "told, labels swapped"], rows)


def vouched(spread: float) -> tuple[ReceiverModel, ...]:
    """A receiver said to be matched, one that tells its spread, and one that swaps labels besides."""
    return (
        ReceiverModel(),
        ReceiverModel(efficiency_spread=spread),
        ReceiverModel(efficiency_spread=spread, labels_swapped=True),
    )


def killing_distance() -> float:
    """Trace distance between signal and decoy at which nothing is left of the Micius block."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if left_at(middle) > 0 else (low, middle)
    return high


def left_at(distance: float) -> float:
    """Bits left when the diodes of signal and decoy are this far apart."""
    signal, _ = told_apart(MICIUS_LINK, MICIUS, distance)
    leaked = leak(shown(MICIUS, signal, MICIUS_PULSES))
    return left_over(unknown_of_signal(MICIUS, signal, MICIUS_PULSES), leaked)


def promised_at(distance: float) -> int:
    """Bits promised then."""
    rows = rows_of(MICIUS, *told_apart(MICIUS_LINK, MICIUS, distance), MICIUS_PULSES)
    return promised(rows, "variable-sharp", planned=rows)


def distance_table() -> str:
    """Distinguishable diodes against the Micius block."""
    kill = killing_distance()
    rows = []
    for distance in (0.0, 1e-6, 1e-5, 5e-5, 1e-4, kill):
        left, bits = left_at(distance), promised_at(distance)
        verdict = "too much" if bits > left else "kept"
        pure = pure_lack_at(distance)
        rows.append([f"{distance:.2g}", f"{pure:.1g}", _kilobits(left), _kilobits(bits), verdict])
    return _table(["D", "pure: 1 - overlap", "left", "`variable-sharp`", "promise"], rows)


def pure_lack_at(distance: float) -> float:
    """Lack of overlap with which pure wave packets allow what Eve does at this distance."""
    of_signal, of_decoy, _ = arrivals_apart(MICIUS_LINK, MICIUS, distance)
    return lacking_overlap(of_signal, of_decoy) if distance else 0.0


def honest_yield() -> float:
    """Probability that a single photon of the Micius block is detected."""
    return float(no_attack(MICIUS_LINK)(1).detected[0])


def _left(source: SourceModel, acts: Attack, seen: list[ClassCounts]) -> float:
    return left_over(unknown_bits(source, acts, MICIUS_PULSES, SIGNAL), leak(seen))


def _pair(values: Iterable[float], form: str) -> str:
    z, x = (format(value, form) for value in values)
    return z if z == x else f"{z} / {x}"


def _kilobits(bits: float) -> str:
    return "0" if bits < 0.5 else f"{bits / 1000:.1f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


TABLES = (effects_table, two_decoys_table, one_decoy_table, time_shift_table, distance_table)

if __name__ == "__main__":
    for table in TABLES:
        print(table())
