"""Datagrams of the laser link: one frame each, little-endian, closed by a CRC-32.

    0      2         3       4          8      12          16         20 ... payload ...   CRC-32
    magic  version   flags   link tag   boot   peer boot   sequence   (IEEE 802.3) over all before it

The two boots say which connection a frame belongs to; what that means stands in `connection`. Decoding
never raises: what is damaged, foreign or contradicts itself is None. A CRC finds noise, not an
adversary: whoever matters is authenticated above this room. No clock, no socket, no state here.
"""

import struct
import zlib
from enum import IntEnum
from typing import Final

import msgspec

from satqkd.errors import LocalProtocolError

VERSION: Final = 2
LINK_TAG_BYTES: Final = 4
MAXIMUM_BOOT: Final = (1 << 32) - 1
MAXIMUM_WINDOW_FRAMES: Final = 2048
"""A receiver holds at most this many frames of a stream; four full bitmaps fit into one payload."""

_MAGIC: Final = b"SQ"
_HEADER: Final = struct.Struct("<2sBB4sIII")
_CRC_BYTES: Final = 4
_HELD: Final = struct.Struct("<IIH")
_KIND_BITS: Final = 0b11
_DIRECTION_SHIFT: Final = 2
_STREAM_SHIFT: Final = 3
_FIRST: Final = 1 << 5
_LAST: Final = 1 << 6
_STREAM_FLAGS: Final = 0b11 << _STREAM_SHIFT | _FIRST | _LAST
_UNUSED: Final = 1 << 7

OVERHEAD_BYTES: Final = _HEADER.size + _CRC_BYTES
MAXIMUM_DATAGRAM_BYTES: Final = 1128
"""With the headers below it within the 1280 bytes that every IPv6 path carries unfragmented."""
MAXIMUM_PAYLOAD_BYTES: Final = MAXIMUM_DATAGRAM_BYTES - OVERHEAD_BYTES


class Priority(IntEnum):
    """Streams of messages; frames of a lower number always go first."""

    URGENT = 0
    """Small messages before all."""
    DISTILLATION = 1
    TELEMETRY = 2
    FILES = 3
    """Users' traffic."""


STREAMS: Final = len(Priority)


class Kind(IntEnum):
    """What a frame carries."""

    DATA = 0
    ACK = 1
    OPEN = 2


class Direction(IntEnum):
    """Who sent a frame."""

    FROM_SATELLITE = 0
    FROM_STATION = 1


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One frame, header and payload."""

    kind: Kind
    link_tag: bytes
    """4 bytes both ends agreed for this contact."""
    direction: Direction
    boot: int
    """Of the end that sends it, from 1."""
    peer_boot: int
    """Of the end it is for, as the sender knows it; 0 in an OPEN: not known."""
    stream: int = 0
    """Priority of a DATA frame; 0 otherwise."""
    first: bool = False
    """DATA: the payload begins a message."""
    last: bool = False
    """DATA: the payload ends a message."""
    sequence: int = 0
    """DATA: number of the frame in its stream. ACK: number of the acknowledgement. From 0. OPEN: 0."""
    payload: bytes = b""


class Held(msgspec.Struct, frozen=True, gc=False):
    """What a receiver holds of one stream."""

    expected: int
    """Every frame before this one has been taken in order."""
    taken: int
    """Messages that the receiver's owner has read."""
    bitmap: int
    """Bit i set: frame `expected + i` is held, not yet in order."""


NOTHING_HELD: Final = Held(0, 0, 0)


def encode(frame: Frame) -> bytes:
    """The datagram of a frame; raises LocalProtocolError when `decode` would not take it back."""
    if fault := _fault(frame):
        raise LocalProtocolError(f"lasercom frame: {fault}; cut or check the message before framing it")
    flags = frame.kind | frame.direction << _DIRECTION_SHIFT | frame.stream << _STREAM_SHIFT
    flags |= _FIRST * frame.first | _LAST * frame.last
    body = (
        _HEADER.pack(
            _MAGIC, VERSION, flags, frame.link_tag, frame.boot, frame.peer_boot, frame.sequence
        )
        + frame.payload
    )  # fmt: skip
    return body + zlib.crc32(body).to_bytes(_CRC_BYTES, "little")


