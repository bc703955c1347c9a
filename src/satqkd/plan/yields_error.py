"""How far the surrogate's key is from the exact key, on a sample of passes. Knows neither's way."""

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.randomness import stream

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


class SurrogateError(msgspec.Struct, frozen=True):
    """The surrogate against the exact key, on a sample of passes."""

    passes: int
    total: float
    """Relative error of the sum."""
    median: float
    """Of the relative errors of passes with key, as the next two."""
    lowest: float
    highest: float
    largest_bits: float
    """Of all passes, absolute."""
    disagree: int
    """Passes of which one says key and the other none."""


def error_on(exact_of: Callable[[Rows], Floats], fast_bits: Floats, sample: int, seed: int) -> SurrogateError:
    """The error on passes drawn without repetition. exact_of: exact key of some rows of `fast_bits`."""
    chosen = stream(seed, "surrogate sample").permutation(len(fast_bits))[:sample]
    exact, fast = exact_of(chosen), fast_bits[chosen]
    with_key = exact > 0
    relative = (fast[with_key] - exact[with_key]) / exact[with_key]

    def of(measure: Callable[[Floats], float], values: Floats) -> float:
        return float(measure(values)) if values.size else 0.0

    return SurrogateError(
        passes=len(chosen),
        total=float(fast.sum() / exact.sum() - 1) if exact.sum() > 0 else 0.0,
        median=of(np.median, relative),
        lowest=of(np.min, relative),
        highest=of(np.max, relative),
        largest_bits=of(np.max, np.abs(fast - exact)),
        disagree=int((with_key != (fast > 0)).sum()),
    )
