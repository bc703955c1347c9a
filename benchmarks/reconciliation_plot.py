"""The picture of the reconciliation benchmark: f against QBER beside what is asked, the floor, and others.

Others' figures stand as published or as measured on their source (facts: reconciliation, 2a, 2b, and second
study, 1.2): of frames that went well, failed ones not charged, and of Cascade the parities of one direction.
Ours charges both directions and failed frames whole. Knows no decoder.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.patches import Patch
from reconciliation_rows import ASKED_QBERS, REQUIRED, STRETCH, Row, floor_f

from satqkd.show.style import INK, MUTED, heading, write_png

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS: Final = {8192: "#E69F00", 65_536: "#D55E00", 262_144: "#0072B2", 1_048_576: "#009E73"}
"""Colours by size, of the palette by Okabe and Ito that all eyes tell apart."""
CODES: Final = "#7a3f80"
"""Colour of others' block codes."""
MARKERS: Final = {8192: "v", 65_536: "s", 262_144: "o", 1_048_576: "D"}
PEERS: Final[dict[str, tuple[str, tuple[float, ...], tuple[float, ...]]]] = {
    "cascade-cpp original, 100,000": ("x", ASKED_QBERS, (1.124, 1.138, 1.157, 1.172, 1.183)),
    "cascade-cpp option 4, 100,000": ("+", ASKED_QBERS, (1.066, 1.068, 1.075, 1.072, 1.093)),
    "cascade-cpp Yan et al., 100,000": ("1", ASKED_QBERS, (1.052, 1.056, 1.063, 1.059, 1.065)),
    "cascade-cpp option 7, 100,000": ("2", ASKED_QBERS[1:], (1.055, 1.052, 1.121, 1.097)),
    "LDPC4QKD, 24,576": ("^", (0.03, 0.045, 0.05), (1.40, 1.259, 1.164)),
    "LDPC4QKD, 819,200": ("p", (0.01, 0.0106, 0.026, 0.03, 0.05), (1.238, 1.180, 1.150, 1.286, 1.222)),
    "5G NR BG1, about 80,000": ("*", (0.0069, 0.0118, 0.016, 0.0243, 0.0357), (1.40, 1.30, 1.30, 1.30, 1.20)),
}
"""Marker, QBERs, f. Cascade: 30 frames without a failure. LDPC4QKD: up to a tenth of the frames failed.
5G NR: the least f at which fewer than one frame in a hundred failed, by a decoder of our own."""
_LOWEST, _HIGHEST = 0.0042, 0.13
_TOP: Final = 1.43


def draw(path: Path, rows: list[Row]) -> Path:
    """Write the picture of rows of the default policy as PNG; errors as of `write_png`."""

    def fill(figure: "Figure") -> None:
        axes = figure.subplots()
        heading(
            figure,
            "Bits leaked by reconciliation over the entropy of the errors",
            "Ours: both directions, failed frames whole; mean and its standard error. "
            "Others: failed frames not charged, Cascade one way.",
        )
        sizes = sorted({row.n_bits for row in rows})
        _floors(axes, sizes)
        _asked(axes)
        _peers(axes)
        _ours(axes, rows, sizes)
        _dress(axes)
        _legend(figure, axes)

    return write_png(path, fill, width_px=1500, height_px=900)


def _ours(axes: "Axes", rows: list[Row], sizes: list[int]) -> None:
    for n_bits in sizes:
        own = sorted((row for row in rows if row.n_bits == n_bits), key=lambda row: row.qber)
        axes.errorbar(
            [100 * row.qber for row in own], [row.f for row in own], yerr=[row.f_error for row in own],
            color=_colour(n_bits), marker=MARKERS.get(n_bits, "o"), markersize=5.5, linewidth=1.6,
            capsize=2.5, label=f"satqkd, {n_bits:,}", zorder=5,
        )  # fmt: skip


def _floors(axes: "Axes", sizes: list[int]) -> None:
    qber = np.geomspace(_LOWEST, _HIGHEST, 200)
    for n_bits in sizes:
        floor = [floor_f(n_bits, each) for each in qber]
        label = f"one-shot floor, 1 % fail, {n_bits:,}"
        axes.plot(100 * qber, floor, ":", color=_colour(n_bits), linewidth=1.0, label=label, zorder=2)


def _asked(axes: "Axes") -> None:
    for n_bits, values in REQUIRED.items():
        _steps(axes, values, _colour(n_bits), "-", f"required, {n_bits:,}")
    for n_bits, values in STRETCH.items():
        _steps(axes, values, _colour(n_bits), "--", f"stretch, {n_bits:,}")


def _steps(axes: "Axes", values: Iterable[float], colour: str, style: str, label: str) -> None:
    qber = 100 * np.array(ASKED_QBERS)
    between = np.sqrt(qber[1:] * qber[:-1])
    edges = np.array([qber[0] ** 2 / between[0], *between, qber[-1] ** 2 / between[-1]])
    look: dict[str, Any] = {"color": colour, "alpha": 0.5, "linewidth": 1.1, "linestyle": style}
    axes.stairs(list(values), edges, baseline=None, label=label, **look)


def _peers(axes: "Axes") -> None:
    """Cascade as strokes, codes as hollow shapes."""
    for name, (marker, qbers, f) in PEERS.items():
        colour: dict[str, Any] = (
            {"color": INK} if marker in "x+12" else {"edgecolors": CODES, "facecolors": "none"}
        )
        at = 100 * np.array(qbers)
        axes.scatter(at, f, marker=marker, s=42, linewidths=1.1, label=name, zorder=6, **colour)


def _dress(axes: "Axes") -> None:
    axes.set_xscale("log")
    axes.set_xlim(100 * _LOWEST, 100 * _HIGHEST)
    ticks = (0.5, 0.75, 1, 2, 3, 5, 8, 11)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_ylim(1.0, _TOP)
    axes.set_yticks(np.arange(1.0, _TOP, 0.05))
    axes.set_xlabel("QBER, percent")
    axes.set_ylabel("f = bits leaked / n h₂(QBER)")


def _legend(figure: "Figure", axes: "Axes") -> None:
    """At the right, in three groups: ours, what is asked and possible, others."""
    handles, names = axes.get_legend_handles_labels()
    known = dict(zip(names, handles, strict=True))
    groups = {
        "Measured here, bits of a frame": [name for name in names if name.startswith("satqkd")],
        "Asked, and possible": [
            name for name in names if name.startswith(("required", "stretch", "one-shot"))
        ],
        "Others": list(PEERS),
    }
    nothing = Patch(alpha=0)
    entries: list[tuple[Artist, str]] = []
    for title, members in groups.items():
        entries += [(nothing, title), *((known[name], name) for name in members)]
    legend = figure.legend(*zip(*entries, strict=True), loc="outside right upper", frameon=False, fontsize=8)
    for text in legend.get_texts():
        if text.get_text() in groups:
            text.set(fontweight="bold", x=-34)


def _colour(n_bits: int) -> str:
    return OURS.get(n_bits, MUTED)
