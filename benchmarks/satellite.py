"""The satellite's process on its own, in a pass: memory, CPU, start and what it loads.

Runs a whole pass in three processes and looks at the satellite's from outside: /proc for memory over time,
the node's own telemetry for CPU over pass time. CPU is told as a share of one core at the pace of the sky:
CPU seconds of ticks over seconds of pass time, start-up apart. A pass in memory would not part the ends.

    python benchmarks/satellite.py [--satellite jinan-1] [--station stellenbosch] [--speed max] [--json]
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from satqkd.config import Protocol
from satqkd.node import RunConfig, fly_in_processes, free_port

LIMITS = {"max_rss_mib": 250.0, "cpu_share": 0.10, "start_s": 2.0}
GROWTH_MIB = 16.0
HEAVY = ("numba", "llvmlite", "matplotlib", "aiohttp", "scipy.stats")


def main() -> None:
    """Measure, print, end with 1 when a limit is missed."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--satellite", default="jinan-1")
    words.add_argument("--station", default="stellenbosch")
    words.add_argument("--speed", default="max")
    words.add_argument("--blocks", type=int, default=4)
    words.add_argument("--json", action="store_true")
    asked = words.parse_args()
    row = {"start_s": start_s(asked.satellite, asked.station), "loaded": loaded()} | flown(asked)
    row["met"] = {name: row[name] < limit for name, limit in LIMITS.items()} | {
        "nothing heavy loaded": not row["loaded"],
        "memory flat in the quantum window": row["growth_mib"] < GROWTH_MIB,
    }
    if asked.json:
        print(json.dumps(row))
    else:
        for name, value in row.items():
            print(f"{name:24} {value}")
    sys.exit(0 if all(row["met"].values()) else 1)


def start_s(satellite: str, station: str) -> float:
    """From starting the process to its first word on the line."""
    import socket

    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        line.settimeout(60.0)
        path = Path(folder) / "run.toml"
        path.write_text(
            f'satellite = "{satellite}"\nstation = "{station}"\nfolder = "{folder}"\n'
            f"port = {line.getsockname()[1]}\n",
            encoding="utf-8",
        )
        began_s = time.monotonic()
        node = subprocess.Popen([sys.executable, "-m", "satqkd", "satellite", str(path)])
        line.recv(1000)
        took_s = time.monotonic() - began_s
        node.kill()
        node.wait()
    return round(took_s, 2)


def loaded() -> list[str]:
    """Heavy modules that a satellite's process has after its imports."""
    code = f"import sys, satqkd.node.process; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def flown(asked: argparse.Namespace) -> dict[str, Any]:
    """One pass, with the satellite's process looked at from outside."""
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(
            satellite=asked.satellite,
            station=asked.station,
            folder=folder,
            port=free_port(),
            speed=asked.speed,
            protocol=Protocol(blocks=asked.blocks),
        )
        over, seen = threading.Event(), list[float]()
        looker = threading.Thread(target=_look, args=(folder, over, seen))
        looker.start()
        report = fly_in_processes(config)
        over.set()
        looker.join()
        events = (Path(folder) / "events.satellite.jsonl").read_text(encoding="utf-8")
    telemetry = [row for row in map(json.loads, events.splitlines()) if row["event"] == "telemetry"]
    flying = [row for row in telemetry if 0 <= row["t_s"] <= report.duration_s]
    first, last = flying[0], flying[-1]
    pass_s = last["t_s"] - first["t_s"]
    return {
        "pass_s": round(report.duration_s, 1),
        "sifted_kbit_s": round(report.sifted_bits / report.duration_s / 1e3, 2),
        "outcome": report.outcome,
        "cpu_share": round((report.processes["satellite"]["cpu_s"] - telemetry[0]["cpu_s"]) / pass_s, 4),
        "cpu_start_s": telemetry[0]["cpu_s"],
        "max_rss_mib": round(report.processes["satellite"]["max_rss_mib"], 1),
        "max_rss_seen_mib": round(max(seen), 1),
        "rss_mib_by_s": [[row["t_s"], row["rss_mib"]] for row in telemetry[:: max(1, len(telemetry) // 8)]],
        "growth_mib": round(last["rss_mib"] - first["rss_mib"], 1),
    }


def _look(folder: str, over: threading.Event, seen: list[float]) -> None:
    """Resident memory of the satellite's process, every tenth of a second, by /proc."""
    while not over.wait(0.1):
        for each in Path("/proc").glob("[0-9]*"):
            try:
                words = (each / "cmdline").read_bytes().split(b"\0")
                if words[-3:-1] == [b"satellite", f"{folder}/run.toml".encode()]:
                    status = (each / "status").read_text(encoding="ascii")
                    found = re.search(r"VmRSS:\s+(\d+)", status)
                    seen += [int(found.group(1)) / 1024] if found else []
            except OSError:
                continue


if __name__ == "__main__":
    main()
