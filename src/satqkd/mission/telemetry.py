"""What the two ends tell each other of how they are: once a second, below the session, above users' files.

For operators' eyes: nobody vouches for it, and nothing is decided by it. One struct in MessagePack (an array,
fields in order; `docs/protocol.md`); what is of another form is dropped.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from satqkd.lasercom import Endpoint, Priority

INTERVAL_S: Final = 1.0
TICK_MARGIN_S: Final = 1e-3
"""A tick is not missed for its last digit."""
MAXIMUM_BYTES: Final = 64
Count = Annotated[int, Meta(ge=0, lt=2**53)]


class Telemetry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One end of a contact at a moment."""

    t_s: Annotated[float, Meta(ge=-1e6, le=1e6)]
    """Pass time at which it was said."""
    blocks_finished: Count
    secret_bits: Count
    """Of blocks of this pass that this end holds confirmed."""
    backlog_bytes: Count
    """Given to its laser terminal and not acknowledged."""
    waiting_messages: Count
    """Of the session, not known to be taken."""


class TelemetryLine:
    """Says an end's own telemetry, keeps the peer's."""

    def __init__(self) -> None:
        self.heard: Telemetry | None = None
        """The last of the peer's."""
        self._due_s = float("-inf")

    def receive(self, data: bytes) -> None:
        """Take the peer's; anything else is dropped."""
        if len(data) > MAXIMUM_BYTES:
            return
        try:
            self.heard = msgspec.msgpack.decode(data, type=Telemetry)
        except msgspec.DecodeError:
            return

    def speak(self, link: Endpoint, telemetry: Telemetry) -> None:
        """Say it, once in a while and where the link has room."""
        data = msgspec.msgpack.encode(telemetry)
        if telemetry.t_s > self._due_s - TICK_MARGIN_S and link.room(len(data), priority=Priority.TELEMETRY):
            link.send(data, priority=Priority.TELEMETRY)
            self._due_s = telemetry.t_s + INTERVAL_S
