"""Fit the Micius loss of 19 December 2016: what `presets/stations/xinglong.toml` calls calibrated.

The published loss curve, digitised (QCompute QNET, Baidu, Apache-2.0; not shipped here), is fitted as

    loss = c + 20 log10(range / 1000 km) + a x airmass        (dB, without the detector)

with equal weight for each moment of the pass. Run with the path of a CSV of `range_km,loss_db`:

    python builders/fit_micius_loss.py micius2017_link_loss.csv
"""

import sys
from pathlib import Path

import numpy as np

from satqkd.mission import contact_of, presets
from satqkd.optics import airmass

MOMENT_UTC = "2016-12-19T16:52:13Z"


def fit(csv: Path) -> tuple[float, float, float]:
    """Constant, dB an airmass, and rms (dB) over the time of the pass."""
    lines = [line.split(",") for line in csv.read_text().splitlines() if line[:1].isdigit()]
    range_km, loss_db = np.array(lines, dtype=float).T
    contact = contact_of(presets.satellite("micius"), presets.station("xinglong"), MOMENT_UTC)
    course = contact.look
    rows = contact.quantum_rows
    air = airmass(course.elevation_rad[rows])
    published_db = np.interp(course.range_m[rows] / 1e3, range_km, loss_db)
    rest_db = published_db - 20 * np.log10(course.range_m[rows] / 1e6)
    design = np.stack([np.ones_like(air), air], axis=1)
    (constant, per_airmass), *_ = np.linalg.lstsq(design, rest_db, rcond=None)
    rms = float(np.sqrt(np.mean((design @ [constant, per_airmass] - rest_db) ** 2)))
    return float(constant), float(per_airmass), rms


def main() -> None:
    constant, per_airmass, rms = fit(Path(sys.argv[1]))
    satellite, station = presets.satellite("micius"), presets.station("xinglong")
    contact = contact_of(satellite, station, MOMENT_UTC)
    losses, course = contact.losses, contact.look
    # All but the calibration and the air; the filter's share of the Doppler shift moves by 0.004 dB.
    named = losses.diffraction_db + losses.pointing_db + losses.receiver_db
    fixed = float((named - 20 * np.log10(course.range_m / 1e6))[contact.quantum_rows].mean())
    print(f"{constant:.4f} dB + 20 log10(range / 1000 km) + {per_airmass:.4f} dB x airmass, rms {rms:.3f} dB")
    print(f"zenith_optical_depth = {per_airmass * np.log(10) / 10:.6f}")
    print(f"calibration_loss_db = {constant - fixed:.6f}")


if __name__ == "__main__":
    main()
