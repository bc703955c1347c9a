"""The event log: JSON lines `{t_s, utc, node, stage, event, ...counts}`; schema in `docs/events.md`.

No key, no seed and no tag is ever in it.
"""

from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from satqkd.errors import ResourceError
from satqkd.sky import format_utc


class EventLog:
    """Appends events to a file, one line each."""

    def __init__(self, path: Path, epoch: datetime) -> None:
        self._epoch = epoch
        try:
            self._file = path.open("ab")
        except OSError as error:
            raise ResourceError(f"{path}: cannot be written ({error.strerror})") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, line: dict[str, Any]) -> None:
        """Add UTC to a line and append it."""
        utc = format_utc(self._epoch + timedelta(seconds=line["t_s"]))
        self._file.write(msgspec.json.encode({"t_s": line["t_s"], "utc": utc, **line}) + b"\n")
        self._file.flush()
