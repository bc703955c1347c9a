"""The server's log: JSON lines, one a request and one for each thing that befell the server.

Never key, never a query string or a body. A disk that takes no more stops no delivery: lines lost are
counted. The clock is an argument.
"""

import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import msgspec

from satqkd.delivery.counters import Counters
from satqkd.errors import ResourceError


class RequestLine(msgspec.Struct, frozen=True, tag="request", tag_field="event"):
    """One request that was answered."""

    utc: str
    sae: str
    """Who asked; empty where nobody who is known."""
    operation: str
    """Of the table of routes; `none` where no route fits."""
    other: str
    """The application named in the path; empty where none."""
    status: int
    keys: int
    bits: int
    duration_s: float


class ServerLine(msgspec.Struct, frozen=True, tag="server", tag_field="event"):
    """Something that befell the server."""

    utc: str
    what: str
    """`started`, `reloaded`, `reload_failed`, `stopped`."""
    told: str = ""


class ServerLog:
    """Appends lines to a file that its owner alone may read; without a file they go nowhere."""

    def __init__(self, path: Path | None, counters: Counters, *, now_utc: Callable[[], str]) -> None:
        self._counters, self._now_utc = counters, now_utc
        self._encode = msgspec.json.Encoder().encode
        try:
            self._file = None if path is None else _opened(path)
        except OSError as error:
            raise ResourceError(f"{path}: cannot be written ({error.strerror}); choose another log") from None

    def close(self) -> None:
        """Take no more lines."""
        if self._file is not None:
            self._file.close()

    def request(self, *, sae: str, operation: str, other: str, status: int, keys: int, bits: int,
                duration_s: float) -> None:  # fmt: skip
        """A request that was answered."""
        if self._file is not None:
            self._append(
                RequestLine(self._now_utc(), sae, operation, other, status, keys, bits, round(duration_s, 6))
            )

    def server(self, what: str, told: str = "") -> None:
        """Something that befell the server."""
        if self._file is not None:
            self._append(ServerLine(self._now_utc(), what, told))

    def _append(self, line: RequestLine | ServerLine) -> None:
        data = self._encode(line) + b"\n"
        try:
            whole = self._file is not None and self._file.write(data) == len(data)
        except (OSError, ValueError):
            whole = False
        self._counters.log_lines_lost += not whole


def _opened(path: Path) -> FileIO:
    return FileIO(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")
