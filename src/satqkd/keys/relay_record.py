"""The relay record as bytes: public, parsed before it is believed. No store, no key here.

    record = MessagePack array [1, body, tag of A, tag of B]
    body   = MessagePack array [satellite, relay id, sequence, origin, end A, end B, combined]
    end    = [station, key ranges, tag key ranges];  range = [block id, offset bits, length bits]

Both tags cover the body's bytes as they stand, so nothing hangs on how MessagePack writes a number.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from satqkd.errors import DataFormatError, KeyNotFound
from satqkd.keys.model import MAC_KEY_BITS, MAXIMUM_RANGES, KeyRange, Origin
from satqkd.keys.onetime_mac import TAG_BYTES

MAXIMUM_RECORD_BYTES: Final = 1 << 28
"""What a record may make a station parse."""
_Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
_Ranges = Annotated[tuple[KeyRange, ...], Meta(max_length=MAXIMUM_RANGES)]
_Tag = Annotated[bytes, Meta(min_length=TAG_BYTES, max_length=TAG_BYTES)]


class RelayEnd(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a relay takes of one link."""

    station: _Name
    key_ranges: _Ranges
    mac_ranges: _Ranges

    @property
    def ranges(self) -> tuple[KeyRange, ...]:
        """All of them: key, then tag key."""
        return self.key_ranges + self.mac_ranges

    @property
    def spent_bits(self) -> int:
        """Link key that this end of the relay costs."""
        return sum(piece.length_bits for piece in self.ranges)


class RelayBody(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What both tags cover."""

    satellite: _Name
    relay_id: _Name
    sequence: Annotated[int, Meta(ge=1)]
    """Counts this satellite's relays."""
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
        return f"relay:{self.satellite}:{self.relay_id}"


class Envelope(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The record: a body as bytes and its two tags."""

    version: Literal[1]
    body: bytes
    tag_a: _Tag
    tag_b: _Tag


class RelayShare(msgspec.Struct, frozen=True):
    """A record as one of its two stations sees it, not yet authenticated."""

    body: RelayBody
    covered: bytes
    """The body's bytes, which the tag covers."""
    end: RelayEnd
    tag: bytes
    peer: str
    holds_a: bool
    """This station's link key is the end-to-end key itself; the other's is that xor `combined`."""


def read_record(data: bytes) -> tuple[RelayBody, Envelope]:
    """Parse a record, not yet authenticated. Raises DataFormatError when it is malformed or cut short."""
    if len(data) > MAXIMUM_RECORD_BYTES:
        raise DataFormatError(f"relay record: expected at most {MAXIMUM_RECORD_BYTES} bytes, got {len(data)}")
    try:
        envelope = msgspec.msgpack.decode(data, type=Envelope)
        body = msgspec.msgpack.decode(envelope.body, type=RelayBody)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataFormatError(
            f"relay record of {len(data)} bytes: malformed or cut short: {error}; get it again"
        ) from None
    for end in (body.end_a, body.end_b):
        _check_end(end, body.bits)
    return body, envelope


def share_of(data: bytes, node_id: str) -> RelayShare:
    """The record as `node_id` sees it. Raises DataFormatError, KeyNotFound (not for this station)."""
    body, envelope = read_record(data)
    stations = (body.end_a.station, body.end_b.station)
    if node_id not in stations or stations[0] == stations[1]:
        raise KeyNotFound(
            f"this relay record is for {stations[0]!r} and {stations[1]!r}; this store is of {node_id!r}"
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


def _check_end(end: RelayEnd, bits: int) -> None:
    if any(piece.length_bits < 8 or piece.length_bits % 8 or piece.offset_bits % 8 for piece in end.ranges):
        raise DataFormatError("relay record: expected key ranges of whole bytes")
    lengths = [sum(piece.length_bits for piece in ranges) for ranges in (end.key_ranges, end.mac_ranges)]
    if lengths != [bits, MAC_KEY_BITS]:
        raise DataFormatError(
            f"relay record: expected {bits} bits of key and {MAC_KEY_BITS} of tag key with {end.station!r}, "
            f"got {lengths[0]} and {lengths[1]}"
        )
