"""Levels of stores in time, a panel a group of stores (pairs, links), their alarms in lanes below.

Few stores have a line with a name each; of many, those that get emptiest have, and a band holds the rest.
Each line has a lane of its colour for its alarms, the rest share one. Knows arrays by name.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from satqkd.constants import DAY_S
from satqkd.show.artists import EdgeName, name_at_edge, remark, say
from satqkd.show.plan_parts import StoreLevels
from satqkd.show.plan_style import PALETTE, bit_unit, headline
from satqkd.show.style import MUTED, PALE, write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES: Final = len(PALETTE)
_PANEL_PX: Final = 400
_HEADING_PX: Final = 110
_LANE: Final = 0.045
"""Height of a lane, as a share of the highest level."""


def levels_picture(path: Path, groups: Sequence[StoreLevels], *, about: str = "") -> Path:
    """Write the picture as PNG. about: what the levels are of. Returns the path; raises as `write_png`."""
    height_px = _HEADING_PX + _PANEL_PX * max(1, len(groups))
    return write_png(path, lambda figure: draw_levels(figure, groups, about=about), height_px=height_px)


def draw_levels(figure: "Figure", groups: Sequence[StoreLevels], *, about: str = "") -> None:
    """Fill a figure with a panel for each group of stores, on one axis of time."""
    headline(figure, "Key in stores in time", about)
    panels = figure.subplots(max(1, len(groups)), 1, squeeze=False, sharex=True)[:, 0]
    if not groups:
        panels[0].set_axis_off()
        say(panels[0], "no levels of stores were given: operate the plan to have some")
        return
    for axes, group in zip(panels, groups, strict=True):
        _draw_group(axes, group)
    panels[-1].set_xlabel("time since the start, days")


def emptiest(group: StoreLevels) -> list[int]:
    """Rows that have a line of their own, in the order of the group.

    Those with the lowest level after they first held key; a store that never does is the emptiest.
    """
    held = np.maximum.accumulate(group.level_bits, axis=1) > 0
    lowest = np.where(held, group.level_bits, np.inf).min(axis=1, initial=np.inf)
    lowest[~held.any(axis=1)] = 0.0
    mean = group.level_bits.mean(axis=1) if group.t_s.size else lowest
    return sorted(np.lexsort((mean, lowest))[:MOST_LINES].tolist())


def _draw_group(axes: "Axes", group: StoreLevels) -> None:
    axes.set_title(group.title)
    if not group.names or not group.t_s.size:
        say(axes, f"{group.title}: none")
        return
    t_days = group.t_s / DAY_S
    most_bits = float(group.level_bits.max())
    size, unit = bit_unit(most_bits)
    axes.set_ylabel(f"key in store, {unit}")
    axes.set_xlim(t_days[0], t_days[-1] if t_days[-1] > t_days[0] else t_days[0] + 1.0)
    top = 1.08 * most_bits / size or 1.0
    chosen = emptiest(group)
    rest = np.setdiff1d(np.arange(len(group.names)), chosen)
    if rest.size:
        others = group.level_bits[rest] / size
        axes.fill_between(
            t_days, others.min(axis=0), others.max(axis=0), step="post", color=PALE, lw=0, gid="others"
        )
    names = []
    for row, color in zip(chosen, PALETTE, strict=False):
        level = group.level_bits[row] / size
        axes.plot(t_days, level, color=color, lw=1.4, drawstyle="steps-post", gid=group.names[row])
        names.append(EdgeName(group.names[row], float(level[-1]), color))
    lanes = _draw_alarms(axes, group, chosen, top)
    axes.set_ylim(-(lanes + 0.5) * _LANE * top if lanes else 0, top)
    axes.set_yticks([each for each in axes.get_yticks() if 0 <= each <= top])
    name_at_edge(axes, names, gap=0.075)
    grey = f"the {len(chosen)} emptiest by name, grey: where the other {rest.size} are" if rest.size else ""
    remark(axes, "; ".join(each for each in (_alarms(group), grey) if each))


def _draw_alarms(axes: "Axes", group: StoreLevels, chosen: Sequence[int], top: float) -> int:
    """A bar for each alarm, in the lane of its store. Returns the number of lanes."""
    alarmed = {each.store for each in group.alarms}
    named = [group.names[row] for row in chosen]
    color_of = dict(zip(named, PALETTE, strict=False))
    own = [name for name in named if name in alarmed]
    place = {name: own.index(name) if name in own else len(own) for name in alarmed}
    for each in group.alarms:
        axes.barh(
            -(place[each.store] + 1) * _LANE * top,
            (each.end_s - each.start_s) / DAY_S,
            left=each.start_s / DAY_S,
            height=0.7 * _LANE * top,
            color=color_of.get(each.store, MUTED),
            lw=0,
            gid=f"alarm {each.store}",
        )
    if place:
        axes.axhline(0.0, color=MUTED, lw=0.8)
    return max(place.values(), default=-1) + 1


def _alarms(group: StoreLevels) -> str:
    if not group.alarms:
        return ""
    stores = list(dict.fromkeys(each.store for each in group.alarms))
    whose = ", ".join(stores) if len(stores) <= 3 else f"{len(stores)} stores"
    number = len(group.alarms)
    return f"bars: {number} alarm{'s' if number > 1 else ''} of {whose}"
