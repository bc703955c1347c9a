r"""The satellite literature's bound: Lim et al., PRA 89, 022307 (2014), two decoys, Hoeffding.

.. math:: \ell=s_0+s_1[1-h(\phi)]-\lambda_{EC}-6\log_2\frac{21}{\varepsilon_{sec}}
    -\log_2\frac{2}{\varepsilon_{cor}}

Kept to compare with published figures. Its theorem is for a length and thresholds fixed beforehand; fed
with observed counts, as here and in most planners, it is an estimate. When only some classes are keyed,
the vacuum term is dropped and one Hoeffding statement bounds their share of the single photons: 22 for 21.
"""

import numpy as np

from satqkd.security import tails
from satqkd.security.fixed_length import length_terms
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
    return length_terms(
        vacuum_bits=vacuum,
        keyed_singles=keyed,
        test_singles=test_singles,
        test_errors=test_errors,
        leaked_bits=problem.leaked_bits,
        epsilon_event=eps,
        epsilon_correctness=problem.epsilon_correctness,
        events=_TERMS + split,
    ) | {"single_photons": singles, "keyed_single_photons": keyed}


def _hoeffding(counts: Floats, eps: float) -> tuple[Floats, Floats]:
    width = tails.hoeffding_width(float(counts.sum()), epsilon=eps)
    return np.maximum(0.0, counts - width), counts + width
