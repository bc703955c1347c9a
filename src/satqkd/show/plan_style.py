"""Colours of the planner's pictures, which eyes that lack a cone tell apart; headings, units of bits.

Things have the colours of Okabe and Ito, printed in Wong, Nature Methods 8, 441 (2011), without yellow and
black; a scale runs from pale to dark in one hue. Knows names and numbers.
"""

import textwrap
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from satqkd.show.style import MUTED, heading

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

PALETTE: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
OTHERS: Final = "others"
OTHERS_COLOUR: Final = MUTED
SCALE: Final = ("#f3f7fb", "#c3dbe9", "#7fb0cf", "#3f78a8", "#1d3b5c")
"""From nothing to most."""
ABSENT: Final = "#ffffff"
_LINE: Final = 116
"""Characters of a heading's small print that are sure to fit into a picture's width."""
_UNITS: Final = ((1e9, "Gbit"), (1e6, "Mbit"), (1e3, "kbit"), (1.0, "bit"))


def headline(figure: "Figure", title: str, detail: str) -> None:
    """Title of the whole picture, with what it is about beneath, in as many lines as it needs."""
    lines = textwrap.wrap(detail, _LINE, break_on_hyphens=False)
    heading(figure, title + "\n" * max(0, len(lines) - 1), "\n".join(lines))


def colours_of(used: Iterable[str]) -> dict[str, str]:
    """A colour for each name, in alphabetic order; past six names the most used five have their own.

    used: a name each time that it occurs. All the rest share grey.
    """
    counts = Counter(used)
    room = len(PALETTE) if len(counts) <= len(PALETTE) else len(PALETTE) - 1
    chosen = sorted(sorted(counts, key=lambda name: (-counts[name], name))[:room])
    own = dict(zip(chosen, PALETTE, strict=False))
    return {name: own.get(name, OTHERS_COLOUR) for name in sorted(counts)}


def scale() -> "Colormap":
    """From pale to dark blue; what is no number is left white."""
    from matplotlib.colors import LinearSegmentedColormap

    made = LinearSegmentedColormap.from_list("key", list(SCALE))
    return made.with_extremes(bad=ABSENT)


def bit_unit(most_bits: float) -> tuple[float, str]:
    """What to divide by, and the unit's name, so that the largest number has few digits."""
    return next((size, name) for size, name in _UNITS if most_bits >= size or size == 1.0)


def counted(number: int, thing: str) -> str:
    """So many things: `1 contact`, `2 contacts`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def in_bits(key_bits: float) -> str:
    """Three digits and a unit."""
    size, name = bit_unit(abs(key_bits))
    return f"{key_bits / size:.3g} {name}"
