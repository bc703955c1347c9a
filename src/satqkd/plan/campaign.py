"""A campaign's grid laid out: every version of the scenario, checked, with the id of its run.

    grid = read_campaign(Path("campaign.toml"))

An id is a hash of all that a result depends on and of nothing else, so that equal ids are one run, in
whichever folder, grid or order they were asked for. Reads the files of the scenario; runs nothing.
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from satqkd.config import Scenario, load, read_toml
from satqkd.config.campaign import Campaign, CampaignAxis, TaskSettings
from satqkd.config.loader import Table
from satqkd.config.overlay import overlaid
from satqkd.errors import ConfigError, nearest
from satqkd.plan.campaign_tasks import TASKS, Settings
from satqkd.plan.network import Network, network_of
from satqkd.plan.planner import METHODS

RESULT_FORM: Final = 2
"""Of what tasks answer. Another number makes all runs new: raise it whenever a task's answers change."""

OWN: Final = TaskSettings.__struct_fields__
"""Tables of a campaign's file into which axes may go as well."""
Labels = dict[str, Any]
"""Axis -> the value, or the option's name, at a point of the grid."""


class Point(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One version of the scenario with one seed."""

    id: str
    """64 hex digits; points of equal id are one run."""
    seed: int
    labels: Labels
    scenario: Scenario
    settings: Settings
    """Of the task."""
    family: str
    """Equal where the networks are, so that what is found out about one serves all of them."""


class Grid(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A campaign's points, ordered by id."""

    campaign: Campaign
    folder: Path
    """Where the scenario's files are looked for."""
    points: tuple[Point, ...]

    @property
    def runs(self) -> dict[str, Point]:
        """One point of each id."""
        return {point.id: point for point in reversed(self.points)}


def read_campaign(path: Path) -> Grid:
    """The grid of a campaign's file. Raises ConfigError, DataFormatError."""
    campaign = load(read_toml(path), Campaign, str(path)).value
    scenario = path.parent / campaign.scenario
    return grid_of(campaign, read_toml(scenario), where=str(path), folder=scenario.parent)


def grid_of(campaign: Campaign, scenario: Table, *, where: str, folder: Path = Path()) -> Grid:
    """Every point of a campaign. scenario: its TOML table, whose files are looked for in `folder`.

    Raises ConfigError, beginning with `where`, for an unknown task, method or key, naming the nearest, and
    whatever the check of a version of the scenario raises, naming the point.
    """
    _require_known(campaign, where)
    points = [
        Point(
            id=task_id(version.network, campaign.task, seed=seed, settings=version.settings),
            seed=seed,
            labels=version.labels,
            scenario=version.scenario,
            settings=version.settings,
            family=_digest(_all_of(version.network)),
        )
        for version in _versions(campaign, scenario, where, folder)
        for seed in campaign.seed_list
    ]
    ordered = sorted(points, key=lambda each: (each.id, msgspec.json.encode(each.labels, order="sorted")))
    return Grid(campaign=campaign, folder=folder, points=tuple(ordered))


def task_id(network: Network, task: str, *, seed: int, settings: Settings) -> str:
    """SHA-256 of all that a run's result depends on, 64 hex digits.

    Of files and presets their content counts and their names do not; neither do descriptions.
    """
    inputs = {
        "form": RESULT_FORM,
        "task": task,
        "seed": seed,
        TASKS[task].takes: settings,
        "network": _all_of(network),
    }
    return _digest(inputs)


def _digest(value: Any) -> str:
    text = msgspec.json.encode(value, order="deterministic", enc_hook=_plain)
    return hashlib.sha256(text).hexdigest()


def _all_of(network: Network) -> dict[str, Any]:
    return msgspec.structs.asdict(network) | _sky_of(network)


def _sky_of(network: Network) -> dict[str, Any]:
    """Weather and sky without the names of tables and rows that they came from."""
    weather, sky = network.weather, network.sky
    return {
        "weather": None if weather is None else msgspec.structs.replace(weather, table=None),
        "sky": None if sky is None else msgspec.structs.asdict(sky) | {"rows": None},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"no JSON form for {type(value).__name__}")


class _Version(NamedTuple):
    """A combination of the axes."""

    labels: Labels
    scenario: Scenario
    network: Network
    settings: Settings


def _versions(campaign: Campaign, scenario: Table, where: str, folder: Path) -> Iterator[_Version]:
    """Every combination of the axes."""
    task, own = TASKS[campaign.task], _table_of(campaign)
    for changes in product(*(_changes(axis) for axis in campaign.axis)):
        labels = {each.label: each.shown for each in changes}
        told = [f"{label} = {shown!s:.60}" for label, shown in labels.items()]
        place = ", ".join([where, *told])
        tables = _changed((scenario, own), changes, place)
        version = load(tables[0], Scenario, place).value
        settings: Settings = getattr(load(tables[1], TaskSettings, place).value, task.takes)
        _require_method(settings, f"{place}: {task.takes}")
        try:
            network = network_of(version, folder)
            task.check(network, settings)
        except ConfigError as error:
            raise ConfigError(f"{place}: {error}") from None
        yield _Version(labels, version, network, settings)


def _table_of(campaign: Campaign) -> Table:
    """The campaign's own tables, as TOML would have them."""
    tables = {name: msgspec.structs.asdict(getattr(campaign, name)) for name in OWN}
    return {name: {key: each[key] for key in each if each[key] is not None} for name, each in tables.items()}


class _Change(NamedTuple):
    """A place on an axis: what is shown of it, and what is laid over the scenario."""

    label: str
    shown: Any
    laid: Table
    by_key: bool


def _changes(axis: CampaignAxis) -> list[_Change]:
    if axis.key is not None:
        return [_Change(axis.key, value, {axis.key: value}, True) for value in axis.values]
    return [_Change(axis.label, option.name, option.set, False) for option in axis.option]


def _changed(tables: tuple[Table, Table], changes: Iterable[_Change], where: str) -> tuple[Table, Table]:
    """The scenario, and the campaign's own tables, under options first, then under keys.

    Raises ConfigError where the axes' order matters.
    """

    def under(ordered: Iterable[_Change]) -> tuple[Table, Table]:
        scenario, own = tables
        for change in sorted(ordered, key=lambda each: each.by_key):
            for path, value in change.laid.items():
                if _is_own(path):
                    own = overlaid(own, TaskSettings, path, value, where)
                else:
                    scenario = overlaid(scenario, Scenario, path, value, where)
        return scenario, own

    given = list(changes)
    changed = under(given)
    if changed != under(reversed(given)):
        raise ConfigError(
            f"{where}: two axes give the same setting different values; make them one axis of options"
        )
    return changed


def _is_own(path: str) -> bool:
    """Whether an axis goes into the campaign's own tables."""
    return path.partition(".")[0] in OWN


def _require_known(campaign: Campaign, where: str) -> None:
    if campaign.task not in TASKS:
        raise ConfigError(_unknown(f"{where}: task", campaign.task, list(TASKS)))
    _require_taken(campaign, where)
    if not TASKS[campaign.task].seeded and len(campaign.seed_list) > 1:
        raise ConfigError(
            f"{where}: seeds: expected one, got {len(campaign.seed_list)}: task {campaign.task} draws "
            "nothing by chance, so all would be alike; leave seeds out"
        )


def _require_taken(campaign: Campaign, where: str) -> None:
    """Settings that the task does not take would change nothing, and say nothing of it."""
    takes, usual = TASKS[campaign.task].takes, TaskSettings()
    given = {name for name in OWN if getattr(campaign, name) != getattr(usual, name)}
    laid = {path.partition(".")[0] for axis in campaign.axis for each in _changes(axis) for path in each.laid}
    if other := sorted((given | laid & {*OWN}) - {takes}):
        raise ConfigError(
            f"{where}: {', '.join(other)}: expected nothing there, got settings; task {campaign.task} takes "
            f"its own from {takes}: give them there, or take another task"
        )


def _require_method(settings: Settings, where: str) -> None:
    if settings.method not in METHODS:
        raise ConfigError(_unknown(f"{where}.method", settings.method, list(METHODS)))


def _unknown(what: str, name: str, known: list[str]) -> str:
    return f"{what}: unknown {name!r}; {nearest(name, known) or 'known: ' + ', '.join(known)}"
