"""Where a pass is cut into blocks: slot numbers fixed before it, from the link budget alone, no count.

Both ends compute them from their own presets; hello compares them. They lie on the next tenth of a second, so
that the last digit of a library decides nothing. What a policy is for: one block yields most key, and none
before the pass is over; many blocks yield it early and pay the price of small numbers each.
"""

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from satqkd.config import Protocol
from satqkd.errors import ConfigError
from satqkd.mission.flown import unkeyed_slots
from satqkd.mission.foretold import expected_key
from satqkd.records import BASIS_NAMES, CLASS_NAMES

if TYPE_CHECKING:
    from satqkd.mission.contact import Contact

Array = NDArray[np.float64]
FIRST_KEY_LIGHT: Final = 0.7
"""The first block of `first-key` ends where this share of the foretold light would give its key: so much may
be missing, 1.5 dB."""
_HALVINGS: Final = 40


def block_edges(contact: "Contact", protocol: Protocol) -> tuple[int, ...]:
    """First slots of blocks 1, 2, ...; none where all blocks have equal numbers of slots."""
    if protocol.block_policy == "equal-slots" or protocol.blocks == 1:
        return ()
    gathered = sifted_so_far(contact, protocol)
    total = np.interp(contact.quantum_end_s, contact.look.t_s, gathered)
    if protocol.block_policy == "equal-bits":
        shares = np.arange(1, protocol.blocks) / protocol.blocks
    else:
        first_s = first_key_s(contact, protocol)
        first = np.interp(first_s, contact.look.t_s, gathered) / max(total, 1e-300)
        shares = growing_shares(float(first), protocol.blocks)
    at_s = np.interp(shares * total, gathered, contact.look.t_s)
    return _slots(contact, np.ceil(10 * at_s) / 10, protocol.blocks)


def edges_s(contact: "Contact", protocol: Protocol) -> Array:
    """Pass times of the blocks' edges, the first 0, the last the end; (blocks + 1,)."""
    inner, rate_hz = block_edges(contact, protocol), contact.satellite.source.pulse_rate_hz
    if not inner:
        return np.asarray(np.arange(protocol.blocks + 1) * (contact.quantum_end_s / protocol.blocks))
    return np.asarray(np.array([0, *inner, contact.slots]) / rate_hz)


def first_key_s(contact: "Contact", protocol: Protocol) -> float:
    """The pass time at which the light so far is foretold to give `first_key_bits`, some of it missing; the
    end of the pass where all of it does not."""

    def enough(until_s: float) -> bool:
        told = expected_key(contact, protocol, until_s=until_s, share=FIRST_KEY_LIGHT)
        return told.secret_bits >= protocol.first_key_bits

    low, high = 0.0, contact.quantum_end_s
    if not enough(high):
        return high
    while high - low > 0.05:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def growing_shares(share: float, blocks: int) -> Array:
    """Shares of the pass's bits before blocks 1, 2, ...: of blocks that grow by one factor from the first on
    (shrink where its share is large), and are the whole together; (blocks - 1,)."""
    powers = np.arange(blocks)
    low, high = 0.0, max(share, 1e-12) ** (-1 / (blocks - 1))
    for _ in range(_HALVINGS):
        factor = (low + high) / 2
        low, high = (low, factor) if share * (factor**powers).sum() > 1 else (factor, high)
    return np.minimum(np.cumsum(share * low**powers)[:-1], 1.0)


def sifted_so_far(contact: "Contact", protocol: Protocol) -> Array:
    """Keyed rounds foretold up to each point of the course, as if light came to its end."""
    source, t_s = contact.satellite.source, contact.look.t_s
    sent = (source.basis_z_probability, 1 - source.basis_z_probability)
    gain = sum(
        source.probabilities[CLASS_NAMES.index(name)]
        * sent[BASIS_NAMES.index(basis)]
        * contact.rates.matched_gain[CLASS_NAMES.index(name), BASIS_NAMES.index(basis)]
        for name in protocol.keyed_classes
        for basis in protocol.keyed_bases
    )
    rate_hz = np.asarray(gain * source.pulse_rate_hz * (1 - unkeyed_slots(contact) / contact.slots))
    return np.append(0.0, np.cumsum(np.diff(t_s) * (rate_hz[1:] + rate_hz[:-1]) / 2))


def refuse_foretold_edges(protocol: Protocol) -> None:
    """A recording is distilled from its files alone. Raises ConfigError where blocks follow a budget."""
    if protocol.block_policy != "equal-slots":
        raise ConfigError(
            f'protocol.block_policy: expected "equal-slots" for a recording, which holds no link budget, got '
            f"{protocol.block_policy!r}; record and distil with the default"
        )


def _slots(contact: "Contact", at_s: Array, blocks: int) -> tuple[int, ...]:
    """Times as slots, each block with one slot at least."""
    rate_hz, edges = contact.satellite.source.pulse_rate_hz, [0]
    for number, edge_s in enumerate(at_s.tolist(), start=1):
        latest = contact.slots - (blocks - number)
        edges.append(min(max(round(edge_s * rate_hz), edges[-1] + 1), latest))
    return tuple(edges[1:])
