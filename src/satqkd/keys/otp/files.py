"""Files that are encrypted and decrypted whole or not at all, and go on after a kill.

Encrypting: for each chunk key is used (durably), then its note, then its bytes are on the disk. To resume
compares what is there with the plain text and goes on with fresh key: no place of key is remembered.
Decrypting: tag, note, plain text on the disk, and only then is the chunk's key used and wiped: a kill before
that opens the same chunk again, a kill after it finds the plain text. A hybrid file has one key: encrypting
begins anew with another, decrypting uses it when all is on the disk. The clock is the caller's.
"""

import hashlib
import hmac
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from satqkd.errors import ConfigError, DataFormatError, Error, KeyAlreadyUsed, KeyStoreError
from satqkd.keys.ledger.ledger import Use
from satqkd.keys.otp import chunks as otp_chunks
from satqkd.keys.otp import hybrid
from satqkd.keys.otp.format import CHUNK_BYTES, Prefix, Record, chunks, read_prefix, read_records
from satqkd.keys.otp.partial import (
    Note,
    Partial,
    Start,
    digest,
    disk_errors,
    note_of,
    require_disk,
    require_new,
)
from satqkd.keys.otp.room import require_bits, require_room
from satqkd.keys.otp.stream import (
    Counted,
    RandBytes,
    StreamReport,
    decryption_use,
    look_through,
    new_prefix,
    require_sender,
    sealed,
)
from satqkd.keys.store.key_store import KeyStore

_OVERHEAD_BYTES = 1 << 10
"""Of a chunk, for the question whether the disk has room."""


def encrypt_file(
    store: KeyStore,
    peer: str,
    source: BinaryIO,
    target: Path,
    *,
    randbytes: RandBytes,
    as_hybrid: bool = False,
    resume: bool = False,
    chunk_bytes: int = CHUNK_BYTES,
    reference: str = "",
    now_utc: str | None = None,
    demo: bool = False,
) -> StreamReport:
    """Encrypt the rest of a source into a new file. Where its size is known, key and disk are asked first.

    resume: go on with what an earlier run left. Raises KeyExhausted, KeyNotFound, OriginRefused, ConfigError
    (another plain text than was begun with), ResourceError.
    """
    require_new(target, resume=resume)
    use = Use("encrypt", reference, now_utc)
    partial = _resumed_encryption(store, peer, target, as_hybrid=as_hybrid) if resume else None
    size = _size(source)
    if partial is None:
        prefix = new_prefix(store, peer, randbytes, as_hybrid=as_hybrid, chunk_bytes=chunk_bytes)
        _require(store, prefix, target, size, demo=demo)
        partial = Partial.begin(target, Start("encrypt", prefix.data))
    else:
        prefix = _prefix_of(partial)
        with _kept(partial, leave_open=True):
            partial.cut(partial.whole())
            if size is not None and not (partial.notes and partial.notes[-1].last):
                left = size - sum(note.bytes_in for note in partial.notes)
                _require(store, prefix, target, max(0, left), demo=demo)
    with _kept(partial):
        encrypt_all = _encrypt_hybrid if as_hybrid else _encrypt_chunks
        bytes_in = encrypt_all(store, prefix, source, partial, use, demo=demo)
        return StreamReport(prefix.header.kind, store.node_id, peer, bytes_in, partial.finish())


def _resumed_encryption(store: KeyStore, peer: str, target: Path, *, as_hybrid: bool) -> Partial | None:
    partial = Partial.resume(target, "encrypt")
    if partial is None:
        return None
    header = _prefix_of(partial).header
    if (header.sender, header.receiver, header.kind == "hybrid") != (store.node_id, peer, as_hybrid):
        partial.close()
        raise ConfigError(
            f"{partial.path}: begun as {header.kind} from {header.sender!r} for {header.receiver!r}; resume "
            f"it so, or remove it (no key was used)"
        )
    if as_hybrid:
        partial.drop()  # its key is gone with the process that held it
        return None
    return partial


