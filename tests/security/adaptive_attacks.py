"""Adversaries against weighted bounds: all of them by dynamic programming, some of them by dice.

A slot gives nothing, or n photons. With one photon Eve chooses whether the test basis would show an error,
label and class fall by chance; with any other number she knows the basis and chooses what happens, the class
falls by chance. She sees bases and classes of earlier slots, and may leave slots empty. What happened is a
tally; a bound adds it up with its weights to a sum that reaches L exactly where it claims more than is true.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from satqkd.security import SourceModel
from satqkd.security.weights import WeightSet

PHOTONS = (0, 2, 3, 40)
"""Numbers other than 1 that Eve tries; 40 are as good as any more."""
KEY, ERRORS, SINGLES, PHASE = slice(0, 3), slice(3, 6), 6, 7
"""Columns of a tally: key-basis detections and test-basis errors by class, announced; keyed single photons
and phase errors among them, never seen."""


@dataclass(frozen=True)
class Gamble:
    """One choice in one slot: chances of what may come of it, shape (k,), and each one's tally, (k, 8)."""

    name: str
    chances: np.ndarray
    tallies: np.ndarray


def gambles(source: SourceModel, keyed: Sequence[bool], t: float) -> list[Gamble]:
    """Every choice of one slot but the empty one, at a test share t."""
    mask, classes = np.array(keyed), np.eye(3)
    key, test = np.zeros((3, 8)), np.zeros((3, 8))
    key[:, KEY], test[:, ERRORS] = classes, classes
    right, wrong = key.copy(), key.copy()
    right[mask, SINGLES] = wrong[mask, SINGLES] = wrong[mask, PHASE] = 1
    q = source.class_share(1)
    chances = np.concatenate([(1 - t) * q, t * q])
    found = [
        Gamble("one photon, right", chances, np.concatenate([right, np.zeros((3, 8))])),
        Gamble("one photon, wrong", chances, np.concatenate([wrong, test])),
    ]
    for n in PHOTONS:
        share = source.class_share(n)
        found += [Gamble(f"{n} photons, key", share, key), Gamble(f"{n} photons, error", share, test)]
    return found


def third(weights: WeightSet) -> np.ndarray:
    """Coefficients of a tally for (III), shape (8,)."""
    lost, given_back = weights.theta * weights.alpha, weights.theta * weights.beta
    return np.array([*weights.key, *(-a for a in weights.errors), -lost, given_back])


class Exhaustive:
    """Largest chance of reaching L within N slots, over all adaptive strategies, exactly.

    Every coefficient must be a multiple of `pitch`. The sum is followed down to `depth` below L; beyond that
    the chance is taken as e^(x - L), more than it can be while the conditions hold.
    """

    def __init__(
        self,
        choices: Sequence[Gamble],
        coefficients: np.ndarray,
        *,
        pitch: float,
        log_failure: float,
        depth: float,
    ) -> None:
        lattice = np.rint(coefficients / pitch)
        np.testing.assert_allclose(coefficients, lattice * pitch, atol=1e-9)
        self._choices = [
            [
                (chance, int(step))
                for chance, step in zip(g.chances, g.tallies @ lattice, strict=True)
                if chance > 0
            ]
            for g in choices
        ]
        self._top = int(np.ceil(log_failure / pitch - 1e-9))
        self._bottom = self._top - int(depth / pitch)
        reach = self._reach = max(abs(k) for choice in self._choices for _, k in choice)
        places = np.arange(self._bottom - reach, self._top + reach + 1)
        self._value = np.where(places >= self._top, 1.0, 0.0)
        self._floor = np.exp((places[:reach] - self._top) * pitch)

    def run(self, slots: int) -> float:
        """The chance from a sum of 0."""
        r, size = self._reach, self._top - self._bottom
        for _ in range(slots):
            self._value[:r] = self._floor
            best = self._value[r : r + size].copy()
            for choice in self._choices:
                total = np.zeros(size)
                for chance, k in choice:
                    total += chance * self._value[r + k : r + k + size]
                np.maximum(best, total, out=best)
            self._value[r : r + size] = best
        return float(self._value[r - self._bottom])


Strategy = Callable[["Game"], np.ndarray]
"""Number of the gamble for each run, -1 for an empty slot."""


class Game:
    """Many runs of one block side by side against dice; Eve hears of each slot `lag` slots later."""

    def __init__(
        self,
        choices: Sequence[Gamble],
        coefficients: np.ndarray,
        *,
        runs: int,
        lag: int,
        rng: np.random.Generator,
    ) -> None:
        self.runs, self.rng = runs, rng
        self.number = {g.name: i for i, g in enumerate(choices)}
        width = max(g.chances.size for g in choices)
        self._edges = np.ones((len(choices) + 1, width))
        self._tallies = np.zeros((len(choices) + 1, width, 8))
        for i, g in enumerate(choices):
            self._edges[i, : g.chances.size - 1] = np.cumsum(g.chances)[:-1]
            self._tallies[i, : g.chances.size] = g.tallies
        self._coefficients = coefficients
        self.tally = np.zeros((runs, 8))
        self.sum, self.highest, self.heard = np.zeros(runs), np.zeros(runs), np.zeros(runs)
        """The sum now, the highest it ever was, and as far as Eve has heard."""
        self.tested = np.zeros(runs, dtype=bool)
        """Whether the last slot she heard of was in the test basis with an error."""
        self._late = np.zeros((lag + 1, runs))
        self._tested = np.zeros((lag + 1, runs), dtype=bool)

    def play(self, strategy: Strategy, slots: int) -> "Game":
        """All slots: nobody ends a block early."""
        for slot in range(slots):
            choice = strategy(self)
            outcome = (self.rng.random(self.runs)[:, None] >= self._edges[choice]).sum(axis=1)
            tally = self._tallies[choice, np.minimum(outcome, self._edges.shape[1] - 1)]
            self.tally += tally
            step = tally @ self._coefficients
            self.sum += step
            np.maximum(self.highest, self.sum, out=self.highest)
            self._late[slot % len(self._late)] = step
            self._tested[slot % len(self._late)] = tally[:, ERRORS].any(axis=1)
            oldest = (slot + 1) % len(self._late)
            self.heard += self._late[oldest]
            self.tested = self._tested[oldest]
        return self
