"""A scenario's plan from beginning to end: passes, what each is worth, which are flown, who gets key.

    plan = make_plan(read_scenario(Path("scenario.toml")))

Every part can be asked alone: `opportunities`, `yields`, `schedule`. Reads the clock for nothing but how long
it took.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.errors import ConfigError
from satqkd.plan.baselines import greedy, longest_path
from satqkd.plan.flow import periods_of
from satqkd.plan.network import Network
from satqkd.plan.opportunities import Opportunities, find_opportunities
from satqkd.plan.result import PairKey, Plan, PlannedContact, PlannedRelay
from satqkd.plan.rolling import roll
from satqkd.plan.schedule import Choice, choose, serve, upper_bound
from satqkd.plan.search import Search
from satqkd.plan.solver import relative_gap
from satqkd.plan.yields import exact_yields, fast_yields
from satqkd.sky import format_utc

Floats = NDArray[np.float64]
MOST_AT_ONCE: Final = 6000
"""Passes among which the solver looks by itself."""
METHODS: Final = ("exact", "greedy", "longest-path")
Yields = Callable[[Network, Opportunities], Floats]


class Offer(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The passes that a plan may choose from; arrays of shape (n,)."""

    passes: Opportunities
    key_bits: Floats
    """Expected with a clear sky."""
    clear: Floats
    """Probability of one."""

    @property
    def value_bits(self) -> Floats:
        """Expected key."""
        return self.key_bits * self.clear


def offer_of(network: Network, *, yields: Yields = fast_yields) -> Offer:
    """Passes of the horizon that give key, with what they are worth. Raises as `find_opportunities` does."""
    passes = find_opportunities(network)
    key_bits = yields(network, passes)
    useful = (key_bits > 0) & (key_bits >= network.service.least_key_bits)
    chosen = passes.taken(useful)
    return Offer(passes=chosen, key_bits=key_bits[useful], clear=clear_probability(network, chosen))


def clear_probability(network: Network, passes: Opportunities) -> Floats:
    """Of each pass at its culmination, shape (n,); 1 in a scenario without weather."""
    clear = np.ones(len(passes))
    if network.sky is None:
        return clear
    for station in np.unique(passes.station).tolist():
        rows = passes.station == station
        clear[rows] = network.sky.availability(network.start, passes.culmination_s[rows])[station]
    return clear


def make_plan(
    network: Network,
    *,
    method: str = "exact",
    search: Search | None = None,
    window_s: float | None = None,
    exact_key: bool = False,
) -> Plan:
    """The best plan that the method finds, with a bound that holds for every plan.

    window_s: the exact method keeps so much of a rolling horizon at a time; None: the whole at once, up to
    `MOST_AT_ONCE` passes as one search, else rounded and swept window by window. exact_key: ask the full link
    budget for each pass in the place of the surrogate. Raises ConfigError for a scenario in which nothing can
    be planned.
    """
    began_s = time.perf_counter()
    if method not in METHODS:
        raise ConfigError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    offer = offer_of(network, yields=exact_yields if exact_key else fast_yields)
    require_something(network, offer)
    passes, value = offer.passes, offer.value_bits
    if method == "exact":
        choice = _exact(network, passes, value, search or Search(), window_s)
        bound = choice.bound
    else:
        flown = np.zeros(len(passes), dtype=np.bool_)
        flown[baseline(network, passes, value, method)] = True
        choice, bound = serve(network, passes, value, flown), upper_bound(network, passes, value)
    return _told(network, offer, choice, method, bound, time.perf_counter() - began_s)


def _exact(
    network: Network, passes: Opportunities, value: Floats, search: Search, window_s: float | None
) -> Choice:
    if window_s is not None and window_s < network.duration_s:
        return roll(network, passes, value, search, window_s=window_s)
    return choose(network, passes, value, search, large=len(passes) > MOST_AT_ONCE)


def baseline(network: Network, passes: Opportunities, value: Floats, method: str) -> NDArray[np.intp]:
    if network.service.contact_per_revolution_s is not None:
        raise ConfigError(
            f"plan, method {method}: expected no contact_per_revolution_s, which only the exact method "
            "heeds; take it out, or plan exactly"
        )
    rule = {"greedy": greedy, "longest-path": longest_path}[method]
    terminals = (passes.satellite, passes.station)
    return rule(passes.start_s, passes.end_s, value, terminals, setup_s=network.service.setup_s)


