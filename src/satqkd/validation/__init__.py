"""Published figures against computed ones: `validate()` gives a row for each.

A row's status comes from its numbers, by its tolerance; nothing is typed in but what was published, where
it stands, and how near is near enough. See `docs/results.md`.
"""

from satqkd.validation import gaps, jinan, micius
from satqkd.validation.rows import Row, Tolerance, row

__all__ = ["Row", "Tolerance", "row", "validate"]


def validate() -> list[Row]:
    """Computed rows, then gaps; takes a second. A row that fails is a row, no error."""
    return [*micius.rows(), *jinan.rows(), *gaps.rows()]
