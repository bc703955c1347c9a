"""The bytes of an encrypted file: a prefix, then chunks, each with its own place of key and its own tag.

    prefix = "SQOTP2" | u32 header length | header
    header = [kind, sender, receiver, stream id, chunk bytes]
    chunk  = u32 head length | head | ciphertext | tag
    head   = [number, last, plaintext bytes, ranges]

Headers and heads are MessagePack arrays, a range [block id, offset bits, length bits]; integers outside them
are little-endian. The first 256 bits of a chunk's ranges are the key of its tag, the rest its pad; the tag
(Poly1305, 16 bytes) covers the prefix and all of the chunk before it. All chunks but the last are full;
the last alone says so; nothing follows it. A hybrid file has one key section in the place of the chunks
(`otp_hybrid`). No store and no key here; what is read is not yet believed.
"""

from collections.abc import Iterator
from typing import Annotated, Final, Literal, Protocol, TypeVar

import msgspec
from msgspec import Meta

from satqkd.errors import DataFormatError
from satqkd.keys.ledger.onetime_mac import TAG_BYTES
from satqkd.keys.model import MAC_KEY_BITS, MAXIMUM_RANGES, KeyRange

MAGIC: Final = b"SQOTP2"
CHUNK_BYTES: Final = 1 << 20
"""Plain text of a chunk, and the most that a file may ask of its reader's memory."""
MAXIMUM_HEADER_BYTES: Final = 1 << 12
MAXIMUM_HEAD_BYTES: Final = 1 << 20
"""What a file may make the reader parse at once."""
STREAM_ID_BYTES: Final = 16

FileKind = Literal["otp", "hybrid"]
T = TypeVar("T")
_Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
_Ranges = Annotated[tuple[KeyRange, ...], Meta(min_length=1, max_length=MAXIMUM_RANGES)]


class Source(Protocol):
    """Where bytes come from: an open file, a pipe."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


class FileHeader(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a file says of itself, in clear."""

    kind: FileKind
    sender: _Name
    receiver: _Name
    stream_id: Annotated[bytes, Meta(min_length=STREAM_ID_BYTES, max_length=STREAM_ID_BYTES)]
    """Random: no chunk of one file fits into another."""
    chunk_bytes: Annotated[int, Meta(ge=1, le=CHUNK_BYTES)]


