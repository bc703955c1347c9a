"""COUNTS.json: counts of any experiment, for `satqkd keylength`; the format stands in `docs/counts.md`."""

from pathlib import Path
from typing import Literal

import msgspec

from satqkd.errors import DataFormatError
from satqkd.results import ClassCounts, KeyLength
from satqkd.security import SecurityTargets, SourceModel, key_length


class CountsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counts by basis and class, what was leaked, and under which promises."""

    counts: tuple[ClassCounts, ...]
    security: SecurityTargets
    leaked_bits: int | dict[str, int]
    """By keyed basis, or one number that is shared out in proportion to the keyed bits."""
    source: SourceModel | None = None
    """Omitted: intensities and probabilities are taken from the rows."""
    keyed_bases: tuple[Literal["Z", "X"], ...] = ("Z", "X")
    keyed_classes: tuple[Literal["signal", "decoy"], ...] = ("signal",)


def read_counts(path: Path) -> CountsFile:
    """Read and check a counts file. Raises DataFormatError naming file and place."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=CountsFile)
    except FileNotFoundError:
        raise DataFormatError(f"{path}: no such file; give a COUNTS.json (docs/counts.md)") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataFormatError(f"{path}: {error}; the format stands in docs/counts.md") from None


def key_length_of(counts: CountsFile, bound: str) -> KeyLength:
    """Secret bits of the file's counts under a bound, with every term."""
    return key_length(
        counts.counts,
        counts.source,
        counts.security,
        leaked_bits=counts.leaked_bits,
        bound=bound,
        keyed_bases=counts.keyed_bases,
        keyed_classes=counts.keyed_classes,
    )
