"""The door to key that another system made: a fibre link, a KME of another vendor. And the simplest behind
it: files.

A source gives one end new keys with their ids, and the other end the keys of these ids, each key once. Ids
are public and no function of the key. What stands behind it may block for as long as a network does.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from satqkd.errors import ConfigError, DataFormatError, KeyNotFound
from satqkd.keys.model import check_name
from satqkd.keys.secret import Secret

MAXIMUM_FILE_BYTES: Final = 1 << 27


class KeySource(Protocol):
    """One end of a system that makes key between two nodes."""

    def draw(self, count: int, size_bits: int) -> tuple[tuple[str, ...], Secret]:
        """New keys: their ids, and all their bytes one after the other. All or none; raises Error."""

    def fetch(self, key_ids: Sequence[str], size_bits: int) -> Secret:
        """Keys that the other end drew, one after the other, `size_bits` each, all or none. Raises Error."""


class FileKeySource:
    """One file of raw key, the same bytes under the same name at both ends: one key, whose id is the name.

    The name without its suffix must be a name in this project's sense. The file is read and left as it is:
    whoever put it there removes it, at both ends.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key_id = check_name(path.stem, f"{path}: name of the file")

    @property
    def size_bits(self) -> int:
        """Of the key. Raises DataFormatError when it is too long or empty."""
        size = self._path.stat().st_size
        if not 0 < size <= MAXIMUM_FILE_BYTES:
            raise DataFormatError(
                f"{self._path}: expected 1 to {MAXIMUM_FILE_BYTES} bytes of key, got {size}"
            )
        return 8 * size

    def draw(self, count: int, size_bits: int) -> tuple[tuple[str, ...], Secret]:
        """The whole file as one key."""
        if count != 1:
            raise ConfigError(f"{self._path}: expected one key to be asked for, a file is one; got {count}")
        return (self._key_id,), self.fetch((self._key_id,), size_bits)

    def fetch(self, key_ids: Sequence[str], size_bits: int) -> Secret:
        """The whole file, if its name is what the other end named."""
        if tuple(key_ids) != (self._key_id,):
            raise KeyNotFound(
                f"{self._path}: expected the file that the other end named, {' '.join(key_ids)[:200]!r}"
            )
        if self.size_bits != size_bits:
            raise DataFormatError(f"{self._path}: expected {size_bits} bits of key, got {self.size_bits}")
        buffer = bytearray(size_bits // 8)
        with self._path.open("rb") as file:
            if file.readinto(buffer) != len(buffer):
                raise DataFormatError(f"{self._path}: cut short while it was read; nothing was imported")
        return Secret(buffer)
