"""How a program with whole columns is searched: as a whole, and near the best that is known.

The solver finds plans by itself early or hardly at all. So it looks at the whole for a few nodes, then at
neighbourhoods: what a few relaxations with blurred coefficients and the best values so far do not agree about
is left open, all else is held. (With one relaxation, unblurred, these are the relaxation induced
neighbourhoods of Danna, Rothberg and Le Pape, Mathematical Programming 102, 2005; of a plan of passes those
are soon searched out.) Then it looks at the whole for the rest. Ends are counted in nodes, so that without a
time limit the answer does not depend on the machine's speed. Knows no pass and no key.
"""

import time
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.plan.solver import Problem, Solution, solve
from satqkd.randomness import stream

Floats = NDArray[np.float64]

_EFFORT: Final = 0.3
"""Share of a search that looks for values rather than bounds: what makes the worst pair's program end."""
_NODES_FIRST: Final = 20
_ROUNDS: Final = 5
_RELAXATIONS: Final = 2
_BLUR: Final = 0.3
"""Standard deviation of the logarithm of what coefficients are multiplied by."""
_NODES_NEAR: Final = 10
_NEAR_EFFORT: Final = 0.5
_WHOLE: Final = 1e-6
"""Nearer than this to a whole number is one."""


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how exactly is looked for a plan."""

    gap: float = 1e-3
    """Relative; the search ends there."""
    time_limit_s: float | None = None
    """Of each stage; with a limit the answer may depend on the machine."""
    threads: int = 1

    def run(self, problem: Problem, start: Floats | None = None) -> Solution:
        """The best of a problem, in one go."""
        return self._looked(problem, start, _ends_at(self.time_limit_s))

    def thorough(self, problem: Problem, start: Floats) -> Solution:
        """The best of a problem of many whole columns, with neighbourhoods. start: satisfies all rows.

        The bound is of the whole problem.
        """
        end_s = _ends_at(self.time_limit_s)
        best = self._looked(problem, start, end_s, nodes=_NODES_FIRST)
        for number in range(_ROUNDS):
            if best.gap <= self.gap or best.values is None or time.perf_counter() >= end_s:
                break
            best = self._near(problem, best, number, end_s)
        if best.gap <= self.gap:
            return msgspec.structs.replace(best, status="optimal")
        if time.perf_counter() >= end_s:
            return best
        last = self._looked(problem, best.values, end_s)
        return msgspec.structs.replace(last, bound=min(last.bound, best.bound))

    def _near(self, problem: Problem, best: Solution, number: int, end_s: float) -> Solution:
        assert best.values is not None
        whole = np.flatnonzero(problem.integer)
        rng = stream(number, "blurred relaxations")
        known = [best.values[whole]]
        for _ in range(_RELAXATIONS):
            relaxed = solve(blurred(problem, rng))
            if relaxed.values is not None:
                known.append(relaxed.values[whole])
        held = hold_whole(problem, np.min(known, axis=0), np.max(known, axis=0))
        found = self._looked(
            held,
            best.values,
            end_s,
            nodes=_NODES_NEAR,
            effort=_NEAR_EFFORT,
            target=best.bound / (1 + self.gap),
        )
        if found.values is None or found.objective <= best.objective:
            return best
        return msgspec.structs.replace(found, bound=best.bound, status="feasible")

    def _looked(
        self,
        problem: Problem,
        start: Floats | None,
        end_s: float,
        *,
        nodes: int | None = None,
        effort: float = _EFFORT,
        target: float | None = None,
    ) -> Solution:
        left_s = max(end_s - time.perf_counter(), 1e-3)
        return solve(
            problem,
            relative_gap=self.gap if target is None else self.gap / 5,
            time_limit_s=None if left_s == np.inf else left_s,
            start=start,
            threads=self.threads,
            effort=effort,
            most_nodes=nodes,
            target=target,
        )


def hold_whole(problem: Problem, least: Floats, most: Floats) -> Problem:
    """A problem whose whole columns, of the given ranges, are held to 0 or 1 where the range leaves no other.

    least, most: shape (whole columns,), between 0 and 1.
    """
    lower, upper, whole = problem.lower.copy(), problem.upper.copy(), np.flatnonzero(problem.integer)
    lower[whole] = np.maximum(lower[whole], np.where(least > 1 - _WHOLE, 1.0, 0.0))
    upper[whole] = np.minimum(upper[whole], np.where(most < _WHOLE, lower[whole], 1.0))
    return msgspec.structs.replace(problem, lower=lower, upper=upper)


def relaxed(problem: Problem) -> Problem:
    """The same without whole columns."""
    return msgspec.structs.replace(problem, integer=np.zeros_like(problem.integer))


def blurred(problem: Problem, rng: np.random.Generator) -> Problem:
    """The relaxation of a problem, of whose whole columns each has its negative coefficients (what it brings
    to a row) multiplied by a random factor."""
    rows = problem.rows.tocsc(copy=True)
    factor = np.where(problem.integer, np.exp(_BLUR * rng.standard_normal(problem.gain.size)), 1.0)
    of_column = np.repeat(factor, np.diff(rows.indptr))
    rows.data = np.where(rows.data < 0, rows.data * of_column, rows.data)
    return relaxed(msgspec.structs.replace(problem, rows=rows))


def _ends_at(time_limit_s: float | None) -> float:
    return np.inf if time_limit_s is None else time.perf_counter() + time_limit_s
