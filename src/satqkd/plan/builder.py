"""Problems for the solver, put together from blocks of columns and rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array, csc_array

from satqkd.errors import ConfigError
from satqkd.plan.intervals import Index
from satqkd.plan.solver import Problem

Block = tuple[NDArray[Any], ...]
Indices = ArrayLike
Flags = ArrayLike
"""Whole numbers, and true or false; whatever numpy makes an array of."""


class ProblemBuilder:
    """A problem put together from blocks of columns and rows; no loop over coefficients.

    `add_columns` gives the indices by which `add_rows` names the columns.
    """

    def __init__(self) -> None:
        self._columns: list[Block] = []
        self._row_bounds: list[Block] = []
        self._entries: list[Block] = []
        self._n = self._m = 0

    def add_columns(
        self,
        gain: ArrayLike,
        *,
        lower: ArrayLike = 0.0,
        upper: ArrayLike = np.inf,
        integer: Flags = False,
    ) -> Index:
        """As many columns as there are gains; the other arrays are of that shape, or one value for all.

        Returns their indices, of the shape of `gain`, so that a table of columns is named like a table.
        """
        gains = np.asarray(gain, dtype=np.float64)
        bounds = (np.broadcast_to(np.asarray(each, dtype=np.float64), gains.shape) for each in (lower, upper))
        whole = np.broadcast_to(np.asarray(integer, dtype=np.bool_), gains.shape)
        self._columns.append(tuple(each.ravel() for each in (gains, *bounds, whole)))
        first, self._n = self._n, self._n + gains.size
        return np.arange(first, self._n, dtype=np.intp).reshape(gains.shape)

    def add_rows(
        self,
        columns: Indices,
        coefficients: ArrayLike,
        rows: Indices,
        *,
        lower: ArrayLike = -np.inf,
        upper: ArrayLike = np.inf,
    ) -> Index:
        """Rows lower <= sum of coefficient * column <= upper.

        columns, coefficients, rows: one for each coefficient, or one for all, broadcast against each other;
        `rows` counts from 0 within this block, and what stands twice in one place is added up. lower, upper:
        one for each row of the block; where both are one number, the block ends with the largest of `rows`.
        Returns the rows' indices in the problem.
        """
        entries = np.broadcast_arrays(*(np.asarray(each) for each in (rows, columns, coefficients)))
        row, column, coefficient = (each.ravel() for each in entries)
        least = int(row.max()) + 1 if row.size else 0
        bounds = np.broadcast_arrays(np.asarray(lower, np.float64), np.asarray(upper, np.float64))
        count = least if bounds[0].ndim == 0 else bounds[0].size
        self._check(row, column, least, count)
        self._row_bounds.append(tuple(np.broadcast_to(each.ravel(), count) for each in bounds))
        self._entries.append((row.astype(np.intp) + self._m, column, coefficient))
        first, self._m = self._m, self._m + count
        return np.arange(first, self._m, dtype=np.intp)

    def build(self) -> Problem:
        """The problem of all blocks so far."""
        gain, lower, upper, integer = _joined(self._columns, (np.float64, np.float64, np.float64, np.bool_))
        row_lower, row_upper = _joined(self._row_bounds, (np.float64, np.float64))
        row, column, coefficient = _joined(self._entries, (np.intp, np.intp, np.float64))
        return Problem(
            gain=gain,
            lower=lower,
            upper=upper,
            integer=integer,
            rows=csc_array(coo_array((coefficient, (row, column)), shape=(self._m, self._n))),
            row_lower=row_lower,
            row_upper=row_upper,
        )

    def _check(self, row: NDArray[Any], column: NDArray[Any], least: int, count: int) -> None:
        if least > count or (row < 0).any() or (column < 0).any() or (column >= self._n).any():
            raise ConfigError(
                f"rows: expected rows below {count} and columns below {self._n}, got rows up to {least - 1} "
                f"and columns up to {column.max(initial=-1)}; add columns first, and a bound for each row"
            )


def _joined(blocks: list[Block], kinds: Sequence[type]) -> list[NDArray[Any]]:
    """Arrays of all blocks one after another, each of its kind."""
    empty: Block = tuple(np.empty(0, dtype=kind) for kind in kinds)
    parts = zip(*(empty, *blocks), strict=True)
    return [np.concatenate(part).astype(kind) for part, kind in zip(parts, kinds, strict=True)]
