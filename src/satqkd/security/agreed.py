"""What a bound fixes before a block is seen, for both ends to compare: sets of the martingale bound."""

from collections.abc import Sequence

import numpy as np

from satqkd.records import CLASS_NAMES
from satqkd.security.martingale import weight_sets
from satqkd.security.problem import BasisCounts, BasisProblem, SecurityTargets
from satqkd.security.receiver import ReceiverModel
from satqkd.security.source import SourceLike, SourceModel
from satqkd.security.weights import WeightSet


def agreed_weights(
    source: SourceLike,
    security: SecurityTargets,
    *,
    keyed_bases: Sequence[str],
    keyed_classes: Sequence[str],
    receiver: ReceiverModel,
) -> dict[str, tuple[WeightSet, ...]]:
    """The sets that `key_length` takes under `variable-martingale` when nothing was foretold, by key basis.

    They follow from the settings alone. Raises ConfigError for a receiver or source that the bound does not
    cover, so a pass that could end without a length is refused before it begins.
    """
    model = SourceModel.of(source)
    unseen = BasisCounts(np.zeros(model.classes), np.zeros(model.classes))
    return {
        basis: weight_sets(
            BasisProblem(
                source=model,
                key=unseen,
                test=unseen,
                keyed=tuple(name in keyed_classes for name in CLASS_NAMES[: model.classes]),
                leaked_bits=0,
                epsilon_secrecy=security.epsilon_secrecy / len(keyed_bases),
                epsilon_correctness=security.epsilon_correctness / len(keyed_bases),
                receiver=receiver,
                test_share=receiver.test_share(basis),
            )
        )
        for basis in keyed_bases
    }
