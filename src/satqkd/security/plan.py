"""What settings are worth: expected key of links to come, with weights, under a bound, before the data.

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
from satqkd.security.problem import IDEAL, BasisCounts, BasisProblem, SecurityTargets, Terms
from satqkd.security.quick import QuickSharp
from satqkd.security.receiver import ReceiverModel
from satqkd.security.source import Floats
from satqkd.security.tails import binary_entropy

HERMITE_NODES = 7
"""Of a Gaussian loss prior."""


class Prior(msgspec.Struct, frozen=True):
    """What is known of a block's loss beforehand: weights with a sum of 1, and dB on top of the channel's."""

    weights: tuple[float, ...] = (1.0,)
    losses_db: tuple[float, ...] = (0.0,)
    continuous: bool = False
    """Whether each loss stands for those around it, so that half of its weight is better and half worse."""

    def __post_init__(self) -> None:
        whole = len(self.weights) == len(self.losses_db) and abs(sum(self.weights) - 1) < 1e-9
        if not whole or min(self.weights) < 0:
            raise DataFormatError(
                "prior: expected one weight >= 0 for each loss with a sum of 1, got weights "
                f"{self.weights} for losses {self.losses_db}"
            )

    @classmethod
    def gaussian(cls, deviation_db: float, *, nodes: int = HERMITE_NODES) -> "Prior":
        """Gauss-Hermite nodes of a normal distribution around 0; one node for a deviation of 0.

        Few and good for a smooth key; where a node's own loss decides, take `even`.
        """
        if deviation_db == 0:
            return cls()
        places, weights = np.polynomial.hermite_e.hermegauss(nodes)
        share = weights / weights.sum()
        return cls(tuple(share.tolist()), tuple((deviation_db * places).tolist()), continuous=True)

    @classmethod
    def even(cls, deviation_db: float, *, nodes: int = 33, reach: float = 4.0) -> "Prior":
        """A normal distribution on an even grid over +-`reach` deviations: for what jumps with the loss."""
        if deviation_db == 0:
            return cls()
        places = np.linspace(-reach, reach, nodes)
        weights = np.exp(-0.5 * places**2)
        share = weights / weights.sum()
        return cls(tuple(share.tolist()), tuple((deviation_db * places).tolist()), continuous=True)


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
    """Its `x_share` follows from the settings and `basis_spread`."""
    basis_spread: float = 0.0
    """Largest deviation of the receiver's probability of basis Z from what is set."""

    @property
    def share(self) -> SecurityTargets:
        """Of each keyed basis."""
        bases = len(self.keyed_bases)
        return SecurityTargets(
            self.security.epsilon_secrecy / bases, self.security.epsilon_correctness / bases
        )

    def keyed(self, settings: SourceSettings) -> tuple[bool, ...]:
        """Which of the source's classes are key."""
        return tuple(name in self.keyed_classes for name in CLASS_NAMES[: len(settings.intensities)])

    def leak(self, sifted_bits: float, errors: float) -> float:
        """Bits that reconciliation is expected to tell."""
        shannon = sifted_bits * binary_entropy(errors / sifted_bits) if sifted_bits else 0.0
        return self.reconciliation_efficiency * shannon

    def receiver_at(self, settings: SourceSettings) -> ReceiverModel:
        """What is vouched for with these settings."""
        shares = [
            _x_share(settings.basis_z_probability, settings.station_basis_z_probability + spread)
            for spread in (self.basis_spread, -self.basis_spread)
        ]
        return msgspec.structs.replace(self.receiver, x_share=(shares[0] - 1e-12, shares[1] + 1e-12))


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
        receiver=policy.receiver_at(settings),
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


def variable_length(lengths_bits: Floats, prior: Prior) -> float:
    """Expected key of a block whose length follows its counts.  lengths_bits: by loss, as `exact_bits`."""
    return float(np.dot(prior.weights, np.maximum(lengths_bits, 0.0)))


