"""The books of an operation: what stores would hold, in integers alone. Fast, and no key."""

from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from satqkd.plan.ledger import TAG_BITS, Account, Bits, Combined, Piece
from satqkd.plan.network import Network, Pair
from satqkd.plan.relaying import wrapped


class Books:
    """A `Ledger` of integers: as many pieces of link key as a store would have blocks."""

    def __init__(self, network: Network) -> None:
        self._network = network
        shape = len(network.satellites), len(network.stations)
        self._link, self._spent, self._wiped = (np.zeros(shape, dtype=np.int64) for _ in range(3))
        self._pieces: dict[tuple[int, int], deque[tuple[int, int]]] = defaultdict(deque)
        self._usable, self._used = ([0] * len(network.pairs) for _ in range(2))
        self._parts: list[tuple[dict[int, int], dict[int, int]]] = [({}, {}) for _ in network.pairs]
        """Key of each pair that waits to be combined: what either end may allocate, by satellite."""

    @contextmanager
    def period(self) -> Iterator[None]:
        """Nothing can be half done here."""
        yield

    def receive(self, satellite: int, station: int, bits: int, *, now_s: int) -> None:
        """See `Ledger`, as for all others."""
        self._pieces[satellite, station].append((now_s, bits))
        self._link[satellite, station] += bits

    def expire(self, before_s: int, *, now_s: int) -> Bits:
        gone = np.zeros_like(self._link)
        for link, pieces in self._pieces.items():
            while pieces and pieces[0][0] < before_s:
                gone[link] += pieces.popleft()[1]
        self._link -= gone
        self._wiped += gone
        return gone

    def link_bits(self) -> Bits:
        return self._link.copy()

    def pieces(self) -> Iterator[Piece]:
        for link, pieces in sorted(self._pieces.items()):
            yield from (Piece(*link, came_s, bits) for came_s, bits in pieces)

    def relay(self, satellite: int, pair: int, bits: int, *, now_s: int) -> None:
        wish = self._network.pairs[pair]
        for station in (wish.a, wish.b):
            self._take((satellite, station), bits + TAG_BITS)
        if wish.wish.satellites == 1:
            self._usable[pair] += bits
            return
        first = 8 * (bits // 16)
        for part, more in zip(self._parts[pair], (first, bits - first), strict=True):
            part[satellite] = part.get(satellite, 0) + more

    def waiting(self, pair: int) -> dict[int, int]:
        first, second = self._parts[pair]
        return {satellite: bits + second[satellite] for satellite, bits in first.items()}

    def combine(self, pair: int, *, now_s: int) -> Combined:
        made = spent = 0
        for part in self._parts[pair]:
            for bits, sources in wrapped(part, self._network.pairs[pair].wish.satellites):
                made, spent = made + bits, spent + len(sources) * (bits + TAG_BITS)
                for source in sources:
                    part[source] -= bits + TAG_BITS
        self._usable[pair] += made
        self._used[pair] += spent
        return Combined(made, spent)

    def use(self, pair: int, bits: int, *, now_s: int) -> None:
        self._usable[pair] -= bits
        self._used[pair] += bits

    def accounts(self) -> tuple[Account, ...]:
        found = [*self._links(), *self._pairs()]
        return tuple(sorted(each for each in found if each.live_bits or each.spent_bits or each.wiped_bits))

    def _take(self, link: tuple[int, int], bits: int) -> None:
        pieces, left = self._pieces[link], bits
        while left:
            came_s, held = pieces.popleft()
            if held > left:
                pieces.appendleft((came_s, held - left))
            left -= min(held, left)
        self._link[link] -= bits
        self._spent[link] += bits

    def _links(self) -> Iterator[Account]:
        for s, craft in enumerate(self._network.satellites):
            for g, ground in enumerate(self._network.stations):
                bits = tuple(int(each[s, g]) for each in (self._link, self._spent, self._wiped))
                yield Account(craft.name, ground.name, "link", *bits)
                yield Account(ground.name, craft.name, "link", *bits)

    def _pairs(self) -> Iterator[Account]:
        """Pairs of the same two stations lie in one account."""
        of_stations: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for number, pair in enumerate(self._network.pairs):
            total = of_stations[_names(self._network, pair)]
            total[0] += self._usable[number] + sum(sum(part.values()) for part in self._parts[number])
            total[1] += self._used[number]
        for (a, b), (live, spent) in of_stations.items():
            yield Account(a, b, "pair", live, spent, 0)
            yield Account(b, a, "pair", live, spent, 0)


def _names(network: Network, pair: Pair) -> tuple[str, str]:
    a, b = sorted(network.stations[end].name for end in (pair.a, pair.b))
    return a, b
