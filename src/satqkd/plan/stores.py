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

from satqkd.errors import LocalProtocolError
from satqkd.keys import KeyStore, accept_relay, make_relay
from satqkd.keys.store.retirement import expire
from satqkd.plan.ledger import Account, Bits, Combined, Piece
from satqkd.plan.network import Network
from satqkd.plan.stores_pairs import PairKeys
from satqkd.randomness import stream
from satqkd.sky import format_utc, parse_utc


class Stores:
    """A `Ledger` of `KeyStore`s in a folder, `NODE.db` each. Close it.

    Raises ResourceError where there are stores already.
    """

    def __init__(self, network: Network, folder: Path, *, seed: int) -> None:
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
        self._pairs = PairKeys(network, self._below)

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
        above, (first, second), utc = self._above[satellite], self._pairs.ends(pair), self._utc(now_s)
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
        self._pairs.came(pair, satellite, bits)

    def waiting(self, pair: int) -> Counter[int]:
        return self._pairs.waiting(pair)

    def combine(self, pair: int, *, now_s: int) -> Combined:
        return self._pairs.combine(pair, self._utc(now_s))

    def use(self, pair: int, bits: int, *, now_s: int) -> None:
        self._pairs.use(pair, bits, self._utc(now_s))

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

    def _on_board(self, before_utc: str | None = None) -> Bits:
        """Unused link key, all of it or what came before a time, shape (satellites, stations)."""
        bits = np.zeros((len(self._above), len(self._below)), dtype=np.int64)
        for satellite, store in enumerate(self._above):
            for block in store.live_blocks("link"):
                if before_utc is None or block.created_utc < before_utc:
                    bits[satellite, self._index[block.peer]] += block.live_bits
        return bits

    def _number(self, what: str) -> int:
        self._count[what] += 1
        return self._count[what]

    def _utc(self, t_s: int) -> str:
        return format_utc(self._network.start + timedelta(seconds=t_s))


def _require_given_up(store: KeyStore, old_bits: int, bits: int) -> None:
    if bits != old_bits:
        raise LocalProtocolError(f"{store.node_id}: {old_bits} bits of link key are old, {bits} given up")
