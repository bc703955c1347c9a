"""Kills at journalled points, in one process, many times; and real ones of a process at any moment."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from crash_work import Town, judge, make_folders, read_marks

from kill_points import Killed, KillPoints

HERE = Path(__file__).parent
STEPS = 14


@pytest.fixture
def folder() -> Iterator[Path]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def worked(folder: Path, seed: int) -> None:
    """Nodes at work until they are killed, or done."""
    town = Town(folder, seed)
    try:
        town.start()
        town.work(STEPS)
        town.close()
    except Killed:
        for store in town.stores.values():
            with suppress(Exception):
                store.close()
    finally:
        town.leave()


def killed_in_turn(kills: KillPoints, folder: Path, seed: int, count: int) -> None:
    """Work, kill, go on from what is left, and so on; then judge."""
    rng, here = random.Random(seed), folder / "0"
    make_folders(here)
    kills.kill_at(0, here, here)
    worked(here, seed)
    points = len(kills.passed)
    for number in range(1, count + 1):
        there = folder / str(number)
        at = int(rng.expovariate(1 / 12)) + 1 if rng.random() < 0.5 else rng.randint(1, points)
        kills.kill_at(at, here, there)
        worked(here, 1000 * seed + number)
        if there.exists():
            shutil.rmtree(here)
            here = there
        kills.never()
        state = folder / "state"
        shutil.copytree(here, state)
        judge(state, read_marks((here / "marks").read_bytes()))
        shutil.rmtree(state)
    shutil.rmtree(here)


@pytest.mark.parametrize("seed", range(6))
def test_killed_again_and_again_at_journalled_points(
    folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    killed_in_turn(KillPoints(monkeypatch), folder, seed, 5)


@pytest.mark.soak
def test_killed_for_long(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other seeds for SOAK_SECONDS."""
    kills = KillPoints(monkeypatch)
    until, seed = time.monotonic() + float(os.environ.get("SOAK_SECONDS", "3600")), 100
    while time.monotonic() < until:
        killed_in_turn(kills, folder, seed, 12)
        seed += 1


WORKER = """
import sys
from pathlib import Path
import test_kills
test_kills.live(Path(sys.argv[1]), int(sys.argv[2]))
"""


def live(folder: Path, seed: int) -> None:
    """What the process does that is killed: work without an end."""
    town = Town(folder, seed)
    town.start()
    print("at work", flush=True)
    town.work(1_000_000)


def test_kill_9_at_any_moment(folder: Path) -> None:
    """A dozen kills of a real process; the next goes on from what is left. Locks of the dead bind nobody."""
    rng, here = random.Random(7), folder / "town"
    make_folders(here)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent), *sys.path])}
    for number in range(12):
        words = [sys.executable, "-c", WORKER, str(here), str(number)]
        with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"at work\n"
            time.sleep(rng.random() * 0.3)
            process.send_signal(signal.SIGKILL)
            process.wait()
    state = folder / "state"
    shutil.copytree(here, state)
    judge(state, read_marks((here / "marks").read_bytes()))
