"""One-time pad with a one-time tag: a file that only the peer's store can open, once.

    "SQOTP1" | u32 header length | header (MessagePack) | ciphertext | 16-byte tag

All integers outside the header are little-endian; the header is the array [sender, receiver, ranges,
plaintext bytes], a range [block id, offset bits, length bits]. The ranges are pair key that the sender
allocated: their first 256 bits are the key of the tag, the rest the pad. The tag covers all before it.
Key is marked as used before a byte of ciphertext exists, and nothing is decrypted before the tag fits.
"""

from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from satqkd.errors import AuthenticationError, ConfigError, DataFormatError, KeyNotFound
from satqkd.keys import ledger, onetime_mac
from satqkd.keys.ledger import Use
from satqkd.keys.model import MAC_KEY_BITS, MAXIMUM_RANGES, KeyRange, Spent, check_name, cut
from satqkd.keys.secret import Secret
from satqkd.keys.store import KeyStore

MAGIC: Final = b"SQOTP1"
MAXIMUM_HEADER_BYTES: Final = 1 << 20
"""What a file may make the reader parse."""
_Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class Header(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a file says of itself, in clear."""

    sender: _Name
    receiver: _Name
    ranges: Annotated[tuple[KeyRange, ...], Meta(max_length=MAXIMUM_RANGES)]
    plaintext_bytes: Annotated[int, Meta(ge=0)]


HeaderT = TypeVar("HeaderT", bound=Header)


def encrypt(
    store: KeyStore,
    peer: str,
    plaintext: bytes,
    *,
    reference: str = "",
    now_utc: str | None = None,
    demo: bool = False,
) -> bytes:
    """The file that carries `plaintext` to `peer`. Takes 8 bits a byte and 256 more of this end's pair key.

    Raises KeyExhausted, KeyNotFound, OriginRefused; no key is used then.
    """
    check_name(peer, "peer")
    spent = store.spend(
        peer,
        "pair",
        8 * len(plaintext) + MAC_KEY_BITS,
        purpose="encrypt",
        reference=reference,
        demo=demo,
        now_utc=now_utc,
    )
    header = Header(store.node_id, peer, spent.ranges, len(plaintext))
    return _seal(header, plaintext, spent)


def _seal(header: Header, plaintext: bytes, spent: Spent) -> bytes:
    mac_bytes = MAC_KEY_BITS // 8
    with spent.key as key, key.part(0, mac_bytes) as mac_key, key.part(mac_bytes, len(key)) as pad:
        return assemble(MAGIC, header, plaintext, mac_key, pad)


def assemble(magic: bytes, header: Header, plaintext: bytes, mac_key: Secret, pad: Secret) -> bytes:
    """The bytes of a sealed file: magic, header, ciphertext, tag. The pad is as long as the plain text."""
    encoded = msgspec.msgpack.encode(header)
    body = magic + len(encoded).to_bytes(4, "little") + encoded + bytes(pad.xor(plaintext))
    return body + onetime_mac.tag(mac_key, body)


def decrypt(store: KeyStore, data: bytes, *, now_utc: str | None = None, demo: bool = False) -> bytes:
    """The plaintext of a file from a peer; its key is used and wiped before this returns.

    A wrong tag raises AuthenticationError and takes no pad: else a forged file could burn any key of the
    store, or kill the true file that comes after it. The tag's key allows `onetime_mac.ATTEMPTS` of them
    and counts as spent with the last. Raises DataFormatError (no such file, cut short), KeyNotFound (not
    for this node, unknown key), KeyAlreadyUsed (decrypted before), OriginRefused.
    """
    header = read_header(data)
    if header.receiver != store.node_id:
        raise KeyNotFound(
            f"this file is from {header.sender!r} for {header.receiver!r}; this store is of {store.node_id!r}"
        )
    spent = _authenticated_key(store, header, data, now_utc=now_utc, demo=demo)
    ciphertext = data[-onetime_mac.TAG_BYTES - header.plaintext_bytes : -onetime_mac.TAG_BYTES]
    mac_bytes = MAC_KEY_BITS // 8
    with spent.key as key, key.part(mac_bytes, len(key)) as pad:
        return bytes(pad.xor(ciphertext))


def _authenticated_key(
    store: KeyStore, header: Header, data: bytes, *, now_utc: str | None, demo: bool
) -> Spent:
    use = Use("decrypt", "", now_utc)
    body, tag = data[: -onetime_mac.TAG_BYTES], data[-onetime_mac.TAG_BYTES :]
    mac_ranges, _ = cut(header.ranges, MAC_KEY_BITS)
    with store.transaction() as connection:
        blocks = ledger.locate_for_peer(connection, header.sender, "pair", header.ranges, demo=demo)
        tag_blocks = blocks[: len(mac_ranges)]
        good = onetime_mac.verify(connection, tag_blocks, mac_ranges, body, tag, use)
        spent = ledger.take(connection, blocks, header.ranges, use) if good else None
    if spent is None:
        raise AuthenticationError(
            f"the tag does not fit this file from {header.sender!r}: it was changed on its way or is not "
            f"from there; nothing was decrypted; get the file again"
        )
    return spent


def read_header(data: bytes) -> Header:
    """What a file says of itself, not yet authenticated. Raises DataFormatError when it is not whole."""
    return read_sealed(data, MAGIC, Header, MAC_KEY_BITS, "encrypted file")


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


def largest_plaintext_bytes(store: KeyStore, peer: str, *, demo: bool = False) -> int:
    """How long a file this end could encrypt for the peer now."""
    check_name(peer, "peer")
    if peer == store.node_id:
        raise ConfigError(f"peer: expected another node than {peer!r}, the owner of this store")
    return _bytes_under(store.available_bits(peer, "pair", demo=demo))


def plaintext_bytes_of(pair_bits: int) -> int:
    """How long a file either end can encrypt with one unused pair block of so many bits."""
    return _bytes_under(ledger.half_bits(pair_bits))


def _bytes_under(key_bits: int) -> int:
    return max(0, key_bits - MAC_KEY_BITS) // 8
