"""The bounds by name, and what each covers: `key_length` refuses a question that a bound cannot answer."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from satqkd.errors import ConfigError
from satqkd.records import DECOY
from satqkd.security import asymptotic, comparison, kato, lim2014, martingale, published, variable
from satqkd.security.problem import BasisProblem, Terms


class Bound(msgspec.Struct, frozen=True):
    """How a length is computed for one keyed basis, and for what."""

    compute: Callable[[BasisProblem], Terms]
    proved: bool
    """For counts as they come, all devices as assumed; false: for comparison, no key is to be made of it."""
    streamed: bool = False
    """Whether bases and classes may be told while the block is still being sent."""
    classes: tuple[int, ...] = (3,)
    """How many intensities the source may have."""
    intervals: bool = False
    """Whether intensities may be uncertain."""
    mismatch: bool = False
    """Whether detectors may be unequal."""
    remark: str = ""
    """What a reader of its results must know."""

    def check(self, name: str, problem: BasisProblem) -> None:
        """Raises ConfigError naming what is not covered and which bounds cover it."""
        source, receiver = problem.source, problem.receiver
        for covered, what, others in (
            (source.classes in self.classes, f"a source of {source.classes} classes", _covering_classes),
            (
                source.classes == 3 or not self.proved or not problem.keyed[DECOY],
                "a keyed decoy where it is the only one (its errors must be of revealed rounds)",
                _covering_keyed_decoy,
            ),
            (self.intervals or source.exact, "uncertain intensities", _covering_intervals),
            (self.mismatch or receiver.matched, "unequal detectors", _covering_mismatch),
        ):
            if not covered:
                names = ", ".join(key for key, bound in BOUNDS.items() if others(bound, problem))
                raise ConfigError(f"bound {name}: does not cover {what}; take one of {names}")


def _covering_classes(bound: Bound, problem: BasisProblem) -> bool:
    return problem.source.classes in bound.classes


def _covering_keyed_decoy(bound: Bound, problem: BasisProblem) -> bool:
    return bound.classes != (3,) and not bound.proved


def _covering_intervals(bound: Bound, problem: BasisProblem) -> bool:
    return bound.intervals


def _covering_mismatch(bound: Bound, problem: BasisProblem) -> bool:
    return bound.mismatch


BOUNDS: Final[Mapping[str, Bound]] = {
    "variable-sharp": Bound(variable.sharp, True, classes=(2, 3), intervals=True, mismatch=True),
    "variable": Bound(published.published, True, mismatch=True),
    "variable-martingale": Bound(
        martingale.martingale,
        True,
        streamed=True,
        intervals=True,
        remark="own derivation, not externally reviewed",
    ),
    "variable-kato": Bound(
        kato.kato, True, streamed=True, remark="the inequality is published, its use here our own"
    ),
    "lim2014": Bound(lim2014.lim2014, False),
    "rusca2018": Bound(comparison.rusca, False, classes=(2,)),
    "satquma": Bound(comparison.satquma_chernoff, False),
    "satquma-hoeffding": Bound(comparison.satquma_hoeffding, False),
    "asymptotic": Bound(asymptotic.asymptotic, False, classes=(2, 3)),
}
"""In the order in which `--bound all` prints them."""
