"""The budget of the published Micius pass over Xinglong: prints where its light goes, saves the picture.

python examples/budget_picture.py [FIGURE.png]
"""

import sys
from pathlib import Path

import satqkd
from satqkd.show import plot_budget

AT_UTC = "2016-12-19T16:52:13Z"
PARTS = ("diffraction", "pointing", "atmosphere", "cloud", "receiver", "calibration", "detector", "total")


def main(figure_path: Path) -> None:
    contact = satqkd.contact_of(satqkd.satellite("micius"), satqkd.station("xinglong"), AT_UTC)
    budget = satqkd.link_budget(contact, step_s=1.0)
    top = int(budget["elevation_deg"].argmax())
    print(f"culmination: {budget['elevation_deg'][top]:.1f} deg, {budget['range_km'][top]:.0f} km")
    print("part           loss then (dB)   at the first pulse (dB)")
    for part in PARTS:
        column = budget[f"{part}_db"]
        print(f"{part:12s} {column[top]:16.1f} {column[0]:25.1f}")
    print(f"Doppler shift: {budget['doppler_pm'].min():.1f} to {budget['doppler_pm'].max():.1f} pm")
    print(f"sifted in all: {budget['expected_sifted_hz'].sum() / 1e6:.2f} Mbit")
    print(f"figure: {plot_budget(figure_path, contact, seed=1)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("budget_picture.png"))
