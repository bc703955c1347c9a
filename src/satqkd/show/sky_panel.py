"""The satellite's way over the station's sky: zenith in the middle, north up and east right, as on a map.

Knows one sky track and one polar panel.
"""

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from satqkd.show.artists import Array
from satqkd.show.budget_view import Body, SkyTrack
from satqkd.show.style import BLUE, INK, MUTED, OCHRE, PALE, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS: Final = {"rise": "^", "culmination": "D", "set": "v"}
_ARROWS_AT: Final = (0.3, 0.72)
"""Where on the track the arrows of its direction stand: shares of its time."""
_ARROW_ROWS: Final = 2


def draw_sky(axes: Any, track: SkyTrack, duration_s: float) -> None:
    """The track with its events, masks, Sun and Moon; polar axes. duration_s: of the quantum link."""
    _draw_ground(axes, track)
    azimuth, zenith = np.radians(track.azimuth_deg), 90 - track.elevation_deg
    axes.plot(azimuth, zenith, color=MUTED, lw=1.0, label="laser link only")
    quantum = (track.t_s >= 0) & (track.t_s <= duration_s)
    axes.plot(azimuth[quantum], zenith[quantum], color=BLUE, lw=2.6, label="quantum link")
    if quantum.sum() > 2 * _ARROW_ROWS:
        _draw_direction(axes, azimuth[quantum], zenith[quantum])
    for event in track.events:
        axes.plot(
            np.radians(event.azimuth_deg),
            90 - event.elevation_deg,
            _MARKERS[event.name],
            ms=7,
            color=RED if event.name == "culmination" else INK,
            ls="none",
            zorder=5,
            label=f"{event.name} {event.utc} UTC: azimuth {event.azimuth_deg:.1f}°, elevation "
            f"{event.elevation_deg:.1f}°",
        )
    _draw_body(axes, "Sun", track.sun, "*")
    _draw_body(axes, "Moon", track.moon, "o")
    axes.set_anchor("N")
    words = axes.legend(
        loc="upper left",
        bbox_to_anchor=(0.02, -0.06),
        frameon=False,
        fontsize=8,
        handlelength=1.6,
        labelspacing=0.35,
        borderpad=0,
    )
    words.set_in_layout(False)  # it stands in the free space under the circle


def _draw_ground(axes: Any, track: SkyTrack) -> None:
    """Compass, circles of elevation, and what lies under the masks."""
    around = np.linspace(0, 2 * np.pi, 361)
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_ylim(0, 90)
    axes.set_xticks(np.radians(np.arange(0, 360, 45)), ["N", "NE", "E", "SE", "S", "SW", "W", "NW"])
    axes.set_yticks([0, 30, 60, 90], ["90°", "60°", "30°", ""])
    axes.set_rlabel_position(_free_direction_deg(track))
    axes.tick_params(axis="y", labelsize=7.5)
    axes.fill_between(around, 90 - track.mask_deg, 90, color=PALE, lw=0, zorder=0)
    axes.plot(
        around, np.full_like(around, 90 - track.mask_deg), color=MUTED, lw=0.9, ls=(0, (4, 3)),
        label=f"masks: quantum link {track.mask_deg:.3g}°, laser link {track.laser_mask_deg:.3g}° (dotted)",
    )  # fmt: skip
    axes.plot(around, np.full_like(around, 90 - track.laser_mask_deg), color=MUTED, lw=0.9, ls=(0, (1, 2)))


def _draw_direction(axes: "Axes", azimuth: Array, zenith: Array) -> None:
    for share in _ARROWS_AT:
        row = min(int(share * azimuth.size), azimuth.size - 1 - _ARROW_ROWS)
        axes.annotate(
            "",
            (azimuth[row + _ARROW_ROWS], zenith[row + _ARROW_ROWS]),
            xytext=(azimuth[row], zenith[row]),
            arrowprops={
                "arrowstyle": "-|>",
                "color": BLUE,
                "mutation_scale": 22,
                "lw": 0,
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )


def _draw_body(axes: "Axes", name: str, body: Body, marker: str) -> None:
    """A body above the horizon where it stands; one below in words alone."""
    lit = "" if body.lit_percent is None else f", {body.lit_percent} % lit"
    if body.elevation_deg < 0:
        axes.plot([], [], ls="none", label=f"{name} {-body.elevation_deg:.0f}° below the horizon{lit}")
        return
    axes.plot(
        np.radians(body.azimuth_deg),
        90 - body.elevation_deg,
        marker,
        ms=9,
        ls="none",
        color=OCHRE,
        markeredgecolor=INK,
        markeredgewidth=0.6,
        label=f"{name}: azimuth {body.azimuth_deg:.0f}°, elevation {body.elevation_deg:.0f}°{lit}",
    )


def _free_direction_deg(track: SkyTrack) -> float:
    """The direction, of eight between the compass points, from which the track keeps farthest."""
    directions = np.arange(22.5, 360, 45)
    apart = np.abs((track.azimuth_deg[:, None] - directions + 180) % 360 - 180)
    return float(directions[np.argmax(apart.min(axis=0))])
