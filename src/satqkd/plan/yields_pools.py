"""Passes of a link put together in one block: what the pool gives, against its passes one by one.

Counts of all passes are added up, their leaks too, and go through the key-length function once, as a pool is
distilled (`distill.pooling`). A pool's key is one number of all its passes: what is told of a pass is its
part by sifted bits, which holds only if the whole pool is flown under a clear sky. Where a pass's loss has a
spread, pools are averaged over draws of a fixed seed. Knows no store.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.distill.pooling import MAXIMUM_KEPT_DETECTIONS
from satqkd.plan.network import Network
from satqkd.plan.opportunities import Opportunities
from satqkd.plan.yields import links_of
from satqkd.plan.yields_block import LinkPasses, keyed_counts, lights_of, pool_bits

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


class Pools(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Columns of one length, a row a pool, ordered by satellite, station and time; and two of the passes."""

    satellite: NDArray[np.int32]
    station: NDArray[np.int32]
    start_s: Floats
    """Of its first pass, after the network's start."""
    end_s: Floats
    """Of its last."""
    passes: NDArray[np.intp]
    detections: Floats
    """Expected of all its passes."""
    apart_bits: Floats
    """Sum of the expected keys of its passes, each a block of its own."""
    pooled_bits: Floats
    """Expected key of all as one block; 0 where the pool does not close in the horizon."""
    closed: NDArray[np.bool_]
    pool_of: Rows
    """Of each pass, shape (n,)."""
    part_bits: Floats
    """Of each pass: the pool's key by its part of the sifted bits, shape (n,)."""


def pools_asked(network: Network) -> bool:
    """Whether the scenario says which passes are one block: by `pool_s`, or its protocol's `pooled`."""
    return network.yields.pool_s is not None or network.protocol.pooling == "pooled"


def pooled_yields(network: Network, passes: Opportunities, key_bits: Floats, *, exact: bool = False) -> Pools:
    """Pools of any passes, say of all or of those that a plan flies. key_bits: of each by itself, shape (n,).

    With `pool_s` a pool is a period of a link; without, passes of a link are taken in order until the sifted
    bits foretold reach the protocol's `pool_sifted_bits`, as both ends do it. A pool takes no more along than
    one block may; a pass that is more than that by itself stands alone.
    exact: the full budget and the key-length function itself, some 20 ms a pass, with a spread 0.1 s.
    """
    links = [
        LinkPasses(
            network.satellites[satellite],
            network.stations[station],
            rows,
            list(lights_of(network, passes, rows, exact=exact)),
        )
        for satellite, station, rows in links_of(passes)
    ]
    sifted, detections = _loads(network, len(passes), links)
    pool_of, closed = _numbered(network, passes, sifted, detections)
    bits = [pool_bits(network, link, pool_of, sifted, exact=exact) for link in links]
    pooled = np.where(closed, np.concatenate(bits), 0.0) if bits else np.empty(0)
    return _told(passes, key_bits, pooled, closed, pool_of, sifted, detections)


def _told(
    passes: Opportunities,
    key_bits: Floats,
    bits: Floats,
    closed: NDArray[np.bool_],
    pool_of: Rows,
    sifted: Floats,
    detections: Floats,
) -> Pools:
    count = len(bits)
    order = np.lexsort((passes.start_s, pool_of))
    first = order[np.searchsorted(pool_of[order], np.arange(count))]
    end_s = np.full(count, -np.inf)
    np.maximum.at(end_s, pool_of, passes.end_s)

    def summed(values: Floats) -> Floats:
        return np.bincount(pool_of, values, minlength=count).astype(np.float64)

    number = np.bincount(pool_of, minlength=count)
    bits = np.where((number == 1) & closed, summed(key_bits), bits)
    whole = summed(sifted)[pool_of]
    share = np.divide(sifted, whole, out=np.zeros(len(passes)), where=whole > 0)
    return Pools(
        satellite=passes.satellite[first],
        station=passes.station[first],
        start_s=passes.start_s[first],
        end_s=end_s,
        passes=number,
        detections=summed(detections),
        apart_bits=summed(key_bits),
        pooled_bits=bits,
        closed=closed,
        pool_of=pool_of,
        part_bits=bits[pool_of] * share,
    )


def _loads(network: Network, passes: int, links: Sequence[LinkPasses]) -> tuple[Floats, Floats]:
    """Sifted bits of keyed bases and classes, and detections, of each pass at its budget's loss."""
    sifted, detections = np.zeros(passes), np.zeros(passes)
    for link in links:
        for rows, light in link.lights:
            sifted[rows] = keyed_counts(network.protocol, light.counts()[0]).sum(axis=1)
            detections[rows] = light.detections
    return sifted, detections


def _numbered(
    network: Network, passes: Opportunities, sifted: Floats, detections: Floats
) -> tuple[Rows, NDArray[np.bool_]]:
    """Pool of each pass, and whether each pool closes. What is kept must fit the block that takes it."""
    pool_of, closed = np.zeros(len(passes), dtype=np.intp), list[bool]()
    length_s, enough = network.yields.pool_s, network.protocol.pool_sifted_bits
    for _, _, rows in links_of(passes):
        pool, period, kept, bits = -1, 0, 0.0, 0.0
        for row in rows.tolist():
            if detections[row] > MAXIMUM_KEPT_DETECTIONS:
                pool_of[row] = len(closed)
                closed.append(True)
                continue
            own = 0 if length_s is None else int(passes.culmination_s[row] // length_s)
            if pool < 0 or own != period or kept > MAXIMUM_KEPT_DETECTIONS:
                pool, period, kept, bits = len(closed), own, 0.0, 0.0
                closed.append(length_s is not None)
            pool_of[row] = pool
            kept, bits = kept + detections[row], bits + sifted[row]
            if length_s is None and bits >= enough:
                closed[pool], pool = True, -1
    return pool_of, np.array(closed, dtype=np.bool_)
