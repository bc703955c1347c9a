"""One generated family of quasi-cyclic codes: both ends build the same matrix from (bits, class, seed).

No matrix is shipped. Degree distributions (`degrees`) are interpolated in the leak, rows are chosen so that
row weights stay even, degree-2 columns form a zigzag, shifts come from SHAKE-256 and avoid 4-cycles. A
code that proves too weak is made stronger by dividing block rows in two: the sum of both halves is
known, so one half more is said, and no column changes its degree (the idea of accumulated syndromes:
Varodayan, Aaron, Girod, Signal Processing 86, 3123 (2006)). The leak of a frame is `Code.rows_bits`
and what divisions add, known before any bit is seen. Knows no key, no message, no decoder.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from math import ceil
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.distill.degrees import DEGREES, DISTRIBUTIONS
from satqkd.errors import LocalProtocolError
from satqkd.randomness import expand

Ints = NDArray[np.int32]

LEAK_FRACTIONS: Final = tuple(round(2000 * 1.015**step) / 100_000 for step in range(231))
"""Syndrome bits per key bit of each leak class, 0.02 to 0.614 in steps of 1.5 %."""
SHORTEST_CODE: Final = 8192
"""Shorter frames are padded with known zeros to this length."""
LONGEST_CODE: Final = 1_048_576
LIFT_STEP: Final = 16
"""Lifts are multiples of this, for the decoder's vectors."""
_FEWEST_ROWS: Final = 64
_MOST_ROWS: Final = 128
_LONG_LIFT: Final = 600
_GOLDEN: Final = 2_654_435_769  # 2^32 over the golden ratio: multiples of it spread evenly
_CANDIDATES: Final = 64


class Code(msgspec.Struct, frozen=True, eq=False):
    """A parity-check matrix of circulants: check (r, k) holds bit (column, (k + shift) mod lift)."""

    n_bits: int
    """Key bits of a frame; the rest up to `columns * lift` are known zeros."""
    columns: int
    """Block columns."""
    lift: int
    """Size of a circulant."""
    row_start: Ints
    """(block rows + 1,): the circulants of block row r are row_start[r]:row_start[r + 1]."""
    column: Ints
    """(circulants,) block column of each."""
    shift: Ints
    """(circulants,) rotation of each, in [0, lift)."""

    @property
    def rows(self) -> int:
        """Block rows."""
        return self.row_start.size - 1

    @property
    def rows_bits(self) -> int:
        """Syndrome bits, all of them sent: the leak of one frame."""
        return self.rows * self.lift

    @property
    def is_identity(self) -> bool:
        """Whether the syndrome is the frame itself: shorter than any code would leak."""
        return self.columns == self.rows

    @property
    def division_order(self) -> NDArray[np.int64]:
        """Block rows in the order in which they are divided, spread over the matrix; none of the identity."""
        spread = np.arange(0 if self.is_identity else self.rows, dtype=np.uint64) * np.uint64(_GOLDEN)
        return np.argsort(spread % np.uint64(1 << 32), kind="stable")

    def first_half(self, row: int) -> NDArray[np.int64]:
        """The circulants of a block row that its first half keeps: in order of column, every second one."""
        return np.arange(self.row_start[row], self.row_start[row + 1], 2)

    def divided(self, rows: Sequence[int]) -> "Code":
        """This code with these block rows divided; both halves follow each other in the row's place."""
        parts: list[NDArray[np.int64]] = []
        for row in range(self.rows):
            first, last = self.row_start[row], self.row_start[row + 1]
            starts, step = ((first, first + 1), 2) if row in rows else ((first,), 1)
            parts.extend(np.arange(start, last, step) for start in starts)
        order = np.concatenate(parts)
        return msgspec.structs.replace(
            self,
            row_start=np.cumsum([0, *(part.size for part in parts)]).astype(np.int32),
            column=self.column[order],
            shift=self.shift[order],
        )

    def digest(self) -> str:
        """SHA-256 of the matrix, to compare the two ends and to pin the construction in tests."""
        head = np.array([self.n_bits, self.columns, self.lift], "<i4")
        parts = [part.astype("<i4").tobytes() for part in (head, self.row_start, self.column, self.shift)]
        return hashlib.sha256(b"".join(parts)).hexdigest()


@lru_cache(maxsize=32)
def code(n_bits: int, leak_class: int, *, seed: int = 0) -> Code:
    """The code of a frame of n_bits in a leak class; the same at both ends, well under a second to build.

    The seed is public and agreed. Raises LocalProtocolError for sizes or classes out of range.
    """
    if not 1 <= n_bits <= LONGEST_CODE or not 0 <= leak_class < len(LEAK_FRACTIONS):
        raise LocalProtocolError(
            f"code: expected 1 <= n_bits <= {LONGEST_CODE} and 0 <= leak_class < {len(LEAK_FRACTIONS)}, "
            f"got {n_bits} and {leak_class}"
        )
    leak = LEAK_FRACTIONS[leak_class]
    rows, columns, lift = _shape(max(n_bits, SHORTEST_CODE), leak)
    if rows * lift >= n_bits:
        zero = np.zeros(1, np.int32)
        return Code(n_bits, 1, n_bits, np.array([0, 1], np.int32), zero, zero)
    return msgspec.structs.replace(_full(rows, columns, lift, leak_class, seed), n_bits=n_bits)


