"""How much of a sifted block is secret: decoy-state bounds for finite keys.

Counts in, length out. No socket, file, clock, orbit or random source. What is proved, what is argued and
what is assumed stands in docs/design/bounds.md.
"""

from satqkd.security.decoy import SourceLike, SourceModel
from satqkd.security.keylength import BOUNDS, key_length
from satqkd.security.problem import SecurityTargets, expected_counts, source_from_counts

__all__ = [
    "BOUNDS",
    "SecurityTargets",
    "SourceLike",
    "SourceModel",
    "expected_counts",
    "key_length",
    "source_from_counts",
]
