"""The key an endless block of the same statistics would give: decoy inversion without fluctuations.

No epsilon, no security statement: a ceiling to compare the finite bounds with, and a planner's first guess.
"""

import math

from satqkd.security import decoy, tails
from satqkd.security.problem import BasisCounts, BasisProblem, Terms


def asymptotic(problem: BasisProblem) -> Terms:
    """Terms of the length for one keyed basis: share of single photons x (1 - h(e)) - leak."""
    singles, test_singles = (_single_photons(problem, counts) for counts in (problem.key, problem.test))
    most = float(decoy.single_photon_error_weights(problem.source) @ problem.test.errors)
    errors = min(float(problem.test.errors.sum()), max(0.0, most))
    rate = min(0.5, errors / test_singles) if test_singles > 0 else 0.5
    keyed = min(problem.keyed_share(1) * singles, problem.keyed_detections)
    entropy = keyed * tails.secret_fraction(rate)
    return {
        "secret_bits": max(0, math.floor(entropy - problem.leaked_bits)),
        "single_photons": singles,
        "keyed_single_photons": keyed,
        "test_single_photons": test_singles,
        "test_single_photon_errors": errors,
        "phase_error_rate": rate,
        "entropy_bits": entropy,
        "leaked_bits": problem.leaked_bits,
    }


def _single_photons(problem: BasisProblem, counts: BasisCounts) -> float:
    if problem.source.classes == 3:
        return max(0.0, float(decoy.single_photon_weights(problem.source) @ counts.detections))
    weights, empty = decoy.single_photon_weights_one_decoy(problem.source)
    vacuum = 2 * float(min(counts.errors / problem.source.class_share(0)))
    return max(0.0, float(weights @ counts.detections) - empty * vacuum)
