"""The mixed-integer program of a schedule: what may be flown, and what key that makes. Solves nothing.

Columns: a pass is flown or not; arcs and transfers of `flow`; key of each pair; the worst pair. Rows: cliques
of passes that exclude each other at a satellite or a station, time of sending in a revolution, and the books
of the flow. In units of a megabit.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.plan.builder import ProblemBuilder
from satqkd.plan.flow import FlowGraph, State, Transfer, periods_of
from satqkd.plan.intervals import Index, cliques
from satqkd.plan.network import Network
from satqkd.plan.opportunities import Opportunities
from satqkd.plan.solver import Problem, Solution
from satqkd.sky import orbit_of, parse_utc

Floats = NDArray[np.float64]

UNIT_BITS: Final = 1e6
_LEAST: Final = 1e-6
"""One bit: less is the solver's rounding."""
_NOTHING: Final = State()


class Program:
    """The program of a network, its passes and what each is worth, in bits.

    state: what was before; relaxed: a pass may be flown in part, and the objective is a bound of every plan.
    """

    def __init__(
        self,
        network: Network,
        passes: Opportunities,
        value_bits: Floats,
        *,
        state: State = _NOTHING,
        relaxed: bool = False,
    ) -> None:
        self.network, self.passes, self.value = network, passes, value_bits / UNIT_BITS
        self.graph = FlowGraph(network, passes, periods_of(network), state.carried)
        self.served = np.array(state.served_bits or np.zeros(len(network.pairs))) / UNIT_BITS
        self.builder = ProblemBuilder()
        add, pairs = self.builder.add_columns, np.zeros(len(network.pairs))
        self.fly = add(np.zeros(len(passes)), upper=1.0, integer=not relaxed)
        self.arc = add(np.zeros(len(self.graph.arcs)))
        self.transfer = add(np.zeros(len(self.graph.transfers)))
        self.pair, self.dated = add(pairs), add(pairs)
        self.worst = add(0.0, upper=1.0 if network.objective == "demand" else np.inf)
        self.source_of_pass = np.full(len(passes), -1, dtype=np.intp)
        """Where each brings its key, by the numbers of the arcs' sources; -1 where nobody wants it."""
        self._conflicts()
        self._revolutions()
        self._books()
        self.worst_rows = self._pairs()
        """Of each pair, that the worst has no more than it."""

    def problem(
        self,
        *,
        worst: float = 0.0,
        total: float = 0.0,
        least_worst: float = 0.0,
        flown: NDArray[np.bool_] | None = None,
        only_flown: bool = False,
    ) -> Problem:
        """The program with gains for the worst pair and the total.

        least_worst: the worst pair gets no less; flown: passes that are, shape (passes,), and no others where
        only_flown.
        """
        problem = self.builder.build()
        gain, lower, upper = np.zeros_like(problem.gain), problem.lower.copy(), problem.upper.copy()
        gain[self.worst], lower[self.worst] = worst, least_worst
        if flown is not None:
            lower[self.fly] = flown
        if flown is not None and only_flown:
            upper[self.fly] = flown
        if total and self.network.pairs:
            by_priority = self.network.objective == "priority"
            gain[self.pair] = [pair.wish.priority if by_priority else 1.0 for pair in self.network.pairs]
        elif total:
            gain[self.fly] = self.value
        return msgspec.structs.replace(problem, gain=gain, lower=lower, upper=upper)

    def flown(self, found: Solution) -> NDArray[np.bool_]:
        """Which passes a solution flies."""
        assert found.values is not None
        return np.asarray(found.values[self.fly] > 0.5)

    def needed(self, found: Solution) -> NDArray[np.bool_]:
        """Those of them without which less could be relayed: of each link and period the largest."""
        flown = self.flown(found)
        if not self.network.pairs:
            return flown
        wanted, kept = self._wanted(found), np.zeros_like(flown)
        for row in sorted(np.flatnonzero(flown).tolist(), key=lambda row: -self.value[row]):
            source = int(self.source_of_pass[row])
            if wanted[source] > _LEAST:
                kept[row] = True
                wanted[source] -= self.value[row]
        return kept

    def _wanted(self, found: Solution) -> defaultdict[int, float]:
        """What of each source is relayed; arcs may carry more than that."""
        assert found.values is not None
        out: defaultdict[tuple[int, int], float] = defaultdict(float)
        for transfer, mbit in zip(self.graph.transfers, found.values[self.transfer].tolist(), strict=True):
            pair = self.network.pairs[transfer.pair]
            for station in (pair.a, pair.b):
                out[self.graph.index[transfer.satellite, station], transfer.period] += mbit
        wanted: defaultdict[int, float] = defaultdict(float)
        for arc, mbit in zip(self.graph.arcs, found.values[self.arc].tolist(), strict=True):
            taken = min(mbit, out[arc.link, arc.relayed])
            out[arc.link, arc.relayed] -= taken
            wanted[arc.source] += taken
        return wanted

    def _conflicts(self) -> None:
        passes, setup_s = self.passes, self.network.service.setup_s
        for terminal in (passes.satellite, passes.station):
            found = cliques(passes.start_s, passes.end_s, terminal, setup_s=setup_s)
            self.builder.add_rows(self.fly[found.interval], 1.0, found.row, upper=1.0)

    def _revolutions(self) -> None:
        most_s = self.network.service.contact_per_revolution_s
        if most_s is None:
            return
        of_satellite = np.stack([self.passes.satellite, revolutions(self.network, self.passes)], axis=1)
        _, row = np.unique(of_satellite, axis=0, return_inverse=True)
        self.builder.add_rows(self.fly, self.passes.duration_s, row.ravel(), upper=most_s)

    def _books(self) -> None:
        """What leaves a link in a period came in it before, and is spread over the pairs; stores hold it."""
        graph, passes = self.graph, self.passes
        if not graph.arcs:
            return
        count = graph.periods.count
        link, came, relayed, source = np.array(graph.arcs).T
        links = zip(passes.satellite.tolist(), passes.station.tolist(), strict=True)
        of_pass = np.array([graph.index.get(each, -1) for each in links])
        known = np.flatnonzero(of_pass >= 0)
        brought = of_pass[known] * count + graph.period_of[known]
        self.source_of_pass[known] = brought
        carried = np.zeros(len(graph.links) * count + len(graph.carried))
        carried[len(graph.links) * count :] = [each.key_bits / UNIT_BITS for each in graph.carried]
        self.builder.add_rows(
            np.concatenate([self.arc, self.fly[known]]),
            np.concatenate([np.ones(len(link)), -self.value[known]]),
            np.concatenate([source, brought]),
            upper=carried,
        )
        satellite, pair, period = np.array(graph.transfers).T
        stations = np.array([(each.a, each.b) for each in self.network.pairs])[pair]
        taken = [
            np.array([graph.index[s, g] for s, g in zip(satellite.tolist(), ends.tolist(), strict=True)])
            for ends in stations.T
        ]
        self._rows(
            np.concatenate([link * count + relayed, *(each * count + period for each in taken)]),
            np.concatenate([self.arc, self.transfer, self.transfer]),
            np.concatenate([-np.ones(len(link)), np.ones(2 * len(pair))]),
            upper=0.0,
        )
        if self.network.service.store_bits is not None:
            self._stores(link, came, relayed)

    def _stores(self, link: Index, came: Index, relayed: Index) -> None:
        """Of a link no more lies on board in any period than its store holds."""
        count, most_bits = self.graph.periods.count, self.network.service.store_bits
        assert most_bits is not None
        stay = relayed - came + 1
        arc = np.repeat(np.arange(len(link)), stay)
        first = np.repeat(np.cumsum(stay) - stay, stay)
        period = came[arc] + np.arange(stay.sum()) - first
        self._rows(link[arc] * count + period, self.arc[arc], 1.0, upper=most_bits / UNIT_BITS)

    def _pairs(self) -> Index:
        """Key of each pair, until its date too, and the worst pair's under what it aims at."""
        network, transfers = self.network, self.graph.transfers
        if not network.pairs:
            return np.zeros(0, dtype=np.intp)
        in_time = np.array([each.period < self.date(each.pair) for each in transfers], dtype=np.bool_)
        self._key(self.pair, np.ones_like(in_time))
        self._key(self.dated, in_time)
        every = np.arange(len(network.pairs))
        aim, wanted = self.aim
        worst = np.full(len(every), self.worst)
        shares = [wanted, -np.ones(len(every))]
        return self.builder.add_rows([worst, aim], shares, every, upper=self.served)

    def _key(self, key: Index, counted: NDArray[np.bool_]) -> None:
        r"""Key over m satellites each: :math:`m K \le \sum_s u_s`, :math:`u_s \le K`, :math:`u_s \le y_s`."""
        transfers = [
            each
            for each, is_counted in zip(self.graph.transfers, counted.tolist(), strict=True)
            if is_counted
        ]
        shares = sorted({(each.satellite, each.pair) for each in transfers})
        index = {each: k for k, each in enumerate(shares)}
        of_share = np.array([index[each.satellite, each.pair] for each in transfers], dtype=np.intp)
        pair = np.array([each for _, each in shares], dtype=np.intp)
        share, here = self.builder.add_columns(np.zeros(len(shares))), np.arange(len(shares))
        self._rows(
            np.concatenate([here, of_share]),
            np.concatenate([share, self.transfer[counted]]),
            np.concatenate([np.ones(len(share)), -np.ones(len(of_share))]),
            upper=0.0,
        )
        self._rows(
            np.concatenate([here, here]),
            np.concatenate([share, key[pair]]),
            np.concatenate([np.ones(len(share)), -np.ones(len(share))]),
            upper=0.0,
        )
        apart = np.array([each.wish.satellites for each in self.network.pairs], dtype=np.float64)
        self._rows(
            np.concatenate([np.arange(len(key)), pair]),
            np.concatenate([key, share]),
            np.concatenate([apart, -np.ones(len(share))]),
            upper=0.0,
        )

    @property
    def aim(self) -> tuple[Index, Floats]:
        """Columns of the key that the worst pair is measured by, and how much of each makes one worst."""
        if self.network.objective == "demand":
            demands = [each.wish.demand_bits or 0.0 for each in self.network.pairs]
            return self.dated, np.array(demands) / UNIT_BITS
        return self.pair, np.array([each.wish.weight for each in self.network.pairs])

    def date(self, pair: int) -> int:
        """Periods that end before the date of a pair's demand."""
        by_utc = self.network.pairs[pair].wish.by_utc
        if by_utc is None:
            return self.graph.periods.count
        return int((parse_utc(by_utc) - self.network.start).total_seconds() // self.graph.periods.length_s)

    def _rows(self, row: Index, column: Index, value: ArrayLike, *, upper: float) -> None:
        """Rows by any number; equal numbers are one row."""
        _, packed = np.unique(row, return_inverse=True)
        self.builder.add_rows(column, value, packed, upper=upper)


def revolutions(network: Network, passes: Opportunities) -> Index:
    """In which revolution of its satellite each pass culminates, counted from the epoch of its elements."""
    orbits = [orbit_of(each.orbit) for each in network.satellites]
    period_s = np.array([each.period_s for each in orbits])
    since_s = np.array([(network.start - each.epoch).total_seconds() for each in orbits])
    of = passes.satellite
    return np.asarray((passes.culmination_s + since_s[of]) // period_s[of], dtype=np.intp)


def pair_bits(network: Network, transfers: Iterable[tuple[Transfer, float]]) -> Floats:
    """Key of each pair from what each satellite relayed for it."""
    relayed = np.zeros((len(network.pairs), len(network.satellites)))
    for each, bits in transfers:
        relayed[each.pair, each.satellite] += bits
    return np.array(
        [shared_key(row, pair.wish.satellites) for row, pair in zip(relayed, network.pairs, strict=True)]
    )


def shared_key(key_bits: Floats, satellites: int) -> float:
    r"""The most key of which every bit is the exclusive or of bits over so many different satellites.

    .. math:: K = \min_{0 \le j < m} \frac{1}{m - j} \sum_{i > j} k_{(i)}

    with the largest first. key_bits: over each satellite.
    """
    largest_first = np.sort(key_bits)[::-1]
    return float(min(largest_first[j:].sum() / (satellites - j) for j in range(satellites)))
