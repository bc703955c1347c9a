"""How a message gets into a store that a running node holds open: a folder beside it, `STORE.spool`.

The sender writes a file whole, under another name first; the node takes it over in a transaction of its
store, then overwrites and removes it. Its random name is the message's `spool_id`, so that a node that died
between the two does not queue it twice. Folder 0700, files 0600, both of the node's own user: anybody else's
are refused, for whoever may write here sends in the node's name. A file is plain text until it is taken over.

    file = MessagePack array [1, draft]
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

from satqkd.errors import ConfigError, ResourceError
from satqkd.keys.store.key_store import KeyStore
from satqkd.keys.traffic.outbox import queue
from satqkd.keys.traffic_model import Draft, check_draft

SUFFIX: Final = ".message"
TAKEN_AT_ONCE: Final = 8
"""Files that a node takes over at a time: it has a link to serve."""
_HEAD_BYTES: Final = 4096
"""More than what stands beside the content."""


class _Spooled(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    version: Literal[1]
    draft: Draft


def folder_of(store_path: Path) -> Path:
    """Where messages for a store are put."""
    return store_path.with_name(store_path.name + ".spool")


def put(store_path: Path, node_id: str, draft: Draft, *, randbytes: Callable[[int], bytes]) -> Path:
    """Leave a message for the node that has the store open. Raises ConfigError, ResourceError."""
    check_draft(draft, node_id)
    folder = folder_of(store_path)
    name = randbytes(16).hex()
    target, partial = folder / f"{name}{SUFFIX}", folder / f"{name}.partial"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        _require_own(folder.lstat(), folder, stat.S_ISDIR)
        _write(partial, msgspec.msgpack.encode(_Spooled(1, draft)))
        partial.replace(target)
        _sync(folder)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ResourceError(f"{folder}: cannot leave a message there: {error.strerror}") from None
    return target


def waiting(store_path: Path) -> list[Path]:
    """Messages that no node has taken over yet."""
    folder = folder_of(store_path)
    return sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []


def take_over(store: KeyStore, *, now_utc: str, maximum_bytes: int) -> tuple[list[str], list[str]]:
    """Queue what lies in the spool; gives ids of messages queued, and what was refused, in words.

    A refused file is removed. Raises ResourceError when the folder is not this user's alone.
    """
    paths = waiting(store.path)[:TAKEN_AT_ONCE]
    if not paths:
        return [], []
    folder = folder_of(store.path)
    _require_own(folder.lstat(), folder, stat.S_ISDIR)
    queued, refused = [], []
    for path in paths:
        try:
            draft = _read(path, maximum_bytes)
            queued.append(queue(store, draft, now_utc=now_utc, spool_id=path.stem))
        except _REFUSALS as error:
            refused.append(str(error))
        _destroy(path)
    return queued, refused


def _read(path: Path, maximum_bytes: int) -> Draft:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        _require_own(status, path, stat.S_ISREG)
        if status.st_size > maximum_bytes + _HEAD_BYTES:
            raise ConfigError(f"{path}: expected at most {maximum_bytes} bytes, got {status.st_size}")
        return msgspec.msgpack.decode(file.read(), type=_Spooled).draft


def _require_own(status: os.stat_result, path: Path, right_kind: Callable[[int], bool]) -> None:
    if (
        status.st_uid != os.geteuid()
        or stat.S_IMODE(status.st_mode) & 0o077
        or not right_kind(status.st_mode)
    ):
        raise ResourceError(
            f"{path}: expected to be this user's alone (0700 for the folder, 0600 for files); whoever may "
            f"write there sends in this node's name: mend owner and mode"
        )


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _destroy(path: Path) -> None:
    """Overwrite and remove; a link is removed and what it names left alone."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        path.unlink(missing_ok=True)
        return
    with os.fdopen(descriptor, "wb") as file:
        status = os.fstat(descriptor)
        if status.st_nlink == 1 and stat.S_ISREG(status.st_mode):
            file.write(bytes(status.st_size))
            file.flush()
            os.fsync(descriptor)
    path.unlink()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_REFUSALS: Final = (ConfigError, ResourceError, msgspec.MsgspecError, UnicodeDecodeError, OSError)
