"""Which connection this is: two ends that may start again at any moment, told apart by their boots.

Every start of an end has a larger boot than the one before. A connection is a pair of boots, one of each
end; as neither ever goes back, a pair occurs once, and a frame that names another pair is of another
connection. An end learns the peer's boot from the first frame it hears; a newer one begins a new
connection, an older one is of a frame that was long under way.

    UNKNOWN ----- any frame of the peer -----> KNOWN ----- a frame that names this end -----> MUTUAL
    says OPEN                                  says OPEN, may send DATA                       says no OPEN
                                                 ^                                              |
                                                 '-- a newer boot of the peer, or of this end --'

No clock, no stream, no message here: `now_s` is given.
"""

import math
from typing import Final

from satqkd.errors import ConfigError, LocalProtocolError
from satqkd.lasercom.frames import MAXIMUM_BOOT, Direction, Frame, Kind, encode

UNKNOWN_BOOT: Final = 0
MAXIMUM_STARTS_LOST: Final = 1000
"""An end whose count went back is told by the peer's frames how far; anybody can make such frames up, so more
than this is not believed. Boots would run out otherwise, and the end could never start again."""


class Peering:
    """Boots of both ends as this one knows them, and when to tell its own.

    Raises ConfigError for a boot that is none.
    """

    def __init__(self, *, link_tag: bytes, direction: Direction, boot: int) -> None:
        if not 0 < boot <= MAXIMUM_BOOT:
            raise ConfigError(f"lasercom boot: expected 1 to {MAXIMUM_BOOT}, got {boot}; count the starts")
        self._link_tag, self._direction = link_tag, direction
        self.boot, self.peer_boot = boot, UNKNOWN_BOOT
        self._mutual = False
        self._untold = True
        self._told_s = -math.inf
        self.connection = 0
        """How many connections there have been, this one included; 0 before the first."""
        self.addressed_boot = UNKNOWN_BOOT
        """Largest boot of this end that the peer has named and that may be true."""

    def hear(self, frame: Frame) -> bool:
        """Take in the boots of a frame; whether its contents are of the connection as it is now."""
        if frame.boot < self.peer_boot:
            return False
        if frame.boot > self.peer_boot:
            self._begin(frame.boot)
        if frame.peer_boot <= self.boot + MAXIMUM_STARTS_LOST:
            self.addressed_boot = max(self.addressed_boot, frame.peer_boot)
        named = frame.peer_boot == self.boot
        self._mutual |= named
        return named

    def reset(self, boot: int) -> None:
        """Begin anew as a larger boot of this end. Raises LocalProtocolError when it is not larger."""
        if not self.boot < boot <= MAXIMUM_BOOT:
            raise LocalProtocolError(
                f"lasercom reset: expected a boot above {self.boot} and at most {MAXIMUM_BOOT}, got {boot}; "
                f"count it up in the store before"
            )
        self.boot = boot
        if self.peer_boot != UNKNOWN_BOOT:
            self._begin(self.peer_boot)

    def _begin(self, peer_boot: int) -> None:
        self.peer_boot = peer_boot
        self.connection += 1
        self._mutual, self._untold = False, True

    def told(self, now_s: float) -> None:
        """An OPEN went out."""
        self._untold, self._told_s = False, now_s

    def tell_s(self, interval_s: float) -> float | None:
        """From when on to say OPEN: at once when a connection begins, and at intervals until the peer has
        named this end's boot; None when it has."""
        if self._untold:
            return self._told_s
        return None if self._mutual else self._told_s + interval_s

    def encode(
        self,
        kind: Kind,
        *,
        stream: int = 0,
        first: bool = False,
        last: bool = False,
        sequence: int = 0,
        payload: bytes = b"",
    ) -> bytes:
        """The datagram of a frame of this connection."""
        of_this = (self._link_tag, self._direction, self.boot, self.peer_boot)
        return encode(Frame(kind, *of_this, stream, first, last, sequence, payload))
