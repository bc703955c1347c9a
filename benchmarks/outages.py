"""What a cut of the laser link costs, by its length and moment: whole passes in memory, virtual time.

The load: Jinan-1 over Stellenbosch above 50 degrees, a tenth of its pulses, two blocks; 108 s of light.
Both ways are cut at once: in the light, a second before the first block's end, in the middle of that block's
bases, or a second before the last slot. Told are the times from the end of a block's light to its key, the
key, what was sent again, and the largest backlog of the station. With a source that forgets after 20 s, what
is asked too late is cut. Times are pass time, in ticks of 50 ms.

    python benchmarks/outages.py [--json FILE] [--plot FILE] [--jobs N] [--lengths 1 3 10 30 60]

With --json, rows that the file holds already are not flown again.
"""

import argparse
import json
import math
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from satqkd.config import Protocol
from satqkd.mission import contact_of, presets
from satqkd.mission.emulator import LinkEmulator
from satqkd.mission.run_pass import fly_terminals, open_stores, station_terminal
from satqkd.mission.satellite_end import satellite_terminal

PROTOCOL: Final = Protocol(blocks=2)
PULSE_RATE_HZ: Final = 62.5e6
ELEVATION_DEG: Final = 50.0
LENGTHS_S: Final = (1.0, 3.0, 10.0, 30.0, 60.0)
MOMENTS: Final = {
    "in the light": (0, -40.0),
    "at the first block's end": (0, -1.0),
    "in the first block's bases": (0, 0.45),
    "at the last slot": (1, -1.0),
}
"""Block, and when the cut begins against the end of its light, s."""
MEMORY_S: Final = 20.0
"""Of the source that forgets."""
Row = dict[str, Any]


def rows(lengths_s: list[float]) -> dict[str, Row]:
    """What is flown, by name; the first without a cut."""
    asked: dict[str, Row] = {"no cut": {"moment": None, "length_s": 0.0, "memory_s": None}}
    for moment in MOMENTS:
        for length_s in lengths_s:
            asked[f"{moment}, {length_s:g} s"] = {"moment": moment, "length_s": length_s, "memory_s": None}
    for length_s in lengths_s:
        name = f"in the light, {length_s:g} s, memory {MEMORY_S:g} s"
        asked[name] = {"moment": "in the light", "length_s": length_s, "memory_s": MEMORY_S}
    return asked


