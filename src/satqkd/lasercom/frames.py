"""Datagrams of the laser link: one frame each, little-endian, closed by a CRC-32.

    0      2         3      4          8      12          16          17       18
    magic  version   kind   link tag   boot   peer boot   direction   stream   length
    20         24              28       32
    sequence   message bytes   offset   ... payload ...  CRC-32 (IEEE 802.3) over everything before it

Decoding never raises: what is damaged, foreign or contradicts itself is None. A CRC finds noise, not
an adversary: whoever matters is authenticated above this room. No clock, no socket, no state here.
"""

import struct
import zlib
from enum import IntEnum
from typing import Final

import msgspec

from satqkd.errors import LocalProtocolError

VERSION: Final = 2
LINK_TAG_BYTES: Final = 4
MAXIMUM_PAYLOAD_BYTES: Final = 1100
"""With the overhead below the 1280 bytes that every IPv6 path carries unfragmented."""
MAXIMUM_WINDOW_FRAMES: Final = 4096
"""A receiver holds at most this many frames of a stream; what it holds beyond the room of an
acknowledgement is told by a later one."""
MAXIMUM_BOOT: Final = (1 << 32) - 1

_MAGIC: Final = b"SQ"
_HEADER: Final = struct.Struct("<2sBB4sIIBBHIII")
_CRC_BYTES: Final = 4
_HELD: Final = struct.Struct("<IH")

OVERHEAD_BYTES: Final = _HEADER.size + _CRC_BYTES
MAXIMUM_DATAGRAM_BYTES: Final = OVERHEAD_BYTES + MAXIMUM_PAYLOAD_BYTES


class Kind(IntEnum):
    """What a frame carries."""

    DATA = 0
    ACK = 1
    OPEN = 2
    """Nothing but who sends it: the peer is to be heard from."""


class Priority(IntEnum):
    """Streams of messages: a frame of one goes only when no stream before it has one to send."""

    URGENT = 0
    """Small messages that may not wait."""
    DISTILLATION = 1
    TELEMETRY = 2
    FILES = 3


STREAMS: Final = len(Priority)


class Direction(IntEnum):
    """Who sent a frame."""

    FROM_SATELLITE = 0
    FROM_STATION = 1


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One frame, header and payload."""

    kind: Kind
    link_tag: bytes
    """4 bytes both ends agreed for this contact."""
    boot: int
    """Of the end that sends it: a larger number at every start."""
    peer_boot: int
    """Of the end it is for, as far as the sender has heard; 0 where it has heard nothing."""
    direction: Direction
    stream: int
    """Priority stream of a DATA frame; 0 in others."""
    sequence: int
    """DATA: number of the frame in its stream. ACK: number of the acknowledgement. From 0. OPEN: 0."""
    message_bytes: int
    """DATA: length of the whole message this is a piece of. Else 0."""
    offset: int
    """DATA: where in the message the payload begins. Else 0."""
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
            frame.boot,
            frame.peer_boot,
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
    magic, version, kind, tag, boot, peer_boot, direction, *rest = _HEADER.unpack_from(body)
    stream, length, sequence, total, offset = rest
    if (magic, version) != (_MAGIC, VERSION) or kind > Kind.OPEN or direction > 1:
        return None
    if length != len(body) - _HEADER.size:
        return None
    payload = bytes(body[_HEADER.size :])
    ends = boot, peer_boot, Direction(direction)
    frame = Frame(Kind(kind), tag, *ends, stream, sequence, total, offset, payload)
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
    if not (0 < frame.boot <= MAXIMUM_BOOT and 0 <= frame.peer_boot <= MAXIMUM_BOOT):
        return f"expected a boot from 1 and a peer's from 0, got {frame.boot} and {frame.peer_boot}"
    if frame.kind is not Kind.DATA:
        plain = frame.stream == frame.message_bytes == frame.offset == 0
        empty = frame.kind is Kind.ACK or (frame.sequence, size) == (0, 0)
        return None if plain and empty else "expected zeros in all fields that belong to DATA"
    if not 0 <= frame.stream < STREAMS:
        return f"expected a stream in 0..{STREAMS - 1}, got {frame.stream}"
    if frame.offset < 0 or frame.offset + size > frame.message_bytes or (not size and frame.message_bytes):
        return f"expected a piece of {frame.message_bytes} bytes, got {size} at offset {frame.offset}"
    return None


def encode_held(held: tuple[Held, ...]) -> bytes:
    """Payload of an ACK: per stream, in order, expected (u32), bitmap length (u16), bitmap bytes.

    Bit i of a bitmap is bit i % 8 of byte i // 8; it ends with the byte of its last set bit, or where the
    payload is full.
    """
    parts = []
    room = MAXIMUM_PAYLOAD_BYTES - len(held) * _HELD.size
    for stream in held:
        bitmap = stream.bitmap.to_bytes((stream.bitmap.bit_length() + 7) // 8, "little")
        bitmap = bitmap[:room].rstrip(bytes(1))
        room -= len(bitmap)
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
