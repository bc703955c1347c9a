"""The budget of one pass as one picture: where the satellite is, what its light loses, meets and should give.

Two columns of panels in pass time, the sky at the upper left, the fading at the bottom. Knows layout; what
a panel shows is its own function's business.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from satqkd.show import budget_panels as panels
from satqkd.show.budget_view import BudgetView, budget_view
from satqkd.show.loss import draw_losses
from satqkd.show.sky_panel import draw_sky
from satqkd.show.style import check_place, heading, write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec

    from satqkd.mission import Contact

Panel = Callable[["Axes", BudgetView], None]

BUDGET_PX: Final = (1800, 2500)
"""Width and height."""
_HEIGHTS: Final = (1.15, 1.15, 1.15, 0.95, 0.95, 0.95, 0.95, 0.95, 0.95)
"""Of the rows of the grid, over each other."""


def plot_budget(path: Path, contact: "Contact", *, seed: int) -> Path:
    """Write the picture of a contact's budget as PNG, the fading drawn by `seed`. Returns the path.

    Raises ConfigError for a name of another format, ResourceError when the file cannot be written.
    """
    check_place(path)
    view = budget_view(contact, seed=seed)
    width_px, height_px = BUDGET_PX
    return write_png(path, lambda figure: draw_budget(figure, view), width_px=width_px, height_px=height_px)


def draw_budget(figure: "Figure", view: BudgetView) -> None:
    """Fill a figure with all panels."""
    scene = view.scene
    heading(figure, f"Link budget of {scene.satellite} over {scene.station}", _about(view))
    grid = figure.add_gridspec(len(_HEIGHTS), 2, height_ratios=_HEIGHTS)
    sky = figure.add_subplot(grid[:3, 0], projection="polar")
    sky.set_title(f"Sky over {scene.station}")
    draw_sky(sky, view.track, scene.duration_s)
    geometry = (panels.draw_elevation, panels.draw_range, panels.draw_doppler)
    stacks: tuple[tuple[str, int, int, int, tuple[Panel, ...]], ...] = (
        ("Geometry", 1, 0, 1, geometry),
        ("Loss", 0, 3, 2, (_draw_losses,)),
        ("Noise", 1, 3, 2, (panels.draw_noise,)),
        ("Expected rates and errors", 0, 5, 1, (panels.draw_rates, panels.draw_qber)),
        ("Polarisation frames", 1, 5, 1, (panels.draw_frame, panels.draw_residual)),
        ("Fading", 0, 7, 1, (panels.draw_fading, panels.draw_loss_sample)),
        ("Laser link", 1, 7, 2, (panels.draw_laser_loss,)),
    )
    for title, column, row, height, draw in stacks:
        _stack(figure, grid, view, title, column=column, row=row, height=height, draw=draw)


def _stack(
    figure: "Figure",
    grid: "GridSpec",
    view: BudgetView,
    title: str,
    *,
    column: int,
    row: int,
    height: int,
    draw: tuple[Panel, ...],
) -> None:
    """Panels of `height` rows each, one under the other, with one time axis."""
    above: Axes | None = None
    for k, each in enumerate(draw):
        top = row + k * height
        axes = figure.add_subplot(grid[top : top + height, column], sharex=above)
        if above is None:
            axes.set_title(title)
        each(axes, view)
        axes.tick_params(labelbottom=k == len(draw) - 1)
        above = axes
    axes.set_xlabel("time since the first pulse, s")


def _draw_losses(axes: "Axes", view: BudgetView) -> None:
    draw_losses(axes, view.columns, view.scene.duration_s)


def _about(view: BudgetView) -> str:
    top = max(view.track.events, key=lambda event: event.elevation_deg)
    return (
        f"first pulse {view.scene.start_utc}   quantum link for {view.scene.duration_s:.1f} s   culmination "
        f"{top.utc} at {top.elevation_deg:.1f}°   values of the model with these settings, none measured; "
        f"fading: one draw, seed {view.fading.seed}"
    )
