"""Counts of any experiment, JSON or CSV, for `satqkd keylength`; the format stands in `docs/counts.md`."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from satqkd.errors import DataFormatError
from satqkd.results import ClassCounts, KeyLength
from satqkd.security import ReceiverModel, SecurityTargets, SourceModel, key_length, planned_leak
from satqkd.security.weights import WeightSet

COLUMNS = ("basis", "class", "intensity", "probability", "detections", "errors")
"""Of a CSV file, in any order."""
_SETTING = "#"


class CountsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counts by basis and class, what was leaked, and under which promises."""

    counts: tuple[ClassCounts, ...]
    security: SecurityTargets
    leaked_bits: int | dict[str, int] | None = None
    """By keyed basis, or one number that is shared out in proportion to the keyed bits."""
    efficiency: float | None = None
    """Instead of `leaked_bits`: the leak over the Shannon limit of each keyed basis's own error rate."""
    source: SourceModel | None = None
    """Omitted: intensities and probabilities are taken from the rows, and are exact."""
    receiver: ReceiverModel = ReceiverModel()
    keyed_bases: tuple[Literal["Z", "X"], ...] = ("Z", "X")
    keyed_classes: tuple[Literal["signal", "decoy", "vacuum"], ...] = ("signal",)
    vacuum_credit: bool = False
    """Whether `variable-sharp` counts keyed empty pulses as secret."""
    planned: tuple[ClassCounts, ...] = ()
    """Rows like `counts` as they were expected before the block, for bounds that fix a guess by them."""
    weights: dict[str, tuple[WeightSet, ...]] | None = None
    """Sets of `variable-martingale` by key basis, fixed before the block; omitted, it chooses them."""
    pulses: int | None = None
    """Slots of the block, for `variable-kato`."""
    note: str = ""
    """Where the counts are from."""

    def __post_init__(self) -> None:
        if (self.leaked_bits is None) == (self.efficiency is None):
            raise DataFormatError("counts file: expected leaked_bits or efficiency, one of the two")
        if self.efficiency is not None and not 1 <= self.efficiency <= 10:
            raise DataFormatError(
                f"counts file, efficiency: expected 1 to 10 times the Shannon limit, got {self.efficiency}"
            )

    @property
    def leak(self) -> dict[str, int] | int:
        """Bits leaked, by keyed basis or in one number."""
        if self.leaked_bits is not None:
            return self.leaked_bits
        assert self.efficiency is not None
        return planned_leak(
            self.counts,
            keyed_bases=self.keyed_bases,
            keyed_classes=self.keyed_classes,
            efficiency=self.efficiency,
        )


def read_counts(path: Path) -> CountsFile:
    """Read and check a counts file, CSV by its name, else JSON. Raises DataFormatError naming the place."""
    try:
        if path.suffix.lower() == ".csv":
            return msgspec.convert(_from_csv(path.read_text("utf-8")), CountsFile, strict=False)
        return msgspec.json.decode(path.read_bytes(), type=CountsFile)
    except FileNotFoundError:
        raise DataFormatError(f"{path}: no such file; give a COUNTS.json (docs/counts.md)") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, DataFormatError) as error:
        raise DataFormatError(f"{path}: {error}; the format stands in docs/counts.md") from None


def pooled(files: Sequence[CountsFile]) -> CountsFile:
    """Several blocks as one: counts and leak summed. Raises DataFormatError when settings differ."""
    first, *others = files
    leaks = [_by_basis(each) for each in files]
    for each in others:
        if _settings(each) != _settings(first):
            raise DataFormatError(
                "pooled counts: expected one source, receiver, security and keyed set in all files; what "
                "differs cannot be one block"
            )
    rows = {(row.basis, row.class_name): row for row in first.counts}
    for each in others:
        for row in each.counts:
            key = (row.basis, row.class_name)
            if key not in rows:
                raise DataFormatError(f"pooled counts: no row {row.basis}/{row.class_name} in the first file")
            rows[key] = rows[key] + row
    return msgspec.structs.replace(
        first,
        counts=tuple(rows.values()),
        pulses=sum(each.pulses for each in files if each.pulses is not None) or None,
        leaked_bits={basis: sum(leak[basis] for leak in leaks) for basis in first.keyed_bases},
        efficiency=None,
    )


def key_length_of(counts: CountsFile, bound: str) -> KeyLength:
    """Secret bits of the file's counts under a bound, with every term."""
    return key_length(
        counts.counts,
        counts.source,
        counts.security,
        leaked_bits=counts.leak,
        bound=bound,
        keyed_bases=counts.keyed_bases,
        keyed_classes=counts.keyed_classes,
        receiver=counts.receiver,
        vacuum_credit=counts.vacuum_credit,
        weights=counts.weights,
        planned=counts.planned or None,
        pulses=counts.pulses,
    )


def _settings(counts: CountsFile) -> CountsFile:
    """What must be alike; a pool's own foretelling is not that of its parts."""
    return msgspec.structs.replace(counts, counts=(), leaked_bits=0, efficiency=None, pulses=None, note="")


def _by_basis(counts: CountsFile) -> dict[str, int]:
    leak = counts.leak
    if not isinstance(leak, dict):
        raise DataFormatError("pooled counts: expected leaked_bits by basis in each file, or efficiency")
    return leak


def _from_csv(text: str) -> dict[str, Any]:
    """The same object as the JSON form: settings in lines `# name = JSON value`, then rows."""
    lines = text.splitlines()
    document: dict[str, Any] = {}
    for number, line in enumerate(lines, start=1):
        if line.startswith(_SETTING):
            name, equals, value = line.lstrip(_SETTING).partition("=")
            if not equals:
                raise DataFormatError(f"line {number}: expected `# name = JSON value`, got {line!r}")
            try:
                document[name.strip()] = msgspec.json.decode(value.strip())
            except msgspec.DecodeError as error:
                raise DataFormatError(f"line {number}: {name.strip()} is no JSON value ({error})") from None
    rows = list(
        csv.DictReader(io.StringIO("\n".join(line for line in lines if not line.startswith(_SETTING))))
    )
    if not rows or set(rows[0]) != set(COLUMNS):
        got = ", ".join(map(str, rows[0])) if rows else "no rows"
        raise DataFormatError(f"expected rows under the header {','.join(COLUMNS)}, got {got}")
    return document | {"counts": rows}
