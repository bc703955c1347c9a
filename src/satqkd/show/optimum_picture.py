"""The optimiser's answer as one picture: key against each setting, elevation, closing time and loss.

One panel each, the choice marked. Knows the answer's struct; no link and no bound.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from satqkd.show.artists import say
from satqkd.show.style import BLUE, INK, MUTED, PALE, PALE_BLUE, RED, check_place, heading, write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from satqkd.mission.optimum import SourceOptimum, Sweep

COLUMNS: Final = 3
PANEL_PX: Final = (600, 430)
_HEADING_PX: Final = 110
_UNLIKELY: Final = 0.02
"""Of the likeliest loss's weight: what is less likely is not drawn."""
_UNITS: Final = ((1e6, "Mbit"), (1e3, "kbit"), (1.0, "bit"))

Panel = Callable[["Axes", "SourceOptimum"], None]


def plot_optimum(path: Path, found: "SourceOptimum") -> Path:
    """Write the picture as PNG. Returns the path.

    Raises ConfigError for a name of another format, ResourceError when the file cannot be written.
    """
    check_place(path)
    rows = -(-_panel_count(found) // COLUMNS)
    width_px, height_px = COLUMNS * PANEL_PX[0], rows * PANEL_PX[1] + _HEADING_PX
    return write_png(path, lambda figure: draw_optimum(figure, found), width_px=width_px, height_px=height_px)


def draw_optimum(figure: "Figure", found: "SourceOptimum") -> None:
    """Fill a figure with all panels."""
    heading(figure, f"Best settings of {found.satellite} over {found.station}", _about(found))
    panels = figure.subplots(-(-_panel_count(found) // COLUMNS), COLUMNS).ravel()
    scale, unit = _unit(found.after_bits)
    for axes, sweep in zip(panels, found.sweeps, strict=False):
        _draw_sweep(axes, sweep, scale, unit)
    rest = panels[len(found.sweeps) :]
    others: list[Panel] = [_draw_cuts, _draw_closings, *([_draw_losses] if len(found.losses) > 1 else [])]
    for axes, draw in zip(rest, others, strict=False):
        draw(axes, found)
    for axes in rest[len(others) :]:
        axes.set_axis_off()


def _panel_count(found: "SourceOptimum") -> int:
    return len(found.sweeps) + 2 + (len(found.losses) > 1)


def _draw_sweep(axes: "Axes", sweep: "Sweep", scale: float, unit: str) -> None:
    values, bits = np.array(sweep.values), np.array(sweep.expected_bits) / scale
    axes.plot(values, bits, color=BLUE)
    top = int(bits.argmax())
    axes.plot(values[top], bits[top], "o", ms=5, color=RED)
    axes.annotate(
        f"{values[top]:.3g}",
        (values[top], bits[top]),
        xytext=(0, 7),
        textcoords="offset points",
        ha="center",
        color=RED,
        fontweight="bold",
    )
    if sweep.setting.endswith("intensity"):
        axes.set_xscale("log")
        _plain_ticks(axes, values)
    _label(axes, sweep.setting, f"expected key, {unit}", bits)


def _draw_cuts(axes: "Axes", found: "SourceOptimum") -> None:
    scale, unit = _unit(found.after_bits)
    elevation = np.array([cut.elevation_deg for cut in found.elevation_cuts])
    bits = np.array([cut.expected_bits for cut in found.elevation_cuts]) / scale
    axes.plot(elevation, bits, color=BLUE, marker="o", ms=3)
    top = int(bits.argmax())
    axes.plot(elevation[top], bits[top], "o", ms=6, color=RED)
    axes.annotate(
        f"{elevation[top]:g}°",
        (elevation[top], bits[top]),
        xytext=(6, 6),
        textcoords="offset points",
        color=RED,
        fontweight="bold",
    )
    _label(axes, "light is sent from this elevation on, degrees", f"expected key, {unit}", bits)


def _draw_closings(axes: "Axes", found: "SourceOptimum") -> None:
    scale, unit = _unit(max(each.secret_bits for each in found.closings))
    close_s = np.array([each.close_s for each in found.closings])
    for name, color, label in (
        ("secret_bits", INK, "both blocks"),
        ("first_bits", BLUE, "first block"),
        ("rest_bits", PALE_BLUE, "second block"),
    ):
        axes.plot(close_s, [getattr(each, name) / scale for each in found.closings], color=color, label=label)
    axes.legend(frameon=False, fontsize=8, loc="center right")
    top = np.array([each.secret_bits for each in found.closings]) / scale
    _label(axes, "first block is closed, s after the first pulse", f"key, {unit}", top)


def _draw_losses(axes: "Axes", found: "SourceOptimum") -> None:
    scale, unit = _unit(max(row.after_bits for row in found.losses))
    loss_db = np.array([row.loss_db for row in found.losses])
    bits = np.array([row.after_bits for row in found.losses]) / scale
    if not bits.any():
        say(axes, "no key at any loss")
        return
    weights = np.array([row.weight for row in found.losses])
    likely = weights > _UNLIKELY * weights.max()
    for name, color, label in (("before_bits", MUTED, "preset"), ("after_bits", BLUE, "best settings")):
        drawn = np.array([getattr(row, name) for row in found.losses], dtype=np.float64)[likely] / scale
        axes.plot(loss_db[likely], drawn, color=color, label=label)
    top = float(bits[likely].max())
    axes.fill_between(
        loss_db[likely], 0.4 * top * weights[likely] / weights.max(), color=PALE, lw=0, zorder=0
    )
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    _label(axes, "loss on top of the budget's, dB (shaded: how likely)", f"key, {unit}", bits[likely])


def _label(
    axes: "Axes", what: str, how_much: str, bits: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]"
) -> None:
    axes.set_xlabel(what)
    axes.set_ylabel(how_much)
    axes.set_ylim(0, 1.2 * max(float(bits.max()), 1e-9))


def _plain_ticks(axes: "Axes", values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xlim(float(values[0]), float(values[-1]))
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0, 7.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _unit(bits: float) -> tuple[float, str]:
    return next((scale, name) for scale, name in _UNITS if bits >= scale or scale == 1.0)


def _about(found: "SourceOptimum") -> str:
    scale, unit = _unit(found.after_bits)
    spread = f", loss uncertain by {found.loss_spread_db:g} dB" if found.loss_spread_db else ""
    passes = "one pass" if len(found.passes) == 1 else f"{len(found.passes)} passes"
    preset = "" if found.before_bits is None else f", by the preset's {found.before_bits / scale:.4g} {unit}"
    return (
        f"{passes}, first pulse {found.passes[0].start_utc}{spread}; bound {found.bound}; expected key "
        f"{found.after_bits / scale:.4g} {unit}{preset}\n"
        "each setting by itself, the others at their best; red: the best; the model's values, none measured"
    )
