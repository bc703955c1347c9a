"""How pictures look: one palette, one canvas, one way to write a file.

A picture is 1200 pixels wide and 700 high unless it says otherwise, on white. Matplotlib is loaded when the
first one is drawn, without a display and without its global state. Knows nothing of passes.
"""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from satqkd.errors import ConfigError, ResourceError
from satqkd.mission.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_PX: Final = 1200
HEIGHT_PX: Final = 700
DPI: Final = 150
_DETAIL_PX: Final = 45
"""From the upper edge to the second line of the heading."""

INK: Final = "#1d2733"
MUTED: Final = "#66727f"
GRID: Final = "#e3e8ed"
BLUE: Final = "#2f6fb0"
PALE_BLUE: Final = "#a9c8e6"
RED: Final = "#c4473a"
PALE_RED: Final = "#e3a59d"
OCHRE: Final = "#b8862f"
PALE: Final = "#eef1f4"
"""Ground of what is out of reach."""
LOSS_COLOURS: Final = ("#27496d", "#3f78a8", "#7fb0cf", "#c3dbe9", "#e0b15c", "#c9794a", "#8a94a0")
"""Diffraction, pointing, atmosphere, cloud, receiver, calibration, detector."""

SETTINGS: Final[dict[Any, Any]] = {
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


def write_png(
    path: Path, draw: Callable[["Figure"], None], *, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX
) -> Path:
    """Let `draw` fill a figure and write it to `path` as PNG. Returns the path.

    The file is there whole or not at all. Raises ConfigError for a name that promises another format,
    ResourceError when the file cannot be written.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_place(path)
    content = BytesIO()
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        figure.savefig(content, format="png", facecolor="white", metadata={"Software": None})
    try:
        write_whole(path, content.getvalue())
    except OSError as error:
        raise _unwritable(path, error.strerror) from None
    return path


def check_place(path: Path) -> None:
    """Refuse, before anything is drawn, a place that can take no picture; errors as of `write_png`."""
    if path.suffix.lower() not in ("", ".png"):
        raise ConfigError(f"{path}: expected a name that ends in .png, got {path.suffix}; pictures are PNG")
    if not path.parent.is_dir():
        raise _unwritable(path, f"{path.parent} is no folder")
    if path.is_dir():
        raise _unwritable(path, "it is a folder")


def _unwritable(path: Path, why: str | None) -> ResourceError:
    return ResourceError(f"{path}: the picture cannot be written ({why}); choose another place")


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
