"""A plan's report: its pictures, its tables, and what is assumed.

It says first what the plan is worth and what is assumed, then who gets key, when contacts are, and under what
weather. Knows the plan's view.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from satqkd.show import plan_tables as tables
from satqkd.show.plan_document import Document, Note, Part, Picture, Section, Write, write_document
from satqkd.show.plan_levels import levels_picture
from satqkd.show.plan_map import close_extent, map_picture
from satqkd.show.plan_nights import night_picture, sheets
from satqkd.show.plan_pairs import matrix_picture
from satqkd.show.plan_style import counted, in_bits
from satqkd.show.plan_view import PlanView
from satqkd.show.tables import percent

MOST_SHEETS: Final = 12
"""Of contacts in a report."""


def write_plan_report(folder: Path, told: PlanView, beside: Mapping[str, Write] | None = None) -> list[Path]:
    """Write a plan's pictures and `report.html` into a folder; for the rest as `write_document`."""
    return write_document(folder, plan_document(told), beside)


def plan_document(told: PlanView) -> Document:
    """The report of a plan."""
    return Document(
        title=f"Plan {told.plan.name}",
        lead=_subtitle(told),
        outcome=tuple(_outcome(told)),
        assumed=(*told.assumed, *_assumed(told)),
        sections=(
            Section("Worth", (tables.worth_table(told),)),
            Section("Where", tuple(_maps(told))),
            Section("Who gets key", (_matrix(told), tables.pair_table(told))),
            Section("When", (*_nights(told), tables.contact_table(told))),
            Section("Stations and weather", (tables.station_table(told),)),
            Section("Stores", (_levels(told),)),
        ),
    )


def _maps(told: PlanView) -> list[Picture]:
    shown = [Picture("plan-map.png", _WHERE, lambda path: map_picture(path, told))]
    extent = close_extent(told)
    if extent is not None:
        shown.append(Picture("plan-map-close.png", _WHERE, lambda path: map_picture(path, told, extent)))
    return shown


def _matrix(told: PlanView) -> Picture:
    return Picture("plan-pairs.png", _WHO, lambda path: matrix_picture(path, told))


def _nights(told: PlanView) -> list[Part]:
    """The first sheets, and how many are left out."""
    made = sheets(told)
    rest = len(made) - MOST_SHEETS
    shown: list[Part] = [
        Picture(f"plan-contacts-{number:02d}.png", _WHEN, partial(night_picture, view=told, sheet=sheet))
        for number, sheet in enumerate(made[:MOST_SHEETS], 1)
    ]
    if rest > 0:
        shown.append(Note(f"The first {MOST_SHEETS} pictures are shown; {rest} more are left out."))
    return shown


def _levels(told: PlanView) -> Part:
    if not told.levels:
        return _NO_LEVELS
    about = f"plan {told.plan.name}, from {told.plan.start_utc}"
    return Picture("plan-levels.png", _STORES, lambda path: levels_picture(path, told.levels, about=about))


def _subtitle(told: PlanView) -> str:
    plan = told.plan
    return (
        f"{counted(len(told.satellites), 'satellite')}, {counted(len(told.stations), 'station')}, "
        f"{counted(len(plan.pairs), 'pair')}; "
        f"{told.span} from {plan.start_utc}; planned in {plan.time_s:.1f} s"
    )


def _outcome(told: PlanView) -> list[str]:
    """The result in one sentence each."""
    plan = told.plan
    said = [
        f"By the objective {plan.objective_name}, this plan is worth {tables.worth(told, plan.objective)}; "
        f"no plan of this model is worth more than {tables.worth(told, plan.bound)}: a gap of "
        f"{percent(plan.gap)}.",
        f"{len(plan.contacts)} of {plan.passes} passes that give key are flown.",
    ]
    if plan.pairs:
        least, most = (pick(plan.pairs, key=lambda each: each.key_bits) for pick in (min, max))
        total_bits = sum(each.key_bits for each in plan.pairs)
        said.append(
            f"Pairs get {in_bits(total_bits)} in all: the least is {in_bits(least.key_bits)} ({least.pair}), "
            f"the most {in_bits(most.key_bits)} ({most.pair})."
        )
    return said


def _assumed(told: PlanView) -> list[str]:
    weather = _CLEAR if told.skies is None else _WEATHER
    return [weather, *_LIMITS]


_WHERE: Final = "Where key can be had, stations, and pairs as great circles"
_WHO: Final = "Expected key of each pair of stations"
_WHEN: Final = "Contacts, a row a station, colour by satellite, the paler the likelier cloudy"
_STORES: Final = "Key in stores in time"
_NO_LEVELS: Final = (
    "No levels came with this plan: a plan counts with expectations; what stores hold is known when it is "
    "operated."
)
_CLEAR: Final = "Weather: none was given; every sky is taken as clear."
_WEATHER: Final = (
    "Weather: probabilities, not forecasts. Key of a contact counts times the probability of a clear sky "
    "over its station at that time of the year."
)
_LIMITS: Final = (
    "Key: expectations of the link's model through the key-length function that both ends call. Nothing was "
    "flown or measured, and a contact may give more or less than expected.",
    "Relays: a satellite that relays key knows it. It is trusted, unless a pair combines key over several.",
    "Terminals: one contact at a time for a satellite and for a station, with the scenario's setup time "
    "between two of them.",
    "Bound: it holds for the model's choice among these passes with these expectations, not for the world.",
)
