"""From the last photon to confirmed key, and what earlier key costs: whole passes in memory, virtual time.

The load: the part of Jinan-1 over Stellenbosch, above 39.5 degrees, that gives 3 Mbit sifted; a round trip of
10 ms, 10 Mbit/s down and 2 Mbit/s up. Flown with each announcement, number of blocks and block policy; the
first row is what key is lost against. Two rows more fly from 15 degrees on. Times are pass time, which
ticks of 50 ms grain; what the machine itself takes is told apart (`cpu_s`).

    python benchmarks/latency.py [--json FILE] [--plot FILE] [--jobs N] [--first N]

With --json, rows that the file holds already are not flown again.
"""

import argparse
import json
import math
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from satqkd.config import Protocol, Station
from satqkd.mission import Contact, contact_of, presets
from satqkd.mission.emulator import LinkEmulator
from satqkd.mission.run_pass import fly_terminals, open_stores, station_terminal
from satqkd.mission.satellite_end import satellite_terminal

LIGHT_TIME_S: Final = 0.005
LOAD_ELEVATION_DEG: Final = 39.5
BASIS_SPREAD: Final = 1e-3
"""Vouched for by the station, for the bound of the stream."""
DEFERRED: Final = {"announcement": "deferred", "bound": "variable-sharp"}
ALIKE: Final = {"announcement": "deferred", "bound": "variable-martingale"}
STREAMED: Final = {"announcement": "streamed", "bound": "variable-martingale", "announce_interval_s": 0.05}
BLOCKS: Final = {"equal-slots": (4, 2, 8), "first-key": (4, 2, 8), "equal-bits": (4, 2, 8)}
"""How many are flown with each policy, besides one."""


class Steady(Contact, frozen=True, eq=False):
    """A contact whose laser link always takes as long."""

    def light_time_s(self, now_s: float) -> float:
        """The load's."""
        return LIGHT_TIME_S


def rows() -> dict[str, dict[str, Any]]:
    """What is flown, by name: protocol settings, and from which elevation on."""
    load = {"minimum_elevation_deg": LOAD_ELEVATION_DEG}
    asked: dict[str, dict[str, Any]] = {
        f"{rules['announcement']}, {rules['bound']}, 1 block": load | rules | {"blocks": 1}
        for rules in (DEFERRED, ALIKE, STREAMED)
    }
    for rules in (STREAMED, DEFERRED):
        name = f"{rules['announcement']}, {rules['bound']}, 4 blocks, first-key, from 15 degrees"
        asked[name] = rules | {"minimum_elevation_deg": 15.0, "blocks": 4, "block_policy": "first-key"}
    for policy, several in BLOCKS.items():
        for blocks in several:
            for rules in (STREAMED, DEFERRED):
                name = f"{rules['announcement']}, {rules['bound']}, {blocks} blocks, {policy}"
                asked[name] = load | rules | {"blocks": blocks, "block_policy": policy}
    return asked


def ground(minimum_elevation_deg: float) -> Station:
    """The station of the load."""
    preset = presets.station("stellenbosch")
    limits = msgspec.structs.replace(preset.receiver.limits, basis_spread=BASIS_SPREAD)
    return msgspec.structs.replace(
        preset,
        receiver=msgspec.structs.replace(preset.receiver, limits=limits),
        lasercom=msgspec.structs.replace(preset.lasercom, rate_bit_s=2e6),
        minimum_elevation_rad=math.radians(minimum_elevation_deg),
    )


def timed(terminal: Any, spent_s: dict[str, float]) -> None:
    """Note what each kind of message takes an end, and its work with light."""
    receive, work = terminal.session.receive, terminal._work

    def receive_timed(data: bytes, now_s: float) -> Any:
        began = time.perf_counter()
        result = receive(data, now_s)
        kind = str(msgspec.msgpack.decode(data[:-16])[3][0])
        spent_s[f"{terminal.NODE}.{kind}"] += time.perf_counter() - began
        return result

    def work_timed(now_s: float) -> None:
        began = time.perf_counter()
        work(now_s)
        spent_s[f"{terminal.NODE}.light"] += time.perf_counter() - began

    terminal.session.receive, terminal._work = receive_timed, work_timed


