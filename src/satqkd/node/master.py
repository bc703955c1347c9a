"""The time master of one contact: grants ticks at the pace, waits for answers, goes on without the dead.

Unpaced, a tick waits for both nodes; one that died is waited for and, once it says HELLO again, granted the
tick under way. Paced, time goes on: a node that is silent for longer than the grace is left behind, what
arrives for it is lost, and it joins at the current tick when it is heard again. Looks into no datagram.
"""

import socket
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from satqkd.errors import LinkError
from satqkd.mission.emulator import DOWN, UP, LaserLink
from satqkd.mission.pace import Pace
from satqkd.mission.terminal import TICKS_PER_S
from satqkd.node.faults import Fault, Victim, kills, starts
from satqkd.node.line import LARGEST_PACKET_BYTES, REPEAT_S, ROLES
from satqkd.node.peer import Address, Peer
from satqkd.node.stop import Stop
from satqkd.node.wire import Packet, PacketKind, batch, decode

SATELLITE: Final = ROLES["satellite"]
STATION: Final = ROLES["station"]
FAREWELLS: Final = 20
TickDone = Callable[[float, float], None]
"""Called with pass time and its end once a second of pass time."""
Announce = Callable[[str, str], None]
"""Called with `kill` or `start` and a role, for the launcher to do it."""
LogEvent = Callable[..., None]


def _nothing(*_: Any, **__: Any) -> None:
    """Nobody listens."""


