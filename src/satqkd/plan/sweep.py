"""Plans of many passes: rounded from the linear relaxation, then bettered one window of time after another.

The relaxation flies many passes by halves where satellites crowd over stations, and cannot be searched around
as a whole. But passes exclude each other only while they last, so a window is a small problem: its passes are
open, all others are held, relays are free. Where the worst pair counts, that objective alone would not move:
a window seldom helps every pair. So a window makes the sum of what pairs have large, each counted only up to
the bound of the worst, and the worst besides.
"""

import time
from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.plan.baselines import greedy
from satqkd.plan.program import Program, revolutions
from satqkd.plan.search import Search, hold_whole, relaxed
from satqkd.plan.solver import Problem, Solution, relative_gap, solve

Floats = NDArray[np.float64]
Flown = NDArray[np.bool_]

_PASSES_AT_ONCE: Final = 1200
"""Of a window: some seconds of search."""
_SWEEPS: Final = 4
_NODES: Final = 5
_WINDOW_GAP: Final = 1e-3
_LEAST_GAIN: Final = 1e-4
"""Of a sweep, relative, for which another is worth while."""
_WORST_COUNTS: Final = 1 / 3
"""What the worst pair counts in a window, as a share of all pairs together."""
_SLACK: Final = 4e-6
"""Given away of what the worst pair has: rows hold to 1e-6, and values that a search found lean on that."""
_TINY: Final = 1e-9


def rounded(program: Program, problem: Problem, share: Floats) -> Solution | None:
    """The best of passes taken in the order of how much the relaxation flies of them, times their value.

    share: of each pass, shape (passes,). Passes that the problem holds come first. None where what the
    problem asks besides cannot be had of these.
    """
    passes, service = program.passes, program.network.service
    must, may = problem.lower[program.fly] > 0, problem.upper[program.fly] > 0
    value = program.value / max(float(program.value.max(initial=0.0)), _TINY)
    rank = np.where(must, 2.0, np.where(may, share * value + _TINY * value, 0.0))
    terminals = (passes.satellite, passes.station)
    chosen = greedy(passes.start_s, passes.end_s, rank, terminals, setup_s=service.setup_s)
    flown = np.zeros(len(passes), dtype=np.bool_)
    flown[_within_revolutions(program, chosen, rank)] = True
    found = solve(relaxed(hold_whole(problem, flown.astype(float), flown.astype(float))))
    if found.values is None:
        return None
    return msgspec.structs.replace(found, bound=np.inf, status="feasible", row_prices=None)


def swept(program: Program, problem: Problem, found: Solution, search: Search, *, by_worst: bool) -> Solution:
    """A plan of a problem bettered until it is near enough to its bound, or a whole sweep betters nothing.

    found: satisfies all rows, with a bound of the whole. by_worst: the gain is the worst pair's. Finding no
    better one is no error. Without a time limit the answer does not depend on the machine's speed.
    """
    assert found.values is not None
    end_s = np.inf if search.time_limit_s is None else time.perf_counter() + search.time_limit_s
    aim = _elastic(program, problem, found.bound) if by_worst else problem
    best = _held_to(_no_less(aim, program, found.values), program, found.values)
    if best is None:
        return found
    for number in range(_SWEEPS):
        before = best.objective
        for is_open in _windows(program.passes.start_s, shifted=bool(number % 2)):
            reached = _gain(problem, best)
            if relative_gap(reached, found.bound) <= search.gap or time.perf_counter() >= end_s:
                return _told(program, problem, best, found.bound, search)
            best = _window(program, aim, best, is_open, end_s)
        if best.objective <= before + _LEAST_GAIN * abs(before):
            break
    return _told(program, problem, best, found.bound, search)


def _elastic(program: Program, problem: Problem, bound: float) -> Problem:
    """Gain: of each pair the share that it has of what makes one worst pair at its bound; and the worst's."""
    aim, wanted = program.aim
    gain, upper, counted = np.zeros_like(problem.gain), problem.upper.copy(), wanted > 0
    gain[aim[counted]] = 1 / wanted[counted]
    gain[program.worst] = _WORST_COUNTS * counted.sum()
    upper[aim] = np.maximum(np.minimum(upper[aim], wanted * bound - program.served), 0.0)
    return msgspec.structs.replace(problem, gain=gain, upper=upper)


def _no_less(aim: Problem, program: Program, values: Floats) -> Problem:
    """The worst pair keeps what it has, where it counts."""
    lower = aim.lower.copy()
    if aim.gain[program.worst] > 0:
        lower[program.worst] = max(lower[program.worst], values[program.worst] - _SLACK)
    return msgspec.structs.replace(aim, lower=lower)


def _held_to(problem: Problem, program: Program, values: Floats) -> Solution | None:
    """The best of the passes that values fly; None where they do not give all that is asked."""
    flown = np.round(values[program.fly])
    found = solve(relaxed(hold_whole(problem, flown, flown)))
    return None if found.values is None else found


def _windows(start_s: Floats, *, shifted: bool) -> Iterator[Flown]:
    """Which passes are open: so many at once, in order of time; shifted: by half a window."""
    place = np.argsort(np.argsort(start_s, kind="stable"), kind="stable")
    window = (place + shifted * _PASSES_AT_ONCE // 2) // _PASSES_AT_ONCE
    for each in range(int(window.max(initial=-1)) + 1):
        yield window == each


def _window(program: Program, aim: Problem, best: Solution, is_open: Flown, end_s: float) -> Solution:
    assert best.values is not None
    flown = np.round(best.values[program.fly])
    left_s = max(end_s - time.perf_counter(), 1e-3)
    found = solve(
        hold_whole(
            _no_less(aim, program, best.values),
            np.where(is_open, 0.0, flown),
            np.where(is_open, 1.0, flown),
        ),
        relative_gap=_WINDOW_GAP,
        time_limit_s=None if left_s == np.inf else left_s,
        start=best.values,
        effort=0.3,
        most_nodes=_NODES,
    )
    return best if found.values is None or found.objective <= best.objective else found


def _gain(problem: Problem, best: Solution) -> float:
    """What the values of a window's best gain by the problem's own measure."""
    assert best.values is not None
    return float(problem.gain @ best.values)


def _told(program: Program, problem: Problem, best: Solution, bound: float, search: Search) -> Solution:
    """The passes of the windows' best, with relays that serve the problem's own gain."""
    assert best.values is not None
    plan = _held_to(problem, program, best.values) or msgspec.structs.replace(
        best, objective=_gain(problem, best)
    )
    plan = msgspec.structs.replace(plan, bound=max(bound, plan.objective), row_prices=None)
    return msgspec.structs.replace(plan, status="optimal" if plan.gap <= search.gap else "feasible")


def _within_revolutions(program: Program, chosen: NDArray[np.intp], rank: Floats) -> NDArray[np.intp]:
    """Of chosen passes those for which their revolutions have time, the best first."""
    most_s = program.network.service.contact_per_revolution_s
    if most_s is None:
        return chosen
    passes, of = program.passes, revolutions(program.network, program.passes)
    left_s: dict[tuple[int, int], float] = {}
    kept: list[int] = []
    for row in sorted(chosen.tolist(), key=lambda row: -rank[row]):
        place = int(passes.satellite[row]), int(of[row])
        left = left_s.get(place, most_s) - float(passes.duration_s[row])
        if left >= 0:
            left_s[place] = left
            kept.append(row)
    return np.array(kept, dtype=np.intp)
