"""The tables of a plan's report as rows of text. Knows the plan's view; no HTML."""

from typing import Final

import numpy as np

from satqkd.show.plan_view import PlanView
from satqkd.show.tables import MISSING, Table, decimals, percent, whole

MOST_CONTACTS: Final = 200


def worth_table(view: PlanView) -> Table:
    """Objective, bound, gap, and how they were found."""
    plan = view.plan
    rows = (
        ("objective", plan.objective_name),
        ("worth of this plan", worth(view, plan.objective)),
        ("no plan is worth more than", worth(view, plan.bound)),
        ("gap", percent(plan.gap)),
        ("method", plan.method),
        ("status", plan.status),
        ("passes that give key", whole(plan.passes)),
        ("contacts flown", whole(len(plan.contacts))),
        ("computing time, s", decimals(plan.time_s, 1)),
    )
    return Table("Worth", ("", ""), rows)


def worth(view: PlanView, value: float) -> str:
    """An objective with its unit: bits, or under `demand` a share."""
    return percent(value) if view.plan.objective_name == "demand" else f"{whole(value)} bits"


def pair_table(view: PlanView) -> Table:
    """Every pair."""
    header = (
        "pair",
        "stations",
        "key, bits",
        "a day, bits",
        "until its date, bits",
        "demand, bits",
        "by satellites",
    )
    return Table(
        "Pairs",
        header,
        tuple(
            (
                each.pair,
                " and ".join(each.ends),
                whole(each.key_bits),
                whole(each.key_bits / view.days),
                whole(each.by_date_bits),
                whole(each.demand_bits),
                ", ".join(sorted(each.relayed_bits)) or MISSING,
            )
            for each in view.plan.pairs
        ),
    )


def contact_table(view: PlanView) -> Table:
    """The first contacts, in order of time."""
    chosen = sorted(view.plan.contacts, key=lambda each: each.start_utc)[:MOST_CONTACTS]
    return Table(
        f"The first {len(chosen)} of {whole(len(view.plan.contacts))} contacts",
        ("start, UTC", "end, UTC", "satellite", "station", "highest, degrees", "key if clear, bits", "clear"),
        tuple(
            (
                each.start_utc,
                each.end_utc,
                each.satellite,
                each.station,
                decimals(float(np.degrees(each.max_elevation_rad)), 1),
                whole(each.key_bits),
                percent(each.clear_probability),
            )
            for each in chosen
        ),
    )


def station_table(view: PlanView) -> Table:
    """Every station: place, contacts, link key, and how likely its sky is clear."""
    skies = {each.station: each for each in view.skies or ()}
    rows = []
    for place in view.stations:
        own = [each for each in view.plan.contacts if each.station == place.name]
        sky = skies.get(place.name)
        clear = 1.0 if view.skies is None else None if sky is None else sky.clear
        rows.append(
            (
                place.name,
                decimals(float(np.degrees(place.latitude_rad)), 2),
                decimals(float(np.degrees(place.longitude_rad)), 2),
                whole(len(own)),
                whole(sum(each.key_bits * each.clear_probability for each in own)),
                percent(clear),
                percent(float(np.mean([each.clear_probability for each in own])) if own else None),
                "always clear" if view.skies is None else (sky.source if sky and sky.source else MISSING),
            )
        )
    header = ("station", "latitude, degrees", "longitude, degrees", "contacts", "link key expected, bits")
    weather = ("clear, all the time", "clear, contacts flown", "weather from")
    return Table("Stations and weather", (*header, *weather), tuple(rows))
