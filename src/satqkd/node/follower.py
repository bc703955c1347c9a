"""A node's side of the ticks: waits for grants, steps its terminal, answers.

Blocking, because between two grants a node has nothing to do. What was asked before it can be asked again:
a tick that was worked is answered by the same answer. Packets for another contact, or for an earlier start of
this node, are none of its business.
"""

import socket
import time
from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol

from satqkd.errors import LinkError
from satqkd.mission.terminal import TICKS_PER_S
from satqkd.node.line import LARGEST_PACKET_BYTES, REPEAT_S
from satqkd.node.stop import Stop
from satqkd.node.wire import FLAG_FINISHED, Assembly, Line, Packet, PacketKind, batch, decode

REFUSALS: Final = 8
"""So many refusals in a row, after the first grant, mean that nobody is at the emulator's port any more."""
FAREWELLS: Final = 8


class Ending(Enum):
    """How a node's part ended."""

    OVER = "the emulator ended the contact"
    STOPPED = "this process was asked to end"


class Steps(Protocol):
    """A terminal as the ticks see it."""

    @property
    def finished(self) -> bool:
        """Nothing is left to do."""
        ...

    def step(self, now_s: float, datagrams: list[bytes]) -> list[bytes]:
        """One tick."""
        ...


class Follower:
    """The exchange with the emulator.

    line: a socket connected to it. where: this contact, role and start. first_tick: the earliest that the
    terminal can work, for an earlier start of this node worked the ones before; those are answered with
    nothing, and what arrives in them is lost. each_tick: called with the pass time of each tick after it is
    answered, and with None while nothing is granted.
    """

    def __init__(
        self,
        line: socket.socket,
        terminal: Steps,
        where: Line,
        *,
        patience_s: float,
        first_tick: int,
        stop: Stop | None = None,
        each_tick: Callable[[float | None], None] = lambda now_s: None,
    ) -> None:
        self._line, self._terminal, self._where = line, terminal, where
        self._patience_s, self._stop, self._each_tick = patience_s, stop or Stop(), each_tick
        self._first_tick = first_tick
        self._last = batch(PacketKind.HELLO, where, first_tick, [])
        self._grant: Assembly | None = None
        self._worked: int | None = None
        self._refused = 0

    def run(self) -> Ending:
        """Until the emulator says END, or this process is asked to end.

        Raises LinkError when the emulator is silent or gone, or the contact was over before it began here.
        """
        self._line.settimeout(REPEAT_S)
        self._each_tick(None)
        self._say(self._last)
        heard_s = time.monotonic()
        while not self._stop.asked:
            packet = self._hear()
            if packet is None:
                self._check_patience(heard_s)
                self._say(self._last)
                continue
            heard_s, self._refused = time.monotonic(), 0
            if packet.line == self._where and self._take(packet):
                return Ending.OVER
        self._leave()
        return Ending.STOPPED

    def _hear(self) -> Packet | None:
        """The next packet; None in silence."""
        while True:
            try:
                packet = decode(self._line.recv(LARGEST_PACKET_BYTES))
            except TimeoutError:
                return None
            except ConnectionRefusedError:
                self._refused += 1
                self._stop.wait(REPEAT_S)
                return None
            if packet is not None:
                return packet

    def _check_patience(self, heard_s: float) -> None:
        gone = self._worked is not None and self._refused > REFUSALS
        if gone or time.monotonic() - heard_s > self._patience_s:
            state = "gone" if gone else f"silent for {self._patience_s:.0f} s"
            raise LinkError(f"the emulator is {state}; the pass is lost")

    def _take(self, packet: Packet) -> bool:
        """Whether the contact is over."""
        if packet.kind is PacketKind.END:
            self._say(batch(PacketKind.BYE, self._where, packet.tick, []))
            if self._worked is None:
                raise LinkError("the emulator's contact is over; this node came too late for it")
            return True
        if packet.kind is PacketKind.GRANT:
            self._on_grant(packet)
        else:
            self._each_tick(None)
        return False

    def _on_grant(self, packet: Packet) -> None:
        if self._worked is not None and packet.tick <= self._worked:
            if packet.tick == self._worked:
                self._say(self._last)
            return
        if self._grant is None or self._grant.tick != packet.tick:
            self._grant = Assembly(PacketKind.GRANT, self._where, packet.tick)
        if not self._grant.take(packet):
            return
        now_s = packet.tick / TICKS_PER_S
        before = packet.tick < self._first_tick
        datagrams = [] if before else self._terminal.step(now_s, self._grant.datagrams)
        flags = FLAG_FINISHED if self._terminal.finished else 0
        self._last = batch(PacketKind.DONE, self._where, packet.tick, datagrams, flags=flags)
        self._worked = packet.tick
        self._say(self._last)
        self._each_tick(now_s)

    def _leave(self) -> None:
        """Say BYE until the emulator has heard it."""
        tick = 0 if self._worked is None else self._worked
        for _ in range(FAREWELLS):
            self._say(batch(PacketKind.BYE, self._where, tick, []))
            packet = self._hear()
            if packet is not None and packet.kind is PacketKind.END:
                return

    def _say(self, packets: list[bytes]) -> None:
        for data in packets:
            try:
                self._line.send(data)
            except ConnectionRefusedError:
                return
