r"""Privacy amplification: the modified Toeplitz hash, exact by blocked float64 FFT or carry-less kernel.

.. math::  y = (I_m \mid T')\,x, \qquad T'_{ij} = s_{i - j + n - m - 1}

over GF(2), with x of n bits, y of m bits and n - 1 seed bits s. Two-universal: strings that differ in
the last n - m bits collide with probability 2^-m exactly, others never. The seed is fresh, true random,
sent in full; nothing is drawn or expanded here.

Two methods, equal bit by bit, so that the ends of a link need not agree on one. The FFT wants scipy alone
and is the satellite's. Its integer counts are computed in floating point and rounded: the worst-case
error is below 1e-4 for n = 1e8 (2-norms times 12.7 log2 N 2^-53, recalled, of Brent-Percival-Zimmermann
type); measured 4e-9. Whatever the theory, a value farther than 0.05 from an integer stops everything and no
bit is given out. The carry-less kernel (`satqkd.kernels.gf2_toeplitz`) rounds nothing and is the faster, but
brings numba with it and is compiled before the pass.

Source: Hayashi and Tsurumaru, "More efficient privacy amplification", IEEE Trans. Inf. Theory 62,
2213 (2016), section on modified Toeplitz matrices; Krawczyk, CRYPTO 1994.
"""

from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from satqkd.bits import Bits, Words, from_bytes, words_needed
from satqkd.errors import LocalProtocolError

MAXIMUM_BITS: Final = 100_000_000
"""Longest input the rounding was examined for."""
Method = Literal["auto", "fft", "clmul", "portable"]
_METHODS: Final = get_args(Method)
_ROUNDING_GUARD: Final = 0.05
_SMALLEST_BLOCK: Final = 1 << 16
_LARGEST_BLOCK: Final = 1 << 18
_LONG: Final = 1 << 22
"""Longer inputs are cut in four, for speed: blocks' number squared is the work, their size the memory. The
largest string of a pass with both bases keyed is shorter, so that the satellite stays small."""
_kernel_is_ready = False


def seed_bits_needed(n_bits: int, secret_bits: int) -> int:
    """Seed bits for `n_bits` in and `secret_bits` out: n - 1 (0 for an empty input).

    Raises LocalProtocolError unless 0 <= secret_bits <= n_bits <= MAXIMUM_BITS.
    """
    if not 0 <= secret_bits <= n_bits <= MAXIMUM_BITS:
        raise LocalProtocolError(
            f"privacy amplification: expected 0 <= secret bits <= input bits <= {MAXIMUM_BITS}, got "
            f"{secret_bits} of {n_bits}; cut longer keys into blocks"
        )
    return max(n_bits - 1, 0)


def warm_up() -> None:
    """Make the kernel ready, compiled where no cache has it; from then on `auto` takes it in this process.

    For a process that has numba and the time before the pass: the station. The satellite does not call it.
    """
    global _kernel_is_ready
    from satqkd.kernels import gf2_toeplitz

    gf2_toeplitz.warm_up()
    _kernel_is_ready = True