def _require(store: KeyStore, prefix: Prefix, target: Path, size: int | None, *, demo: bool) -> None:
    header = prefix.header
    if header.kind == "hybrid":
        require_bits(store, header.receiver, hybrid.KEY_BITS, demo=demo)
    else:
        require_room(store, header.receiver, size or 0, demo=demo, chunk_bytes=header.chunk_bytes)
    if size is not None:
        require_disk(target, size + _OVERHEAD_BYTES * (1 + size // header.chunk_bytes))


def _encrypt_chunks(
    store: KeyStore, prefix: Prefix, source: BinaryIO, partial: Partial, use: Use, *, demo: bool
) -> int:
    kept = len(partial.notes)
    for number, (plaintext, last) in enumerate(chunks(source, prefix.header.chunk_bytes)):
        if number < kept:
            note = partial.notes[number]
            if (note.last, note.sha256_in) != (last, digest(plaintext)):
                raise ConfigError(
                    f"chunk {number} of the plain text is another than when {partial.path} was begun; give "
                    f"the same, or remove that file and begin anew with other key"
                )
            continue
        record = otp_chunks.seal(store, prefix, number, plaintext, use, last=last, demo=demo)
        data = record.data if number else prefix.data + record.data
        partial.keep(note_of(plaintext, data, last=last), data)
    return sum(note.bytes_in for note in partial.notes)


def _encrypt_hybrid(
    store: KeyStore, prefix: Prefix, source: BinaryIO, partial: Partial, use: Use, *, demo: bool
) -> int:
    counted = Counted(source)
    for data in sealed(store, prefix, counted, use, demo=demo):
        partial.append(data)
    return counted.bytes_read


def decrypt_file(
    store: KeyStore,
    source: BinaryIO,
    target: Path,
    *,
    peer: str | None = None,
    resume: bool = False,
    now_utc: str | None = None,
    demo: bool = False,
) -> StreamReport:
    """Decrypt the rest of a source into a new file. A source that can be read twice is looked through first.

    resume: go on with what an earlier run left. peer: who it must be from. Raises as `otp.decrypt`, also
    ConfigError (another sender), ResourceError.
    """
    require_new(target, resume=resume)
    partial = Partial.resume(target, "decrypt") if resume else None
    start, size = (source.tell() if source.seekable() else 0), _size(source)
    if size is not None:
        _require_whole(store, source, target, size, peer, check_key=partial is None, demo=demo)
        source.seek(start)
    prefix = read_prefix(source)
    require_sender(prefix.header, peer)
    otp_chunks.require_receiver(store, prefix.header)
    use = decryption_use(prefix, now_utc)
    if partial is None:
        partial = Partial.begin(target, Start("decrypt", prefix.data))
    elif partial.start.prefix != prefix.data:
        partial.close()
        raise DataFormatError(
            f"{partial.path}: begun with another file than this one; give that one, or remove it"
        )
    with _kept(partial):
        decrypt_all = _decrypt_hybrid if prefix.header.kind == "hybrid" else _decrypt_chunks
        bytes_in = decrypt_all(store, prefix, source, partial, use, demo=demo)
        header = prefix.header
        return StreamReport(header.kind, header.sender, store.node_id, size or bytes_in, partial.finish())


def _require_whole(
    store: KeyStore,
    source: BinaryIO,
    target: Path,
    size: int,
    peer: str | None,
    *,
    check_key: bool,
    demo: bool,
) -> None:
    """Structure, ends, key and disk, before any key is used."""
    prefix, places = look_through(source)
    require_sender(prefix.header, peer)
    otp_chunks.require_receiver(store, prefix.header)
    if check_key:
        for ranges in places:
            otp_chunks.require_key(store, prefix.header.sender, ranges, demo=demo)
        require_disk(target, size)


def _decrypt_chunks(
    store: KeyStore, prefix: Prefix, source: BinaryIO, partial: Partial, use: Use, *, demo: bool
) -> int:
    kept, bytes_in, offset = len(partial.notes), len(prefix.data), 0
    for number, record in enumerate(read_records(source, prefix)):
        bytes_in += len(record.data)
        offset += record.head.plaintext_bytes
        if number < kept and _is_done(store, record, partial, offset - record.head.plaintext_bytes):
            continue
        if number < kept - 1:
            raise KeyStoreError(
                f"chunk {number}: decrypted by an earlier run, yet its key is unused: the store went back to "
                f"an earlier state; it is not to be used"
            )
        if number <= kept:
            partial.cut(number)
            kept = number
        plaintext = otp_chunks.open_record(store, prefix, record, use, demo=demo)
        partial.keep(note_of(record.data, plaintext, last=record.head.last), plaintext)
        otp_chunks.settle(store, prefix, record.head.ranges, use=use, demo=demo)
    return bytes_in


def _is_done(store: KeyStore, record: Record, partial: Partial, offset: int) -> bool:
    """Whether an earlier run decrypted a chunk to its end; False where its key is not used."""
    note: Note = partial.notes[record.head.number]
    if not hmac.compare_digest(note.sha256_in, digest(record.data)):
        raise DataFormatError(
            f"chunk {record.head.number}: another than when {partial.path} was begun; get that file again"
        )
    if not otp_chunks.is_used(store, record.head.ranges):
        return False
    if digest(partial.read_at(offset, note.bytes_out)) != note.sha256_out:
        raise KeyAlreadyUsed(
            f"chunk {record.head.number}: its key is used, and {partial.path} does not hold its plain text "
            f"as noted; ask the sender to encrypt it again"
        )
    return True


def _decrypt_hybrid(
    store: KeyStore, prefix: Prefix, source: BinaryIO, partial: Partial, use: Use, *, demo: bool
) -> int:
    section = hybrid.read_section(source)
    bytes_in = len(prefix.data) + len(section.data)
    if partial.notes and otp_chunks.is_used(store, section.ranges):
        note = partial.notes[0]
        held = (digest(section.data), *partial.digest_all())
        if held == (note.sha256_in, note.bytes_out, note.sha256_out):
            return note.bytes_in
        raise KeyAlreadyUsed(
            f"the key of this file is used, and {partial.path} does not hold its plain text as noted; ask "
            f"the sender to encrypt it again"
        )
    partial.cut(0)
    state, size = hashlib.sha256(), 0
    with hybrid.open_key(store, prefix, section, use, demo=demo) as file_key:
        for plaintext in hybrid.decrypted(source, prefix, section, file_key):
            partial.append(plaintext)
            state.update(plaintext)
            size += len(plaintext)
    partial.sync()
    partial.append_note(Note(True, bytes_in, size, digest(section.data), state.digest()))
    otp_chunks.settle(store, prefix, section.ranges, use=use, demo=demo)
    return bytes_in + size


@contextmanager
def _kept(partial: Partial, *, leave_open: bool = False) -> Iterator[None]:
    """Leave what is of use when something fails, and say so; else leave nothing."""
    try:
        with disk_errors(partial.path):
            yield
    except Error as error:
        if not partial.notes:
            partial.drop()
            raise
        partial.close()
        raise type(error)(
            f"{error}; {len(partial.notes)} chunks are kept in {partial.path}: go on with --resume"
        ) from None
    except BaseException:
        if not partial.notes:
            partial.drop()
        raise
    finally:
        if not leave_open:
            partial.close()


def _prefix_of(partial: Partial) -> Prefix:
    return read_prefix(io.BytesIO(partial.start.prefix))


def _size(source: BinaryIO) -> int | None:
    """Bytes left of a source, where that can be known."""
    if not source.seekable():
        return None
    here = source.tell()
    end = source.seek(0, os.SEEK_END)
    source.seek(here)
    return end - here
