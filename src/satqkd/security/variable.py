r"""Variable-length key from the entropic uncertainty relation, two decoys, coherent attacks.

.. math:: \ell = \Big\lfloor n\,[1-h(e_{ph})]-\lambda_{EC}-2\log_2\frac{1}{2\varepsilon_{PA}}
    -\log_2\frac{2}{\varepsilon_{EV}} \Big\rfloor, \qquad
    \varepsilon_{tot}=2\varepsilon_{AT}+\varepsilon_{PA}+\varepsilon_{EV}

Every bound on photons or errors may fail; the failures together have probability at most
:math:`\varepsilon_{AT}^2`. Two forms: `sharp` (Clopper-Pearson, exact hypergeometric, only the one-sided
events that are used) and `published` (Hoeffding, Serfling; Tupkary et al., Quantum 9, 1937 (2025), ideal
detectors). Both need bases and classes unsaid until the block's last slot. Which step is proved where:
docs/design/bounds.md.
"""

import math

import msgspec
import numpy as np

from satqkd.security import decoy, tails
from satqkd.security.decoy import Expectations, Floats
from satqkd.security.problem import BasisProblem, Terms


class Budget(msgspec.Struct, frozen=True):
    """One basis's epsilon, half for privacy amplification, half for the estimate."""

    epsilon_pa: float
    epsilon_at: float
    events: int
    """One-sided (sharp) or two-sided (published) statements whose failures are summed."""

    @property
    def epsilon_event(self) -> float:
        """Failure probability of each statement."""
        return self.epsilon_at**2 / self.events


def sharp(problem: BasisProblem) -> Terms:
    """The default bound; see the module and docs/design/bounds.md. Deterministic in its argument."""
    budget = _budget(problem, events=sharp_events(problem))
    return _length(problem, budget, sharp_estimate(problem, epsilon_event=budget.epsilon_event))


def sharp_estimate(problem: BasisProblem, *, epsilon_event: float) -> Terms:
    """Single photons and phase errors, every statement failing with probability <= epsilon_event.

    `keyed_single_photons` is a whole number n; `phase_errors` bounds the X errors of any n keyed single
    photons picked at random.
    """
    eps = epsilon_event
    singles = math.floor(decoy.single_photons_lower(problem.source, _sharp_counts(problem, problem.key, eps)))
    keyed = _keyed_singles_sharp(problem, singles, eps)
    test = _sharp_counts(problem, problem.test.detections, eps)
    test_singles = math.floor(decoy.single_photons_lower(problem.source, test))
    if problem.contradicts(keyed_singles=keyed, test_singles=test_singles):
        keyed = 0
    test_errors = math.floor(_sharp_test_errors(problem, eps))
    phase_errors = tails.phase_errors_upper(test_errors, test_singles, keyed, epsilon=eps)
    return {
        "single_photons": singles,
        "keyed_single_photons": keyed,
        "test_single_photons": test_singles,
        "test_single_photon_errors": test_errors,
        "phase_errors": phase_errors,
        "phase_error_rate": phase_errors / keyed if keyed else 0.5,
    }


def published(problem: BasisProblem) -> Terms:
    r"""The published form: two-sided Hoeffding per class and set, Serfling for the phase error.

    .. math:: e_{ph} = \frac{m_{X,1}}{n_{X,1}} + \sqrt{\frac{\ln(1/\varepsilon_a)}{f}}, \qquad
        f = \frac{n_K n_X^2}{(n_K+n_X)(n_X+1)}, \qquad \varepsilon_{AT}^2 = 9\varepsilon_d^2+\varepsilon_a^2
    """
    split = problem.keyed_share(1) < 1.0
    budget = _budget(problem, events=10 + split)
    eps = budget.epsilon_event
    singles = decoy.single_photons_lower(problem.source, _hoeffding(problem.key, eps))
    keyed = singles
    if split:
        keyed = problem.keyed_share(1) * singles - tails.hoeffding_width(singles, epsilon=eps)
    test_singles = decoy.single_photons_lower(problem.source, _hoeffding(problem.test.detections, eps))
    if problem.contradicts(keyed_singles=keyed, test_singles=test_singles):
        keyed = 0.0
    test_errors = decoy.single_photon_errors_upper(problem.source, _hoeffding(problem.test.errors, eps))
    terms: Terms = {
        "single_photons": singles,
        "keyed_single_photons": max(0.0, keyed),
        "test_single_photons": test_singles,
        "test_single_photon_errors": test_errors,
        "phase_error_rate": _serfling_rate(test_errors, test_singles, keyed, eps),
    }
    return _length(problem, budget, terms)


