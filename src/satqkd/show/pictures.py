"""The pictures of a pass, each one PNG file: where the satellite was, what light was lost, what arrived.

Lines drawn as expected come from the link budget; bars and points are counts of the pass. Error bars are
one-sigma Poisson limits by the approximations of Gehrels, ApJ 303, 336 (1986), within 1 % of exact.
Knows views of result files and pixels only.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.errors import DataFormatError
from satqkd.show.files import Columns, Profile, Scene
from satqkd.show.image import Pixels
from satqkd.show.style import (
    BLUE,
    INK,
    LOSS_COLOURS,
    MUTED,
    PALE_BLUE,
    RED,
    heading,
    label_time,
    spread,
    write_png,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

LOSS_PARTS: Final = ("diffraction", "pointing", "atmosphere", "receiver", "calibration", "detector")
SHORTEST_BIN_S: Final = 5
MOST_BINS: Final = 60
FEWEST_FOR_SCALE: Final = 50
"""Bins with fewer keyed rounds do not decide how high the axis of the error rate goes."""


class Binned(msgspec.Struct, frozen=True, eq=False):
    """Counts in bins of equal width; the last may be shorter or longer. All float64, one row a bin."""

    start_s: Array
    width_s: Array
    sifted: Array
    errors: Array

    @property
    def middle_s(self) -> Array:
        """Middle of each bin."""
        return self.start_s + self.width_s / 2

    @property
    def rate_hz(self) -> Array:
        """Keyed rounds a second."""
        return self.sifted / self.width_s


def bin_profiles(profiles: Sequence[Profile], duration_s: float) -> Binned:
    """Sum the profiles of all blocks into bins of whole seconds over [0, duration_s].

    A bin is at least 5 s long and at most 60 bins are made; what is left at the end makes a bin of its own
    or, when shorter than half of one, lengthens the last. Seconds outside are refused with
    DataFormatError, apart from the last one begun.
    """
    seconds = np.array([s for profile in profiles for s in profile.second], dtype=np.int64)
    last = max(1, math.ceil(duration_s))
    if seconds.size and not (seconds.min() >= 0 and seconds.max() <= last):
        raise DataFormatError(
            f"profiles: expected seconds from 0 to {last}, got {seconds.min()} to {seconds.max()}"
        )
    width = max(SHORTEST_BIN_S, math.ceil(last / MOST_BINS))
    starts = np.arange(0, last, width)
    if starts.size > 1 and duration_s - starts[-1] < width / 2:
        starts = starts[:-1]
    edges = np.append(starts, max(duration_s, 1e-3)).astype(np.float64)
    rows = np.minimum(seconds // width, edges.size - 2)
    sifted = np.array([n for profile in profiles for n in profile.sifted], dtype=np.float64)
    errors = np.array([n for profile in profiles for n in profile.errors], dtype=np.float64)
    return Binned(
        start_s=edges[:-1],
        width_s=np.diff(edges),
        sifted=_summed(rows, sifted, edges.size - 1),
        errors=_summed(rows, errors, edges.size - 1),
    )


def _summed(rows: NDArray[np.int64], values: Array, bins: int) -> Array:
    sums: Array = np.zeros(bins)
    np.add.at(sums, rows, values)
    return sums


def poisson_limits(counts: Array) -> tuple[Array, Array]:
    """Lower and upper one-sigma limits of the mean of Poisson counts, of the shape of `counts`."""
    n = np.asarray(counts, dtype=np.float64)
    safe = np.maximum(n, 1.0)
    lower = np.where(n > 0, safe * np.maximum(0.0, 1 - 1 / (9 * safe) - 1 / (3 * np.sqrt(safe))) ** 3, 0.0)
    above = n + 1
    return lower, above * (1 - 1 / (9 * above) + 1 / (3 * np.sqrt(above))) ** 3


def geometry_picture(path: Path, scene: Scene, course: Columns) -> Path:
    """Elevation and range in time."""

    def draw(figure: "Figure") -> None:
        t_s = course.array("t_s")
        upper, lower = figure.subplots(2, 1, sharex=True)
        heading(figure, f"{scene.satellite} over {scene.station}", _about(scene))
        _curve(upper, t_s, course.array("elevation_deg"), "elevation, degrees", highest=True)
        _curve(lower, t_s, course.array("range_km"), "range, km", highest=False)
        upper.set_ylim(0, 106)
        upper.set_yticks([0, 15, 30, 45, 60, 75, 90])
        for axes in (upper, lower):
            _mark_quantum_end(axes, scene, t_s)
        label_time(lower, t_s[0], t_s[-1])

    return write_png(path, draw)


def loss_picture(path: Path, scene: Scene, course: Columns) -> Path:
    """Loss in dB and its parts in time, stacked, each part named at the right with its least and most."""

    def draw(figure: "Figure") -> None:
        t_s = course.array("t_s")
        shown = t_s <= scene.duration_s
        parts = [course.array(f"{name}_db")[shown] for name in LOSS_PARTS]
        axes = figure.subplots()
        heading(figure, f"Loss from {scene.satellite} to {scene.station} and its parts", _about(scene))
        axes.stackplot(t_s[shown], np.nan_to_num(parts), colors=LOSS_COLOURS, lw=0.6, edgecolor="white")
        total = course.array("total_db")[shown]
        axes.plot(t_s[shown], total, color=INK, lw=1.6)
        top = _largest(np.append(total, np.nansum(parts, axis=0)), 1.0)
        _name_bands(axes, parts, top)
        _note_extreme(axes, t_s[shown], total, "{:.1f} dB in all", highest=False, color=INK)
        axes.set_ylim(0, top * 1.10)
        axes.set_ylabel("loss, dB")
        label_time(axes, t_s[0], scene.duration_s)

    return write_png(path, draw)


def rate_picture(path: Path, scene: Scene, profiles: Sequence[Profile], course: Columns | None) -> Path:
    """Sifted rate and error rate in time: counts of the pass against what the budget expects."""

    def draw(figure: "Figure") -> None:
        binned = bin_profiles(profiles, scene.duration_s)
        upper, lower = figure.subplots(2, 1, sharex=True)
        heading(figure, f"What {scene.station} kept of {scene.satellite}'s light", _about(scene))
        _draw_rate(upper, binned)
        _draw_qber(lower, binned)
        if course is not None:
            shown = course.array("t_s") <= scene.duration_s
            t_s = course.array("t_s")[shown]
            rate_khz = course.array("expected_sifted_hz")[shown] / 1e3
            upper.plot(t_s, rate_khz, color=INK, lw=1.3, ls=(0, (4, 2)), label="expected")
            percent = course.array("expected_qber")[shown] * 100
            lower.plot(t_s, percent, color=INK, lw=1.3, ls=(0, (4, 2)), label="expected")
        for axes in (upper, lower):
            axes.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
        label_time(lower, 0.0, scene.duration_s)

    return write_png(path, draw)


def image_picture(path: Path, before: Pixels, encrypted: Pixels, after: Pixels) -> Path:
    """The image before, encrypted and after, side by side, pixel by pixel.

    Each is uint8 of shape (height, width) or (height, width, 3); `encrypted` as of `image.as_noise`.
    """
    panels = (
        ("before", before),
        ("encrypted, on its way", encrypted),
        ("after: identical" if np.array_equal(before, after) else "after: differs", after),
    )

    def draw(figure: "Figure") -> None:
        heading(figure, "An image under one-time pad", "each byte of the ciphertext drawn as a pixel's value")
        for axes, (title, pixels) in zip(figure.subplots(1, 3), panels, strict=True):
            # Grey pixels get three equal channels, so that no colour map rescales them.
            coloured = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)
            axes.imshow(coloured, interpolation="nearest")
            axes.set_title(title, fontsize=9.5)
            axes.set_axis_off()

    height, width = before.shape[:2]
    return write_png(path, draw, height_px=min(700, 120 + round(390 * height / width)))


def _about(scene: Scene) -> str:
    return f"{scene.start_utc}   {scene.detail}"


def _curve(axes: "Axes", t_s: Array, values: Array, label: str, *, highest: bool) -> None:
    axes.plot(t_s, values, color=BLUE)
    axes.set_ylabel(label)
    unit = "°" if "degrees" in label else " km"
    _note_extreme(axes, t_s, values, "{:.1f}" + unit, highest=highest, color=BLUE)
    axes.margins(y=0.14)


def _note_extreme(
    axes: "Axes", t_s: Array, values: Array, template: str, *, highest: bool, color: str
) -> None:
    """A dot and the value at the highest or lowest point."""
    if not np.isfinite(values).any():
        return
    row = int(np.nanargmax(values) if highest else np.nanargmin(values))
    axes.plot(t_s[row], values[row], "o", ms=4, color=color)
    axes.annotate(
        template.format(values[row]),
        (t_s[row], values[row]),
        xytext=(0, 7),
        textcoords="offset points",
        ha="center",
        color=color,
        fontweight="bold",
    )


def _mark_quantum_end(axes: "Axes", scene: Scene, t_s: Array) -> None:
    """Grey ground where only the laser link still works."""
    if scene.duration_s < t_s[-1]:
        axes.axvspan(scene.duration_s, float(t_s[-1]), color="#eef1f4", lw=0, zorder=0)
        axes.annotate(
            "grey: laser link only",
            (0.995, 0.97),
            xycoords="axes fraction",
            color=MUTED,
            fontsize=7.5,
            ha="right",
            va="top",
        )


def _name_bands(axes: "Axes", parts: list[Array], top: float) -> None:
    """Names at the right edge, beside their bands and apart from each other; empty parts are left out."""
    ends = np.cumsum([0.0] + [float(np.nan_to_num(part)[-1]) for part in parts])
    named = [k for k, part in enumerate(parts) if _largest(part, 0.0) > 0.005]
    heights = spread([float(ends[k] + ends[k + 1]) / 2 for k in named], 0.075 * top)
    for k, height in zip(named, heights, strict=True):
        least, most = float(np.nanmin(parts[k])), _largest(parts[k], 0.0)
        span = f"{least:.1f}" if most - least < 0.05 else f"{least:.1f} to {most:.1f}"
        axes.annotate(
            f"{LOSS_PARTS[k]}  {span} dB",
            (1.0, (ends[k] + ends[k + 1]) / 2),
            xytext=(1.03, height),
            xycoords=axes.get_yaxis_transform(),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=8.5,
            arrowprops={"arrowstyle": "-", "color": LOSS_COLOURS[k], "lw": 2.5, "shrinkA": 1, "shrinkB": 0},
        )


def _draw_rate(axes: "Axes", binned: Binned) -> None:
    edges = np.append(binned.start_s, binned.start_s[-1] + binned.width_s[-1])
    label = f"counted, {binned.width_s[0]:.0f} s bins"
    axes.stairs(binned.rate_hz / 1e3, edges, fill=True, color=PALE_BLUE, label=label)
    axes.stairs(binned.rate_hz / 1e3, edges, color=BLUE, lw=0.9)
    axes.set_ylabel("sifted rate, kbit/s")
    axes.set_ylim(0, max(1e-3, 1.18 * float(binned.rate_hz.max()) / 1e3))


def _draw_qber(axes: "Axes", binned: Binned) -> None:
    seen = binned.sifted > 0
    sifted, errors = binned.sifted[seen], binned.errors[seen]
    lower, upper = poisson_limits(errors)
    percent = 100 * errors / sifted
    bars = np.array([percent - 100 * lower / sifted, 100 * upper / sifted - percent])
    axes.errorbar(
        binned.middle_s[seen],
        percent,
        yerr=bars,
        fmt="o",
        ms=3.2,
        elinewidth=0.9,
        color=RED,
        label="counted, ± 1 σ",
    )
    axes.set_ylabel("QBER, %")
    firm = sifted >= FEWEST_FOR_SCALE
    highest = _largest((percent + bars[1])[firm if firm.any() else slice(None)], 1.0)
    axes.set_ylim(0, 1.30 * min(highest, 100.0))


def _largest(values: Array, otherwise: float) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else otherwise
