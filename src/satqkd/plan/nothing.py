"""A scenario in which nothing can be planned: why that is, and the plan and the operation that it has.

For whoever looks at many versions of a scenario, such a one is a result and no mistake: nobody gets key.
"""

from typing import Final

import numpy as np

from satqkd.errors import ConfigError
from satqkd.plan.flow import periods_of
from satqkd.plan.network import Network
from satqkd.plan.planner import Offer, require_something
from satqkd.plan.result import PairKey, Plan
from satqkd.sky import format_utc

NOTHING: Final = "nothing"
"""Status of its plan."""


def why_nothing(network: Network, offer: Offer) -> str | None:
    """In words, why no plan gives key to all that are to be served; None where one may.

    Raises ConfigError where it is the settings that are wrong: demands that the objective needs are missing.
    """
    try:
        require_something(network, offer)
    except ConfigError as error:
        if network.objective == "demand" and any(pair.wish.demand_bits is None for pair in network.pairs):
            raise
        return str(error)
    return None


def without_passes(offer: Offer) -> Offer:
    """An offer of nothing."""
    none = np.zeros(0, dtype=np.intp)
    return Offer(passes=offer.passes.taken(none), key_bits=offer.key_bits[none], clear=offer.clear[none])


def plan_of_nothing(network: Network, offer: Offer, method: str) -> Plan:
    """No contact, no key, and no plan is better."""
    names = [each.name for each in network.stations]
    return Plan(
        name=network.name,
        objective_name=network.objective,
        objective=0.0,
        bound=0.0,
        gap=0.0,
        method=method,
        status=NOTHING,
        start_utc=format_utc(network.start),
        period_s=periods_of(network).length_s,
        contacts=(),
        relays=(),
        pairs=tuple(
            PairKey(
                pair=pair.name,
                ends=(names[pair.a], names[pair.b]),
                key_bits=0.0,
                by_date_bits=0.0,
                demand_bits=pair.wish.demand_bits,
                relayed_bits={},
            )
            for pair in network.pairs
        ),
        passes=len(offer.passes),
        time_s=0.0,
    )
