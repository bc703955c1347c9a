"""Datagrams of the laser link: one frame each, little-endian, closed by a CRC-32.

    0      2         3      4          8           9        10       12         16              20
    magic  version   kind   link tag   direction   stream   length   sequence   message bytes   offset
    24 ... payload ...  CRC-32 (IEEE 802.3) over everything before it

Decoding never raises: what is damaged, foreign or contradicts itself is None. A CRC finds noise, not
an adversary: whoever matters is authenticated above this room. No clock, no socket, no state here.
"""

import struct
import zlib
from enum import IntEnum
from typing import Final

import msgspec

from satqkd.errors import LocalProtocolError

VERSION: Final = 1
STREAMS: Final = 2
"""Priority streams: 0 the protocol, 1 user traffic."""
LINK_TAG_BYTES: Final = 4
MAXIMUM_PAYLOAD_BYTES: Final = 1100
"""With the overhead below the 1280 bytes that every IPv6 path carries unfragmented."""
MAXIMUM_WINDOW_FRAMES: Final = 4096
"""A receiver holds at most this many frames of a stream; two full bitmaps fit into one payload."""

_MAGIC: Final = b"SQ"
_HEADER: Final = struct.Struct("<2sBB4sBBHIII")
_CRC_BYTES: Final = 4
_HELD: Final = struct.Struct("<IH")

OVERHEAD_BYTES: Final = _HEADER.size + _CRC_BYTES
MAXIMUM_DATAGRAM_BYTES: Final = OVERHEAD_BYTES + MAXIMUM_PAYLOAD_BYTES


class Kind(IntEnum):
    """What a frame carries."""

    DATA = 0
    ACK = 1


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
    stream: int
    """Priority stream of a DATA frame; 0 in an ACK."""
    sequence: int
    """DATA: number of the frame in its stream. ACK: number of the acknowledgement. From 0."""
    message_bytes: int
    """DATA: length of the whole message this is a piece of. ACK: 0."""
    offset: int
    """DATA: where in the message the payload begins. ACK: 0."""
    payload: bytes


class Held(msgspec.Struct, frozen=True, gc=False):
    """What a receiver holds of one stream."""

    expected: int
    """Every frame before this one has been taken in order."""
    bitmap: int
    """Bit i set: frame `expected + i` is held, not yet in order."""


def encode(frame: Frame) -> bytes:
    """The datagram of a frame; raises LocalProtocolError when `decode` would not take it back."""
    if fault := _fault(frame):
        raise LocalProtocolError(f"lasercom frame: {fault}; cut or check the message before framing it")
    body = (
        _HEADER.pack(
            _MAGIC,
            VERSION,
            frame.kind,
            frame.link_tag,
            frame.direction,
            frame.stream,
            len(frame.payload),
            frame.sequence,
            frame.message_bytes,
            frame.offset,
        )
        + frame.payload
    )
    return body + zlib.crc32(body).to_bytes(_CRC_BYTES, "little")


def decode(datagram: bytes) -> Frame | None:
    """The frame in a datagram, or None when it is damaged, foreign or contradicts itself."""
    if not OVERHEAD_BYTES <= len(datagram) <= MAXIMUM_DATAGRAM_BYTES:
        return None
    body = memoryview(datagram)[:-_CRC_BYTES]
    if zlib.crc32(body) != int.from_bytes(datagram[-_CRC_BYTES:], "little"):
        return None
    magic, version, kind, tag, direction, stream, length, sequence, total, offset = _HEADER.unpack_from(body)
    if (magic, version) != (_MAGIC, VERSION) or kind > 1 or direction > 1:
        return None
    if length != len(body) - _HEADER.size:
        return None
    payload = bytes(body[_HEADER.size :])
    frame = Frame(Kind(kind), tag, Direction(direction), stream, sequence, total, offset, payload)
    return None if _fault(frame) else frame


def _fault(frame: Frame) -> str | None:
    size = len(frame.payload)
    if size > MAXIMUM_PAYLOAD_BYTES or len(frame.link_tag) != LINK_TAG_BYTES:
        return (
            f"expected a payload of at most {MAXIMUM_PAYLOAD_BYTES} bytes and a tag of {LINK_TAG_BYTES}, "
            f"got {size} and {len(frame.link_tag)}"
        )
    if not (0 <= frame.sequence < 1 << 32 and 0 <= frame.message_bytes < 1 << 32):
        return f"expected 32-bit numbers, got sequence {frame.sequence}, message {frame.message_bytes} bytes"
    if frame.kind is Kind.ACK:
        plain = frame.stream == frame.message_bytes == frame.offset == 0
        return None if plain else "expected stream, message length and offset 0 in an acknowledgement"
    if not 0 <= frame.stream < STREAMS:
        return f"expected a stream in 0..{STREAMS - 1}, got {frame.stream}"
    if frame.offset < 0 or frame.offset + size > frame.message_bytes or (not size and frame.message_bytes):
        return f"expected a piece of {frame.message_bytes} bytes, got {size} at offset {frame.offset}"
    return None


def encode_held(held: tuple[Held, ...]) -> bytes:
    """Payload of an ACK: per stream, in order, expected (u32), bitmap length (u16), bitmap bytes.

    Bit i of a bitmap is bit i % 8 of byte i // 8; it ends with the byte of its last set bit.
    """
    parts = []
    for stream in held:
        bitmap = stream.bitmap.to_bytes((stream.bitmap.bit_length() + 7) // 8, "little")
        parts.append(_HELD.pack(stream.expected, len(bitmap)) + bitmap)
    return b"".join(parts)


def decode_held(payload: bytes) -> tuple[Held, ...] | None:
    """What the peer holds, one entry per stream, or None when the payload is malformed."""
    held, at = [], 0
    for _ in range(STREAMS):
        if at + _HELD.size > len(payload):
            return None
        expected, length = _HELD.unpack_from(payload, at)
        at += _HELD.size
        bitmap = payload[at : at + length]
        at += length
        if at > len(payload) or length > MAXIMUM_WINDOW_FRAMES // 8 or (length and not bitmap[-1]):
            return None
        held.append(Held(expected, int.from_bytes(bitmap, "little")))
    return tuple(held) if at == len(payload) else None
