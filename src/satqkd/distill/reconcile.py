"""Syndrome reconciliation of frames: the satellite's syndrome, the station's decoder.

A frame is named by its length and its leak class; the code follows from both. What the satellite says is
numpy alone, so that it never loads numba; the decoder's kernel is loaded by the first attempt. A frame
that does not decode takes further rows (block rows divided in two, `codes`), in a schedule fixed by the
code alone, and is tried afresh: messages left by a failed attempt would hold it where it is. No message, no
clock; what a frame leaks is `syndrome_bits` and the further rows said, whatever the decoder finds.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import isqrt
from typing import Final, TypeVar

import msgspec
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from satqkd.bits import Bits
from satqkd.distill.codes import (
    LEAK_FRACTIONS,
    Code,
    code,
)
from satqkd.errors import DataFormatError, LocalProtocolError

Scalar = TypeVar("Scalar", bound=np.generic)

CLASS_COUNT: Final = len(LEAK_FRACTIONS)
"""Leak classes are 0 <= class < CLASS_COUNT."""
CROSSOVER_RANGE: Final = (1e-4, 0.25)
"""Estimated error rates are clipped to this before they weigh bits."""
FURTHER: Final = (1, 1, 3, 9)
"""Units of further rows that a frame takes in turn while it does not decode; then all rows that are left."""
MOST_ROUNDS: Final = len(FURTHER) + 1
"""Further rounds at most; a frame that does not decode then is revealed."""
QUICK: Final = (100, 15)
"""Iterations and patience of an attempt that may still get further rows."""
THOROUGH: Final = (200, 40)
"""The same for the last one."""


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


def further_rows(matrix: Code, rounds: int = MOST_ROUNDS) -> tuple[tuple[int, ...], ...]:
    """Which block rows are divided in each of at most `rounds` further rounds: the last units of FURTHER,
    then all rows that are left, a last class of twice the leak. A unit is about two thirds of the spread of
    the number of errors in a frame, at least one row."""
    if not 0 <= rounds <= MOST_ROUNDS:
        raise LocalProtocolError(f"further rows: expected 0 to {MOST_ROUNDS} rounds, got {rounds}")
    unit = max(1, isqrt(2 * matrix.rows // matrix.lift))
    order = matrix.division_order.tolist()
    units = FURTHER[len(FURTHER) + 1 - rounds :] if rounds else ()
    ends = [unit * sum(units[:turn]) for turn in range(len(units) + 1)] + [len(order)] * bool(rounds)
    parts = (tuple(order[low:high]) for low, high in pairwise(ends))
    return tuple(part for part in parts if part)


def further_syndrome(bits: Bits, matrix: Code, rows: Sequence[int]) -> Bits:
    """What the satellite says of a frame when these block rows are divided: their first halves, one after the
    other; uint8 0/1, shape (len(rows) * lift,). Raises DataFormatError for a frame of another shape."""
    _check("frame", bits, matrix.n_bits)
    rotations = _rotations(bits, matrix)
    return np.concatenate([_parities(rotations, matrix, matrix.first_half(row)) for row in rows])


def syndrome_of(bits: Bits, matrix: Code) -> Bits:
    """Syndrome of a frame, uint8 0/1 of shape (matrix.rows_bits,); bits: uint8 0/1 of shape (matrix.n_bits,).

    Raises DataFormatError for another shape or dtype. Values are trusted to be 0 or 1.
    """
    _check("frame", bits, matrix.n_bits)
    rotations, edges = _rotations(bits, matrix), np.arange(matrix.column.size)
    spans = pairwise(matrix.row_start.tolist())
    return np.concatenate([_parities(rotations, matrix, edges[low:high]) for low, high in spans])


def decode(
    received_bits: Bits, syndrome_received: Bits, leak_class: int, crossover: ArrayLike
) -> Bits | None:
    """The sender's frame (uint8, shape (n,)), or None when the decoder does not reach its syndrome.

    The whole of one-shot reconciliation; arguments as of `Attempt`.
    """
    attempt = Attempt(code(received_bits.size, leak_class), syndrome_received, received_bits, crossover)
    found = attempt.run(*THOROUGH)
    return found.bits if found.converged else None


class Attempt:
    """The station's work on one frame: decode, take further rows, decode again.

    syndrome_received: (matrix.rows_bits,) uint8. received_bits: (matrix.n_bits,) uint8. crossover: estimated
    probability that a received bit is wrong, one number or one for each bit, clipped to CROSSOVER_RANGE.
    Raises DataFormatError for other shapes, dtypes, or numbers that are no probabilities.
    """

    def __init__(
        self, matrix: Code, syndrome_received: Bits, received_bits: Bits, crossover: ArrayLike
    ) -> None:
        _check("syndrome", syndrome_received, matrix.rows_bits)
        _check("received frame", received_bits, matrix.n_bits)
        self._whole = matrix
        self._target = syndrome_received
        self._ratios = _channel(received_bits, np.asarray(crossover, np.float64))
        self._divided: dict[int, Bits] = {}

    def divide(self, rows: Sequence[int], further: Bits) -> None:
        """Take what `further_syndrome` gives for these block rows, none of them divided before.

        Raises DataFormatError for another shape, LocalProtocolError for a row divided already.
        """
        _check("further rows", further, len(rows) * self._whole.lift)
        if not self._divided.keys().isdisjoint(rows):
            raise LocalProtocolError(f"further rows: expected rows not divided before, got {tuple(rows)}")
        self._divided |= dict(zip(rows, further.reshape(len(rows), -1), strict=True))

    def run(self, max_iterations: int, patience: int) -> Decoded:
        """Sweep until the syndrome is reached, `max_iterations` are spent, or the number of checks that fail
        has not fallen for `patience` of them."""
        if self._whole.is_identity:
            return Decoded(self._target.copy(), True, 0)
        matrix, target = self._whole.divided(tuple(self._divided)), self._syndrome()
        bits, iterations = _sweep(matrix, target, self._ratios, max_iterations, patience)
        return Decoded(bits, np.array_equal(syndrome_of(bits, matrix), target), iterations)

    def _syndrome(self) -> Bits:
        """Of the divided code: a first half as told, a second half as what is left of its row."""
        parts: list[Bits] = []
        for row, told in enumerate(self._target.reshape(self._whole.rows, -1)):
            half = self._divided.get(row)
            parts.extend([told] if half is None else [half, told ^ half])
        return np.concatenate(parts)


def _sweep(
    matrix: Code, target: Bits, ratios: NDArray[np.int16], max_iterations: int, patience: int
) -> tuple[Bits, int]:
    """The kernel's hard decision, uint8 (n_bits,), and the iterations used."""
    from satqkd.kernels import ldpc

    posterior = np.empty((matrix.columns, matrix.lift + ldpc.LANES), np.int16)
    posterior[:, : matrix.lift] = _in_columns(ratios, matrix, fill=ldpc.KNOWN_LLR)
    posterior[:, matrix.lift :] = posterior[:, : ldpc.LANES]
    widest = int(np.diff(matrix.row_start).max())
    told = ldpc.sweeps(
        posterior.reshape(-1),
        np.zeros(matrix.column.size * matrix.lift, np.int16),
        matrix.row_start,
        matrix.column,
        matrix.shift,
        matrix.lift,
        -target.astype(np.int16),
        np.empty(2 * widest * ldpc.LANES, np.int16),
        max_iterations,
        patience,
    )
    flat = posterior[:, : matrix.lift].T.reshape(-1)[: matrix.n_bits]
    return (flat < 0).astype(np.uint8), int(told if told >= 0 else -1 - told)


