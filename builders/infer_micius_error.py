"""Infer the one error that Micius' published QBER leaves open: `optical_error` of the xinglong preset.

Published is the mean error rate of the pass, 1.1 % (Liao et al., Nature 549, 43 (2017)). Polarisation
contrast, residual angle, depolarisation, dark counts, sky, afterpulses and leaking neighbours are in the
presets; what is left is given to the receiver's optics, so that the expected mean meets the published one.
The ratio of sifted to detected is printed beside: it is not fitted, and limits the noise. Run without
arguments, after the loss was fitted (`fit_micius_loss.py`).
"""

import msgspec
from scipy.optimize import brentq

from satqkd.mission import Contact, contact_of, presets

MOMENT_UTC = "2016-12-19T16:52:13Z"
PUBLISHED_QBER = 0.011
PUBLISHED_RATIO = 1_671_072 / 3_551_136


def flown(optical_error: float) -> Contact:
    """The published pass, received with this error."""
    station = presets.station("xinglong")
    receiver = msgspec.structs.replace(station.receiver, optical_error=optical_error)
    station = msgspec.structs.replace(station, receiver=receiver)
    return contact_of(presets.satellite("micius"), station, MOMENT_UTC)


def main() -> None:
    error = brentq(lambda each: flown(each).expected_qber - PUBLISHED_QBER, 0.0, 0.02, xtol=1e-7)
    contact = flown(error)
    rates, rows = contact.rates, contact.quantum_rows
    ratio = float(rates.sifted_hz[rows].sum() / rates.detection_hz[rows].sum())
    print(f"optical_error = {error:.5f}")
    print(f"sifted over detected {ratio:.6f}, published {PUBLISHED_RATIO:.6f}")


if __name__ == "__main__":
    main()
