"""The ground command as bytes: public, parsed before it is believed. No store, no key here.

    command = MessagePack array ["command", 1, body, tag]
    body    = MessagePack array [commander, node, sequence, relay id, stations, kinds, bits, not after,
                                 tag key ranges]

The tag covers the body's bytes as they stand. Its key lies in the pair key of commander and node, in the part
that the commander allocates.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from satqkd.errors import DataFormatError
from satqkd.keys.ledger.derived import apart, whole_bytes
from satqkd.keys.model import MAC_KEY_BITS, NodeName
from satqkd.keys.network.relay_record import Ranges, RelayKind, Tag
from satqkd.keys.parsing import parsed

Utc = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]


class Order(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the tag covers: relay so many bits for two stations."""

    commander: NodeName
    node: NodeName
    sequence: Annotated[int, Meta(ge=1, le=2**62)]
    """Counts the commander's commands to this node; the node follows it forward only."""
    relay_id: NodeName
    stations: tuple[NodeName, NodeName]
    kinds: tuple[RelayKind, RelayKind]
    bits: Annotated[int, Meta(ge=8, le=2**31, multiple_of=8)]
    not_after_utc: Utc
    mac_ranges: Ranges


class CommandEnvelope(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="command", tag_field="kind"
):
    """The command: a body as bytes and its tag."""

    version: Literal[1]
    body: bytes
    tag: Tag


def read_command(data: bytes) -> tuple[Order, CommandEnvelope]:
    """Parse a command, not yet authenticated. Raises DataFormatError when it is malformed or cut short."""
    envelope = parsed(data, CommandEnvelope, "command", remedy="make it again")
    order = parsed(envelope.body, Order, "command", remedy="make it again")
    if not whole_bytes(order.mac_ranges) or not apart(order.mac_ranges):
        raise DataFormatError("command: expected key ranges of whole bytes, no bit named twice")
    if sum(piece.length_bits for piece in order.mac_ranges) != MAC_KEY_BITS:
        raise DataFormatError(f"command: expected {MAC_KEY_BITS} bits of tag key")
    if len({order.node, *order.stations}) != 3 or order.commander == order.node:
        raise DataFormatError("command: expected two stations and a node between that another commands")
    return order, envelope
