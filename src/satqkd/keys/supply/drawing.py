"""The master's side of a supply: stretches of key reserved ahead, handed out of memory, settled.

One pool of stretches for each pair of applications (and what they demand of their key's way). A refill is
one durable change; drawing costs none. A pool that nobody drew from for a while gives its rest back.
"""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, select

from satqkd.config import KeyNetwork
from satqkd.errors import KeyExhausted, KeyNotFound, OriginRefused
from satqkd.keys.ledger import id_secrets, ledger, reservations
from satqkd.keys.ledger.key_ids import KeyIds
from satqkd.keys.ledger.ledger import Block, Use
from satqkd.keys.ledger.reservations import Reserved
from satqkd.keys.model import DEMO_ORIGINS, KeyRange, Paths, weakest_origin
from satqkd.keys.paths import from_text, known_to, withstands
from satqkd.keys.secret import Secret
from satqkd.keys.sql.schema import BLOCKS
from satqkd.keys.store.key_store import KeyStore
from satqkd.keys.store.policy import require_quota
from satqkd.keys.supply_door import ConstraintsUnmet, KeyBatch, KeyRequest

SHARE: Final = 8
"""A reservation takes at most this part of what there is, so that one pair does not starve the others."""
IDLE_SETTLES: Final = 60
"""After so many settlings without a draw a pool gives its key back."""
PURPOSE: Final = "delivered"

PoolName = tuple[str, str, tuple[str, ...], frozenset[str], int]


class Stretch:
    """A reservation under way: so much of it is handed out."""

    def __init__(self, reserved: Reserved, ids: KeyIds) -> None:
        self.reserved, self.ids = reserved, ids
        self.paths = from_text(reserved.block.paths)
        self.handed_bytes = 0

    @property
    def left_bytes(self) -> int:
        """What is still to be handed out."""
        return len(self.reserved.key) - self.handed_bytes

    def hand_out(self, count: int, size_bytes: int, into: memoryview) -> list[str]:
        """Copy the next keys out and name them."""
        start = self.handed_bytes
        self.handed_bytes += count * size_bytes
        into[: count * size_bytes] = self.reserved.key.expose()[start : self.handed_bytes]
        base = self.reserved.piece.offset_bits // 8 + start
        return self.ids.make([(base + i * size_bytes, size_bytes) for i in range(count)])


