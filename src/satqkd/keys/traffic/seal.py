"""A message as it travels: one-time pad, one-time tag, and a receipt's token that only the peer can work out.

    "SQMSG1" | u32 header length | header (MessagePack) | ciphertext | 16-byte tag

The layout of `envelope` with one field more: the header is [sender, receiver, ranges, plaintext
bytes, number].
The ranges are pair key that the sender allocated: 256 bits are the key of the tag, the next 128 the token,
the rest the pad. Name and content are both under the pad: plain text is MessagePack [name, is text, urgent,
content]. The token leaves the receiver only when the tag fitted and the message is on its disk, so whoever
shows it has the message or guessed 128 bits of key that never travelled before: a guess passes with
probability 2^-128. Every function works inside the caller's transaction.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta
from sqlalchemy import Connection

from satqkd.errors import DataFormatError, KeyNotFound
from satqkd.keys.ledger import ledger, onetime_mac
from satqkd.keys.ledger.ledger import Use
from satqkd.keys.model import MAC_KEY_BITS, cut
from satqkd.keys.secret import Secret
from satqkd.keys.traffic.envelope import Header, assemble, read_sealed
from satqkd.keys.traffic_model import (
    MAXIMUM_NAME_CHARACTERS,
    PURPOSE,
    Number,
    received_reference,
    sent_reference,
)

MAGIC: Final = b"SQMSG1"
TOKEN_BITS: Final = 128
_BESIDE_BITS: Final = MAC_KEY_BITS + TOKEN_BITS
_MAC_BYTES: Final = MAC_KEY_BITS // 8
_PAD_FROM_BYTES: Final = _BESIDE_BITS // 8


class MessageHeader(Header, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a message says of itself, in clear."""

    number: Number


class Plain(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What lies under the pad."""

    name: Annotated[str, Meta(max_length=MAXIMUM_NAME_CHARACTERS)]
    is_text: bool
    urgent: bool
    content: bytes

    def __repr__(self) -> str:
        return f"<Plain of {len(self.content)} bytes>"


class Sealed(msgspec.Struct, frozen=True, eq=False):
    """A message ready to travel, and what its receipt will show."""

    data: bytes
    token: Secret
    key_bits: int


class Opened(msgspec.Struct, frozen=True, eq=False):
    """A message whose tag fitted."""

    header: MessageHeader
    plain: Plain
    token: Secret
    key_bits: int
    origin: str


def key_bits_for(plain: Plain) -> int:
    """Key that a message takes: 8 bits a byte, tag key and token."""
    return 8 * len(msgspec.msgpack.encode(plain)) + _BESIDE_BITS


def seal(
    connection: Connection, sender: str, receiver: str, number: int, plain: Plain, utc: str, *, demo: bool
) -> Sealed:
    """Take key and make the message of it. Raises KeyExhausted, KeyNotFound, OriginRefused."""
    plaintext = msgspec.msgpack.encode(plain)
    key_bits = 8 * len(plaintext) + _BESIDE_BITS
    use = Use(PURPOSE, sent_reference(receiver, number), utc)
    spent = ledger.spend(connection, receiver, "pair", key_bits, use, demo=demo)
    header = MessageHeader(sender, receiver, spent.ranges, len(plaintext), number)
    with spent.key as key, key.part(0, _MAC_BYTES) as mac_key, key.part(_PAD_FROM_BYTES, len(key)) as pad:
        data = assemble(MAGIC, header, plaintext, mac_key, pad)
        return Sealed(data, key.part(_MAC_BYTES, _PAD_FROM_BYTES), key_bits)


def read_message_header(data: bytes) -> MessageHeader:
    """What a message says of itself, not yet authenticated. Raises DataFormatError."""
    return read_sealed(data, MAGIC, MessageHeader, _BESIDE_BITS, "sealed message")


def unseal(connection: Connection, node_id: str, data: bytes, utc: str, *, demo: bool) -> Opened | None:
    """Check the tag, use the key, decrypt; None when the tag does not fit, which is counted.

    The caller commits either answer before telling it. Raises DataFormatError, KeyNotFound (not for this
    node, or of key that is not here yet), KeyStoreError, KeyAlreadyUsed, OriginRefused.
    """
    header = read_message_header(data)
    if header.receiver != node_id:
        raise KeyNotFound(f"this message is for {header.receiver!r}; this store is of {node_id!r}")
    use = Use(PURPOSE, received_reference(header.sender, header.number), utc)
    body, tag = data[: -onetime_mac.TAG_BYTES], data[-onetime_mac.TAG_BYTES :]
    mac_ranges, _ = cut(header.ranges, MAC_KEY_BITS)
    blocks = ledger.locate_for_peer(connection, header.sender, "pair", header.ranges, demo=demo)
    if not onetime_mac.verify(connection, blocks[: len(mac_ranges)], mac_ranges, body, tag, use):
        return None
    spent = ledger.take(connection, blocks, header.ranges, use)
    with spent.key as key, key.part(_PAD_FROM_BYTES, len(key)) as pad:
        plaintext = pad.xor(body[len(body) - header.plaintext_bytes :])
        token = key.part(_MAC_BYTES, _PAD_FROM_BYTES)
    return Opened(header, _plain(plaintext), token, spent.key.bits, spent.origin)


def _plain(plaintext: bytearray) -> Plain:
    try:
        return msgspec.msgpack.decode(plaintext, type=Plain)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise DataFormatError(
            "sealed message: its tag fits, but what is in it is no message; sender of another version?"
        ) from None
