"""The satellite's process is small: what it loads, what it writes, what it holds when a block is over."""

import ast
import gc
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import msgspec
import pytest
from test_processes import run_config

from satqkd.mission import contact_of, ensure_authentication, open_store
from satqkd.mission.emulator import LinkEmulator
from satqkd.mission.run_pass import station_terminal, step_through
from satqkd.mission.satellite_end import satellite_terminal
from satqkd.node import write_run_config
from satqkd.node.emulator import run_emulator
from satqkd.node.process import run_node
from satqkd.randomness import stream_bytes
from toy_pass import AT_UTC, PROTOCOL, link_key, replaced, toy_satellite, toy_station

FORBIDDEN = (
    "numba",
    "llvmlite",
    "scipy.optimize",
    "scipy.stats",
    "scipy.sparse",
    "scipy.linalg",
    "matplotlib",
    "skyfield",
    "h5py",
    "aiohttp",
    "highspy",
    "dask",
    "pyarrow",
    "nicegui",
)
"""Libraries that a satellite has no use for."""
OF_OTHERS = (
    "satqkd.distill.station_session",
    "satqkd.distill.station_block",
    "satqkd.distill.sync",
    "satqkd.mission.station_terminal",
    "satqkd.mission.emulator",
    "satqkd.mission.recording",
    "satqkd.devices.recording",
    "satqkd.node.emulator",
    "satqkd.node.launch",
    "satqkd.node.demo",
)
"""Our own modules of stations, emulator and launcher."""
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({forbidden!r}))
written = set()
def note(event, given):
    if event == "open" and isinstance(given[0], (str, bytes)) and given[2] & 3:
        written.add(str(given[0]))
    if event == "sqlite3.connect":
        written.add(str(given[0]))
sys.addaudithook(note)
sys.argv = ["satqkd", "satellite", {run_file!r}]
from satqkd.cli import main
try:
    main()
finally:
    print(sorted(written))
    print(sorted(set({others!r}) & set(sys.modules)))
"""
"""A satellite's process where none of the libraries can be imported, and which tells what it wrote."""


class Alone:
    """The toy pass, its satellite a process in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.disk, self.memory, ground = (folder / name for name in ("disk", "memory", "ground"))
        for each in (self.disk, self.memory, ground):
            each.mkdir()
        config = msgspec.structs.replace(run_config(folder), folder=str(ground), record_datagrams=False)
        contact = config.contact()
        with open_store(self.disk, "toy-satellite") as above, open_store(ground, "toy-station") as below:
            ensure_authentication(above, below, contact, config.protocol)
        mine = msgspec.structs.replace(config, folder=str(self.memory), stores=str(self.disk))
        write_run_config(mine, self.memory / "run.toml")
        code = WITHOUT.format(forbidden=FORBIDDEN, others=OF_OTHERS, run_file=str(self.memory / "run.toml"))
        others = [
            threading.Thread(target=run_emulator, args=(config,)),
            threading.Thread(target=run_node, args=(config, "station")),
        ]
        for each in others:
            each.start()
        self.done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        for each in others:
            each.join()
        with open_store(self.disk, "toy-satellite") as above, open_store(ground, "toy-station") as below:
            self.keys = link_key(above), link_key(below)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    return Alone(tmp_path_factory.mktemp("alone"))


def test_a_satellite_makes_key_where_no_heavy_library_can_be_imported(alone: Alone) -> None:
    assert alone.done.returncode == 0, alone.done.stderr
    above, below = alone.keys
    assert above == below
    assert set(above[1].values()) == {"confirmed"}


def test_a_satellite_loads_no_module_of_a_station_or_an_emulator(alone: Alone) -> None:
    assert ast.literal_eval(alone.done.stdout.splitlines()[1]) == []


def test_a_satellite_needs_no_disk_but_for_its_store(alone: Alone) -> None:
    """Log and report go to the run's folder, which may be memory; of the disk it wants the store alone."""
    names = ["toy-satellite.sqlite", "toy-satellite.sqlite.key", "toy-satellite.sqlite.uses"]
    assert sorted(path.name for path in alone.disk.iterdir()) == names
    written = {Path(name) for name in ast.literal_eval(alone.done.stdout.splitlines()[0])}
    told = {path.name for path in written if path.parent == alone.memory}
    assert told == {"events.satellite.jsonl", "satellite.json.partial"}
    elsewhere = {path.name for path in written if path.parent != alone.memory} - {"null"}
    assert all(name.startswith("toy-satellite.sqlite") for name in elsewhere), elsewhere


class Held:
    """Bytes that an object holds: everything that is reached from it but code, types and modules."""

    CODE = (type, ModuleType, FunctionType)

    def __init__(self, *apart: Any) -> None:
        """apart: not looked into."""
        self._apart = {id(each) for each in apart}

    def __call__(self, root: Any) -> int:
        seen, waiting, total = set(self._apart), [root], 0
        while waiting:
            each = waiting.pop()
            if id(each) in seen or isinstance(each, self.CODE):
                continue
            seen.add(id(each))
            total += sys.getsizeof(each)
            waiting += gc.get_referents(each)
        return total


def test_a_satellite_holds_nothing_of_a_block_that_is_over_but_its_report(tmp_path: Path) -> None:
    """Six blocks of the toy pass, of 300 kilobytes each while they are open; a report takes 13."""
    protocol = replaced(PROTOCOL, blocks=6, epsilon_secrecy=1e-3)
    contact = contact_of(toy_satellite(), toy_station(), AT_UTC)
    held_bytes, largest = list[int](), 0
    with open_store(tmp_path, "toy-satellite") as above, open_store(tmp_path, "toy-station") as below:
        ensure_authentication(above, below, contact, protocol)
        ties = stream_bytes(1, "station", "ties")
        one = satellite_terminal(contact, protocol, above, seed=1)
        other = station_terminal(contact, protocol, below, seed=1, tie_bits=ties)
        held, step = Held(above, contact, one.parameters), one.step

        def measured(now_s: float, datagrams: list[bytes]) -> list[bytes]:
            nonlocal largest
            sent = step(now_s, datagrams)
            blocks = one.session._blocks
            largest = max(largest, held(list(blocks.values())))
            if len(one.reports) > len(held_bytes) and not blocks.keys() - {len(one.reports)}:
                held_bytes.append(held(one) - held(list(blocks.values())))
            return sent

        one.step = measured  # type: ignore[method-assign]
        step_through(LinkEmulator(contact, seed=1), one, other)
        assert [report.outcome for report in one.reports] == ["key"] * 6
    assert largest > 200_000
    assert max(after - before for before, after in pairwise(held_bytes)) < 30_000, held_bytes
