"""The twin of `ldpc` in numpy: the same integers, written as the formulas say, no vector type.

Slow and plain; the oracle of the kernel's tests, bit for bit. `phi` and `phi_back` are tested against the
exact function. Knows arrays alone.
"""

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]
Ints = NDArray[np.int32]

_MOST = 65535  # of an unsigned sum


def phi(magnitude: Whole) -> Whole:
    """-ln tanh(a / 2) of a in units of 1/128 octave (0 to 32768), in units of 2^-14."""
    octave, part = np.minimum(magnitude >> 7, 16), magnitude & 127
    lines = (np.maximum(150 - magnitude, 0) << 6) + (np.maximum(38 - magnitude, 0) << 9)
    return np.asarray(((32768 - (part << 7)) >> octave) + lines)


def phi_back(total: Whole) -> Whole:
    """-ln tanh(s / 2) of s in units of 2^-14 (0 to 65535), in units of 1/128 octave."""
    total = np.maximum(total, 1)
    zeros = _zeros(total)
    part = ((total << zeros) >> 8) & 127
    log = part + (((part * (128 - part) * 11) & _MOST) >> 12)
    near = (zeros << 7) - log + (np.maximum(total - 8192, 0) >> 9)
    over = np.maximum(total - 32768, 0)
    far = np.maximum(np.maximum(50 - (over >> 9), 0), 26 - (over >> 11))
    return np.where(total >= 32768, far, near)


def taken_out(term: Whole, total: Whole) -> Whole:
    """What phi_back(total) gains, to first order, when a term of the sum is taken out."""
    total = np.maximum(total, 1)
    zeros = _zeros(total)
    part = ((total << zeros) >> 8) & 127
    inverse = 256 - part - (((part * (128 - part) * 11) & _MOST) >> 11)
    scaled = inverse + ((inverse * 113) >> 8)
    slope = (scaled * (_MOST - total)) >> 16
    return np.asarray((((term << zeros) & _MOST) * slope) >> 16)


def sweeps_plain(
    posterior: Whole, messages: Whole, row_start: Ints, column: Ints, shift: Ints, target: Whole, count: int
) -> list[int]:
    """`count` layered sweeps in place; returns how many checks failed before each.

    posterior: (columns, lift), without mirror; messages: (circulants, lift); target: (rows, lift) of 0 and 1.
    """
    lanes = np.arange(posterior.shape[1])
    failed = []
    for _ in range(count):
        wrong = 0
        for row, syndrome in enumerate(target):
            edges = slice(*row_start[row : row + 2])
            at = (column[edges, None], (lanes + shift[edges, None]) % lanes.size)
            wrong += int((((posterior[at] < 0).sum(axis=0) + syndrome) % 2).sum())
            incoming = _clipped(posterior[at] - messages[edges])
            messages[edges] = _check(incoming, syndrome)
            posterior[at] = _clipped(incoming + messages[edges])
        failed.append(wrong)
    return failed


def _check(incoming: Whole, syndrome: Whole) -> Whole:
    """Messages of one block row: the magnitude of all others, exactly for the two least reliable, to first
    order for the rest."""
    terms = phi(np.abs(incoming))
    descending = -np.sort(-terms, axis=0)
    first, second = descending[0], descending[1]
    rest = np.minimum(descending[2:].sum(axis=0), _MOST)
    without = [np.minimum(rest + one, _MOST) for one in (second, first)]
    total = np.minimum(without[0] + first, _MOST)
    exact = np.where(terms >= first, phi_back(without[0]), phi_back(without[1]))
    size = np.where(terms >= second, exact, phi_back(total) + taken_out(terms, total))
    odd = ((incoming < 0).sum(axis=0) + syndrome) % 2
    return np.where((incoming < 0) ^ (odd == 1), -size, size)


def _zeros(total: Whole) -> Whole:
    """Zero bits above the highest one of a 16-bit number, which is not 0."""
    return np.asarray(16 - np.frexp(total.astype(np.float64))[1].astype(np.int64))


def _clipped(values: Whole) -> Whole:
    return np.clip(values, -32768, 32767)
