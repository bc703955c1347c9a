"""Which passes are flown: an exact choice by a mixed-integer program, with the bound that was proved.

Columns: a pass is flown or not; arcs and transfers of `flow`; key of each pair. Rows: cliques of passes that
exclude each other at a satellite or a station, energy of a revolution, and the books of the flow. The stage
that maximises the worst pair is followed by one that maximises the total and keeps it. In units of a megabit.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.plan.flow import FlowGraph, Transfer, periods_of
from satqkd.plan.intervals import cliques
from satqkd.plan.network import Network
from satqkd.plan.opportunities import Opportunities
from satqkd.plan.solver import ProblemBuilder, Solution, solve
from satqkd.sky import orbit_of, parse_utc

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

UNIT_BITS: Final = 1e6
WORST_FIRST: Final = ("max-min", "demand")
"""Objectives of two stages."""
_KEPT: Final = 1 - 1e-6
"""Of the worst pair, in the second stage."""


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


class Schedule:
    """The program of a network, its passes and what each is worth, in bits.

    relaxed: a pass may be flown in part; then the objective is a bound of every plan.
    """

    def __init__(
        self, network: Network, passes: Opportunities, value_bits: Floats, *, relaxed: bool = False
    ) -> None:
        self.network, self.passes, self.value = network, passes, value_bits / UNIT_BITS
        self.graph = FlowGraph(network, passes, periods_of(network))
        self.builder = ProblemBuilder()
        add = self.builder.add_columns
        self.fly = add(len(passes), upper=1.0, integer=not relaxed)
        self.arc = add(len(self.graph.arcs))
        self.transfer = add(len(self.graph.transfers))
        self.pair = add(len(network.pairs))
        self.dated = add(len(network.pairs))
        self.worst = add(1, upper=1.0 if network.objective == "demand" else np.inf)
        self._conflicts()
        self._energy()
        self._books()
        self._pairs()

    def solve(self, *, gap: float, time_limit_s: float | None, threads: int = 1) -> Choice:
        """Maximise the network's objective. Raises what `solver.solve` raises."""
        if self.network.objective in WORST_FIRST and self.network.pairs:
            first = solve(self._problem(worst=1.0), relative_gap=gap, time_limit_s=time_limit_s, threads=threads)
            kept = _KEPT * float(first.values[self.worst][0])
            second = solve(
                self._problem(total=1.0, least_worst=kept),
                relative_gap=gap,
                time_limit_s=time_limit_s,
                start=first.values,
                threads=threads,
            )
            best = second if second.status in ("optimal", "feasible") else first
            return self._choice(best, float(best.values[self.worst][0]), first.bound, first.status)
        found = solve(self._problem(total=1.0), relative_gap=gap, time_limit_s=time_limit_s, threads=threads)
        return self._choice(found, found.objective, found.bound, found.status)
