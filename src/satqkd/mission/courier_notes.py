"""What happened to user traffic, for the event log: ids, counts, sizes; no content, name, key or token."""

from typing import Any


class Notes:
    """Lines of the event log, kept until the owner takes them; it adds time and node."""

    def __init__(self) -> None:
        self._lines: list[dict[str, Any]] = []

    def log(self, utc: str, stage: str, event: str, **counts: Any) -> None:
        """Note one line."""
        self._lines.append({"utc": utc, "stage": stage, "event": event, **counts})

    def take(self) -> list[dict[str, Any]]:
        """What was noted since the last time."""
        lines, self._lines = self._lines, []
        return lines