class ChunkHead(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a chunk says of itself, in clear."""

    number: Annotated[int, Meta(ge=0, lt=1 << 48)]
    last: bool
    plaintext_bytes: Annotated[int, Meta(ge=0, le=CHUNK_BYTES)]
    ranges: _Ranges


class Prefix(msgspec.Struct, frozen=True):
    """The beginning of a file, parsed and as it stood."""

    header: FileHeader
    data: bytes


class Record(msgspec.Struct, frozen=True):
    """One chunk as it stood."""

    head: ChunkHead
    data: bytes
    """All of it, tag included."""

    def signed(self, prefix: Prefix) -> bytes:
        """What the tag covers."""
        return prefix.data + self.data[:-TAG_BYTES]

    @property
    def ciphertext(self) -> bytes:
        """As long as the plain text."""
        return self.data[len(self.data) - TAG_BYTES - self.head.plaintext_bytes : -TAG_BYTES]

    @property
    def tag(self) -> bytes:
        """The last bytes."""
        return self.data[-TAG_BYTES:]


def make_prefix(header: FileHeader) -> Prefix:
    """A header in front of its chunks."""
    return Prefix(header, MAGIC + with_length(header))


def with_length(struct: msgspec.Struct) -> bytes:
    """MessagePack behind its length."""
    encoded = msgspec.msgpack.encode(struct)
    return len(encoded).to_bytes(4, "little") + encoded


def read_up_to(source: Source, size: int) -> bytes:
    """`size` bytes, fewer only where the source ends: a pipe gives what it has just got."""
    parts: list[bytes] = []
    while size > 0 and (part := source.read(size)):
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def chunks(source: Source, chunk_bytes: int) -> Iterator[tuple[bytes, bool]]:
    """A source cut into full chunks, each with whether it is the last; an empty source is one empty chunk."""
    current = read_up_to(source, chunk_bytes)
    while following := read_up_to(source, chunk_bytes) if len(current) == chunk_bytes else b"":
        yield current, False
        current = following
    yield current, True


def read_prefix(source: Source) -> Prefix:
    """The beginning of a file, not yet authenticated. Raises DataFormatError."""
    magic = read_up_to(source, len(MAGIC))
    if magic != MAGIC:
        raise DataFormatError(f"encrypted file, offset 0: expected {MAGIC!r}, got {magic!r}")
    header, data = read_struct(source, FileHeader, MAXIMUM_HEADER_BYTES, "header")
    return Prefix(header, magic + data)


def read_struct(source: Source, kind: type[T], most_bytes: int, where: str) -> tuple[T, bytes]:
    """MessagePack behind its length, parsed and as it stood. Raises DataFormatError."""
    size = read_up_to(source, 4)
    length = int.from_bytes(size, "little")
    if len(size) < 4 or length > most_bytes:
        got = f"{length} bytes of it" if len(size) == 4 else "the end of the file"
        raise DataFormatError(
            f"encrypted file, {where}: expected at most {most_bytes} bytes, got {got}: cut short or damaged"
        )
    data = read_up_to(source, length)
    try:
        return msgspec.msgpack.decode(data, type=kind), size + data
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataFormatError(f"encrypted file, {where}: not valid, or cut short: {error}") from None


def read_records(source: Source, prefix: Prefix) -> Iterator[Record]:
    """All chunks in order, the last only when nothing follows it. Raises DataFormatError."""
    number, last = 0, False
    while not last:
        head, data = _read_head(source, prefix, number)
        rest = read_up_to(source, head.plaintext_bytes + TAG_BYTES)
        if len(rest) < head.plaintext_bytes + TAG_BYTES:
            raise DataFormatError(
                f"encrypted file, chunk {number}: expected {head.plaintext_bytes} bytes and a tag, got "
                f"{len(rest)} bytes: the file is cut short"
            )
        last = head.last
        if last and source.read(1):
            raise DataFormatError(f"encrypted file: expected its end after chunk {number}, got more bytes")
        yield Record(head, data + rest)
        number += 1


def _read_head(source: Source, prefix: Prefix, number: int) -> tuple[ChunkHead, bytes]:
    where = f"chunk {number}"
    head, data = read_struct(source, ChunkHead, MAXIMUM_HEAD_BYTES, where)
    if head.number != number:
        raise DataFormatError(f"encrypted file, {where}: expected that number, got {head.number}")
    full = prefix.header.chunk_bytes
    fits = 0 < head.plaintext_bytes <= full or (number == 0 and head.plaintext_bytes == 0)
    if not (fits if head.last else head.plaintext_bytes == full):
        raise DataFormatError(
            f"encrypted file, {where}: expected {full} bytes, or fewer in the last chunk, got "
            f"{head.plaintext_bytes}"
        )
    check_ranges(head.ranges, 8 * head.plaintext_bytes + MAC_KEY_BITS, where)
    return head, data


def check_ranges(ranges: tuple[KeyRange, ...], key_bits: int, where: str) -> None:
    """Ranges are of whole bytes and as long as is needed; raises DataFormatError."""
    if any(piece.length_bits < 8 or piece.length_bits % 8 or piece.offset_bits % 8 for piece in ranges):
        raise DataFormatError(f"encrypted file, {where}: expected key ranges of whole bytes")
    named = sum(piece.length_bits for piece in ranges)
    if named != key_bits:
        raise DataFormatError(f"encrypted file, {where}: expected {key_bits} bits of key named, got {named}")
