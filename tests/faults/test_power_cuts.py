"""Power cuts and kills anywhere: what was given is never given again, and nothing else is lost.

Nodes work in a process whose file operations are recorded (`crash_shim.c`); for places in that record the
disk is laid out as a power cut may leave it (`crash_states`), the stores are opened and held against what
had been given by then (`crash_work.judge`). Kills and failing disks are at any file operation.
"""

import errno
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_cases import FAIL, KILL, Crashes, Workers
from crash_states import Style
from crash_work import NODES, judge, read_marks

STYLES: tuple[Style, ...] = ("synced", "mixed", "mixed", "all")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def workers(folder: Path) -> Iterator[Workers]:
    found = Workers(folder)
    yield found
    found.close()


def cut_power(folder: Path, rng: random.Random, places: list[int]) -> None:
    """Judge one node in a state that a power cut at each place may leave it in."""
    crashes, state = Crashes(folder), folder.parent / "state"
    for at in sorted(places):
        crashes.forward(at)
        node, style = rng.choice(NODES), rng.choice(STYLES)
        files = dict(crashes.disk.crashed(rng, {f"{folder}/{node}/": style}))
        crashes.lay_out(state, files)
        try:
            judge(state, crashes.known(), [node])
        except Exception as error:
            raise AssertionError(f"{node} at step {at}, unsynced writes {style}: {error}") from error


def places_in(folder: Path, rng: random.Random, count: int) -> list[int]:
    """Some of all places, and more of those just after a start: there the crash before is cleared up."""
    steps = Crashes(folder).steps
    starts = [at for at, step in enumerate(steps) if b'"start"' in step.data]
    near = [min(len(steps), rng.choice(starts) + int(rng.expovariate(1 / 60))) for _ in range(count // 2)]
    return near + [rng.randint(0, len(steps)) for _ in range(count - len(near))]


def killed_and_cut(workers: Workers, run: Path, seed: int, *, kills: int, states: int) -> None:
    """Work, killed some times at any file operation, then power cuts anywhere in all that."""
    rng = random.Random(seed)
    steps = workers.run(run, seed, 25)["steps"]
    for number in range(kills):
        at = int(rng.expovariate(1 / 100)) + 1 if rng.random() < 0.5 else rng.randint(1, steps)
        told = workers.run(run, 1000 * seed + number, 25, mode=KILL, at=at)
        assert told["code"] in (0, 99), told["error"]
    judged = run.parent / "state"
    shutil.rmtree(judged, ignore_errors=True)
    shutil.copytree(run, judged)
    judge(judged, read_marks((run / "marks").read_bytes()))
    cut_power(run, rng, places_in(run, rng, states))


@pytest.mark.parametrize("seed", range(4))
def test_after_kills_and_a_power_cut_nothing_is_given_twice(
    workers: Workers, folder: Path, seed: int
) -> None:
    killed_and_cut(workers, folder / f"kill-{seed}", seed, kills=4, states=40)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
def test_a_disk_that_fails_for_a_while_costs_key_and_gives_none_twice(
    workers: Workers, folder: Path, seed: int, error: int
) -> None:
    failing_disk(workers, folder / f"fail-{error}-{seed}", seed, error)


def failing_disk(workers: Workers, run: Path, seed: int, error: int) -> None:
    """File operations fail from one on, for a while; all go on; then all is held against what was given."""
    rng = random.Random(seed)
    workers.run(run, seed, 6)
    count = rng.choice((1, 1, 2, 5, 40, 400))
    told = workers.run(run, seed, 40, mode=FAIL, at=rng.randint(1, 1200), count=count, error=error)
    assert told["code"] in (0, 3), told["error"]
    judge(run, read_marks((run / "marks").read_bytes()))


@pytest.mark.soak
def test_for_long(workers: Workers, folder: Path) -> None:
    """Other seeds for SOAK_SECONDS."""
    until, seed = time.monotonic() + float(os.environ.get("SOAK_SECONDS", "3600")), 100
    while time.monotonic() < until:
        run = folder / "soak"
        killed_and_cut(workers, run, seed, kills=random.Random(seed).randint(0, 6), states=100)
        for error in (errno.ENOSPC, errno.EIO):
            shutil.rmtree(run)
            failing_disk(workers, run, seed, error)
        for file in folder.glob("soak*"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        seed += 1
