"""Sealing what lies on the disk: AES-256-GCM under keys that only an unlocked store has.

    root key --HKDF--> wrapping key: seals the key of each block, which seals the block's segments
             --HKDF, salt of this opening--> cell key: seals all other secret bytes of the database
             --HKDF--> key of the tags of backups (HMAC-SHA256)

    wrapped key, sealed segment = nonce (12, random) | ciphertext | tag (16)
    sealed cell                 = salt (16) | nonce (12, counted) | ciphertext | tag (16)

Every sealed thing is bound to its place (associated data), so that it opens nowhere else in the store.
Random nonces: at most 2^32 a key (NIST SP 800-38D, 8.3); a block of b bits is written at most b / 8 times.
Cells are too many for that, so each opening of a store has a cell key of its own, and counts. This is
computational secrecy, unlike the key that it guards. No file and no database here.
"""

import itertools
import secrets
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from satqkd.errors import DataFormatError
from satqkd.keys.secret import Secret

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
SALT_BYTES: Final = 16

RandBytes = Callable[[int], bytes]


class Cipher:
    """AES-256-GCM under one key, a fresh random nonce each time."""

    def __init__(self, key: bytes | bytearray | memoryview, randbytes: RandBytes) -> None:
        self._aead, self._randbytes = AESGCM(key), randbytes

    def seal(self, place: str, data: bytes | bytearray | memoryview) -> bytes:
        """The data sealed for a place."""
        nonce = self._randbytes(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, data, place.encode())

    def open(self, place: str, sealed: bytes) -> bytearray:
        """What was sealed for a place, in a buffer that can be wiped. Raises DataFormatError."""
        return _opened(self._aead, place, memoryview(sealed))


class Vault:
    """The keys of an unlocked store. `close` drops the root key; ciphers that were handed out go on."""

    def __init__(self, root: Secret, randbytes: RandBytes = secrets.token_bytes) -> None:
        self._root, self._randbytes = root, randbytes
        self._wrapping = Cipher(self._derived(b"satqkd wrapping key", b""), randbytes)
        self._salt = randbytes(SALT_BYTES)
        self._cells = {self._salt: self._cell_key(self._salt)}
        self._count = itertools.count()

    def new_key(self, place: str) -> bytes:
        """A fresh key for a block, wrapped: what is stored, and what is forgotten to erase the block."""
        return self._wrapping.seal(place, self._randbytes(KEY_BYTES))

    def cipher(self, place: str, wrapped: bytes) -> Cipher:
        """The cipher of a block by its wrapped key. Raises DataFormatError."""
        with Secret(self._wrapping.open(place, wrapped)) as key:
            return Cipher(key.expose(), self._randbytes)

    def seal(self, place: str, data: bytes | bytearray | memoryview) -> bytes:
        """A cell of the database, sealed for its place."""
        nonce = next(self._count).to_bytes(NONCE_BYTES, "big")
        return self._salt + nonce + self._cells[self._salt].encrypt(nonce, data, place.encode())

    def open(self, place: str, sealed: bytes) -> bytearray:
        """What a cell holds, in a buffer that can be wiped. Raises DataFormatError."""
        salt = sealed[:SALT_BYTES]
        if salt not in self._cells:
            self._cells[salt] = self._cell_key(salt)
        return _opened(self._cells[salt], place, memoryview(sealed)[SALT_BYTES:])

    def locked_by(self, wrap: Callable[[Secret], bytes]) -> bytes:
        """The root key as a lock wraps it."""
        return wrap(self._root)

    def backup_key(self) -> bytes:
        """The key of the tags of backups."""
        return self._derived(b"satqkd backup tag", b"")

    def close(self) -> None:
        """Wipe the root key. May be called again."""
        self._root.wipe()

    def _cell_key(self, salt: bytes) -> AESGCM:
        return AESGCM(self._derived(b"satqkd cell key", salt))

    def _derived(self, info: bytes, salt: bytes) -> bytes:
        return HKDF(SHA256(), KEY_BYTES, salt or None, info).derive(bytes(self._root.expose()))


def _opened(aead: AESGCM, place: str, sealed: memoryview) -> bytearray:
    length = len(sealed) - NONCE_BYTES - TAG_BYTES
    buffer = bytearray(max(0, length))
    try:
        if length < 0:
            raise InvalidTag
        aead.decrypt_into(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.encode(), buffer)
    except InvalidTag:
        raise DataFormatError(
            f"{place}: the sealed bytes are damaged, or were moved from another place of the store; this key "
            f"is lost; `satqkd keys audit` tells what else is"
        ) from None
    return buffer