def fixed_length(lengths_bits: Floats, prior: Prior) -> float:
    """Expected key of a block that gives one length fixed beforehand, or nothing: with the best such length.

    A block is accepted where its loss lets it give as much.  lengths_bits: by loss, as `exact_bits`.
    """
    order = np.argsort(-lengths_bits, kind="stable")
    weights = np.array(prior.weights)[order]
    accepted = np.cumsum(weights) - (0.5 * weights if prior.continuous else 0.0)
    return float(np.max(np.maximum(lengths_bits[order], 0.0) * accepted))


Bits = Callable[[SourceSettings, Floats, Floats, Policy], Floats]
"""Bits before the cut at 0, of detections and errors of shape (losses, 2, classes); shape (losses,)."""


def quick_bits(settings: SourceSettings, detections: Floats, errors: Floats, policy: Policy) -> Floats:
    """Secret bits of tables of expected counts, the keyed bases together; below 0 where costs exceed them.

    detections, errors: shape (losses, 2, classes).  Returns shape (losses,). The default bound has a quick
    form that never gives more; others are computed as they are, of counts that are not whole.
    """
    one_basis = _quick if policy.bound == "variable-sharp" else _plain
    lengths = one_basis(settings, policy)
    total = np.zeros(len(detections))
    for basis in policy.keyed_bases:
        key, test = (0, 1) if basis == "Z" else (1, 0)
        total += [
            lengths(n[key], m[key], n[test], m[test])
            for n, m in zip(detections.tolist(), errors.tolist(), strict=True)
        ]
    return total


Numbers = list[float]
OneBasis = Callable[[Numbers, Numbers, Numbers, Numbers], float]
"""Bits of one keyed basis: its detections and errors by class, then those of the test basis."""


def _quick(settings: SourceSettings, policy: Policy) -> OneBasis:
    keyed = policy.keyed(settings)
    bound = QuickSharp(settings.model, keyed, policy.share, policy.receiver_at(settings))

    def bits(key: Numbers, key_errors: Numbers, test: Numbers, test_errors: Numbers) -> float:
        return bound.bits(key, key_errors, test, test_errors, _sifted_leak(key, key_errors, keyed, policy))

    return bits


def _plain(settings: SourceSettings, policy: Policy) -> OneBasis:
    keyed, model, receiver = policy.keyed(settings), settings.model, policy.receiver_at(settings)

    def bits(*tables: Numbers) -> float:
        key, key_errors, test, test_errors = (np.array(each) for each in tables)
        problem = BasisProblem(
            source=model,
            key=BasisCounts(key, key_errors),
            test=BasisCounts(test, test_errors),
            keyed=keyed,
            leaked_bits=_sifted_leak(tables[0], tables[1], keyed, policy),
            epsilon_secrecy=policy.share.epsilon_secrecy,
            epsilon_correctness=policy.share.epsilon_correctness,
            receiver=receiver,
        )
        return _before_the_cut(BOUNDS[policy.bound].compute(problem))

    return bits


def _sifted_leak(detections: Numbers, errors: Numbers, keyed: tuple[bool, ...], policy: Policy) -> float:
    n, m = (sum(x for x, member in zip(each, keyed, strict=True) if member) for each in (detections, errors))
    return policy.leak(n, m)


def _before_the_cut(terms: Terms) -> float:
    costs = ("leaked_bits", "amplification_bits", "verification_bits")
    return float(terms["entropy_bits"] - sum(terms.get(name, 0.0) for name in costs))


def _present(settings: SourceSettings, policy: Policy) -> tuple[str, ...]:
    """Keyed classes that the source has."""
    names = CLASS_NAMES[: len(settings.intensities)]
    return tuple(name for name in policy.keyed_classes if name in names)


def _leak(rows: Sequence[ClassCounts], basis: str, policy: Policy) -> int:
    keyed = [row for row in rows if row.basis == basis and row.class_name in policy.keyed_classes]
    return math.ceil(policy.leak(sum(row.detections for row in keyed), sum(row.errors for row in keyed)))


def _x_share(sent_z: float, measured_z: float) -> float:
    """Probability that a matched round is in X."""
    in_x, in_z = (1 - sent_z) * (1 - measured_z), sent_z * measured_z
    return in_x / (in_x + in_z)
