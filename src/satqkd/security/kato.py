r"""Kato's inequality class by class: a published tail to check `variable-martingale` by, streamed or not.

Each expected count is bounded from the announced one over the block's slots, a number fixed beforehand. In
the order "photon number and event first, class second" the expectations sum to
:math:`\sum_n q_{k|n}N_{O,n}` with true numbers N, so the decoy formulas of `published` hold unchanged. Phase
errors need no bound of test-basis single photons, because the chance t that a wrong single photon is a test
round is known: with m of them tested,

.. math:: N_{ph} \le A^U(m)/t' - m, \qquad t' = \frac{t}{t+(1-t)\,\sum_{keyed} q_{k|1}} ,

at the largest m, which all classes' errors together never exceed. Guesses come from foretold counts and
nowhere else. The length is that of `variable`. What of it is published: docs/design/martingale.md.
"""

import numpy as np

from satqkd.errors import ConfigError
from satqkd.security import adaptive, decoy
from satqkd.security.martingale import known_test_share
from satqkd.security.problem import BasisProblem, Terms
from satqkd.security.published import single_photon_errors_upper, single_photons_lower
from satqkd.security.source import Floats
from satqkd.security.variable import budget, length
from satqkd.security.weight_choice import Foretold


def kato(problem: BasisProblem) -> Terms:
    """Terms of the length for one keyed basis.

    Raises ConfigError without `problem.foretold` and `problem.pulses`, the slots of the block.
    """
    foretold, slots = _fixed_beforehand(problem)
    share = known_test_share(problem)
    split = budget(problem.epsilon_secrecy, events=kato_events(problem))
    eps = split.epsilon_event
    singles = single_photons_lower(
        problem.source, *_expected(problem.key.detections, foretold.detections, slots, eps)
    )
    keyed = _keyed(problem, singles, foretold, slots, eps)
    if problem.contradicts(keyed=keyed, test_singles=0.0):
        keyed = 0.0
    errors, guess = (
        _errors_upper(problem, counts, foretold, slots, eps)
        for counts in (problem.test.errors, foretold.errors)
    )
    wrong = adaptive.kato_upper(errors, slots, guess=min(guess, slots), epsilon=eps)
    phase_errors = max(0.0, wrong / _tested_share(problem, share[0]) - errors)
    terms: Terms = {
        "single_photons": singles,
        "keyed_single_photons": keyed,
        "test_single_photon_errors": errors,
        "phase_errors": phase_errors,
        "phase_error_rate": min(1.0, phase_errors / keyed) if keyed > 0 else 0.5,
        "test_share": list(share),
        "pulses": slots,
    }
    return length(problem, split, terms)


def kato_events(problem: BasisProblem) -> int:
    """Statements relied on: decoy and vacuum from below, vacuum and signal from above in the key basis; decoy
    from above and vacuum from below for test errors; phase errors. A vacuum that is none, and a class that is
    not keyed, need one more each."""
    return 7 + (problem.source.intensities[2] > 0) + (problem.keyed_share(1) < 1.0)


def _fixed_beforehand(problem: BasisProblem) -> tuple[Foretold, int]:
    if problem.foretold is None or problem.pulses is None:
        raise ConfigError(
            "variable-kato: expected planned rows and the number of pulses of the block, both fixed before "
            "it, got none; give key_length planned and pulses"
        )
    total = problem.key.detections.sum() + problem.test.detections.sum()
    if not problem.pulses >= total:
        raise ConfigError(
            f"pulses: expected at least the block's {total:.0f} detections, got {problem.pulses}"
        )
    return problem.foretold, problem.pulses


def _expected(counts: Floats, guesses: Floats, slots: int, eps: float) -> tuple[Floats, Floats]:
    """Lower and upper bounds of each class's expected count, shape (classes,)."""
    pairs = list(zip(counts.tolist(), np.minimum(guesses, slots).tolist(), strict=True))
    lower = [max(0.0, adaptive.kato_lower(x, slots, guess=g, epsilon=eps)) for x, g in pairs]
    upper = [adaptive.kato_upper(x, slots, guess=g, epsilon=eps) for x, g in pairs]
    return np.array(lower), np.array(upper)


def _errors_upper(problem: BasisProblem, counts: Floats, foretold: Foretold, slots: int, eps: float) -> float:
    """Test errors of single photons, at most; never more than all errors, which needs no statement."""
    most = single_photon_errors_upper(problem.source, *_expected(counts, foretold.errors, slots, eps))
    return min(float(counts.sum()), most)


def _keyed(problem: BasisProblem, singles: float, foretold: Foretold, slots: int, eps: float) -> float:
    share = problem.keyed_share(1)
    if share == 1.0:
        return singles
    guess = share * float(decoy.single_photon_weights(problem.source) @ foretold.detections)
    return adaptive.kato_count_lower(share * singles, slots, guess=min(max(guess, 0.0), slots), epsilon=eps)


def _tested_share(problem: BasisProblem, t: float) -> float:
    """Least chance that a wrong single photon, tested or keyed, is tested."""
    keyed = 1.0 - problem.source.share_of(tuple(not each for each in problem.keyed), 1)
    keyed = 1.0 if all(problem.keyed) else keyed
    return t / (t + (1 - t) * keyed)