def fly(asked: Row) -> Row:
    """One pass, as a row."""
    craft, ground = presets.satellite("jinan-1"), presets.station("stellenbosch")
    source = msgspec.structs.replace(craft.source, pulse_rate_hz=PULSE_RATE_HZ)
    craft = msgspec.structs.replace(craft, source=source, source_memory_s=asked["memory_s"])
    ground = msgspec.structs.replace(ground, minimum_elevation_rad=math.radians(ELEVATION_DEG))
    contact = contact_of(craft, ground)
    backlog = 0
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a slow disk is no part of pass time
    with (
        TemporaryDirectory(dir=memory) as scratch,
        open_stores(Path(scratch), contact, PROTOCOL) as (above, below),
    ):
        satellite = satellite_terminal(contact, PROTOCOL, above, seed=1)
        station = station_terminal(contact, PROTOCOL, below, seed=1)
        ends_s = [satellite.parameters.end_s(block) for block in range(PROTOCOL.blocks)]
        cut = ()
        if asked["moment"] is not None:
            block, after_s = MOMENTS[asked["moment"]]
            cut = ((ends_s[block] + after_s, ends_s[block] + after_s + asked["length_s"]),)
        step = station.step

        def watched(now_s: float, datagrams: list[bytes]) -> list[bytes]:
            nonlocal backlog
            sent = step(now_s, datagrams)
            backlog = max(backlog, station.conversation.backlog)
            return sent

        station.step = watched  # type: ignore[method-assign]
        link = LinkEmulator(contact, seed=1, outages=cut)
        report = fly_terminals(satellite, station, link, Path(scratch), seed=1)
        confirmed_s = [satellite.report().confirmed_s.get(block) for block in range(PROTOCOL.blocks)]
        sent = {end.NODE: msgspec.to_builtins(end.report().link) for end in (satellite, station)}
    return asked | {
        "cut_s": list(cut[0]) if cut else None,
        "outcome": report.outcome,
        "detections": report.detections,
        "sifted_bits": report.sifted_bits,
        "secret_bits": report.secret_bits,
        "keys_match": report.keys_match,
        "block_key_after_s": [
            None if at_s is None else round(at_s - end_s, 3)
            for at_s, end_s in zip(confirmed_s, ends_s, strict=True)
        ],
        "frames": {name: each["frames"] for name, each in sent.items()},
        "resent": {name: each["resent"] for name, each in sent.items()},
        "largest_backlog": backlog,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--lengths", type=float, nargs="+", default=list(LENGTHS_S), metavar="S")
    options = parser.parse_args()
    done: dict[str, Row] = {}
    if options.json is not None and options.json.exists():
        done = json.loads(options.json.read_text())
    asked = rows(options.lengths)
    with ProcessPoolExecutor(max_workers=options.jobs) as pool:
        flights = {pool.submit(fly, row): name for name, row in asked.items() if name not in done}
        for flight in as_completed(flights):
            done[flights[flight]] = flight.result()
            if options.json is not None:
                options.json.write_text(json.dumps(done, indent=1))
    told = {name: done[name] for name in asked}
    print_table(told)
    if options.plot is not None:
        plot(told, options.plot)


def print_table(told: dict[str, Row]) -> None:
    """A line a row; key against the pass without a cut."""
    whole = told["no cut"]
    heads = ("key 1 after", "key 2 after", "detections", "key", "of whole", "again, sat.", "again, sta.")
    print(f"{'cut':46s}", *(f"{each:>12s}" for each in (*heads, "backlog")))
    for name, row in told.items():
        after = ["-" if each is None else f"{each:.2f} s" for each in row["block_key_after_s"]]
        again = [f"{row['resent'][end]}" for end in ("satellite", "station")]
        share = f"{row['secret_bits'] / whole['secret_bits']:.3f}"
        cells = (*after, row["detections"], row["secret_bits"], share, *again, row["largest_backlog"])
        print(f"{name:46s}", *(f"{each:>12}" for each in cells))


def plot(told: dict[str, Row], path: Path) -> None:
    """When the key of the block that the cut met is there, and how much key is left."""
    from matplotlib.figure import Figure

    from satqkd.show.style import BLUE, INK, MUTED, OCHRE, RED, heading, write_png

    colours = dict(zip(MOMENTS, (BLUE, RED, OCHRE, INK), strict=True))
    whole = told["no cut"]

    def draw(figure: Figure) -> None:
        late, kept = figure.subplots(1, 2)
        heading(
            figure,
            "What a cut of the laser link costs",
            "Jinan-1 over Stellenbosch above 50 degrees, two blocks; filled: a source that remembers all",
        )
        for moment, memory_s in (*((each, None) for each in MOMENTS), ("in the light", MEMORY_S)):
            mine = [row for row in told.values() if (row["moment"], row["memory_s"]) == (moment, memory_s)]
            lengths, met = [row["length_s"] for row in mine], MOMENTS[moment][0]
            style = {"color": colours[moment], "marker": "o", "markersize": 5}
            line, label = "-", moment
            if memory_s is not None:
                line, label, style["markerfacecolor"] = ":", f"{moment}, source forgets after 20 s", "white"
            after = [row["block_key_after_s"][met] for row in mine]
            late.plot(lengths, [math.nan if s is None else s for s in after], line, label=label, **style)
            share = [100 * row["secret_bits"] / whole["secret_bits"] for row in mine]
            kept.plot(lengths, share, line, **style)
        late.plot(LENGTHS_S, LENGTHS_S, "--", color=MUTED, linewidth=1, label="length of the cut")
        late.set(xscale="log", yscale="log", xlabel="length of the cut, s", title="Key of the block it met")
        late.set_ylabel("end of its light to confirmed key, s")
        late.set_ylim(0.8, 900)
        late.set_yticks([1, 3, 10, 30, 60], ["1", "3", "10", "30", "60"])
        kept.set(xscale="log", xlabel="length of the cut, s", title="Key of the pass")
        kept.set_ylabel("of a pass without a cut, %")
        kept.set_ylim(0, 105)
        for axes in (late, kept):
            axes.set_xticks(LENGTHS_S, [f"{each:g}" for each in LENGTHS_S])
            axes.minorticks_off()
        late.legend(fontsize=7.5, frameon=False, loc="upper left")

    write_png(path, draw)


if __name__ == "__main__":
    main()