def decode(datagram: bytes) -> Frame | None:
    """The frame in a datagram, or None when it is damaged, foreign or contradicts itself."""
    if not OVERHEAD_BYTES <= len(datagram) <= MAXIMUM_DATAGRAM_BYTES:
        return None
    body = memoryview(datagram)[:-_CRC_BYTES]
    if zlib.crc32(body) != int.from_bytes(datagram[-_CRC_BYTES:], "little"):
        return None
    magic, version, flags, tag, boot, peer_boot, sequence = _HEADER.unpack_from(body)
    kind = flags & _KIND_BITS
    if (magic, version) != (_MAGIC, VERSION) or kind > Kind.OPEN or flags & _UNUSED:
        return None
    frame = Frame(
        Kind(kind),
        tag,
        Direction(flags >> _DIRECTION_SHIFT & 1),
        boot,
        peer_boot,
        flags >> _STREAM_SHIFT & 0b11,
        bool(flags & _FIRST),
        bool(flags & _LAST),
        sequence,
        bytes(body[_HEADER.size :]),
    )
    return None if _fault(frame) else frame


def _fault(frame: Frame) -> str | None:
    size = len(frame.payload)
    if size > MAXIMUM_PAYLOAD_BYTES or len(frame.link_tag) != LINK_TAG_BYTES:
        return (
            f"expected a payload of at most {MAXIMUM_PAYLOAD_BYTES} bytes and a tag of {LINK_TAG_BYTES}, "
            f"got {size} and {len(frame.link_tag)}"
        )
    if not (0 <= frame.sequence < 1 << 32 and 0 < frame.boot <= MAXIMUM_BOOT):
        return f"expected 32-bit numbers and a boot from 1, got {frame.sequence} and {frame.boot}"
    if not (frame.kind is not Kind.OPEN) <= frame.peer_boot <= MAXIMUM_BOOT:
        return f"expected the boot of the peer, 0 in an OPEN alone, got {frame.peer_boot}"
    if frame.kind is Kind.DATA:
        return _piece_fault(frame)
    if frame.stream or frame.first or frame.last:
        return "expected no stream and no piece but in DATA"
    if frame.kind is Kind.OPEN and (frame.sequence or size):
        return "expected nothing but the boots in an OPEN"
    return None


def _piece_fault(frame: Frame) -> str | None:
    if not 0 <= frame.stream < STREAMS:
        return f"expected a stream in 0..{STREAMS - 1}, got {frame.stream}"
    if not frame.payload and not (frame.first and frame.last):
        return "expected a piece that is not empty, unless it is the whole of an empty message"
    return None


def encode_held(held: tuple[Held, ...]) -> bytes:
    """Payload of an ACK: which streams have an entry (u8, bit i of stream i), then their entries.

    Entry: expected (u32), taken (u32), bitmap length (u16), bitmap. Bit i of a bitmap is bit i % 8 of byte
    i // 8; it ends with the byte of its last set bit. A stream without an entry has seen nothing.
    """
    present, parts = 0, [b""]
    for number, stream in enumerate(held):
        if stream == NOTHING_HELD:
            continue
        present |= 1 << number
        bitmap = stream.bitmap.to_bytes((stream.bitmap.bit_length() + 7) // 8, "little")
        parts.append(_HELD.pack(stream.expected, stream.taken, len(bitmap)) + bitmap)
    parts[0] = bytes([present])
    return b"".join(parts)


def decode_held(payload: bytes) -> tuple[Held, ...] | None:
    """What the peer holds, one entry per stream, or None when the payload is malformed."""
    if not payload or payload[0] >> STREAMS:
        return None
    held, at = [NOTHING_HELD] * STREAMS, 1
    for number in range(STREAMS):
        if not payload[0] >> number & 1:
            continue
        if at + _HELD.size > len(payload):
            return None
        expected, taken, length = _HELD.unpack_from(payload, at)
        at += _HELD.size
        bitmap = payload[at : at + length]
        at += length
        if at > len(payload) or length > MAXIMUM_WINDOW_FRAMES // 8 or (length and not bitmap[-1]):
            return None
        held[number] = Held(expected, taken, int.from_bytes(bitmap, "little"))
        if held[number] == NOTHING_HELD:
            return None
    return tuple(held) if at == len(payload) else None
