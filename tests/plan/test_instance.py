"""Reading public instances: both packings, times with and without zone, and what is wrong told in words."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instance_cases import Document, document, written
from satqkd.errors import DataFormatError
from satqkd.plan.instance import Instance, read_instance, utc

PASSES = [(0, 0, 300, 5.0), (1, 360, 700, 6.0)]
TARGETS = [(0, 1.0, "QKD"), (1, 2.0, "OPTICAL_ONLY")]


def test_plain_and_packed_files_say_the_same(tmp_path: Path) -> None:
    head = {"problem_instance_id": "a2af", "number_ground_terminals": 2, "min_elevation_angle": 15}
    plain = written(tmp_path, document(PASSES, TARGETS, **head))
    packed = tmp_path / "made.json.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    instance = read_instance(plain)
    assert instance == read_instance(packed)
    assert [(each.id, each.node, each.key_bits) for each in instance.passes] == [(100, 0, 5.0), (107, 1, 6.0)]
    assert [(each.id, each.operation) for each in instance.targets] == [(1000, "QKD"), (1003, "OPTICAL_ONLY")]


def test_times_without_zone_are_utc(tmp_path: Path) -> None:
    made = document(PASSES, TARGETS)
    made["satellite_passes"][0]["startTime"] = "2024-03-05T01:00:00+01:00"
    instance = read_instance(written(tmp_path, made))
    assert utc(instance.passes[0].start) == utc(instance.coverage_start)


def _set(path: str, value: Any) -> Callable[[Document], None]:
    """A change of one value, `satellite_passes.0.id`."""

    def change(made: Document) -> None:
        *way, last = path.split(".")
        table: Any = made
        for name in way:
            table = table[int(name)] if name.isdigit() else table[name]
        table[last] = value

    return change


def _move_tasks(made: Document) -> None:
    for task in made["service_targets"]:
        task["nodeId"] += 7


def _forget(made: Document) -> None:
    del made["service_targets"][1]["priority"]


WRONG: dict[str, tuple[Callable[[Document], None], tuple[str, ...]]] = {
    "no passes": (_set("satellite_passes", []), ("satellite_passes", "got none")),
    "no tasks": (_set("service_targets", []), ("service_targets", "got none")),
    "end before start": (
        _set("satellite_passes.1.endTime", "2024-03-05T00:01:00"),
        ("satellite_passes, id 107", "endTime after startTime"),
    ),
    "end at start": (_set("satellite_passes.0.endTime", "2024-03-05T00:00:00"), ("id 100",)),
    "coverage that ends first": (_set("coverage_end", "2024-03-04T00:00:00"), ("coverage_end",)),
    "a pass of another day": (_set("coverage_end", "2024-03-05T00:05:30"), ("id 107", "within coverage")),
    "tasks at unknown nodes": (
        _move_tasks,
        ("service_targets", "nodeId", "got none"),
    ),
    "a node beyond the number": (_set("number_ground_terminals", 1), ("id 107", "nodeId of 0 to 0", "got 1")),
    "another number of passes": (_set("number_satellite_passes", 3), ("number_satellite_passes", "2, got 3")),
    "a pass's id twice": (_set("satellite_passes.1.id", 100), ("each id once", "100")),
    "a task's id twice": (_set("service_targets.1.id", 1000), ("each id once", "1000")),
    "a misspelt field": (
        _set("satellite_passes.0.nodeID", 1),
        ("unknown field `nodeID`", "satellite_passes["),
    ),
    "a missing field": (_forget, ("`priority`", "service_targets[")),
    "another operation": (
        _set("service_targets.0.requestedOperation", "RADIO"),
        ("'RADIO'", "service_targets["),
    ),
    "a negative priority": (_set("service_targets.0.priority", -0.1), (">= 0", ".priority")),
    "key of less than nothing": (_set("satellite_passes.0.achievableKeyVolume", -1.0), (">= 0",)),
    "key without end": (_set("satellite_passes.0.achievableKeyVolume", 1e300), ("<= 1000000000000000",)),
    "a time in words": (_set("satellite_passes.0.startTime", "at noon"), ("RFC3339", ".startTime")),
    "text for a number": (_set("service_targets.0.id", "7"), ("Expected `int`", "service_targets[")),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, name: str) -> None:
    change, parts = WRONG[name]
    made = document(PASSES, TARGETS)
    change(made)
    path = written(tmp_path, made)
    with pytest.raises(DataFormatError) as refusal:
        read_instance(path)
    told = str(refusal.value)
    assert told.startswith(f"{path}: ") and told.endswith("docs/planning.md")
    assert [part for part in parts if part not in told] == []


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"", "truncated"),
        (b"[", "truncated"),
        (b"{}", "Expected `array`"),
        (b"[]", "Expected `array` of length 1"),
        (b"\xff\xfe", "malformed"),
        (b"\x1f\x8b\x08\x00broken", "whole gzip file"),
        (gzip.compress(b"[]" * 99, mtime=0)[:-9], "whole gzip file"),
        (b'[{"coverage_start": 1e999}]', "out of range"),
    ],
)
def test_no_instance_at_all_is_told(tmp_path: Path, data: bytes, part: str) -> None:
    path = tmp_path / "made.json"
    path.write_bytes(data)
    with pytest.raises(DataFormatError, match=part):
        read_instance(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match="no such file"):
        read_instance(tmp_path / "nowhere.json")


def test_an_instance_made_in_code_is_checked_too() -> None:
    with pytest.raises(DataFormatError, match="nothing to plan"):
        msgspec.convert(document([], TARGETS), Instance)
