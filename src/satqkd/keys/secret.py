"""Key bytes that never show themselves in text.

A `Secret` redacts its repr, compares in constant time, cannot be hashed, copied, pickled or put into
JSON, and can be overwritten. It wipes the buffer it owns; copies that Python, SQLite or the operating
system made on the way (an immutable `bytes`, a swapped page) are out of its reach. No file, no clock.
"""

import hmac
from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from satqkd.errors import LocalProtocolError


class Secret:
    """Key material in one mutable buffer.

        with spent.key as key:
            use(key.expose())      # wiped when the block ends

    Takes over the bytearray it is given; other buffers are copied.
    """

    __slots__ = ("_buffer", "_wiped")

    def __init__(self, data: bytearray | bytes | memoryview) -> None:
        self._buffer = data if isinstance(data, bytearray) else bytearray(data)
        self._wiped = False

    @property
    def bits(self) -> int:
        """Length in bits; kept after a wipe."""
        return 8 * len(self._buffer)

    def expose(self) -> memoryview:
        """The bytes themselves, as a read-only view of the buffer. Raises LocalProtocolError once wiped."""
        if self._wiped:
            raise LocalProtocolError(f"this {self.bits}-bit secret was wiped; ask the store for other key")
        return memoryview(self._buffer).toreadonly()

    def part(self, from_byte: int, until_byte: int) -> "Secret":
        """A copy of some of the bytes, wiped separately."""
        return Secret(bytearray(self.expose()[from_byte:until_byte]))

    def xor(self, data: bytes | bytearray | memoryview) -> bytearray:
        """The bytes combined with as many others by exclusive or, in a new buffer."""
        own = np.frombuffer(self.expose(), dtype=np.uint8)
        other = np.frombuffer(data, dtype=np.uint8)
        if own.size != other.size:
            raise LocalProtocolError(f"exclusive or: expected {own.size} bytes, got {other.size}")
        return bytearray((own ^ other).data)

    def wipe(self) -> None:
        """Overwrite the buffer with zeros. May be called again."""
        self._buffer[:] = bytes(len(self._buffer))
        self._wiped = True

    def __enter__(self) -> "Secret":
        return self

    def __exit__(self, *_: object) -> None:
        self.wipe()

    def __len__(self) -> int:
        return len(self._buffer)

    def __repr__(self) -> str:
        return f"<Secret of {self.bits} bits{', wiped' if self._wiped else ''}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._buffer, other._buffer)

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, _: object) -> NoReturn:
        raise TypeError("a Secret is neither copied nor pickled")


def xor_all(secrets: Sequence[Secret]) -> Secret:
    """The exclusive or of some secrets of one length, which are wiped."""
    mixed = bytearray(len(secrets[0]))
    for secret in secrets:
        with secret:
            mixed[:] = secret.xor(mixed)
    return Secret(mixed)
