"""One pass in three processes on this machine: start them, watch them, put their reports together.

The launcher gives both stores their authentication key (as before launch), then only watches, but for a
plan of faults: whom the emulator tells to kill it kills, and starts again when told. A process that fails
otherwise ends the others; its own last line and exit code become the launcher's error.
"""

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final

import msgspec

from satqkd.devices import EveAccount
from satqkd.errors import ConfigError, Error, KeyStoreError, LinkError
from satqkd.mission.files import EVE_FILE, open_store
from satqkd.mission.report import NodeReport, PassReport, pass_report, with_pace
from satqkd.mission.run_pass import ensure_authentication, refuse_flown
from satqkd.mission.satellite_end import TWIN
from satqkd.node.emulator import EmulatorReport
from satqkd.node.line import bound_socket
from satqkd.node.run_config import Role, RunConfig, write_run_config

ROLE_ORDER: Final[tuple[Role, ...]] = ("emulator", "satellite", "station")
LOOPBACK: Final = "127.0.0.1"
ENDING_S: Final = 10.0
POLL_S: Final = 0.05
FAMILIES: Final[dict[int, type[Error]]] = {2: ConfigError, 3: KeyStoreError, 4: LinkError}
Progress = Callable[[float, float], None]


def free_port(host: str = LOOPBACK) -> int:
    """A UDP port that is free now."""
    with bound_socket(host, 0) as line:
        port: int = line.getsockname()[1]
        return port


def fly_in_processes(config: RunConfig, progress: Progress | None = None) -> PassReport:
    """Run a pass as satellite, station and emulator processes; returns the merged report.

    Raises the error family that the failing process' exit code names.
    """
    started_s = time.monotonic()
    contact = config.contact()
    folder = config.directory
    with (
        open_store(config.store_folder, contact.satellite.name) as one,
        open_store(config.store_folder, contact.station.name) as other,
    ):
        refuse_flown(one, other, contact.parameters(config.protocol, seed=config.seed))
        ensure_authentication(one, other, contact, config.protocol)
    write_run_config(config, folder / "run.toml")
    with ExitStack() as stack:
        _Processes(folder, progress, stack).run()
    satellite, station = _node_report(folder, "satellite"), _node_report(folder, "station")
    carried = msgspec.json.decode((folder / "emulator.json").read_bytes(), type=EmulatorReport)
    report = pass_report(
        contact,
        contact.parameters(config.protocol, seed=config.seed),
        satellite,
        station,
        carried.channels,
        seed=config.seed,
        origin=TWIN,
        wall_s=time.monotonic() - started_s,
        eve=_told_by_eve(config),
    )
    emulator = {"cpu_s": carried.cpu_s, "max_rss_mib": carried.max_rss_mib}
    report = msgspec.structs.replace(report, processes=report.processes | {"emulator": emulator})
    return with_pace(report, carried.pace)


def _told_by_eve(config: RunConfig) -> EveAccount | None:
    if config.eve is None:
        return None
    return msgspec.json.decode((config.directory / EVE_FILE).read_bytes(), type=EveAccount)


def _node_report(folder: Path, role: Role) -> NodeReport:
    path = folder / f"{role}.json"
    if not path.exists():
        raise LinkError(
            f"{role}: was down when the pass ended, and wrote no report; look at the plan of faults"
        )
    return msgspec.json.decode(path.read_bytes(), type=NodeReport)


class _Processes:
    """The three processes of a pass; what the emulator's plan demands is done to them."""

    def __init__(self, folder: Path, progress: Progress | None, stack: ExitStack) -> None:
        self._folder, self._progress = folder, progress
        self._errors: dict[Role, IO[bytes]] = {
            role: stack.enter_context((folder / f"{role}.stderr").open("w+b")) for role in ROLE_ORDER
        }
        self._running: dict[Role, subprocess.Popen[bytes]] = {}
        self._killed: set[Role] = set()
        self._rest = b""
        stack.callback(self._end_all)

    def run(self) -> None:
        """Start the three and wait for all. Raises what the first that fails ended with."""
        for role in ROLE_ORDER:
            self._start(role)
        lines = self._running["emulator"].stdout
        assert lines is not None
        os.set_blocking(lines.fileno(), False)
        while any(process.poll() is None for process in self._running.values()):
            if not select.select([lines], [], [], POLL_S)[0]:
                self._check()
                continue
            text = lines.read()
            if not text:  # the emulator has ended
                self._check()
                time.sleep(POLL_S)
                continue
            self._rest += text
            *whole, self._rest = self._rest.split(b"\n")
            for line in whole:
                self._obey(line.decode().split())
        self._check()

    def _start(self, role: Role) -> None:
        self._killed.discard(role)
        self._running[role] = subprocess.Popen(
            [sys.executable, "-m", "satqkd", role, str(self._folder / "run.toml")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if role == "emulator" else subprocess.DEVNULL,
            stderr=self._errors[role],
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def _obey(self, words: list[str]) -> None:
        """`NOW END` tells the time, `kill ROLE` and `start ROLE` are the plan's."""
        match words:
            case ["kill", ("satellite" | "station") as role]:
                self._killed.add(role)
                self._running[role].kill()
                self._running[role].wait()
            case ["start", ("satellite" | "station") as role]:
                self._start(role)
            case [now_s, end_s] if self._progress is not None:
                self._progress(float(now_s), float(end_s))

    def _check(self) -> None:
        for role, process in self._running.items():
            code = process.poll()
            if code not in (None, 0) and role not in self._killed:
                self._errors[role].seek(0)
                raise failure_of(role, code or 0, self._errors[role].read())

    def _end_all(self) -> None:
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        for process in self._running.values():
            try:
                process.wait(timeout=ENDING_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def failure_of(name: str, code: int, stderr: bytes) -> Error:
    """The error that a process ended with: its family by exit code, its own last line."""
    said = stderr.decode(errors="replace").strip().splitlines()
    message = said[-1] if said else f"ended with code {code} and said nothing"
    return FAMILIES.get(code, LinkError)(f"{name}: {message.removeprefix('satqkd: ')}")
