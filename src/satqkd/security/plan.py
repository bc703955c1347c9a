"""What settings are worth: expected key of links to come, with weights, under a bound, before the data.

A plan is what the optimiser maximises and what its answer is recomputed with. Each scenario is a block of its
own whose loss is not known beforehand, but for a prior. No orbit, no search.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from satqkd.errors import ConfigError, DataFormatError
from satqkd.records import BASIS_NAMES, CLASS_NAMES
from satqkd.results import ClassCounts, KeyLength
from satqkd.security.bounds import BOUNDS
from satqkd.security.channel import Channel, SourceSettings
from satqkd.security.keylength import key_length
from satqkd.security.problem import IDEAL, SecurityTargets
from satqkd.security.receiver import ReceiverModel, matched_x_share
from satqkd.security.source import Floats
from satqkd.security.tails import shannon_bits

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
    """How key is made of counts. Raises ConfigError for a bound that is none."""

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

    def __post_init__(self) -> None:
        if self.bound not in BOUNDS:
            raise ConfigError(f"bound: expected one of {', '.join(BOUNDS)}, got {self.bound!r}")

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
        return self.reconciliation_efficiency * shannon_bits(sifted_bits, errors)

    def receiver_at(self, settings: SourceSettings) -> ReceiverModel:
        """What is vouched for with these settings."""
        share = matched_x_share(
            settings.basis_z_probability, settings.station_basis_z_probability, spread=self.basis_spread
        )
        return msgspec.structs.replace(self.receiver, x_share=share)


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
    """Key length of the expected counts, by the very function both ends call.

    What a bound fixes before a block by counts foretold is fixed by those of the channel's own loss.
    """
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
        planned=expected_rows(settings, channel) if BOUNDS[policy.bound].streamed else None,
        pulses=math.ceil(float(channel.pulses.sum())) if BOUNDS[policy.bound].streamed else None,
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


def _present(settings: SourceSettings, policy: Policy) -> tuple[str, ...]:
    """Keyed classes that the source has."""
    names = CLASS_NAMES[: len(settings.intensities)]
    return tuple(name for name in policy.keyed_classes if name in names)


def _leak(rows: Sequence[ClassCounts], basis: str, policy: Policy) -> int:
    keyed = [row for row in rows if row.basis == basis and row.class_name in policy.keyed_classes]
    return math.ceil(policy.leak(sum(row.detections for row in keyed), sum(row.errors for row in keyed)))
