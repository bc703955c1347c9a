"""Published figures against computed ones: a row for each by `validate`, those of a user by `compare_table`.

A row's status comes from its numbers, by its tolerance; nothing is typed in but what was published, where
it stands, and how near is near enough. See `docs/validation.md`.
"""

from pathlib import Path

from satqkd.validation import (
    arithmetic,
    curve,
    gaps,
    jinan,
    links,
    micius,
    physics,
    portable,
    relay,
    satquma,
    turbulence,
)
from satqkd.validation.compared import compare_table
from satqkd.validation.rows import Row, Tolerance, row

__all__ = ["Row", "Tolerance", "compare_table", "row", "validate"]


def validate(loss_curve: Path | None = None) -> list[Row]:
    """Experiments and gaps in the order of their ids, arithmetic, models; a few seconds. A failure is a row.

    loss_curve: a CSV of the Micius pass' published loss, for the rows that need it. Raises DataFormatError
    for a file that is not one.
    """
    on_curve = [] if loss_curve is None else curve.rows(curve.read_loss_curve(loss_curve))
    measured = [
        *micius.rows(),
        *on_curve,
        *physics.rows(),
        *satquma.rows(),
        *portable.rows(),
        *jinan.rows(),
        *relay.rows(),
        *gaps.rows(),
    ]
    return [*sorted(measured, key=_order), *arithmetic.rows(), *turbulence.rows(), *links.rows()]


def _order(each: Row) -> tuple[int, str]:
    """V9a before V10a."""
    digits = "".join(character for character in each.id if character.isdigit())
    return int(digits), each.id