class Master:
    """Grants the ticks of one contact.

    contact: tag of its packets. patience_s, grace_s: wall-clock silence that ends the pass, and that leaves
    a node of a paced pass behind. begins_in_s: wall seconds until the first tick is due whoever is there;
    None: when both nodes are. over: tags of contacts that have been carried.
    """

    def __init__(
        self,
        line: socket.socket,
        link: LaserLink,
        *,
        contact: bytes,
        pace: Pace,
        patience_s: float,
        grace_s: float,
        faults: tuple[Fault, ...] = (),
        begins_in_s: Callable[[], float] | None = None,
        over: Iterable[bytes] = (),
        stop: Stop | None = None,
        log: LogEvent = _nothing,
        announce: Announce = _nothing,
    ) -> None:
        self._line, self._link, self._contact, self._pace = line, link, contact, pace
        self._patience_s, self._grace_s, self._faults = patience_s, grace_s, faults
        self._begins_in_s, self._over = begins_in_s, frozenset(over)
        self._stop, self.log, self._announce = stop or Stop(), log, announce
        self._peers = {SATELLITE: Peer("satellite"), STATION: Peer("station")}
        self.now_s = link.ticks.start / TICKS_PER_S
        """Pass time of the tick under way."""
        self._heard_s = time.monotonic()

    def run(self, progress: TickDone | None = None) -> str:
        """Carry the contact; what ended it: `finished`, `link`, `stop`, or the role that left.

        Raises LinkError when who is waited for stays silent.
        """
        self._await_nodes()
        ended_by = self._work_ticks(progress)
        self._end()
        return ended_by

    def _work_ticks(self, progress: TickDone | None) -> str:
        end_s = self._link.ticks.stop / TICKS_PER_S
        for tick in range(self._first_tick, self._link.ticks.stop):
            self._await_due(tick)
            if (ended_by := self._ended_early()) is not None:
                return ended_by
            self.now_s = tick / TICKS_PER_S
            self._work(tick)
            if progress is not None and tick % TICKS_PER_S == 0:
                progress(self.now_s, end_s)
            if all(peer.finished for peer in self._peers.values()):
                return "finished"
        return "link"

    @property
    def _first_tick(self) -> int:
        """Of the contact, or where a pass that was broken off goes on."""
        known = (peer.first_tick for peer in self._peers.values() if peer.first_tick is not None)
        return max(self._link.ticks.start, *known, self._link.ticks.start)

    def _work(self, tick: int) -> None:
        self._play(tick)
        self._peers[SATELLITE].grant(tick, self._link.due(UP, self.now_s))
        self._peers[STATION].grant(tick, self._link.due(DOWN, self.now_s))
        self._pace.granted(tick)
        self._tell_grants()
        for role in kills(self._faults, tick):
            self._kill(role)
        self._await_answers(tick)
        self._link.submit(DOWN, self._peers[SATELLITE].answer, self.now_s)
        self._link.submit(UP, self._peers[STATION].answer, self.now_s)

    def _play(self, tick: int) -> None:
        """The plan's part of a tick, but for who is killed in it."""
        for role in starts(self._faults, tick):
            self._peers[ROLES[role]].down = False
            self.log(self.now_s, "node", "restarted", role=role)
            self._announce("start", role)
        for fault in self._faults:
            if fault.what == "cut" and tick == fault.first_tick:
                self.log(self.now_s, "link", "cut", for_s=fault.for_s)
            elif fault.what == "cut" and tick == fault.end_tick:
                self.log(self.now_s, "link", "restored")

    def _kill(self, role: Victim) -> None:
        """At once, while it works the tick; it is not heard any more."""
        self._announce("kill", role)
        peer = self._peers[ROLES[role]]
        peer.retire()
        peer.down = True
        self.log(self.now_s, "node", "killed", role=role)

    def _await_nodes(self) -> None:
        """Until both have said hello, or the contact begins whoever is there."""
        self._heard_s = time.monotonic()
        while not all(peer.present for peer in self._peers.values()) or self._begins_in_s is not None:
            left_s = REPEAT_S if self._begins_in_s is None else self._begins_in_s()
            if left_s <= 0 or self._stop.asked:
                return
            if self._begins_in_s is None:
                self._check_patience("hello", self._waited_for())
            self._receive(min(left_s, REPEAT_S))

    def _await_due(self, tick: int) -> None:
        """Until the tick is due at the pace; who comes meanwhile is heard."""
        if not any(peer.present for peer in self._peers.values()):
            self._check_patience(f"tick {tick}", list(self._peers.values()))
        while (left_s := self._pace.left_s(tick)) > 0 and not self._stop.asked:
            self._receive(min(left_s, REPEAT_S))

    def _await_answers(self, tick: int) -> None:
        began_s = time.monotonic()
        repeat_s = began_s + REPEAT_S
        self._heard_s = max(self._heard_s, began_s) if self._pace.speed is None else self._heard_s
        while (waiting := self._waited_for()) and self._ended_early() is None:
            now_s = time.monotonic()
            if self._pace.speed is not None and now_s - began_s > self._grace_s:
                self._leave_behind(waiting)
                return
            self._check_patience(f"tick {tick}", waiting)
            if now_s >= repeat_s:
                self._tell_grants()
                repeat_s = now_s + REPEAT_S
            self._receive(repeat_s - now_s)

    def _waited_for(self) -> list[Peer]:
        """Who must answer before the tick is over."""
        peers = [peer for peer in self._peers.values() if not (peer.down or peer.complete)]
        return peers if self._pace.speed is None else [peer for peer in peers if peer.present]

    def _leave_behind(self, silent: list[Peer]) -> None:
        for peer in silent:
            peer.present = False
            self.log(self.now_s, "node", "absent", role=peer.name)

    def _check_patience(self, what: str, silent: list[Peer]) -> None:
        if time.monotonic() - self._heard_s > self._patience_s:
            names = ", ".join(peer.name for peer in silent)
            raise LinkError(f"{what}: no answer for {self._patience_s:.0f} s from {names}; the pass is lost")

    def _ended_early(self) -> str | None:
        if self._stop.asked:
            return "stop"
        return next((peer.name for peer in self._peers.values() if peer.left), None)

    def _receive(self, timeout_s: float) -> None:
        """Wait for one packet at most so long, and take it."""
        self._line.settimeout(max(0.001, timeout_s))
        try:
            data, address = self._line.recvfrom(LARGEST_PACKET_BYTES)
        except TimeoutError:
            return
        packet = decode(data)
        if packet is not None and self._take(packet, Address(*address)):
            self._heard_s = time.monotonic()

    def _take(self, packet: Packet, address: Address) -> bool:
        """Whether the packet tells something that was waited for."""
        if packet.line.contact != self._contact:
            self._answer_other_contact(packet, address)
            return False
        peer = self._peers.get(packet.line.role)
        if peer is None:
            return False
        if packet.kind is PacketKind.HELLO:
            return self._greet(peer, packet, address)
        if packet.line != peer.line:
            return False
        if packet.kind is PacketKind.BYE:
            peer.left = True
            self._say(peer, batch(PacketKind.END, packet.line, packet.tick, []))
            return True
        return packet.kind is PacketKind.DONE and self._hear(peer, packet)

    def _greet(self, peer: Peer, packet: Packet, address: Address) -> bool:
        if not peer.greet(packet, address):
            if packet.line == peer.line and self._begins_in_s is not None:
                self._say(peer, batch(PacketKind.WAIT, packet.line, packet.tick, []))
            return False
        self.log(self.now_s, "node", "joined", role=peer.name)
        return True

    def _hear(self, peer: Peer, packet: Packet) -> bool:
        if not peer.present:
            peer.present = True
            self.log(self.now_s, "node", "back", role=peer.name)
        return peer.take(packet)

    def _answer_other_contact(self, packet: Packet, address: Address) -> None:
        """A node that greets for another contact hears whether that is over or to come."""
        if packet.kind is PacketKind.HELLO:
            kind = PacketKind.END if packet.line.contact in self._over else PacketKind.WAIT
            self._line.sendto(batch(kind, packet.line, packet.tick, [])[0], address)

    def _end(self) -> None:
        """Tell who is there that the pass is over, until each has said BYE."""
        for _ in range(FAREWELLS):
            missing = [peer for peer in self._peers.values() if peer.present and not peer.left]
            for peer in missing:
                if peer.line is not None:
                    self._say(peer, batch(PacketKind.END, peer.line, self._link.ticks.stop, []))
            until_s = time.monotonic() + REPEAT_S
            while any(not peer.left for peer in missing) and time.monotonic() < until_s:
                self._receive(until_s - time.monotonic())
            if all(peer.left for peer in missing):
                return

    def _tell_grants(self) -> None:
        """To all: a node that has answered hears that another is still waited for."""
        for peer in self._peers.values():
            if peer.present:
                self._say(peer, peer.packets())

    def _say(self, peer: Peer, packets: list[bytes]) -> None:
        for data in packets:
            if peer.address is not None:
                self._line.sendto(data, peer.address)
