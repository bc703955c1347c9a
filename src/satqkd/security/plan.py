"""What settings are worth: expected key of a link, or of several with weights, under a bound, before the data.

A plan is what the optimiser maximises and what its answer is recomputed with. Each scenario is a block of its
own whose loss is not known beforehand, but for a prior. No orbit, no search.
"""

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from satqkd.errors import DataFormatError
from satqkd.records import BASIS_NAMES, CLASS_NAMES
from satqkd.results import ClassCounts, KeyLength
from satqkd.security.bounds import BOUNDS
from satqkd.security.channel import Channel, SourceSettings
from satqkd.security.keylength import key_length
from satqkd.security.problem import IDEAL, BasisCounts, BasisProblem, SecurityTargets
from satqkd.security.receiver import ReceiverModel
from satqkd.security.source import Floats
from satqkd.security.tails import binary_entropy

HERMITE_NODES = 7
"""Of a Gaussian loss prior."""


class Prior(msgspec.Struct, frozen=True):
    """What is known of a block's loss beforehand: weights with a sum of 1, and dB on top of the channel's."""

    weights: tuple[float, ...] = (1.0,)
    losses_db: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        whole = len(self.weights) == len(self.losses_db) and abs(sum(self.weights) - 1) < 1e-9
        if not whole or min(self.weights) < 0:
            raise DataFormatError(
                "prior: expected one weight >= 0 for each loss with a sum of 1, got weights "
                f"{self.weights} for losses {self.losses_db}"
            )

    @classmethod
    def gaussian(cls, deviation_db: float, *, nodes: int = HERMITE_NODES) -> "Prior":
        """Gauss-Hermite nodes of a normal distribution around 0; one node for a deviation of 0."""
        if deviation_db == 0:
            return cls()
        places, weights = np.polynomial.hermite_e.hermegauss(nodes)
        share = weights / weights.sum()
        return cls(tuple(share.tolist()), tuple((deviation_db * places).tolist()))

    @classmethod
    def even(cls, deviation_db: float, *, nodes: int = 65, reach: float = 4.0) -> "Prior":
        """A normal distribution on an even grid over +-`reach` deviations: for what jumps with the loss."""
        if deviation_db == 0:
            return cls()
        places = np.linspace(-reach, reach, nodes)
        weights = np.exp(-0.5 * places**2)
        share = weights / weights.sum()
        return cls(tuple(share.tolist()), tuple((deviation_db * places).tolist()))


class Scenario(msgspec.Struct, frozen=True, eq=False):
    """One block to come."""

    channel: Channel
    weight: float = 1.0
    """How often it comes, or the probability that it does."""
    prior: Prior = Prior()


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How key is made of counts."""

    security: SecurityTargets
    bound: str = "variable-sharp"
    keyed_bases: tuple[str, ...] = ("Z", "X")
    keyed_classes: tuple[str, ...] = ("signal",)
    reconciliation_efficiency: float = 1.1
    """Leak over the Shannon limit of the expected error rate."""
    receiver: ReceiverModel = IDEAL


def expected_rows(settings: SourceSettings, channel: Channel, *, loss_db: float = 0.0) -> list[ClassCounts]:
    """Expected counts as rows, rounded to whole counts."""
    detections, errors = channel.counts(settings, loss_db)
    rows = []
    for b, basis in enumerate(BASIS_NAMES):
        for k, mu in enumerate(settings.intensities):
            n = round(float(detections[b, k]))
            m = min(n, round(float(errors[b, k])))
            rows.append(ClassCounts(basis, CLASS_NAMES[k], mu, settings.probabilities[k], n, m))
    return rows


def exact_key(
    settings: SourceSettings, channel: Channel, policy: Policy, *, loss_db: float = 0.0
) -> KeyLength:
    """Key length of the expected counts, by the very function both ends call."""
    rows = expected_rows(settings, channel, loss_db=loss_db)
    return key_length(
        rows,
        settings.model,
        policy.security,
        leaked_bits={basis: _leak(rows, basis, policy) for basis in policy.keyed_bases},
        bound=policy.bound,
        keyed_bases=policy.keyed_bases,
        keyed_classes=_present(settings, policy),
        receiver=policy.receiver,
    )


def exact_bits(settings: SourceSettings, scenario: Scenario, policy: Policy) -> Floats:
    """Secret bits at each loss of the scenario's prior, shape (losses,)."""
    return np.array(
        [
            exact_key(settings, scenario.channel, policy, loss_db=loss_db).secret_bits
            for loss_db in scenario.prior.losses_db
        ],
        dtype=np.float64,
    )


def variable_length(bits: Floats, prior: Prior) -> float:
    """Expected key of a block whose length follows its counts.  bits: by loss, as `exact_bits`."""
    return float(np.dot(prior.weights, np.maximum(bits, 0.0)))


def fixed_length(bits: Floats, prior: Prior) -> float:
    """Expected key of a block that gives one length fixed beforehand, or nothing: with the best such length.

    A block is accepted where its loss lets it give as much.  bits: by loss, as `exact_bits`.
    """
    order = np.argsort(-bits, kind="stable")
    return float(np.max(np.maximum(bits[order], 0.0) * np.cumsum(np.array(prior.weights)[order])))


Bits = Callable[[SourceSettings, Floats, Floats, Policy], Floats]
"""Bits before the cut at 0, of detections and errors of shape (losses, 2, classes); shape (losses,)."""


def quick_bits(settings: SourceSettings, detections: Floats, errors: Floats, policy: Policy) -> Floats:
    """Secret bits before floor and cut at 0 for tables of expected counts, summed over the keyed bases."""
    return np.array(
        [_bits_of_table(settings, n, m, policy) for n, m in zip(detections, errors, strict=True)]
    )


def _bits_of_table(settings: SourceSettings, detections: Floats, errors: Floats, policy: Policy) -> float:
    model = settings.model
    keyed = tuple(name in policy.keyed_classes for name in CLASS_NAMES[: model.classes])
    bits = 0.0
    for basis in policy.keyed_bases:
        key, test = (0, 1) if basis == "Z" else (1, 0)
        sifted, wrong = (float(np.dot(table[key], keyed)) for table in (detections, errors))
        leak = policy.reconciliation_efficiency * sifted * binary_entropy(wrong / sifted) if sifted else 0.0
        problem = BasisProblem(
            source=model,
            key=BasisCounts(np.round(detections[key]), np.round(errors[key])),
            test=BasisCounts(np.round(detections[test]), np.round(errors[test])),
            keyed=keyed,
            leaked_bits=leak,
            epsilon_secrecy=policy.security.epsilon_secrecy / len(policy.keyed_bases),
            epsilon_correctness=policy.security.epsilon_correctness / len(policy.keyed_bases),
            receiver=policy.receiver,
        )
        terms = BOUNDS[policy.bound].compute(problem)
        costs = (terms.get(name, 0.0) for name in ("leaked_bits", "amplification_bits", "verification_bits"))
        bits += max(0.0, terms["entropy_bits"] - sum(costs))
    return bits


def _present(settings: SourceSettings, policy: Policy) -> tuple[str, ...]:
    """Keyed classes that the source has."""
    names = CLASS_NAMES[: len(settings.intensities)]
    return tuple(name for name in policy.keyed_classes if name in names)


def _leak(rows: Sequence[ClassCounts], basis: str, policy: Policy) -> int:
    keyed = [row for row in rows if row.basis == basis and row.class_name in policy.keyed_classes]
    n, m = sum(row.detections for row in keyed), sum(row.errors for row in keyed)
    return math.ceil(policy.reconciliation_efficiency * n * binary_entropy(m / n)) if n else 0
