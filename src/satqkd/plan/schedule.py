"""Which passes are flown: strategies over the program of a schedule, with the bound that was proved.

The worst pair first, then the total with the worst kept. The worst pair's program is begun with the pairs
that the linear relaxation says are short: fewer pairs have no smaller optimum, so its bound holds for all,
and the other pairs are served from what is left; where they cannot be, the whole program is solved.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.errors import ConfigError
from satqkd.plan.flow import State, Transfer
from satqkd.plan.network import Network
from satqkd.plan.opportunities import Opportunities
from satqkd.plan.program import UNIT_BITS, Program, pair_bits
from satqkd.plan.search import Search, hold_whole, relaxed
from satqkd.plan.solver import Problem, Solution, solve
from satqkd.plan.sweep import rounded, swept

Floats = NDArray[np.float64]
Flown = NDArray[np.bool_]

NOTHING: Final = State()
WORST_FIRST: Final = ("max-min", "demand")
"""Objectives of two stages."""
_KEPT: Final = 1 - 1e-6
"""Of the worst pair, in the second stage."""
_LEAST_PRICE: Final = 1e-9
_FEW_OPEN: Final = 1000
"""Passes that the relaxation flies in part, among which the solver looks by itself."""
_WHOLE: Final = 1e-6
"""Nearer than this to flown or not, a pass of the relaxation is."""
_LEAST_BITS: Final = 1e-3
"""Less is rounding of the solver."""


class Choice(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A schedule in the planner's own terms; bits expected with the values given."""

    flown: NDArray[np.bool_]
    """Shape (passes,)."""
    transfers: tuple[tuple[Transfer, float], ...]
    """With their bits, those above 0."""
    pair_bits: Floats
    by_date_bits: Floats
    objective: float
    bound: float
    status: str


def choose(
    network: Network,
    passes: Opportunities,
    value_bits: Floats,
    search: Search,
    state: State = NOTHING,
    *,
    large: bool = False,
) -> Choice:
    """Maximise the network's objective. value_bits: of each pass, shape (n,). state: what was before.

    large: the linear relaxation decides first, and windows of time are searched one after another; for
    programs that take too long else. The bound is then that of the relaxation.

    Raises what `solver.solve` raises.
    """
    program = Program(network, passes, value_bits, state=state)
    if large:
        return _large(program, search)
    if network.objective in WORST_FIRST and network.pairs:
        return _worst_first(program, value_bits, search, state)
    problem = program.problem(total=1.0)
    found = search.run(problem, np.zeros_like(problem.gain))
    return _choice(program, found, found.objective * UNIT_BITS, found.bound * UNIT_BITS, found.status)


def upper_bound(network: Network, passes: Opportunities, value_bits: Floats) -> float:
    """No plan is worth more: the linear relaxation, in which a pass may be flown in part."""
    program = Program(network, passes, value_bits, relaxed=True)
    by_worst = network.objective in WORST_FIRST and bool(network.pairs)
    found = solve(program.problem(worst=1.0) if by_worst else program.problem(total=1.0))
    return found.bound * _unit(network)


def serve(
    network: Network, passes: Opportunities, value_bits: Floats, flown: Flown, state: State = NOTHING
) -> Choice:
    """The best that pairs get of passes that are chosen already, whoever chose them; its bound is of them.

    Raises ConfigError where two of them exclude each other or a revolution has too many.
    """
    program, search = Program(network, passes, value_bits, state=state), Search(gap=1e-9)
    worst_first = network.objective in WORST_FIRST and bool(network.pairs)
    least = 0.0
    if worst_first:
        first = search.run(program.problem(worst=1.0, flown=flown, only_flown=True))
        least = _KEPT * first.objective if first.values is not None else 0.0
    found = search.run(program.problem(total=1.0, least_worst=least, flown=flown, only_flown=True))
    if found.values is None:
        raise ConfigError("plan: these passes cannot all be flown: some exclude each other; leave some out")
    unit = _unit(network)
    worth = float(found.values[program.worst]) if worst_first else found.objective
    return _choice(program, found, worth * unit, worth * unit, "optimal")


