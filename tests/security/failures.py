"""How often a bound is wrong in blocks whose truth is known, and whether its statements account for it."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import numpy as np
from sampled_blocks import Blocks, Scene, draw, tails_of_statements
from scipy import special, stats

from satqkd.randomness import stream
from satqkd.security import BOUNDS, variable
from satqkd.security.problem import BasisProblem
from satqkd.security.statements import Statements
from satqkd.security.variable import PRIVACY_SHARE

ALL_SETS = ("key", "test", "test_errors")
EMPTY_ERRORS = "empty_errors"
"""Errors of the decoy, where they bound the empty pulses of one decoy."""


@dataclass(frozen=True)
class Tally:
    """What came of some blocks."""

    blocks: int
    overstated: int = 0
    """Blocks with fewer keyed single photons, or keyed empty pulses, than claimed."""
    mistaken: int = 0
    """Other blocks in which a random part of the claimed size held more X errors than the bound allows."""
    unexplained: int = 0
    """Failures in which every statement of the proof held."""
    keyed: float = 0.0
    """Mean of the single photons claimed."""

    @property
    def failures(self) -> int:
        return self.overstated + self.mistaken

    def upper(self, confidence: float = 0.99) -> float:
        """The failure probability is below this with the given confidence (Clopper-Pearson)."""
        return float(special.betaincinv(self.failures + 1, self.blocks - self.failures, confidence))

    def exceeds(self, epsilon: float, *, significance: float = 1e-3) -> bool:
        """Whether this many failures are less likely than `significance` at a failure probability epsilon."""
        return float(stats.binom.sf(self.failures - 1, self.blocks, epsilon)) < significance


def tally(
    scene: Scene,
    *,
    epsilon: float,
    blocks: int,
    name: str,
    bound: str = "variable-sharp",
    known: tuple[str, ...] = (),
    without: Mapping[str, Callable[..., float]] | None = None,
) -> Tally:
    """Draws blocks and asks the bound with eps_AT^2 = epsilon, the sum of its statements.

    known: what the bound is told exactly: sums over classes of `ALL_SETS`, `EMPTY_ERRORS`.  without:
    functions of `tails` replaced, so that a statement is missing.
    """
    rng = stream(7, "security", "failures", name)
    drawn = draw(rng, scene, blocks)
    secrecy = 2 * epsilon**0.5 / (1 - PRIVACY_SHARE)
    result, claimed = Tally(blocks), 0.0
    with ExitStack() as patches:
        for function, other in (without or {}).items():
            patches.enter_context(mock.patch.object(variable.tails, function, other))
        for i in range(blocks):
            problem = drawn.problem(i, epsilon_secrecy=secrecy)
            with _told(known, drawn, i, problem):
                terms = BOUNDS[bound].compute(problem)
            assert math.isclose(terms["epsilon_at"] ** 2, epsilon)
            n = int(terms["keyed_single_photons"])
            claimed += n
            limit = terms.get("phase_errors", n * terms["phase_error_rate"])
            right, wrong = int(drawn.keyed_right[i]), int(drawn.keyed_wrong[i])
            if n > right + wrong or terms.get("vacuum", 0) > drawn.keyed_empty[i]:
                result = replace(result, overstated=result.overstated + 1)
                unseen = None
            else:
                unseen = int(rng.hypergeometric(wrong, right, n)) if n else 0
                if unseen <= limit:
                    continue
                result = replace(result, mistaken=result.mistaken + 1)
            if bound == "variable-sharp" and not _explained(drawn, i, n, unseen, terms["epsilon_event"]):
                result = replace(result, unexplained=result.unexplained + 1)
    return replace(result, keyed=claimed / blocks)


def _explained(drawn: Blocks, i: int, n: int, unseen: int | None, epsilon_event: float) -> bool:
    """Whether a statement of the proof was wrong in block i."""
    alone = Blocks(
        scene=drawn.scene,
        **{name: value[i : i + 1] for name, value in vars(drawn).items() if name != "scene"},
    )
    if min(float(tail[0]) for tail in tails_of_statements(alone).values()) <= epsilon_event:
        return True
    if unseen is None:
        return False
    tested, seen = int(drawn.true_test[i, 1]), int(drawn.true_test_errors[i, 1])
    return float(stats.hypergeom.cdf(seen, tested + n, seen + unseen, tested)) <= epsilon_event


@contextmanager
def _told(known: tuple[str, ...], drawn: Blocks, i: int, problem: BasisProblem) -> Iterator[None]:
    """`variable` reads true means in place of its bounds of them."""
    if not known:
        yield
        return
    arrays = {
        "key": problem.key.detections,
        "test": problem.test.detections,
        "test_errors": problem.test.errors,
    }
    scene = drawn.scene
    shares = np.array([scene.shares(n) for n in range(len(scene.matched))])
    means = {id(arrays[name]): getattr(drawn, f"true_{name}")[i] @ shares for name in known if name in arrays}
    bounded, mean_upper = variable._at_least, Statements.mean_upper

    def at_least(weights: Any, counts: Any, what: str, say: Any) -> float:
        if id(counts) in means:
            return float(weights @ means[id(counts)])
        return bounded(weights, counts, what, say)

    def decoy_errors(say: Statements, what: str, count: float, trials: float) -> float:
        for name in ("key", "test"):
            if EMPTY_ERRORS in known and what == f"errors in {name} basis, decoy":
                return float(getattr(drawn, f"true_{name}_errors")[i] @ shares[:, 1])
        return mean_upper(say, what, count, trials)

    with (
        mock.patch.object(variable, "_at_least", at_least),
        mock.patch.object(Statements, "mean_upper", decoy_errors),
    ):
        yield
