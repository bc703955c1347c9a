"""The processes of a pass, each on its own: memory, CPU, start, and what the satellite's loads.

The load: a satellite of the Jinan-1 kind in an orbit of 800 km over a telescope of 42 cm at Stellenbosch, ten
minutes of light at 20 kbit/s sifted, four blocks of equal bits foretold. Flown in three processes; CPU and
memory of satellite and station over pass time are told by their own telemetry, the emulator's by its report.
CPU is told as a share of one core at the pace of the sky: CPU seconds of ticks over seconds of pass time,
start-up apart. A pass in memory would not part the ends. Starts are measured with byte code cached, as it is
where the package is installed.

    python benchmarks/satellite.py [--satellite jinan-1 --station stellenbosch] [--speed max] [--blocks 4]
        [--json FILE] [--plot FILE]

Ends with 1 when the satellite misses a limit.
"""

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from satqkd.config import Protocol
from satqkd.node import RunConfig, fly_in_processes, free_port

LIMITS: Final = {"max_rss_mib": 250.0, "cpu_share": 0.10, "start_s": 2.0}
GROWTH_MIB: Final = 16.0
"""Of the least memory between the last two blocks' ends over that between the first two: what a finished
block leaves behind."""
HEAVY: Final = ("numba", "llvmlite", "matplotlib", "aiohttp", "scipy.stats", "scipy.optimize", "h5py")
STARTS: Final = 5
HIGHER: Final = """
preset = "jinan-1"
name = "jinan-1-800km"
description = "Jinan-1 in a higher orbit, for a pass of ten minutes"
[orbit]
altitude_km = 800
"""
LARGER: Final = """
preset = "stellenbosch"
name = "stellenbosch-42cm"
description = "Stellenbosch with a larger telescope and nothing calibrated, for 20 kbit/s"
telescope_diameter_m = 0.42
calibration_loss_db = 0.0
"""
LOAD_UTC: Final = "2024-10-05T18:00:00Z"
Row = dict[str, Any]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--satellite", help="preset or file in the place of the load's; with --station")
    words.add_argument("--station")
    words.add_argument("--speed", default="max")
    words.add_argument("--blocks", type=int, default=4)
    words.add_argument("--json", type=Path)
    words.add_argument("--plot", type=Path)
    asked = words.parse_args()
    if (asked.satellite is None) != (asked.station is None):
        words.error("--satellite and --station go together")
    with tempfile.TemporaryDirectory() as folder:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = f"{folder}/bytecode"
        row = starts() | {"loaded": loaded()} | flown(asked, Path(folder))
    row["met"] = {name: row[name] < limit for name, limit in LIMITS.items()} | {
        "nothing heavy loaded": not row["loaded"],
        "as small between blocks": row["growth_mib"] < GROWTH_MIB,
    }
    if asked.json is not None:
        asked.json.write_text(json.dumps(row, indent=1), encoding="utf-8")
    if asked.plot is not None:
        plot(row, asked.plot)
    show(row)
    sys.exit(0 if all(row["met"].values()) else 1)


def starts() -> Row:
    """From starting a satellite's process to its first word on the line: least of several, wall and CPU."""
    found = [_start() for _ in range(STARTS + 1)][1:]  # the first compiles
    return {"start_s": round(min(wall for wall, _ in found), 2), "start_cpu_s": round(min(found)[1], 2)}


