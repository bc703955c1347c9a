"""Encryption with the key that two stations share: what only the peer's store can open, once.

    encrypt_stream(store, "stellenbosch", source, sink, randbytes=secrets.token_bytes)
    decrypt_stream(store, source, sink)

One-time pad with a one-time tag a chunk (`format`), or for files longer than the key AES-256-GCM under
256 bits of it (`hybrid`). Key is marked as used before a byte of ciphertext exists; nothing of a chunk is
told before its tag fits; its key is used when the sink has taken the plain text. Files that go on after a
kill are `files`. The clock is the caller's.
"""

import io
import secrets
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from satqkd.errors import ConfigError
from satqkd.keys.ledger.ledger import Use
from satqkd.keys.model import KeyRange
from satqkd.keys.otp import chunks as otp_chunks
from satqkd.keys.otp import hybrid
from satqkd.keys.otp.format import (
    CHUNK_BYTES,
    STREAM_ID_BYTES,
    FileHeader,
    FileKind,
    Prefix,
    Source,
    chunks,
    make_prefix,
    read_prefix,
    read_records,
)
from satqkd.keys.otp.room import check_peer, require_room
from satqkd.keys.store.key_store import KeyStore

RandBytes = Callable[[int], bytes]


class Sink(Protocol):
    """Where bytes go: an open buffered file or pipe that takes all it is given."""

    def write(self, data: bytes, /) -> object:
        """Take the bytes."""

    def flush(self) -> object:
        """Hand on what was taken."""


class StreamReport(msgspec.Struct, frozen=True):
    """What went through."""

    kind: FileKind
    sender: str
    receiver: str
    bytes_in: int
    bytes_out: int


def encrypt(
    store: KeyStore,
    peer: str,
    plaintext: bytes,
    *,
    reference: str = "",
    now_utc: str | None = None,
    demo: bool = False,
    randbytes: RandBytes = secrets.token_bytes,
) -> bytes:
    """The file that carries `plaintext` to `peer`. Takes 8 bits of pair key a byte and 256 more a MiB.

    Raises KeyExhausted, KeyNotFound, OriginRefused; no key is used then.
    """
    require_room(store, peer, len(plaintext), demo=demo)
    sink = io.BytesIO()
    encrypt_stream(
        store,
        peer,
        io.BytesIO(plaintext),
        sink,
        randbytes=randbytes,
        reference=reference,
        now_utc=now_utc,
        demo=demo,
    )
    return sink.getvalue()


def decrypt(store: KeyStore, data: bytes, *, now_utc: str | None = None, demo: bool = False) -> bytes:
    """The plaintext of a file from a peer, all or nothing; its key is used and wiped before this returns.

    A wrong tag raises AuthenticationError and takes no pad: else a forged file could burn any key of the
    store, or kill the true file that comes after it. The tag's key allows `onetime_mac.ATTEMPTS` of them
    and counts as spent with the last. Raises DataFormatError (no such file, cut short), KeyNotFound (not
    for this node, unknown key), KeyAlreadyUsed (decrypted before), OriginRefused.
    """
    prefix, places = look_through(io.BytesIO(data))
    otp_chunks.require_receiver(store, prefix.header)
    use = decryption_use(prefix, now_utc)
    source = io.BytesIO(data)
    read_prefix(source)
    if prefix.header.kind == "hybrid":
        section = hybrid.read_section(source)
        with hybrid.open_key(store, prefix, section, use, demo=demo) as file_key:
            parts = list(hybrid.decrypted(source, prefix, section, file_key))
    else:
        parts = [
            otp_chunks.open_record(store, prefix, record, use, demo=demo)
            for record in read_records(source, prefix)
        ]
    otp_chunks.settle(store, prefix, *places, use=use, demo=demo)
    return b"".join(parts)


def encrypt_stream(
    store: KeyStore,
    peer: str,
    source: Source,
    sink: Sink,
    *,
    randbytes: RandBytes,
    as_hybrid: bool = False,
    chunk_bytes: int = CHUNK_BYTES,
    reference: str = "",
    now_utc: str | None = None,
    demo: bool = False,
) -> StreamReport:
    """Encrypt what the source gives, chunk by chunk, in memory of a few chunks.

    as_hybrid: AES under 256 bits of key, not one-time pad. chunk_bytes: plain text of a chunk, at most 1 MiB;
    of one-time pad alone. Raises KeyExhausted, KeyNotFound, OriginRefused; what was written before is then of
    no use, and its key is gone: see `require_room` where the size is known.
    """
    prefix = new_prefix(store, peer, randbytes, as_hybrid=as_hybrid, chunk_bytes=chunk_bytes)
    use = Use("encrypt", reference, now_utc)
    counted, written = Counted(source), 0
    for data in sealed(store, prefix, counted, use, demo=demo):
        sink.write(data)
        written += len(data)
    sink.flush()
    return StreamReport(prefix.header.kind, store.node_id, peer, counted.bytes_read, written)


