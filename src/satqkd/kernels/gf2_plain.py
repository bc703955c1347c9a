"""The twin of `gf2_toeplitz` by the definition: one shifted copy of the diagonal for each one of the vector.

Slow and plain; the oracle of the kernel's tests. Knows arrays alone.
"""

import numpy as np

from satqkd.bits import Bits, Words, unpack


def toeplitz_rows_plain(diagonal: Words, vector: Bits, n_rows: int) -> Bits:
    """The first `n_rows` bits of T v, T_ij = d[i - j + v.size - 1]; arguments as of `toeplitz_rows`."""
    d = unpack(diagonal, n_rows + vector.size - 1)
    rows = np.zeros(n_rows, np.uint8)
    for j in np.flatnonzero(vector):
        first = vector.size - 1 - int(j)
        rows ^= d[first : first + n_rows]
    return rows