def sharp_events(problem: BasisProblem) -> int:
    """Statements `sharp` relies on; a function of the settings alone.

    Per set of detections: decoy from below, signal and vacuum from above, vacuum from below, and the decoy
    from above when the third class is not empty; two for test errors, one for the phase error, one for the
    keyed classes' share when another class can hold a single photon.
    """
    per_set = 4 if problem.source.intensities[2] == 0 else 5
    return 2 * per_set + 2 + 1 + (problem.keyed_share(1) < 1.0)


def _budget(problem: BasisProblem, *, events: int) -> Budget:
    half = problem.epsilon_secrecy / 2
    return Budget(epsilon_pa=half, epsilon_at=half / 2, events=events)


def _sharp_counts(problem: BasisProblem, counts: Floats, eps: float) -> Expectations:
    n = float(counts.sum())
    lower, upper = np.full(3, np.nan), np.full(3, np.nan)
    for k in (1, 2):
        lower[k] = tails.mean_lower(float(counts[k]), n, epsilon=eps)
    for k in (0, 2) if problem.source.intensities[2] == 0 else (0, 1, 2):
        upper[k] = tails.mean_upper(float(counts[k]), n, epsilon=eps)
    return Expectations(lower, upper)


def _sharp_test_errors(problem: BasisProblem, eps: float) -> float:
    """Single-photon errors of the test basis, never more than all its errors (which needs no statement)."""
    errors = problem.test.errors
    m = float(errors.sum())
    lower, upper = np.full(3, np.nan), np.full(3, np.nan)
    upper[1] = tails.mean_upper(float(errors[1]), m, epsilon=eps)
    lower[2] = tails.mean_lower(float(errors[2]), m, epsilon=eps)
    return min(m, decoy.single_photon_errors_upper(problem.source, Expectations(lower, upper)))


def _keyed_singles_sharp(problem: BasisProblem, singles: int, eps: float) -> int:
    share = problem.keyed_share(1)
    return singles if share == 1.0 else tails.binomial_lower(singles, share, epsilon=eps)


def _hoeffding(counts: Floats, eps: float) -> Expectations:
    width = tails.hoeffding_width(float(counts.sum()), epsilon=eps / 2)
    return Expectations(np.maximum(0.0, counts - width), counts + width)


def _serfling_rate(test_errors: float, test_singles: float, keyed: float, eps: float) -> float:
    if test_singles <= 0 or keyed <= 0:
        return 0.5
    f = keyed * test_singles**2 / ((keyed + test_singles) * (test_singles + 1))
    gamma = math.sqrt(0.5 * math.log(1 / eps) / f)  # eps is epsilon_a squared
    return min(1.0, test_errors / test_singles + gamma)


def _length(problem: BasisProblem, budget: Budget, terms: Terms) -> Terms:
    """The sum of the module's formula, each part named."""
    entropy = terms["keyed_single_photons"] * tails.secret_fraction(terms["phase_error_rate"])
    amplification = 2 * math.log2(1 / (2 * budget.epsilon_pa))
    verification = math.log2(2 / problem.epsilon_correctness)
    length = entropy - problem.leaked_bits - amplification - verification
    return {
        "secret_bits": max(0, math.floor(length)),
        **terms,
        "entropy_bits": entropy,
        "leaked_bits": problem.leaked_bits,
        "amplification_bits": amplification,
        "verification_bits": verification,
        "epsilon_pa": budget.epsilon_pa,
        "epsilon_at": budget.epsilon_at,
        "epsilon_ev": problem.epsilon_correctness,
        "events": budget.events,
        "epsilon_event": budget.epsilon_event,
    }
