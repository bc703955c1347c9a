"""The emulator as a process: time master and laser link between a satellite and a station.

It grants a tick when both nodes have finished the last one and all datagrams due are with them. It looks
into no datagram and holds no key.
"""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, NamedTuple, Self

import msgspec

from satqkd.errors import LinkError
from satqkd.lasercom import ChannelCounts
from satqkd.mission import presets
from satqkd.mission.contact import contact_of
from satqkd.mission.emulator import DOWN, UP, LinkEmulator
from satqkd.mission.files import write_whole
from satqkd.mission.terminal import TICKS_PER_S
from satqkd.node.process import REPEAT_S, ROLES, bound_socket, used_resources
from satqkd.node.run_config import RunConfig
from satqkd.node.wire import FLAG_FINISHED, Assembly, Packet, PacketKind, batch, decode

SATELLITE: Final = ROLES["satellite"]
STATION: Final = ROLES["station"]
FAREWELLS: Final = 20
TickDone = Callable[[float, float], None]


class Address(NamedTuple):
    """Where a node was heard from."""

    host: str
    port: int


class EmulatorReport(msgspec.Struct, frozen=True):
    """What the emulator knows at the end of a pass."""

    channels: dict[str, ChannelCounts]
    cpu_s: float
    max_rss_mib: float


def run_emulator(config: RunConfig, progress: TickDone | None = None) -> None:
    """Carry one pass; write `emulator.json`. `progress(now_s, end_s)` is called once a second of pass time.

    Raises ResourceError when the port is taken, LinkError when a node falls silent.
    """
    contact = contact_of(presets.satellite(config.satellite), presets.station(config.station), config.at_utc)
    with bound_socket(config.host, config.port) as line, _Recorder(config) as recorder:
        link = LinkEmulator(contact, seed=config.seed, tap=recorder.keep)
        _Master(line, link, config.patience_s).run(progress)
    report = EmulatorReport(link.counts(), *used_resources())
    write_whole(config.directory / "emulator.json", msgspec.json.encode(report))


class _Master:
    """Grants ticks and waits for both answers."""

    def __init__(self, line: socket.socket, link: LinkEmulator, patience_s: float) -> None:
        self._line, self._link, self._patience_s = line, link, patience_s
        self._addresses: dict[int, Address] = {}

    def run(self, progress: TickDone | None) -> None:
        self._await(lambda: set(self._addresses) == {SATELLITE, STATION}, "hello", lambda: None)
        ticks = self._link.ticks
        for tick in ticks:
            now_s = tick / TICKS_PER_S
            done = self._grant(tick, now_s)
            self._link.submit(DOWN, done[SATELLITE].datagrams, now_s)
            self._link.submit(UP, done[STATION].datagrams, now_s)
            if progress is not None and tick % TICKS_PER_S == 0:
                progress(now_s, ticks.stop / TICKS_PER_S)
            if all(each.flags & FLAG_FINISHED for each in done.values()):
                break
        self._end(ticks.stop)

    def _grant(self, tick: int, now_s: float) -> dict[int, Assembly]:
        grants = {
            SATELLITE: batch(PacketKind.GRANT, SATELLITE, tick, self._link.due(UP, now_s)),
            STATION: batch(PacketKind.GRANT, STATION, tick, self._link.due(DOWN, now_s)),
        }
        done = {role: Assembly(PacketKind.DONE, tick) for role in grants}

        def say() -> None:
            """To both: a node that has answered hears that the other is still waited for."""
            for role, packets in grants.items():
                self._say(role, packets)

        say()
        self._await(lambda: all(each.complete for each in done.values()), f"tick {tick}", say, done)
        return done

    def _await(
        self,
        complete: Callable[[], bool],
        what: str,
        repeat: Callable[[], None],
        done: dict[int, Assembly] | None = None,
    ) -> None:
        """Until complete; `repeat` every REPEAT_S, and LinkError when who is awaited stays silent."""
        heard_s = time.monotonic()
        repeat_s = heard_s + REPEAT_S
        while not complete():
            now_s = time.monotonic()
            if now_s >= repeat_s:
                repeat()
                repeat_s = now_s + REPEAT_S
            if now_s - heard_s > self._patience_s:
                raise LinkError(
                    f"{what}: no answer for {self._patience_s:.0f} s from {self._silent(done)}; "
                    f"the pass is lost"
                )
            self._line.settimeout(max(0.001, repeat_s - now_s))
            try:
                data, address = self._line.recvfrom(65_536)
            except TimeoutError:
                continue
            packet = decode(data)
            if packet is not None and self._take(packet, Address(*address), done):
                heard_s = time.monotonic()

    def _take(self, packet: Packet, address: Address, done: dict[int, Assembly] | None) -> bool:
        """Whether the packet tells something that was awaited."""
        if packet.role not in (SATELLITE, STATION):
            return False
        if packet.kind is PacketKind.HELLO:
            fresh = packet.role not in self._addresses
            self._addresses.setdefault(packet.role, address)
            return fresh
        if packet.kind is not PacketKind.DONE or done is None or self._addresses.get(packet.role) != address:
            return False
        waiting = not done[packet.role].complete
        done[packet.role].take(packet)
        return waiting

    def _silent(self, done: dict[int, Assembly] | None) -> str:
        names = {number: role for role, number in ROLES.items()}
        if done is None:
            return ", ".join(names[role] for role in names if role not in self._addresses)
        return ", ".join(names[role] for role, each in done.items() if not each.complete)

    def _end(self, tick: int) -> None:
        """Tell both that the pass is over, until both have said BYE."""
        missing = {SATELLITE, STATION}
        self._line.settimeout(REPEAT_S)
        for _ in range(FAREWELLS):
            for role in missing:
                self._say(role, batch(PacketKind.END, role, tick, []))
            try:
                while missing:
                    packet = decode(self._line.recvfrom(65_536)[0])
                    if packet is not None and packet.kind is PacketKind.BYE:
                        missing.discard(packet.role)
                return
            except TimeoutError:
                continue

    def _say(self, role: int, packets: list[bytes]) -> None:
        for data in packets:
            self._line.sendto(data, self._addresses[role])


class _Recorder:
    """Keeps what is given to the transmitters: direction u8 (0 down, 1 up), tick i32, length u16, bytes."""

    def __init__(self, config: RunConfig) -> None:
        self._path: Path | None = config.directory / "datagrams.bin" if config.record_datagrams else None
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        self._file = self._path.open("wb") if self._path is not None else None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def keep(self, direction: str, now_s: float, datagram: bytes) -> None:
        """Append one datagram."""
        if self._file is not None:
            head = (direction == UP, round(now_s * TICKS_PER_S), len(datagram))
            self._file.write(
                head[0].to_bytes(1, "little")
                + head[1].to_bytes(4, "little", signed=True)
                + head[2].to_bytes(2, "little")
                + datagram
            )
