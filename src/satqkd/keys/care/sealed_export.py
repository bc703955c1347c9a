"""Exported key in a file under a lock: a passphrase, a key file or a command, as for a store.

    "SQKEY1" | header length, u32 little-endian | header | sealed
    header = MessagePack map: node, peer, bits, ranges, lock
    lock   = the file's own random key of 256 bits, wrapped (`unlock`)
    sealed = nonce (12) | AES-256-GCM of the key's bytes under the file's key | tag (16); associated data is
             "export " and the SHA-256 of all before it, in hexadecimal

The ranges are no secret, and are bound to the key. No store, no file here.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from satqkd.errors import ConfigError, DataFormatError
from satqkd.keys.at_rest.unlock import Lock, lock_root, unlock_root
from satqkd.keys.at_rest.vault import KEY_BYTES, Cipher
from satqkd.keys.model import KeyRange
from satqkd.keys.secret import Secret

MAGIC: Final = b"SQKEY1"
MAXIMUM_HEADER_BYTES: Final = 1 << 20


class ExportHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in clear before the key."""

    node: str
    """Whose store it came from."""
    peer: str
    bits: int
    ranges: tuple[KeyRange, ...]
    lock: bytes


class Sealer:
    """Makes one file; made before any key is used, so that a lock that does not work costs none."""

    def __init__(self, lock: Lock, randbytes: Callable[[int], bytes]) -> None:
        with Secret(randbytes(KEY_BYTES)) as file_key:
            self._lock = lock_root(lock, file_key)
            self._cipher = Cipher(file_key.expose(), randbytes)

    def seal(self, key: Secret, ranges: Sequence[KeyRange], *, node: str, peer: str) -> bytes:
        """The file."""
        header = msgspec.msgpack.encode(ExportHeader(node, peer, key.bits, tuple(ranges), self._lock))
        head = MAGIC + len(header).to_bytes(4, "little") + header
        return head + self._cipher.seal(_place(head), key.expose())


def unseal(data: bytes, lock: Lock) -> tuple[ExportHeader, Secret]:
    """Header and key of a file. Raises DataFormatError (no such file, or changed), ConfigError (lock)."""
    start = len(MAGIC) + 4
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    if data[: len(MAGIC)] != MAGIC or length > MAXIMUM_HEADER_BYTES or len(data) < start + length:
        raise DataFormatError("expected a file that `satqkd keys export` sealed, got something else")
    try:
        header = msgspec.msgpack.decode(data[start : start + length], type=ExportHeader)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise DataFormatError("header of exported key: expected a MessagePack map, got otherwise") from None
    with unlock_root(lock, header.lock) as file_key:
        if len(file_key) != KEY_BYTES:
            raise ConfigError(f"lock of exported key: expected {KEY_BYTES} bytes, got {len(file_key)}")
        cipher = Cipher(file_key.expose(), lambda _: b"")
    return header, Secret(cipher.open(_place(data[: start + length]), data[start + length :]))


def _place(head: bytes) -> str:
    return f"export {hashlib.sha256(head).hexdigest()}"
