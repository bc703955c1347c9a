"""What a campaign can compute of each version of its scenario.

A task is a function of network, seed and its settings alone: it reads no clock and no file, and the same
inputs give the same answer on every worker. A scenario in which nothing can be planned has an answer too:
`status` says so, `reason` why, and the numbers are what comes of it. `TASKS` names them all; another is
another entry.
"""

import pickle
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
import numpy as np

from satqkd.config.campaign import CampaignOperation, CampaignSearch
from satqkd.errors import ConfigError
from satqkd.plan.comparison import compared
from satqkd.plan.network import Network
from satqkd.plan.nothing import NOTHING, plan_of_nothing, why_nothing
from satqkd.plan.operation import idle, operate, require_whole_periods
from satqkd.plan.operation_policy import Policy
from satqkd.plan.operation_result import PairService
from satqkd.plan.opportunities import find_opportunities
from satqkd.plan.planner import Offer, clear_probability, make_plan, offer_of
from satqkd.plan.result import Plan
from satqkd.plan.search import Search
from satqkd.plan.tables import link_rows
from satqkd.plan.yields import fast_spread, surrogate_error
from satqkd.plan.yields_pools import pooled_yields, pools_asked
from satqkd.sky import parse_utc

Settings = CampaignSearch | CampaignOperation
Row = dict[str, Any]
"""Column -> text, number, truth or nothing."""

SAMPLE = 50
"""Passes on which the task `yields` measures the surrogate's error."""
SAMPLE_OF_SPREAD = 10
"""The same where losses have a spread, which the exact key takes twenty times as long for."""
OPERATED: Final = "operated"
"""Status of an operation that had something to choose from."""
_OFFERS: Final = 2
"""Networks whose passes a worker keeps in mind, since runs of one network follow each other."""


class Answer(msgspec.Struct, frozen=True):
    """What a task found."""

    row: Row
    """Of the whole."""
    parts: list[Row]
    """Of each pair, or each link, in the network's order."""


def _no_check(network: Network, settings: Any) -> None: ...


class Task(msgspec.Struct, frozen=True):
    """A kind of run."""

    function: Callable[[Network, int, Any], Answer]
    """Of the network, the seed and the settings; found by its name in its module, so that processes can be
    told of it."""
    parts: str
    """What the rows of the second table are: its name."""
    seeded: bool = True
    """Whether the seed has a part in the answer."""
    takes: Literal["search", "operation"] = "search"
    """The campaign's table of its settings."""
    check: Callable[[Network, Any], None] = _no_check
    """Raises ConfigError where the settings do not fit the network, before anything runs."""


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
    try:
        plan = make_plan(
            network,
            method=search.method,
            search=Search(gap=search.gap, time_limit_s=search.time_limit_s),
            window_s=search.window_s,
        )
    except ConfigError:
        offer = _offer_of(network)
        reason = why_nothing(network, offer)
        if reason is None:
            raise
        return _planned(network, plan_of_nothing(network, offer, search.method), reason)
    return _planned(network, plan, None)


def _planned(network: Network, plan: Plan, reason: str | None) -> Answer:
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
            "reason": reason,
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


def operate_task(network: Network, seed: int, operation: CampaignOperation) -> Answer:
    """The network operated under the sky of the seed, in books. Raises as `operate` does."""
    offer, policy = _offer_of(network), policy_of(operation)
    reason = why_nothing(network, offer)
    if reason is None:
        found = operate(network, seed=seed, policy=policy, offer=offer)
    else:
        found = idle(network, seed=seed, policy=policy, offer=offer)
    told = msgspec.structs.asdict(compared(network.name, found))
    del told["name"], told["seed"]
    return Answer(
        row={
            "scenario": network.name,
            "satellites": len(network.satellites),
            "stations": len(network.stations),
            "passes": len(offer.passes),
            "status": OPERATED if reason is None else NOTHING,
            "reason": reason,
            **told,
        },
        parts=[_served(pair) for pair in found.pairs],
    )


def policy_of(operation: CampaignOperation) -> Policy:
    """The same in the words of operation."""
    return Policy(**msgspec.structs.asdict(operation))


def _served(pair: PairService) -> Row:
    told = msgspec.structs.asdict(pair)
    a, b = told.pop("ends")
    return {"pair": told.pop("pair"), "a": a, "b": b, **told, "unmet_bits": pair.unmet_bits}


def _check_operation(network: Network, operation: CampaignOperation) -> None:
    require_whole_periods(network, policy_of(operation))


def _offer_of(network: Network) -> Offer:
    return _offer_of_packed(pickle.dumps(network))


@lru_cache(maxsize=_OFFERS)
def _offer_of_packed(network: bytes) -> Offer:
    return offer_of(pickle.loads(network))


def _contact_s(plan: Plan) -> float:
    return sum(
        (parse_utc(each.end_utc) - parse_utc(each.start_utc)).total_seconds() for each in plan.contacts
    )


TASKS: dict[str, Task] = {
    "yields": Task(yields_task, "links"),
    "plan": Task(plan_task, "pairs", seeded=False),
    "operate": Task(operate_task, "pairs", takes="operation", check=_check_operation),
}