def amplify(bits: Bits, secret_bits: int, seed: bytes, *, method: Method = "auto") -> Bits:
    """The `secret_bits` bits of the hash of `bits` that the seed selects, the same by every method.

    bits: uint8 (n,) of 0/1. seed: ceil((n - 1) / 8) bytes, bit order of `satqkd.bits`; unused high bits
    of the last byte are ignored. Returns uint8 (secret_bits,).
    method: `auto` is `clmul` once `warm_up` has run, else `fft`: the kernel was the faster at every size
    measured, so size does not enter. `clmul` uses the CPU's carry-less multiplication, or on a CPU without,
    integer multiplications; `portable` uses the latter everywhere.
    Memory besides the arguments, with m = secret_bits: FFT about 2 n + m + 56 N bytes, N about 2^19, for n
    above 2^22 n / 2, the length of one transform; kernel at most 2 n + 2 m + 65 536 bytes.
    Raises LocalProtocolError on wrong sizes, and, with no output, when rounding cannot be trusted.
    """
    needed = seed_bits_needed(bits.size, secret_bits)
    if len(seed) != (needed + 7) // 8:
        raise LocalProtocolError(
            f"privacy amplification: expected a seed of {(needed + 7) // 8} bytes, got {len(seed)}"
        )
    if bits.dtype != np.uint8 or bits.max(initial=0) > 1:
        raise LocalProtocolError("privacy amplification: expected a uint8 array of 0 and 1")
    if method not in _METHODS:
        raise LocalProtocolError(
            f"privacy amplification: expected a method of {', '.join(_METHODS)}, got {method!r}"
        )
    if secret_bits in (0, bits.size):
        return bits[:secret_bits].copy()
    if method == "auto":
        method = "clmul" if _kernel_is_ready else "fft"
    if method == "fft":
        rows = _rows_by_fft(from_bytes(seed, needed), bits[secret_bits:], secret_bits)
    else:
        rows = _rows_by_kernel(seed, bits[secret_bits:], secret_bits, method)
    rows ^= bits[:secret_bits]
    return rows


def _rows_by_kernel(seed: bytes, tail: Bits, n_rows: int, method: Method) -> Bits:
    from satqkd.kernels import gf2, gf2_toeplitz  # numba loads here and not before

    arithmetic = gf2.PORTABLE if method == "portable" else gf2.NATIVE
    diagonal: Words = np.zeros(words_needed(8 * len(seed)), "<u8")
    diagonal.view(np.uint8)[: len(seed)] = np.frombuffer(seed, np.uint8)
    return gf2_toeplitz.toeplitz_rows(diagonal, tail, n_rows, arithmetic=arithmetic)


def _rows_by_fft(diagonal: Bits, tail: Bits, n_rows: int) -> Bits:
    rows = np.empty(n_rows, np.uint8)
    n_bits = n_rows + tail.size
    largest = n_bits // 4 if n_bits > _LONG else _LARGEST_BLOCK
    for start in range(0, n_rows, largest):
        part = rows[start : start + largest]
        part[:] = _toeplitz_rows(diagonal[start:], tail, part.size)
    return rows


def _toeplitz_rows(diagonal: Bits, tail: Bits, n_rows: int) -> Bits:
    """The first `n_rows` bits of T v, T_ij = diagonal[i - j + v.size - 1]: cyclic convolutions of blocks
    of v, whose wrap-around falls outside the rows wanted, summed before one inverse transform."""
    block = min(tail.size, max(n_rows, _SMALLEST_BLOCK))
    size = fft.next_fast_len(n_rows + block - 1, real=True)
    spectrum = np.zeros(size // 2 + 1, dtype=np.complex128)
    for start in range(0, tail.size, block):
        part = tail[start : start + block]
        low = tail.size - start - part.size
        segment = diagonal[low : low + n_rows + part.size - 1]
        # A short last block is placed at the end, where the rows wanted begin at the same position.
        spectrum += _transform(segment, size, block - part.size) * _transform(part, size, 0)
    return _parity(fft.irfft(spectrum, size, overwrite_x=True)[block - 1 : block - 1 + n_rows])


def _transform(bits: Bits, size: int, shift: int) -> NDArray[np.complex128]:
    padded = np.zeros(size)
    padded[shift : shift + bits.size] = bits
    return np.asarray(fft.rfft(padded, overwrite_x=True))


def _parity(counts: NDArray[np.float64]) -> Bits:
    whole = np.rint(counts)
    distance = float(np.max(np.abs(counts - whole)))
    if not distance < _ROUNDING_GUARD:
        raise LocalProtocolError(
            f"privacy amplification: expected convolution values within {_ROUNDING_GUARD} of integers, got "
            f"a distance of {distance:.3g}; no key is made from this block"
        )
    return np.asarray(whole.astype(np.int64) & 1, dtype=np.uint8)
