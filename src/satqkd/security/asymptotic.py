"""The key an endless block of the same statistics would give: decoy inversion without fluctuations.

No epsilon, no security statement: a ceiling to compare the finite bounds with, and a planner's first guess.
"""

import math

from satqkd.security import decoy, tails
from satqkd.security.decoy import Expectations
from satqkd.security.problem import BasisProblem, Terms


def asymptotic(problem: BasisProblem) -> Terms:
    """Terms of the length for one keyed basis: share of single photons x (1 - h(e)) - leak."""
    key, test = problem.key, problem.test
    singles = decoy.single_photons_lower(problem.source, Expectations(key, key))
    test_singles = decoy.single_photons_lower(problem.source, Expectations(test.detections, test.detections))
    errors = decoy.single_photon_errors_upper(problem.source, Expectations(test.errors, test.errors))
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
