"""How much of a horizon is chosen at a time, so that the search ends: knows when passes end, and no more.

A search takes several relaxations and what it does around them, whose time grows faster than the passes: of a
hundred satellites and twenty stations, 28 days took 37 s a day at a time, 164 s two days at a time.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satqkd.plan.operation_policy import Policy

MOST_SEEN: Final = 2500
"""Passes that a search looks at."""


class Window(NamedTuple):
    """What is chosen at a time."""

    periods: int
    seen_s: float
    """What is looked at for it, from its begin."""


def window_at(end_s: NDArray[np.float64], from_s: float, period_s: float, policy: Policy) -> Window:
    """The policy's window from a time on; shorter where an exact search would look at more than `MOST_SEEN`.

    end_s: of all passes. It is a period at least; where even that with its look-ahead is too much, nothing is
    looked at beyond it.
    """
    periods = round(policy.window_s / period_s)
    if policy.method != "exact":
        return Window(periods, policy.look_ahead * periods * period_s)

    def is_much(seen_s: float) -> bool:
        return int(((end_s > from_s) & (end_s <= from_s + seen_s)).sum()) > MOST_SEEN

    while periods > 1 and is_much(policy.look_ahead * periods * period_s):
        periods -= 1
    seen_s = policy.look_ahead * periods * period_s
    return Window(periods, periods * period_s if is_much(seen_s) else seen_s)
