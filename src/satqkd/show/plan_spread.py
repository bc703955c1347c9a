"""One operation under the skies of several seeds: how far apart its outcomes lie, pair by pair.

A row a pair, a point a seed, a bar from the least to the most, a stroke at the mean. Knows shares by name.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.constants import DAY_S
from satqkd.errors import DataFormatError
from satqkd.show.artists import remark, say
from satqkd.show.plan_document import Document, Picture, Section, write_document
from satqkd.show.plan_operation import LIMITS
from satqkd.show.plan_operation_view import OperationView
from satqkd.show.plan_style import PALETTE, headline
from satqkd.show.style import INK, PALE_BLUE, write_png
from satqkd.show.tables import Table, percent, whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PAIRS: Final = 40
"""In the picture: the worst served."""
MOST_SEEDS: Final = 200
"""In the table."""
_ROW_PX: Final = 34
_LEAST_ROWS: Final = 5
_HEADING_PX: Final = 220


class SeedTold(msgspec.Struct, frozen=True, kw_only=True):
    """The whole under one sky."""

    seed: int
    share: float
    worst_share: float
    used_bits: int
    unmet_bits: int
    contacts: int
    cloudy: int
    lost_bits: int
    """Of link key, too old or without room."""
    alarms: int


class Spread(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Outcomes of one scenario under several skies."""

    name: str
    about: str
    """Length and start, in words."""
    pairs: tuple[str, ...]
    seeds: tuple[SeedTold, ...]
    shares: NDArray[np.float64]
    """Of the demand of each pair that was met, shape (pairs, seeds)."""
    periods: NDArray[np.float64]
    """Share of periods in which all of it was, of the same shape."""

    def __post_init__(self) -> None:
        want = (len(self.pairs), len(self.seeds))
        if self.shares.shape != want or self.periods.shape != want:
            raise DataFormatError(
                f"spread: expected shares of shape {want}, a row a pair and a column a seed, got "
                f"{self.shares.shape} and {self.periods.shape}"
            )


def spread_of(operations: Sequence[OperationView]) -> Spread:
    """Operations of one scenario, put together. Raises DataFormatError for none, or for other pairs."""
    if not operations:
        raise DataFormatError("spread: expected an operation, got none")
    first = operations[0]
    names = [tuple(pair.pair for pair in each.pairs) for each in operations]
    if any(each != names[0] for each in names):
        raise DataFormatError("spread: expected operations of the same pairs, got others")

    def column(field: str) -> NDArray[np.float64]:
        rows = [[getattr(pair, field) for pair in each.pairs] for each in operations]
        return np.array(rows, dtype=np.float64).reshape(len(operations), len(first.pairs)).T

    return Spread(
        name=first.name,
        about=f"{first.duration_s / DAY_S:.4g} days from {first.start_utc}",
        pairs=names[0],
        seeds=tuple(_told(each) for each in operations),
        shares=column("share"),
        periods=column("share_of_periods"),
    )


def write_spread_report(folder: Path, spread: Spread, assumed: Sequence[str] = ()) -> list[Path]:
    """Write picture and `report.html`. assumed: sentences; the rest as `write_document`."""
    return write_document(folder, spread_document(spread, assumed))


def spread_document(spread: Spread, assumed: Sequence[str] = ()) -> Document:
    """The report of several seeds."""
    return Document(
        title=f"Operation of {spread.name} under {len(spread.seeds)} skies",
        lead=f"{spread.about}; the same scenario and policy, another sky for each seed",
        outcome=tuple(_outcome(spread)),
        assumed=(*assumed, *LIMITS),
        sections=(
            Section(
                "Who was served",
                (
                    Picture(
                        "operation-shares.png",
                        "Share of its demand that each pair had, a point a seed",
                        lambda path: spread_picture(path, spread),
                    ),
                    pair_table(spread),
                ),
            ),
            Section("Seeds", (seed_table(spread),)),
        ),
    )


def spread_picture(path: Path, spread: Spread) -> Path:
    """Write the picture as PNG. Returns the path; raises as `write_png` does."""
    rows = min(MOST_PAIRS, max(_LEAST_ROWS, len(spread.pairs)))
    return write_png(path, lambda figure: draw_spread(figure, spread), height_px=_HEADING_PX + _ROW_PX * rows)


