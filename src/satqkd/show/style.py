"""How pictures look: one palette, one canvas, one way to write a file.

Every picture is 1200 pixels wide, as a rule 700 high, on white. Matplotlib is loaded when the first one
is drawn, without a display and without its global state. Knows nothing of passes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from satqkd.errors import ResourceError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_PX: Final = 1200
HEIGHT_PX: Final = 700
_DPI: Final = 150
_DETAIL_PX: Final = 45
"""From the upper edge to the second line of the heading."""

INK: Final = "#1d2733"
MUTED: Final = "#66727f"
GRID: Final = "#e3e8ed"
BLUE: Final = "#2f6fb0"
PALE_BLUE: Final = "#a9c8e6"
RED: Final = "#c4473a"
LOSS_COLOURS: Final = ("#27496d", "#3f78a8", "#7fb0cf", "#e0b15c", "#c9794a", "#8a94a0")
"""Diffraction, pointing, atmosphere, receiver, calibration, detector."""

_SETTINGS: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": "#aab4be",
    "axes.labelcolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


def write_png(path: Path, draw: Callable[["Figure"], None], *, height_px: int = HEIGHT_PX) -> Path:
    """Let `draw` fill a figure and write it to `path` as PNG, 1200 pixels wide. Returns the path.

    Raises ResourceError when the file cannot be written.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(WIDTH_PX / _DPI, height_px / _DPI), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        try:
            figure.savefig(path, format="png", facecolor="white", metadata={"Software": None})
        except OSError as error:
            raise ResourceError(
                f"{path}: the picture cannot be written ({error.strerror}); choose another folder"
            ) from None
    return path


def heading(figure: "Figure", title: str, detail: str) -> None:
    """Title of the whole picture at its upper left, what it is about beneath in grey."""
    figure.suptitle(f"{title}\n", x=0.008, ha="left", fontsize=12, fontweight="bold", linespacing=1.4)
    figure.text(
        0.008, 1 - _DETAIL_PX / figure.bbox.height, detail, ha="left", va="top", fontsize=8.5, color=MUTED
    )


def spread(wanted: list[float], gap: float) -> list[float]:
    """Heights of labels as near as may be to the ones wanted (increasing), at least `gap` apart."""
    groups: list[tuple[float, int]] = []
    for height in wanted:
        groups.append((height, 1))
        while len(groups) > 1 and _overlap(groups[-2], groups[-1], gap):
            (low, n), (high, m) = groups[-2:]
            groups[-2:] = [((low * n + high * m) / (n + m), n + m)]
    return [centre + (k - (n - 1) / 2) * gap for centre, n in groups for k in range(n)]


def _overlap(low: tuple[float, int], high: tuple[float, int], gap: float) -> bool:
    return high[0] - low[0] < gap * (low[1] + high[1]) / 2


def label_time(axes: "Axes", start_s: float, end_s: float) -> None:
    """Pass time on the x axis."""
    axes.set_xlim(start_s, end_s)
    axes.set_xlabel("time since the first pulse, s")