@lru_cache(maxsize=32)
def _full(rows: int, columns: int, lift: int, leak_class: int, seed: int) -> Code:
    """The code of a frame that fills this shape: frames that differ by a few bits share it."""
    label = f"satqkd/ldpc/2/{rows}/{columns}/{lift}/{leak_class}/{seed}"
    return _Construction(rows, columns, lift, LEAK_FRACTIONS[leak_class], label).build()


def _shape(n_bits: int, leak: float) -> tuple[int, int, int]:
    """Block rows, block columns and lift that come nearest above the leak, with few known bits.

    Some 48 to 64 rows, where there are enough checks for lifts of a vector; up to 96 to 128 where lifts stay
    long all the same, since a row is the step in which a frame is helped on.
    """
    checks = leak * n_bits
    most = min(_MOST_ROWS, max(_FEWEST_ROWS, int(checks) // _LONG_LIFT))
    low = ceil(checks / most / LIFT_STEP) * LIFT_STEP
    high = max(low, int(checks / (3 * most // 4)))
    lift = min(range(low, high + 1, LIFT_STEP), key=lambda lift: (ceil(checks / lift) * lift, -lift))
    return ceil(checks / lift), ceil(n_bits / lift), lift


def column_degrees(leak: float, columns: int, rows: int) -> list[int]:
    """Degrees of all block columns, ascending: interpolated distribution, rounded by largest remainder."""
    known = np.array(list(DISTRIBUTIONS.values()))
    share = np.array([np.interp(leak, list(DISTRIBUTIONS), part) for part in known.T])
    exact = share * columns / share.sum()
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: columns - int(counts.sum())]] += 1
    excess = max(0, int(counts[0]) - (rows - 1))  # a zigzag through all rows has rows - 1 columns
    counts[:2] += (-excess, excess)
    return [min(d, rows) for d, count in zip(DEGREES, counts, strict=True) for _ in range(int(count))]


class _Construction:
    """Column by column, low degrees first: the rows of least weight, shifts of least 4-cycles."""

    def __init__(self, rows: int, columns: int, lift: int, leak: float, label: str) -> None:
        self.rows, self.columns, self.lift = rows, columns, lift
        self.degrees = column_degrees(leak, columns, rows)
        edges = sum(self.degrees)
        draws = np.frombuffer(expand(label + "/shifts", 4 * edges * _CANDIDATES), "<u4")
        self.candidates = (draws % np.uint32(lift)).astype(np.int64).reshape(edges, _CANDIDATES)
        draws = np.frombuffer(expand(label + "/rows", 4 * columns * rows), "<u4")
        self.ties = draws.reshape(columns, rows).astype(np.int64)
        self.weight = np.zeros(rows, np.int64)
        self.shared = np.zeros((rows, rows), np.int64)
        self.used = np.zeros((rows, rows, lift), np.uint8)
        self.edges: list[tuple[int, int, int]] = []

    def build(self) -> Code:
        for index, degree in enumerate(self.degrees):
            self._place(index, [index, index + 1] if degree == 2 else self._choose_rows(index, degree))
        table = np.array(sorted(self.edges), np.int32)
        row_start = np.searchsorted(table[:, 0], np.arange(self.rows + 1)).astype(np.int32)
        column, shift = (np.ascontiguousarray(table[:, part]) for part in (1, 2))
        return Code(self.columns * self.lift, self.columns, self.lift, row_start, column, shift)

    def _choose_rows(self, index: int, degree: int) -> list[int]:
        """Rows one by one: least weight, then least often together with those chosen, then by the draw."""
        cost = (self.weight << 48) + (self.ties[index] >> 8)
        chosen: list[int] = []
        for _ in range(degree):
            row = int(np.argmin(cost))
            chosen.append(row)
            cost += self.shared[row] << 32
            cost[row] = np.iinfo(np.int64).max // 2
        return chosen

    def _place(self, index: int, rows: list[int]) -> None:
        shifts = np.zeros(len(rows), np.int64)
        for position, row in enumerate(rows):
            if position and len(rows) > 2:
                shifts[position] = self._choose_shift(row, rows[:position], shifts[:position])
            elif len(rows) > 2:
                shifts[0] = self.candidates[len(self.edges), 0]
            self.edges.append((row, index, int(shifts[position])))
        self.weight[rows] += 1
        grid = np.ix_(rows, rows)
        self.shared[grid] += 1
        self.used[(*grid, (shifts[:, None] - shifts) % self.lift)] += 1

    def _choose_shift(self, row: int, others: list[int], shifts: NDArray[np.int64]) -> int:
        candidates = self.candidates[len(self.edges)]
        differences = (candidates - shifts[:, None]) % self.lift
        cycles = self.used[row, np.array(others)[:, None], differences].sum(axis=0)
        return int(candidates[np.argmin(cycles)])
