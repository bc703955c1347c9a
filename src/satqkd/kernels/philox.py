"""Philox4x32-10 compiled: one counter at a time inside other kernels, or a column of counters.

The numpy twin, the source and the warning (no cipher) stand in `satqkd.kernels.philox_plain`.
Callers validate and allocate; nothing is checked here.
"""

import numpy as np
from numpy.typing import NDArray

from satqkd.kernels.jit import njit
from satqkd.kernels.philox_plain import (
    MASK_32,
    MULTIPLIER_0,
    MULTIPLIER_1,
    ROUNDS,
    SHIFT_32,
    WEYL_0,
    WEYL_1,
)

U64 = np.uint64


@njit
def words(c0: U64, c1: U64, c2: U64, c3: U64, k0: U64, k1: U64) -> tuple[U64, U64, U64, U64]:
    """The four output words of one counter; every value is a 32-bit number held in a uint64."""
    for _ in range(ROUNDS):
        product_0 = MULTIPLIER_0 * c0
        product_1 = MULTIPLIER_1 * c2
        c0 = (product_1 >> SHIFT_32) ^ c1 ^ k0
        c1 = product_1 & MASK_32
        c2 = (product_0 >> SHIFT_32) ^ c3 ^ k1
        c3 = product_0 & MASK_32
        k0 = (k0 + WEYL_0) & MASK_32
        k1 = (k1 + WEYL_1) & MASK_32
    return c0, c1, c2, c3


@njit
def words_block(
    c0: NDArray[np.uint64],
    c1: NDArray[np.uint64],
    c2: U64,
    c3: U64,
    k0: U64,
    k1: U64,
    n: int,
    out: NDArray[np.uint64],
) -> None:
    """The words of n counters that share c2 and c3: out[w, i] for word w of counter i.

    A loop without branches over columns: the compiler works on several counters at once, which makes a
    counter some five times cheaper than `words`. c0, c1: shape (>= n,); out: shape (4, >= n).
    """
    for i in range(n):
        a, b, c, d, j, k = c0[i], c1[i], c2, c3, k0, k1
        for _ in range(ROUNDS):
            product_0 = MULTIPLIER_0 * a
            product_1 = MULTIPLIER_1 * c
            a = (product_1 >> SHIFT_32) ^ b ^ j
            b = product_1 & MASK_32
            c = (product_0 >> SHIFT_32) ^ d ^ k
            d = product_0 & MASK_32
            j = (j + WEYL_0) & MASK_32
            k = (k + WEYL_1) & MASK_32
        out[0, i] = a
        out[1, i] = b
        out[2, i] = c
        out[3, i] = d


@njit
def philox4x32(counters: NDArray[np.uint32], key: NDArray[np.uint32], out: NDArray[np.uint32]) -> None:
    """Fill `out` with the output words of `counters` (both uint32, shape (n, 4)); key uint32, shape (2,)."""
    k0, k1 = U64(key[0]), U64(key[1])
    for row in range(counters.shape[0]):
        w0, w1, w2, w3 = words(
            U64(counters[row, 0]), U64(counters[row, 1]), U64(counters[row, 2]), U64(counters[row, 3]), k0, k1
        )
        out[row, 0] = w0
        out[row, 1] = w1
        out[row, 2] = w2
        out[row, 3] = w3