def _start() -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        line.settimeout(60.0)
        path = Path(folder) / "run.toml"
        path.write_text(
            f'satellite = "jinan-1"\nstation = "stellenbosch"\nfolder = "{folder}"\n'
            f"port = {line.getsockname()[1]}\n",
            encoding="utf-8",
        )
        before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        node = subprocess.Popen([sys.executable, "-m", "satqkd", "satellite", str(path)])
        line.recv(1000)
        took_s = time.monotonic() - began_s
        node.kill()
        node.wait()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return took_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def loaded() -> list[str]:
    """Heavy modules that a satellite's process has after its imports."""
    code = f"import sys, satqkd.node.process; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def flown(asked: argparse.Namespace, folder: Path) -> Row:
    """One pass in processes."""
    satellite, station, at_utc = asked.satellite, asked.station, None
    if satellite is None:
        satellite, station, at_utc = str(folder / "higher.toml"), str(folder / "larger.toml"), LOAD_UTC
        Path(satellite).write_text(HIGHER, encoding="utf-8")
        Path(station).write_text(LARGER, encoding="utf-8")
    config = RunConfig(
        satellite=satellite,
        station=station,
        at_utc=at_utc,
        folder=str(folder),
        port=free_port(),
        speed=asked.speed,
        protocol=Protocol(blocks=asked.blocks, block_policy="equal-bits"),
    )
    report = fly_in_processes(config)
    courses = {role: _course(folder / f"events.{role}.jsonl") for role in ("satellite", "station")}
    processes = {}
    for role, used in report.processes.items():
        start_s = courses[role][0]["cpu_s"] if role in courses else 0.0
        processes[role] = {
            "cpu_s": round(used["cpu_s"], 2),
            "start_cpu_s": start_s,
            "cpu_share": round((used["cpu_s"] - start_s) / report.duration_s, 4),
            "max_rss_mib": round(used["max_rss_mib"], 1),
        }
    return {
        "pass_s": round(report.duration_s, 1),
        "wall_s": round(report.timings_s["wall"], 1),
        "sifted_kbit_s": round(report.sifted_bits / report.duration_s / 1e3, 2),
        "outcome": report.outcome,
        "block_sifted_bits": [block["sifted_bits"] for block in report.blocks],
        "cpu_share": processes["satellite"]["cpu_share"],
        "max_rss_mib": processes["satellite"]["max_rss_mib"],
        "growth_mib": _growth_mib(folder / "events.satellite.jsonl", courses["satellite"]),
        "processes": processes,
        "courses": courses,
        "store_mib": {each.name: round(each.stat().st_size / 2**20, 1) for each in folder.glob("*.sqlite")},
    }


def _growth_mib(events: Path, course: list[Row]) -> float:
    lines = map(json.loads, events.read_text(encoding="utf-8").splitlines())
    ends_s = [line["t_s"] for line in lines if (line["stage"], line["event"]) == ("block", "finished")]
    least = [
        min(each["rss_mib"] for each in course if before < each["t_s"] <= after)
        for before, after in pairwise(ends_s)
    ]
    return round(least[-1] - least[0], 1)


def _course(events: Path) -> list[Row]:
    """Telemetry of a node."""
    lines = map(json.loads, events.read_text(encoding="utf-8").splitlines())
    return [
        {name: line[name] for name in ("t_s", "cpu_s", "rss_mib")}
        for line in lines
        if line["event"] == "telemetry"
    ]


def show(row: Row) -> None:
    """A line a figure, a line a process."""
    for name, value in row.items():
        if name not in ("processes", "courses"):
            print(f"{name:20} {value}")
    print(f"{'process':12} {'CPU, s':>8} {'of a core':>10} {'start, s':>9} {'most memory':>12}")
    for role, used in row["processes"].items():
        print(
            f"{role:12} {used['cpu_s']:8.1f} {100 * used['cpu_share']:8.1f} % {used['start_cpu_s']:9.2f} "
            f"{used['max_rss_mib']:8.1f} MiB"
        )


def plot(row: Row, path: Path) -> None:
    """Memory and CPU of both nodes over the pass."""
    from matplotlib.figure import Figure

    from satqkd.show.style import BLUE, MUTED, RED, heading, label_time, write_png

    def draw(figure: Figure) -> None:
        memory, work = figure.subplots(1, 2)
        heading(
            figure,
            "What the nodes take in a pass",
            f"{row['pass_s']:.0f} s of light at {row['sifted_kbit_s']:.1f} kbit/s sifted, "
            f"{len(row['block_sifted_bits'])} blocks; CPU over ten seconds; dashed: the satellite's limits",
        )
        for role, colour in (("satellite", BLUE), ("station", RED)):
            course = row["courses"][role]
            at_s = [each["t_s"] for each in course]
            memory.plot(at_s, [each["rss_mib"] for each in course], color=colour, label=role)
            shares = [
                100 * (after["cpu_s"] - before["cpu_s"]) / (after["t_s"] - before["t_s"])
                for before, after in pairwise(course)
            ]
            work.plot(at_s[1:], shares, color=colour, label=role, drawstyle="steps-pre")
        memory.axhline(LIMITS["max_rss_mib"], color=MUTED, linestyle="--", linewidth=1)
        work.axhline(100 * LIMITS["cpu_share"], color=MUTED, linestyle="--", linewidth=1)
        memory.set(title="Memory", ylabel="MiB", ylim=(0, None))
        work.set(title="CPU", ylabel="% of a core", ylim=(0, None))
        for axes in (memory, work):
            label_time(axes, row["courses"]["satellite"][0]["t_s"], row["courses"]["satellite"][-1]["t_s"])
        memory.legend(frameon=False)

    write_png(path, draw)


if __name__ == "__main__":
    main()
