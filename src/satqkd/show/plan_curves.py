"""Rows of campaigns as curves: yield against a constellation's size, key against its cost, computing time.

A point a run, a line through the means of runs at one x, a band between the least and the most of them. Knows
series of numbers.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.errors import DataFormatError
from satqkd.show.artists import EdgeName, name_at_edge, say
from satqkd.show.plan_parts import Series
from satqkd.show.plan_style import PALETTE, bit_unit, headline
from satqkd.show.style import INK, write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Column = NDArray[np.float64]
MOST_SERIES: Final = len(PALETTE)
NOTHING: Final = "no run was given"
UNTIMED: Final = "how long runs took was not given"
WORST: Final = "key of the worst pair"
Unit = Literal["bits", "share"]
_SHORT, _LONG = 18, 55
"""Characters of a name that stands at the edge of a panel, and of one that fills half of a picture."""


class PowerLaw(msgspec.Struct, frozen=True, kw_only=True):
    """y = factor x ** slope, a straight line in logarithms."""

    factor: float
    slope: float
    spread: float
    """Root mean square of ln(y) about the line, runs less 2."""


def fit_power_law(x: Column, y: Column) -> PowerLaw | None:
    """Least squares of logarithms; None with fewer than two different x. x, y: above 0, shape (n,).

    Raises DataFormatError for numbers that have no logarithm.
    """
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (x > 0).all() and (y > 0).all()):
        raise DataFormatError("power law: expected numbers above 0, got others; leave them out")
    if np.unique(x).size < 2:
        return None
    across, up = np.log(x), np.log(y)
    slope, level = np.polyfit(across - across.mean(), up, 1)
    rest = up - level - slope * (across - across.mean())
    spread = float(np.sqrt((rest**2).sum() / (x.size - 2))) if x.size > 2 else 0.0
    return PowerLaw(factor=float(np.exp(level - slope * across.mean())), slope=float(slope), spread=spread)


def constellation_picture(
    path: Path,
    series: Sequence[Series],
    *,
    what: str = WORST,
    about: str = "",
    unit: Unit = "bits",
) -> Path:
    """Yield against the number of satellites. series: sizes are satellites, values bits, or shares by `unit`.

    Returns the path; raises as `write_png` does, and DataFormatError for more series than colours.
    """
    return write_png(
        path, lambda figure: draw_constellation(figure, series, what=what, about=about, unit=unit)
    )


def draw_constellation(
    figure: "Figure",
    series: Sequence[Series],
    *,
    what: str = WORST,
    about: str = "",
    unit: Unit = "bits",
) -> None:
    """Fill a figure with it."""
    headline(figure, f"{what[:1].upper()}{what[1:]} against the number of satellites", _about(about, series))
    draw_key(figure.subplots(), series, "satellites", what, unit)


def cost_picture(
    path: Path,
    key: Sequence[Series],
    computing: Sequence[Series],
    *,
    across: str = "contacts",
    of: str = "pair",
    about: str = "",
) -> Path:
    """Two panels: key per pair against what it costs, and computing time against the size of the question.

    key: sizes are contacts or satellites, as `across` says, values bits of a pair or whatever `of` says.
    computing: sizes are satellites times days, values seconds; each series gets a power law. Returns the
    path; raises as `constellation_picture` does.
    """
    return write_png(
        path, lambda figure: draw_costs(figure, key, computing, across=across, of=of, about=about)
    )


def draw_costs(
    figure: "Figure",
    key: Sequence[Series],
    computing: Sequence[Series],
    *,
    across: str = "contacts",
    of: str = "pair",
    about: str = "",
) -> None:
    """Fill a figure with both panels."""
    headline(figure, f"What key costs in {across}, and an answer in computing time", _about(about, key))
    left, right = figure.subplots(1, 2)
    left.set_title(f"key of a {of} against {across}")
    right.set_title("computing time against size")
    draw_key(left, key, across, f"key of a {of}")
    draw_computing(right, computing)


def draw_key(axes: "Axes", series: Sequence[Series], across: str, what: str, unit: Unit = "bits") -> None:
    """Bits or shares against a number of things, on even scales from 0."""
    from matplotlib.ticker import MaxNLocator

    _require_colours(series)
    axes.set_xlabel(across)
    filled = [each for each in series if each.sizes.size]
    most = max((float(each.values.max()) for each in filled), default=0.0)
    size, sign = bit_unit(most) if unit == "bits" else (0.01, "%")
    axes.set_ylabel(f"{what}, {sign}")
    if not filled:
        say(axes, NOTHING)
        return
    axes.set_xlim(0, 1.04 * max(float(each.sizes.max()) for each in filled) or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, 1.08 * most / size or 1.0)
    names = []
    for each, color in zip(filled, PALETTE, strict=False):
        mean = _draw_runs(axes, each.sizes, each.values / size, each.name, color)
        names.append(EdgeName(each.name, float(mean[-1]), color))
    if len(names) > 1:
        _name(axes, names)


def _name(axes: "Axes", names: Sequence[EdgeName]) -> None:
    """Short names at the edge, where curves end; long ones under the picture."""
    from matplotlib.lines import Line2D

    longest = max(len(each.text) for each in names)
    if longest <= _SHORT:
        name_at_edge(axes, names, gap=0.06)
        return
    lines = [Line2D([], [], color=each.color, lw=2.5, label=each.text) for each in names]
    columns = 2 if longest <= _LONG else 1
    axes.figure.legend(handles=lines, loc="outside lower left", ncols=columns, frameon=False, fontsize=8.5)


def draw_computing(axes: "Axes", series: Sequence[Series]) -> None:
    """Seconds against satellites times days, on logarithmic scales, with the law that fits best."""
    _require_colours(series)
    axes.set_xlabel("satellites times days")
    axes.set_ylabel("computing time, s")
    measured = [_above_nothing(each) for each in series]
    if not any(each.sizes.size for each in measured):
        say(axes, UNTIMED)
        return
    axes.set_xscale("log")
    axes.set_yscale("log")
    for each, color in zip(measured, PALETTE, strict=False):
        law = fit_power_law(each.sizes, each.values)
        (runs,) = axes.plot(each.sizes, each.values, "o", ms=4, color=color, alpha=0.7, label=_law(each, law))
        runs.set_gid(f"runs {each.name}")
        if law is not None:
            ends = np.array([each.sizes.min(), each.sizes.max()])
            axes.plot(ends, law.factor * ends**law.slope, color=color, lw=1.4, gid=f"law {each.name}")
    axes.legend(frameon=False, fontsize=8, loc="upper left", labelcolor=INK)
    axes.margins(y=0.25)
    _plain(axes)


def _above_nothing(series: Series) -> Series:
    """Runs that have a place on logarithmic scales."""
    kept = (series.sizes > 0) & (series.values > 0)
    return Series(name=series.name, sizes=series.sizes[kept], values=series.values[kept])


def _draw_runs(axes: "Axes", x: Column, y: Column, name: str, color: str) -> Column:
    """Points, band and line of one series; returns the means in order of x."""
    places, group = np.unique(x, return_inverse=True)
    mean = np.bincount(group, weights=y) / np.bincount(group)
    low, high = np.full(places.size, np.inf), np.full(places.size, -np.inf)
    np.minimum.at(low, group, y)
    np.maximum.at(high, group, y)
    axes.fill_between(places, low, high, color=color, alpha=0.18, lw=0, gid=f"band {name}")
    axes.plot(x, y, "o", ms=3, color=color, alpha=0.6, gid=f"runs {name}")
    axes.plot(places, mean, color=color, gid=f"mean {name}")
    return mean


def _law(series: Series, law: PowerLaw | None) -> str:
    if law is None:
        return f"{series.name}: one size, no slope"
    return f"{series.name}: slope {law.slope:.2f}, {law.factor:.2g} s at 1"


def _about(about: str, series: Sequence[Series]) -> str:
    several = any(np.unique(each.sizes).size < each.sizes.size for each in series)
    legend = "points: runs; line: mean; band: least to most" if several else ""
    return "; ".join(each for each in (about, legend) if each)


def _require_colours(series: Sequence[Series]) -> None:
    if len(series) > MOST_SERIES:
        raise DataFormatError(
            f"curves: expected at most {MOST_SERIES} series, got {len(series)}; draw them in several pictures"
        )


def _plain(axes: "Axes") -> None:
    """Plain numbers on logarithmic axes, so many that each has two or more."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        within = (1.0, 2.0, 3.0, 5.0, 7.0) if high / low < 10 else (1.0, 2.0, 5.0)
        axis.set_major_locator(LogLocator(subs=within if high / low < 1e3 else (1.0,), numticks=9))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
