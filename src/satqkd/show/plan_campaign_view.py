"""What the curves of a campaign are drawn from: its runs in rows, and the series that they make.

Runs of a series differ in the number of satellites alone, or in their seeds. Knows no task and no folder.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import msgspec
import numpy as np

from satqkd.show.plan_curves import WORST, Unit
from satqkd.show.plan_parts import Series

MOST_CHARACTERS = 24
"""Of a value in the name of a series."""


class RunTold(msgspec.Struct, frozen=True, kw_only=True):
    """One point of the grid that is done."""

    labels: dict[str, Any]
    """Axis -> where on it."""
    seed: int
    satellites: int
    days: float
    value: float | None = None
    """What it came to; None: the task has no such number."""
    each_bits: float | None = None
    """Key of a pair or station, in the mean."""
    cost: int | None = None
    """What it took: contacts, passes."""
    took_s: float | None = None
    """Of computing; None: not known here."""


class CampaignView(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign as far as it is done."""

    name: str
    task: str
    scenario: str
    axes: tuple[str, ...]
    runs: tuple[RunTold, ...]
    points: int
    """Of the grid, done or not."""
    failed: int
    what: str = WORST
    """That `value` is."""
    unit: Unit = "bits"
    of: str = "pair"
    """Whose `each_bits` is."""
    across: str = "contacts"
    """That `cost` counts."""


def size_axes(view: CampaignView) -> tuple[str, ...]:
    """Axes along which the number of satellites changes while all others stand still."""
    return tuple(axis for axis in view.axes if _changes(view, axis))


def size_series(view: CampaignView) -> list[Series]:
    """What runs came to against their satellites, a series for each place on the other axes."""
    return _series(view, "satellites", "value")


def cost_series(view: CampaignView) -> list[Series]:
    """Key of each against what it took, the same series."""
    return _series(view, "cost", "each_bits")


def time_series(view: CampaignView) -> list[Series]:
    """Seconds of runs against satellites times days, all in one series; none where no time is known."""
    timed = [each for each in view.runs if each.took_s is not None]
    if not timed:
        return []
    return [
        Series(
            name=counted_runs(len(timed)),
            sizes=np.array([each.satellites * each.days for each in timed], dtype=np.float64),
            values=np.array([each.took_s for each in timed], dtype=np.float64),
        )
    ]


def counted_runs(number: int) -> str:
    """In the legend."""
    return "one run" if number == 1 else f"{number} runs"


def several_at_a_size(view: CampaignView) -> bool:
    """Whether places on the axes of size share a number of satellites, so that a curve has both at one x."""
    rest = _other_axes(view)
    places: dict[Hashable, set[str]] = {}
    for run in view.runs:
        key = (_key(run.labels, rest), run.satellites)
        places.setdefault(key, set()).add(_key(run.labels, size_axes(view)))
    return any(len(each) > 1 for each in places.values())


def in_order(view: CampaignView) -> list[RunTold]:
    """Runs by their places on the axes, then by seed."""
    return sorted(view.runs, key=lambda run: (*(_rank(run.labels[axis]) for axis in view.axes), run.seed))


def shown(value: Any) -> str:
    """A place on an axis as text: numbers in few digits, long things cut."""
    if isinstance(value, float):
        return f"{value:g}"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 3] + "..."


def short(axis: str, axes: Sequence[str]) -> str:
    """The last part of an axis's key, where that tells it from the others."""
    last = axis.rpartition(".")[2]
    return last if sum(each.rpartition(".")[2] == last for each in axes) == 1 else axis


def _series(view: CampaignView, size: str, value: str) -> list[Series]:
    rest = _other_axes(view)
    groups: dict[str, list[RunTold]] = {}
    for run in in_order(view):
        if getattr(run, size) is not None and getattr(run, value) is not None:
            groups.setdefault(_name(view, run, rest), []).append(run)

    def column(runs: list[RunTold], field: str) -> Any:
        return np.array([getattr(each, field) for each in runs], dtype=np.float64)

    return [
        Series(name=name, sizes=column(runs, size), values=column(runs, value))
        for name, runs in groups.items()
    ]


def _other_axes(view: CampaignView) -> tuple[str, ...]:
    """All but those of size; none where no axis is one, so that all runs are one series."""
    sized = size_axes(view)
    return tuple(axis for axis in view.axes if axis not in sized) if sized else ()


def _name(view: CampaignView, run: RunTold, axes: Sequence[str]) -> str:
    parts = [f"{short(axis, view.axes)} {shown(run.labels[axis])}" for axis in axes]
    return ", ".join(parts) or "all runs"


def _changes(view: CampaignView, axis: str) -> bool:
    others = [each for each in view.axes if each != axis]
    counts: dict[str, set[int]] = {}
    for run in view.runs:
        counts.setdefault(_key(run.labels, others), set()).add(run.satellites)
    return any(len(each) > 1 for each in counts.values())


def _key(labels: dict[str, Any], axes: Sequence[str]) -> str:
    return msgspec.json.encode([labels[axis] for axis in axes], order="sorted").decode()


def _rank(value: Any) -> tuple[bool, Any]:
    """Numbers before text, each in its order."""
    number = isinstance(value, int | float)
    return not number, value if number else shown(value)
