"""Key of pairs in the real stores of an operation: what waits, what is combined, what is used.

Pairs of the same two stations lie in one store, which tells key apart by who knew it on its way: by the
satellite, before it is combined, and by how many satellites, after. Key of equal paths is equally good for
every pair; how much of it belongs to which is counted here, for such pairs alone.
"""

from collections import Counter
from collections.abc import Iterator

from sqlalchemy import Connection

from satqkd.errors import LocalProtocolError
from satqkd.keys import KeyStore, Secret, Spent
from satqkd.keys.ledger.ledger import Use, half_bits
from satqkd.keys.model import Paths
from satqkd.keys.network import sources
from satqkd.keys.network.combination import accept_combination, combine_pairs
from satqkd.plan.ledger import TAG_BITS, Combined
from satqkd.plan.network import Network
from satqkd.plan.relaying import wrapped


class PairKeys:
    """Of all pairs. stores: of each station, in the network's order."""

    def __init__(self, network: Network, stores: list[KeyStore]) -> None:
        self._network, self._stores = network, stores
        self._satellites = [each.name for each in network.satellites]
        self._index = {name: k for k, name in enumerate(self._satellites)}
        self._made = self._used = 0
        sharing = Counter(frozenset((pair.a, pair.b)) for pair in network.pairs)
        self._own: dict[int, tuple[Counter[int], Counter[int]]] = {
            k: (Counter(), Counter())
            for k, pair in enumerate(network.pairs)
            if sharing[frozenset((pair.a, pair.b))] > 1
        }
        """Of pairs that share a store: key over one satellite, by the satellite, of either end's part."""

    def ends(self, pair: int) -> tuple[KeyStore, KeyStore]:
        """By name: the first allocates the first half of a block."""
        of = self._network.pairs[pair]
        first, second = sorted((self._stores[of.a], self._stores[of.b]), key=lambda store: store.node_id)
        return first, second

    def came(self, pair: int, satellite: int, bits: int) -> None:
        """A relay gave both ends so much."""
        if pair in self._own:
            half = half_bits(bits)
            for own, part in zip(self._own[pair], (half, bits - half), strict=True):
                own[satellite] += part

    def waiting(self, pair: int) -> Counter[int]:
        """Key over one satellite, by the satellite."""
        return Counter(self._over_one(pair, 0)) + Counter(self._over_one(pair, 1))

    def combine(self, pair: int, utc: str) -> Combined:
        """All that `wrapped` finds, at either end."""
        made = spent = 0
        for end in (0, 1):
            for bits, chosen in wrapped(self._over_one(pair, end), self._apart(pair)):
                self._combine(pair, end, bits, chosen, utc)
                made, spent = made + bits, spent + len(chosen) * (bits + TAG_BITS)
        return Combined(made, spent)

    def use(self, pair: int, bits: int, utc: str) -> None:
        """Of either end's part; raises LocalProtocolError where there is less."""
        self._used += 1
        use, left = Use("operation", f"use {self._used}", utc), bits
        for end in (0, 1):
            taken = min(left, self._usable(pair, end))
            if taken:
                self._use(pair, end, taken, use)
            left -= taken
        if left:
            first, second = self.ends(pair)
            raise LocalProtocolError(
                f"pair {first.node_id}-{second.node_id}: {left} bits used that are not there"
            )

    def _apart(self, pair: int) -> int:
        return self._network.pairs[pair].wish.satellites

    def _sides(self, pair: int, end: int) -> tuple[KeyStore, KeyStore]:
        """The end itself, and the other."""
        ends = self.ends(pair)
        return ends[end], ends[1 - end]

    def _over_one(self, pair: int, end: int) -> dict[int, int]:
        """Key that one satellite knows, of an end's own part, by the satellite."""
        if pair in self._own:
            return dict(+self._own[pair][end])
        return {self._index[each.paths[0][0]]: each.live_bits for each in self._sources(pair, end, 1)}

    def _sources(self, pair: int, end: int, apart: int) -> list[sources.Source]:
        """Key over so many satellites that an end may allocate."""
        own, other = self._sides(pair, end)
        with own.snapshot() as connection:
            found = sources.sources(connection, other.node_id, "pair", demo=True)
        return [each for each in found if len(each.paths) == apart]

    def _combine(self, pair: int, end: int, bits: int, chosen: tuple[int, ...], utc: str) -> None:
        own, other = self._sides(pair, end)
        self._made += 1
        record = combine_pairs(
            own,
            other.node_id,
            bits,
            through=[self._over(each) for each in chosen],
            combination_id=f"combination-{self._made}",
            now_utc=utc,
            demo=True,
        )
        accept_combination(other, record.data, now_utc=utc, demo=True)
        if pair in self._own:
            for satellite in chosen:
                self._own[pair][end][satellite] -= bits + TAG_BITS

    def _over(self, satellite: int) -> Paths:
        return ((self._satellites[satellite],),)

    def _usable(self, pair: int, end: int) -> int:
        own, other = self._sides(pair, end)
        if self._apart(pair) > 1:
            return sum(each.live_bits for each in self._sources(pair, end, self._apart(pair)))
        if pair in self._own:
            return self._own[pair][end].total()
        return own.available_bits(other.node_id, "pair", demo=True)

    def _use(self, pair: int, end: int, bits: int, use: Use) -> None:
        """At one end, then at the other where the first says; both ends' bytes are compared."""
        own, other = self._sides(pair, end)
        for spent in self._spent(pair, end, bits, use):
            again = other.spend_at(
                own.node_id,
                "pair",
                spent.ranges,
                purpose=use.purpose,
                reference=use.reference,
                now_utc=use.utc,
                demo=True,
            )
            _require_equal(own, other, spent.key, again.key)

    def _spent(self, pair: int, end: int, bits: int, use: Use) -> Iterator[Spent]:
        own, other = self._sides(pair, end)
        if self._apart(pair) == 1 and pair not in self._own:
            yield own.spend(
                other.node_id,
                "pair",
                bits,
                purpose=use.purpose,
                reference=use.reference,
                now_utc=use.utc,
                demo=True,
            )
            return
        for paths, taken in self._parts(pair, end, bits):
            with own.transaction() as connection:
                yield _taken(connection, other.node_id, paths, taken, use)

    def _parts(self, pair: int, end: int, bits: int) -> Iterator[tuple[Paths, int]]:
        """How much of which key a use takes."""
        if self._apart(pair) > 1:
            live = [(each.paths, each.live_bits) for each in self._sources(pair, end, self._apart(pair))]
            yield from _cut(live, bits)
            return
        own = self._own[pair][end]
        for paths, taken in _cut([(self._over(each), held) for each, held in sorted(own.items())], bits):
            own[self._index[paths[0][0]]] -= taken
            yield paths, taken


def _cut(live: list[tuple[Paths, int]], bits: int) -> Iterator[tuple[Paths, int]]:
    for paths, held in live:
        if taken := min(bits, held):
            yield paths, taken
            bits -= taken


def _taken(connection: Connection, peer: str, paths: Paths, bits: int, use: Use) -> Spent:
    ranges = sources.allocate(connection, peer, "pair", bits, demo=True, paths=paths)
    return sources.take(connection, peer, "pair", ranges, use)[0]


def _require_equal(own: KeyStore, other: KeyStore, one: Secret, two: Secret) -> None:
    with one as first, two as second:
        if first.expose() != second.expose():
            raise LocalProtocolError(f"pair {own.node_id}-{other.node_id}: both ends hold other key")
