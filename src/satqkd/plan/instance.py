"""Public instances of satellite scheduling: the file format, read and checked.

A JSON list with one object, plain or gzip: passes of one satellite over ground terminals, and tasks that the
terminals ask for. Form and rules are those of the set in leonkamke/satqkd-scheduling-optimisation (GitHub);
`docs/planning.md` tells them. Knows no solver.
"""

import gzip
import zlib
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from satqkd.errors import DataFormatError

Operation = Literal["QKD", "OPTICAL_ONLY"]
Amount = Annotated[float, Meta(ge=0, le=1e15)]
Priority = Annotated[float, Meta(ge=0, le=1e9)]

Unused = float | str | None
"""How the file was made; no rule depends on it."""

_GZIP: Final = b"\x1f\x8b"


class InstancePass(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pass over a ground terminal, which serves one task of that terminal or none."""

    id: int
    node: int = msgspec.field(name="nodeId")
    """The ground terminal."""
    start: datetime = msgspec.field(name="startTime")
    """UTC where no zone is given, like all times of the file."""
    end: datetime = msgspec.field(name="endTime")
    key_bits: Amount = msgspec.field(name="achievableKeyVolume")
    """Key that a QKD task gets of this pass; 0 by day and under cloud."""
    orbit: int = msgspec.field(name="orbitId")


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task: one contact with a ground terminal, for key or for optical communication alone."""

    id: int
    application: int = msgspec.field(name="applicationId")
    priority: Priority
    node: int = msgspec.field(name="nodeId")
    operation: Operation = msgspec.field(name="requestedOperation")


class Instance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One problem: which passes to fly, for which task each. Raises DataFormatError for contradictions."""

    coverage_start: datetime
    coverage_end: datetime
    passes: tuple[InstancePass, ...] = msgspec.field(name="satellite_passes")
    targets: tuple[Target, ...] = msgspec.field(name="service_targets")
    problem_instance_id: Unused = None
    min_elevation_angle: Unused = None
    step_duration: Unused = None
    number_ground_terminals: int | None = None
    """Where given, terminals are numbered from 0 below it."""
    number_application_contexts_per_node: Unused = None
    number_satellite_passes: int | None = None
    number_service_targets: int | None = None

    def __post_init__(self) -> None:
        _check_lists(self)
        _check_times(self)
        _check_nodes(self)


def read_instance(path: Path) -> Instance:
    """Read and check an instance, `.json` or `.json.gz`. Raises DataFormatError naming the place."""
    try:
        raw = path.read_bytes()
        text = gzip.decompress(raw) if raw.startswith(_GZIP) else raw
        (instance,) = msgspec.json.decode(text, type=tuple[Instance])
    except FileNotFoundError:
        raise DataFormatError(f"{path}: no such file; give an instance of docs/planning.md") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataFormatError(f"{path}: expected a whole gzip file ({error}); fetch it again") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, DataFormatError) as error:
        raise DataFormatError(f"{path}: {error}; the format stands in docs/planning.md") from None
    return instance


def utc(moment: datetime) -> datetime:
    """A time of the file with its zone: UTC where it gives none."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _check_lists(instance: Instance) -> None:
    for name, entries, count in (
        ("satellite_passes", instance.passes, instance.number_satellite_passes),
        ("service_targets", instance.targets, instance.number_service_targets),
    ):
        if not entries:
            raise DataFormatError(f"{name}: expected one entry or more, got none: there is nothing to plan")
        if count is not None and count != len(entries):
            raise DataFormatError(
                f"number_{name}: expected the number of entries, {len(entries)}, got {count}; the file "
                "is cut, or its head is of another"
            )
        twice = _repeated(each.id for each in entries)
        if twice is not None:
            raise DataFormatError(f"{name}: expected each id once, got {twice} again")


def _check_times(instance: Instance) -> None:
    begin, end = utc(instance.coverage_start), utc(instance.coverage_end)
    if not begin < end:
        raise DataFormatError(f"coverage_end: expected a time after coverage_start ({begin}), got {end}")
    for each in instance.passes:
        if not utc(each.start) < utc(each.end):
            raise DataFormatError(
                f"satellite_passes, id {each.id}: expected endTime after startTime ({each.start}), "
                f"got {each.end}"
            )
        if utc(each.end) <= begin or utc(each.start) >= end:
            raise DataFormatError(
                f"satellite_passes, id {each.id}: expected a pass within coverage, {begin} to {end}, got "
                f"{each.start} to {each.end}"
            )


def _check_nodes(instance: Instance) -> None:
    count = instance.number_ground_terminals
    for name, entries in (("satellite_passes", instance.passes), ("service_targets", instance.targets)):
        unknown = [each for each in entries if count is not None and not 0 <= each.node < count]
        if unknown:
            raise DataFormatError(
                f"{name}, id {unknown[0].id}: expected a nodeId of 0 to {(count or 0) - 1}, as "
                f"number_ground_terminals says, got {unknown[0].node}"
            )
    seen, asking = ({each.node for each in entries} for entries in (instance.passes, instance.targets))
    if not seen & asking:
        raise DataFormatError(
            f"service_targets: expected a nodeId over which there is a pass, such as {min(seen)}, got none: "
            f"passes are over {len(seen)} terminals, tasks at {len(asking)} others"
        )


def _repeated(ids: Iterable[int]) -> int | None:
    (most, count), *_ = Counter(ids).most_common(1)
    return most if count > 1 else None
