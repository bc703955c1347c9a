"""The loss stack: which part of the link costs how much along the pass, in dB, one band a part.

Knows a course's columns and one panel.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from satqkd.show.artists import Array, EdgeName, largest, name_at_edge, note_extreme
from satqkd.show.files import Columns
from satqkd.show.style import INK, LOSS_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOSS_PARTS: Final = tuple(
    name.removesuffix("_db")
    for name in Columns.__struct_fields__
    if name.endswith("_db") and name != "total_db"
)
"""In the order of the light's way."""
_NO_LOSS_DB: Final = 0.005
"""A part that never costs more than this is not named."""


def draw_losses(axes: "Axes", course: Columns, duration_s: float) -> None:
    """Parts of the loss stacked up to their sum, each named at the right with its least and most."""
    t_s = course.array("t_s")
    shown = t_s <= duration_s
    parts = [course.array(f"{name}_db")[shown] for name in LOSS_PARTS]
    axes.stackplot(t_s[shown], np.nan_to_num(parts), colors=LOSS_COLOURS, lw=0.6, edgecolor="white")
    total = course.array("total_db")[shown]
    axes.plot(t_s[shown], total, color=INK, lw=1.6)
    top = max(largest(np.append(total, np.nansum(parts, axis=0)), 0.0), 1.0)
    axes.set_xlim(t_s[0], duration_s)
    axes.set_ylim(0, top * 1.10)
    axes.set_ylabel("loss, dB")
    note_extreme(axes, t_s[shown], total, "{:.1f} dB in all", highest=False, color=INK)
    name_at_edge(axes, _bands(parts), gap=0.068)


def _bands(parts: list[Array]) -> list[EdgeName]:
    """Each part that costs something, at the middle of its band's end."""
    ends = np.cumsum([0.0] + [float(np.nan_to_num(part)[-1]) for part in parts])
    named = [k for k, part in enumerate(parts) if largest(part, 0.0) > _NO_LOSS_DB]
    return [
        EdgeName(_span(LOSS_PARTS[k], parts[k]), float(ends[k] + ends[k + 1]) / 2, LOSS_COLOURS[k])
        for k in named
    ]


def _span(name: str, part: Array) -> str:
    least, most = float(np.nanmin(part)), largest(part, 0.0)
    span = f"{least:.1f}" if most - least < 0.05 else f"{least:.1f}–{most:.1f}"
    return f"{name}  {span} dB"
