"""Maximum of a function of a few numbers without derivatives: Nelder and Mead's simplex, deterministic.

Nelder and Mead, Computer Journal 7, 308 (1965), with the standard coefficients; a simplex that has collapsed
is built anew around its best point, until that gains nothing. No random number, no clock.
"""

from collections.abc import Callable

import msgspec
import numpy as np

from satqkd.security.source import Floats

Objective = Callable[[Floats], float]


class Peak(msgspec.Struct, frozen=True, eq=False):
    """Where a search ended."""

    place: Floats
    """Shape (d,)."""
    value: float
    evaluations: int


def climb(
    objective: Objective,
    start: Floats,
    *,
    step: float = 0.4,
    tolerance: float = 1e-6,
    evaluations: int = 600,
    rounds: int = 4,
) -> Peak:
    """The best point found from a start, at most about `evaluations` calls in all.

    step: edge of the first simplex, in the unit of the coordinates.  tolerance: relative difference of values
    within a simplex below which it counts as collapsed, and gain of a round below which the search ends.
    Returns the start itself for a function of nothing (d = 0).
    """
    best, value, used = np.array(start, dtype=np.float64), objective(start), 1
    for k in range(rounds):
        if best.size == 0 or used >= evaluations:
            break
        found = _one_round(objective, best, value, step / 2**k, tolerance, evaluations - used)
        used += found.evaluations
        gain = found.value - value
        best, value = found.place, found.value
        if gain <= tolerance * abs(value):
            break
    return Peak(best, value, used)


def _one_round(
    objective: Objective, start: Floats, value: float, step: float, tolerance: float, evaluations: int
) -> Peak:
    d, used = start.size, 0
    points = np.vstack([start, start + step * np.eye(d)])
    values = np.array([value, *(objective(point) for point in points[1:])])
    used = d
    while used < evaluations:
        order = np.argsort(-values, kind="stable")
        points, values = points[order], values[order]
        if values[0] - values[-1] <= tolerance * abs(values[0]):
            break
        centre = points[:-1].mean(axis=0)
        away = centre - points[-1]
        reflected = centre + away
        gained = objective(reflected)
        used += 1
        if gained > values[0]:
            further = centre + 2 * away
            more = objective(further)
            used += 1
            points[-1], values[-1] = (further, more) if more > gained else (reflected, gained)
        elif gained > values[-2]:
            points[-1], values[-1] = reflected, gained
        else:
            nearer = centre + (0.5 if gained > values[-1] else -0.5) * away
            less = objective(nearer)
            used += 1
            if less > max(gained, values[-1]):
                points[-1], values[-1] = nearer, less
            else:
                points[1:] = 0.5 * (points[0] + points[1:])
                values[1:] = [objective(point) for point in points[1:]]
                used += d
    top = int(np.argmax(values))
    return Peak(points[top], float(values[top]), used)
