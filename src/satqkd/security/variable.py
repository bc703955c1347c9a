r"""Variable-length key from the entropic uncertainty relation, coherent attacks, one or two decoys.

.. math:: \ell = \Big\lfloor n\,[1-h(e_{ph})] + n_0 - \lambda_{EC}-2\log_2\frac{1}{2\varepsilon_{PA}}
    -\log_2\frac{2}{\varepsilon_{EV}} \Big\rfloor, \qquad
    \varepsilon_{tot}=2\varepsilon_{AT}+\varepsilon_{PA}+\varepsilon_{EV}

Every bound on photons or errors may fail; the failures together have probability at most
:math:`\varepsilon_{AT}^2`. Here is `sharp`, the default: Clopper-Pearson, exact hypergeometric, only the
one-sided events that are used. Bases and classes must stay unsaid until the block's last slot. A source of
three classes is analysed with two decoys, one of two classes with one: the source decides, no count does.
Which step is proved where: docs/design/bounds.md. Source: Tupkary et al., Quantum 9, 1937 (2025).
"""

import math

import msgspec
import numpy as np

from satqkd.records import CLASS_NAMES, DECOY
from satqkd.security import decoy, tails
from satqkd.security.problem import BasisCounts, BasisProblem, Terms
from satqkd.security.receiver import ReceiverModel
from satqkd.security.source import Floats, SourceModel
from satqkd.security.statements import Statements

PRIVACY_SHARE = 1 / 64
"""Of a basis's epsilon_secrecy: privacy amplification pays two bits for each halving, the estimate more."""


class Budget(msgspec.Struct, frozen=True):
    """One basis's epsilon: a share for privacy amplification, the rest for the estimate, counted twice."""

    epsilon_pa: float
    epsilon_at: float
    events: int
    """Statements whose failures are summed: one-sided here, two-sided in the published form."""

    @property
    def epsilon_event(self) -> float:
        """Failure probability of each statement."""
        return self.epsilon_at**2 / self.events


def budget(epsilon_secrecy: float, *, events: int) -> Budget:
    """The split of one basis's epsilon, a constant of the software."""
    amplification = PRIVACY_SHARE * epsilon_secrecy
    return Budget(epsilon_pa=amplification, epsilon_at=(epsilon_secrecy - amplification) / 2, events=events)


def sharp(problem: BasisProblem) -> Terms:
    """The default bound; see the module and docs/design/bounds.md. Deterministic in its argument."""
    split = budget(problem.epsilon_secrecy, events=sharp_events(problem))
    return length(problem, split, sharp_estimate(problem, epsilon_event=split.epsilon_event))


def sharp_estimate(problem: BasisProblem, *, epsilon_event: float) -> Terms:
    """Single photons and phase errors, every statement failing with probability <= epsilon_event.

    `keyed_single_photons` is a whole number n; `phase_errors` bounds the X errors of any n keyed single
    photons picked at random. `statements` holds each statement that was made.
    """
    say = Statements(allowed=sharp_events(problem), epsilon=epsilon_event)
    key, test = (
        _single_photons(problem, counts, where, say)
        for counts, where in ((problem.key, "key basis"), (problem.test, "test basis"))
    )
    keyed = _keyed(problem, key["single_photons"], photons=1, say=say)
    vacuum = _keyed(problem, _vacuum_lower(problem, say), photons=0, say=say) if problem.vacuum_credit else 0
    if problem.contradicts(keyed=keyed + vacuum, test_singles=test["single_photons"]):
        keyed = vacuum = 0
    test_errors = _test_errors(problem, say)
    sampled = say.phase_errors_upper("phase errors", test_errors, test["single_photons"], keyed)
    phase_errors = _with_mismatch(sampled, keyed, problem.receiver, say)
    return {
        **key,
        "keyed_single_photons": keyed,
        "vacuum": vacuum,
        **{f"test_{name}": value for name, value in test.items()},
        "test_single_photon_errors": test_errors,
        "phase_errors": phase_errors,
        "phase_error_rate": phase_errors / keyed if keyed else 0.5,
        "statements": say.made,
        "weights": _weights_used(problem.source),
    }


def sharp_events(problem: BasisProblem) -> int:
    """Statements `sharp` relies on; see `events_of`."""
    return events_of(problem.source, problem.keyed, problem.receiver, vacuum_credit=problem.vacuum_credit)


def events_of(
    source: SourceModel, keyed: tuple[bool, ...], receiver: ReceiverModel, *, vacuum_credit: bool = False
) -> int:
    """Statements of the default bound: a function of the settings alone, counted in docs/design/bounds.md."""
    if source.classes == 2:
        _, empty = decoy.single_photon_weights_one_decoy(source)
        per_set = 1 + 2 * (empty > 0)
    else:
        per_set = _statements(decoy.single_photon_weights(source))
    errors = _statements(decoy.single_photon_error_weights(source))
    share = int(source.share_of(keyed, 1) < 1.0)
    if vacuum_credit:
        share += _statements(decoy.vacuum_weights(source)) + (source.share_of(keyed, 0) < 1.0)
    return 2 * per_set + errors + 1 + share + 2 * (not receiver.matched)


