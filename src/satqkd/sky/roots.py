"""Zeros of a function in many brackets at once. Knows no orbit."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]

_TOLERANCE_S: Final = 1e-4
_MOST_STEPS: Final = 100  # about 10 are used; halving alone would need 20 to 30


def roots(f: Callable[[Column], Column], low: Column, high: Column) -> Column:
    """One zero of f in each bracket, f(low) <= 0 < f(high), low on either side, to 0.1 ms.

    f takes one instant for each bracket. False position by the Illinois rule: an end that stays twice has
    its value halved, which makes the rule superlinear (Dowell and Jarratt, BIT 11, 168, 1971). Estimates
    keep a distance from both ends, so that the bracket closes from both sides and its width, not a step,
    says when to stop.
    """
    if low.size == 0:
        return low
    a, b, f_a, f_b, side = low, high, f(low), f(high), np.zeros(low.size)
    for _ in range(_MOST_STEPS):
        open_ = np.abs(b - a) > _TOLERANCE_S
        if not open_.any():
            break
        x = _estimate(a, b, f_a, f_b)
        f_x = f(x)
        over, under = open_ & (f_x > 0), open_ & (f_x <= 0)
        f_a = np.where(under, f_x, np.where(over & (side > 0), f_a / 2, f_a))
        f_b = np.where(over, f_x, np.where(under & (side < 0), f_b / 2, f_b))
        a, b = np.where(under, x, a), np.where(over, x, b)
        side = np.where(over, 1.0, -1.0)
    return (a + b) / 2


def _estimate(a: Column, b: Column, f_a: Column, f_b: Column) -> Column:
    width = np.abs(b - a)
    nearest = np.minimum(_TOLERANCE_S / 3 / np.maximum(width, _TOLERANCE_S / 9), 0.5)
    rise = f_b - f_a
    part = np.where(rise > 0, -f_a / np.where(rise > 0, rise, 1.0), 0.5)
    return np.asarray(a + np.clip(part, nearest, 1 - nearest) * (b - a))
