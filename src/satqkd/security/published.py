r"""The variable-length bound as published: two-sided Hoeffding per class and set, Serfling for phases.

.. math:: e_{ph} = \frac{e_{X,1} + \gamma_S + \delta_1 + \gamma_B(\delta_1)}{1-\delta_2-\gamma_B(\delta_2)},
    \quad \gamma_S = \sqrt{\frac{\ln(1/\varepsilon_a)}{f}}, \quad f = \frac{n_K n_X^2}{(n_K+n_X)(n_X+1)},
    \quad \varepsilon_{AT}^2 = 9\varepsilon_d^2+\varepsilon_a^2+\varepsilon_b^2+\varepsilon_c^2

Tupkary et al., Quantum 9, 1937 (2025), two decoys, exact intensities. No vacuum credit. A ninth part of the
statements is spent on bounds that nothing uses; kept as it stands, to compare with papers and to fall back
on. One Hoeffding statement more when only some classes are keyed (ours).
"""

import math

import numpy as np

from satqkd.security import decoy, tails
from satqkd.security.problem import BasisProblem, Terms
from satqkd.security.receiver import ReceiverModel
from satqkd.security.source import Floats, SourceModel
from satqkd.security.variable import budget, length


def published(problem: BasisProblem) -> Terms:
    """Terms of the length for one keyed basis; see the module."""
    split = problem.keyed_share(1) < 1.0
    mismatch = 2 * (not problem.receiver.matched)
    shares = budget(problem.epsilon_secrecy, events=10 + split + mismatch)
    eps = shares.epsilon_event
    singles = single_photons_lower(problem.source, *_hoeffding(problem.key.detections, eps))
    keyed = singles
    if split:
        keyed = problem.keyed_share(1) * singles - tails.hoeffding_width(singles, epsilon=eps)
    test_singles = single_photons_lower(problem.source, *_hoeffding(problem.test.detections, eps))
    if problem.contradicts(keyed=keyed, test_singles=test_singles):
        keyed = 0.0
    test_errors = single_photon_errors_upper(problem.source, *_hoeffding(problem.test.errors, eps))
    rate = _serfling_rate(test_errors, test_singles, keyed, eps)
    terms: Terms = {
        "single_photons": singles,
        "keyed_single_photons": max(0.0, keyed),
        "test_single_photons": test_singles,
        "test_single_photon_errors": test_errors,
        "phase_error_rate": _with_mismatch(rate, keyed, problem.receiver, eps),
    }
    return length(problem, shares, terms)


def vacuum_lower(source: SourceModel, lower: Floats, upper: Floats) -> float:
    r"""Equation 2 of Lim et al., PRA 89, 022307 (2014): empty pulses, at least.

    .. math:: N_0 \ge \tau_0\,\frac{\mu_2 n^-_3 - \mu_3 n^+_2}{\mu_2-\mu_3}

    lower, upper: bounds of the expected counts, shape (3,), here and below.
    """
    return max(0.0, _combined(decoy.vacuum_weights(source), lower, upper))


def single_photons_lower(source: SourceModel, lower: Floats, upper: Floats) -> float:
    r"""Equation 3: single photons, at least. Vacuum counts enter twice, each time with their worse bound.

    .. math:: N_1 \ge \frac{\mu_1\tau_1}{\mu_1(\mu_2-\mu_3)-(\mu_2^2-\mu_3^2)}
        \Big[n^-_2-n^+_3-\frac{\mu_2^2-\mu_3^2}{\mu_1^2}\Big(n^+_1-\frac{N_0}{\tau_0}\Big)\Big]
    """
    mu1, mu2, mu3 = source.intensities
    low, high = source.weights * lower, source.weights * upper
    empty = vacuum_lower(source, lower, upper) / source.photon_probability(0)
    squares = mu2**2 - mu3**2
    bracket = float(low[1] - high[2] - squares / mu1**2 * (high[0] - empty))
    return max(0.0, mu1 * source.photon_probability(1) * bracket / (mu1 * (mu2 - mu3) - squares))


def single_photon_errors_upper(source: SourceModel, lower: Floats, upper: Floats) -> float:
    r"""Equation 4: errors of single photons, at most: :math:`\tau_1 (m^+_2 - m^-_3)/(\mu_2-\mu_3)`."""
    return max(0.0, -_combined(-decoy.single_photon_error_weights(source), lower, upper))


def _combined(weights: Floats, lower: Floats, upper: Floats) -> float:
    return float(np.where(weights > 0, weights * lower, weights * upper).sum())


def _hoeffding(counts: Floats, eps: float) -> tuple[Floats, Floats]:
    width = tails.hoeffding_width(float(counts.sum()), epsilon=eps / 2)
    return np.maximum(0.0, counts - width), counts + width


def _serfling_rate(test_errors: float, test_singles: float, keyed: float, eps: float) -> float:
    if test_singles <= 0 or keyed <= 0:
        return 0.5
    f = keyed * test_singles**2 / ((keyed + test_singles) * (test_singles + 1))
    gamma = math.sqrt(0.5 * math.log(1 / eps) / f)  # eps is epsilon_a squared
    return min(1.0, test_errors / test_singles + gamma)


def _with_mismatch(rate: float, keyed: float, receiver: ReceiverModel, eps: float) -> float:
    if receiver.matched or keyed < 1:
        return rate
    rounds = math.floor(keyed)
    more, lost = (
        tails.binomial_upper(rounds, min(1.0, delta), epsilon=eps) / rounds
        for delta in (receiver.delta_errors, receiver.delta_loss)
    )
    return min(1.0, (rate + more) / (1 - lost)) if lost < 1 else 1.0
