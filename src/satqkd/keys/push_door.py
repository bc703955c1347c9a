"""The door between a node and the store of its key server: whole blocks go through it, chunk by chunk.

The words are those of ETSI GS QKD 004 in the direction of a push: a key stream is opened, chunks come with
an increasing index, the stream is closed. One stream is one block. Whoever is behind the door (a store in
this process, a server at the end of a line) takes every call again without a second effect, so a call whose
answer was lost is made again. No HTTP, no store here.
"""

from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta

from satqkd.errors import ConfigError, KeyStoreError
from satqkd.keys.model import NodeName, Origin, check_block_id
from satqkd.keys.paths import WirePaths

CHUNK_BYTES: Final = 32_768
"""The longest chunk: in base64 and JSON it fits into 64 KiB."""
LEAST_CHUNK_BYTES: Final = 4096
MAXIMUM_PUSH_BITS: Final = 1 << 30
_Bits = Annotated[int, Meta(ge=0, le=MAXIMUM_PUSH_BITS, multiple_of=8)]
_Utc = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$")]


class NoLink(KeyStoreError):  # noqa: N818 - the word of the standard
    """The key server knows nobody at the other end of this key."""


class StreamInUse(KeyStoreError):  # noqa: N818
    """The stream, or the block that it brings, is known by another name, or was given up."""


class PushedBlock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of a block that is pushed: all that its row in the store says, and no key."""

    block_id: Annotated[str, Meta(min_length=1, max_length=200)]
    peer: NodeName
    origin: Origin
    paths: WirePaths
    bits: Annotated[int, Meta(ge=8, le=MAXIMUM_PUSH_BITS, multiple_of=8)]
    own_from_bits: _Bits
    own_until_bits: _Bits
    """The part that this node allocates, in the one store as in the other."""
    created_utc: _Utc

    def chunks(self, chunk_bytes: int) -> int:
        """How many chunks it makes."""
        return -(-self.bits // 8 // chunk_bytes)

    def length_of(self, index: int, chunk_bytes: int) -> int:
        """Bytes of one chunk."""
        return min(chunk_bytes, self.bits // 8 - index * chunk_bytes)


class StreamState(msgspec.Struct, frozen=True):
    """How far a stream is."""

    chunk_bytes: int
    """Of every chunk but the last."""
    next_index: int
    """The chunk that is wanted; as many as there are when all have come."""


class Intake(Protocol):
    """Where a node pushes key into. Every method may be called again, and may block."""

    def open(self, stream_id: str, node: str, block: PushedBlock, *, now_utc: str) -> StreamState:
        """Begin a stream, or find how far it is. node: whose key it is, the owner of both stores.

        Raises StreamInUse, NoLink, ConfigError; nothing was then taken.
        """

    def take(self, stream_id: str, index: int, chunk: memoryview, *, now_utc: str) -> int:
        """Hold a chunk; gives the index that is wanted next. One that came, or is too early, does nothing.

        Raises KeyNotFound (no such stream), StreamInUse, ConfigError (another length, or other bytes than
        before).
        """

    def close(self, stream_id: str, *, now_utc: str) -> None:
        """All came: the block is in the store from now on, confirmed. The answer is the receipt.

        Raises KeyNotFound, KeyExhausted (chunks are missing), StreamInUse.
        """


def check_block(node: str, block: PushedBlock) -> None:
    """Raises ConfigError unless a block may be one of this node."""
    check_block_id(block.block_id)
    if block.peer == node:
        raise ConfigError(f"peer: expected another node than {node!r}, whose key it is")
    if not block.own_from_bits <= block.own_until_bits <= block.bits:
        raise ConfigError(
            f"block {block.block_id!r}: expected own_from_bits <= own_until_bits <= bits, got "
            f"{block.own_from_bits}, {block.own_until_bits}, {block.bits}"
        )
