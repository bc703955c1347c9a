"""What relay, combination and import have in common: pair key that comes to be at two ends, and how it is
told.

Works inside the caller's transaction. No tag, no record format here.
"""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
from sqlalchemy import Connection

from satqkd.errors import OriginRefused
from satqkd.keys.ledger import ledger
from satqkd.keys.model import DEMO_ORIGINS, KeyRange, Paths


class AcceptedRecord(msgspec.Struct, frozen=True):
    """What a node holds after a record of a relay or a combination."""

    kind: str
    """`relay` or `combination`."""
    record_id: str
    block_id: str
    peer: str
    bits: int
    origin: str
    paths: Paths
    """Who knew the key on its way."""
    repeated: bool
    """The same record had been accepted before; nothing was done now."""


def store_pair(
    connection: Connection,
    node_id: str,
    peer: str,
    key: bytearray,
    *,
    block_id: str,
    origin: str,
    paths: Paths,
    now_utc: str,
) -> None:
    """Hold end-to-end key, half of it for either end to allocate, confirmed; wipes the buffer."""
    own_from_bits, own_until_bits = ledger.own_part(node_id, peer, "pair", None, 8 * len(key))
    new = ledger.NewBlock(
        block_id=block_id,
        peer=peer,
        kind="pair",
        origin=origin,
        state="unconfirmed",
        own_from_bits=own_from_bits,
        own_until_bits=own_until_bits,
        created_utc=now_utc,
        paths=paths,
    )
    block = ledger.store_block(connection, new, key)
    key[:] = bytes(len(key))
    ledger.set_state(connection, block, "confirmed", now_utc)


def require_demo(origin: str, what: str, *, demo: bool) -> None:
    """A record made of key that is not secret is for demonstrations; raises OriginRefused."""
    if origin in DEMO_ORIGINS and not demo:
        raise OriginRefused(
            f"{what} was made of key with origin {origin}: not secret; for a demonstration say --demo"
        )


def whole_bytes(ranges: Sequence[KeyRange]) -> bool:
    """Whether ranges that a record names are of whole bytes."""
    return all(
        piece.length_bits >= 8 and piece.length_bits % 8 == 0 and piece.offset_bits % 8 == 0
        for piece in ranges
    )


def apart(ranges: Sequence[KeyRange]) -> bool:
    """Whether no two ranges share a bit: key combined with itself is none."""
    ordered = sorted(ranges, key=lambda piece: (piece.block_id, piece.offset_bits))
    return all(
        one.block_id != two.block_id or one.end_bits <= two.offset_bits for one, two in pairwise(ordered)
    )
