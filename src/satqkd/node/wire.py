"""Ticks over UDP: how the emulator grants time and carries datagrams, robust against loss on the host.

A packet is a 28-byte header and at most one laser-link datagram:

    magic 4s | kind u8 | role u8 | flags u8 | 0 | contact 4s | incarnation u32
    | tick i32 | number u32 | total u32

A batch is all packets of one (kind, tick, line); an empty batch is one packet with total 0. The emulator
sends a GRANT batch (what arrives in this tick), the node answers with a DONE batch (what it sends). Who
hears nothing sends its last batch again; batches are idempotent by tick, so a packet lost on the host
delays and changes nothing. `contact` keeps passes apart that share an emulator; `incarnation` is drawn by a
node whenever it starts, so that no packet of or for a node that died is taken for its successor's. Knows
no key, no message, no physics.
"""

import hashlib
import struct
from enum import IntEnum
from typing import Final, NamedTuple

MAGIC: Final = b"SQT2"
HEADER: Final = struct.Struct("<4sBBBx4sIiII")
CONTACT_BYTES: Final = 4
MAXIMUM_PACKETS: Final = 65_536
FLAG_FINISHED: Final = 1


class PacketKind(IntEnum):
    """What a packet is for."""

    HELLO = 0
    """A node is there, and waits for its first grant."""
    GRANT = 1
    """Emulator: this tick may be worked; here is what arrived."""
    DONE = 2
    """Node: the tick is worked; here is what is sent."""
    END = 3
    """Emulator: the pass is over."""
    BYE = 4
    """Node: it has heard so and ends, or ends by itself."""
    WAIT = 5
    """Emulator: it is there; the node's contact has not begun."""


class Line(NamedTuple):
    """Between which emulator's contact and which start of which node a packet goes."""

    contact: bytes
    role: int
    incarnation: int


def contact_tag(pass_id: str) -> bytes:
    """Four bytes that tell a pass from the others of an emulator."""
    return hashlib.sha256(pass_id.encode()).digest()[:CONTACT_BYTES]


class Packet(NamedTuple):
    """One UDP packet."""

    kind: PacketKind
    line: Line
    flags: int
    tick: int
    number: int
    total: int
    payload: bytes


def encode(packet: Packet) -> bytes:
    """Header and payload."""
    contact, role, incarnation = packet.line
    head = HEADER.pack(
        MAGIC,
        packet.kind,
        role,
        packet.flags,
        contact,
        incarnation,
        packet.tick,
        packet.number,
        packet.total,
    )
    return head + packet.payload


def decode(data: bytes) -> Packet | None:
    """The packet, or None for anything that is none: foreign traffic is ignored."""
    if len(data) < HEADER.size:
        return None
    magic, kind, role, flags, contact, incarnation, tick, number, total = HEADER.unpack_from(data)
    if magic != MAGIC or kind > max(PacketKind) or total > MAXIMUM_PACKETS or number > max(total - 1, 0):
        return None
    line = Line(contact, role, incarnation)
    return Packet(PacketKind(kind), line, flags, tick, number, total, data[HEADER.size :])


def batch(kind: PacketKind, line: Line, tick: int, datagrams: list[bytes], *, flags: int = 0) -> list[bytes]:
    """The packets of a batch."""
    if not datagrams:
        return [encode(Packet(kind, line, flags, tick, 0, 0, b""))]
    total = len(datagrams)
    return [
        encode(Packet(kind, line, flags, tick, number, total, datagram))
        for number, datagram in enumerate(datagrams)
    ]


class Assembly:
    """Collects the batch of one kind and tick on one line; what belongs to another is not taken."""

    def __init__(self, kind: PacketKind, line: Line, tick: int) -> None:
        self.kind, self.line, self.tick, self.flags = kind, line, tick, 0
        self._parts: dict[int, bytes] = {}
        self._total: int | None = None

    def take(self, packet: Packet) -> bool:
        """Whether the batch is complete after this packet."""
        if (packet.kind, packet.line, packet.tick) != (self.kind, self.line, self.tick):
            return self.complete
        self._total, self.flags = packet.total, packet.flags
        if packet.total:
            self._parts[packet.number] = packet.payload
        return self.complete

    @property
    def complete(self) -> bool:
        """Every packet of the batch is there."""
        return self._total is not None and len(self._parts) == self._total

    @property
    def datagrams(self) -> list[bytes]:
        """The batch's datagrams in order."""
        return [self._parts[number] for number in sorted(self._parts)]
