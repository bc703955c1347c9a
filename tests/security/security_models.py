"""Channels the tests of the security room share: expected counts, and the truth behind them."""

import math

import numpy as np

from satqkd.results import ClassCounts
from satqkd.security import ReceiverModel, SecurityTargets, SourceModel, expected_counts
from satqkd.security.problem import BasisCounts, BasisProblem
from satqkd.security.tails import binary_entropy

MICIUS = SourceModel((0.8, 0.1, 0.0), (0.5, 0.25, 0.25))
TARGETS = SecurityTargets(1e-9, 1e-15)
HALVES = {"Z": 0.25, "X": 0.25}
EVEN_RECEIVER = ReceiverModel(x_share=(0.5, 0.5))
"""Vouches for what every bound needs."""


def channel(source, *, transmittance, background, optical_error):
    """Gain and error rate per class of a fibre-like channel."""
    hit = -np.expm1(-np.array(source.intensities) * transmittance)
    gain = 1 - (1 - background) * (1 - hit)
    wrong = background / 2 + optical_error * hit
    return gain, np.divide(wrong, gain, out=np.zeros(3), where=gain > 0)


def micius_counts(*, background=3e-7, sifted=1_671_072, qber=0.011, pulses=2.73e10):
    """Rows with this many signal detections in both bases and this QBER among them."""
    signal_gain = sifted / 2 / (pulses * 0.25 * 0.5)
    transmittance = -math.log((1 - signal_gain) / (1 - background)) / 0.8
    optical = (qber * signal_gain - background / 2) / -math.expm1(-0.8 * transmittance)
    gain, error = channel(MICIUS, transmittance=transmittance, background=background, optical_error=optical)
    return expected_counts(pulses=pulses, source=MICIUS, gain=gain, error=error, matched_probability=HALVES)


def leak(counts: list[ClassCounts], classes=("signal",), efficiency=1.16) -> dict[str, int]:
    bits = {}
    for basis in ("Z", "X"):
        rows = [row for row in counts if row.basis == basis and row.class_name in classes]
        n, m = sum(row.detections for row in rows), sum(row.errors for row in rows)
        bits[basis] = math.ceil(efficiency * n * binary_entropy(m / n)) if n else 0
    return bits


def lim_problem() -> BasisProblem:
    """Vector R2: 1e10 pulses, 30 dB, Z keyed with probability 0.8 at both ends, every class keyed."""
    source = SourceModel((0.5, 0.1, 0.0), (0.75, 0.175, 0.075))
    gain, error = channel(source, transmittance=1e-3, background=1e-6, optical_error=0.005)
    sent = 1e10 * np.array(source.probabilities)
    # The vector's error rate leaves (1 - Y0) out of the optical part, as `channel` does.
    key, test = sent * 0.64 * gain, sent * 0.04 * gain
    wrong = float((key * error).sum())
    return BasisProblem(
        source=source,
        key=BasisCounts(key, key * error),
        test=BasisCounts(test, test * error),
        keyed=(True, True, True),
        leaked_bits=1.16 * float(key.sum()) * binary_entropy(wrong / float(key.sum())),
        epsilon_secrecy=1e-9,
        epsilon_correctness=1e-15,
    )


MAXIMUM_PHOTONS = 150
"""Photon numbers that `holds_from` tries before it gives up: above any useful source's, below 170!."""


def holds_from(first_photons: int, weights: np.ndarray, source: SourceModel, *, unit: float = 0.0) -> bool:
    r"""Whether :math:`\sum_k (v_k - u)\,w_{k,n} \le 0` for every n >= first and all intensities allowed.

    weights: v, shape (classes,).  unit: u. Photon numbers are tried until the brightest class with a weight
    outweighs all positive ones, from where on it does so ever more. False also when that never happens.
    """
    v = weights - unit
    members = np.flatnonzero(v)
    if members.size == 0:
        return True
    leader = members[0]
    if v[leader] > 0:
        return False
    for photons in range(first_photons, MAXIMUM_PHOTONS):
        low, high = source.joint_bounds(photons)
        gained = float(np.where(v > 0, v * high, 0.0).sum())
        if gained + float(np.where(v < 0, v * low, 0.0).sum()) > 0:
            return False
        # Means above n still rise with the intensity and means below fall: then no longer.
        outweighed = gained <= -v[leader] * float(low[leader]) and low[leader] > 0
        if photons >= source.intensities[0] and outweighed:
            return True
    return False