def fly(asked: dict[str, Any]) -> dict[str, Any]:
    """One pass, as a row."""
    settings = dict(asked)
    station = ground(settings.pop("minimum_elevation_deg"))
    craft = presets.satellite("jinan-1")
    craft = msgspec.structs.replace(craft, lasercom=msgspec.structs.replace(craft.lasercom, rate_bit_s=1e7))
    protocol = Protocol(**settings)
    contact = contact_of(craft, station)
    steady = Steady(**{name: getattr(contact, name) for name in Contact.__struct_fields__})
    spent_s: dict[str, float] = defaultdict(float)
    with TemporaryDirectory() as scratch, open_stores(Path(scratch), contact, protocol) as (above, below):
        ends = (
            satellite_terminal(contact, protocol, above, seed=1),
            station_terminal(contact, protocol, below, seed=1),
        )
        for end in ends:
            timed(end, spent_s)
        report = fly_terminals(*ends, LinkEmulator(steady, seed=1), Path(scratch), seed=1)
    return asked | {
        "outcome": report.outcome,
        "detections": report.detections,
        "sifted_bits": report.sifted_bits,
        "secret_bits": report.secret_bits,
        "last_photon_to_key_s": report.timings_s["last_photon_to_key"],
        "first_key_after_start_s": report.timings_s["first_key_after_start"],
        "block_secret_bits": [block["secret_bits"] for block in report.blocks],
        "block_end_s": [ends[0].parameters.end_s(block) for block in range(protocol.blocks)],
        "stages": report.timings_s["stages"],
        "duration_s": report.duration_s,
        "cpu_s": dict(spent_s),
        "wall_s": report.timings_s["wall"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--first", type=int, help="rows of the table to fly; all by default")
    options = parser.parse_args()
    asked_rows = dict(list(rows().items())[: options.first])
    done: dict[str, Any] = {}
    if options.json is not None and options.json.exists():
        done = json.loads(options.json.read_text())
    waiting = {name: asked for name, asked in asked_rows.items() if name not in done}
    with ProcessPoolExecutor(max_workers=options.jobs) as pool:
        flights = {pool.submit(fly, asked): name for name, asked in waiting.items()}
        for flight in as_completed(flights):
            done[flights[flight]] = flight.result()
            if options.json is not None:
                options.json.write_text(json.dumps(done, indent=1))
    told = [(name, done[name]) for name in asked_rows]
    print_table(told)
    if options.plot is not None:
        plot(told, options.plot)


def print_table(told: list[tuple[str, dict[str, Any]]]) -> None:
    """A line a row; key lost against the first."""
    whole = told[0][1]["secret_bits"]
    print(
        f"{'flown':68s} {'last photon':>12s} {'first key':>10s} {'sifted':>9s} {'key':>9s} {'of row 1':>9s}"
    )
    for name, row in told:
        share = (
            f"{row['secret_bits'] / whole:9.3f}"
            if row["minimum_elevation_deg"] == LOAD_ELEVATION_DEG
            else f"{'':9s}"
        )
        last, first = (
            "-" if row[key] is None else f"{row[key]:.2f} s"
            for key in ("last_photon_to_key_s", "first_key_after_start_s")
        )
        print(f"{name:68s} {last:>12s} {first:>10s} {row['sifted_bits']:9d} {row['secret_bits']:9d} {share}")


def plot(told: list[tuple[str, dict[str, Any]]], path: Path) -> None:
    """Key against the first key's time."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    whole = told[0][1]["secret_bits"]
    figure, (first, last) = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
    marks = dict(zip(BLOCKS, "o^s", strict=True))
    for announcement, colour in (("deferred", "tab:blue"), ("streamed", "tab:red")):
        for policy in BLOCKS:
            mine = [
                row
                for _, row in told
                if row["minimum_elevation_deg"] == LOAD_ELEVATION_DEG
                and row["announcement"] == announcement
                and row.get("block_policy", "equal-slots") == policy
                and row["first_key_after_start_s"] is not None
                and row["last_photon_to_key_s"] is not None
            ]
            key = [100 * row["secret_bits"] / whole for row in mine]
            for axes, name in ((first, "first_key_after_start_s"), (last, "last_photon_to_key_s")):
                at_s = [row[name] for row in mine]
                axes.plot(at_s, key, marks[policy], color=colour, label=f"{announcement}, {policy}")
                for x, y, row in zip(at_s, key, mine, strict=True):
                    axes.annotate(str(row["blocks"]), (x, y), (3, 3), textcoords="offset points", fontsize=7)
    first.set(xlabel="first key after the first slot, s", ylabel="key, % of one deferred block")
    last.set(xlabel="last photon to confirmed key, s")
    first.legend(fontsize=7)
    figure.suptitle("Jinan-1 over Stellenbosch, 3 Mbit sifted; numbers: blocks", fontsize=9)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
