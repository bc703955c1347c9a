r"""The satellite literature's bound: Lim et al., PRA 89, 022307 (2014), two decoys, Hoeffding.

.. math:: \ell=s_0+s_1[1-h(\phi)]-\lambda_{EC}-6\log_2\frac{21}{\varepsilon_{sec}}
    -\log_2\frac{2}{\varepsilon_{cor}}

Kept to compare with published figures. Its theorem is for a length and thresholds fixed beforehand; fed
with observed counts, as here and in most planners, it is an estimate. When only some classes are keyed,
the vacuum term is dropped and one Hoeffding statement bounds their share of the single photons: 22 for 21.
"""

import math

import numpy as np

from satqkd.security import tails
from satqkd.security.problem import BasisProblem, Terms
from satqkd.security.published import single_photon_errors_upper, single_photons_lower, vacuum_lower
from satqkd.security.source import Floats

_TERMS = 21


def lim2014(problem: BasisProblem) -> Terms:
    """Terms of the length for one keyed basis; never raises for counts of zero."""
    split = problem.keyed_share(1) < 1.0
    eps = problem.epsilon_secrecy / (_TERMS + split)
    key = _hoeffding(problem.key.detections, eps)
    vacuum = vacuum_lower(problem.source, *key) if problem.keyed_share(0) == 1.0 else 0.0
    singles = single_photons_lower(problem.source, *key)
    keyed = singles
    if split:
        width = tails.hoeffding_width(singles, epsilon=eps)
        keyed = max(0.0, problem.keyed_share(1) * singles - width)
    test_singles = single_photons_lower(problem.source, *_hoeffding(problem.test.detections, eps))
    if problem.contradicts(keyed=keyed, test_singles=test_singles):
        keyed = vacuum = 0.0
    test_errors = single_photon_errors_upper(problem.source, *_hoeffding(problem.test.errors, eps))
    rate = phase_error_rate(test_errors, test_singles, keyed, epsilon=eps)
    entropy = vacuum + keyed * tails.secret_fraction(rate)
    amplification = 6 * math.log2(1 / eps)
    verification = math.log2(2 / problem.epsilon_correctness)
    length = entropy - problem.leaked_bits - amplification - verification
    return {
        "secret_bits": max(0, math.floor(length)),
        "vacuum": vacuum,
        "single_photons": singles,
        "keyed_single_photons": keyed,
        "test_single_photons": test_singles,
        "test_single_photon_errors": test_errors,
        "phase_error_rate": rate,
        "entropy_bits": entropy,
        "leaked_bits": problem.leaked_bits,
        "amplification_bits": amplification,
        "verification_bits": verification,
        "events": _TERMS + split,
        "epsilon_event": eps,
    }


def phase_error_rate(
    test_errors: float, test_singles: float, keyed_singles: float, *, epsilon: float
) -> float:
    r"""Observed rate b plus Fung's correction, 0.5 where the formula has no meaning.

    .. math:: \gamma=\sqrt{\frac{(c+d)(1-b)b}{cd\ln2}\log_2\frac{c+d}{cd(1-b)b\,\varepsilon^2}}

    with c, d the single photons keyed and tested. No error seen is taken as one: at b = 0 the
    formula would claim certainty.
    """
    if test_singles <= 1 or keyed_singles <= 0:
        return 0.5
    b, c, d = max(test_errors, 1.0) / test_singles, keyed_singles, test_singles
    if b >= 0.5:
        return 0.5
    spread = (c + d) * (1 - b) * b / (c * d * math.log(2))
    tail = (c + d) / (c * d * (1 - b) * b * epsilon**2)
    # Samples so small that this logarithm is not positive hold no key anyway.
    return b + math.sqrt(spread * math.log2(tail)) if tail > 1 else 0.5


def _hoeffding(counts: Floats, eps: float) -> tuple[Floats, Floats]:
    width = tails.hoeffding_width(float(counts.sum()), epsilon=eps)
    return np.maximum(0.0, counts - width), counts + width
