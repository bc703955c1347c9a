"""Files longer than the key: 256 bits of pair key, used once, are the AES-256 key of one file.

    key section = u32 head length | [ranges] | tag, 16 bytes      in the place of the chunks of a one-time pad
    then        = AES-256-GCM of 64 KiB pieces, each with its tag; nonce = u88 number, big-endian | last

The ranges hold 512 bits: 256 for the one-time tag over prefix and section, 256 for the file. Prefix and
section are additional data of each piece, and the last piece says so in its nonce: pieces dropped, moved,
doubled or missing do not open. Secrecy rests on AES (computational), not on the one-time pad. A file's key
serves no other file, nor the same one after a stop: to begin anew takes new key. No file, no clock here.
"""

from collections.abc import Iterator
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Meta

from satqkd.errors import AuthenticationError, DataFormatError
from satqkd.keys.ledger import onetime_mac
from satqkd.keys.ledger.ledger import Use
from satqkd.keys.ledger.onetime_mac import TAG_BYTES
from satqkd.keys.model import MAC_KEY_BITS, MAXIMUM_RANGES, KeyRange
from satqkd.keys.otp.chunks import authentic_key
from satqkd.keys.otp.format import (
    MAXIMUM_HEAD_BYTES,
    Prefix,
    Source,
    check_ranges,
    chunks,
    read_struct,
    read_up_to,
    with_length,
)
from satqkd.keys.secret import Secret
from satqkd.keys.store.key_store import KeyStore

PIECE_BYTES: Final = 1 << 16
FILE_KEY_BITS: Final = 256
KEY_BITS: Final = MAC_KEY_BITS + FILE_KEY_BITS
"""What a file takes of the pair's key, however long it is."""
_MAC_BYTES: Final = MAC_KEY_BITS // 8
_NUMBER_BYTES: Final = 11


class KeyHead(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where the key of a file lies."""

    ranges: Annotated[tuple[KeyRange, ...], Meta(min_length=1, max_length=MAXIMUM_RANGES)]


class KeySection(msgspec.Struct, frozen=True):
    """The key section of a file, parsed and as it stood."""

    ranges: tuple[KeyRange, ...]
    data: bytes
    """All of it, tag included."""


def seal_key(store: KeyStore, prefix: Prefix, use: Use, *, demo: bool) -> tuple[KeySection, Secret]:
    """Take the key of one file, durably. Raises KeyExhausted, KeyNotFound, OriginRefused."""
    spent = store.spend(
        prefix.header.receiver,
        "pair",
        KEY_BITS,
        purpose=use.purpose,
        reference=use.reference,
        demo=demo,
        now_utc=use.utc,
    )
    with spent.key as key, key.part(0, _MAC_BYTES) as mac_key:
        head = with_length(KeyHead(spent.ranges))
        data = head + onetime_mac.tag(mac_key, prefix.data + head)
        return KeySection(spent.ranges, data), key.part(_MAC_BYTES, len(key))


def encrypted(source: Source, prefix: Prefix, section: KeySection, file_key: Secret) -> Iterator[bytes]:
    """The pieces of a file in order, after its key section."""
    cipher, beside = AESGCM(file_key.expose()), prefix.data + section.data
    for number, (plaintext, last) in enumerate(chunks(source, prefix.header.chunk_bytes)):
        yield cipher.encrypt(_nonce(number, last=last), plaintext, beside)


def read_section(source: Source) -> KeySection:
    """The key section behind the prefix, not yet authenticated. Raises DataFormatError."""
    head, data = read_struct(source, KeyHead, MAXIMUM_HEAD_BYTES, "key section")
    check_ranges(head.ranges, KEY_BITS, "key section")
    tag = read_up_to(source, TAG_BYTES)
    if len(tag) < TAG_BYTES:
        raise DataFormatError(
            "encrypted file, key section: expected a tag of 16 bytes: the file is cut short"
        )
    return KeySection(head.ranges, data + tag)


def open_key(store: KeyStore, prefix: Prefix, section: KeySection, use: Use, *, demo: bool) -> Secret:
    """The key of a file whose section's tag fits; it stays in the store until it is settled.

    Raises AuthenticationError (counted), KeyNotFound, KeyStoreError, KeyAlreadyUsed, OriginRefused.
    """
    signed, tag = prefix.data + section.data[:-TAG_BYTES], section.data[-TAG_BYTES:]
    where = "the key section of this file"
    key = authentic_key(store, prefix, section.ranges, signed, tag, use, demo=demo, where=where)
    with key:
        return key.part(_MAC_BYTES, len(key))


def decrypted(source: Source, prefix: Prefix, section: KeySection, file_key: Secret) -> Iterator[bytes]:
    """Plain text piece by piece, each after its tag fitted. Raises AuthenticationError."""
    cipher, beside = AESGCM(file_key.expose()), prefix.data + section.data
    for number, (piece, last) in enumerate(chunks(source, prefix.header.chunk_bytes + TAG_BYTES)):
        try:
            plaintext = cipher.decrypt(_nonce(number, last=last), piece, beside)
        except (InvalidTag, ValueError):
            raise AuthenticationError(
                f"piece {number} of this file from {prefix.header.sender!r} does not open: it was changed, "
                f"moved or cut on its way; its key is not used up; get the file again"
            ) from None
        if not plaintext and number:
            raise DataFormatError(f"encrypted file, piece {number}: expected no empty piece at the end")
        yield plaintext


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(_NUMBER_BYTES, "big") + bytes([last])
