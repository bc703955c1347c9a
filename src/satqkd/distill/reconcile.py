"""Syndrome reconciliation of frames as functions: the satellite's syndrome, the station's decoder.

A frame is named by its length and its leak class; the code follows from both. The syndrome is numpy alone,
so that the satellite never loads numba; the decoder's kernel is loaded by the first `decode`. No message, no
clock; what a frame leaks is `syndrome_bits`, whatever the decoder finds.
"""

from typing import Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.bits import Bits
from satqkd.distill.codes import (
    LEAK_FRACTIONS,
    Code,
    choose_class,
    code,
    interleaved_order,
)
from satqkd.errors import DataFormatError

Scalar = TypeVar("Scalar", bound=np.generic)


CLASS_COUNT: Final = len(LEAK_FRACTIONS)
"""Leak classes are 0 <= class < CLASS_COUNT."""
CROSSOVER_RANGE: Final = (1e-4, 0.25)
"""Estimated error rates are clipped to this before they weigh bits."""

__all__ = [
    "CLASS_COUNT",
    "Decoded",
    "SyndromeDecoder",
    "choose_class",
    "decode",
    "interleaved_order",
    "syndrome",
    "syndrome_bits",
    "syndrome_of",
]


class Decoded(msgspec.Struct, frozen=True, eq=False):
    """What the decoder found in one frame."""

    bits: Bits
    """(n_bits,) the sender's bits if `converged`, else the decoder's last guess: never key."""
    converged: bool
    """The syndrome of `bits` is the one received: checked on the bits themselves at the end."""
    iterations: int
    """Layered iterations used."""

    def __repr__(self) -> str:
        return f"Decoded({self.bits.size} bits, converged={self.converged}, iterations={self.iterations})"


def syndrome_bits(frame_length: int, leak_class: int) -> int:
    """Bits of a frame's syndrome, all of which are sent; never more than the frame's own length."""
    return code(frame_length, leak_class).rows_bits


def syndrome(bits: Bits, leak_class: int) -> Bits:
    """Syndrome of a frame (uint8 0/1, shape (n,)): uint8 0/1 of shape (syndrome_bits(n, leak_class),)."""
    return syndrome_of(bits, code(bits.size, leak_class))


def decode(
    received_bits: Bits, syndrome_received: Bits, leak_class: int, crossover: ArrayLike
) -> Bits | None:
    """The sender's frame (uint8, shape (n,)), or None when the decoder does not reach its syndrome.

    received_bits: (n,) uint8. syndrome_received: (syndrome_bits(n, leak_class),) uint8. crossover: estimated
    error rate, one number or one for each bit, clipped to CROSSOVER_RANGE.
    """
    decoder = SyndromeDecoder(code(received_bits.size, leak_class))
    found = decoder.decode(
        syndrome_received, received_bits, crossover=np.clip(np.asarray(crossover), *CROSSOVER_RANGE)
    )
    return found.bits if found.converged else None


def syndrome_of(bits: Bits, matrix: Code) -> Bits:
    """Syndrome of a frame, uint8 0/1 of shape (matrix.rows_bits,); bits: uint8 0/1 of shape (matrix.n_bits,).

    Raises DataFormatError for another shape or dtype. Values are trusted to be 0 or 1.
    """
    _check("frame", bits, matrix.n_bits)
    twice = _in_columns(bits, matrix, repeat=2)
    sums = np.zeros((matrix.rows, matrix.lift), np.uint8)
    for row in range(matrix.rows):
        total = sums[row]
        for edge in range(matrix.row_start[row], matrix.row_start[row + 1]):
            start = matrix.shift[edge]
            np.bitwise_xor(total, twice[matrix.column[edge], start : start + matrix.lift], out=total)
    return sums.reshape(-1)


class SyndromeDecoder:
    """The station's decoder of one code; made once, used for every frame of that code."""

    def __init__(self, matrix: Code) -> None:
        self.matrix = matrix
        self._widest = int(np.diff(matrix.row_start).max())

    def decode(
        self,
        syndrome_bits: Bits,
        received_bits: Bits,
        *,
        crossover: ArrayLike,
        max_iterations: int = 150,
    ) -> Decoded:
        """Look for the string of the given syndrome that is likeliest given the received one.

        syndrome_bits: (rows_bits,) uint8. received_bits: (n_bits,) uint8. crossover: probability that a
        received bit is wrong, in (0, 0.5), one number or one for each bit.
        Raises DataFormatError for other shapes or values.
        """
        matrix = self.matrix
        _check("syndrome", syndrome_bits, matrix.rows_bits)
        _check("received frame", received_bits, matrix.n_bits)
        ratios = _channel(received_bits, np.asarray(crossover, np.float64))
        if matrix.is_identity:
            return Decoded(syndrome_bits.copy(), True, 0)
        bits, iterations = self._sweep(syndrome_bits, ratios, max_iterations)
        converged = bool(np.array_equal(syndrome_of(bits, matrix), syndrome_bits))
        return Decoded(bits, converged, iterations if iterations >= 0 else max_iterations)

    def _sweep(
        self, syndrome_bits: Bits, ratios: NDArray[np.float32], max_iterations: int
    ) -> tuple[Bits, int]:
        from satqkd.kernels import ldpc

        matrix = self.matrix
        posterior = np.empty((matrix.columns, matrix.lift + ldpc.LANES), np.float32)
        posterior[:, : matrix.lift] = _in_columns(ratios, matrix, fill=ldpc.KNOWN_LLR)
        posterior[:, matrix.lift :] = posterior[:, : ldpc.LANES]
        iterations = ldpc.sweeps(
            posterior.reshape(-1),
            np.zeros(matrix.column.size * matrix.lift, np.float32),
            matrix.row_start,
            matrix.column,
            matrix.shift,
            matrix.lift,
            syndrome_bits,
            (1 - 2 * syndrome_bits.astype(np.float32)),
            np.empty(self._widest * ldpc.LANES, np.float32),
            max_iterations,
        )
        flat = posterior[:, : matrix.lift].T.reshape(-1)[: matrix.n_bits]
        return (flat < 0).astype(np.uint8), int(iterations)


def _in_columns(
    values: NDArray[Scalar], matrix: Code, *, fill: float = 0, repeat: int = 1
) -> NDArray[Scalar]:
    """Bit i in column i mod columns, lane i // columns, so that known bits fall evenly on all columns."""
    padded = np.full(matrix.columns * matrix.lift, fill, values.dtype)
    padded[: values.size] = values
    lanes = padded.reshape(matrix.lift, matrix.columns)
    return np.ascontiguousarray(np.concatenate([lanes] * repeat).T)


def _channel(received_bits: Bits, crossover: NDArray[np.float64]) -> NDArray[np.float32]:
    """Log-likelihood ratios, positive for 0, kept within what the kernel's checks can overrule."""
    from satqkd.kernels.ldpc import LLR_LIMIT

    if crossover.shape not in ((), received_bits.shape) or not ((crossover > 0) & (crossover < 0.5)).all():
        raise DataFormatError(
            f"crossover: expected one number or shape {received_bits.shape}, each in (0, 0.5); "
            f"got shape {crossover.shape}; clip estimates before decoding"
        )
    ratios = np.minimum(np.log((1 - crossover) / crossover), LLR_LIMIT)
    return np.where(received_bits, -ratios, ratios).astype(np.float32)


def _check(what: str, bits: Bits, size: int) -> None:
    if bits.shape != (size,) or bits.dtype != np.uint8:
        raise DataFormatError(
            f"{what}: expected uint8 of shape ({size},), got {bits.dtype} of shape {bits.shape}"
        )
