"""What panels have in common: a curve's extreme, names at the right edge, a sentence where nothing is drawn.

Knows axes and arrays only.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satqkd.show.style import MUTED, PALE, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]


class EdgeName(NamedTuple):
    """A name to stand outside the right edge, and where on the edge its curve or band ends."""

    text: str
    value: float
    """There, in data."""
    color: str


def note_extreme(
    axes: "Axes", t_s: Array, values: Array, template: str, *, highest: bool, color: str
) -> None:
    """A dot and the value at the highest or lowest point."""
    if not np.isfinite(values).any():
        return
    row = int(np.nanargmax(values) if highest else np.nanargmin(values))
    note(axes, float(t_s[row]), float(values[row]), template.format(values[row]), color=color)


def note(axes: "Axes", at_s: float, value: float, text: str, *, color: str, under: bool = False) -> None:
    """A dot and a text over or under it, which near a side edge runs inward."""
    axes.plot(at_s, value, "o", ms=4, color=color)
    left, right = axes.get_xlim()
    place = (at_s - left) / (right - left)
    side = -1 if place < 0.1 else 1 if place > 0.9 else 0
    axes.annotate(
        text,
        (at_s, value),
        xytext=(-5 * side, -7 if under else 7),
        textcoords="offset points",
        ha=("center", "right", "left")[side],
        va="top" if under else "bottom",
        color=color,
        fontweight="bold",
    )


def name_at_edge(axes: "Axes", names: Sequence[EdgeName], *, gap: float) -> None:
    """Names outside the right edge, in order of height, joined to where their curves end.

    gap: least distance of two names, as a share of the axes' height. Limits and scale must be set before.
    """
    to_axes = axes.transData + axes.transAxes.inverted()
    right = axes.get_xlim()[1]
    ordered = sorted(names, key=lambda name: name.value)
    ends = [float(to_axes.transform((right, name.value))[1]) for name in ordered]
    for name, end, height in zip(ordered, ends, spread(ends, gap), strict=True):
        axes.annotate(
            name.text,
            (1.0, end),
            xytext=(1.03, height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=8.5,
            arrowprops={
                "arrowstyle": "-",
                "color": name.color,
                "lw": 2.5,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 0,
            },
        )


def shade_after(axes: "Axes", start_s: float, end_s: float, why: str) -> None:
    """Grey ground between two pass times, and what it means."""
    if not start_s < end_s:
        return
    axes.axvspan(start_s, end_s, color=PALE, lw=0, zorder=0)
    axes.annotate(
        why, (0.995, 0.97), xycoords="axes fraction", color=MUTED, fontsize=7.5, ha="right", va="top"
    )


def log_ticks(axes: "Axes") -> None:
    """Plain numbers on a logarithmic y axis: decades, and 2 and 5 between them where there are few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axes.get_ylim()
    few = high / low < 1e3
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=9))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def remark(axes: "Axes", text: str) -> None:
    """Small print over the right end of the panel."""
    axes.set_title(text, loc="right", fontsize=8, fontweight="normal", color=MUTED)


def say(axes: "Axes", sentence: str) -> None:
    """A sentence in the middle, where there is nothing to draw."""
    axes.annotate(sentence, (0.5, 0.5), xycoords="axes fraction", color=MUTED, ha="center", va="center")


def largest(values: Array, otherwise: float) -> float:
    """Largest finite value; `otherwise` where there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else otherwise


def smallest(values: Array, otherwise: float) -> float:
    """Smallest finite value; `otherwise` where there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.min()) if finite.size else otherwise
