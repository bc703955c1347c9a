"""A validation row, and how its status follows from published and computed numbers.

Knows no physics. A status is never given by hand: `row` and its like compute it from the tolerance, and a row
without a published figure to compare with, or without a computed one, is a gap that says what is missing.
"""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Status = Literal["reproduced", "compatible", "not_reproduced", "gap"]
Kind = Literal["measurement", "model", "arithmetic"]
Number = int | float
Interval = tuple[float, float]
Array = NDArray[np.float64]


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
    """What is near enough, and in parentheses where that comes from."""
    status: Status
    blind: bool
    """True: nothing that went into the computation was fitted or chosen with this figure known."""
    source: str
    """Where the published figure stands, and what the computation takes from elsewhere."""
    kind: Kind = "measurement"
    """`measurement`: the outcome of an experiment. `model`: a figure that a formula, a table or a protocol
    must give. `arithmetic`: what follows from the inputs by counting; no validation."""
    fitted: str = ""
    """The one thing that was adjusted to data, and to which; empty when nothing was."""


def absolute(published: Number, plus_minus: Number, unit: str = "", *, why: str = "") -> Tolerance:
    """Reproduced within +- a number; why: where the number comes from."""
    text = f"± {plus_minus:g}{' ' + unit if unit else ''}"
    return Tolerance(_with_reason(text, why), (published - plus_minus, published + plus_minus))


def relative(
    published: Number, share: Number, compatible: Interval | None = None, *, why: str = ""
) -> Tolerance:
    """Reproduced within a share of the published figure, compatible inside a band."""
    band = f"; compatible {compatible[0]:g} to {compatible[1]:g}" if compatible else ""
    ends = (published * (1 - share), published * (1 + share))
    return Tolerance(_with_reason(f"± {100 * share:g} %{band}", why), ends, compatible)


def factor(published: Number, ratio: Number, *, why: str = "") -> Tolerance:
    """Reproduced within a factor, up or down."""
    return Tolerance(_with_reason(f"factor {ratio:g}", why), (published / ratio, published * ratio))


def exactly(published: Number) -> Tolerance:
    """Reproduced when equal."""
    return Tolerance("exact", (published, published))


def row(
    row_id: str,
    what: str,
    *,
    published: Number,
    computed: Number,
    tolerance: Tolerance,
    blind: bool,
    source: str,
    kind: Kind = "measurement",
    fitted: str = "",
) -> Row:
    """A row whose status the tolerance decides. NaN is inside no interval."""
    status = _status(computed, tolerance)
    return Row(row_id, what, published, computed, tolerance.text, status, blind, source, kind, fitted)


def bracket_row(
    row_id: str,
    what: str,
    *,
    published: Number,
    computed: tuple[Number, Number],
    blind: bool,
    source: str,
    fitted: str = "",
) -> Row:
    """A row of a published figure that several results should have between them: compatible, or not."""
    low, high = computed
    status: Status = "compatible" if low <= published <= high else "not_reproduced"
    text = "published lies between"
    return Row(row_id, what, published, computed, text, status, blind, source, "measurement", fitted)


def gap_row(
    row_id: str,
    what: str,
    *,
    missing: str,
    source: str,
    published: Number | None = None,
    computed: Number | None = None,
    fitted: str = "",
) -> Row:
    """A row that cannot be compared, and what is missing for it: no computed number, or no published one."""
    if published is not None and computed is not None:
        raise ValueError(f"{row_id}: both numbers are known, so a tolerance must decide; use `row`")
    told = f"{source}; missing: {missing}"
    return Row(row_id, what, published, computed, "", "gap", False, told, "measurement", fitted)


def printed_row(
    row_id: str,
    what: str,
    *,
    places: Sequence[str],
    printed: Sequence[str],
    computed: NDArray[np.float64],
    source: str,
    kind: Kind = "model",
    fitted: str = "",
) -> Row:
    """One row for a printed list of numbers: that of the worst, which `what` names by its place.

    printed: as text, so that the last digit says how much may be off: half of it.
    """
    published = np.array([float(text) for text in printed])
    half = np.array([0.5 * 10.0 ** _last_place(text) for text in printed])
    off = np.abs(np.asarray(computed, dtype=np.float64) - published) / half
    worst = int(np.argmax(np.where(np.isnan(off), np.inf, off)))
    allowed = float(half[worst])
    slack = 1e-9 * abs(published[worst])  # decimals are not exact in binary
    value = float(published[worst])
    many = f", each of {len(printed)}; the worst is shown" if len(printed) > 1 else ""
    return row(
        row_id,
        f"{what}, {places[worst]}" if len(printed) > 1 else what,
        published=value,
        computed=float(f"{float(computed[worst]):.6g}"),
        tolerance=Tolerance(
            f"± {allowed:g} (half the last printed digit{many})",
            (value - allowed - slack, value + allowed + slack),
        ),
        blind=kind == "model" and not fitted,
        source=source,
        kind=kind,
        fitted=fitted,
    )


def listed_row(
    row_id: str,
    what: str,
    *,
    places: Sequence[str],
    published: Sequence[Number],
    computed: Sequence[Number],
    share: float,
    why: str,
    source: str,
) -> Row:
    """One row of kind model for a list of figures to be met within a share: the worst, named by its place.

    A published 0 is met by 0 alone.
    """
    off = [
        abs(ours - theirs) / theirs if theirs else abs(ours) * math.inf if ours else 0.0
        for theirs, ours in zip(published, computed, strict=True)
    ]
    worst = int(np.argmax(off))  # NaN counts as the largest
    return row(
        row_id,
        f"{what}, {places[worst]}",
        published=published[worst],
        computed=computed[worst],
        tolerance=relative(
            published[worst], share, why=f"{why}; each of {len(published)}, the worst is shown"
        ),
        blind=True,
        source=source,
        kind="model",
    )


def _status(computed: Number, tolerance: Tolerance) -> Status:
    if _inside(computed, tolerance.reproduced):
        return "reproduced"
    return "compatible" if _inside(computed, tolerance.compatible) else "not_reproduced"


def _inside(value: Number, interval: Interval | None) -> bool:
    return interval is not None and interval[0] <= value <= interval[1]


def _last_place(printed: str) -> int:
    """Power of ten of a decimal's last digit."""
    exponent = Decimal(printed).as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _with_reason(text: str, why: str) -> str:
    return f"{text} ({why})" if why else text
