"""The use log: a file outside the store that knows which key was used, should the store forget.

A copy of a store that is put back brings used key to life. So every change that uses key first writes a line
here and waits for the disk; the database counts these changes in the same transaction. At the next start:

    database has counted as far as the log      nothing happened in between
    one less than the log                       killed between line and commit: the last line's key is skipped
    fewer still, or more                        one of the two was put back from a copy: refused until settled

    first line: {"satqkd uses": 1, "store": id, "writer": name}
    then:       [count, [[block, offset bits, length bits], ...]]

A line that is torn at the end was never committed, and is cut off; a log that begins after some uses says so
by a first line without ranges, and vouches for nothing before. One process has a log open for adding: of
two stores that are copies of each other and share a log, the one that is behind is refused. Holds places of
key, never key. Keep it on another disk than the store: who puts both back from one copy deceives it.
"""

import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from satqkd.errors import DataFormatError, ResourceError
from satqkd.keys.folders import sync_folder
from satqkd.keys.model import KeyRange

VERSION: Final = 1


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int = msgspec.field(name="satqkd uses")
    store: str
    writer: str


class UseLine(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One change that used key."""

    count: int
    """1 for the first of this writer."""
    ranges: tuple[KeyRange, ...]


_MARK: Final = b'{"satqkd uses"'
_DECODER: Final = msgspec.json.Decoder(UseLine)


def log_of(path: Path) -> tuple[str, str] | None:
    """Store and writer of a use log, which is left as it is; None where the file is none."""
    try:
        with path.open("rb") as file:
            head = msgspec.json.decode(file.readline(1 << 12), type=_Head)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return head.store, head.writer


def is_begun(path: Path) -> bool:
    """Whether there is a log; a file that a crash left without its first line is none.

    Raises OSError where it cannot be read.
    """
    if not path.exists():
        return False
    with path.open("rb") as file:
        start = file.read(1 << 12)
    text = start.rstrip(b"\0")
    return b"\n" in start or not (text.startswith(_MARK) or _MARK.startswith(text))


def count_of(path: Path) -> int:
    """How many uses a log tells, which may be written meanwhile. Raises DataFormatError, OSError."""
    _, last = _ends(path, _whole_bytes(path))
    return last.count if last else 0


class UseLog:
    """The log of one writer, open for adding."""

    def __init__(
        self, path: Path, *, store_id: str, writer: str, last: UseLine | None, descriptor: int
    ) -> None:
        self.path, self.store_id, self.writer = path, store_id, writer
        self.last = last
        """The last line that was written whole."""
        self.doubted = False
        """Whether the last line's change may not have come about: until whoever made it says that it has."""
        self._descriptor = descriptor
        self._end = self._undo_to = os.fstat(descriptor).st_size
        self._before = last

    @classmethod
    def create(cls, path: Path, *, store_id: str, writer: str, count: int = 0) -> "UseLog":
        """A new log, after so many uses that it knows nothing of. Raises ResourceError.

        It replaces what a crash may have left of one, and an older log where `count` is given.
        """
        new = path.with_name(f"{path.name}.new")
        head = msgspec.json.encode(_Head(VERSION, store_id, writer)) + b"\n"
        last = UseLine(count, ()) if count else None
        try:
            new.unlink(missing_ok=True)
            descriptor = os.open(
                new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            try:
                _claim(descriptor, path)
                _write(descriptor, head + (msgspec.json.encode(last) + b"\n" if last else b""))
                os.fsync(descriptor)
                if not count and is_begun(path):
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
                new.replace(path)
                sync_folder(path)
            except BaseException:
                os.close(descriptor)
                new.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise ResourceError(f"{path}: cannot make the use log: {error.strerror}") from None
        return cls(path, store_id=store_id, writer=writer, last=last, descriptor=descriptor)

    @classmethod
    def open(cls, path: Path) -> "UseLog":
        """An existing log; cuts off a torn line, and waits until the rest is on the disk.

        Raises ResourceError, DataFormatError.
        """
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                _claim(descriptor, path)
                whole = _whole_bytes(path)
                head, last = _ends(path, whole)
                os.ftruncate(descriptor, whole)
                os.fsync(descriptor)  # of a killed process some may not be: it is relied on from here on
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise ResourceError(f"{path}: cannot open the use log: {error.strerror}") from None
        return cls(path, store_id=head.store, writer=head.writer, last=last, descriptor=descriptor)

    @property
    def count(self) -> int:
        """Of the last line; 0 when there is none."""
        return self.last.count if self.last else 0

    @property
    def since(self) -> int:
        """After so many uses the log begins: what is used from there on is in it. Raises DataFormatError."""
        first = next(_lines(self.path), None)
        return 0 if first is None else first.count - bool(first.ranges)

    def add(self, ranges: Sequence[KeyRange]) -> None:
        """One more line, on the disk when this returns. Raises ResourceError; the log is then as before."""
        line = UseLine(self.count + 1, tuple(ranges))
        data = msgspec.json.encode(line) + b"\n"
        try:
            self._cut_back()
            _write(self._descriptor, data)
            os.fdatasync(self._descriptor)
        except OSError as error:
            with suppress(OSError):  # else before the next line
                self._cut_back()
            raise ResourceError(
                f"{self.path}: cannot write the use log: {error.strerror}; no key was used; check disk space"
            ) from None
        self.doubted = True
        self._undo_to, self._before = self._end, self.last
        self._end, self.last = self._end + len(data), line

    def undo(self) -> None:
        """Take the last line back, for its change did not come about; once for each line."""
        self._end, self.last = self._undo_to, self._before
        with suppress(OSError):  # else before the next line
            self._cut_back()

    def _cut_back(self) -> None:
        """Cut off what a line that failed has left."""
        if os.fstat(self._descriptor).st_size != self._end:
            os.ftruncate(self._descriptor, self._end)

    def lines_after(self, count: int) -> Iterator[UseLine]:
        """What was used after so many uses."""
        for line in _lines(self.path):
            if line.count > count:
                yield line

    def close(self) -> None:
        """Give the file back. May be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _write(descriptor: int, data: bytes) -> None:
    """All of it, or OSError."""
    if os.write(descriptor, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _claim(descriptor: int, path: Path) -> None:
    """Nobody else adds to the log until it is closed. Raises ResourceError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ResourceError(
            f"{path}: another process has this use log open: it writes this store, or a copy of it; stop it"
        ) from None


def _whole_bytes(path: Path) -> int:
    """Bytes up to the end of the last whole line. One whose beginning is torn is not whole."""
    with path.open("rb") as file:
        end = _line_start(file, file.seek(0, os.SEEK_END) + 1)
        start = _line_start(file, end) if end else 0
        file.seek(start)
        text = file.read(end - start)
    return start if start and not _is_line(text) else end


def _is_line(text: bytes) -> bool:
    try:
        _DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True


def _ends(path: Path, whole: int) -> tuple[_Head, UseLine | None]:
    """Head and last line; what lies between is read when it is needed."""
    with path.open("rb") as file:
        first = file.readline()
        try:
            head = msgspec.json.decode(first, type=_Head)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise DataFormatError(
                f"{path}, line 1: expected the head of a use log, got something else; put the store's log "
                f"there, or, if it is lost, move this away and run `satqkd keys recover --discard`"
            ) from None
        if whole == len(first):
            return head, None
        start = _line_start(file, whole)
        file.seek(start)
        return head, _line(file.read(whole - start), f"{path}, last line")


def _line_start(file: BinaryIO, end: int) -> int:
    """Where the line begins that ends just before a place."""
    position = end - 1
    while position:
        step = min(position, 1 << 12)
        file.seek(position - step)
        found = file.read(step).rfind(b"\n")
        if found >= 0:
            return position - step + found + 1
        position -= step
    return 0


def _line(text: bytes, where: str) -> UseLine:
    try:
        return _DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataFormatError(
            f"{where}: expected a use, got: {error}; the use log is damaged: move it away and run "
            f"`satqkd keys recover --discard`"
        ) from None


def _lines(path: Path) -> Iterator[UseLine]:
    """All whole lines after the head. Raises DataFormatError."""
    with path.open("rb") as file:
        file.readline()
        for number, text in enumerate(file, start=2):
            if not text.endswith(b"\n"):
                return
            yield _line(text, f"{path}, line {number}")
