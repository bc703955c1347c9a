"""A validation row, and how its status follows from published and computed numbers.

Knows no physics. A status is never given by hand: `row` computes it, and a row without a computed
number is a gap that says what is missing.
"""

from typing import Literal

import msgspec

Status = Literal["reproduced", "compatible", "not_reproduced", "gap"]
Number = int | float
Interval = tuple[float, float]


class Tolerance(msgspec.Struct, frozen=True):
    """Which computed values count as what. Intervals are closed; None where a grade cannot be reached."""

    text: str
    reproduced: Interval | None
    compatible: Interval | None = None
    """Wider: agrees with what was published as far as the missing inputs allow to say."""


class Row(msgspec.Struct, frozen=True):
    """One published figure and what this software makes of it; the row of `satqkd validate --json`."""

    id: str
    what: str
    """With its unit."""
    published: Number | None
    computed: Number | tuple[Number, Number] | None
    """A pair is the smallest and the largest of several results."""
    tolerance: str
    status: Status
    blind: bool
    """True: nothing that went into the computation was fitted or chosen with this figure known."""
    source: str
    """Where the published figure stands, and what the computation takes from elsewhere."""


def absolute(published: Number, plus_minus: Number, unit: str = "") -> Tolerance:
    """Reproduced within +- a number."""
    text = f"± {plus_minus:g}{' ' + unit if unit else ''}"
    return Tolerance(text, (published - plus_minus, published + plus_minus))


def relative(published: Number, share: float, compatible: Interval | None = None) -> Tolerance:
    """Reproduced within a share of the published figure, compatible inside a band."""
    band = f"; compatible {compatible[0]:g} to {compatible[1]:g}" if compatible else ""
    ends = (published * (1 - share), published * (1 + share))
    return Tolerance(f"± {100 * share:g} %{band}", ends, compatible)


def factor(published: Number, ratio: float) -> Tolerance:
    """Reproduced within a factor, up or down."""
    return Tolerance(f"factor {ratio:g}", (published / ratio, published * ratio))


def row(
    row_id: str,
    what: str,
    *,
    published: Number,
    computed: Number,
    tolerance: Tolerance,
    blind: bool,
    source: str,
) -> Row:
    """A row whose status the tolerance decides. NaN is inside no interval."""
    return Row(row_id, what, published, computed, tolerance.text, _status(computed, tolerance), blind, source)


def bracket_row(
    row_id: str, what: str, *, published: Number, computed: tuple[Number, Number], blind: bool, source: str
) -> Row:
    """A row of a published figure that several results should have between them: compatible, or not."""
    low, high = computed
    status: Status = "compatible" if low <= published <= high else "not_reproduced"
    return Row(row_id, what, published, computed, "published lies between", status, blind, source)


def gap_row(row_id: str, what: str, *, missing: str, source: str, published: Number | None = None) -> Row:
    """A row that cannot be computed, and what is missing for it."""
    return Row(row_id, what, published, None, "", "gap", False, f"{source}; missing: {missing}")


def _status(computed: Number, tolerance: Tolerance) -> Status:
    if _inside(computed, tolerance.reproduced):
        return "reproduced"
    return "compatible" if _inside(computed, tolerance.compatible) else "not_reproduced"


def _inside(value: Number, interval: Interval | None) -> bool:
    return interval is not None and interval[0] <= value <= interval[1]
