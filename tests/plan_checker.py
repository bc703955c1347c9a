"""Reads a plan as an operator would and looks whether it can be flown and adds up; knows no solver.

Stores are played through period by period, oldest key first; times are read from the plan's own text.
"""

from collections import defaultdict
from datetime import datetime
from itertools import pairwise

from satqkd.mission.course import site_of
from satqkd.plan.network import Network
from satqkd.plan.opportunities import station_at
from satqkd.plan.result import Plan
from satqkd.sky import find_passes, orbit_of, parse_utc

SLACK_BITS = 2.0
"""Of a solver's rounding, in plans of megabits."""


def faults(network: Network, plan: Plan) -> list[str]:
    """Everything that is wrong with a plan."""
    return [
        *_exclusions(network, plan),
        *_no_passes(network, plan),
        *_power(network, plan),
        *_stores(network, plan),
        *_sums(network, plan),
    ]


def _span(contact: object) -> tuple[datetime, datetime]:
    return parse_utc(contact.start_utc), parse_utc(contact.end_utc)  # type: ignore[attr-defined]


def _exclusions(network: Network, plan: Plan) -> list[str]:
    found = []
    for kind in ("satellite", "station"):
        by_terminal = defaultdict(list)
        for contact in plan.contacts:
            by_terminal[getattr(contact, kind)].append(_span(contact))
        for name, spans in by_terminal.items():
            spans.sort()
            for (_, end), (begin, _) in pairwise(spans):
                if (begin - end).total_seconds() < network.service.setup_s - 0.01:
                    found.append(f"{kind} {name}: {begin} follows {end} too soon")
    return found


def _no_passes(network: Network, plan: Plan) -> list[str]:
    satellites = {each.name: each for each in network.satellites}
    stations = {each.name: k for k, each in enumerate(network.stations)}
    found = []
    for contact in plan.contacts[:20]:
        begin, end = _span(contact)
        middle = begin + (end - begin) / 2
        ground = station_at(network, stations[contact.station], (middle - network.start).total_seconds())
        mask_rad = max(ground.minimum_elevation_rad, network.service.minimum_elevation_rad or 0.0)
        passes = find_passes(
            orbit_of(satellites[contact.satellite].orbit),
            site_of(ground),
            begin,
            duration_s=(end - begin).total_seconds(),
            minimum_elevation_rad=mask_rad,
        )
        here = [each for each in passes if abs((each.start - begin).total_seconds()) < 0.1]
        if not here:
            found.append(f"{contact.satellite} is not over {contact.station} at {begin}")
        if any(each.sun_elevation_rad > network.service.maximum_sun_elevation_rad + 1e-4 for each in here):
            found.append(f"{contact.satellite} over {contact.station} at {begin}: the Sun is up")
    return found


def _power(network: Network, plan: Plan) -> list[str]:
    most_s = network.service.contact_per_revolution_s
    if most_s is None:
        return []
    used: dict[tuple[str, int], float] = defaultdict(float)
    orbits = {each.name: orbit_of(each.orbit) for each in network.satellites}
    for contact in plan.contacts:
        begin, end = _span(contact)
        orbit = orbits[contact.satellite]
        middle_s = (begin - orbit.epoch).total_seconds() + (end - begin).total_seconds() / 2
        used[contact.satellite, int(middle_s // orbit.period_s)] += (end - begin).total_seconds()
    return [f"{name}, revolution {k}: {s} s" for (name, k), s in used.items() if s > most_s + 0.1]


def _stores(network: Network, plan: Plan) -> list[str]:
    ends = {pair.name: tuple(network.stations[k].name for k in (pair.a, pair.b)) for pair in network.pairs}
    service, found = network.service, []
    stock: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    last = max((each.period for each in (*plan.contacts, *plan.relays)), default=-1)
    for period in range(last + 1):
        for contact in plan.contacts:
            if contact.period == period:
                bits = contact.key_bits * contact.clear_probability
                stock[contact.satellite, contact.station].append([period, bits])
        for pieces in stock.values():
            _give_up(pieces, period, plan, service.key_life_s, service.store_bits)
        wanted: dict[tuple[str, str], float] = defaultdict(float)
        for relay in plan.relays:
            if relay.period == period:
                for station in ends[relay.pair]:
                    wanted[relay.satellite, station] += relay.key_bits
        for link, bits in wanted.items():
            for piece in stock[link]:
                taken = min(piece[1], bits)
                piece[1] -= taken
                bits -= taken
            if bits > SLACK_BITS:
                found.append(f"{link}, period {period}: {bits:.0f} bits relayed that are not there")
    return found


def _give_up(
    pieces: list[list[float]], period: int, plan: Plan, life_s: float | None, most_bits: float | None
) -> None:
    """What is too old by the end of a period, and of what has no room the oldest, which is of least use."""
    if life_s is not None:
        pieces[:] = [each for each in pieces if (period + 1 - each[0]) * plan.period_s <= life_s]
    over = 0.0 if most_bits is None else sum(bits for _, bits in pieces) - most_bits
    for piece in pieces:
        lost = min(piece[1], max(over, 0.0))
        piece[1] -= lost
        over -= lost


def _sums(network: Network, plan: Plan) -> list[str]:
    found = []
    for pair, told in zip(network.pairs, plan.pairs, strict=True):
        by_satellite: dict[str, float] = defaultdict(float)
        for relay in plan.relays:
            if relay.pair == pair.name:
                by_satellite[relay.satellite] += relay.key_bits
        m = pair.wish.satellites
        key = sum(by_satellite.values()) / m
        while m > 1 and sum(min(bits, key) for bits in by_satellite.values()) < m * key - 1e-6:
            key = sum(min(bits, key) for bits in by_satellite.values()) / m
        if abs(key - told.key_bits) > SLACK_BITS:
            found.append(f"{pair.name}: {told.key_bits:.0f} bits told, {key:.0f} relayed")
    both = list(zip(plan.pairs, network.pairs, strict=True))
    shares = [each.by_date_bits / each.demand_bits for each in plan.pairs if each.demand_bits]
    worth = {
        "total": sum(each.key_bits for each in plan.pairs),
        "max-min": min((each.key_bits / pair.wish.weight for each, pair in both), default=0.0),
        "priority": sum(each.key_bits * pair.wish.priority for each, pair in both),
        "demand": min([1.0, *shares]),
    }[plan.objective_name]
    if network.pairs and abs(worth - plan.objective) > 1e-5 * max(1.0, worth) + 1e-6:
        found.append(f"objective: {plan.objective} told, {worth} found")
    if plan.objective > plan.bound * (1 + 1e-6) + 1e-6:
        found.append(f"objective {plan.objective} above its bound {plan.bound}")
    return found
