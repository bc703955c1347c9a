"""The combination record as bytes: public, parsed before it is believed. No store, no key here.

    record = MessagePack array ["combination", 1, body, tag]
    body   = MessagePack array [node, peer, combination id, origin, shares]
    share  = [paths, ranges];  range = [block id, offset bits, length bits]

Every share names as many bits of pair key: MAC_KEY_BITS more than the combination gives. The exclusive or of
all shares' bytes is, first, the key of the tag over the body's bytes, then the new key: who would forge the
tag would have to know every share.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from satqkd.errors import DataFormatError, KeyNotFound
from satqkd.keys.ledger.derived import apart, whole_bytes
from satqkd.keys.model import MAC_KEY_BITS, KeyRange, NodeName, Origin, Paths
from satqkd.keys.network.relay_record import MAXIMUM_RECORD_BYTES, Ranges, Tag
from satqkd.keys.parsing import parsed
from satqkd.keys.paths import WirePaths, both, normal


class Share(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One of the keys that are combined."""

    paths: WirePaths
    ranges: Ranges

    @property
    def bits(self) -> int:
        """Its length."""
        return sum(piece.length_bits for piece in self.ranges)


class CombinationBody(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the tag covers."""

    node: NodeName
    """Who combined, from its own part of the pair's key."""
    peer: NodeName
    combination_id: NodeName
    origin: Origin
    """The least trustworthy origin of what was combined."""
    shares: Annotated[tuple[Share, ...], Meta(min_length=2, max_length=8)]

    @property
    def bits(self) -> int:
        """Length of the new key."""
        return self.shares[0].bits - MAC_KEY_BITS

    @property
    def block_id(self) -> str:
        """Name of the new block in both stores."""
        return f"xor:{self.node}:{self.combination_id}"

    @property
    def ranges(self) -> tuple[KeyRange, ...]:
        """Of all shares, one after the other."""
        return tuple(piece for share in self.shares for piece in share.ranges)

    @property
    def paths(self) -> Paths:
        """Who knows the new key besides its ends."""
        return both((share.paths for share in self.shares), ends=(self.node, self.peer))


class CombinationEnvelope(
    msgspec.Struct,
    frozen=True,
    array_like=True,
    forbid_unknown_fields=True,
    tag="combination",
    tag_field="kind",
):
    """The record: a body as bytes and its tag."""

    version: Literal[1]
    body: bytes
    tag: Tag


def read_combination(data: bytes) -> tuple[CombinationBody, CombinationEnvelope]:
    """Parse a record, not yet authenticated. Raises DataFormatError when it is malformed or cut short."""
    if len(data) > MAXIMUM_RECORD_BYTES:
        raise DataFormatError(f"combination: expected at most {MAXIMUM_RECORD_BYTES} bytes, got {len(data)}")
    envelope = parsed(data, CombinationEnvelope, "combination record")
    body = parsed(envelope.body, CombinationBody, "combination record")
    _check(body)
    return body, envelope


def require_for(body: CombinationBody, node_id: str) -> None:
    """Raises KeyNotFound unless the record was made for this node by another."""
    if body.peer != node_id or body.node == node_id:
        raise KeyNotFound(
            f"this combination record is from {body.node!r} for {body.peer!r}; this store is of {node_id!r}"
        )


def _check(body: CombinationBody) -> None:
    if not whole_bytes(body.ranges) or not apart(body.ranges):
        raise DataFormatError("combination record: expected key ranges of whole bytes, no bit named twice")
    lengths = {share.bits for share in body.shares}
    if len(lengths) != 1 or body.bits < 8:
        raise DataFormatError(
            f"combination record: expected shares of one length above {MAC_KEY_BITS}, got {sorted(lengths)}"
        )
    if any(normal(share.paths, ends=(body.node, body.peer)) != share.paths for share in body.shares):
        raise DataFormatError("combination record: expected paths in their normal form, without the ends")
