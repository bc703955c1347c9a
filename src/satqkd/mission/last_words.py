"""Last receipts of passes that are over here: said again when the peer still speaks of such a pass.

There is always a last receipt, and it may be lost with the link. The end that waits for it says its last
messages again at the next contact, when this end has the key of the pass no more: the receipt was kept.
"""

from collections import deque
from typing import Final

from satqkd.keys import Journal
from satqkd.lasercom import Endpoint, Priority
from satqkd.mission.conversation import stored_receipt

MAXIMUM_PASSES: Final = 64
"""Looked up in a connection because somebody, anybody, spoke of them."""


class LastWords:
    """Of the passes with one peer."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._asked: set[str] = set()
        self._waiting: deque[bytes] = deque()

    def connected(self) -> None:
        """A connection begins: what was said in the last one may be lost."""
        self._asked.clear()
        self._waiting.clear()

    def asked(self, pass_id: str) -> None:
        """The peer speaks of a pass that is not open here; once a connection is enough."""
        if pass_id in self._asked or len(self._asked) >= MAXIMUM_PASSES:
            return
        self._asked.add(pass_id)
        receipt = stored_receipt(self._journal, pass_id)
        if receipt:
            self._waiting.append(receipt)

    def speak(self, link: Endpoint) -> None:
        """Give the link what it takes."""
        while self._waiting and link.room(len(self._waiting[0]), priority=Priority.DISTILLATION):
            link.send(self._waiting.popleft(), priority=Priority.DISTILLATION)
