"""A satellite or a station as a process: waits for ticks, steps its terminal, answers.

Lock-step with the emulator over one UDP socket; blocking, because between two grants a node has nothing
to do. What it reports is written whole or not at all. A node that dies loses its pass, never its store:
key is marked spent before it is used.
"""

import resource
import socket
import time
from collections.abc import Callable
from typing import Final

import msgspec

from satqkd.devices import EveAccount, parse_eve
from satqkd.errors import LinkError, ResourceError
from satqkd.mission import presets
from satqkd.mission.contact import contact_of
from satqkd.mission.files import EVE_FILE, write_node_report, write_whole
from satqkd.mission.run_pass import (
    nobody,
    open_store,
    satellite_terminal,
    twin_station,
)
from satqkd.mission.terminal import TICKS_PER_S, Terminal
from satqkd.node.event_log import EventLog
from satqkd.node.run_config import Role, RunConfig
from satqkd.node.wire import FLAG_FINISHED, Assembly, Packet, PacketKind, batch, decode

ROLES: Final[dict[Role, int]] = {"satellite": 0, "station": 1}
REPEAT_S: Final = 0.25
REFUSALS: Final = 8
"""So many refusals in a row, after the first grant, mean that nobody is at the emulator's port any more."""
RECEIVE_BUFFER_BYTES: Final = 4 * 1024 * 1024


def run_node(config: RunConfig, role: Role) -> None:
    """Take part in the pass until the emulator ends it; write `ROLE.json`.

    Raises LinkError when the emulator falls silent, and whatever the session raises.
    """
    craft, ground = presets.satellite(config.satellite), presets.station(config.station)
    contact = contact_of(craft, ground, config.at_utc)
    name = craft.name if role == "satellite" else ground.name
    with (
        open_store(config.store_folder, name) as store,
        EventLog(config.directory / f"events.{role}.jsonl", contact.epoch) as log,
    ):
        told_by_eve: Callable[[], EveAccount | None] = nobody
        terminal: Terminal
        if role == "satellite":
            terminal = satellite_terminal(contact, config.protocol, store, seed=config.seed, log=log.write)
        else:
            eve = None if config.eve is None else parse_eve(config.eve)
            terminal, told_by_eve = twin_station(
                contact, config.protocol, store, seed=config.seed, eve=eve, log=log.write
            )
        with bound_socket("", 0) as line:
            line.connect((config.host, config.port))
            _Loop(line, terminal, config, role).run()
        cpu_s, max_rss_mib = used_resources()
        report = msgspec.structs.replace(terminal.report(), cpu_s=cpu_s, max_rss_mib=max_rss_mib)
        write_node_report(config.directory, report)
        account = told_by_eve()
        if account is not None:
            write_whole(config.directory / EVE_FILE, msgspec.json.encode(account))


class _Loop:
    """The exchange with the emulator."""

    def __init__(self, line: socket.socket, terminal: Terminal, config: RunConfig, role: Role) -> None:
        self._line, self._terminal, self._patience_s = line, terminal, config.patience_s
        self._role = ROLES[role]
        self._last = batch(PacketKind.HELLO, self._role, 0, [])
        self._grant: Assembly | None = None
        self._worked: int | None = None
        self._refused = 0

    def run(self) -> None:
        """Until the emulator says END."""
        self._line.settimeout(REPEAT_S)
        self._say(self._last)
        heard_s = time.monotonic()
        while True:
            try:
                packet = decode(self._line.recv(65_536))
            except (TimeoutError, ConnectionRefusedError) as error:
                if isinstance(error, ConnectionRefusedError):
                    self._refused += 1
                    time.sleep(REPEAT_S)
                gone = self._worked is not None and self._refused > REFUSALS
                if gone or time.monotonic() - heard_s > self._patience_s:
                    state = "gone" if gone else f"silent for {self._patience_s:.0f} s"
                    raise LinkError(f"the emulator is {state}; the pass is lost") from None
                self._say(self._last)
                continue
            heard_s, self._refused = time.monotonic(), 0
            if packet is None:
                continue
            if packet.kind is PacketKind.END:
                self._say(batch(PacketKind.BYE, self._role, packet.tick, []))
                return
            if packet.kind is PacketKind.GRANT:
                self._on_grant(packet)

    def _on_grant(self, packet: Packet) -> None:
        if self._worked is not None and packet.tick <= self._worked:
            if packet.tick == self._worked:
                self._say(self._last)
            return
        if self._grant is None or self._grant.tick != packet.tick:
            self._grant = Assembly(PacketKind.GRANT, packet.tick)
        if not self._grant.take(packet):
            return
        now_s = packet.tick / TICKS_PER_S
        datagrams = self._terminal.step(now_s, self._grant.datagrams)
        flags = FLAG_FINISHED if self._terminal.finished else 0
        self._last = batch(PacketKind.DONE, self._role, packet.tick, datagrams, flags=flags)
        self._worked = packet.tick
        self._say(self._last)

    def _say(self, packets: list[bytes]) -> None:
        for data in packets:
            try:
                self._line.send(data)
            except ConnectionRefusedError:
                return


def bound_socket(host: str, port: int) -> socket.socket:
    """A UDP socket on an address. Raises ResourceError naming it when it is taken."""
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    try:
        line.bind((host, port))
    except OSError as error:
        line.close()
        raise ResourceError(
            f"UDP {host}:{port} cannot be taken ({error.strerror}); choose another port or end what holds it"
        ) from None
    return line


def used_resources() -> tuple[float, float]:
    """CPU time (s) and largest memory (MiB) of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
