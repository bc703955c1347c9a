"""What pooling buys: the key of several passes amplified one by one, against the same passes as one block.

Takes counts as they are, measured or expected, and goes through the same key-length function as a real
block. Knows no store and no pass under way.
"""

from collections.abc import Sequence

import msgspec

from satqkd.config import Protocol
from satqkd.errors import ConfigError
from satqkd.mission.contact import Contact
from satqkd.mission.flown import receiver_model
from satqkd.mission.foretold import expected_pass_counts, foretold_leak
from satqkd.results import ClassCounts, KeyLength
from satqkd.security import ReceiverModel, SecurityTargets, SourceLike, key_length
from satqkd.security.problem import IDEAL


class PassCounts(msgspec.Struct, frozen=True):
    """What one pass adds to a pool."""

    counts: tuple[ClassCounts, ...]
    """One row for each basis and class."""
    leaked_bits: dict[str, int]
    """By keyed basis."""


class PoolingGain(msgspec.Struct, frozen=True):
    """Secret bits of the same passes, apart and together. Each key has the protocol's epsilons: apart, they
    add up over the passes that give key."""

    per_pass_bits: tuple[int, ...]
    pooled_bits: int

    @property
    def gained_bits(self) -> int:
        """What the pool gives beyond the sum of its passes; negative where it gives less."""
        return self.pooled_bits - sum(self.per_pass_bits)


def pooling_gain(
    passes: Sequence[PassCounts],
    source: SourceLike,
    protocol: Protocol,
    *,
    receiver: ReceiverModel = IDEAL,
) -> PoolingGain:
    """Key of passes one by one and as one pool, from their counts and leaks, of one source.

    receiver: what the station vouches for; omitted, both bases detect equally. Counts and leaks of the pool
    are the sums. Raises ConfigError for no pass, DataFormatError for counts of different sources.
    """
    if not passes:
        raise ConfigError("pooling gain: expected the counts of at least one pass, got none")
    counts = tuple(sum(rows, start=row) for row, *rows in _by_row(passes))
    leaks: dict[str, int] = {
        basis: sum(each.leaked_bits[basis] for each in passes) for basis in protocol.keyed_bases
    }
    together = PassCounts(counts, leaks)
    apart = tuple(_length(each, source, protocol, receiver).secret_bits for each in passes)
    return PoolingGain(apart, _length(together, source, protocol, receiver).secret_bits)


def expected_pooling_gain(contacts: Sequence[Contact], protocol: Protocol) -> PoolingGain:
    """The same of the expected counts of contacts of one satellite and one station. Raises ConfigError."""
    if not contacts:
        raise ConfigError("pooling gain: expected at least one contact, got none")
    passes = []
    for contact in contacts:
        counts = expected_pass_counts(contact)
        passes.append(PassCounts(tuple(counts), foretold_leak(counts, protocol)))
    craft, ground = contacts[0].satellite, contacts[0].station
    return pooling_gain(passes, craft.source, protocol, receiver=receiver_model(craft, ground))


def _by_row(passes: Sequence[PassCounts]) -> list[tuple[ClassCounts, ...]]:
    """Rows of one basis and class together."""
    ordered = [sorted(each.counts, key=lambda row: (row.basis, row.class_name)) for each in passes]
    return list(zip(*ordered, strict=True))


def _length(counts: PassCounts, source: SourceLike, protocol: Protocol, receiver: ReceiverModel) -> KeyLength:
    return key_length(
        counts.counts,
        source,
        SecurityTargets(protocol.epsilon_secrecy, protocol.epsilon_correctness),
        leaked_bits=counts.leaked_bits,
        bound=protocol.bound,
        keyed_bases=protocol.keyed_bases,
        keyed_classes=protocol.keyed_classes,
        receiver=receiver,
    )