def length(problem: BasisProblem, split: Budget, terms: Terms) -> Terms:
    """The sum of the module's formula, each part named."""
    entropy = terms["keyed_single_photons"] * tails.secret_fraction(terms["phase_error_rate"])
    entropy += terms.get("vacuum", 0)
    amplification = 2 * math.log2(1 / (2 * split.epsilon_pa))
    verification = math.log2(2 / problem.epsilon_correctness)
    bits = entropy - problem.leaked_bits - amplification - verification
    return {
        "secret_bits": max(0, math.floor(bits)),
        **terms,
        "entropy_bits": entropy,
        "leaked_bits": problem.leaked_bits,
        "amplification_bits": amplification,
        "verification_bits": verification,
        "epsilon_pa": split.epsilon_pa,
        "epsilon_at": split.epsilon_at,
        "epsilon_ev": problem.epsilon_correctness,
        "events": split.events,
        "epsilon_event": split.epsilon_event,
    }


def _single_photons(problem: BasisProblem, counts: BasisCounts, where: str, say: Statements) -> Terms:
    """Single photons of a set of detections, a whole number; with one decoy also its empty pulses."""
    if problem.source.classes == 3:
        weights = decoy.single_photon_weights(problem.source)
        singles = _at_least(weights, counts.detections, f"detections in {where}", say)
        return {"single_photons": max(0, math.floor(singles))}
    weights, empty = decoy.single_photon_weights_one_decoy(problem.source)
    vacuum = _vacuum_upper(problem, counts, where, say) if empty > 0 else 0
    singles = _at_least(weights, counts.detections, f"detections in {where}", say) - empty * vacuum
    return {"single_photons": max(0, math.floor(singles)), "vacuum_upper": vacuum}


def _vacuum_lower(problem: BasisProblem, say: Statements) -> int:
    """Empty pulses of the key basis: what Eve sent in their place tells nothing of the sender's bit."""
    weights, counts = decoy.vacuum_weights(problem.source), problem.key.detections
    return max(0, math.floor(_at_least(weights, counts, "detections in key basis, for the vacuum", say)))


def _vacuum_upper(problem: BasisProblem, counts: BasisCounts, where: str, say: Statements) -> int:
    r"""Empty pulses at most. A fair coin decides which are errors, and those lie within the decoy's errors.

    The decoy is not keyed, so its errors are of revealed rounds: :math:`m^*_2 \ge q_{2|0} M_0`.
    """
    seen, of = float(counts.errors[DECOY]), float(counts.detections.sum())
    mean = say.mean_upper(f"errors in {where}, decoy", seen, of)
    wrong = mean / problem.source.share_of((False, True), 0)
    vacuum = say.trials_upper(f"empty pulses in {where}", math.floor(wrong), 0.5)
    return min(int(counts.detections.sum()), vacuum)


def _at_least(weights: Floats, counts: Floats, what: str, say: Statements) -> float:
    r""":math:`\sum_k v_k n^*_k` from below. All means sum to the count itself, which spares the signal's."""
    total = float(counts.sum())
    value = float(weights[0]) * total
    for k in range(1, weights.size):
        weight = float(weights[k] - weights[0])
        mean = say.mean_lower if weight > 0 else say.mean_upper
        if weight != 0:
            value += weight * mean(f"{what}, {CLASS_NAMES[k]}", float(counts[k]), total)
    return value


def _statements(weights: Floats) -> int:
    """Statements that `_at_least` makes."""
    return int(np.count_nonzero(weights[1:] - weights[0]))


def _test_errors(problem: BasisProblem, say: Statements) -> int:
    """Single-photon errors of the test basis, never more than all its errors (which needs no statement)."""
    errors = problem.test.errors
    weights = decoy.single_photon_error_weights(problem.source)
    most = -_at_least(-weights, errors, "errors in test basis", say)
    return math.floor(min(float(errors.sum()), max(0.0, most)))


def _keyed(problem: BasisProblem, events: int, *, photons: int, say: Statements) -> int:
    share = problem.keyed_share(photons)
    what = "keyed single photons" if photons else "keyed empty pulses"
    return events if share == 1.0 else say.binomial_lower(what, events, share)


def _with_mismatch(errors: int, rounds: int, receiver: ReceiverModel, say: Statements) -> int:
    r"""Phase errors of key rounds whose bases may detect unequally.

    .. math:: e_{ph} = \frac{e + \delta_1 + \gamma(\delta_1)}{1 - \delta_2 - \gamma(\delta_2)}

    with both binomial fluctuations exact; two statements.
    """
    if receiver.matched or rounds == 0:
        return errors
    more = say.binomial_upper("errors by unequal detectors", rounds, min(1.0, receiver.delta_errors))
    lost = say.binomial_upper("rounds by unequal detectors", rounds, min(1.0, receiver.delta_loss))
    left = rounds - lost
    return rounds if left <= 0 else min(rounds, math.ceil(rounds * (errors + more) / left))


def _weights_used(source: SourceModel) -> dict[str, list[float]]:
    """The decoy inequalities as numbers, for whoever recomputes the length by hand."""
    errors = decoy.single_photon_error_weights(source).tolist()
    if source.classes == 3:
        return {"single_photons": decoy.single_photon_weights(source).tolist(), "errors": errors}
    weights, empty = decoy.single_photon_weights_one_decoy(source)
    return {"single_photons": weights.tolist(), "empty_pulses": [empty], "errors": errors}
