"""A node or the emulator over a whole schedule: sleeps, flies, notes what came of it, goes on.

One contact that fails does not end the schedule. A contact whose report is in its folder is not flown again;
one that was broken off is taken up, as far as its time is not over. What is to come is told on the board.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final, Literal

import msgspec

from satqkd.errors import ConfigError, Error
from satqkd.mission import presets
from satqkd.mission.files import write_whole
from satqkd.mission.pace import read_speed
from satqkd.mission.report import NodeReport
from satqkd.node.board import Board
from satqkd.node.emulator import carry
from satqkd.node.faults import Victim
from satqkd.node.line import bound_socket
from satqkd.node.local_server import local_server
from satqkd.node.master import TickDone
from satqkd.node.process import take_part
from satqkd.node.run_config import RunConfig
from satqkd.node.schedule import PlannedContact, Schedule, planned_contacts
from satqkd.node.stop import Stop, stopping
from satqkd.node.wire import contact_tag
from satqkd.results import to_json

LONGEST_SLEEP_S: Final = 30.0
"""Then the time of day is looked at again, should the clock have been set."""
Outcome = Literal["flown", "earlier", "failed", "missed", "stopped"]
Now = Callable[[], datetime]


class ContactResult(msgspec.Struct, frozen=True):
    """What came of one contact at one node."""

    station: str
    begin_utc: str
    folder: str
    outcome: Outcome
    """`earlier`: its report was there already; `missed`: its time was over."""
    secret_bits: int
    """Confirmed at this node; 0 at the emulator."""
    reason: str


class ScheduleSummary(msgspec.Struct, frozen=True):
    """`summary.NAME.json` of a schedule's folder."""

    name: str
    role: str
    contacts: tuple[ContactResult, ...]
    secret_bits: int
    complete: bool
    """Every contact was flown, now or earlier."""


class _Voyage:
    """What node and emulator share: the order of contacts, waiting, the account."""

    def __init__(self, schedule: Schedule, name: str, role: str, stop: Stop, now: Now) -> None:
        self._schedule, self._name, self._role, self._stop, self._now = schedule, name, role, stop, now
        self._results: list[ContactResult] = []

    def go(self, contacts: list[PlannedContact], fly: Callable[[int], int]) -> ScheduleSummary:
        """Fly what is not flown. fly: contact number to secret bits; raises what made it fail."""
        for k, contact in enumerate(contacts):
            if self._stop.asked:
                break
            self._results.append(self._one(k, contact, fly))
            self._write()
        return self._write()

    def _one(self, k: int, contact: PlannedContact, fly: Callable[[int], int]) -> ContactResult:
        folder = contact.config.directory
        folder.mkdir(exist_ok=True)
        report = folder / f"{self._role}.json"
        if report.exists():
            return self._result(contact, "earlier", secret_bits=_secret_bits(report, self._role))
        if self._schedule.clock == "utc" and self._now() >= contact.end:
            return self._result(contact, "missed", reason="its time was over")
        try:
            secret_bits = fly(k)
        except (Error, OSError) as error:
            return self._result(contact, "failed", reason=str(error))
        return self._result(contact, "stopped" if self._stop.asked else "flown", secret_bits=secret_bits)

    def _result(
        self, contact: PlannedContact, outcome: Outcome, *, secret_bits: int = 0, reason: str = ""
    ) -> ContactResult:
        folder = contact.config.directory.name
        return ContactResult(contact.station, contact.begin_utc, folder, outcome, secret_bits, reason)

    def _write(self) -> ScheduleSummary:
        results = tuple(self._results)
        summary = ScheduleSummary(
            name=self._name,
            role=self._role,
            contacts=results,
            secret_bits=sum(each.secret_bits for each in results),
            complete=all(each.outcome in ("flown", "earlier") for each in results) and not self._stop.asked,
        )
        write_whole(Path(self._schedule.folder) / f"summary.{self._name}.json", to_json(summary))
        return summary


def run_node_schedule(
    schedule: Schedule, role: Victim, name: str | None = None, *, now: Now = lambda: datetime.now(UTC)
) -> ScheduleSummary:
    """Take part in every contact of a satellite, or of the station called `name`.

    Raises ConfigError for a station without contacts, NoPassError; not what a contact ends with.
    """
    contacts = planned_contacts(schedule)
    node = presets.satellite(schedule.satellite).name if role == "satellite" else name or ""
    if role == "station":
        contacts = _of_station(contacts, node)
    board = Board()
    port = schedule.local_port_satellite if role == "satellite" else schedule.local_ports_stations.get(node)
    with stopping() as stop, local_server(port, board):

        def fly(k: int) -> int:
            contact = contacts[k]
            if schedule.clock == "utc":
                _sleep_until(contact, schedule.wake_s, stop, now)
            following = next((each.begin_utc for each in contacts[k + 1 :]), None)
            end = take_part(contact.config, role, stop=stop, board=board, next_pass_utc=following)
            return sum(block.secret_bits for block in end.report.blocks)

        return _Voyage(schedule, node, role, stop, now).go(contacts, fly)


def run_emulator_schedule(
    schedule: Schedule, progress: TickDone | None = None, *, now: Now = lambda: datetime.now(UTC)
) -> ScheduleSummary:
    """Carry every contact. Raises ResourceError when the port is taken, ConfigError, NoPassError."""
    contacts = planned_contacts(schedule)
    begins = _Begins(schedule, now)
    with stopping() as stop, bound_socket(schedule.host, schedule.port) as line:

        def fly(k: int) -> int:
            over = [_tag(each.config) for each in contacts[:k]]
            begins_in_s = begins.of(contacts[k])
            carry(contacts[k].config, line, stop, progress=progress, begins_in_s=begins_in_s, over=over)
            return 0

        return _Voyage(schedule, "emulator", "emulator", stop, now).go(contacts, fly)


@cache
def _tag(config: RunConfig) -> bytes:
    return contact_tag(config.contact().parameters(config.protocol, seed=config.seed).pass_id)


class _Begins:
    """When contacts begin by the wall clock. clock_s: a monotonic one."""

    def __init__(self, schedule: Schedule, now: Now, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._speed = schedule.clock, read_speed(schedule.speed)
        self._now, self._clock_s = now, clock_s
        self._first: tuple[float, datetime] | None = None

    def of(self, contact: PlannedContact) -> Callable[[], float] | None:
        """Wall seconds until a contact begins; None: as soon as both nodes are there."""
        if self._clock == "utc":
            return lambda: (contact.begin - self._now()).total_seconds()
        if self._speed is None or self._first is None:
            self._first = (self._clock_s(), contact.begin)
            return None
        start_s, epoch = self._first
        due_s = start_s + (contact.begin - epoch).total_seconds() / self._speed
        return lambda: due_s - self._clock_s()


def _of_station(contacts: list[PlannedContact], name: str) -> list[PlannedContact]:
    mine = [each for each in contacts if each.station == name]
    if not mine:
        names = ", ".join(sorted({each.station for each in contacts}))
        raise ConfigError(f"--name: expected a station of the schedule, {names}, got {name!r}")
    return mine


def _sleep_until(contact: PlannedContact, wake_s: float, stop: Stop, now: Now) -> None:
    """Until shortly before a contact; the time of day is looked at again and again."""
    while (left_s := (contact.begin - now()).total_seconds() - wake_s) > 0:
        if stop.wait(min(left_s, LONGEST_SLEEP_S)):
            return


def _secret_bits(report: Path, role: str) -> int:
    if role == "emulator":
        return 0
    node = msgspec.json.decode(report.read_bytes(), type=NodeReport)
    return sum(block.secret_bits for block in node.blocks)
