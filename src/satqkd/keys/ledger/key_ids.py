"""Key ids that say where a key lies, to those who share a secret: UUIDs of version 8 (RFC 9562).

    122 bits = block 24 | masked place 42 | tag 56;    place = offset in bytes 28 | size in bytes 14
    block    = first bits of SHA-256 of the block's id, which is public
    tag      = first bits of AES-256 of (place, 80 zero bits) under HMAC-SHA256(secret, "tag", master, slaves)
    mask     = first bits of AES-256 of (tag, 72 zero bits) under HMAC-SHA256(secret, "mask")

The secret is 256 bits that both ends of a block share, used for nothing else. The other end finds the key and
knows whether it may go to who asks, with no message between them. A forger guesses on line, 2^-56 an attempt.
No function of key bits, no store, no clock here.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from satqkd.keys.secret import Secret

SECRET_BITS: Final = 256
LARGEST_OFFSET_BYTES: Final = (1 << 28) - 1
LARGEST_KEY_BYTES: Final = (1 << 14) - 1
_TAG_BITS, _PLACE_BITS, _BLOCK_BITS, _SIZE_BITS = 56, 42, 24, 14
_AES_BYTES: Final = 16
_TAG_FROM: Final = 8 * _AES_BYTES - _TAG_BITS
_MASK_FROM: Final = 8 * _AES_BYTES - _PLACE_BITS
_VERSION: Final = 8
_VARIANT: Final = 2

Place = tuple[int, int]
"""Offset and size in bytes."""


def block_tag(block_id: str) -> int:
    """What an id says of its block."""
    return int.from_bytes(hashlib.sha256(block_id.encode()).digest()[:3], "big")


class KeyIds:
    """Ids of keys in one block, for one master and one slave, or several that are told together."""

    def __init__(self, block_id: str, secret: Secret, *, master: str, slaves: Sequence[str]) -> None:
        self._block = block_tag(block_id)
        names = [name.encode() for name in (master, *slaves)]
        framed = b"".join(len(name).to_bytes(4, "big") + name for name in names)
        self._tag = _aes(secret, b"tag" + framed)
        self._mask = _aes(secret, b"mask")

    def make(self, places: Sequence[Place]) -> list[str]:
        """An id for each place, in order."""
        numbers = [offset << _SIZE_BITS | size for offset, size in places]
        tags = self._tags(numbers)
        masks = self._masks(tags)
        return [
            _uuid((self._block << _PLACE_BITS | number ^ mask) << _TAG_BITS | tag)
            for number, mask, tag in zip(numbers, masks, tags, strict=True)
        ]

    def read(self, key_ids: Sequence[int]) -> list[Place | None]:
        """The places of ids by their 122 bits; None for one that is not of this block, master and slaves."""
        tags = [number & ((1 << _TAG_BITS) - 1) for number in key_ids]
        masked = [number >> _TAG_BITS & ((1 << _PLACE_BITS) - 1) for number in key_ids]
        places = [hidden ^ mask for hidden, mask in zip(masked, self._masks(tags), strict=True)]
        right = self._tags(places)
        return [
            (place >> _SIZE_BITS, place & LARGEST_KEY_BYTES) if _same(tag, expected) else None
            for place, tag, expected in zip(places, tags, right, strict=True)
        ]

    def _tags(self, numbers: Sequence[int]) -> list[int]:
        plain = b"".join((number << _MASK_FROM).to_bytes(_AES_BYTES, "big") for number in numbers)
        return [number >> _TAG_FROM for number in _blocks(self._tag.update(plain))]

    def _masks(self, tags: Sequence[int]) -> list[int]:
        plain = b"".join((tag << _TAG_FROM).to_bytes(_AES_BYTES, "big") for tag in tags)
        return [number >> _MASK_FROM for number in _blocks(self._mask.update(plain))]


def bits_of(key_id: str) -> int | None:
    """The 122 bits of an id in the form of a UUID of version 8, in any case; None for anything else."""
    if len(key_id) != 36 or any(key_id[i] != "-" for i in (8, 13, 18, 23)):
        return None
    digits = key_id.replace("-", "")
    if len(digits) != 32 or not digits.isascii() or not digits.isalnum():
        return None
    try:
        number = int(digits, 16)
    except ValueError:
        return None
    if number >> 76 & 15 != _VERSION or number >> 62 & 3 != _VARIANT:
        return None
    return number >> 80 << 74 | (number >> 64 & 0xFFF) << 62 | number & ((1 << 62) - 1)


def block_of(bits: int) -> int:
    """The block's tag in an id's 122 bits."""
    return bits >> (_TAG_BITS + _PLACE_BITS)


def random_id(random_bytes: bytes) -> str:
    """An id of 16 random bytes, for a key that is looked up."""
    return _uuid(int.from_bytes(random_bytes, "big") & ((1 << 122) - 1))


def _uuid(bits: int) -> str:
    high, middle, low = bits >> 74, bits >> 62 & 0xFFF, bits & ((1 << 62) - 1)
    text = f"{high << 80 | _VERSION << 76 | middle << 64 | _VARIANT << 62 | low:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _blocks(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + _AES_BYTES], "big") for i in range(0, len(data), _AES_BYTES)]


def _aes(secret: Secret, purpose: bytes) -> CipherContext:
    key = hmac.digest(bytes(secret.expose()), purpose, "sha256")
    return Cipher(algorithms.AES256(key), modes.ECB()).encryptor()


def _same(one: int, other: int) -> bool:
    return hmac.compare_digest(one.to_bytes(8, "big"), other.to_bytes(8, "big"))
