"""`KeySupply`: keys with ids for applications, out of the pair key of a store.

    supply = KeySupply(store)
    batch = supply.draw(KeyRequest(peer="graz", master="a", slaves=("b",), count=1, size_bits=256), ...)

The master's end reserves ahead and hands out of memory (`drawing`); the slave's end reads the ids and gives
the same bytes from its copy, marked as used before they are given (`fetching`). Two clients of one node share
fresh random key, which is no quantum key, and says so by its origin. One thread at a time, and never within
another change of the store: what leaves here cannot be undone.
"""

import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Final

from satqkd.config import KeyNetwork
from satqkd.errors import ConfigError
from satqkd.exposition import Metric
from satqkd.keys.care.metrics import numbers_of, store_metrics
from satqkd.keys.ledger import held, ledger
from satqkd.keys.ledger.held import Holding
from satqkd.keys.ledger.key_ids import LARGEST_KEY_BYTES, random_id
from satqkd.keys.push.intake import StoreIntake
from satqkd.keys.push_door import Intake
from satqkd.keys.secret import Secret
from satqkd.keys.store.key_store import KeyStore
from satqkd.keys.store.policy import expire_by_policy, link_rows
from satqkd.keys.supply.drawing import Drawing
from satqkd.keys.supply.fetching import Fetching
from satqkd.keys.supply_door import KeyBatch, KeyRequest

TIDY_ROUNDS: Final = 10
"""After so many rounds of settling what was overwritten leaves the database's log too."""
RESERVED_BITS: Final = 1 << 20
"""Of one reservation: 4096 keys of 256 bits; what a kill loses at most for a pair of applications."""

_HOUR: Final = len("2026-01-02T03")


class KeySupply:
    """The supply of a node's store. Settle it about once a second; close it before the store."""

    def __init__(
        self,
        store: KeyStore,
        *,
        demo: bool = False,
        reserved_bits: int = RESERVED_BITS,
        network: KeyNetwork | None = None,
        randbytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """network: the policy whose daily quotas hold, and by which old key expires once an hour."""
        self._store, self._demo, self._randbytes = store, demo, randbytes
        self._reserved_bits, self._seen = reserved_bits, store.retirements
        self._network, self._expired_hour = network or KeyNetwork(), ""
        self._rounds = 0
        self._drawing = Drawing(store, demo=demo, reserved_bits=reserved_bits, network=self._network)
        self._fetching = Fetching(store, demo=demo)

    @property
    def node_id(self) -> str:
        """Whose store it is."""
        return self._store.node_id

    def available_bits(self, peer: str) -> int:
        """What could be handed out now for applications of a peer; a fixed number for local ones."""
        if peer == self.node_id:
            return self._reserved_bits
        with self._store.snapshot() as connection:
            free = sum(p.length_bits for p, _ in ledger.free(connection, peer, "pair", demo=self._demo))
        return free + self._drawing.held_bits(peer)

    def metrics(self, *, now_utc: str) -> list[Metric]:
        """The store's numbers with the alarms of the policy, as `satqkd keys status --metrics` tells them."""
        rows = link_rows(self._store, self._network, now_utc=now_utc)
        return list(store_metrics(numbers_of(self._store, rows)))

    def ready(self, request: KeyRequest) -> bool:
        """Whether `draw` would give these keys out of memory, without touching a disk."""
        self._notice()
        return request.peer != self.node_id and self._drawing.ready(request)

    def draw(self, request: KeyRequest, *, now_utc: str) -> KeyBatch:
        """New keys, all or none, handed out once for ever.

        Raises KeyExhausted, KeyNotFound (no pair key with the peer at all), OriginRefused (there is only key
        that is not secret), ConstraintsUnmet, ConfigError (a size that no id can name).
        """
        self._store.require_no_change()
        if request.count < 1 or request.size_bits % 8 or not 8 <= request.size_bits <= 8 * LARGEST_KEY_BYTES:
            raise ConfigError(
                f"keys: expected one or more of 8 to {8 * LARGEST_KEY_BYTES} bits in steps of 8, got "
                f"{request.count} of {request.size_bits}"
            )
        if request.peer == self.node_id:
            return self._draw_local(request, now_utc)
        self._notice()
        return self._drawing.draw(request, now_utc)

    def fetch(
        self, peer: str, *, master: str, slave: str, key_ids: Sequence[str], now_utc: str
    ) -> list[KeyBatch]:
        """Keys that a master at `peer` drew, in the order asked, one batch a run of one size; all or none.

        Each is given once to each slave. Raises KeyNotFound (unknown, or given before), NotEntitled,
        OriginRefused; nothing is then used.
        """
        self._store.require_no_change()
        self._notice()
        return self._fetching.fetch(peer, master=master, slave=slave, key_ids=key_ids, now_utc=now_utc)

    def entitle(
        self, key_ids: Sequence[str], *, peer: str, master: str, slaves: Sequence[str], now_utc: str
    ) -> None:
        """Several slaves, clients of this node, may fetch keys that a master at `peer` drew.

        slaves: as in the request that drew them, the first first. Raises KeyNotFound, NotEntitled.
        """
        self._store.require_no_change()
        self._fetching.entitle(key_ids, peer=peer, master=master, slaves=slaves, now_utc=now_utc)

    def intake(self, sender: str, *, peers: Collection[str], chunk_bytes: int) -> Intake:
        """Where a process that makes key pushes it into; what came whole can be drawn at once."""
        return StoreIntake(self._store, sender, peers=peers, chunk_bytes=chunk_bytes)

    def settle(self, *, now_utc: str) -> bool:
        """Write some of what was handed out down, and overwrite it on the disk; whether there is more.

        What was given up meanwhile, by whomever, leaves the memory.
        """
        self._store.require_no_change()
        self._drawing.forget_retired()
        if self._drawing.settle(now_utc):
            return True
        self._fetching.settle()
        self._rounds += 1
        if self._rounds % TIDY_ROUNDS == 0:
            self._store.tidy()
        if now_utc[:_HOUR] != self._expired_hour:
            self._expired_hour = now_utc[:_HOUR]
            expire_by_policy(self._store, self._network, now_utc=now_utc)
        return False

    def close(self, *, now_utc: str) -> None:
        """Write down what was handed out and give the rest back. May be called again."""
        self._drawing.close(now_utc)
        self._fetching.close()
        self._store.tidy()

    def _notice(self) -> None:
        """Key that this process has given up is not handed out; `settle` notices what others give up."""
        if self._seen != self._store.retirements:
            self._seen = self._store.retirements
            self._drawing.forget_retired()
            self._fetching.forget_retired()

    def _draw_local(self, request: KeyRequest, now_utc: str) -> KeyBatch:
        size_bytes = request.size_bits // 8
        keys = bytearray(self._randbytes(request.count * size_bytes))
        ids = tuple(random_id(self._randbytes(16)) for _ in range(request.count))
        about = Holding(peer=self.node_id, master=request.master, origin=held.LOCAL_ORIGIN, paths=())
        with self._store.transaction() as connection:
            for i, key_id in enumerate(ids):
                key = memoryview(keys)[i * size_bytes : (i + 1) * size_bytes]
                held.hold(connection, key_id, request.slaves, key, about, now_utc)
        return KeyBatch(ids, Secret(keys), request.size_bits, held.LOCAL_ORIGIN, ((),) * request.count)