def _rotations(bits: Bits, matrix: Code) -> Bits:
    """The frame's columns in every rotation, a view: (columns, lift + 1, lift)."""
    return sliding_window_view(_in_columns(bits, matrix, repeat=2), matrix.lift, axis=1)


def _parities(rotations: Bits, matrix: Code, circulants: NDArray[np.int64]) -> Bits:
    """Sum of these circulants' bits, (lift,)."""
    picked = rotations[matrix.column[circulants], matrix.shift[circulants]]
    return np.asarray(np.bitwise_xor.reduce(picked, axis=0))


def _in_columns(
    values: NDArray[Scalar], matrix: Code, *, fill: float = 0, repeat: int = 1
) -> NDArray[Scalar]:
    """Bit i in column i mod columns, lane i // columns, so that known bits fall evenly on all columns."""
    padded = np.full(matrix.columns * matrix.lift, fill, values.dtype)
    padded[: values.size] = values
    lanes = padded.reshape(matrix.lift, matrix.columns)
    return np.ascontiguousarray(np.concatenate([lanes] * repeat).T)


def _channel(received_bits: Bits, crossover: NDArray[np.float64]) -> NDArray[np.int16]:
    """Log-likelihood ratios in the kernel's units, positive for 0, within what its checks can overrule."""
    from satqkd.kernels.ldpc import LLR_LIMIT, LLR_SCALE

    if crossover.shape not in ((), received_bits.shape) or not ((crossover >= 0) & (crossover <= 1)).all():
        raise DataFormatError(
            f"crossover: expected one probability or shape {received_bits.shape}; got shape {crossover.shape}"
        )
    rate = np.clip(crossover, *CROSSOVER_RANGE)
    ratios = np.minimum(np.rint(np.log((1 - rate) / rate) * LLR_SCALE), LLR_LIMIT).astype(np.int16)
    return np.asarray(ratios * (1 - 2 * received_bits.astype(np.int16)))


def _check(what: str, bits: Bits, size: int) -> None:
    if bits.shape != (size,) or bits.dtype != np.uint8:
        raise DataFormatError(
            f"{what}: expected uint8 of shape ({size},), got {bits.dtype} of shape {bits.shape}"
        )
