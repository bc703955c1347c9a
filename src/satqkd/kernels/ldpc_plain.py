"""The twin of `ldpc` in numpy and float64: the same schedule and check rule, no vector, no polynomial.

Slow and plain; the oracle of the kernel's tests. Knows arrays alone.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Bits = NDArray[np.uint8]

_SMALLEST: Final = 2e-6  # of 1 - tanh, as in the kernel


def sweeps_plain(
    posterior: NDArray[np.float64],
    row_start: Ints,
    column: Ints,
    shift: Ints,
    target: Bits,
    max_iterations: int,
) -> int:
    """Sweep until the hard decision has the target syndrome; -1 when max_iterations did not suffice.

    posterior: (columns, lift) in place, without mirror; target: (rows, lift). The rest as in `ldpc.sweeps`.
    """
    lift = posterior.shape[1]
    lanes = np.arange(lift)
    messages = np.zeros((column.size, lift))
    rows = [slice(*row_start[r : r + 2]) for r in range(row_start.size - 1)]
    where = [(column[row, None], (lanes + shift[row, None]) % lift) for row in rows]
    for iteration in range(max_iterations + 1):
        if all(((posterior[w] < 0).sum(axis=0) % 2 == s).all() for w, s in zip(where, target, strict=True)):
            return iteration
        if iteration == max_iterations:
            break
        for row, at, syndrome in zip(rows, where, target, strict=True):
            v = posterior[at] - messages[row]
            messages[row] = _check_plain(v, 1.0 - 2.0 * syndrome)
            posterior[at] = v + messages[row]
    return -1


def _check_plain(v: NDArray[np.float64], sign: NDArray[np.float64]) -> NDArray[np.float64]:
    """Outgoing messages (weight, lift) of one block row for incoming v and the signs of its syndrome."""
    least = np.sort(np.abs(v), axis=0)
    tanh = np.tanh(np.minimum(least, 16.0) / 2)
    without_first = tanh[1:].prod(axis=0)
    without_second = tanh[0] * tanh[2:].prod(axis=0)
    exact = np.where(np.abs(v) <= least[0], without_first, without_second)
    left_in = np.where(np.abs(v) <= least[1], exact, tanh.prod(axis=0))
    magnitude = np.log((1 + left_in) / np.maximum(1 - left_in, _SMALLEST))
    own = np.where(np.signbit(v), -1.0, 1.0)
    return np.asarray(magnitude * own * own.prod(axis=0) * sign)