def _worst_first(program: Program, value_bits: Floats, search: Search, state: State) -> Choice:
    short, bound = _short_pairs(program, value_bits, state), np.inf
    if len(short) < len(program.network.pairs):
        few = Program(
            msgspec.structs.replace(program.network, pairs=tuple(program.network.pairs[k] for k in short)),
            program.passes,
            value_bits,
            state=_of_pairs(state, short),
        )
        first = _first_stage(few, search)
        served = _second_stage(program, first, few.flown(first), search)
        if served is not None:
            return served
        bound = first.bound
    first = _first_stage(program, search)
    first = msgspec.structs.replace(first, bound=min(first.bound, bound))
    served = _second_stage(program, first, program.flown(first), search)
    unit = _unit(program.network)
    return served or _choice(program, first, first.objective * unit, first.bound * unit, first.status)


def _large(program: Program, search: Search) -> Choice:
    network, unit = program.network, _unit(program.network)
    by_worst = network.objective in WORST_FIRST and bool(network.pairs)
    problem = program.problem(worst=1.0) if by_worst else program.problem(total=1.0)
    near = _near_relaxation(program, problem, search)
    assert near is not None  # flying nothing will do
    first = swept(program, problem, near, search, by_worst=by_worst)
    if not by_worst:
        return _choice(program, first, first.objective * unit, first.bound * unit, first.status)
    return _second_stage(program, first, program.flown(first), search) or _choice(
        program, first, first.objective * unit, first.bound * unit, first.status
    )


def _near_relaxation(program: Program, problem: Problem, search: Search) -> Solution | None:
    """Passes that the relaxation flies whole or not at all are left so; the others searched, where they are
    few, else rounded. With the relaxation's bound."""
    first = solve(relaxed(problem))
    if first.values is None:
        return None
    share = first.values[program.fly]
    found = rounded(program, problem, share)
    if ((share > _WHOLE) & (share < 1 - _WHOLE)).sum() <= _FEW_OPEN or found is None:
        searched = search.run(hold_whole(problem, share, share))
        if searched.values is not None and (found is None or searched.objective > found.objective):
            found = searched
    return None if found is None else msgspec.structs.replace(found, bound=first.bound, status="feasible")


def _of_pairs(state: State, chosen: list[int]) -> State:
    served = tuple(state.served_bits[k] for k in chosen) if state.served_bits else ()
    return State(state.carried, served)


def _short_pairs(program: Program, value_bits: Floats, state: State) -> list[int]:
    """Those whose lack keeps the relaxed worst pair from more."""
    part = Program(program.network, program.passes, value_bits, state=state, relaxed=True)
    prices = solve(part.problem(worst=1.0)).row_prices
    assert prices is not None
    return np.flatnonzero(np.abs(prices[part.worst_rows]) > _LEAST_PRICE).tolist()


def _first_stage(program: Program, search: Search) -> Solution:
    problem = program.problem(worst=1.0)
    return search.thorough(problem, np.zeros_like(problem.gain))


def _second_stage(program: Program, first: Solution, flown: Flown, search: Search) -> Choice | None:
    """The total with the worst pair kept, around what the first stage flew; None where some pair cannot have
    as much."""
    assert first.values is not None
    problem = program.problem(total=1.0, least_worst=_KEPT * first.objective, flown=flown)
    found = _near_relaxation(program, problem, search)
    if found is None:
        return None
    assert found.values is not None
    unit = _unit(program.network)
    worst = float(found.values[program.worst])
    return _choice(program, found, worst * unit, first.bound * unit, first.status)


def _unit(network: Network) -> float:
    """Of the objective: a share of demand has none."""
    return 1.0 if network.objective == "demand" and network.pairs else UNIT_BITS


def _choice(program: Program, found: Solution, objective: float, bound: float, status: str) -> Choice:
    assert found.values is not None
    bits = (found.values[program.transfer] * UNIT_BITS).tolist()
    transfers = [each for each in zip(program.graph.transfers, bits, strict=True) if each[1] > _LEAST_BITS]
    in_time = [each for each in transfers if each[0].period < program.date(each[0].pair)]
    return Choice(
        flown=program.needed(found),
        transfers=tuple(transfers),
        pair_bits=pair_bits(program.network, transfers),
        by_date_bits=pair_bits(program.network, in_time),
        objective=objective,
        bound=bound,
        status=status,
    )
