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
        self._path, self._epoch, self._node = path, epoch, node
        self.begun = path.exists() and path.stat().st_size > 0
        """The file held events before: an earlier start of this process wrote them."""
        try:
            self._file = path.open("ab", buffering=0)
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
        """Add UTC to a line and append it. Raises ResourceError where the disk takes no more."""
        utc = format_utc(self._epoch + timedelta(seconds=line["t_s"]))
        data = msgspec.json.encode({"t_s": line["t_s"], "utc": utc, **line}) + b"\n"
        try:
            whole = self._file.write(data) == len(data)
        except OSError as error:
            raise self._full(error.strerror) from None
        if not whole:
            raise self._full("a line found room in part")

    def _full(self, why: str | None) -> ResourceError:
        return ResourceError(f"{self._path}: cannot be written ({why}); make room, and start the node again")
