"""What the report of a campaign shows, from its grid and its folder.

Knows the columns of the tasks; a task that is not listed here has a table of runs and no curves of key.
"""

from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from satqkd.constants import DAY_S
from satqkd.plan.campaign import Grid, Point
from satqkd.plan.campaign_folder import CampaignFolder, Done
from satqkd.plan.network import network_of
from satqkd.show.plan_campaign import write_campaign_report
from satqkd.show.plan_campaign_view import CampaignView, RunTold
from satqkd.show.plan_curves import WORST, Unit


class Curves(NamedTuple):
    """Where the numbers of a task's curves stand in its rows, and what they are called."""

    value: str
    what: str
    unit: Unit
    key: str
    """In bits; shared by the pairs or stations, as `of` says."""
    of: str
    cost: str
    """A column, and its name."""


CURVES: Final = {
    "plan": Curves("least_key_bits", WORST, "bits", "key_bits", "pair", "contacts"),
    "yields": Curves(
        "expected_bits", "expected key of all links", "bits", "expected_bits", "station", "passes"
    ),
    "operate": Curves("worst_share", "demand met of the worst pair", "share", "key_bits", "pair", "contacts"),
}
_NONE: Final = Curves("", "key", "bits", "", "pair", "contacts")
_ASSUMED: Final = {
    "plan": "Key: expectations of plans, with probabilities of a clear sky. Nothing was flown.",
    "yields": "Key: expectations of every pass, as if each were flown, times the probability of a clear sky.",
    "operate": "Key: of operations under skies that seeds drew; a clear contact brings what is expected.",
}


def write_campaign(grid: Grid, folder: CampaignFolder) -> Path:
    """Curves and `report.html` in the campaign's folder; returns the report. Raises as `write_document`."""
    task = grid.campaign.task
    assumed = [_ASSUMED[task]] if task in _ASSUMED else []
    return write_campaign_report(folder.path, campaign_view(grid, folder), assumed)[-1]


def campaign_view(grid: Grid, folder: CampaignFolder) -> CampaignView:
    """What is done of a grid, in rows."""
    task = grid.campaign.task
    curves = CURVES.get(task, _NONE)
    done, seconds = folder.done(grid.runs), seconds_of(folder.path)
    failed = folder.failed(grid.runs)
    return CampaignView(
        name=grid.campaign.name,
        task=task,
        scenario=grid.campaign.scenario,
        axes=tuple(axis.label for axis in grid.campaign.axis),
        runs=tuple(
            _run(grid, point, done[point.id], seconds.get(point.id), curves)
            for point in grid.points
            if point.id in done
        ),
        points=len(grid.points),
        failed=sum(point.id in failed for point in grid.points),
        what=curves.what,
        unit=curves.unit,
        of=curves.of,
        across=curves.cost,
    )


def seconds_of(folder: Path) -> dict[str, float]:
    """How long each run took that ran in this folder, the last time; lines that are torn are passed over."""
    found: dict[str, float] = {}
    try:
        lines = (folder / "seconds.jsonl").read_bytes().splitlines()
    except FileNotFoundError:
        return found
    for line in lines:
        try:
            told = msgspec.json.decode(line, type=_Took)
        except msgspec.DecodeError:
            continue
        found[told.id] = told.seconds
    return found


class _Took(msgspec.Struct):
    id: str
    seconds: float


def _run(grid: Grid, point: Point, done: Done, took_s: float | None, curves: Curves) -> RunTold:
    row = done.row
    sharers = len(done.parts) if curves.of == "pair" else row.get("stations")
    key_bits = row.get(curves.key)
    return RunTold(
        labels=point.labels,
        seed=point.seed,
        satellites=_satellites(grid, point, row),
        days=point.scenario.duration_s / DAY_S,
        value=row.get(curves.value),
        each_bits=key_bits / sharers if key_bits is not None and sharers else None,
        cost=row.get(curves.cost),
        took_s=took_s,
    )


def _satellites(grid: Grid, point: Point, row: dict[str, Any]) -> int:
    told = row.get("satellites")
    return int(told) if told is not None else len(network_of(point.scenario, grid.folder).satellites)
