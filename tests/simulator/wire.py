"""What two terminals say to each other, noted where they give it to the link and take it from there."""

from typing import Any

from satqkd.lasercom import Priority
from satqkd.mission.terminal import Terminal
from simulator.history import History


def watch(terminal: Terminal, node: str, history: History) -> None:
    """Note what this terminal says from now on, and what it takes; with the connection it does it in."""
    link = terminal._link
    send, read = link.send, link.next_message

    def said(message: bytes, *, priority: int) -> None:
        send(message, priority=priority)
        history.note(node, "said", **_told(priority, bytes(message)))

    def taken() -> tuple[Priority, bytes] | None:
        found = read()
        if found is not None:
            history.within(node, "taken", **_told(*found))
        return found

    def _told(priority: int, message: bytes) -> dict[str, Any]:
        own, peer = link.boots
        return {
            "peer": terminal.peer,
            "boots": (own, peer),
            "priority": int(priority),
            "message": message,
        }

    link.send, link.next_message = said, taken  # type: ignore[method-assign,assignment]
