"""`variable-sharp` for searches: many settings a second, never more key than the bound itself gives.

Follows `variable.sharp_estimate` statement by statement with the tails of `surrogate`, which fall behind the
exact ones, and without rounding to whole photons, for which one photon is given away instead; so it changes
smoothly with settings. Nothing is distilled by it: what a search finds is recomputed with `key_length`.
"""

import math

from satqkd.records import DECOY
from satqkd.security import decoy, surrogate
from satqkd.security.problem import SecurityTargets
from satqkd.security.receiver import ReceiverModel
from satqkd.security.source import SourceModel
from satqkd.security.tails import secret_fraction
from satqkd.security.variable import budget, events_of

Numbers = list[float]


class QuickSharp:
    """The bound for one source, prepared once and asked for many tables of counts, of either basis.

    keyed: which classes are.  security: the share of one keyed basis.
    """

    def __init__(
        self, source: SourceModel, keyed: tuple[bool, ...], security: SecurityTargets, receiver: ReceiverModel
    ) -> None:
        self._keyed, self._receiver = keyed, receiver
        self._share = source.share_of(keyed, 1)
        self._errors = (-decoy.single_photon_error_weights(source)).tolist()
        if source.classes == 3:
            self._singles, self._empty = decoy.single_photon_weights(source).tolist(), 0.0
        else:
            weights, self._empty = decoy.single_photon_weights_one_decoy(source)
            self._singles = weights.tolist()
            self._decoy_share = source.share_of((False, True), 0)
        self.events = events_of(source, keyed, receiver)
        """Statements, as the bound counts them."""
        shares = budget(security.epsilon_secrecy, events=self.events)
        self._eps = shares.epsilon_event
        verification = math.log2(2 / security.epsilon_correctness)
        self._costs = 2 * math.log2(1 / (2 * shares.epsilon_pa)) + verification

    def bits(
        self, key: Numbers, key_errors: Numbers, test: Numbers, test_errors: Numbers, leaked_bits: float
    ) -> float:
        """Secret bits, below 0 where the costs exceed what is secret.  Lists of one number per class."""
        singles = self._single_photons(key, key_errors)
        test_singles = self._single_photons(test, test_errors)
        keyed = singles
        if self._share < 1.0:
            keyed = surrogate.binomial_lower(singles, self._share, epsilon=self._eps) - 1.0
        sifted = sum(n for n, member in zip(key, self._keyed, strict=True) if member)
        if keyed <= 0 or keyed > sifted or test_singles > sum(test):
            return -leaked_bits - self._costs
        most = -_at_least(self._errors, test_errors, self._eps)
        wrong = min(sum(test_errors), max(0.0, most))
        unseen = surrogate.phase_errors_upper(wrong, test_singles, keyed, epsilon=self._eps)
        rate = self._with_mismatch(unseen, keyed) / keyed
        return keyed * secret_fraction(min(rate, 0.5)) - leaked_bits - self._costs

    def _single_photons(self, counts: Numbers, errors: Numbers) -> float:
        found = _at_least(self._singles, counts, self._eps) - 1.0
        if self._empty > 0:
            total = sum(counts)
            wrong = surrogate.mean_upper(errors[DECOY], total, epsilon=self._eps) / self._decoy_share
            tosses = surrogate.trials_upper(wrong, probability=0.5, epsilon=self._eps)
            found -= self._empty * min(total, tosses)
        return max(0.0, found)

    def _with_mismatch(self, errors: float, rounds: float) -> float:
        if self._receiver.matched:
            return errors
        more, lost = (
            surrogate.binomial_upper(rounds, min(1.0, delta), epsilon=self._eps) + 1.0
            for delta in (self._receiver.delta_errors, self._receiver.delta_loss)
        )
        left = rounds - lost
        return rounds if left <= 0 else min(rounds, rounds * (errors + more) / left + 1.0)


def _at_least(weights: Numbers, counts: Numbers, eps: float) -> float:
    total = sum(counts)
    value = weights[0] * total
    for k in range(1, len(weights)):
        weight = weights[k] - weights[0]
        if weight > 0:
            value += weight * surrogate.mean_lower(counts[k], total, epsilon=eps)
        elif weight < 0:
            value += weight * surrogate.mean_upper(counts[k], total, epsilon=eps)
    return value
