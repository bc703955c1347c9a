"""User traffic in a terminal: the courier's messages on the laser link's streams, its notes in the event log.

Urgent messages have the link's first stream, all others its last, so files take what distillation leaves.
The courier's clock is the contact's: UTC of pass time, whatever the time of day on the machine.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from satqkd.config import Traffic
from satqkd.keys import KeyStore
from satqkd.keys.model import DEMO_ORIGINS
from satqkd.lasercom import Endpoint, Priority, wire_bytes
from satqkd.mission.courier import Courier
from satqkd.sky import format_utc

STREAMS: Final = (Priority.URGENT, Priority.FILES)
AddLine = Callable[[float, str, str, dict[str, Any]], None]
"""Called with pass time, stage, event and counts."""


class UserTraffic:
    """What a terminal does for messages of users during a contact.

    origin: of the key that this terminal makes; the twin's and recordings' make it a demonstration, which
    alone may use such key for messages.
    """

    def __init__(
        self,
        store: KeyStore,
        peer: str,
        settings: Traffic,
        *,
        carrier: bool,
        origin: str,
        epoch: datetime,
        add_line: AddLine,
    ) -> None:
        self._courier = Courier(store, peer, settings, carrier=carrier, demo=origin in DEMO_ORIGINS)
        self._epoch, self._add_line = epoch, add_line
        self._confirmed = 0
        self.counts: Counter[str] = Counter()
        """How often each thing happened since this process took the contact up, by event."""

    def connected(self) -> None:
        """The link starts, or one end of it started anew."""
        self._courier.connected()

    def receive(self, priority: Priority, data: bytes, now_s: float) -> None:
        """A message of one of the two streams; one that is no courier's is counted and dropped."""
        self._courier.receive(priority, data, self._utc(now_s))

    def work(self, now_s: float, confirmed_blocks: int) -> None:
        """Take over what users left beside the store, use key that was confirmed since the last tick.

        confirmed_blocks: so far, in this process.
        """
        self._courier.poll_spool(self._utc(now_s))
        if confirmed_blocks != self._confirmed:
            self._confirmed = confirmed_blocks
            self._courier.key_changed(self._utc(now_s))
        for note in self._courier.events():
            stage, event = note.pop("stage"), note.pop("event")
            del note["utc"]
            self.counts[event] += 1
            self._add_line(now_s, stage, event, note)

    def speak(self, link: Endpoint, now_s: float) -> None:
        """Give the link what is durable, as much as it takes."""
        granted_bytes: Counter[int] = Counter()

        def room(priority: int, message_bytes: int) -> bool:
            fits = link.room(granted_bytes[priority] + message_bytes, priority=priority)
            granted_bytes[priority] += wire_bytes(message_bytes) if fits else 0
            return fits

        for priority, data in self._courier.to_send(self._utc(now_s), room):
            link.send(data, priority=priority)

    def _utc(self, now_s: float) -> str:
        return format_utc(self._epoch + timedelta(seconds=now_s))
