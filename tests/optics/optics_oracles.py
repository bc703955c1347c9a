"""Closed forms that tests of this room compare with."""

import numpy as np
from scipy.special import erf


def gate_fraction(gate_s: float, *, jitter_s: float, pulse_width_s: float) -> float:
    """Share of tags inside a gate centred on their slot, Gaussian jitter alone: erf(T / (2 sqrt 2 sigma))."""
    sigma_s = np.hypot(jitter_s, pulse_width_s) / np.sqrt(8 * np.log(2))
    return float(erf(gate_s / (2 * np.sqrt(2) * sigma_s)))
