"""One proof: one basis is key, the other is test; what goes in, what every bound gives back."""

from typing import Any

import msgspec

from satqkd.errors import DataFormatError
from satqkd.security.receiver import ReceiverModel
from satqkd.security.source import Floats, Interval, SourceModel
from satqkd.security.weight_choice import Foretold
from satqkd.security.weights import WeightSet

Terms = dict[str, Any]
IDEAL = ReceiverModel()


class SecurityTargets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Failure probabilities of a whole block, both bases together."""

    epsilon_secrecy: float
    """Trace distance from a perfectly secret key."""
    epsilon_correctness: float
    """Probability that the two ends hold different keys and do not notice."""

    def __post_init__(self) -> None:
        for name in ("epsilon_secrecy", "epsilon_correctness"):
            value = getattr(self, name)
            if not 1e-100 <= value < 1:
                raise DataFormatError(f"security {name}: expected 1e-100 <= {name} < 1, got {value}")


class BasisCounts(msgspec.Struct, frozen=True, eq=False):
    """Matched detections of one basis by class, float64 of shape (classes,): signal, decoy, vacuum."""

    detections: Floats
    errors: Floats


class BasisProblem(msgspec.Struct, frozen=True, eq=False):
    """All a bound may look at for one keyed basis."""

    source: SourceModel
    key: BasisCounts
    """The key basis. Of its errors bounds read those of decoys that are not keyed, with one decoy."""
    test: BasisCounts
    """The other basis."""
    keyed: tuple[bool, ...]
    """Which classes are key."""
    leaked_bits: float
    epsilon_secrecy: float
    """This basis's share."""
    epsilon_correctness: float
    receiver: ReceiverModel = IDEAL
    test_share: Interval | None = None
    """Lowest and highest probability that a matched round is a test round; for martingale bounds."""
    vacuum_credit: bool = False
    """Whether `variable-sharp` counts keyed empty pulses as secret, at the price of further statements."""
    weights: tuple[WeightSet, ...] = ()
    """For `variable-martingale`, fixed before the block; without any it chooses by `foretold`."""
    foretold: Foretold | None = None
    """Counts expected before the block, for bounds that fix weights or guesses by them."""
    pulses: int | None = None
    """Slots of the block, a fixed number, for `variable-kato`."""

    def keyed_share(self, photons: int) -> float:
        """Least probability that an n-photon pulse is of a keyed class; 1 when no other can hold n."""
        return self.source.share_of(self.keyed, photons)

    @property
    def keyed_detections(self) -> float:
        """Detections in the key basis that become key."""
        return float(sum(n for n, keyed in zip(self.key.detections, self.keyed, strict=True) if keyed))

    def contradicts(self, *, keyed: float, test_singles: float) -> bool:
        """More photons claimed than detections seen: a statement failed or the source is another."""
        return keyed > self.keyed_detections or test_singles > float(self.test.detections.sum())
