"""Networks and policies side by side, each under the skies of the same seeds."""

from collections.abc import Iterable, Sequence

import msgspec

from satqkd.plan.network import Network
from satqkd.plan.operation import operate
from satqkd.plan.operation_policy import USUAL, Policy
from satqkd.plan.operation_result import Operation
from satqkd.plan.planner import Offer, offer_of


class Case(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What is operated, under a name."""

    name: str
    network: Network
    policy: Policy = USUAL


class ComparedOperation(msgspec.Struct, frozen=True, kw_only=True):
    """A case under one sky; shares as of `Operation`."""

    name: str
    seed: int
    share: float
    worst_share: float
    worst_share_of_periods: float
    key_bits: int
    """That pairs could use."""
    used_bits: int
    unmet_bits: int
    link_bits: int
    """That contacts brought."""
    lost_bits: int
    """Of these, expired or without room."""
    contacts: int
    cloudy: int
    alarms: int


def compare(cases: Iterable[Case], seeds: Sequence[int]) -> tuple[ComparedOperation, ...]:
    """A row for each case and seed, in this order; passes of one network object are looked for once.

    Keeps books, no stores. Raises as `operate` does.
    """
    listed, rows = tuple(cases), []
    offers: dict[int, Offer] = {}
    for case in listed:
        if id(case.network) not in offers:
            offers[id(case.network)] = offer_of(case.network)
        for seed in seeds:
            offer = offers[id(case.network)]
            found = operate(case.network, seed=seed, policy=case.policy, offer=offer)
            rows.append(compared(case.name, found))
    return tuple(rows)


def compared(name: str, found: Operation) -> ComparedOperation:
    """An operation in one row."""
    pairs, links, satellites = found.pairs, found.links, found.satellites
    return ComparedOperation(
        name=name,
        seed=found.seed,
        share=found.share,
        worst_share=found.worst_share,
        worst_share_of_periods=min((each.share_of_periods for each in pairs), default=1.0),
        key_bits=sum(each.key_bits for each in pairs),
        used_bits=sum(each.used_bits for each in pairs),
        unmet_bits=sum(each.unmet_bits for each in pairs),
        link_bits=sum(each.key_bits for each in links),
        lost_bits=sum(each.lost_bits for each in links),
        contacts=sum(each.contacts for each in satellites),
        cloudy=sum(each.cloudy for each in satellites),
        alarms=len(found.alarms),
    )
