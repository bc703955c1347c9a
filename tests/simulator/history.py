"""What happened, as the checker reads it: at the doors of the stores and on the wire, nothing from within.

What a node does inside a durable change has happened when that is committed, and never where the node was
killed before: such events wait until then. What was said and heard is noted as bytes, key as bytes.
"""

from collections import Counter
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One thing that happened at one node."""

    node: str
    kind: str
    """At the store's door: add, confirm, discard, use. On the wire: said, taken. Of nodes: start, crash,
    failed."""
    what: dict[str, Any]

    def __str__(self) -> str:
        told = ", ".join(f"{name}={_short(value)}" for name, value in self.what.items())
        return f"{self.node} {self.kind} {told}"


def _short(value: Any) -> str:
    return f"{value[:24].hex()}.. ({len(value)} bytes)" if isinstance(value, bytes) else repr(value)


class History:
    """Events in order, and how often situations were reached."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.reached: Counter[str] = Counter()
        """Situations, so that a run that reaches none shows."""
        self.faults: Counter[str] = Counter()
        """Injected, by kind."""
        self._waiting: dict[str, list[Event]] = {}

    def within(self, node: str, kind: str, **what: Any) -> None:
        """Part of a durable change of this node."""
        self._waiting.setdefault(node, []).append(Event(node, kind, what))

    def note(self, node: str, kind: str, **what: Any) -> None:
        """Has happened."""
        self.events.append(Event(node, kind, what))

    def committed(self, node: str) -> None:
        """The node's change is durable."""
        self.events += self._waiting.pop(node, [])

    def undone(self, node: str) -> None:
        """The node's change was never made."""
        self._waiting.pop(node, None)

    def of(self, *kinds: str) -> list[Event]:
        """Events of these kinds in order."""
        return [event for event in self.events if event.kind in kinds]
