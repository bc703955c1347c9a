"""Blocks drawn with all that is true of them: photon numbers, bases, classes, errors the bound never sees.

The numbers of n-photon detections and of single photons with an X or a Z error are fixed: Eve's choice, made
before bases and classes fall. Bases fall with a probability per photon number (for single photons she cannot
influence it), then classes with q_{k|n}, at the intensities she picked for that n where they are uncertain.
"""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
from eavesdropping import PHOTONS, Attack
from numpy.typing import NDArray
from scipy import special, stats

from satqkd.security import SourceModel, decoy
from satqkd.security.problem import BasisCounts, BasisProblem
from satqkd.security.variable import sharp_events

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Scene:
    """What Eve chose. Tuples run over the photon numbers 0, 1, 2..."""

    source: SourceModel
    """What the bound is told."""
    keyed: tuple[bool, ...]
    matched: tuple[int, ...]
    """Detections with matching bases."""
    test_error: tuple[float, ...]
    """Error rate in the test basis; of single photons the share that would show an X error."""
    key_error: tuple[float, ...]
    """The same in the key basis; empty pulses toss a coin in either, whatever stands here."""
    test_share: tuple[float, ...] = (0.5,)
    """Probability of the test basis; the last number holds for all beyond it."""
    together: bool = False
    """Whether single photons with an X error have the Z errors too, as far as they go; else others have."""
    means: tuple[tuple[float, ...], ...] | None = None
    """Intensities of the pulses, by photon number; None: those of the source."""
    vacuum_credit: bool = False

    @classmethod
    def of_attack(cls, attack: Attack, source: SourceModel, keyed: tuple[bool, ...], matched: int) -> "Scene":
        """Z keyed, this many detections in both bases, split over photon numbers as the attack expects."""
        effects = [attack(n) for n in PHOTONS]
        sent = np.array([[source.photon_probability(n)] for n in PHOTONS])
        detected, wrong = (sent * np.array([getattr(e, f) for e in effects]) for f in ("detected", "wrong"))
        numbers = np.rint(matched * detected.sum(axis=1) / detected.sum()).astype(int)
        some = numbers > 0
        some[:2] = True
        rates = (wrong / detected)[some]
        return cls(
            source=source,
            keyed=keyed,
            matched=tuple(int(n) for n in numbers[some]),
            test_error=tuple(rates[:, 1]),
            key_error=tuple(rates[:, 0]),
            test_share=tuple(detected[some, 1] / detected[some].sum(axis=1)),
        )

    def shares(self, n: int) -> NDArray[np.float64]:
        """True q_{k|n}, shape (classes,)."""
        means = self.source.intensities if self.means is None else self.means[min(n, len(self.means) - 1)]
        joint = np.array(
            [p * math.exp(-mu) * mu**n for mu, p in zip(means, self.source.probabilities, strict=True)]
        )
        return joint / joint.sum()

    def share_tested(self, n: int) -> float:
        return self.test_share[min(n, len(self.test_share) - 1)]


@dataclass(frozen=True)
class Blocks:
    """Many blocks of one scene; first axis: the block."""

    scene: Scene
    key: Counts
    """Detections in the key basis, (blocks, classes); the next three likewise."""
    key_errors: Counts
    test: Counts
    test_errors: Counts
    true_key: Counts
    """Detections in the key basis, (blocks, photon numbers); the next three likewise."""
    true_key_errors: Counts
    true_test: Counts
    true_test_errors: Counts
    keyed_right: Counts
    """Keyed single photons that would show no X error, (blocks,)."""
    keyed_wrong: Counts
    keyed_empty: Counts

    def problem(self, i: int, *, epsilon_secrecy: float = 1e-9) -> BasisProblem:
        """What the bound is shown of block i."""
        key, key_errors, test, test_errors = (
            np.asarray(each[i], dtype=np.float64)
            for each in (self.key, self.key_errors, self.test, self.test_errors)
        )
        return BasisProblem(
            source=self.scene.source,
            key=BasisCounts(key, key_errors),
            test=BasisCounts(test, test_errors),
            keyed=self.scene.keyed,
            leaked_bits=0.0,
            epsilon_secrecy=epsilon_secrecy,
            epsilon_correctness=1e-15,
            vacuum_credit=self.scene.vacuum_credit,
        )


def draw(rng: np.random.Generator, scene: Scene, blocks: int) -> Blocks:
    """Blocks of the scene, independent of each other."""
    classes, numbers = scene.source.classes, len(scene.matched)
    shown = {name: np.zeros((blocks, classes), dtype=np.int64) for name in _SETS}
    true = {name: np.zeros((blocks, numbers), dtype=np.int64) for name in _SETS}
    keyed = {}
    for n in range(numbers):
        for (x_error, z_error), total in _kinds(rng, scene, n, blocks).items():
            tested = rng.binomial(total, scene.share_tested(n))
            for basis, part, wrong in (("test", tested, x_error), ("key", total - tested, z_error)):
                fallen = rng.multinomial(part, scene.shares(n))
                for name in (basis, f"{basis}_errors")[: 1 + wrong]:
                    shown[name] += fallen
                    true[name][:, n] += part
                if basis == "key":
                    bits = keyed.setdefault((n, x_error), np.zeros(blocks, dtype=np.int64))
                    bits += fallen[:, np.array(scene.keyed)].sum(axis=1)
    return Blocks(
        scene=scene,
        **shown,
        **{f"true_{name}": each for name, each in true.items()},
        keyed_right=keyed[1, 0],
        keyed_wrong=keyed[1, 1],
        keyed_empty=keyed[0, 0] + keyed[0, 1],
    )


