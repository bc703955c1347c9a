"""The raw blocks kept with one peer, as a pass sees them: kept, confirmed, taken once, discarded."""

from collections.abc import Iterable, Sequence

from satqkd.errors import ConfigError
from satqkd.keys.ledger import raw
from satqkd.keys.model import ORIGINS, RawRow, check_block_id, check_name
from satqkd.keys.store.key_store import KeyStore


class RawShelf:
    """Raw blocks of one peer and one origin in a node's store. Every change is durable when it returns."""

    def __init__(self, store: KeyStore, peer: str, *, origin: str) -> None:
        check_name(peer, "peer")
        if origin not in ORIGINS:
            raise ConfigError(f"origin: expected one of {', '.join(ORIGINS)}, got {origin!r}")
        self._store, self._peer, self._origin = store, peer, origin

    def keep(
        self, block_id: str, data: bytes, *, pool: str, sifted_bits: int, detections: int, now_utc: str
    ) -> None:
        """Store a raw block as unconfirmed. Raises KeyAlreadyUsed for an id stored before.

        sifted_bits: as predicted, what the pool's rule adds up; detections: how many raw bits `data` holds.
        """
        new = RawRow(
            block_id=check_block_id(block_id),
            peer=self._peer,
            pool=pool,
            origin=self._origin,
            state="unconfirmed",
            sifted_bits=sifted_bits,
            detections=detections,
            created_utc=now_utc,
        )
        with self._store.transaction() as connection:
            raw.store(connection, new, data)

    def confirm(self, block_id: str) -> None:
        """The peer is known to hold the same detections. May be repeated; nothing when used or discarded."""
        with self._store.transaction() as connection:
            block = raw.find(connection, block_id)
            if block.state == "unconfirmed":
                raw.settle(connection, block, "confirmed")

    def held(self, pools: Iterable[str]) -> list[RawRow]:
        """What waits in some pools, oldest first, confirmed or not."""
        with self._store.snapshot() as connection:
            return raw.held(connection, self._peer, self._origin, pools)

    def take(self, block_ids: Sequence[str], *, reference: str) -> list[bytes]:
        """Bytes of raw blocks, all of them or none; used and overwritten in the store before this returns.

        reference: the block that they join, for the audit log. Raises KeyNotFound, KeyAlreadyUsed.
        The answers are immutable `bytes`, which cannot be wiped: drop them soon.
        """
        with self._store.transaction() as connection:
            return raw.take(connection, self._peer, block_ids, reference)

    def discard(self, block_ids: Sequence[str]) -> None:
        """Overwrite raw blocks that will not be used. May be repeated."""
        with self._store.transaction() as connection:
            for block_id in block_ids:
                block = raw.find(connection, block_id)
                if block.state in raw.OPEN:
                    raw.settle(connection, block, "discarded")
