"""Which code class a string takes, chosen before any of its bits is told.

The leak that frames need is the entropy of their errors times the family's distance from it, spread by
chance: by how many errors a frame happens to have, and by how few revealed rounds told the error rate.
Where further rounds may follow, it begins in the middle of that spread; where none may, so far above that
fewer than one frame in a hundred fails. Knows rates, no bits.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.distill.codes import LEAK_FRACTIONS, SHORTEST_CODE
from satqkd.errors import LocalProtocolError

SMALLEST_QBER: Final = 1e-3
"""Below it a class is chosen as at it."""
BEGIN: Final = 1.04
"""Leak over entropy just below which the longest frames of the family do not decode: where a string with
further rounds begins (`benchmarks/reconciliation.py`)."""
GAP: Final = 1.075
"""Leak over entropy at which all but few of the longest frames decode: what one shot starts from."""
ONE_SHOT_SIGMAS: Final = 4.5
"""One shot's margin for chance, in standard deviations: about one frame in a hundred fails at 8192 bits,
far fewer of longer ones."""
SIGMAS: Final = (2.0, 1.5, 0.5, 0.0, 0.0)
"""Where a string begins, in standard deviations above BEGIN, by how many further rounds may follow, from
1."""
LAST_CLASS: Final = 2.0
"""Leak of a frame with all its further rows, in that of its syndrome: must hold one shot's margin."""


def choose_class(
    rates: ArrayLike, *, frame_length: int, sample_bits: int | None = None, further_rounds: int = 0
) -> int | None:
    """The leak class for frames of this length; None above the largest class.

    rates: estimated error rate, one number or one for each bit (any shape, at least one), in [0, 0.5].
    sample_bits: how many bits the estimate rests on; unknown counts as many as the frame has. The leak
    asked for in one shot is

        GAP h2(Q) + 4.5 sqrt(v / frame_length + v / sample_bits),   v = Q (1 - Q) log2((1 - Q) / Q)^2,

    h2 and v averaged over the bits: the floor of any one-way code (facts: reconciliation, 2c) with this
    family's distance from it. With further rounds it is BEGIN and SIGMAS, but at least so much that the last
    class of a frame, with all its rows, holds the leak of one shot. The larger of the shortest code and the
    frame counts as its length. Raises LocalProtocolError for rates out of range.
    """
    if not 0 <= further_rounds <= len(SIGMAS):
        raise LocalProtocolError(f"choose_class: expected 0 to {len(SIGMAS)} rounds, got {further_rounds}")
    given = np.atleast_1d(np.asarray(rates, np.float64))
    if given.size == 0 or not ((given >= 0) & (given <= 0.5)).all():
        raise LocalProtocolError(f"choose_class: expected rates in [0, 0.5], at least one, got {rates!r}")
    values, times = np.unique(np.maximum(given, SMALLEST_QBER), return_counts=True)
    weights = times / given.size
    slope = np.log2((1 - values) / values)
    entropy = float(weights @ _entropy(values))
    spread = float(weights @ (values * (1 - values) * slope**2))
    length = max(frame_length, SHORTEST_CODE)
    variance = spread / length + spread / max(1, length if sample_bits is None else sample_bits)
    sigma = float(np.sqrt(variance))
    needed = GAP * entropy + ONE_SHOT_SIGMAS * sigma
    if further_rounds:
        needed = max(BEGIN * entropy + SIGMAS[further_rounds - 1] * sigma, needed / LAST_CLASS)
    return next((index for index, leak in enumerate(LEAK_FRACTIONS) if leak >= needed), None)


def _entropy(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(-rates * np.log2(rates) - (1 - rates) * np.log2(1 - rates))
