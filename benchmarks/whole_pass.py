"""A whole pass in memory: real-time factor, and how long each end works on it.

One process steps both terminals; the reference is the pass' own duration. Prints one line a pass.

    python benchmarks/whole_pass.py
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import satqkd
from satqkd.mission import contact_of, fly, presets
from satqkd.mission.files import read_protocol

PASSES = (("micius", "xinglong", "2016-12-19T16:52:13Z"), ("jinan-1", "stellenbosch", None))


def main() -> None:
    print(f"satqkd {satqkd.__version__}: whole passes in memory, one process")
    print(
        f"{'pass':28s} {'pass s':>8s} {'wall s':>8s} {'ratio':>8s} {'sifted bits':>12s} {'secret bits':>12s}"
    )
    for satellite, station, at_utc in PASSES:
        contact = contact_of(presets.satellite(satellite), presets.station(station), at_utc)
        with TemporaryDirectory() as scratch:
            began = time.perf_counter()
            report = fly(contact, read_protocol(None), Path(scratch), seed=1)
            wall_s = time.perf_counter() - began
        ratio = report.duration_s / wall_s
        name = f"{satellite} over {station}"
        print(
            f"{name:28s} {report.duration_s:8.1f} {wall_s:8.1f} {ratio:7.1f}x "
            f"{report.sifted_bits:12d} {report.secret_bits:12d}"
        )


if __name__ == "__main__":
    main()
