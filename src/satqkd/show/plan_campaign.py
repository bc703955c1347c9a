"""A campaign's report: what its runs came to against the number of satellites, what key costs, every run.

Knows the campaign's view.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from satqkd.show.plan_campaign_view import (
    CampaignView,
    RunTold,
    cost_series,
    in_order,
    several_at_a_size,
    shown,
    size_axes,
    size_series,
    time_series,
)
from satqkd.show.plan_curves import MOST_SERIES, constellation_picture, cost_picture
from satqkd.show.plan_document import Document, Note, Part, Picture, Section, write_document
from satqkd.show.plan_parts import Series
from satqkd.show.plan_style import counted, in_bits
from satqkd.show.tables import MISSING, Table, decimals, percent, whole

MOST_PICTURES: Final = 4
"""Of each kind, six series each."""
MOST_RUNS: Final = 200
"""In the table."""


def write_campaign_report(folder: Path, view: CampaignView, assumed: Sequence[str] = ()) -> list[Path]:
    """Write curves and `report.html` into a folder. assumed: sentences; for the rest as `write_document`."""
    return write_document(folder, campaign_document(view, assumed))


def campaign_document(view: CampaignView, assumed: Sequence[str] = ()) -> Document:
    """The report of a campaign."""
    return Document(
        title=f"Campaign {view.name}",
        lead=f"task {view.task} of {view.scenario}; axes: {', '.join(view.axes) or 'none'}",
        outcome=tuple(_outcome(view)),
        assumed=(*assumed, *_LIMITS),
        sections=(
            Section("Against the number of satellites", tuple(_sizes(view))),
            Section("What key and computing cost", tuple(_costs(view))),
            Section("Runs", (run_table(view),)),
        ),
    )


def run_table(view: CampaignView) -> Table:
    """The first runs, in order of the axes."""
    listed = in_order(view)[:MOST_RUNS]
    header = (
        *(view.axes or ("scenario",)),
        "seed",
        "satellites",
        "days",
        f"{view.what}, bits" if view.unit == "bits" else view.what,
        f"key of a {view.of}, bits",
        view.across,
        "computed in, s",
    )
    rows = tuple(_row(view, run) for run in listed)
    return Table(f"The first {len(rows)} of {whole(len(view.runs))} runs", header, rows)


def value_text(view: CampaignView, value: float | None) -> str:
    """What a run came to, with its unit."""
    if value is None:
        return MISSING
    return percent(value) if view.unit == "share" else in_bits(value)


def _row(view: CampaignView, run: RunTold) -> tuple[str, ...]:
    value = percent(run.value) if view.unit == "share" else whole(run.value)
    return (
        *([shown(run.labels[axis]) for axis in view.axes] or [view.scenario]),
        str(run.seed),
        whole(run.satellites),
        f"{run.days:.4g}",
        value,
        whole(run.each_bits),
        whole(run.cost),
        decimals(run.took_s, 2),
    )


def _outcome(view: CampaignView) -> list[str]:
    open_ = view.points - len(view.runs) - view.failed
    said = [
        f"{counted(view.points, 'point')}: {len(view.runs)} done, {view.failed} failed, {open_} not run yet."
    ]
    valued = [(each.value, each) for each in view.runs if each.value is not None]
    if valued:
        (_, least), (_, most) = (pick(valued, key=lambda each: each[0]) for pick in (min, max))
        said.append(
            f"{view.what[:1].upper()}{view.what[1:]}: {value_text(view, least.value)} "
            f"({_place(view, least)}) to {value_text(view, most.value)} ({_place(view, most)})."
        )
    return said


def _place(view: CampaignView, run: RunTold) -> str:
    return ", ".join([*(f"{axis} {shown(run.labels[axis])}" for axis in view.axes), f"seed {run.seed}"])


def _sizes(view: CampaignView) -> list[Part]:
    axes = size_axes(view)
    if not axes:
        return [_NO_SIZE]
    series = size_series(view)
    if not series:
        return [_NO_VALUE]
    words: list[Part] = [f"The number of satellites changes along {', '.join(axes)}."]
    if several_at_a_size(view):
        words.append(Note(_SHARED))
    return words + _pictures(
        series,
        "campaign-size",
        f"{view.what[:1].upper()}{view.what[1:]} against the number of satellites",
        lambda some, path: constellation_picture(
            path, some, what=view.what, about=f"campaign {view.name}", unit=view.unit
        ),
    )


def _costs(view: CampaignView) -> list[Part]:
    series, timed = cost_series(view), time_series(view)
    words: list[Part] = [] if timed else [_UNTIMED]
    if not series and not timed:
        return words
    return words + _pictures(
        series or [],
        "campaign-cost",
        f"Key of a {view.of} against {view.across}; computing time against satellites times days",
        lambda some, path: cost_picture(
            path, some, timed, across=view.across, of=view.of, about=f"campaign {view.name}"
        ),
    )


def _pictures(
    series: Sequence[Series], stem: str, caption: str, draw: Callable[[Sequence[Series], Path], Path]
) -> list[Part]:
    """Pictures of six series each, and how many series are left out."""
    sheets = [series[k : k + MOST_SERIES] for k in range(0, len(series), MOST_SERIES)] or [series]
    shown_: list[Part] = [
        Picture(f"{stem}-{number:02d}.png", caption, partial(draw, sheet))
        for number, sheet in enumerate(sheets[:MOST_PICTURES], 1)
    ]
    rest = len(series) - MOST_PICTURES * MOST_SERIES
    if rest > 0:
        shown_.append(Note(f"The first {MOST_PICTURES * MOST_SERIES} series are drawn; {rest} are left out."))
    return shown_


_NO_SIZE: Final = "No axis changes the number of satellites: there is no curve against it."
_NO_VALUE: Final = "This task has no number that could be drawn against the number of satellites."
_SHARED: Final = (
    "Several places on these axes have the same number of satellites: their runs stand at one place of a "
    "curve, as seeds do."
)
_UNTIMED: Final = (
    "How long runs took is not known in this folder: that stays where they ran, in seconds.jsonl."
)
_LIMITS: Final = (
    "Runs: each is what its task says; points whose settings come out alike are one run, and stand in the "
    "table as often as in the grid.",
    "Computing time: by the clock of the worker, beside whatever else ran there. The line is the power law "
    "that fits best, least squares of logarithms; it holds no farther than the points reach.",
)
