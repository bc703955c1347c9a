"""What a contact's light is expected to give, from the mean budget: counts, leak and key, no dice.

Expected counts go through the same key-length function as a real block's, with the reconciliation leak taken
as f times the Shannon limit of the expected error rate. Knows a contact only by its rates.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from satqkd.config import Protocol
from satqkd.mission.flown import receiver_model, unkeyed_slots
from satqkd.results import ClassCounts, KeyLength
from satqkd.security import SecurityTargets, expected_counts, key_length, planned_leak

if TYPE_CHECKING:
    from satqkd.mission.contact import Contact

PLANNING_EFFICIENCY: Final = 1.1
"""Reconciliation efficiency assumed for predictions: what the codes reach near 1 % (benchmarks)."""


def expected_pass_counts(
    contact: "Contact", *, until_s: float | None = None, share: float = 1.0
) -> list[ClassCounts]:
    """Mean counts by basis and class over the quantum window, rounded.

    until_s: of its slots before this pass time; share: of all counts that is taken.
    """
    end_s = contact.quantum_end_s if until_s is None else min(until_s, contact.quantum_end_s)
    rows, z_sent = slice(0, int(end_s / contact.step_s) + 1), contact.satellite.source.basis_z_probability
    matched = contact.rates.matched_gain[..., rows].mean(axis=-1).T
    wrong = contact.rates.wrong_gain[..., rows].mean(axis=-1).T
    return expected_counts(
        pulses=(contact.slots - unkeyed_slots(contact)) * (end_s / contact.quantum_end_s) * share,
        source=contact.satellite.source,
        gain=matched,
        error=wrong / np.maximum(matched, 1e-300),
        matched_probability={"Z": z_sent, "X": 1 - z_sent},
    )


def expected_key(
    contact: "Contact",
    protocol: Protocol | None = None,
    *,
    until_s: float | None = None,
    share: float = 1.0,
) -> KeyLength:
    """Key length of the expected counts under the protocol's bound; one block. until_s, share: as of
    the counts."""
    rules = Protocol() if protocol is None else protocol
    counts = expected_pass_counts(contact, until_s=until_s, share=share)
    return key_length(
        counts,
        contact.satellite.source,
        SecurityTargets(rules.epsilon_secrecy, rules.epsilon_correctness),
        leaked_bits=foretold_leak(counts, rules),
        bound=rules.bound,
        keyed_bases=rules.keyed_bases,
        keyed_classes=rules.keyed_classes,
        receiver=receiver_model(contact.satellite, contact.station),
    )


def foretold_leak(counts: list[ClassCounts], rules: Protocol) -> dict[str, int]:
    """Leak of each keyed basis at the planning efficiency."""
    return planned_leak(
        counts,
        keyed_bases=rules.keyed_bases,
        keyed_classes=rules.keyed_classes,
        efficiency=PLANNING_EFFICIENCY,
    )
