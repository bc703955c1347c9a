"""Two stations that share pair key in memory, cheap to copy, for the tests of encrypted files."""

import io
from collections.abc import Callable, Iterator
from typing import Any

from keys_cases import NOW, key_bytes

from memory_store import MemoryDatabase, memory_store
from satqkd.keys import KeyStore, decrypt_stream, encrypt_stream
from satqkd.keys.otp.format import Record, read_prefix, read_records

PAIR_BYTES = 4096


class Pair:
    """beijing and xian with 4096 bytes of pair key in blocks of 1024, all of it beijing's to allocate."""

    def __init__(self, *, pair_bytes: int = PAIR_BYTES, blocks: int = 4) -> None:
        self.key = key_bytes(pair_bytes, "pair")
        self.sender, self.sender_memory = self._store("beijing", "xian", blocks)
        self.receiver, self.receiver_memory = self._store("xian", "beijing", blocks)

    def _store(self, node_id: str, peer: str, blocks: int) -> tuple[KeyStore, MemoryDatabase]:
        store, memory = memory_store(node_id)
        size = len(self.key) // blocks
        for number in range(blocks):
            store.add_block(
                f"b{number}",
                peer=peer,
                kind="pair",
                origin="hardware",
                key=self.key[number * size : (number + 1) * size],
                state="confirmed",
                allocator="beijing",
                now_utc=NOW,
            )
        return store, memory

    def sealed(self, plaintext: bytes, *, chunk_bytes: int = 64, seed: str = "stream", **more: Any) -> bytes:
        """A file of chunks of so many bytes."""
        sink = io.BytesIO()
        encrypt_stream(
            self.sender,
            "xian",
            io.BytesIO(plaintext),
            sink,
            randbytes=lambda n: key_bytes(n, seed),
            chunk_bytes=chunk_bytes,
            **more,
        )
        return sink.getvalue()

    def opened(self, data: bytes) -> bytes:
        """What comes out of a file that is read as a stream."""
        sink = io.BytesIO()
        decrypt_stream(self.receiver, io.BytesIO(data), sink)
        return sink.getvalue()

    def spent_bits(self, store: KeyStore) -> int:
        """Key used."""
        return sum(row.spent_bits for row in store.status())


class Pipe:
    """A source that cannot be read twice and gives as much as it likes at a time."""

    def __init__(self, data: bytes, sizes: Callable[[], int] = lambda: 7) -> None:
        self._data, self._sizes = io.BytesIO(data), sizes

    def read(self, size: int, /) -> bytes:
        return self._data.read(min(size, max(1, self._sizes())))

    def seekable(self) -> bool:
        return False


def parts_of(data: bytes) -> tuple[bytes, list[bytes]]:
    """Prefix and chunks of a file."""
    source = io.BytesIO(data)
    prefix = read_prefix(source)
    return prefix.data, [record.data for record in read_records(source, prefix)]


def records_of(data: bytes) -> Iterator[Record]:
    source = io.BytesIO(data)
    return read_records(source, read_prefix(source))