def wandering(source: SourceModel, weights: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    """Intensities within the intervals that drive the weighted sum of classes up most, for n = 0..5."""
    ends = product(*(np.linspace(low, high, 5) for low, high in source.intensity_intervals or ()))
    choices = [tuple(float(mu) for mu in end) for end in ends]

    def value(n: int, means: tuple[float, ...]) -> float:
        joint = [p * math.exp(-mu) * mu**n for mu, p in zip(means, source.probabilities, strict=True)]
        return float(weights @ joint) / sum(joint)

    return tuple(max(choices, key=lambda means: value(n, means)) for n in range(6))


_SETS = ("key", "key_errors", "test", "test_errors")


def _kinds(rng: np.random.Generator, scene: Scene, n: int, blocks: int) -> dict[tuple[int, int], Counts]:
    """Detections by (would be wrong in the test basis, in the key basis); for one photon fixed numbers."""
    total, x, z = scene.matched[n], scene.test_error[n], scene.key_error[n]
    if n == 1:
        bad_x, bad_z = round(total * x), round(total * z)
        both = min(bad_x, bad_z) if scene.together else max(0, bad_x + bad_z - total)
        fixed = (total - bad_x - bad_z + both, bad_z - both, bad_x - both, both)
        values = [np.full(blocks, each) for each in fixed]
    else:
        x, z = (0.5, 0.5) if n == 0 else (x, z)
        odds = [(1 - x) * (1 - z), (1 - x) * z, x * (1 - z), x * z]
        values = list(rng.multinomial(total, odds, size=blocks).T)
    return dict(zip(product((0, 1), repeat=2), values, strict=True))


def tails_of_statements(blocks: Blocks) -> dict[str, NDArray[np.float64]]:
    """For each statement of the proof, how unlikely what was drawn is, given what is true: (blocks,).

    A statement with failure probability epsilon can be wrong only where its number is <= epsilon. One for
    each that `sharp_events` counts.
    """
    scene, found = blocks.scene, {}
    shares = np.array([scene.shares(n) for n in range(len(scene.matched))])

    def of_means(name: str, weights: NDArray[np.float64], seen: Counts, true: Counts) -> None:
        for k in range(1, scene.source.classes):
            slope = weights[k] - weights[0]
            if slope:
                found[f"{name}, class {k}"] = _tail(seen[:, k], seen.sum(1), true @ shares[:, k], slope > 0)

    one_decoy = scene.source.classes == 2
    weights = (
        decoy.single_photon_weights_one_decoy(scene.source)[0]
        if one_decoy
        else (decoy.single_photon_weights(scene.source))
    )
    for name in ("key", "test"):
        seen, errors, true, true_errors = (
            getattr(blocks, each.format(name)) for each in ("{}", "{}_errors", "true_{}", "true_{}_errors")
        )
        of_means(f"{name} photons", weights, seen, true)
        if one_decoy:
            found[f"{name} empty, class 1"] = _tail(
                errors[:, 1], seen.sum(1), true_errors @ shares[:, 1], False
            )
            found[f"{name} empty, coin"] = _at_most(true_errors[:, 0], true[:, 0], 0.5)
    of_means(
        "errors",
        -decoy.single_photon_error_weights(scene.source),
        blocks.test_errors,
        blocks.true_test_errors,
    )
    if scene.vacuum_credit:
        of_means("credit", decoy.vacuum_weights(scene.source), blocks.key, blocks.true_key)
    for n, keyed in ((1, blocks.keyed_right + blocks.keyed_wrong), (0, blocks.keyed_empty)):
        share = scene.source.share_of(scene.keyed, n)
        if share < 1 and (n == 1 or scene.vacuum_credit):
            found[f"keyed share of {n}"] = _at_most(keyed, blocks.true_key[:, n], share)
    tested, wrong = blocks.true_test[:, 1], blocks.true_test_errors[:, 1]
    population = tested + blocks.keyed_right + blocks.keyed_wrong
    found["phase errors"] = stats.hypergeom.cdf(wrong, population, wrong + blocks.keyed_wrong, tested)
    assert len(found) == sharp_events(blocks.problem(0))
    return found


def _tail(seen: Counts, trials: Counts, mean: NDArray[np.float64], lower: bool) -> NDArray[np.float64]:
    """Of a binomial of this mean: at least what was seen, for a lower bound of the mean, else at most."""
    p = np.divide(mean, trials, out=np.zeros_like(mean), where=trials > 0)
    return _at_least(seen, trials, p) if lower else _at_most(seen, trials, p)


def _at_least(seen: Counts, trials: Counts, p: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.where(seen > 0, special.betainc(np.maximum(seen, 1), trials - seen + 1.0, p), 1.0)


def _at_most(seen: Counts, trials: Counts, p: NDArray[np.float64] | float) -> NDArray[np.float64]:
    left = np.maximum(trials - seen, 1)
    return np.where(seen < trials, special.betaincc(seen + 1.0, left, p), 1.0)
