"""Public choices of Cascade: variants, block sizes, permutations and check subsets, the same at both ends.

Everything here follows from frame lengths, an agreed error rate, a variant's name and a label; no key bit
is seen and nothing is drawn. Only comparisons, products and integer arithmetic decide, so that two machines
cannot disagree. Permutations and subsets are SHAKE-256 expansions with vectors in `docs/protocol.md`.

Source: Brassard and Salvail, EUROCRYPT '93, LNCS 765, 410 (`original`); Martinez-Mateo et al.,
arXiv:1407.3257 (a large second and third pass, blocks of a power of two, random halves at the end);
the order in which open searches are served is our own measurement (`benchmarks/cascade.py`).
"""

from functools import lru_cache
from math import ceil
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.errors import LocalProtocolError, nearest
from satqkd.randomness import expand

LABEL: Final = "satqkd/cascade/1"
"""Label of the permutations where none is given; one label for all blocks lets them be kept."""
CHECKS: Final = 16
"""Random-subset parities per frame of the variants that check."""
SHORTEST_FRAME: Final = 64
"""Shorter frames are compared bit by bit: a search would ask for as much."""
QBER_RANGE: Final = (1e-4, 0.25)
"""Error rates below count as the first; above the second, frames are compared bit by bit."""
_ROOT_TWO: Final = 1.4142135623730951


class Variant(msgspec.Struct, frozen=True):
    """One parameterisation. Block sizes are of passes 1, 2, ...; pass 1 keeps the order of the frame."""

    name: str
    errors: tuple[float, ...]
    """Errors that a block of each pass shall hold, at the agreed error rate; one for each pass."""
    power_of_two: bool
    """Whether sizes are the nearest power of two (by ratio), else the first rounded up and then doubled."""
    checks: int
    """Random-subset parities per frame, at most CHECKS; what the passes leave is found through them."""
    reach: int | None
    """Serve open segments at most this many times as long as the frame's shortest; None: all of them."""
    few: int
    """Up to so many open segments of a frame all are served, whatever `reach`."""
    as_published: bool
    """Ask what the program behind the published means asks, implied and repeated parities included."""

    def block_sizes(self, frame_length: int, qber: float) -> tuple[int, ...]:
        """Block size of each pass for a frame; 0 where the frame skips the pass, (1, 0, ...) bit by bit."""
        if frame_length < SHORTEST_FRAME or qber > QBER_RANGE[1]:
            return (1,) + (0,) * (len(self.errors) - 1)
        rate = max(qber, QBER_RANGE[0])
        if self.power_of_two:
            sizes = [_nearest_power_of_two(number, rate) for number in self.errors]
        else:
            first = ceil(self.errors[0] / rate)
            sizes = [first << doublings for doublings in range(len(self.errors))]
        largest = frame_length if self.as_published else (frame_length + 1) // 2
        return tuple(min(size, largest) for size in sizes)


def _nearest_power_of_two(errors: float, rate: float) -> int:
    size = 1
    while size * rate * _ROOT_TWO < errors:
        size *= 2
    return size


VARIANTS: Final = {
    variant.name: variant
    for variant in (
        Variant("least-leak", (1.0, 5.6, 90.0), True, CHECKS, 8, 4, False),
        Variant("fewest-rounds", (1.0, 2.8, 64.0), True, CHECKS, None, 0, False),
        Variant("original", (0.73, 1.46, 2.92, 5.84), False, 0, None, 0, True),
    )
}
"""The variants by name."""


def variant_of(name: str) -> Variant:
    """The variant of this name; raises LocalProtocolError for an unknown one."""
    if name not in VARIANTS:
        raise LocalProtocolError(
            f"Cascade: expected a variant of {', '.join(VARIANTS)}, got {name!r}; {nearest(name, VARIANTS)}"
        )
    return VARIANTS[name]


@lru_cache(maxsize=8)
def permutation(
    frame_length: int, pass_number: int, *, label: str = LABEL
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Bits of a frame in the order of a pass (from 1), and the rank of each bit; int32 (frame_length,) both.

    Pass 1 is the order of the frame. In another, bit i is ranked by the i-th little-endian 32-bit word of
    SHAKE-256 of `LABEL/LENGTH/pass/NUMBER`, ties by i. The last eight are kept, and are read-only.
    """
    order = np.arange(frame_length, dtype=np.int32)
    ranks = order
    if pass_number > 1:
        name = f"{label}/{frame_length}/pass/{pass_number}"
        words = np.frombuffer(expand(name, 4 * frame_length), "<u4").astype(np.uint64)
        ranked = np.sort((words << np.uint64(32)) | order.astype(np.uint64))
        order, ranks = (ranked & np.uint64(0xFFFFFFFF)).astype(np.int32), np.empty_like(order)
        ranks[order] = np.arange(frame_length, dtype=np.int32)
    order.setflags(write=False)
    ranks.setflags(write=False)
    return order, ranks


@lru_cache(maxsize=4)
def memberships(frame_length: int, *, label: str = LABEL) -> NDArray[np.uint16]:
    """Which checks a bit is in, uint16 (frame_length,): bit c of word i says whether check c holds bit i.

    Words i of SHAKE-256 of `LABEL/LENGTH/checks`, little-endian. The last four are kept.
    """
    words = np.frombuffer(expand(f"{label}/{frame_length}/checks", 2 * frame_length), "<u2")
    return words.astype(np.uint16)