def sealed(store: KeyStore, prefix: Prefix, source: Source, use: Use, *, demo: bool) -> Iterator[bytes]:
    """The bytes of a file, prefix first; the key of each part is used before the part is given."""
    if prefix.header.kind == "hybrid":
        section, file_key = hybrid.seal_key(store, prefix, use, demo=demo)
        with file_key:
            yield prefix.data + section.data
            yield from hybrid.encrypted(source, prefix, section, file_key)
        return
    before = prefix.data  # an error at the first chunk leaves nothing written
    for number, (plaintext, last) in enumerate(chunks(source, prefix.header.chunk_bytes)):
        record = otp_chunks.seal(store, prefix, number, plaintext, use, last=last, demo=demo)
        yield before + record.data
        before = b""


def decrypt_stream(
    store: KeyStore,
    source: Source,
    sink: Sink,
    *,
    peer: str | None = None,
    now_utc: str | None = None,
    demo: bool = False,
) -> StreamReport:
    """Decrypt what the source gives by chunks: each is written after its tag fitted, then its key is used.

    What was written before an error is authentic and is not told again; that the end is missing shows only at
    the end. peer: who the file must be from. Raises as `decrypt`, and ConfigError for another sender.
    """
    counted = Counted(source)
    prefix = read_prefix(counted)
    require_sender(prefix.header, peer)
    otp_chunks.require_receiver(store, prefix.header)
    use, written = decryption_use(prefix, now_utc), 0
    for plaintext, ranges in _opened(store, prefix, counted, use, demo=demo):
        sink.write(plaintext)
        sink.flush()
        written += len(plaintext)
        if ranges:
            otp_chunks.settle(store, prefix, ranges, use=use, demo=demo)
    header = prefix.header
    return StreamReport(header.kind, header.sender, store.node_id, counted.bytes_read, written)


def _opened(
    store: KeyStore, prefix: Prefix, source: Source, use: Use, *, demo: bool
) -> Iterator[tuple[bytes, tuple[KeyRange, ...]]]:
    """Plain text, and what key is to be settled when it is safe."""
    if prefix.header.kind == "hybrid":
        section = hybrid.read_section(source)
        with hybrid.open_key(store, prefix, section, use, demo=demo) as file_key:
            for plaintext in hybrid.decrypted(source, prefix, section, file_key):
                yield plaintext, ()
        yield b"", section.ranges
        return
    for record in read_records(source, prefix):
        yield otp_chunks.open_record(store, prefix, record, use, demo=demo), record.head.ranges


def new_prefix(
    store: KeyStore, peer: str, randbytes: RandBytes, *, as_hybrid: bool, chunk_bytes: int = CHUNK_BYTES
) -> Prefix:
    """The beginning of a new file for the peer. Raises ConfigError."""
    check_peer(store, peer)
    if not 1 <= chunk_bytes <= CHUNK_BYTES:
        raise ConfigError(f"chunk_bytes: expected 1 to {CHUNK_BYTES}, got {chunk_bytes}")
    kind: FileKind = "hybrid" if as_hybrid else "otp"
    size = hybrid.PIECE_BYTES if as_hybrid else chunk_bytes
    return make_prefix(FileHeader(kind, store.node_id, peer, randbytes(STREAM_ID_BYTES), size))


def decryption_use(prefix: Prefix, utc: str | None) -> Use:
    """What the ledger says of key that a file's opening uses."""
    return Use("decrypt", f"stream {prefix.header.stream_id.hex()}", utc)


def require_sender(header: FileHeader, peer: str | None) -> None:
    """The file says that it is of this peer; raises ConfigError."""
    if peer is not None and header.sender != peer:
        raise ConfigError(f"expected a file of {peer}, it says it is of {header.sender}; check --peer")


def read_header(data: bytes) -> FileHeader:
    """What a file says of itself, not yet authenticated. Raises DataFormatError when it is not whole."""
    return look_through(io.BytesIO(data))[0].header


def ranges_of(data: bytes) -> tuple[KeyRange, ...]:
    """All key that a file names, not yet authenticated. Raises DataFormatError when it is not whole."""
    return tuple(piece for ranges in look_through(io.BytesIO(data))[1] for piece in ranges)


def look_through(source: Source) -> tuple[Prefix, list[tuple[KeyRange, ...]]]:
    """The beginning of a file and the key that each of its parts names; its structure is whole.

    Of a hybrid file's pieces nothing can be said without the key. Raises DataFormatError.
    """
    prefix = read_prefix(source)
    if prefix.header.kind == "hybrid":
        return prefix, [hybrid.read_section(source).ranges]
    return prefix, [record.head.ranges for record in read_records(source, prefix)]


class Counted:
    """A source that knows how much was read of it."""

    def __init__(self, source: Source) -> None:
        self._source, self.bytes_read = source, 0

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        data = self._source.read(size)
        self.bytes_read += len(data)
        return data
