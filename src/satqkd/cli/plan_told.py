"""What the report of a plan shows, from the network and its plan; sentences about weather and ships.

Between `plan`, which knows no picture, and `show`, which knows no planner.
"""

import math
from pathlib import Path

import msgspec

from satqkd.plan.clear_sky_table import Climate, shipped_table
from satqkd.plan.coverage import KeyByPlace, StationClear, coverage_of, skies_of, tracks_of
from satqkd.plan.network import Network
from satqkd.plan.result import Plan
from satqkd.plan.tables import columns_of, write_table
from satqkd.results import to_json
from satqkd.show import PlanView, view_of_plan, write_plan_report
from satqkd.show.plan_parts import Coverage, GroundTrack, Place, StationSky

PLAN_FILE, CONTACTS_FILE = "plan.json", "contacts.csv"
NAMED = 6
"""Stations that a sentence names; of more the first of them."""


def write_plan(folder: Path, network: Network, plan: Plan) -> list[Path]:
    """`plan.json`, `contacts.csv`, pictures and `report.html`: all of them or none.

    Returns the files, the report last. Raises as `write_document` does.
    """
    return write_plan_report(
        folder,
        view_of_network(network, plan),
        {
            PLAN_FILE: lambda path: path.write_bytes(to_json(plan) + b"\n"),
            CONTACTS_FILE: lambda path: write_contacts(path, plan),
        },
    )


def write_contacts(path: Path, plan: Plan) -> None:
    """A table with a row a contact, in the plan's order. Raises as `write_table` does."""
    rows = [
        {
            "satellite": each.satellite,
            "station": each.station,
            "start_utc": each.start_utc,
            "end_utc": each.end_utc,
            "max_elevation_deg": math.degrees(each.max_elevation_rad),
            "key_bits": each.key_bits,
            "clear_probability": each.clear_probability,
            "expected_bits": each.key_bits * each.clear_probability,
            "period": each.period,
        }
        for each in plan.contacts
    ]
    write_table(path, columns_of(rows))


def view_of_network(network: Network, plan: Plan) -> PlanView:
    """A plan with what its pictures need beside it; colours of the map take seconds."""
    covered, skies = coverage_of(network), skies_of(network)
    return view_of_plan(
        msgspec.to_builtins(plan),
        duration_s=network.duration_s,
        stations=[
            Place(name=each.name, latitude_rad=each.latitude_rad, longitude_rad=each.longitude_rad)
            for each in network.stations
        ],
        satellites=[each.name for each in network.satellites],
        tracks=[GroundTrack(**msgspec.structs.asdict(each)) for each in tracks_of(network)],
        coverage=None if covered is None else _coverage(network, covered),
        skies=None if skies is None else [_sky(each) for each in skies],
        assumed=[*weather_told(network), *ships_told(network)],
    )


def weather_told(network: Network) -> list[str]:
    """Which stations have whose weather, a sentence each; none without weather."""
    by_origin: dict[str, list[str]] = {}
    for sky in skies_of(network) or ():
        by_origin.setdefault(_origin(network, sky.row), []).append(sky.station)
    return [f"Weather of {_named(names)}: {origin}." for origin, names in by_origin.items()]


def ships_told(network: Network) -> list[str]:
    """A sentence where there are ships."""
    ships = [each.name for each, track in zip(network.stations, network.tracks, strict=True) if track]
    if not ships:
        return []
    return [f"Ships, {_named(ships)}: drawn, and with the weather, where their tracks begin."]


def _coverage(network: Network, covered: KeyByPlace) -> Coverage:
    count = len(network.satellites)
    some = "" if covered.satellites == count else f", of {covered.satellites} satellites, scaled to {count}"
    days = "first day" if covered.days == 1 else f"first {covered.days:.3g} days"
    return Coverage(
        latitude_rad=covered.latitude_rad,
        longitude_rad=covered.longitude_rad,
        day_bits=covered.day_bits,
        detail=f"{covered.station}'s terminal, clear sky, {days}{some}",
    )


def _sky(sky: StationClear) -> StationSky:
    row = sky.row
    source = "no row: the default" if row is None else f"row {row.name}, {row.evidence}: {row.source}"
    return StationSky(station=sky.station, clear=sky.clear, source=source)


def _origin(network: Network, row: Climate | None) -> str:
    if row is None:
        weather = network.weather
        clear = weather.default_clear if weather is not None else None
        return f"no row of a table holds; the scenario's default_clear, {100 * (clear or 0):g} % at all times"
    if row in shipped_table():
        return f"rows of the table that comes with the software, examples, their evidence {row.evidence}"
    return f"rows of the scenario's own table, their evidence {row.evidence}"


def _named(names: list[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
