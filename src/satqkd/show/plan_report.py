"""A plan's pictures and its `report.html`: one folder that can be read, or mailed, without the program.

It says first what the plan is worth and what is assumed, then who gets key, when contacts are, and under what
weather. The folder gets all files of a report or none. Knows the plan's view.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from satqkd.errors import ResourceError
from satqkd.show import plan_tables as tables
from satqkd.show.page import Markup, element, page, picture, table
from satqkd.show.plan_levels import levels_picture
from satqkd.show.plan_map import close_extent, map_picture
from satqkd.show.plan_nights import night_pictures, sheets
from satqkd.show.plan_pairs import matrix_picture
from satqkd.show.plan_style import in_bits
from satqkd.show.plan_view import PlanView
from satqkd.show.report import REPORT_FILE
from satqkd.show.tables import percent

MOST_SHEETS: Final = 12
"""Of contacts in a report."""
MAP, CLOSE, PAIRS, LEVELS = "plan-map.png", "plan-map-close.png", "plan-pairs.png", "plan-levels.png"
_OWN: Final = re.compile(r"plan-(map|map-close|pairs|levels|contacts-\d{2})\.png")


def write_plan_report(folder: Path, told: PlanView) -> list[Path]:
    """Write the pictures and `report.html` of a plan into a folder, made where there is none.

    Returns the files, the report last. Pictures of an earlier report in the folder that this one has not are
    taken away. On failure the folder is left as it was. Raises ResourceError for what cannot be written.
    """
    with _beside(folder) as new:
        drawn = _pictures(new, told)
        report = new / REPORT_FILE
        report.write_text(page(f"satqkd: plan {told.plan.name}", _sections(told, drawn)), encoding="utf-8")
        names = [*(path.name for path in drawn), REPORT_FILE]
        _require_files(folder, names)
        _exchange(new, folder, names)
    return [folder / name for name in names]


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A folder for new files in the one that gets them; gone afterwards, with all that is still in it."""
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".report-") as new:
            yield Path(new)
    except OSError as error:
        raise ResourceError(
            f"{folder}: the report cannot be written ({error.strerror}); choose another folder"
        ) from None
    finally:
        if made and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _exchange(new: Path, folder: Path, names: list[str]) -> None:
    """Files of an earlier report go, those of `names` come; when one cannot, all is put back."""
    away = new / "earlier"
    away.mkdir()
    earlier = [path.name for path in folder.iterdir() if path.name in names or _OWN.fullmatch(path.name)]
    moves = [(folder / name, away / name) for name in earlier]
    moves += [(new / name, folder / name) for name in names]
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            source.replace(target)
            done.append((source, target))
    except BaseException:
        for source, target in reversed(done):
            target.replace(source)
        raise


def _require_files(folder: Path, names: list[str]) -> None:
    for name in names:
        if (folder / name).is_dir():
            raise ResourceError(
                f"{folder / name}: the report cannot be written (it is a folder); take it away"
            )


def _pictures(folder: Path, told: PlanView) -> list[Path]:
    drawn = [map_picture(folder / MAP, told)]
    extent = close_extent(told)
    if extent is not None:
        drawn.append(map_picture(folder / CLOSE, told, extent))
    drawn.append(matrix_picture(folder / PAIRS, told))
    count = min(MOST_SHEETS, len(sheets(told)))
    drawn += night_pictures([folder / f"plan-contacts-{k:02d}.png" for k in range(1, count + 1)], told)
    if told.levels:
        about = f"plan {told.plan.name}, from {told.plan.start_utc}"
        drawn.append(levels_picture(folder / LEVELS, told.levels, about=about))
    return drawn


def _sections(told: PlanView, drawn: list[Path]) -> list[Markup]:
    def shown(*starts: str) -> list[Markup]:
        return [picture(path, _caption(path.name)) for path in drawn if path.name.startswith(starts)]

    return [
        element("h1", f"Plan {told.plan.name}"),
        element("p", _subtitle(told), class_="lead"),
        element("div", *(element("p", each) for each in _outcome(told)), class_="good"),
        element("h2", "What this is, and what is assumed"),
        element("ul", *(element("li", each) for each in (*told.assumed, *_assumed(told))), class_="note"),
        table(tables.worth_table(told), caption=False),
        element("h2", "Where"),
        *shown("plan-map"),
        element("h2", "Who gets key"),
        *shown("plan-pairs"),
        table(tables.pair_table(told), caption=False),
        element("h2", "When"),
        *shown("plan-contacts"),
        *_unshown(told),
        table(tables.contact_table(told)),
        element("h2", "Stations and weather"),
        table(tables.station_table(told), caption=False),
        element("h2", "Stores"),
        *(shown("plan-levels") or [element("p", _NO_LEVELS)]),
    ]


def _caption(name: str) -> str:
    start = next(start for start in _CAPTIONS if name.startswith(start))
    return _CAPTIONS[start]


def _subtitle(told: PlanView) -> str:
    plan = told.plan
    return (
        f"{len(told.satellites)} satellites, {len(told.stations)} stations, {len(plan.pairs)} pairs; "
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


def _unshown(told: PlanView) -> list[Markup]:
    rest = len(sheets(told)) - MOST_SHEETS
    if rest <= 0:
        return []
    return [
        element("p", f"The first {MOST_SHEETS} pictures are shown; {rest} more are left out.", class_="note")
    ]


_CAPTIONS: Final = {
    "plan-map": "Where key can be had, stations, and pairs as great circles",
    "plan-pairs": "Expected key of each pair of stations",
    "plan-contacts": "Contacts, a row a station, colour by satellite, the paler the likelier cloudy",
    "plan-levels": "Key in stores in time",
}
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
