"""The emulator as a process: time master and laser link between a satellite and a station.

It grants a tick when both nodes have finished the last one, all datagrams due are with them, and the pace
lets it. It looks into no datagram and holds no key.
"""

import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from satqkd.lasercom import ChannelCounts
from satqkd.mission.contact import Contact
from satqkd.mission.emulator import UP, LinkEmulator
from satqkd.mission.files import write_whole
from satqkd.mission.pace import Pace, read_speed
from satqkd.mission.report import PaceReport
from satqkd.mission.terminal import TICKS_PER_S
from satqkd.node.event_log import EventLog
from satqkd.node.faults import cuts
from satqkd.node.line import bound_socket, used_resources
from satqkd.node.master import Announce, Master, TickDone
from satqkd.node.run_config import RunConfig
from satqkd.node.stop import Stop, stopping
from satqkd.node.wire import contact_tag


class EmulatorReport(msgspec.Struct, frozen=True):
    """What the emulator knows at the end of a pass."""

    channels: dict[str, ChannelCounts]
    cpu_s: float
    max_rss_mib: float
    pace: PaceReport
    ended_by: str
    """`finished`: both nodes were; `link`: it set; `stop`: asked to end; or the role that left."""


def run_emulator(
    config: RunConfig, progress: TickDone | None = None, announce: Announce = lambda what, role: None
) -> EmulatorReport:
    """Carry one pass; write `emulator.json`.

    Raises ResourceError when the port is taken, LinkError when a node falls silent.
    """
    with stopping() as stop, bound_socket(config.host, config.port) as line:
        return carry(config, line, stop, progress=progress, announce=announce)


def carry(
    config: RunConfig,
    line: socket.socket,
    stop: Stop,
    *,
    progress: TickDone | None = None,
    announce: Announce = lambda what, role: None,
    begins_in_s: Callable[[], float] | None = None,
    over: Iterable[bytes] = (),
) -> EmulatorReport:
    """`run_emulator` on a socket that is open; `begins_in_s` and `over` as in `Master`."""
    contact = config.contact()
    pass_id = contact.parameters(config.protocol, seed=config.seed).pass_id
    pace = Pace(read_speed(config.speed))
    with _Recorder(config) as recorder, _log_of(config, contact) as log:
        outages = tuple(cuts(config.faults))
        link = LinkEmulator(contact, seed=config.seed, tap=recorder.keep, outages=outages)
        master = Master(
            line,
            link,
            contact=contact_tag(pass_id),
            pace=pace,
            patience_s=config.patience_s,
            grace_s=config.grace_s,
            faults=config.faults,
            begins_in_s=begins_in_s,
            over=over,
            stop=stop,
            log=log.log,
            announce=announce,
        )
        ended_by = master.run(progress)
        kept = pace.report()
        log.log(
            master.now_s,
            "pace",
            "kept",
            ticks=kept.ticks,
            largest_lateness_s=round(kept.largest_lateness_s, 6),
            mean_lateness_s=round(kept.mean_lateness_s, 6),
        )
        log.log(master.now_s, "node", "over", ended_by=ended_by)
    report = EmulatorReport(link.counts(), *used_resources(), kept, ended_by)
    write_whole(config.directory / "emulator.json", msgspec.json.encode(report))
    return report


def _log_of(config: RunConfig, contact: Contact) -> EventLog:
    return EventLog(config.directory / "events.emulator.jsonl", contact.epoch, "emulator")


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
