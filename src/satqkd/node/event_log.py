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
    """Appends events to a file, one line each.

    epoch: UTC of pass time 0. node: who writes.
    """

    def __init__(self, path: Path, epoch: datetime, node: str) -> None:
        self._epoch, self._node = epoch, node
        self.begun = path.exists() and path.stat().st_size > 0
        """The file held events before: an earlier start of this process wrote them."""
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

    def log(self, now_s: float, stage: str, event: str, **counts: Any) -> None:
        """Append an event of this process itself."""
        self.write({"t_s": round(now_s, 3), "node": self._node, "stage": stage, "event": event, **counts})

    def write(self, line: dict[str, Any]) -> None:
        """Add UTC to a line and append it."""
        utc = format_utc(self._epoch + timedelta(seconds=line["t_s"]))
        self._file.write(msgspec.json.encode({"t_s": line["t_s"], "utc": utc, **line}) + b"\n")
        self._file.flush()
