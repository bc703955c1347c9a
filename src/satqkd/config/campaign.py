"""A campaign: one scenario in many versions, each of them one run of the same task.

Its axes name places in the scenario's TOML, in the scenario's own units, or in the campaign's tables of how
a task does its work; what stands there is checked when the grid is laid out (`plan.campaign`). Knows no
scenario and no task.
"""

from typing import Annotated, Any, Final

from msgspec import Meta

from satqkd.config.base import Identifier, Positive, Settings
from satqkd.errors import ConfigError

MOST_SEEDS: Final = 1_000_000
Seed = Annotated[int, Meta(ge=0, le=9007199254740991)]


class CampaignOption(Settings, frozen=True, kw_only=True):
    """One point of an axis that changes several settings at once."""

    name: Identifier
    """Stands in the tables."""
    set: dict[str, Any] = {}
    """Laid over the scenario's TOML, or over the campaign's own table `search` or `operation`; keys may be
    dotted paths. Empty: all as it is."""


class CampaignAxis(Settings, frozen=True, kw_only=True):
    """One direction of the grid: a key with values, or a name with options."""

    key: str | None = None
    """Dotted path into the scenario's TOML, places in lists by number: `satellite.0.altitude_km`; or into a
    table of the campaign itself: `operation.method`."""
    values: tuple[Any, ...] = ()
    """As the scenario would have them."""
    name: Identifier | None = None
    option: tuple[CampaignOption, ...] = ()

    def __post_init__(self) -> None:
        by_key = self.key is not None and bool(self.values) and self.name is None and not self.option
        by_name = self.name is not None and bool(self.option) and self.key is None and not self.values
        if not by_key and not by_name:
            raise ConfigError(
                f"axis {self.key or self.name or ''}: expected key with values, or name with options, got "
                "another mixture; give the one or the other"
            )
        double = sorted({each.name for each in self.option if self._named(each.name) > 1})
        if double:
            raise ConfigError(
                f"axis {self.name}: expected options of different names, got {', '.join(double)} twice"
            )

    @property
    def label(self) -> str:
        """Key or name: what the axis is called in the tables."""
        return self.key or self.name or ""

    def _named(self, name: str) -> int:
        return sum(each.name == name for each in self.option)


class CampaignSearch(Settings, frozen=True, kw_only=True):
    """How tasks look for a plan."""

    method: Identifier = "exact"
    """As `satqkd plan --method`."""
    gap: Annotated[float, Meta(ge=0, lt=1)] = 1e-3
    """Relative; the search ends there."""
    time_limit_s: Positive | None = None
    """Of each stage of the search; with a limit results may depend on the machine."""
    window_s: Positive | None = None
    """A rolling horizon, so much kept at a time; none: the whole at once."""


class CampaignOperation(Settings, frozen=True, kw_only=True):
    """How networks are operated, by the task `operate`."""

    method: Identifier = "exact"
    """Of choosing contacts, as `satqkd operate --method`."""
    window_s: Positive = 604_800.0
    """Whole periods; the contacts of so long are chosen at a time."""
    look_ahead: Annotated[float, Meta(ge=1, le=100)] = 2.0
    """What is looked at in choosing, in windows."""
    gap: Annotated[float, Meta(ge=0, lt=1)] = 0.02
    time_limit_s: Positive | None = None
    """Of each stage of a search; with a limit results may depend on the machine."""
    stock_s: Annotated[float, Meta(ge=0)] = 1_209_600.0
    """Relays to a pair end where its store holds its demand of so long."""
    low_bits: Annotated[float, Meta(ge=0)] | None = None
    """A pair's store with less is an alarm; none: less than its demand in `low_s`."""
    low_s: Annotated[float, Meta(ge=0)] = 86_400.0


class TaskSettings(Settings, frozen=True, kw_only=True):
    """How a task does its work: each takes one of the two."""

    search: CampaignSearch = CampaignSearch()
    operation: CampaignOperation = CampaignOperation()


class Campaign(TaskSettings, frozen=True, kw_only=True):
    """A grid of versions of a scenario, each run once a seed."""

    name: Identifier
    description: str = ""
    scenario: str
    """Path of its TOML file, from the campaign's folder."""
    task: Identifier
    """What is computed of each version."""
    seeds: Seed | tuple[Seed, ...] = 1
    """How many, from 1 on; or a list of them."""
    axis: tuple[CampaignAxis, ...] = ()
    """Every value of each is combined with every value of the others; none: the scenario alone."""

    def __post_init__(self) -> None:
        labels = [each.label for each in self.axis]
        double = sorted({label for label in labels if labels.count(label) > 1})
        if double:
            raise ConfigError(f"axis: expected each once, got {', '.join(double)} twice; make them one")
        if isinstance(self.seeds, int) and not 1 <= self.seeds <= MOST_SEEDS:
            raise ConfigError(
                f"seeds: expected from 1 to {MOST_SEEDS} of them, got {self.seeds}; one that is "
                "chosen is a list of one"
            )
        if not self.seed_list or len(set(self.seed_list)) != len(self.seed_list):
            raise ConfigError(f"seeds: expected one or more, each once, got {list(self.seed_list)}")

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return tuple(range(1, self.seeds + 1)) if isinstance(self.seeds, int) else self.seeds
