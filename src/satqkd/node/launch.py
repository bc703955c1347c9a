"""One pass in three processes on this machine: start them, watch them, put their reports together.

The launcher gives both stores their authentication key (as before launch), then only watches. A process
that fails ends the others; its own last line and exit code become the launcher's error.
"""

import os
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
from satqkd.mission import presets
from satqkd.mission.contact import contact_of
from satqkd.mission.files import EVE_FILE
from satqkd.mission.report import NodeReport, PassReport, pass_report
from satqkd.mission.run_pass import (
    TWIN,
    ensure_authentication,
    open_store,
    refuse_flown,
)
from satqkd.node.emulator import EmulatorReport
from satqkd.node.process import bound_socket
from satqkd.node.run_config import Role, RunConfig, write_run_config

ROLE_ORDER: Final[tuple[Role, ...]] = ("emulator", "satellite", "station")
LOOPBACK: Final = "127.0.0.1"
ENDING_S: Final = 10.0
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
    contact = contact_of(presets.satellite(config.satellite), presets.station(config.station), config.at_utc)
    folder = config.directory
    with (
        open_store(config.store_folder, contact.satellite.name) as one,
        open_store(config.store_folder, contact.station.name) as other,
    ):
        refuse_flown(one, other, contact.parameters(config.protocol, seed=config.seed))
        ensure_authentication(one, other, contact, config.protocol)
    write_run_config(config, folder / "run.toml")
    _run(folder, progress)
    satellite, station = (
        msgspec.json.decode((folder / f"{role}.json").read_bytes(), type=NodeReport)
        for role in ("satellite", "station")
    )
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
    return msgspec.structs.replace(report, processes=report.processes | {"emulator": emulator})


def _told_by_eve(config: RunConfig) -> EveAccount | None:
    if config.eve is None:
        return None
    return msgspec.json.decode((config.directory / EVE_FILE).read_bytes(), type=EveAccount)


def _run(folder: Path, progress: Progress | None) -> None:
    """Start the three and wait for all."""
    with ExitStack() as stack:
        errors: dict[Role, IO[bytes]] = {
            role: stack.enter_context((folder / f"{role}.stderr").open("w+b")) for role in ROLE_ORDER
        }
        running: dict[Role, subprocess.Popen[bytes]] = {}
        stack.callback(_end_all, running)
        for role in ROLE_ORDER:
            running[role] = subprocess.Popen(
                [sys.executable, "-m", "satqkd", role, str(folder / "run.toml")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if role == "emulator" else subprocess.DEVNULL,
                stderr=errors[role],
                env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        _watch(running, errors, progress)


def _watch(
    running: dict[Role, subprocess.Popen[bytes]], errors: dict[Role, IO[bytes]], progress: Progress | None
) -> None:
    lines = running["emulator"].stdout
    assert lines is not None
    os.set_blocking(lines.fileno(), False)
    waiting = set(running)
    while waiting:
        time.sleep(0.05)
        _tell(lines, progress)
        for role in sorted(waiting):
            code = running[role].poll()
            if code is None:
                continue
            waiting.discard(role)
            if code != 0:
                errors[role].seek(0)
                raise failure_of(role, code, errors[role].read())


def _tell(lines: IO[bytes], progress: Progress | None) -> None:
    text = lines.read()
    if text and progress is not None:
        now_s, end_s = text.split(b"\n")[-2].split()
        progress(float(now_s), float(end_s))


def failure_of(name: str, code: int, stderr: bytes) -> Error:
    """The error that a process ended with: its family by exit code, its own last line."""
    said = stderr.decode(errors="replace").strip().splitlines()
    message = said[-1] if said else f"ended with code {code} and said nothing"
    return FAMILIES.get(code, LinkError)(f"{name}: {message.removeprefix('satqkd: ')}")


def _end_all(running: dict[Role, subprocess.Popen[bytes]]) -> None:
    for process in running.values():
        if process.poll() is None:
            process.terminate()
    for process in running.values():
        try:
            process.wait(timeout=ENDING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
