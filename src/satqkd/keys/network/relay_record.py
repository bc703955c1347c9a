"""The relay record as bytes: public, parsed before it is believed. No store, no key here.

    record = MessagePack array ["relay", 2, body, tag of A, tag of B]
    body   = MessagePack array [node, relay id, sequence, origin, end A, end B, combined]
    end    = [station, kind, paths, key ranges, tag key ranges];  range = [block id, offset bits, length bits]

Both tags cover the body's bytes as they stand, so nothing hangs on how MessagePack writes a number. `paths`
are those of the end's own key; those of the end-to-end key follow from both and are not said a second time.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from satqkd.errors import DataFormatError, KeyNotFound
from satqkd.keys.ledger.derived import apart, whole_bytes
from satqkd.keys.ledger.onetime_mac import TAG_BYTES
from satqkd.keys.model import MAC_KEY_BITS, MAXIMUM_RANGES, KeyRange, NodeName, Origin, Paths
from satqkd.keys.parsing import parsed
from satqkd.keys.paths import WirePaths, normal, relayed

MAXIMUM_RECORD_BYTES: Final = 1 << 28
"""What a record may make a station parse."""
Ranges = Annotated[tuple[KeyRange, ...], Meta(max_length=MAXIMUM_RANGES)]
Tag = Annotated[bytes, Meta(min_length=TAG_BYTES, max_length=TAG_BYTES)]
RelayKind = Literal["link", "pair"]


class RelayEnd(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a relay takes of the key that its node has with one end."""

    station: NodeName
    kind: RelayKind
    paths: WirePaths
    """Of this key and of its tag key, which whoever knows could change what the end takes."""
    key_ranges: Ranges
    mac_ranges: Ranges

    @property
    def ranges(self) -> tuple[KeyRange, ...]:
        """All of them: key, then tag key."""
        return self.key_ranges + self.mac_ranges

    @property
    def spent_bits(self) -> int:
        """Key that this end of the relay costs."""
        return sum(piece.length_bits for piece in self.ranges)


class RelayBody(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What both tags cover."""

    node: NodeName
    """Who relays: a satellite, or any node that shares key with both ends."""
    relay_id: NodeName
    sequence: Annotated[int, Meta(ge=1)]
    """Counts this node's relays."""
    origin: Origin
    """The least trustworthy origin of what was combined."""
    end_a: RelayEnd
    end_b: RelayEnd
    combined: bytes
    """a xor b."""

    @property
    def bits(self) -> int:
        """Length of the end-to-end key."""
        return 8 * len(self.combined)

    @property
    def block_id(self) -> str:
        """Name of the end-to-end block in both stations' stores."""
        return f"relay:{self.node}:{self.relay_id}"

    @property
    def paths(self) -> Paths:
        """Who knows the end-to-end key besides its ends."""
        ends = (self.end_a.station, self.end_b.station)
        return relayed(self.end_a.paths, self.end_b.paths, self.node, ends=ends)


class Envelope(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="relay", tag_field="kind"
):
    """The record: a body as bytes and its two tags."""

    version: Literal[2]
    body: bytes
    tag_a: Tag
    tag_b: Tag


class RelayShare(msgspec.Struct, frozen=True):
    """A record as one of its two stations sees it, not yet authenticated."""

    body: RelayBody
    covered: bytes
    """The body's bytes, which the tag covers."""
    end: RelayEnd
    tag: bytes
    peer: str
    holds_a: bool
    """This station's own key is the end-to-end key itself; the other's is that xor `combined`."""


def read_record(data: bytes) -> tuple[RelayBody, Envelope]:
    """Parse a record, not yet authenticated. Raises DataFormatError when it is malformed or cut short."""
    if len(data) > MAXIMUM_RECORD_BYTES:
        raise DataFormatError(f"relay record: expected at most {MAXIMUM_RECORD_BYTES} bytes, got {len(data)}")
    envelope = parsed(data, Envelope, "relay record")
    body = parsed(envelope.body, RelayBody, "relay record")
    for end in (body.end_a, body.end_b):
        _check_end(end, body)
    return body, envelope


def share_of(data: bytes, node_id: str) -> RelayShare:
    """The record as `node_id` sees it. Raises DataFormatError, KeyNotFound (not for this station)."""
    body, envelope = read_record(data)
    stations = (body.end_a.station, body.end_b.station)
    if node_id not in stations or len({body.node, *stations}) != 3:
        raise KeyNotFound(
            f"this relay record of {body.node!r} is for {stations[0]!r} and {stations[1]!r}; this store is "
            f"of {node_id!r}"
        )
    holds_a = node_id == stations[0]
    return RelayShare(
        body=body,
        covered=envelope.body,
        end=body.end_a if holds_a else body.end_b,
        tag=envelope.tag_a if holds_a else envelope.tag_b,
        peer=stations[1] if holds_a else stations[0],
        holds_a=holds_a,
    )


def _check_end(end: RelayEnd, body: RelayBody) -> None:
    if not whole_bytes(end.ranges) or not apart(end.ranges):
        raise DataFormatError("relay record: expected key ranges of whole bytes, no bit named twice")
    if normal(end.paths, ends=(end.station, body.node)) != end.paths:
        raise DataFormatError(
            f"relay record: expected the paths of {end.station!r}'s key in normal form, without the ends"
        )
    lengths = [sum(piece.length_bits for piece in ranges) for ranges in (end.key_ranges, end.mac_ranges)]
    if lengths != [body.bits, MAC_KEY_BITS]:
        raise DataFormatError(
            f"relay record: expected {body.bits} bits of key and {MAC_KEY_BITS} of tag key with "
            f"{end.station!r}, got {lengths[0]} and {lengths[1]}"
        )
