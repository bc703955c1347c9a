"""Expected key of a month of night passes against their highest elevation: prints the table, saves a figure.

python examples/key_against_elevation.py [FIGURE.png]
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

import satqkd
from satqkd.mission.planning import find_pass_rows
from satqkd.sky import parse_utc

DAYS = 30


def main(figure_path: Path) -> None:
    satellite, station = satqkd.satellite("jinan-1"), satqkd.station("stellenbosch")
    start = parse_utc(satellite.reference_epoch_utc)
    rows = find_pass_rows(satellite, [station], start, days=DAYS, night=True)
    print("max elevation (deg)   expected key (kbit)")
    for row in sorted(rows, key=lambda each: each["max_elevation_deg"]):
        print(f"{row['max_elevation_deg']:19.1f}   {row['expected_secret_bits'] / 1e3:19.0f}")

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    elevations = [row["max_elevation_deg"] for row in rows]
    axes.plot(elevations, [row["expected_secret_bits"] / 1e3 for row in rows], "o")
    axes.set_xlabel("highest elevation, degrees")
    axes.set_ylabel("expected key, kbit")
    axes.set_title(f"{satellite.name} over {station.name}, night passes of {DAYS} days")
    axes.grid(alpha=0.3)
    figure.savefig(figure_path, dpi=120)
    print(f"figure: {figure_path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("key_against_elevation.png"))
