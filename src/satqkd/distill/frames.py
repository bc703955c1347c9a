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
    moments = np.empty(sum(sizes))
    for size, end in zip(sizes, np.cumsum(sizes), strict=True):
        moments[end - size : end] = (np.arange(size) + 0.5) / size
    ranks = np.argsort(moments, kind="stable")
    del moments
    order = np.empty(ranks.size, np.int64)
    order[ranks] = np.arange(ranks.size)
    return order


def split(values: NDArray[Item], lengths: list[int]) -> list[NDArray[Item]]:
    """Consecutive parts of these lengths; none for no lengths."""
    edges = np.cumsum([0, *lengths])
    return [values[start:end] for start, end in pairwise(edges.tolist())]


def joined(parts: list[Bits]) -> Bits:
    """Bit strings one after the other; an empty string for none."""
    return np.concatenate([np.empty(0, dtype=np.uint8), *parts])
