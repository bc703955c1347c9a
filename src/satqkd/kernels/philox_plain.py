"""Philox4x32-10 in numpy: the counter-based generator behind the twin's dice.

A counter of four 32-bit words and a key of two give four 32-bit words, by ten rounds of two
multiplications and four exclusive-ors; no state, so any position is reached at once. This is the
form the satellite process uses (no numba here) and the oracle of `satqkd.kernels.philox`.
Statistical quality only: it is no cipher, and nothing secret may rest on it.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11 (2011),
section 4.3 and table 2; test vectors of the Random123 library (kat_vectors, philox4x32 10).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

ROUNDS: Final = 10
MULTIPLIER_0: Final = np.uint64(0xD2511F53)
MULTIPLIER_1: Final = np.uint64(0xCD9E8D57)
WEYL_0: Final = np.uint64(0x9E3779B9)
WEYL_1: Final = np.uint64(0xBB67AE85)
MASK_32: Final = np.uint64(0xFFFFFFFF)
SHIFT_32: Final = np.uint64(32)

Column = NDArray[np.uint64]


def philox4x32(counters: NDArray[np.uint32], key: tuple[int, int]) -> NDArray[np.uint32]:
    """The four output words of each counter.

    counters: uint32, shape (n, 4), word 0 first. key: two 32-bit words. Returns uint32, shape (n, 4).
    """
    c0, c1, c2, c3 = (counters[:, word].astype(np.uint64) for word in range(4))
    words = columns(c0, c1, c2, c3, key)
    return np.stack([word.astype(np.uint32) for word in words], axis=1)


def columns(
    c0: Column, c1: Column, c2: Column, c3: Column, key: tuple[int, int]
) -> tuple[Column, Column, Column, Column]:
    """The same on four columns of 32-bit values held in uint64 (any shapes that broadcast)."""
    k0, k1 = key
    for _ in range(ROUNDS):
        product_0, product_1 = MULTIPLIER_0 * c0, MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (
            (product_1 >> SHIFT_32) ^ c1 ^ np.uint64(k0),
            product_1 & MASK_32,
            (product_0 >> SHIFT_32) ^ c3 ^ np.uint64(k1),
            product_0 & MASK_32,
        )
        k0, k1 = (k0 + int(WEYL_0)) & 0xFFFFFFFF, (k1 + int(WEYL_1)) & 0xFFFFFFFF
    return c0, c1, c2, c3
