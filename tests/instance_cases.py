"""Small public instances, their best plans by trying all, and a checker of plans that knows no planner."""

import json
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

Document = dict[str, Any]
Plan = dict[str, Any]

START = datetime.fromisoformat("2024-03-05T00:00:00")


def document(
    passes: Sequence[tuple[int, float, float, float]], targets: Sequence[tuple[int, float, str]], **head: Any
) -> Document:
    """passes: node, begin and end in s, key bits; targets: node, priority, "QKD" or "OPTICAL_ONLY".

    Ids are not positions, so that who takes one for the other is found out.
    """
    return {
        "coverage_start": START.isoformat(),
        "coverage_end": (START + timedelta(days=1)).isoformat(),
        "satellite_passes": [
            {
                "id": 100 + 7 * place,
                "nodeId": node,
                "startTime": (START + timedelta(seconds=begin_s)).isoformat(),
                "endTime": (START + timedelta(seconds=end_s)).isoformat(),
                "achievableKeyVolume": key,
                "orbitId": 0,
            }
            for place, (node, begin_s, end_s, key) in enumerate(passes)
        ],
        "service_targets": [
            {
                "id": 1000 + 3 * place,
                "applicationId": place // 2,
                "priority": priority,
                "nodeId": node,
                "requestedOperation": operation,
            }
            for place, (node, priority, operation) in enumerate(targets)
        ],
        **head,
    }


def written(folder: Path, made: Any, name: str = "made.json") -> Path:
    """The instance as a file."""
    path = folder / name
    path.write_text(json.dumps([made]), encoding="utf-8")
    return path


def worth(flown: Document, task: Document) -> float:
    """Of a pass with a task."""
    key = flown["achievableKeyVolume"] if task["requestedOperation"] == "QKD" else 0.0
    return float(task["priority"] * (1 + key))


def best_worth(made: Document, only: Collection[tuple[int, int]] | None = None) -> float:
    """Of the best plan, by trying every choice of a task or none for each pass.

    only: contacts to choose from, as ids of pass and task; None for all.
    """
    passes = sorted(made["satellite_passes"], key=lambda each: str(each["startTime"]))
    return max(_worths(passes, made["service_targets"], START, only))


def _worths(
    passes: list[Document],
    tasks: list[Document],
    free_from: datetime,
    only: Collection[tuple[int, int]] | None,
) -> Iterator[float]:
    if not passes:
        yield 0.0
        return
    flown, *later = passes
    yield from _worths(later, tasks, free_from, only)
    if datetime.fromisoformat(flown["startTime"]) < free_from:
        return
    next_from = datetime.fromisoformat(flown["endTime"]) + timedelta(seconds=60)
    for place, task in enumerate(tasks):
        if _fits(flown, task) and (only is None or (flown["id"], task["id"]) in only):
            for rest in _worths(later, tasks[:place] + tasks[place + 1 :], next_from, only):
                yield worth(flown, task) + rest


def _fits(flown: Document, task: Document) -> bool:
    has_key = flown["achievableKeyVolume"] > 0 or task["requestedOperation"] != "QKD"
    return bool(flown["nodeId"] == task["nodeId"] and has_key)


def broken_rules(made: Document, plan: Plan) -> list[str]:
    """What is wrong with a plan in its JSON form, in words; empty where all rules are kept."""
    passes = {each["id"]: each for each in made["satellite_passes"]}
    tasks = {each["id"]: each for each in made["service_targets"]}
    found, spans = [], []
    for each in plan["contacts"]:
        if each["pass_id"] not in passes or each["target_id"] not in tasks:
            found.append("pass or task unknown")
            continue
        flown, task = passes[each["pass_id"]], tasks[each["target_id"]]
        if not flown["nodeId"] == task["nodeId"] == each["node_id"]:
            found.append("another terminal")
        if each["operation"] != task["requestedOperation"]:
            found.append("another operation")
        if not _fits(flown, task) and flown["nodeId"] == task["nodeId"]:
            found.append("QKD without key")
        told = [datetime.fromisoformat(each[name]).replace(tzinfo=None) for name in ("start_utc", "end_utc")]
        if told != [datetime.fromisoformat(flown[name]) for name in ("startTime", "endTime")]:
            found.append("another time")
        if abs(each["value"] - worth(flown, task)) > 1e-9 * worth(flown, task):
            found.append("another value")
        spans.append(told)
    ids = {name: [each[name] for each in plan["contacts"]] for name in ("pass_id", "target_id")}
    found += [f"{name} twice" for name, given in ids.items() if len(set(given)) < len(given)]
    if any((later[0] - earlier[1]).total_seconds() < 60 for earlier, later in pairwise(sorted(spans))):
        found.append("less than 60 s between contacts")
    if spans != sorted(spans):
        found.append("not in order of time")
    total = sum(each["value"] for each in plan["contacts"])
    if abs(plan["objective"] - total) > 1e-9 * total or plan["bound"] < plan["objective"]:
        found.append("another sum, or a bound below it")
    return found
