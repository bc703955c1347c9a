"""The coverage map: key per day by place, stations, pairs as arcs, tracks, circles of visibility.

An equirectangular map from arrays; nothing is fetched. Coasts are coarse, for orientation only. Knows the
plan's view and degrees.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np

from satqkd.show.artists import remark, say
from satqkd.show.coast import lakes, land
from satqkd.show.plan_labels import name_points
from satqkd.show.plan_parts import Coverage
from satqkd.show.plan_sphere import Line, circle, cut, great_circle
from satqkd.show.plan_style import bit_unit, counted, headline, in_bits, scale
from satqkd.show.plan_view import PlanView
from satqkd.show.style import INK, MUTED, OCHRE, PALE, RED, write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_TRACKS: Final = 1
"""A day of more hides the map."""
MOST_CIRCLES: Final = 12
_ARC_PT: Final = (0.7, 5.0)
"""Widths of arcs: of a pair without key, and of the pair with the most."""
_DRAWINGS: Final = 3
"""After so many the layout of axes of a fixed shape stays where it is."""
_SHAPE: Final = 2.0
"""Width over height of a map."""
_COASTS: Final = "coasts to 2 degrees"
_LEAST_DEG: Final = 24.0
_LEAST_FIELDS: Final = 5
"""Rows and columns of coverage on a part of the map: fewer would pass for borders."""
_WORTH_WHILE_DEG: Final = 180.0
"""A part of the map is drawn by itself when it is no wider than this."""


class Extent(NamedTuple):
    """Edges of a map."""

    west_deg: float
    east_deg: float
    south_deg: float
    north_deg: float


WORLD: Final = Extent(-180.0, 180.0, -90.0, 90.0)


def map_picture(path: Path, view: PlanView, extent: Extent = WORLD) -> Path:
    """Write the map as PNG. Returns the path; raises as `write_png` does."""
    return write_png(path, lambda figure: draw_map(figure, view, extent))


def close_extent(view: PlanView) -> Extent | None:
    """The part of the map that holds all stations, of the map's shape; None where that is most of the world.

    Stations on both sides of the date line make it most of the world.
    """
    if not view.stations:
        return None
    longitude = np.degrees([each.longitude_rad for each in view.stations])
    latitude = np.degrees([each.latitude_rad for each in view.stations])
    width, height = 1.3 * float(np.ptp(longitude)), 1.3 * float(np.ptp(latitude))
    width = max(width, _SHAPE * height, _LEAST_DEG * _SHAPE)
    if width > _WORTH_WHILE_DEG:
        return None
    half = (width / 2, width / (2 * _SHAPE))
    east = _kept((longitude.max() + longitude.min()) / 2, half[0], 180.0)
    north = _kept((latitude.max() + latitude.min()) / 2, half[1], 90.0)
    return Extent(east - half[0], east + half[0], north - half[1], north + half[1])


def draw_map(figure: "Figure", view: PlanView, extent: Extent = WORLD) -> None:
    """Fill a figure with the map; on a part of it, colours only where the part has some rows and columns."""
    if view.coverage is not None and not _resolves(view.coverage, extent):
        view = msgspec.structs.replace(view, coverage=None)
    what = "Key per day by place, and" if view.coverage is not None else "Stations and"
    headline(figure, f"{what} pairs of the plan", _about(view))
    axes = figure.subplots()
    _frame(axes, extent)
    _draw_ground(axes, view.coverage)
    tracks, circles = _draw_tracks(axes, view), _draw_circles(axes, view)
    _draw_pairs(axes, view)
    points = np.degrees([(each.longitude_rad, each.latitude_rad) for each in view.stations]).reshape(-1, 2)
    axes.plot(
        points[:, 0], points[:, 1], "o", ms=4, color=INK, mec="white", mew=0.6, zorder=6, gid="stations"
    )
    if not view.stations:
        say(axes, "the plan has no station")
    remark(axes, _COASTS)  # holds its place in the layout
    for _ in range(_DRAWINGS):
        figure.draw_without_rendering()
    unnamed = name_points(axes, points, [each.name for each in view.stations])
    left_out = f"no room for {len(unnamed)} of {len(view.stations)} names" if unnamed else ""
    remark(axes, "; ".join(each for each in (left_out, tracks, circles, _COASTS) if each))


def _resolves(coverage: Coverage, extent: Extent) -> bool:
    if extent == WORLD:
        return True
    longitude_deg, latitude_deg = np.degrees(coverage.longitude_rad), np.degrees(coverage.latitude_rad)
    columns = (longitude_deg > extent.west_deg) & (longitude_deg < extent.east_deg)
    rows = (latitude_deg > extent.south_deg) & (latitude_deg < extent.north_deg)
    return bool(min(columns.sum(), rows.sum()) >= _LEAST_FIELDS)


def _frame(axes: "Axes", extent: Extent) -> None:
    from matplotlib.ticker import MultipleLocator

    axes.set_xlim(extent.west_deg, extent.east_deg)
    axes.set_ylim(extent.south_deg, extent.north_deg)
    axes.set_aspect("equal")
    step = next(
        step for step in (30, 15, 10, 5) if extent.east_deg - extent.west_deg >= 5 * step or step == 5
    )
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.yaxis.set_major_locator(MultipleLocator(step))
    axes.set_xlabel("longitude, degrees east")
    axes.set_ylabel("latitude, degrees north")
    axes.set_axisbelow(False)
    axes.grid(color="#9aa7b4", lw=0.5, alpha=0.35, zorder=2.2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)


def _draw_ground(axes: "Axes", coverage: Coverage | None) -> None:
    """Key by place under the lines of the coasts; where none was computed, land and sea."""
    from matplotlib.collections import PolyCollection
    from matplotlib.patheffects import withStroke

    bare = coverage is None
    for outlines, ground in ((land(), PALE), (lakes(), "white")):
        axes.add_collection(
            PolyCollection(
                outlines,
                facecolors=ground if bare else "none",
                edgecolors=MUTED,
                linewidths=0.5,
                path_effects=[] if bare else [withStroke(linewidth=1.6, foreground="#ffffffa0")],
                zorder=1.0 if bare else 2.0,
            ),
            autolim=False,
        )
    if coverage is not None:
        _draw_coverage(axes, coverage)


def _draw_coverage(axes: "Axes", coverage: Coverage) -> None:
    """Colours by the square root of key, so that the much of the poles leaves room for the rest."""
    from matplotlib.colors import PowerNorm

    most_bits = float(np.nanmax(coverage.day_bits)) if np.isfinite(coverage.day_bits).any() else 0.0
    size, unit = bit_unit(most_bits)
    mesh = axes.pcolormesh(
        _edges(np.degrees(coverage.longitude_rad)),
        np.clip(_edges(np.degrees(coverage.latitude_rad)), -90, 90),
        np.ma.masked_invalid(coverage.day_bits / size),
        cmap=scale(),
        norm=PowerNorm(0.5, vmin=0.0, vmax=most_bits / size or 1.0),
        zorder=1.0,
    )
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.012, aspect=34, shrink=0.8)
    bar.set_label(f"key per day of one station there, {unit}")
    bar.outline.set_visible(False)


def _draw_tracks(axes: "Axes", view: PlanView) -> str:
    drawn = view.tracks[:MOST_TRACKS]
    for track in drawn:
        _draw(axes, cut(track.longitude_rad, track.latitude_rad), OCHRE, 0.6, "track", alpha=0.75)
    if not drawn:
        return ""
    names = ", ".join(each.satellite for each in drawn)
    rest = len(view.satellites) - len(drawn)
    return f"yellow: under {names}" + (f", not under {rest} more" if rest else "")


def _draw_circles(axes: "Axes", view: PlanView) -> str:
    reach_rad = max((track.reach_rad for track in view.tracks), default=0.0)
    if not reach_rad or len(view.stations) > MOST_CIRCLES:
        return ""
    for place in view.stations:
        _draw(axes, circle(place, reach_rad), MUTED, 0.7, "circle", style=(0, (2, 2)))
    return "dotted: where satellites are above the mask"


def _draw_pairs(axes: "Axes", view: PlanView) -> None:
    """Arcs, the wider the more key; the widest is explained."""
    places = {each.name: each for each in view.stations}
    most_bits = max((each.key_bits for each in view.plan.pairs), default=0.0)
    for pair in view.plan.pairs:
        share = pair.key_bits / most_bits if most_bits > 0 else 0.0
        width = _ARC_PT[0] + share * (_ARC_PT[1] - _ARC_PT[0])
        arc = great_circle(places[pair.ends[0]], places[pair.ends[1]])
        _draw(axes, arc, RED if pair.key_bits > 0 else MUTED, width, f"pair {pair.pair}", alpha=0.75)


def _draw(
    axes: "Axes",
    line: Line,
    color: str,
    width_pt: float,
    name: str,
    *,
    alpha: float = 1.0,
    style: "str | tuple[int, tuple[int, int]]" = "-",
) -> None:
    axes.plot(
        line.longitude_deg,
        line.latitude_deg,
        color=color,
        lw=width_pt,
        ls=style,
        alpha=alpha,
        gid=name,
        zorder=4 if name.startswith("pair") else 3,
        scalex=False,
        scaley=False,
    )


def _edges(
    middles: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]",
) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    half = np.diff(middles) / 2
    return np.concatenate([[middles[0] - half[0]], middles[:-1] + half, [middles[-1] + half[-1]]])


def _kept(middle: float, half: float, limit: float) -> float:
    return float(np.clip(middle, half - limit, limit - half))


def _about(view: PlanView) -> str:
    pairs = view.plan.pairs
    most = max(pairs, key=lambda each: each.key_bits, default=None)
    red = (
        "no pair is planned for"
        if most is None
        else f"red: pairs, width by key, at most {in_bits(most.key_bits)} in {view.span} ({most.pair})"
    )
    detail = f"; colour: {view.coverage.detail}" if view.coverage is not None and view.coverage.detail else ""
    return (
        f"{view.plan.name}: {counted(len(view.stations), 'station')}, "
        f"{counted(len(view.satellites), 'satellite')}; {red}{detail}"
    )
