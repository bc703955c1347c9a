"""The pictures of a pass, each one PNG file: where the satellite was, what light was lost, what arrived.

Lines drawn as expected come from the link budget; bars and points are counts of the pass. Error rates in
time are those of revealed decoys: where the errors of keyed rounds lie would tell of the key, and no file
says it. Knows views of result files and pixels only.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from satqkd.show.artists import Array, largest, note_extreme, say, shade_after
from satqkd.show.bins import Binned, bin_profiles, merged, poisson_limits
from satqkd.show.files import Columns, Profile, Scene
from satqkd.show.image import Pixels
from satqkd.show.loss import draw_losses
from satqkd.show.style import BLUE, INK, MUTED, PALE_BLUE, RED, heading, label_time, write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEWEST_REVEALED: Final = 100
"""Fewer revealed rounds than this share a point of the error rate with their neighbours."""


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
            shade_after(axes, scene.duration_s, float(t_s[-1]), "grey: laser link only")
        label_time(lower, t_s[0], t_s[-1])

    return write_png(path, draw)


def loss_picture(path: Path, scene: Scene, course: Columns) -> Path:
    """Loss in dB and its parts in time, stacked, each part named at the right with its least and most."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        heading(figure, f"Loss from {scene.satellite} to {scene.station} and its parts", _about(scene))
        draw_losses(axes, course, scene.duration_s)
        label_time(axes, course.t_s[0], scene.duration_s)

    return write_png(path, draw)


def rate_picture(
    path: Path,
    scene: Scene,
    profiles: Sequence[Profile],
    course: Columns | None,
    *,
    qber: float | None = None,
) -> Path:
    """Sifted rate and error rate of revealed decoys in time: counts against what the budget expects.

    qber: of all keyed rounds of the pass, drawn as one level; left out where it is None.
    """

    def draw(figure: "Figure") -> None:
        binned = bin_profiles(profiles, scene.duration_s)
        upper, lower = figure.subplots(2, 1, sharex=True)
        heading(figure, f"What {scene.station} kept of {scene.satellite}'s light", _about(scene))
        _draw_rate(upper, binned)
        _draw_decoy_qber(lower, merged(binned, FEWEST_REVEALED))
        if course is not None:
            _draw_expected(upper, scene, course, "expected_sifted_hz", 1e-3)
            if binned.revealed.any():
                _draw_expected(lower, scene, course, "expected_decoy_qber", 100)
        _draw_pass_qber(lower, qber)
        for axes in (upper, lower):
            if axes.get_legend_handles_labels()[0]:
                axes.legend(frameon=False, fontsize=8, loc="upper right", ncols=3)
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
    axes.set_xlim(t_s[0], t_s[-1])
    axes.set_ylabel(label)
    unit = "°" if "degrees" in label else " km"
    note_extreme(axes, t_s, values, "{:.1f}" + unit, highest=highest, color=BLUE)
    axes.margins(y=0.14)


def _draw_rate(axes: "Axes", binned: Binned) -> None:
    edges = np.append(binned.start_s, binned.start_s[-1] + binned.width_s[-1])
    label = f"counted, {binned.width_s[0]:.0f} s bins"
    axes.stairs(binned.rate_hz / 1e3, edges, fill=True, color=PALE_BLUE, label=label)
    axes.stairs(binned.rate_hz / 1e3, edges, color=BLUE, lw=0.9)
    axes.set_ylabel("sifted rate, kbit/s")
    axes.set_ylim(0, max(1e-3, 1.18 * float(binned.rate_hz.max()) / 1e3))


def _draw_decoy_qber(axes: "Axes", binned: Binned) -> None:
    """Points with Poisson bars, as wide as their bins; a sentence where no decoy was revealed."""
    axes.set_ylabel("QBER of revealed decoys, %")
    seen = binned.revealed > 0
    if not seen.any():
        say(axes, "no decoy was revealed: no error rate in time")
        return
    revealed, errors = binned.revealed[seen], binned.errors[seen]
    lower, upper = poisson_limits(errors)
    percent = 100 * errors / revealed
    axes.errorbar(
        binned.middle_s[seen],
        percent,
        xerr=binned.width_s[seen] / 2,
        yerr=np.array([percent - 100 * lower / revealed, 100 * upper / revealed - percent]),
        fmt="o",
        ms=3.2,
        elinewidth=0.9,
        color=RED,
        label="counted, ± 1 σ",
    )
    axes.set_ylim(0, 1.35 * min(largest(100 * upper / revealed, 1.0), 100.0))


def _draw_expected(axes: "Axes", scene: Scene, course: Columns, name: str, scale: float) -> None:
    """A column of the budget while the quantum link ran, dashed."""
    shown = course.array("t_s") <= scene.duration_s
    values = scale * course.array(name)[shown]
    axes.plot(course.array("t_s")[shown], values, color=INK, lw=1.3, ls=(0, (4, 2)), label="expected")


def _draw_pass_qber(axes: "Axes", qber: float | None) -> None:
    """The error rate of all keyed rounds as one level, and why it is no curve."""
    note = "where the errors of keyed rounds lie is not told"
    axes.annotate(note, (0.006, 0.965), xycoords="axes fraction", color=MUTED, fontsize=7.5, va="top")
    if qber is not None:
        label = f"keyed rounds, whole pass: {100 * qber:.2f} %"
        axes.axhline(100 * qber, color=BLUE, lw=0.9, label=label)
        axes.set_ylim(0, max(axes.get_ylim()[1], 135 * qber))
