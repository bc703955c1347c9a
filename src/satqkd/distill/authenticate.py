"""Who may be believed: a computational code on every message, a one-time tag on every block.

On line each message carries HMAC-SHA-256 (128 bits) under a key drawn once a pass, so that nothing
unverified is answered. What the key's secrecy rests on is Poly1305 with fresh r and s (256 key bits)
over the transcript of the block, both directions: a Wegman-Carter code whose forgery probability is
at most 8 ceil(L / 16) / 2^106 for L bytes (Bernstein 2005, theorem 3.3). Tags of the key itself are
taken the same way. Key positions are fixed: the peer cannot make a node use a key twice.
No store, no random source, no clock here.
"""

import hmac
from collections.abc import Iterable
from enum import IntEnum
from typing import Final, Protocol

from cryptography.hazmat.primitives.poly1305 import Poly1305

from satqkd.errors import AuthenticationError, RemoteProtocolError

Buffer = bytes | bytearray
TO_STATION: Final = b"sat>sta"
TO_SATELLITE: Final = b"sta>sat"
"""Directions, as codes and transcripts name them."""
RECEIPT: Final = b"receipt"
"""Before a direction: the code of a receipt, which is no message."""
ONLINE_KEY_BITS: Final = 256
TAG_KEY_BITS: Final = 256
ONLINE_CODE_BYTES: Final = 16
_R_FREE_BITS: Final = 106
MAXIMUM_SKIPPED_PASSES: Final = 16
"""How many passes' key a peer's hello may skip: what lost, jammed or forged hellos can burn at once."""


class TagUse(IntEnum):
    """The one-time tags of a block, in the order of their keys."""

    CLOSE = 0
    AMPLIFY = 1
    CONFIRM = 2
    CONFIRMED = 3


class AuthenticationKeys(Protocol):
    """The door to the store's authentication key for this peer."""

    @property
    def position_bits(self) -> int:
        """First bit never used."""

    def draw(self, position_bits: int, bits: int) -> bytes:
        """Key bits at a position, marked spent durably before they are returned, never twice."""


def pass_key_bits(blocks: int) -> int:
    """Authentication key that a pass of so many blocks takes, whatever becomes of it."""
    return ONLINE_KEY_BITS + blocks * len(TagUse) * TAG_KEY_BITS


def forgery_bound(n_bytes: int) -> float:
    """8 ceil(n_bytes / 16) / 2^106: probability bound that a changed message of so many bytes keeps its
    Poly1305 tag, and that two messages of at most so many share one under a fresh r (Bernstein 2005, 3.3)."""
    return 8.0 * -(-n_bytes // 16) / 2.0**_R_FREE_BITS


def agreed_position(ours: int, theirs: int, blocks: int) -> int:
    """The later of both positions; raises RemoteProtocolError or AuthenticationError for an odd one."""
    if theirs % 8:
        raise RemoteProtocolError(
            f"peer's authentication position {theirs} is not on a byte; the session ends"
        )
    limit = MAXIMUM_SKIPPED_PASSES * pass_key_bits(blocks)
    if theirs - ours > limit:
        raise AuthenticationError(
            f"peer's authentication position {theirs} is more than {limit} bits past ours ({ours}): a forged "
            f"hello, or passes that one end never heard of; bring both stores together with `satqkd keys "
            f"provision`"
        )
    return max(ours, theirs)


class PassKeys:
    """The authentication key of one pass, drawn whole when the hellos agree.

    epsilon: forgery bounds of all one-time tags made or checked so far, summed; both ends handle the same
    tags.
    """

    def __init__(
        self, key: bytes, blocks: int, *, used_blocks: Iterable[int] = (), epsilon: float = 0.0
    ) -> None:
        """used_blocks, epsilon: of a process before this one; tags of these blocks are never made again."""
        if len(key) * 8 != pass_key_bits(blocks):
            raise AuthenticationError(f"expected {pass_key_bits(blocks)} key bits, got {len(key) * 8}")
        self._key = key
        self._used = {(block, use) for block in used_blocks for use in TagUse}
        self.epsilon = epsilon

    def __repr__(self) -> str:
        return "PassKeys(...)"

    @property
    def key(self) -> bytes:
        """The key itself, for the node's journal alone."""
        return self._key

    def online_code(self, direction: bytes, data: bytes) -> bytes:
        """HMAC-SHA-256 of direction and message, first 16 bytes."""
        return hmac.digest(self._key[: ONLINE_KEY_BITS // 8], direction + data, "sha256")[:ONLINE_CODE_BYTES]

    def one_time_tag(self, block: int, use: TagUse, *parts: Buffer) -> bytes:
        """Poly1305 of the parts in turn under this use's own key; each use of each block happens once."""
        if (block, use) in self._used:
            raise AuthenticationError(f"one-time key {use.name} of block {block} is spent already")
        self._used.add((block, use))
        self.epsilon += forgery_bound(sum(len(part) for part in parts))
        start = (ONLINE_KEY_BITS + (block * len(TagUse) + use) * TAG_KEY_BITS) // 8
        code = Poly1305(self._key[start : start + TAG_KEY_BITS // 8])
        for part in parts:
            code.update(part)
        return code.finalize()


class Transcript:
    """All that was said about one block, both directions, each in its order."""

    def __init__(self, opening: bytes) -> None:
        self._opening = opening
        self._streams = {TO_STATION: bytearray(), TO_SATELLITE: bytearray()}

    def add(self, direction: bytes, data: bytes) -> None:
        """Append one message's bytes, length first, to its direction."""
        self._streams[direction] += len(data).to_bytes(4, "little") + data

    def parts(self) -> list[Buffer]:
        """Opening (both hellos) and both streams, each after its length: what a tag covers, not copied."""
        wholes: list[Buffer] = [self._opening, *self._streams.values()]
        lengths = [len(whole).to_bytes(8, "little") for whole in wholes]
        return [part for pair in zip(lengths, wholes, strict=True) for part in pair]


def same(expected: bytes, got: bytes) -> bool:
    """Whether two codes are equal, in constant time."""
    return hmac.compare_digest(expected, got)


def require_equal(expected: bytes, got: bytes, what: str) -> None:
    """Constant-time comparison; raises AuthenticationError naming what differs."""
    if not same(expected, got):
        raise AuthenticationError(
            f"{what}: the tag differs from what the shared key demands: a changed message, a wrong peer or "
            f"stores out of step; the key used counts as spent and the session ends"
        )


def split_online_code(data: bytes) -> tuple[bytes, bytes]:
    """A wire message as (envelope bytes, code); raises RemoteProtocolError when too short."""
    if len(data) <= ONLINE_CODE_BYTES:
        raise RemoteProtocolError(f"message of {len(data)} bytes is shorter than its code; the session ends")
    return data[:-ONLINE_CODE_BYTES], data[-ONLINE_CODE_BYTES:]
