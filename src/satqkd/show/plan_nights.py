"""When contacts are: a row a station, a bar a contact, colour by satellite, the paler the likelier cloudy.

A day is cut where no contact is, so that nights stay whole; long plans make several sheets. Knows the plan's
view and hours.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satqkd.constants import DAY_S
from satqkd.show.artists import remark, say
from satqkd.show.plan_style import OTHERS, OTHERS_COLOUR, colours_of, counted, headline, in_bits
from satqkd.show.plan_view import PlanView, contact_times_s
from satqkd.show.style import INK, write_png
from satqkd.sky import parse_utc

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

MOST_ROWS: Final = 30
"""Stations on a sheet."""
LONGEST_S: Final = 14 * 3600.0
"""On one panel; what is longer is cut in halves of a day."""
_ROWS_A_SHEET: Final = 60
_LEAST_ROWS: Final = 4
"""That a panel is as high as."""
_ROW_PX: Final = 22
_BAR: Final = 0.72
"""Height of a contact's bar, in rows."""
_PANEL_PX: Final = 70
_HEADING_PX: Final = 235
_CLEAREST, _CLOUDIEST = 1.0, 0.12
"""Opacities of a contact under a sky that is surely clear, and surely not."""
_MINUTES: Final = 1440


class Panel(NamedTuple):
    """A stretch of time on the x axis, and the contacts that lie in it."""

    begin_s: float
    """After the plan's start, as all of these."""
    end_s: float
    contacts: Rows


class Sheet(NamedTuple):
    """One picture."""

    stations: tuple[str, ...]
    """Rows, from the top."""
    panels: tuple[Panel, ...]

    @property
    def height_px(self) -> int:
        """So that rows can be read."""
        return _HEADING_PX + len(self.panels) * (_PANEL_PX + _ROW_PX * max(_LEAST_ROWS, len(self.stations)))


def night_pictures(paths: Sequence[Path], view: PlanView) -> list[Path]:
    """Write the first sheets, as many as there are paths. Returns those written; raises as `write_png` does.

    A plan without contacts makes one sheet that says so.
    """
    return [night_picture(path, view, sheet) for path, sheet in zip(paths, sheets(view), strict=False)]


def sheets(view: PlanView) -> list[Sheet]:
    """Panels of all contacts, in order of time, put together so that a sheet has some 60 rows."""
    made: list[Sheet] = []
    together: list[Panel] = []
    for panel in _panels(view):
        wider = [*together, panel]
        if together and len(wider) * max(_LEAST_ROWS, len(_stations(view, wider))) > _ROWS_A_SHEET:
            made += _parted(view, together)
            wider = [panel]
        together = wider
    made += _parted(view, together)
    return made or [Sheet((), ())]


def _parted(view: PlanView, panels: list[Panel]) -> list[Sheet]:
    rows = _stations(view, panels)
    return [Sheet(tuple(rows[k : k + MOST_ROWS]), tuple(panels)) for k in range(0, len(rows), MOST_ROWS)]


def draw_nights(figure: "Figure", view: PlanView, sheet: Sheet) -> None:
    """Fill a figure with one sheet."""
    headline(figure, "Contacts of the plan, by station and satellite", _about(view))
    if not sheet.panels:
        axes = figure.subplots()
        axes.set_axis_off()
        say(axes, "the plan flies no contact")
        return
    colours = colours_of(each.satellite for each in view.plan.contacts)
    start_s, end_s = contact_times_s(view)
    for axes, panel in zip(
        figure.subplots(len(sheet.panels), 1, squeeze=False)[:, 0], sheet.panels, strict=True
    ):
        _draw_panel(axes, view, sheet.stations, panel, colours, (start_s, end_s))
    axes.set_xlabel("time of day, UTC")
    _draw_legend(figure, colours)


def cut_of_day_s(start_s: Array, end_s: Array) -> float:
    """The time of day in the middle of the longest time without a contact on any day, to a minute.

    start_s, end_s: of contacts, after some midnight. Where every minute has one, midnight.
    """
    busy = np.zeros(_MINUTES, dtype=np.bool_)
    for begin, end in zip(start_s, end_s, strict=True):
        busy[np.arange(math.floor(begin / 60), math.ceil(end / 60) + 1) % _MINUTES] = True
    if busy.all() or not busy.any():
        return 0.0
    first = int(np.flatnonzero(busy)[0])
    edges = np.flatnonzero(np.append(np.roll(busy, -first), True))
    longest = int(np.argmax(np.diff(edges)))
    middle = (edges[longest] + edges[longest + 1]) / 2
    return float((first + math.floor(middle)) % _MINUTES * 60)


