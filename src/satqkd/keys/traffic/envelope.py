"""One message in one piece: magic, header, ciphertext, one-time tag; put together and taken apart.

    magic | u32 header length | header (MessagePack) | ciphertext | 16-byte tag

All integers outside the header are little-endian. The header tells sender, receiver, ranges and plaintext
bytes, a range [block id, offset bits, length bits]; the tag covers all before it. Which key is
the tag's and which the pad is the caller's rule. No store here; what is read is not yet believed.
"""

from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from satqkd.errors import DataFormatError
from satqkd.keys.ledger import onetime_mac
from satqkd.keys.model import MAXIMUM_RANGES, KeyRange
from satqkd.keys.secret import Secret

MAXIMUM_HEADER_BYTES: Final = 1 << 20
"""What a message may make the reader parse."""
_Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class Header(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a message says of itself, in clear."""

    sender: _Name
    receiver: _Name
    ranges: Annotated[tuple[KeyRange, ...], Meta(max_length=MAXIMUM_RANGES)]
    plaintext_bytes: Annotated[int, Meta(ge=0)]


HeaderT = TypeVar("HeaderT", bound=Header)


def assemble(magic: bytes, header: Header, plaintext: bytes, mac_key: Secret, pad: Secret) -> bytes:
    """The bytes of a sealed file: magic, header, ciphertext, tag. The pad is as long as the plain text."""
    encoded = msgspec.msgpack.encode(header)
    body = magic + len(encoded).to_bytes(4, "little") + encoded + bytes(pad.xor(plaintext))
    return body + onetime_mac.tag(mac_key, body)


def read_sealed(data: bytes, magic: bytes, kind: type[HeaderT], beside_bits: int, what: str) -> HeaderT:
    """The header of sealed bytes of a kind, its lengths checked, not yet authenticated.

    beside_bits: key named beyond the pad. what: how errors call it. Raises DataFormatError.
    """
    if data[: len(magic)] != magic:
        raise DataFormatError(f"{what}, offset 0: expected {magic!r}, got {bytes(data[: len(magic)])!r}")
    prefix_bytes = len(magic) + 4
    length = int.from_bytes(data[len(magic) : prefix_bytes], "little")
    if length > MAXIMUM_HEADER_BYTES or len(data) < prefix_bytes + length + onetime_mac.TAG_BYTES:
        raise DataFormatError(
            f"{what}, offset {prefix_bytes}: expected a header of {length} bytes and a tag, got "
            f"{len(data)} bytes in all: the file is cut short or damaged"
        )
    try:
        header = msgspec.msgpack.decode(data[prefix_bytes : prefix_bytes + length], type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataFormatError(f"{what}, offset {prefix_bytes}: no valid header: {error}") from None
    _check_lengths(header, len(data) - prefix_bytes - length - onetime_mac.TAG_BYTES, beside_bits, what)
    return header


def _check_lengths(header: Header, ciphertext_bytes: int, beside_bits: int, what: str) -> None:
    if ciphertext_bytes != header.plaintext_bytes:
        raise DataFormatError(
            f"{what}: expected {header.plaintext_bytes} bytes of ciphertext, got {ciphertext_bytes}: "
            f"the file is cut short or damaged"
        )
    if any(
        piece.length_bits < 8 or piece.length_bits % 8 or piece.offset_bits % 8 for piece in header.ranges
    ):
        raise DataFormatError(f"{what}: expected key ranges of whole bytes")
    key_bits = sum(piece.length_bits for piece in header.ranges)
    if key_bits != 8 * header.plaintext_bytes + beside_bits:
        raise DataFormatError(
            f"{what}: expected {8 * header.plaintext_bytes + beside_bits} bits of key named, got {key_bits}"
        )
