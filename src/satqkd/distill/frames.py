"""How a string is cut into frames: sizes, and which bit goes where. The same at both ends, from the length
alone."""

from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from satqkd.bits import Bits
from satqkd.distill.codes import LONGEST_CODE
from satqkd.errors import LocalProtocolError

Item = TypeVar("Item", bound=np.generic)


def frame_sizes(n_bits: int, *, frame_bits: int) -> list[int]:
    """How a string is cut: into as few frames of at most `frame_bits` as it takes, all of one size but the
    last, which is hardly shorter: short codes leak more and have low-weight words.

    n_bits >= 0.  Returns the sizes in order; their sum is n_bits, an empty string has no frame.
    """
    if n_bits < 0 or not 0 < frame_bits <= LONGEST_CODE:
        raise LocalProtocolError(
            f"frame_sizes: expected n_bits >= 0 and 0 < frame_bits <= {LONGEST_CODE}, "
            f"got {n_bits} and {frame_bits}"
        )
    count = -(-n_bits // frame_bits)
    size = -(-n_bits // max(1, count))
    full, rest = divmod(n_bits, max(1, size))
    return [size] * full + ([rest] if rest else [])


def interleaved_order(sizes: list[int]) -> NDArray[np.int64]:
    """Which bit of a string goes where, so that every frame takes its bits evenly from the whole string.

    The error rate drifts along a pass; one class serves all frames of a string, so all should see its mean.
    Returns a permutation of (sum(sizes),): `bits[order]`, cut by sizes in turn, gives the frames.
    """
    return np.concatenate([np.empty(0, np.int64), *(_places(sizes, index) for index in range(len(sizes)))])


def interleaved(values: NDArray[Item], sizes: list[int]) -> NDArray[Item]:
    """`values[interleaved_order(sizes)]`, frame by frame: an order takes eight bytes a bit."""
    frames = np.empty(values.shape, values.dtype)
    for index, frame in enumerate(split(frames, sizes)):
        frame[:] = values[_places(sizes, index)]
    return frames


def _places(sizes: list[int], index: int) -> NDArray[np.int64]:
    """Where in the string the bits of one frame are, int64 (size,), increasing.

    Bit j of a frame of n bits has the moment (2 j + 1) / 2 n; the string is in order of moments, of equal
    ones that of the earlier frame comes first. Moments are compared as fractions: (2 i + 1) n < (2 j + 1) m.
    """
    n = sizes[index]
    odd = 2 * np.arange(n) + 1
    places = np.zeros(n, np.int64)
    for m in set(sizes):
        earlier, later = sizes[:index].count(m), sizes[index + 1 :].count(m)
        if m == n:
            places += (earlier + 1 + later) * (odd >> 1) + earlier
            continue
        ahead = odd * m - n
        if earlier:
            places += earlier * (ahead // (2 * n) + 1)
        if later:
            places -= later * (-ahead // (2 * n))
    return places


def split(values: NDArray[Item], lengths: list[int]) -> list[NDArray[Item]]:
    """Consecutive parts of these lengths; none for no lengths."""
    edges = np.cumsum([0, *lengths])
    return [values[start:end] for start, end in pairwise(edges.tolist())]


def joined(parts: list[Bits]) -> Bits:
    """Bit strings one after the other; an empty string for none."""
    return np.concatenate([np.empty(0, dtype=np.uint8), *parts])
