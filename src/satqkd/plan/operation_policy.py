"""How a network is operated: what is chosen when, how far relays fill, when a store is low."""

from typing import Final

import msgspec

from satqkd.constants import DAY_S
from satqkd.errors import ConfigError
from satqkd.plan.network import Network
from satqkd.plan.planner import METHODS


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How a network is operated. Raises ConfigError for what makes no sense."""

    method: str = "exact"
    """Of choosing: one of `planner.METHODS`."""
    window_s: float = 7 * DAY_S
    """Whole periods; the passes of so long are chosen at a time."""
    look_ahead: float = 2.0
    """What is looked at in choosing, in windows."""
    gap: float = 0.02
    time_limit_s: float | None = None
    """Of each stage of a search; with a limit the answer may depend on the machine."""
    stock_s: float = 14 * DAY_S
    """Relays to a pair end where its store holds its demand of so long; the rest is kept on board for whom it
    will be needed by. A pair without demand gets all."""
    low_bits: float | None = None
    """A pair's store with less is an alarm; None: less than its demand in `low_s`."""
    low_s: float = DAY_S

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"method: expected one of {', '.join(METHODS)}, got {self.method!r}")
        if not (self.window_s > 0 and self.look_ahead >= 1 and self.gap >= 0):
            raise ConfigError(
                "operation: expected a window above 0, a look ahead of 1 window or more and a gap of 0 or "
                f"more, got {self.window_s:g} s, {self.look_ahead:g} and {self.gap:g}"
            )


USUAL: Final = Policy()


def need_of(network: Network, number: int) -> float:
    """How much key is as good for a pair as one bit for a pair of need 1, by the network's objective."""
    wish = network.pairs[number].wish
    by = {"demand": wish.demand_bits or 1.0, "priority": wish.priority}
    return by.get(network.objective, wish.weight)
