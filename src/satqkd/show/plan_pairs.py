"""Key of each pair as a matrix of stations; and what each pair gets against what it demands.

A field that no pair wants stays white, a pair without key is marked 0. Knows the plan's view.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from satqkd.show.artists import say
from satqkd.show.plan_style import bit_unit, counted, headline, scale
from satqkd.show.plan_view import PlanView
from satqkd.show.style import GRID, INK, write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NUMBERED: Final = 16
"""With more stations, fields bear no numbers."""
_HEIGHT_PX: Final = 1080


def matrix_picture(path: Path, view: PlanView) -> Path:
    """Write the matrix as PNG. Returns the path; raises as `write_png` does."""
    return write_png(path, lambda figure: draw_matrix(figure, view), height_px=_HEIGHT_PX)


def pair_matrix(view: PlanView) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Stations that are an end of a pair, as listed, and key of their pairs in bits, shape (n, n).

    Symmetric; NaN where no pair is wanted. Several pairs of users at the same stations are summed.
    """
    ends = {end for pair in view.plan.pairs for end in pair.ends}
    names = tuple(each.name for each in view.stations if each.name in ends)
    key_bits = np.full((len(names), len(names)), np.nan)
    for pair in view.plan.pairs:
        a, b = (names.index(end) for end in pair.ends)
        for row, column in {(a, b), (b, a)}:
            key_bits[row, column] = np.nansum([key_bits[row, column], pair.key_bits])
    return names, key_bits


def draw_matrix(figure: "Figure", view: PlanView) -> None:
    """Fill a figure with the matrix."""
    names, key_bits = pair_matrix(view)
    headline(figure, "Key of each pair of stations", _about(view))
    axes = figure.subplots()
    if not names:
        axes.set_axis_off()
        say(axes, "the plan has no pair: no key is relayed to anybody")
        return
    size, unit = bit_unit(float(np.nanmax(key_bits)))
    most = float(np.nanmax(key_bits)) / size or 1.0
    mesh = axes.pcolormesh(np.ma.masked_invalid(key_bits / size), cmap=scale(), vmin=0.0, vmax=most)
    _label(axes, names)
    _mark(axes, key_bits / size, most)
    bar = figure.colorbar(mesh, ax=axes, pad=0.012, aspect=34, shrink=0.8)
    bar.set_label(f"expected key in {view.span}, {unit}")
    bar.outline.set_visible(False)


def _label(axes: "Axes", names: tuple[str, ...]) -> None:
    middles = np.arange(len(names)) + 0.5
    size_pt = 8.5 if len(names) <= 25 else max(5.0, 8.5 * 25 / len(names))
    axes.set_xticks(middles, names, rotation=90, fontsize=size_pt)
    axes.set_yticks(middles, names, fontsize=size_pt)
    axes.set_xlabel("one end, station")
    axes.set_ylabel("other end, station")
    axes.set_ylim(len(names), 0)
    axes.set_aspect("equal")
    edges = np.arange(len(names) + 1)
    for minor in (axes.xaxis, axes.yaxis):
        minor.set_ticks(edges, minor=True)
    axes.set_axisbelow(False)
    axes.grid(visible=False)
    axes.grid(visible=True, which="minor", color=GRID, lw=0.6)
    axes.tick_params(which="both", length=0)


def _mark(axes: "Axes", values: NDArray[np.float64], most: float) -> None:
    """Numbers in fields where there is room; everywhere 0 where a pair gets nothing."""
    numbered = len(values) <= MOST_NUMBERED
    for row, column in np.argwhere(np.isfinite(values)).tolist():
        value = float(values[row, column])
        if numbered or value == 0:
            dark = value > 0.55 * most
            text = "0" if value == 0 else f"{value:.3g}"
            axes.text(
                column + 0.5,
                row + 0.5,
                text,
                ha="center",
                va="center",
                fontsize=8.5 if numbered else 5.5,
                color="white" if dark else INK,
            )


def _about(view: PlanView) -> str:
    pairs = view.plan.pairs
    idle = sum(each.key_bits == 0 for each in pairs)
    none = f", {idle} of them without key" if idle else ""
    return (
        f"{view.plan.name}: {counted(len(pairs), 'pair')}{none}; expected with the plan's weather, relayed "
        "by trusted satellites; white: no pair wanted"
    )