def draw_spread(figure: "Figure", spread: Spread) -> None:
    """Fill a figure: pairs from the worst served, at the top."""
    headline(
        figure,
        "Share of demand met, by pair and seed",
        f"{spread.name}: {spread.about}; a point a seed, bar: least to most, stroke: mean",
    )
    axes = figure.subplots()
    if not spread.pairs:
        axes.set_axis_off()
        say(axes, "the scenario has no pair")
        return
    rows = worst_first(spread)[:MOST_PAIRS]
    for height, row in enumerate(rows):
        shares = 100 * spread.shares[row]
        axes.plot(
            [shares.min(), shares.max()],
            [height, height],
            color=PALE_BLUE,
            lw=7,
            solid_capstyle="butt",
            gid=f"band {spread.pairs[row]}",
        )
        axes.plot(
            shares,
            np.full(shares.size, height),
            "o",
            ms=4,
            color=PALETTE[0],
            alpha=0.6,
            mew=0,
            clip_on=False,
            zorder=3,
            gid=f"seeds {spread.pairs[row]}",
        )
        axes.plot(shares.mean(), height, "|", ms=13, mew=1.8, color=INK, zorder=4, clip_on=False)
    axes.set_yticks(range(len(rows)), [spread.pairs[row] for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of demand met, %")
    rest = len(spread.pairs) - len(rows)
    remark(axes, f"the {len(rows)} worst served; {rest} more are left out" if rest else "")


def worst_first(spread: Spread) -> list[int]:
    """Rows of pairs by their mean share, the least first."""
    return [int(row) for row in np.argsort(spread.shares.mean(axis=1), kind="stable")]


def pair_table(spread: Spread) -> Table:
    """Every pair, the worst served first."""
    rows = [
        (
            spread.pairs[row],
            *(percent(float(pick(spread.shares[row]))) for pick in (np.min, np.mean, np.max)),
            *(percent(float(pick(spread.periods[row]))) for pick in (np.min, np.mean)),
        )
        for row in worst_first(spread)
    ]
    header = ("pair", "demand met, least", "mean", "most", "periods served, least", "mean")
    return Table("Pairs", header, tuple(rows))


def seed_table(spread: Spread) -> Table:
    """The first seeds, a row each."""
    shown = spread.seeds[:MOST_SEEDS]
    rows = [
        (
            str(each.seed),
            percent(each.share),
            percent(each.worst_share),
            whole(each.used_bits),
            whole(each.unmet_bits),
            whole(each.contacts),
            whole(each.cloudy),
            whole(each.lost_bits),
            whole(each.alarms),
        )
        for each in shown
    ]
    header = (
        "seed",
        "demand met",
        "of the worst pair",
        "used, bits",
        "unmet, bits",
        "contacts",
        "cloudy",
        "link key lost, bits",
        "alarms",
    )
    return Table(f"The first {len(shown)} of {whole(len(spread.seeds))} seeds", header, tuple(rows))


def _told(operation: OperationView) -> SeedTold:
    pairs, links, satellites = operation.pairs, operation.links, operation.satellites
    return SeedTold(
        seed=operation.seed,
        share=operation.share,
        worst_share=operation.worst_share,
        used_bits=sum(each.used_bits for each in pairs),
        unmet_bits=sum(each.wanted_bits - each.used_bits for each in pairs),
        contacts=sum(each.contacts for each in satellites),
        cloudy=sum(each.cloudy for each in satellites),
        lost_bits=sum(each.overflow_bits + each.expired_bits for each in links),
        alarms=len(operation.alarms),
    )


def _outcome(spread: Spread) -> list[str]:
    said = []
    for field, what in (
        ("share", "Of all demand"),
        ("worst_share", "Of the demand of each sky's worst pair"),
    ):
        values = [getattr(each, field) for each in spread.seeds]
        said.append(
            f"{what} {percent(min(values))} to {percent(max(values))} was met, {percent(np.mean(values))} in "
            f"the mean of {len(values)} seeds."
        )
    return said
