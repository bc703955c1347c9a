"""What a campaign can compute of each version of its scenario.

A task is a function of network, seed and search alone: it reads no clock and no file, and the same inputs
give the same answer on every worker. `TASKS` names them all; another is another entry.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from satqkd.config.campaign import CampaignSearch
from satqkd.plan.network import Network
from satqkd.plan.opportunities import find_opportunities
from satqkd.plan.planner import clear_probability, make_plan
from satqkd.plan.result import Plan
from satqkd.plan.search import Search
from satqkd.plan.tables import link_rows
from satqkd.plan.yields import fast_spread, surrogate_error
from satqkd.plan.yields_pools import pooled_yields, pools_asked
from satqkd.sky import parse_utc

Row = dict[str, Any]
"""Column -> text, number, truth or nothing."""

SAMPLE = 50
"""Passes on which the task `yields` measures the surrogate's error."""
SAMPLE_OF_SPREAD = 10
"""The same where losses have a spread, which the exact key takes twenty times as long for."""


class Answer(msgspec.Struct, frozen=True):
    """What a task found."""

    row: Row
    """Of the whole."""
    parts: list[Row]
    """Of each pair, or each link, in the network's order."""


class Task(msgspec.Struct, frozen=True):
    """A kind of run."""

    function: Callable[[Network, int, CampaignSearch], Answer]
    """Of the network, the seed and the search; found by its name in its module, so that processes can be
    told of it."""
    parts: str
    """What the rows of the second table are: its name."""
    seeded: bool = True
    """Whether the seed has a part in the answer."""


def yields_task(network: Network, seed: int, search: CampaignSearch) -> Answer:
    """Passes and their expected key; the surrogate's error on a sample that the seed draws."""
    passes = find_opportunities(network)
    spread = fast_spread(network, passes)
    key_bits, clear = spread.key_bits, clear_probability(network, passes)
    sample = SAMPLE if not network.yields.loss_spread_db else SAMPLE_OF_SPREAD
    error = surrogate_error(network, passes, key_bits, sample=sample, seed=seed)
    pools = pooled_yields(network, passes, key_bits) if pools_asked(network) else None
    return Answer(
        row={
            "scenario": network.name,
            "satellites": len(network.satellites),
            "stations": len(network.stations),
            "passes": len(passes),
            "passes_with_key": int((key_bits > 0).sum()),
            "likely_with_key": float(spread.key_probability.sum()),
            "key_bits": float(key_bits.sum()),
            "expected_bits": float((key_bits * clear).sum()),
            "pools": None if pools is None else len(pools.passes),
            "pooled_bits": None if pools is None else float(pools.pooled_bits.sum()),
            "surrogate_sample": error.passes,
            "surrogate_total": error.total,
            "surrogate_lowest": error.lowest,
            "surrogate_highest": error.highest,
            "surrogate_disagree": error.disagree,
        },
        parts=link_rows(network, passes, key_bits, clear),
    )


def plan_task(network: Network, seed: int, search: CampaignSearch) -> Answer:
    """The best plan that the search finds. The seed has no part in it. Raises as `make_plan` does."""
    plan = make_plan(
        network,
        method=search.method,
        search=Search(gap=search.gap, time_limit_s=search.time_limit_s),
        window_s=search.window_s,
    )
    return Answer(
        row={
            "scenario": network.name,
            "satellites": len(network.satellites),
            "stations": len(network.stations),
            "objective": plan.objective_name,
            "worth": plan.objective,
            "bound": plan.bound,
            "gap": plan.gap,
            "status": plan.status,
            "passes": plan.passes,
            "contacts": len(plan.contacts),
            "contact_s": _contact_s(plan),
            "key_bits": float(sum(pair.key_bits for pair in plan.pairs)),
            "least_key_bits": float(min((pair.key_bits for pair in plan.pairs), default=0.0)),
        },
        parts=[
            {
                "pair": pair.pair,
                "a": pair.ends[0],
                "b": pair.ends[1],
                "key_bits": pair.key_bits,
                "by_date_bits": pair.by_date_bits,
                "demand_bits": pair.demand_bits,
                "satellites": int(np.count_nonzero(list(pair.relayed_bits.values()))),
            }
            for pair in plan.pairs
        ],
    )


def _contact_s(plan: Plan) -> float:
    return sum(
        (parse_utc(each.end_utc) - parse_utc(each.start_utc)).total_seconds() for each in plan.contacts
    )


TASKS: dict[str, Task] = {
    "yields": Task(yields_task, "links"),
    "plan": Task(plan_task, "pairs", seeded=False),
}
