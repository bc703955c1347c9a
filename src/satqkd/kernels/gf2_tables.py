r"""GF(2^128) in plain integers, and the tables of its additive Fourier transform.

An element is an int: bit i is the coefficient of x^i modulo x^128 + x^7 + x^2 + x + 1. The transform
evaluates a polynomial at the 2^k sums of a Cantor basis, :math:`v_0 = 1,\ v_{i+1}^2 + v_{i+1} = v_i`.
For such a basis the subspace polynomials are :math:`s_0 = x,\ s_{i+1} = s_i^2 + s_i`, they take
v_j to v_{j-i}, and s_i with i a power of two is :math:`x^{2^i} + x`: few terms, all coefficients 1.

Source: Cantor, J. Comb. Theory A 50, 285 (1989); basis of products of s_i: Lin, Chung, Han, FOCS 2014;
conversion by additions alone: Gao, Mateer, IEEE Trans. Inf. Theory 56, 6265 (2010), and Lin, Al-Naffouri,
Han, IEEE Trans. Inf. Theory 62, 5343 (2016).
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

MODULUS: Final = (1 << 128) | 0x87
LARGEST_LOG: Final = 24
"""Transforms have at most 2^24 points."""
TABLE_LOG: Final = 10
"""Twiddles of the first 2^10 blocks are stored, the others summed from the basis."""

LOCAL_LOGS: Final = (16, 8)
"""Digits of the conversions, largest first: 2^16 coefficients are 1 MiB, 2^8 are 4 KiB."""

Words = NDArray[np.uint64]


def times(a: int, b: int) -> int:
    """The product of two elements, bit by bit."""
    product = 0
    for i in range(127, -1, -1):
        product <<= 1
        if product >> 128:
            product ^= MODULUS
        if b >> i & 1:
            product ^= a
    return product


def cantor_basis(count: int) -> list[int]:
    """v_0 ... v_{count-1}, count at most 128: each solved from the last by elimination over GF(2)."""
    pivots: dict[int, tuple[int, int]] = {}
    for i in range(1, 128):
        root = 1 << i
        image = times(root, root) ^ root
        while image and image.bit_length() in pivots:
            other, its_root = pivots[image.bit_length()]
            image, root = image ^ other, root ^ its_root
        if image:
            pivots[image.bit_length()] = image, root
    basis = [1]
    while len(basis) < count:
        rest, root = basis[-1], 0
        while rest:
            image, its_root = pivots[rest.bit_length()]
            rest, root = rest ^ image, root ^ its_root
        basis.append(root)
    return basis


def as_words(elements: list[int]) -> Words:
    """uint64 (2 n,): low word, high word of each element."""
    return np.frombuffer(b"".join(e.to_bytes(16, "little") for e in elements), "<u8").astype(np.uint64)


@cache
def twiddles() -> tuple[Words, Words]:
    """The basis v_1, v_2, ... and the twiddles of blocks 0 ... 2^10 - 1, both as words.

    Block b of any level has the twiddle sum of v_{t+1} over the set bits t of b: s_i of its first point.
    """
    basis = cantor_basis(LARGEST_LOG)[1:]
    table = [0]
    for v in basis[:TABLE_LOG]:
        table += [v ^ t for t in table]
    return as_words(basis), as_words(table)


@cache
def conversion(log: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    r"""From coefficients of 1, x, x^2, ... to those of the products of s_i: steps (n, 2) and locality (2, 2).

    A step (h, s) divides every block of 2 h coefficients by :math:`x^h + x^s`, in place. The largest
    s_i of two terms splits the polynomial into digits; their places, then their insides are converted.
    A row (b, n) of the locality: from step n on all stay inside blocks of 2^b coefficients.
    """
    steps = _steps(log)
    local = [
        (b, max((n for n, (half, _) in enumerate(steps, 1) if half >> b), default=0)) for b in LOCAL_LOGS
    ]
    return np.array(steps, np.int64).reshape(-1, 2), np.array(local, np.int64)


def _steps(log: int) -> list[tuple[int, int]]:
    if log < 2:
        return []
    i = 1 << (log - 1).bit_length() - 1
    digits = [(1 << i + j, 1 << j) for j in reversed(range(log - i))]
    places = [(half << i, shift << i) for half, shift in _steps(log - i)]
    return digits + places + _steps(i)
