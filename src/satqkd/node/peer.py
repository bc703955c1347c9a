"""One node as the emulator knows it: where it is, which start of it, what it was granted and answered.

A node that says HELLO with a new incarnation takes the place of the one before; of a retired incarnation
nothing is taken any more. Sends nothing by itself and reads no clock.
"""

from typing import NamedTuple

from satqkd.node.wire import FLAG_FINISHED, Assembly, Line, Packet, PacketKind, batch


class Address(NamedTuple):
    """Where a node was heard from."""

    host: str
    port: int


class Peer:
    """A node of one contact."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.address: Address | None = None
        self.line: Line | None = None
        self.first_tick: int | None = None
        """The first tick it can work: later than the contact's where its pass was broken off."""
        self.present = False
        """It is there, and granted ticks."""
        self.down = False
        """It was killed by plan, and is not waited for before it is started again."""
        self.left = False
        """It ended by itself."""
        self.finished = False
        self._retired: set[int] = set()
        self._tick, self._due = 0, list[bytes]()
        self._done: Assembly | None = None

    def greet(self, packet: Packet, address: Address) -> bool:
        """Take a HELLO; whether a node has come that was not there."""
        line = packet.line
        if self.down or line == self.line or line.incarnation in self._retired:
            return False
        self.retire()
        self.line, self.address, self.first_tick = line, address, packet.tick
        self.present, self.left = True, False
        self._done = Assembly(PacketKind.DONE, line, self._tick)
        return True

    def retire(self) -> None:
        """Nothing of this incarnation is taken any more."""
        if self.line is not None:
            self._retired.add(self.line.incarnation)
        self.line, self.address, self._done = None, None, None
        self.present = self.finished = False

    def grant(self, tick: int, due: list[bytes]) -> None:
        """The next tick, and what arrives in it."""
        self._tick, self._due = tick, due
        self._done = None if self.line is None else Assembly(PacketKind.DONE, self.line, tick)

    def packets(self) -> list[bytes]:
        """The grant, as it is sent."""
        return [] if self.line is None else batch(PacketKind.GRANT, self.line, self._tick, self._due)

    def take(self, packet: Packet) -> bool:
        """Take a DONE; whether it tells something that was waited for."""
        if self._done is None or self._done.complete or packet.tick != self._done.tick:
            return False
        self._done.take(packet)
        self.finished = bool(packet.flags & FLAG_FINISHED)
        return True

    @property
    def complete(self) -> bool:
        """It has answered the grant."""
        return self._done is not None and self._done.complete

    @property
    def answer(self) -> list[bytes]:
        """What it sends; nothing while the answer is not complete."""
        return self._done.datagrams if self._done is not None and self._done.complete else []
