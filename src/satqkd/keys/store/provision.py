"""Authentication key for two stores that are in one room, before the satellite flies.

Both get the same fresh block or neither uses it. Two files cannot be changed in one transaction: the
block is stored at both ends first and confirmed after, and a run that was killed between is finished or
undone by the next, so that blocks lie at the same positions of both pools. How far each end has used its
pool may differ, after passes that only one end heard of: then both go on from the later position.
"""

from collections.abc import Callable

from satqkd.errors import ConfigError, KeyStoreError
from satqkd.keys.model import BlockRow, check_bits
from satqkd.keys.secret import Secret
from satqkd.keys.store.key_store import KeyStore


def provision(
    store_a: KeyStore, store_b: KeyStore, bits: int, *, randbytes: Callable[[int], bytes], now_utc: str
) -> str:
    """Put the same `bits` random bits into both authentication pools; returns the block's id.

    Both ends then stand at the same position; what one had not used before it is wiped.
    Raises KeyStoreError when the two pools do not match to begin with.
    """
    check_bits(bits, "bits to provision")
    if store_a.node_id == store_b.node_id:
        raise ConfigError(f"provision: expected stores of two nodes, got {store_a.node_id!r} twice")
    _settle(store_a, store_b, now_utc)
    _meet(store_a, store_b, now_utc)
    block_id = f"auth:{randbytes(8).hex()}"
    with Secret(randbytes(bits // 8)) as key:
        for store, peer in ((store_a, store_b.node_id), (store_b, store_a.node_id)):
            store.add_block(block_id, peer=peer, kind="auth", origin="provisioned", key=key, now_utc=now_utc)
    for store in (store_a, store_b):
        store.confirm_block(block_id, now_utc=now_utc)
    return block_id


def _settle(store_a: KeyStore, store_b: KeyStore, now_utc: str) -> None:
    in_a, in_b = _pool(store_a, store_b.node_id), _pool(store_b, store_a.node_id)
    for block_id in [*in_a, *(name for name in in_b if name not in in_a)]:
        present = [
            (store, rows[block_id]) for store, rows in ((store_a, in_a), (store_b, in_b)) if block_id in rows
        ]
        confirmed = len(present) == 2 and any(row.state == "confirmed" for _, row in present)
        for store, row in present:
            if row.state == "unconfirmed" and confirmed:
                store.confirm_block(block_id, now_utc=now_utc)
            elif row.state == "unconfirmed":
                store.discard_block(block_id, now_utc=now_utc)
    _require_same(store_a, store_b)


def _require_same(store_a: KeyStore, store_b: KeyStore) -> None:
    in_a, in_b = (
        [(row.block_id, row.bits) for row in _pool(store, peer).values() if row.state == "confirmed"]
        for store, peer in ((store_a, store_b.node_id), (store_b, store_a.node_id))
    )
    if in_a != in_b:
        raise KeyStoreError(
            f"the authentication pools of {store_a.node_id!r} and {store_b.node_id!r} differ "
            f"({len(in_a)} and {len(in_b)} blocks): one store is not the other's partner, or was restored "
            f"from an old copy; make new stores"
        )


def _meet(store_a: KeyStore, store_b: KeyStore, now_utc: str) -> None:
    ends = ((store_a, store_b.node_id), (store_b, store_a.node_id))
    positions = [store.auth_position(peer) for store, peer in ends]
    if len(set(positions)) > 1:
        for store, peer in ends:
            store.skip_auth_to(peer, max(positions), now_utc=now_utc)


def _pool(store: KeyStore, peer: str) -> dict[str, BlockRow]:
    return {
        row.block_id: row
        for row in store.list_blocks()
        if row.peer == peer and row.kind == "auth" and row.state != "discarded"
    }


class AuthenticationPool:
    """The pool of one peer as a session sees it: a position, and draws that are durable."""

    def __init__(self, store: KeyStore, peer: str, *, purpose: str) -> None:
        self._store, self._peer, self._purpose = store, peer, purpose

    @property
    def position_bits(self) -> int:
        """First bit never used."""
        return self._store.auth_position(self._peer)

    def draw(self, position_bits: int, bits: int) -> bytes:
        """Key at a position at or after `position_bits`; what lies between is given up and wiped.

        The answer is an immutable `bytes`, which cannot be wiped: drop it soon.
        """
        self._store.skip_auth_to(self._peer, position_bits)
        spent = self._store.draw_auth(
            self._peer, position_bits=position_bits, bits=bits, purpose=self._purpose
        )
        with spent.key as key:
            return bytes(key.expose())
