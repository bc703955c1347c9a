"""A file in the making: FILE.partial, and beside it FILE.partial-notes, which says what of it is whole.

    notes = JSON lines: the start (direction, prefix), then one line a chunk: sizes, SHA-256 of both texts

Note and bytes of a chunk are both on the disk before the next step is taken (at a receiver: before its key
goes). A note without its bytes is a torn chunk, bytes without a note are cut off. The final name appears when
all is there. Both files have mode 0600: digests of plain text are nothing for others.
No key and no store here.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from satqkd.errors import ResourceError

Direction = Literal["encrypt", "decrypt"]
_READ_BYTES = 1 << 20


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was begun."""

    direction: Direction
    prefix: bytes


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One chunk: what it was made of and what was made of it."""

    last: bool
    bytes_in: int
    bytes_out: int
    sha256_in: bytes
    sha256_out: bytes


def note_of(data_in: bytes, data_out: bytes, *, last: bool) -> Note:
    """The note of a chunk."""
    return Note(last, len(data_in), len(data_out), digest(data_in), digest(data_out))


def digest(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


class Partial:
    """An open file in the making. Make it with `begin` or `resume`; end it by `finish`, `drop` or `close`."""

    def __init__(self, target: Path, start: Start, notes: list[Note]) -> None:
        self.target, self.start, self.notes = target, start, notes
        self.path = _partial(target)
        self._data: BinaryIO = self.path.open("r+b")
        self._notes: BinaryIO = _notes(target).open("r+b")

    @classmethod
    def begin(cls, target: Path, start: Start) -> "Partial":
        """New, empty files. Raises ResourceError, also when an earlier run's lie there."""
        try:
            _require_no_partial(target)
            _write_new(_notes(target), _line(start))  # first: a file with notes of another is never there
            _write_new(_partial(target), b"")
            return cls(target, start, [])
        except OSError as error:
            raise ResourceError(
                f"{target}: cannot be written ({error.strerror}); choose another --out (no key was used)"
            ) from None

    @classmethod
    def resume(cls, target: Path, direction: Direction) -> "Partial | None":
        """What an earlier run left, None where nothing is. Raises ResourceError when it is of no use."""
        if not _partial(target).exists():
            return None
        try:
            lines = _notes(target).read_bytes().split(b"\n")[:-1]  # what is after the last line end is torn
            start = msgspec.json.decode(lines[0], type=Start)
            notes = [msgspec.json.decode(line, type=Note) for line in lines[1:]]
        except (OSError, IndexError, msgspec.MsgspecError):
            start, notes = None, []
        if start is None or start.direction != direction:
            raise ResourceError(
                f"{_partial(target)}: not what an earlier `satqkd {direction}` of this file left, or its "
                f"notes are gone; remove it and begin anew (no key was used)"
            )
        return cls(target, start, notes)

    def whole(self) -> int:
        """How many chunks from the first on are there as noted."""
        offset = 0
        for number, note in enumerate(self.notes):
            if digest(self.read_at(offset, note.bytes_out)) != note.sha256_out:
                return number
            offset += note.bytes_out
        return len(self.notes)

    def read_at(self, offset: int, size: int) -> bytes:
        """Some bytes of the file, fewer where it ends."""
        self._data.seek(offset)
        return self._data.read(size)

    def digest_all(self) -> tuple[int, bytes]:
        """Length and SHA-256 of all of it."""
        self._data.seek(0)
        state, size = hashlib.sha256(), 0
        while part := self._data.read(_READ_BYTES):
            state.update(part)
            size += len(part)
        return size, state.digest()

    def cut(self, count: int) -> None:
        """Keep so many chunks and forget all after them."""
        del self.notes[count:]
        for file, size in (
            (self._notes, len(_line(self.start)) + sum(len(_line(note)) for note in self.notes)),
            (self._data, sum(note.bytes_out for note in self.notes)),
        ):
            file.seek(size)
            file.truncate()
            _sync(file)

    def keep(self, note: Note, data: bytes) -> None:
        """One more chunk: note, then bytes, each on the disk before this goes on."""
        self._write_note(note)
        self.append(data)
        self.sync()
        self.notes.append(note)

    def append_note(self, note: Note) -> None:
        """Note, on the disk, what was appended and synced before."""
        self._write_note(note)
        self.notes.append(note)

    def _write_note(self, note: Note) -> None:
        self._notes.seek(0, os.SEEK_END)
        self._notes.write(_line(note))
        _sync(self._notes)

    def append(self, data: bytes) -> None:
        """Bytes at the end, on the disk after `sync`."""
        self._data.seek(0, os.SEEK_END)
        self._data.write(data)

    def sync(self) -> None:
        """What was appended is on the disk."""
        _sync(self._data)

    def finish(self) -> int:
        """The file gets its name; returns its length in bytes."""
        self.sync()
        size = self.path.stat().st_size
        require_new(self.target)
        self.path.replace(self.target)
        sync_folder(self.target.parent)
        _notes(self.target).unlink(missing_ok=True)
        self.close()
        return size

    def drop(self) -> None:
        """Nothing is kept."""
        self.close()
        self.path.unlink(missing_ok=True)
        _notes(self.target).unlink(missing_ok=True)

    def close(self) -> None:
        """Leave both files where they are. May be called again."""
        self._data.close()
        self._notes.close()


def require_new(target: Path, *, resume: bool = True) -> None:
    """A target that is there is not written over, and its folder is. Raises ResourceError.

    resume: what an earlier run left is welcome.
    """
    try:
        if target.exists():
            raise ResourceError(f"{target} exists; choose another --out (no key was used)")
        if not target.parent.is_dir():
            raise ResourceError(f"{target.parent} is no folder; choose another --out (no key was used)")
        if not resume:
            _require_no_partial(target)
    except OSError as error:
        raise ResourceError(
            f"{target}: cannot be written ({error.strerror}); choose another --out (no key was used)"
        ) from None


def _require_no_partial(target: Path) -> None:
    if _partial(target).exists():
        raise ResourceError(
            f"{_partial(target)} is of an earlier run that was stopped; go on with --resume, or remove it "
            f"(no key was used)"
        )


def require_disk(target: Path, size_bytes: int) -> None:
    """The target's disk has room for so much. Raises ResourceError."""
    free_bytes = shutil.disk_usage(target.parent).free
    if free_bytes < size_bytes:
        raise ResourceError(
            f"{target}: expected room for {size_bytes} bytes on its disk, found {free_bytes}; make room or "
            f"choose another --out (no key was used)"
        )


@contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """What the disk refuses, in words."""
    try:
        yield
    except OSError as error:
        raise ResourceError(f"{target}: cannot be written or read ({error.strerror})") from None


def sync_folder(folder: Path) -> None:
    """Names of a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _partial(target: Path) -> Path:
    return target.with_name(target.name + ".partial")


def _notes(target: Path) -> Path:
    return target.with_name(target.name + ".partial-notes")


def _line(struct: msgspec.Struct) -> bytes:
    return msgspec.json.encode(struct) + b"\n"


def _write_new(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)
        _sync(file)
    sync_folder(path.parent)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
