"""Names beside points, none over another: each goes where there is room, and those without room are told.

Works in pixels of the figure as it stands: limits and layout must be final. Knows axes, points and names.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satqkd.show.style import INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Column = NDArray[np.float64]

_DISTANCES_PT: Final = (4.0, 10.0, 17.0)
"""From the point to the name's nearest edge; from the second on a line joins them."""
_SIDES: Final = ((1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1))
_SIZE_PT: Final = 7.5
_POINT_PT: Final = 2.5
"""Half the side of the square that a point keeps free."""


class _Box(NamedTuple):
    """In pixels."""

    left: float
    low: float
    right: float
    high: float

    def meets(self, other: "_Box") -> bool:
        """Whether both share some area."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.low < other.high
            and other.low < self.high
        )

    def holds(self, other: "_Box") -> bool:
        """Whether the other lies inside."""
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.low <= other.low
            and other.high <= self.high
        )


def name_points(axes: "Axes", points: Column, names: Sequence[str]) -> tuple[str, ...]:
    """Write names beside points in data, shape (n, 2). Returns the names for which there was no room.

    The most crowded are placed first. A point outside the axes gets no name and is not counted.
    """
    frame = _Box(*axes.bbox.extents)
    pixels = np.asarray(axes.transData.transform(points)).reshape(-1, 2)
    pt = axes.figure.dpi / 72
    dots = [_around(x, y, _POINT_PT * pt) for x, y in pixels]
    taken: list[_Box] = []
    left_out = []
    for row in _crowded_first(pixels):
        if not frame.holds(dots[row]):
            continue
        others = [*taken, *dots[:row], *dots[row + 1 :]]
        size = _size(axes, names[row])
        places = _places(pixels[row], size, pt)
        found = next((p for p in places if frame.holds(p[0]) and not any(map(p[0].meets, others))), None)
        if found is None:
            left_out.append(names[row])
            continue
        taken.append(found[0])
        _write(axes, names[row], points[row], pixels[row], found, pt)
    return tuple(sorted(left_out))


def _around(x: float, y: float, half: float) -> _Box:
    return _Box(x - half, y - half, x + half, y + half)


def _crowded_first(pixels: Column) -> list[int]:
    apart = np.linalg.norm(pixels[:, None, :] - pixels[None, :, :], axis=-1)
    near = np.sort(apart, axis=1)[:, 1:4].sum(axis=1)
    return [int(row) for row in np.argsort(near, kind="stable")]


def _size(axes: "Axes", name: str) -> tuple[float, float]:
    text = axes.text(0, 0, name, fontsize=_SIZE_PT)
    extent = text.get_window_extent()
    text.remove()
    return float(extent.width), float(extent.height)


def _places(point: Column, size: tuple[float, float], pt: float) -> Iterator[tuple[_Box, float]]:
    """Boxes to try, the best first, with their distance from the point."""
    width, height = size
    for away in _DISTANCES_PT:
        for across, up in _SIDES:
            diagonal = 0.7 if across and up else 1.0
            x = point[0] + across * (diagonal * away * pt + width / 2)
            y = point[1] + up * (diagonal * away * pt + height / 2)
            yield _Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2), away


def _write(
    axes: "Axes",
    name: str,
    point: Column,
    pixel: Column,
    found: tuple[_Box, float],
    pt: float,
) -> None:
    from matplotlib.patheffects import withStroke

    box, away = found
    middle = (np.array([(box.left + box.right) / 2, (box.low + box.high) / 2]) - pixel) / pt
    joined = {"arrowstyle": "-", "color": MUTED, "lw": 0.6, "shrinkA": 0, "shrinkB": 2}
    written = axes.annotate(
        name,
        (float(point[0]), float(point[1])),
        xytext=(float(middle[0]), float(middle[1])),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=_SIZE_PT,
        color=INK,
        zorder=7,
        arrowprops=joined if away > _DISTANCES_PT[0] else None,
        path_effects=[withStroke(linewidth=2.0, foreground="white")],
    )
    written.set_in_layout(False)
