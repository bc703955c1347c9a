"""An interrupt at the keyboard, which a terminal sends to the command and to all that it has begun."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w

SCENARIO = {
    "name": "day",
    "start_utc": "2024-10-03T12:00:00Z",
    "duration_days": 2,
    "satellite": [{"preset": "jinan-1"}],
    "station": [{"presets": ["beijing", "stellenbosch"]}],
    "pair": [{"ends": ["beijing", "stellenbosch"]}],
}
RUNS = 40
PATIENCE_S = 60


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A campaign that takes some seconds."""
    (tmp_path / "day.toml").write_text(tomli_w.dumps(SCENARIO))
    setups = {"key": "service.setup_s", "values": list(range(RUNS))}
    campaign = {"name": "long", "scenario": "day.toml", "task": "plan", "axis": [setups]}
    (tmp_path / "long.toml").write_text(tomli_w.dumps(campaign))
    out = str(tmp_path / "out")
    return ["campaign", str(tmp_path / "long.toml"), "--out", out, "--format", "csv", "--json"]


def begun(words: list[str]) -> "subprocess.Popen[str]":
    """The command as a process with a group of its own, as a shell begins one in its foreground.

    What a shell begins in its background hears no interrupt, and hands that on to all that it begins.
    """
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from satqkd.cli import main; main()"
    )
    command = [sys.executable, "-c", program, *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_until(what: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def is_gone(group: int) -> bool:
    """No process of a group is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("at_once", [True, False])
def test_a_campaign_ends_in_one_line_with_4_and_goes_on_where_it_was(
    words: list[str], tmp_path: Path, at_once: bool
) -> None:
    done = tmp_path / "out" / "done"
    process = begun([*words, "--workers", "2"])
    wait_until(lambda: done.is_dir() and (at_once or len(list(done.glob("*.json"))) >= 3))
    if at_once:
        time.sleep(0.3)  # workers are beginning
    os.killpg(process.pid, signal.SIGINT)
    told, said = process.communicate(timeout=PATIENCE_S)
    *progress, last = said.strip().splitlines()
    assert (process.returncode, told) == (4, "")
    assert last == "satqkd: interrupted; what was finished is kept, and nothing by halves"
    assert all(line.startswith("satqkd: long: ") for line in progress)
    wait_until(lambda: is_gone(process.pid))
    kept = {path.name: path.stat().st_mtime_ns for path in done.glob("*.json")}
    assert (0 if at_once else 3) <= len(kept) < RUNS
    again = begun([*words, "--workers", "0"])
    counts = json.loads(again.communicate(timeout=PATIENCE_S)[0])
    assert (counts["done"], counts["ran_now"], again.returncode) == (RUNS, RUNS - len(kept), 0)
    assert kept.items() <= {path.name: path.stat().st_mtime_ns for path in done.glob("*.json")}.items()
