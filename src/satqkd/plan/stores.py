"""An operation in real key stores: each satellite and each station has one, and both ends hold equal bytes.

Link key is bytes of a seeded generator of origin `twin`; relays, combinations and uses go through the doors
of the key room, so every bit is given out once, by the rules inside the database. For demonstration alone:
the bytes are no secret.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np

from satqkd.errors import ConfigError, LocalProtocolError
from satqkd.keys import KeyStore, Secret, Spent, accept_relay, make_relay
from satqkd.keys.ledger.ledger import Use
from satqkd.keys.network import sources
from satqkd.keys.network.combination import accept_combination, combine_pairs
from satqkd.keys.store.retirement import expire
from satqkd.plan.ledger import TAG_BITS, Account, Bits, Combined, Piece
from satqkd.plan.network import Network
from satqkd.plan.relaying import wrapped
from satqkd.randomness import stream
from satqkd.sky import format_utc, parse_utc


class Stores:
    """A `Ledger` of `KeyStore`s in a folder, `NODE.db` each. Close it.

    Raises ResourceError where there are stores already, ConfigError for two pairs of the same stations of
    which one wants several satellites: their key would lie mixed in one store.
    """

    def __init__(self, network: Network, folder: Path, *, seed: int) -> None:
        _require_apart(network)
        self._network, self._seed, self._count = network, seed, Counter[str]()
        folder.mkdir(parents=True, exist_ok=True)
        satellites = [each.name for each in network.satellites]
        stations = [each.name for each in network.stations]
        self._index = {name: k for names in (satellites, stations) for k, name in enumerate(names)}
        with ExitStack() as opening:
            self.nodes = {
                name: opening.enter_context(KeyStore.create(folder / f"{name}.db", name))
                for name in (*satellites, *stations)
            }
            self._open = opening.pop_all()
        self._above = [self.nodes[name] for name in satellites]
        self._below = [self.nodes[name] for name in stations]

    def __enter__(self) -> "Stores":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release files and locks."""
        self._open.close()

    @contextmanager
    def period(self) -> Iterator[None]:
        """Of each store one change; those of different stores end one after another."""
        with ExitStack() as changes:
            for store in self.nodes.values():
                changes.enter_context(store.work())
            yield

    def receive(self, satellite: int, station: int, bits: int, *, now_s: int) -> None:
        """See `Ledger`, as for all others."""
        above, below = self._above[satellite], self._below[station]
        block = f"pass/{self._number('pass')}"
        key = stream(self._seed, "operation", block).bytes(bits // 8)
        for store, peer in ((above, below.node_id), (below, above.node_id)):
            store.add_block(
                block,
                peer=peer,
                kind="link",
                origin="twin",
                key=key,
                state="confirmed",
                allocator=above.node_id,
                now_utc=self._utc(now_s),
            )

    def expire(self, before_s: int, *, now_s: int) -> Bits:
        before_utc, now_utc = self._utc(before_s), self._utc(now_s)
        old = self._on_board(before_utc)
        for stores, sides in ((self._above, old), (self._below, old.T)):
            for store, side in zip(stores, sides, strict=True):
                gone = expire(store, before_utc, kind="link", now_utc=now_utc)
                _require_given_up(store, int(side.sum()), gone.bits)
        return old

    def link_bits(self) -> Bits:
        return self._on_board()

    def pieces(self) -> Iterator[Piece]:
        for satellite, store in enumerate(self._above):
            for block in sorted(store.live_blocks("link"), key=lambda each: self._index[each.peer]):
                came_s = (parse_utc(block.created_utc) - self._network.start).total_seconds()
                yield Piece(satellite, self._index[block.peer], round(came_s), block.live_bits)

    def relay(self, satellite: int, pair: int, bits: int, *, now_s: int) -> None:
        above, (first, second), utc = self._above[satellite], self._ends(pair), self._utc(now_s)
        record = make_relay(
            above,
            first.node_id,
            second.node_id,
            bits,
            relay_id=f"relay-{self._number('relay')}",
            now_utc=utc,
            demo=True,
        )
        for end in (first, second):
            accept_relay(end, record.data, now_utc=utc, demo=True)

    def waiting(self, pair: int) -> Counter[int]:
        first, second = self._ends(pair)
        return Counter(self._waiting(first, second)) + Counter(self._waiting(second, first))

    def combine(self, pair: int, *, now_s: int) -> Combined:
        made = spent = 0
        first, second = self._ends(pair)
        for own, other in ((first, second), (second, first)):
            for bits, chosen in wrapped(self._waiting(own, other), self._network.pairs[pair].wish.satellites):
                self._combine(own, other, bits, chosen, self._utc(now_s))
                made, spent = made + bits, spent + len(chosen) * (bits + TAG_BITS)
        return Combined(made, spent)

    def use(self, pair: int, bits: int, *, now_s: int) -> None:
        first, second = self._ends(pair)
        reference, left = f"use {self._number('use')}", bits
        several = self._network.pairs[pair].wish.satellites > 1
        for own, other in ((first, second), (second, first)):
            taken = min(left, self._allocable(own, other, several=several))
            if taken:
                self._use(own, other, taken, Use("operation", reference, self._utc(now_s)), several=several)
            left -= taken
        if left:
            raise LocalProtocolError(
                f"pair {first.node_id}-{second.node_id}: {left} bits used that are not there"
            )

    def accounts(self) -> tuple[Account, ...]:
        bits: Counter[tuple[str, str, str, str]] = Counter()
        for name, store in self.nodes.items():
            for row in store.list_blocks():
                for state in ("live", "spent", "wiped"):
                    bits[name, row.peer, row.kind, state] += getattr(row, f"{state}_bits")
        keys = sorted({key[:3] for key in bits})
        return tuple(
            Account(*key, *(bits[*key, state] for state in ("live", "spent", "wiped"))) for key in keys
        )

    def _combine(self, own: KeyStore, other: KeyStore, bits: int, chosen: tuple[int, ...], utc: str) -> None:
        record = combine_pairs(
            own,
            other.node_id,
            bits,
            through=[((self._above[each].node_id,),) for each in chosen],
            combination_id=f"combination-{self._number('combination')}",
            now_utc=utc,
            demo=True,
        )
        accept_combination(other, record.data, now_utc=utc, demo=True)

    def _waiting(self, own: KeyStore, other: KeyStore) -> dict[int, int]:
        """Key that one satellite knows, of an end's own part, by the satellite."""
        with own.snapshot() as connection:
            found = sources.sources(connection, other.node_id, "pair", demo=True)
        return {self._index[each.paths[0][0]]: each.live_bits for each in found if len(each.paths) == 1}

    def _allocable(self, own: KeyStore, other: KeyStore, *, several: bool) -> int:
        if not several:
            return own.available_bits(other.node_id, "pair", demo=True)
        with own.snapshot() as connection:
            found = sources.sources(connection, other.node_id, "pair", demo=True)
        return sum(each.live_bits for each in found if len(each.paths) > 1)

    def _use(self, own: KeyStore, other: KeyStore, bits: int, use: Use, *, several: bool) -> None:
        """At one end, then at the other where the first says; both ends' bytes are compared."""
        for spent in self._spent(own, other, bits, use, several=several):
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

    def _spent(
        self, own: KeyStore, other: KeyStore, bits: int, use: Use, *, several: bool
    ) -> Iterator[Spent]:
        if not several:
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
        with own.transaction() as connection:
            for source in sources.sources(connection, other.node_id, "pair", demo=True):
                taken = min(bits, source.live_bits) if len(source.paths) > 1 else 0
                if taken:
                    ranges = sources.allocate(
                        connection, other.node_id, "pair", taken, demo=True, paths=source.paths
                    )
                    yield sources.take(connection, other.node_id, "pair", ranges, use)[0]
                    bits -= taken

    def _on_board(self, before_utc: str | None = None) -> Bits:
        """Unused link key, all of it or what came before a time, shape (satellites, stations)."""
        bits = np.zeros((len(self._above), len(self._below)), dtype=np.int64)
        for satellite, store in enumerate(self._above):
            for block in store.live_blocks("link"):
                if before_utc is None or block.created_utc < before_utc:
                    bits[satellite, self._index[block.peer]] += block.live_bits
        return bits

    def _ends(self, pair: int) -> tuple[KeyStore, KeyStore]:
        """By name: the first allocates the first half of a block."""
        of = self._network.pairs[pair]
        first, second = sorted((self._below[of.a], self._below[of.b]), key=lambda store: store.node_id)
        return first, second

    def _number(self, what: str) -> int:
        self._count[what] += 1
        return self._count[what]

    def _utc(self, t_s: int) -> str:
        return format_utc(self._network.start + timedelta(seconds=t_s))


def _require_equal(own: KeyStore, other: KeyStore, one: Secret, two: Secret) -> None:
    with one as first, two as second:
        if first.expose() != second.expose():
            raise LocalProtocolError(f"pair {own.node_id}-{other.node_id}: both ends hold other key")


def _require_given_up(store: KeyStore, old_bits: int, bits: int) -> None:
    if bits != old_bits:
        raise LocalProtocolError(f"{store.node_id}: {old_bits} bits of link key are old, {bits} given up")


def _require_apart(network: Network) -> None:
    found = Counter(frozenset((pair.a, pair.b)) for pair in network.pairs)
    for pair in network.pairs:
        if pair.wish.satellites > 1 and found[frozenset((pair.a, pair.b))] > 1:
            raise ConfigError(
                f"pair {pair.name}: expected no other pair of its stations where key over several satellites "
                "is kept in stores, got one: their key would lie mixed; use the ledger of books"
            )
