"""How much of a sifted block is secret: decoy-state bounds for finite keys.

Counts in, length out. No socket, file, clock, orbit or random source. What is proved, what is argued and
what is assumed stands in docs/design/bounds.md.
"""

from satqkd.security.agreed import agreed_weights
from satqkd.security.bounds import BOUNDS
from satqkd.security.counts import expected_counts, planned_leak, source_from_counts
from satqkd.security.keylength import key_length
from satqkd.security.problem import SecurityTargets
from satqkd.security.receiver import ReceiverModel
from satqkd.security.source import SourceLike, SourceModel

__all__ = [
    "BOUNDS",
    "ReceiverModel",
    "SecurityTargets",
    "SourceLike",
    "SourceModel",
    "agreed_weights",
    "expected_counts",
    "key_length",
    "planned_leak",
    "source_from_counts",
]