def require_something(network: Network, offer: Offer) -> None:
    """Raises ConfigError where no plan can do anything for somebody who is to be served."""
    names = [each.name for each in network.stations]
    seen = set(offer.passes.station.tolist())
    if not seen:
        raise ConfigError(
            f"scenario {network.name}: no satellite gives key to any station in "
            f"{network.duration_s / 86_400:g} days: none rises above the masks by night, or the links are "
            f"too weak; look at `satqkd passes`, lower the mask, or plan for longer"
        )
    if network.objective == "demand" and any(pair.wish.demand_bits is None for pair in network.pairs):
        raise ConfigError(
            f"scenario {network.name}: objective demand: expected demand_bits of every pair; give them, or "
            f"plan for another objective"
        )
    links = set(zip(offer.passes.satellite.tolist(), offer.passes.station.tolist(), strict=True))
    for pair in network.pairs:
        blind = [names[end] for end in (pair.a, pair.b) if end not in seen]
        common = [s for s in range(len(network.satellites)) if {(s, pair.a), (s, pair.b)} <= links]
        if blind or len(common) < pair.wish.satellites:
            raise ConfigError(
                f"scenario {network.name}, pair {pair.name}: no plan gives it key: "
                + (
                    f"no pass gives key to {' and '.join(blind)}"
                    if blind
                    else f"{len(common)} satellites give key to both, {pair.wish.satellites} are needed"
                )
                + "; plan for longer, add satellites, or take the pair out"
            )


def _told(network: Network, offer: Offer, choice: Choice, method: str, bound: float, time_s: float) -> Plan:
    periods, satellites = periods_of(network), [each.name for each in network.satellites]
    return Plan(
        name=network.name,
        objective_name=network.objective,
        objective=choice.objective,
        bound=bound,
        gap=relative_gap(choice.objective, bound),
        method=method,
        status=choice.status,
        start_utc=format_utc(network.start),
        period_s=periods.length_s,
        contacts=_contacts(network, offer, choice, periods.of(offer.passes.end_s)),
        relays=tuple(
            PlannedRelay(
                satellite=satellites[each.satellite],
                pair=network.pairs[each.pair].name,
                period=each.period,
                key_bits=bits,
            )
            for each, bits in choice.transfers
        ),
        pairs=_pairs(network, choice),
        passes=len(offer.passes),
        time_s=time_s,
    )


def _contacts(
    network: Network, offer: Offer, choice: Choice, period: NDArray[np.intp]
) -> tuple[PlannedContact, ...]:
    passes = offer.passes
    rows = np.flatnonzero(choice.flown)

    def utc(t_s: float) -> str:
        return format_utc(network.start + timedelta(seconds=t_s))

    return tuple(
        PlannedContact(
            satellite=network.satellites[passes.satellite[row]].name,
            station=network.stations[passes.station[row]].name,
            start_utc=utc(float(passes.start_s[row])),
            end_utc=utc(float(passes.end_s[row])),
            max_elevation_rad=float(passes.max_elevation_rad[row]),
            key_bits=float(offer.key_bits[row]),
            clear_probability=float(offer.clear[row]),
            period=int(period[row]),
        )
        for row in rows[np.argsort(passes.start_s[rows], kind="stable")].tolist()
    )


def _pairs(network: Network, choice: Choice) -> tuple[PairKey, ...]:
    by_satellite: list[dict[str, float]] = [{} for _ in network.pairs]
    for each, bits in choice.transfers:
        name = network.satellites[each.satellite].name
        by_satellite[each.pair][name] = by_satellite[each.pair].get(name, 0.0) + bits
    return tuple(
        PairKey(
            pair=pair.name,
            ends=(network.stations[pair.a].name, network.stations[pair.b].name),
            key_bits=float(choice.pair_bits[k]),
            by_date_bits=float(choice.by_date_bits[k]),
            demand_bits=pair.wish.demand_bits,
            relayed_bits=by_satellite[k],
        )
        for k, pair in enumerate(network.pairs)
    )