class Pool:
    """Stretches of one pair of applications."""

    def __init__(self, request: KeyRequest) -> None:
        self.holder = _holder(request)
        self.peer = request.peer
        self.stretches: list[Stretch] = []
        self.idle = 0

    def needs_settling(self) -> bool:
        """Whether key was handed out since the last time, or none for so long that it is given back."""
        self.idle += 1
        return self.idle > IDLE_SETTLES or any(each.handed_bytes for each in self.stretches)

    def holds(self, count: int, size_bytes: int) -> bool:
        """Whether so many keys are in memory."""
        return sum(each.left_bytes // size_bytes for each in self.stretches) >= count


class Drawing:
    """All pools of a store."""

    def __init__(self, store: KeyStore, *, demo: bool, reserved_bits: int, network: KeyNetwork) -> None:
        self._network = network
        self._store, self._demo, self._reserved_bits = store, demo, reserved_bits
        self._pools: dict[PoolName, Pool] = {}
        self._round: list[PoolName] = []
        """Pools that are still to be settled this time."""

    def ready(self, request: KeyRequest) -> bool:
        """Whether keys can be handed out of memory."""
        pool = self._pools.get(_name(request))
        return pool is not None and pool.holds(request.count, request.size_bits // 8)

    def held_bits(self, peer: str) -> int:
        """What is reserved with a peer and not handed out."""
        pools = (pool for pool in self._pools.values() if pool.peer == peer)
        return sum(8 * each.left_bytes for pool in pools for each in pool.stretches)

    def draw(self, request: KeyRequest, now_utc: str) -> KeyBatch:
        """New keys. Raises KeyExhausted, KeyNotFound, OriginRefused, ConstraintsUnmet."""
        if not self.ready(request):
            self._refill(request, now_utc)
        pool = self._pools[_name(request)]
        pool.idle = 0
        size_bytes = request.size_bits // 8
        keys = bytearray(request.count * size_bytes)
        ids: list[str] = []
        paths: list[Paths] = []
        origins: list[str] = []
        for stretch in pool.stretches:
            count = min(stretch.left_bytes // size_bytes, request.count - len(ids))
            if count:
                ids += stretch.hand_out(count, size_bytes, memoryview(keys)[len(ids) * size_bytes :])
                paths += [stretch.paths] * count
                origins.append(stretch.reserved.block.origin)
        return KeyBatch(tuple(ids), Secret(keys), request.size_bits, weakest_origin(origins), tuple(paths))

    def settle(self, now_utc: str) -> bool:
        """Write down what was handed out of one pool, or give back what lies idle; whether more pools wait.

        So that nobody waits long for the database; call it until the round is over.
        """
        if not self._round:
            self._round = [name for name, pool in self._pools.items() if pool.needs_settling()]
        if self._round:
            name = self._round.pop()
            pool = self._pools[name]
            self._settle({name: pool}, now_utc, keep=() if pool.idle > IDLE_SETTLES else (name,))
        return bool(self._round)

    def forget_retired(self) -> None:
        """Key that was given up by whomever leaves the memory."""
        held = [each for pool in self._pools.values() for each in pool.stretches]
        if not held:
            return
        with self._store.snapshot() as connection:
            there = reservations.standing(connection, (each.reserved.pk for each in held))
        for pool in self._pools.values():
            for each in pool.stretches:
                if each.reserved.pk not in there:
                    each.reserved.key.wipe()
            pool.stretches = [each for each in pool.stretches if each.reserved.pk in there]

    def close(self, now_utc: str) -> None:
        """Write down what was handed out and give the rest back."""
        self._round = []
        self._settle(dict(self._pools), now_utc, keep=())

    def _settle(self, pools: dict[PoolName, Pool], now_utc: str, *, keep: Iterable[PoolName]) -> None:
        if not pools:
            return
        kept = frozenset(keep)
        with self._store.part() as connection:
            rests = {
                name: _settled(connection, pool, now_utc, keep=name in kept) for name, pool in pools.items()
            }
        for name, pool in pools.items():
            for old in pool.stretches:
                old.reserved.key.wipe()
            pool.stretches = rests[name]
            if name not in kept:
                del self._pools[name]

    def _refill(self, request: KeyRequest, now_utc: str) -> None:
        name = _name(request)
        pool = self._pools.get(name) or Pool(request)
        size_bytes = request.size_bits // 8
        short_bits = (
            8 * size_bytes * (request.count - sum(each.left_bytes // size_bytes for each in pool.stretches))
        )
        with self._store.part() as connection:
            blocks = self._suiting(connection, request)
            new = self._reserve(connection, blocks, short_bits, request, now_utc)
        pool.stretches = [each for each in pool.stretches if each.left_bytes or each.handed_bytes] + new
        self._pools[name] = pool

    def _suiting(self, connection: Connection, request: KeyRequest) -> list[Block]:
        """Blocks that may serve a request. Raises KeyNotFound, ConstraintsUnmet, OriginRefused."""
        pair = (BLOCKS.c.peer == request.peer) & (BLOCKS.c.kind == "pair") & (BLOCKS.c.state == "confirmed")
        rows = connection.execute(select(BLOCKS).where(pair).order_by(BLOCKS.c.pk)).all()
        if not rows:
            raise KeyNotFound(f"no pair key with {request.peer!r} in this store; see `satqkd keys status`")
        suiting = [row for row in rows if _suits(from_text(row.paths), request)]
        if not suiting:
            raise ConstraintsUnmet(
                f"no key with {request.peer!r} withstands {request.colluders - 1} nodes on its way, and is "
                f"unknown to {sorted(request.avoid)}"
            )
        secret = [row for row in suiting if self._demo or row.origin not in DEMO_ORIGINS]
        if not secret:
            raise OriginRefused(
                f"all key with {request.peer!r} came from the digital twin or recorded tags: not secret; "
                f"for a demonstration say --demo"
            )
        return secret

    def _reserve(
        self, connection: Connection, blocks: list[Block], short_bits: int, request: KeyRequest, utc: str
    ) -> list[Stretch]:
        free_bits = sum(p.length_bits for block in blocks for p in ledger.own_free(connection, block))
        wanted = max(short_bits, min(self._reserved_bits, free_bits // SHARE))
        left = require_quota(connection, self._network, request.peer, short_bits, utc)
        wanted = wanted if left is None else min(wanted, left)
        new: list[Stretch] = []
        got = 0
        for block in blocks:
            if got >= wanted:
                break
            stretches = _of_block(connection, block, wanted - got, request, utc)
            got += sum(each.reserved.piece.length_bits for each in stretches)
            new += stretches
        if got < short_bits:
            raise KeyExhausted(
                f"key for {_holder(request)}: {short_bits} bits are wanted, {got} are left in keys of "
                f"{request.size_bits}; run another pass or relay"
            )
        return new


def _of_block(
    connection: Connection, block: Block, bits: int, request: KeyRequest, utc: str
) -> list[Stretch]:
    """Stretches of one block, `bits` in all or what there is, in whole keys."""
    found: list[Stretch] = []
    if not ledger.own_free(connection, block):
        return found
    secret = id_secrets.take(connection, block, own=True, utc=utc)
    if secret is None:
        return found
    with secret:
        ids = KeyIds(block.block_id, secret, master=request.master, slaves=request.slaves)
    size = request.size_bits
    for piece in ledger.own_free(connection, block):
        length = min(piece.length_bits // size, -(-bits // size)) * size
        if length > 0:
            stretch = KeyRange(piece.block_id, piece.offset_bits, length)
            found.append(
                Stretch(reservations.reserve(connection, block, stretch, _holder(request), utc), ids)
            )
            bits -= length
    return found


def _holder(request: KeyRequest) -> str:
    return f"{request.master}>{','.join(request.slaves)}"


def _settled(connection: Connection, pool: Pool, utc: str, *, keep: bool) -> list[Stretch]:
    rests: list[Stretch] = []
    use = Use(PURPOSE, pool.holder, utc)
    for each in pool.stretches:
        rest = reservations.settle(connection, each.reserved, 8 * each.handed_bytes, use, keep=keep)
        if rest is not None:
            rests.append(Stretch(rest, each.ids))
    return rests


def _suits(paths: Paths, request: KeyRequest) -> bool:
    return withstands(paths, request.colluders) and not known_to(paths, request.avoid)


def _name(request: KeyRequest) -> PoolName:
    return request.peer, request.master, request.slaves, request.avoid, request.colluders
