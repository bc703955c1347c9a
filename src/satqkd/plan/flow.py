"""End-to-end key as a flow: contacts fill link stores on board, from which pairs take equal parts of two.

Key that came in period i and is relayed at the end of period j is an arc (i, j) of its link, where the life
of key allows it. All that comes in a period is taken to lie in the store through the whole of it, the worst
case. Bits of relay tags (256 of each link a relay) are left out. Knows no program that is solved.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.errors import ConfigError
from satqkd.plan.network import Network, Pair
from satqkd.plan.opportunities import Opportunities

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Link = tuple[int, int]
"""Satellite and station."""
FOREVER: Final = 1 << 30
"""A life in periods that no horizon reaches."""


class Periods(msgspec.Struct, frozen=True):
    """How the horizon is cut for the books of stores."""

    length_s: float
    count: int
    life: int
    """Key that came in a period can still be relayed at the end of this many periods after it."""

    def of(self, end_s: Floats) -> Rows:
        """The period in which a contact ends, shape of end_s."""
        return np.minimum((end_s // self.length_s).astype(np.intp), self.count - 1)


def periods_of(network: Network) -> Periods:
    """One period for the whole horizon where neither a store, nor a life, nor a date needs more.

    Raises ConfigError for key that lives shorter than a period.
    """
    service, length_s = network.service, network.service.period_s
    if service.key_life_s is not None and service.key_life_s < length_s:
        raise ConfigError(
            f"service.key_life: expected no less than period_s, {length_s:g} s, got "
            f"{service.key_life_s:g} s: key would be too old at the end of the period in which it came; "
            "shorten period_s"
        )
    dated = any(pair.wish.by_utc is not None for pair in network.pairs)
    if service.key_life_s is None and service.store_bits is None and not dated:
        return Periods(network.duration_s, 1, FOREVER)
    count = int(np.ceil(network.duration_s / length_s))
    life = FOREVER if service.key_life_s is None else int(service.key_life_s // length_s) - 1
    return Periods(length_s, count, life)


class Carried(msgspec.Struct, frozen=True):
    """Link key that lies on board when the horizon begins."""

    satellite: int
    station: int
    key_bits: float
    life: int
    """It can still be relayed at the end of this period."""


class State(msgspec.Struct, frozen=True):
    """What was before the horizon."""

    carried: tuple[Carried, ...] = ()
    served_bits: tuple[float, ...] = ()
    """Key that each pair has got; empty: none has."""


class Arc(NamedTuple):
    """Key of a link from where it came to the period at whose end it is relayed."""

    link: int
    came: int
    """The period; 0 for what was carried."""
    relayed: int
    source: int
    """A number for the key of one link and period, or for one that was carried."""


class Transfer(NamedTuple):
    """Key of a pair relayed by one satellite at the end of one period."""

    satellite: int
    pair: int
    period: int


class FlowGraph:
    """Which links, arcs and transfers there are, for passes that could bring key."""

    def __init__(
        self, network: Network, passes: Opportunities, periods: Periods, carried: Sequence[Carried] = ()
    ) -> None:
        self.periods, self.carried = periods, carried
        self.period_of = periods.of(passes.end_s)
        wanted = {station for pair in network.pairs for station in (pair.a, pair.b)}
        first: dict[Link, int] = {}
        for satellite, station, period in zip(
            passes.satellite.tolist(), passes.station.tolist(), self.period_of.tolist(), strict=True
        ):
            if station in wanted:
                link = (satellite, station)
                first[link] = min(period, first.get(link, period))
        for each in carried:
            if each.station in wanted:
                first[each.satellite, each.station] = 0
        self.links: list[Link] = sorted(first)
        self.index = {link: k for k, link in enumerate(self.links)}
        self.transfers = list(self._transfers(network.pairs, first))
        self.arcs = list(self._arcs(first, network.pairs))

    def _transfers(self, pairs: tuple[Pair, ...], first: dict[Link, int]) -> Iterator[Transfer]:
        satellites = sorted({satellite for satellite, _ in first})
        for satellite in satellites:
            for number, pair in enumerate(pairs):
                ends = [first.get((satellite, station)) for station in (pair.a, pair.b)]
                if None not in ends:
                    begin = max(each for each in ends if each is not None)
                    yield from (Transfer(satellite, number, k) for k in range(begin, self.periods.count))

    def _arcs(self, first: dict[Link, int], pairs: tuple[Pair, ...]) -> Iterator[Arc]:
        useful = {
            (each.satellite, station)
            for each in self.transfers
            for station in (pairs[each.pair].a, pairs[each.pair].b)
        }
        for link in self.links:
            if link not in useful:
                continue
            for came in range(first[link], self.periods.count):
                last = min(came + self.periods.life, self.periods.count - 1)
                source = self.source_of(self.index[link], came)
                yield from (Arc(self.index[link], came, k, source) for k in range(came, last + 1))
        for number, each in enumerate(self.carried):
            if (each.satellite, each.station) in useful:
                link_number = self.index[each.satellite, each.station]
                source = len(self.links) * self.periods.count + number
                last = min(each.life, self.periods.count - 1)
                yield from (Arc(link_number, 0, k, source) for k in range(last + 1))

    def source_of(self, link: int, period: int) -> int:
        """Of the key that passes of a period bring to a link; behind these stand those that were carried."""
        return link * self.periods.count + period
