"""Which pool each block of a pass belongs to, and what is predicted of it: from the link budget, no count.

A pool's name holds what its blocks must have in common, so that blocks of another source, or taken under
another choice of bases, never meet in one. Both ends compute it from their own presets before the pass.
"""

import hashlib
import math
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.config import Protocol, Satellite, Station
from satqkd.distill.parameters import PlannedBlock
from satqkd.errors import ConfigError
from satqkd.mission.edges import edges_s, sifted_so_far
from satqkd.mission.flown import receiver_model

if TYPE_CHECKING:
    from satqkd.mission.contact import Contact

Array = NDArray[np.float64]
_DIGEST_DIGITS: Final = 16


def planned_blocks(contact: "Contact", protocol: Protocol) -> tuple[PlannedBlock, ...]:
    """Pool and predicted sifted bits of each block of a contact; none where blocks are not pooled."""
    if protocol.pooling == "per-pass":
        return ()
    digest = source_digest(contact.satellite, contact.station)
    edges = edges_s(contact, protocol)
    so_far = np.interp(edges, contact.look.t_s, sifted_so_far(contact, protocol))
    sifted = np.rint(np.diff(so_far)).astype(int)
    names = [f"{protocol.pooling}.{digest}"] * protocol.blocks
    if protocol.pooling == "by-loss":
        losses_db = mean_losses_db(contact, edges)
        names = [f"{name}.{_bin(loss_db, protocol)}" for name, loss_db in zip(names, losses_db, strict=True)]
    return tuple(PlannedBlock(name, int(bits)) for name, bits in zip(names, sifted, strict=True))


def source_digest(satellite: Satellite, station: Station) -> str:
    """Of what all blocks of one pool have in common for the bound: the source, how the station chooses bases,
    what it vouches for about its receiver."""
    common = (satellite.source, station.receiver.basis_z_probability, receiver_model(satellite, station))
    told = msgspec.msgpack.encode(common, order="deterministic")
    return hashlib.sha256(told).hexdigest()[:_DIGEST_DIGITS]


def mean_losses_db(contact: "Contact", edge_s: Array) -> Array:
    """Loss of each block's light on average, from the mean budget; (blocks,), infinite where none comes.

    edge_s: pass times of the blocks' edges in seconds, (blocks + 1,).
    """
    t_s, share = contact.look.t_s, 10 ** (-contact.losses.total_db / 10)
    so_far = np.append(0.0, np.cumsum(np.diff(t_s) * (share[1:] + share[:-1]) / 2))
    with np.errstate(divide="ignore"):
        return np.asarray(-10 * np.log10(np.diff(np.interp(edge_s, t_s, so_far)) / np.diff(edge_s)))


def refuse_pooling(protocol: Protocol) -> None:
    """A recording is distilled from its files alone. Raises ConfigError where the protocol pools."""
    if protocol.pooling != "per-pass":
        raise ConfigError(
            f'protocol.pooling: expected "per-pass" for a recording, which holds no link budget, '
            f"got {protocol.pooling!r}; record with the default and pool live passes"
        )


def _bin(loss_db: float, protocol: Protocol) -> str:
    step_db = protocol.pool_loss_step_db
    if not math.isfinite(loss_db):
        return "dark"
    low = math.floor(round(loss_db, 6) / step_db)
    return f"{low * step_db:g}-{(low + 1) * step_db:g}dB"
