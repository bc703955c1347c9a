r"""Rows of a Toeplitz matrix over GF(2) times a vector, by additive Fourier transforms, exactly.

.. math::  y_i = \sum_j d_{i-j+K-1} v_j = \sum_t a_t d_{i+t}, \qquad a_t = v_{K-1-t}

In chunks of 64 bits :math:`Y_I = \sum_T A_T^\top W_{I+T}`, where W_I are the 128 bits of d from 64 I on and
A_T multiplies 64 bits by chunk T of a, into 128, so that nothing wraps. Over chunks this is a product
of polynomials over GF(2^128) transposed: with E of `gf2`, Y = E^T diag(E A) E^-T W. Within an element, the
transpose of a multiplication is the same multiplication in the dual basis (bit i of a string is the
coefficient of x^127 in x^i z): the bits reversed, and seven of them corrected.

Nothing is rounded; no bound on size but 2^24 points. Knows no key length and no seed.
"""

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from satqkd.bits import Bits, Words, words_needed
from satqkd.kernels import gf2
from satqkd.kernels.gf2_tables import LARGEST_LOG, conversion, twiddles

_SMALLEST_LOG: Final = 3
_OVERHEAD: Final = 10_000  # of one transform, in points times levels


class Blocks(NamedTuple):
    """How a product is cut: transforms of 2^log points, rows and columns of a block in chunks of 64 bits."""

    log: int
    rows: int
    columns: int


@lru_cache(maxsize=256)
def choose_blocks(rows: int, columns: int) -> Blocks:
    """The cheapest cut for a matrix of `rows` by `columns` chunks, both at least 1.

    One side stays whole; a block fits when its rows + columns - 1 <= 2^log. 2^log is below
    2 (rows + columns - 1), or 8.
    """
    best, least = None, None
    for log in range(_SMALLEST_LOG, LARGEST_LOG + 1):
        size = 1 << log
        cuts = []
        if rows <= size:
            cuts.append(Blocks(log, rows, min(columns, size - rows + 1)))
        if columns <= size:
            cuts.append(Blocks(log, min(rows, size - columns + 1), columns))
        for cut in cuts:
            across, down = -(-columns // cut.columns), -(-rows // cut.rows)
            transforms = across + down * (across + 1)
            cost = transforms * (size * log + _OVERHEAD)
            if least is None or cost < least:
                best, least = cut, cost
        if size >= rows + columns - 1:
            break
    assert best is not None
    return best


def toeplitz_rows(
    diagonal: Words, vector: Bits, n_rows: int, *, arithmetic: gf2.Arithmetic = gf2.NATIVE
) -> Bits:
    """The first `n_rows` bits of T v, T_ij = d[i - j + v.size - 1].

    diagonal: d packed as in `satqkd.bits`, at least n_rows + v.size - 1 bits; those behind do not matter.
    vector: uint8 0/1 (K,), K >= 1. Returns uint8 (n_rows,), n_rows >= 1. Sizes are not checked.
    Memory beyond arguments and result: 48 2^log bytes, the diagonal and the packed vector once more.
    """
    rows, columns = words_needed(n_rows), words_needed(vector.size)
    blocks = choose_blocks(rows, columns)
    chunks = pack_reversed(vector)
    lines = np.zeros(rows + columns + 2, np.uint64)  # room for the windows' ends on both sides
    lines[1 : 1 + diagonal.size] = diagonal[: lines.size - 1]
    work = _Work(blocks.log, lines, 64 * columns - vector.size, arithmetic)
    result = np.empty(n_rows, np.uint8)
    for row in range(0, rows, blocks.rows):
        count = min(blocks.rows, rows - row)
        work.total[:] = 0
        for column in range(0, columns, blocks.columns):
            part = chunks[column : column + blocks.columns]
            if row == 0 or part.size < columns:
                work.load_vector(part)
            work.add_block(row + column, count + part.size - 1)
        bits = result[64 * row : 64 * (row + count)]
        bits[:] = work.rows(count)[: bits.size]
    return result


class _Work:
    """The three arrays of one transform size, and what is done with them."""

    def __init__(self, log: int, lines: Words, shift: int, arithmetic: gf2.Arithmetic) -> None:
        self.vector, self.windows, self.total = (np.zeros(2 << log, np.uint64) for _ in range(3))
        self._log, self._lines, self._shift, self._arithmetic = log, lines, shift, arithmetic
        self._conversion, self._twiddles = conversion(log), twiddles()

    def load_vector(self, chunks: Words) -> None:
        self.vector[:] = 0
        self.vector[: 2 * chunks.size : 2] = chunks
        self._evaluate(self.vector, dual=False)

    def add_block(self, first: int, count: int) -> None:
        """Windows from chunk `first` of the diagonal on, times the vector.

        What an earlier block left behind them meets no row that is wanted.
        """
        gf2.load_windows(self._lines, first + 1, self._shift, self.windows[: 2 * count])
        self._evaluate(self.windows, dual=True)
        gf2.add_products(self.total, self.vector, self.windows, self._arithmetic)

    def rows(self, count: int) -> Bits:
        gf2.evaluate_transposed(self.total, self._log, *self._twiddles, self._arithmetic)
        gf2.convert_transposed(self.total, self._log, *self._conversion)
        return np.unpackbits(self.total[1 : 2 * count : 2].astype(">u8").view(np.uint8))

    def _evaluate(self, data: Words, *, dual: bool) -> None:
        gf2.convert(data, self._log, *self._conversion, dual)
        gf2.evaluate(data, self._log, *self._twiddles, dual, self._arithmetic)


def pack_reversed(bits: Bits) -> Words:
    """Zeros are put behind to fill the last word, then the order of all bits is reversed, then packed."""
    padded = np.zeros(8 * words_needed(bits.size), np.uint8)
    packed = np.packbits(bits)
    padded[: packed.size] = packed
    return padded.view(">u8").astype(np.uint64)[::-1]


def warm_up(*, arithmetic: gf2.Arithmetic = gf2.NATIVE) -> None:
    """Compile, or load from the cache, all that a product of any size needs."""
    toeplitz_rows(np.zeros(2, np.uint64), np.ones(64, np.uint8), 64, arithmetic=arithmetic)