def _panels(view: PlanView) -> list[Panel]:
    start_s, end_s = contact_times_s(view)
    if not start_s.size:
        return []
    midnight_s = _midnight_s(view)
    cut_s = cut_of_day_s(start_s - midnight_s, end_s - midnight_s)
    into_day_s = (start_s - midnight_s - cut_s) % DAY_S + cut_s
    low_s = 3600 * math.floor(into_day_s.min() / 3600)
    high_s = 3600 * math.ceil((into_day_s + end_s - start_s).max() / 3600)
    spans = [(low_s, high_s)]
    if high_s - low_s > LONGEST_S:
        half_s = 3600 * math.ceil((high_s - low_s) / 7200)
        spans = [(low_s, low_s + half_s), (low_s + half_s, low_s + 2 * half_s)]
    day = np.floor((start_s - midnight_s - cut_s) / DAY_S).astype(int)
    begins_s = [midnight_s + DAY_S * k for k in range(day.min(), day.max() + 1)]
    windows = [(begin + a, begin + b) for begin in begins_s for a, b in spans]
    found = [Panel(a, b, np.flatnonzero((start_s < b) & (end_s > a))) for a, b in windows]
    return [panel for panel in found if panel.contacts.size]


def _midnight_s(view: PlanView) -> float:
    start = parse_utc(view.plan.start_utc)
    return -(start - start.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()


def _stations(view: PlanView, panels: list[Panel]) -> list[str]:
    """Those with contacts there, the eastmost first, where night begins first."""
    used = {view.plan.contacts[row].station for panel in panels for row in panel.contacts.tolist()}
    chosen = [each for each in view.stations if each.name in used]
    return [each.name for each in sorted(chosen, key=lambda each: (-each.longitude_rad, each.name))]


def night_picture(path: Path, view: PlanView, sheet: Sheet) -> Path:
    """Write one sheet as PNG. Returns the path; raises as `write_png` does."""
    return write_png(path, lambda figure: draw_nights(figure, view, sheet), height_px=sheet.height_px)


def _draw_panel(
    axes: "Axes",
    view: PlanView,
    stations: tuple[str, ...],
    panel: Panel,
    colours: dict[str, str],
    times_s: tuple[Array, Array],
) -> None:
    shown = [row for row in panel.contacts.tolist() if view.plan.contacts[row].station in stations]
    for row in shown:
        _draw_contact(axes, view, row, stations, colours, times_s)
    axes.set_xlim(panel.begin_s, panel.end_s)
    axes.set_ylim(len(stations) - 0.4, -0.6)
    axes.set_yticks(range(len(stations)), stations)
    axes.grid(axis="y", visible=False)
    _label_hours(axes, parse_utc(view.plan.start_utc), panel)
    key_bits = sum(view.plan.contacts[k].key_bits * view.plan.contacts[k].clear_probability for k in shown)
    remark(
        axes, f"{counted(len(shown), 'contact')}, {in_bits(key_bits)} of link key expected with this weather"
    )


def _draw_contact(
    axes: "Axes",
    view: PlanView,
    row: int,
    stations: tuple[str, ...],
    colours: dict[str, str],
    times_s: tuple[Array, Array],
) -> None:
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    contact = view.plan.contacts[row]
    color = colours[contact.satellite]
    bar = Rectangle(
        (times_s[0][row], stations.index(contact.station) - _BAR / 2),
        times_s[1][row] - times_s[0][row],
        _BAR,
        facecolor=to_rgba(color, opacity(contact.clear_probability)),
        edgecolor=color,
        linewidth=0.7,
        gid=f"contact {row}",
    )
    axes.add_patch(bar)


def opacity(clear_probability: float) -> float:
    """Of the bar of a contact; its edge is always full."""
    return _CLOUDIEST + (_CLEAREST - _CLOUDIEST) * clear_probability


def _label_hours(axes: "Axes", start: datetime, panel: Panel) -> None:
    hours = (panel.end_s - panel.begin_s) / 3600
    step_s = 3600 * next(step for step in (1, 2, 3) if hours / step <= 13 or step == 3)
    ticks = np.arange(panel.begin_s, panel.end_s + 1, step_s)
    moments = [start + timedelta(seconds=float(each)) for each in ticks]
    axes.set_xticks(ticks, [f"{each:%H:%M}" for each in moments])
    first, last = moments[0], start + timedelta(seconds=panel.end_s)
    until = "" if first.date() == last.date() else f" to {last:%Y-%m-%d}"
    axes.set_title(f"{first:%Y-%m-%d}{until}", fontsize=9.5)


def _draw_legend(figure: "Figure", colours: dict[str, str]) -> None:
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Patch

    named = {name: color for name, color in colours.items() if color != OTHERS_COLOUR}
    rest = len(colours) - len(named)
    handles = [Patch(color=color, label=name) for name, color in named.items()]
    if rest:
        handles.append(Patch(color=OTHERS_COLOUR, label=f"{rest} {OTHERS}"))
    handles += [
        Patch(
            facecolor=to_rgba(INK, opacity(clear)), edgecolor=INK, lw=0.7, label=f"{100 * clear:.0f} % clear"
        )
        for clear in (1.0, 0.5, 0.1)
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=6, frameon=False, fontsize=8.5)


def _about(view: PlanView) -> str:
    return (
        f"{view.plan.name}: {counted(len(view.plan.contacts), 'contact')} in {view.span} from "
        f"{view.plan.start_utc}; a bar from rise to set above the mask, colour by satellite, the paler the "
        "likelier the sky is cloudy"
    )
