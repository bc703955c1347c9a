"""Which states of the disk a power cut may leave, by a trace of what was done to the files before it.

What was synced is there. Each write since then is there, is not, or is torn at sectors of 512 bytes, whatever
became of the others; a cut of a file's length likewise; a file may have grown without its bytes. A name that
was made, removed or moved is as before or after until its folder is synced. Writes outside of a file's
sectors are not touched (SQLite's "powersafe overwrite"). No file is read here but the trace.
"""

import random
import struct
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

SECTOR_BYTES = 512
_HEAD = struct.Struct("<c7xQqQQ")
Style = Literal["synced", "all", "mixed"]


class Step(NamedTuple):
    """One thing that was done: create, write, truncate, sync, sync of a folder (D), unlink or rename."""

    what: str
    inode: int
    offset: int
    path: str
    data: bytes


def read_trace(path: Path) -> list[Step]:
    """What the shim recorded, in order."""
    data, position, steps = path.read_bytes(), 0, []
    while position < len(data):
        what, inode, offset, n_path, n_data = _HEAD.unpack_from(data, position)
        position += _HEAD.size
        name, content = data[position : position + n_path], data[position + n_path :][:n_data]
        steps.append(Step(what.decode(), inode, offset, name.decode(), content))
        position += n_path + n_data
    return steps


class _File:
    def __init__(self) -> None:
        self.synced = b""
        self.since: list[Step] = []

    def crashed(self, rng: random.Random, style: Style) -> bytes:
        if style == "synced":
            return self.synced
        content = bytearray(self.synced)
        for step in self.since:
            _apply(content, step, rng if style == "mixed" else None)
        return bytes(content)

    def sync(self) -> None:
        self.synced, self.since = self.crashed(random.Random(), "all"), []


def _apply(content: bytearray, step: Step, rng: random.Random | None) -> None:
    """One step, or by a die a part of it."""
    fate = "whole" if rng is None else rng.choice(("whole", "lost", "torn"))
    if step.what == "T" and fate != "lost":
        content[:] = content[: step.offset].ljust(step.offset, b"\0")
    elif step.what == "W" and fate != "lost":
        for start in range(step.offset // SECTOR_BYTES * SECTOR_BYTES, _end(step), SECTOR_BYTES):
            if rng is None or fate == "whole" or rng.random() < 0.5:
                _put(content, step, max(start, step.offset), min(start + SECTOR_BYTES, _end(step)))
    if step.what == "W" and rng is not None and rng.random() < 0.2:
        content.extend(bytes(max(0, _end(step) - len(content))))


def _end(step: Step) -> int:
    return step.offset + len(step.data)


def _put(content: bytearray, step: Step, start: int, end: int) -> None:
    content.extend(bytes(max(0, end - len(content))))
    content[start:end] = step.data[start - step.offset : end - step.offset]


class Disk:
    """What is on a disk, and what may be."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._names: dict[str, list[_File | None]] = {}
        """What a name may stand for: the first is on the disk for sure."""

    def do(self, step: Step) -> None:
        """Follow one step."""
        if step.what == "C":
            self._files[step.inode] = _File()
            self._name(step.path, self._files[step.inode])
        elif step.what == "U":
            self._name(step.path, None)
        elif step.what == "R":
            self._name(step.data.decode(), self._names[step.path][-1])
            self._name(step.path, None)
        elif step.what == "D":
            for path, meant in self._names.items():
                if str(PurePosixPath(path).parent) == step.path.rstrip("/"):
                    del meant[:-1]
        elif step.what == "S":
            self._files[step.inode].sync()
        else:
            self._files[step.inode].since.append(step)

    def _name(self, path: str, file: _File | None) -> None:
        self._names.setdefault(path, [None]).append(file)

    def crashed(self, rng: random.Random, style_of: dict[str, Style]) -> Iterator[tuple[str, bytes]]:
        """The files after a power cut. style_of: by the beginning of a path; machines differ in luck."""
        for path, meant in self._names.items():
            style = next((style for start, style in style_of.items() if path.startswith(start)), "all")
            file = {"synced": meant[0], "all": meant[-1], "mixed": rng.choice(meant)}[style]
            if file is not None:
                yield path, file.crashed(rng, style)
