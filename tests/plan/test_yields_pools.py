"""Passes of a link as one block: what the software would distil, and nothing that one pass could claim."""

from typing import Any

import msgspec
import numpy as np
import pytest
from planning import network
from scipy.special import ndtri

from satqkd.distill.pooling import MAXIMUM_KEPT_DETECTIONS
from satqkd.mission import expected_pooling_gain, pooling_gain
from satqkd.mission.flown import receiver_model
from satqkd.mission.foretold import expected_pass_counts, foretold_leak
from satqkd.mission.gain import PassCounts
from satqkd.mission.pools import planned_blocks
from satqkd.plan.network import Network
from satqkd.plan.opportunities import Opportunities, find_opportunities
from satqkd.plan.yields import contact_of_row, exact_yields, fast_yields, weakened_contact
from satqkd.plan.yields_pools import Pools, pooled_yields, pools_asked


def pooled(found: Network, *, exact: bool = False) -> tuple[Opportunities, Pools]:
    passes = find_opportunities(found)
    key_bits = (exact_yields if exact else fast_yields)(found, passes)
    return passes, pooled_yields(found, passes, key_bits, exact=exact)


def weekly(**tables: Any) -> Network:
    return network(**({"duration_days": 9, "pair": [], "yields": {"pool_days": 3}} | tables))


def test_a_pools_key_is_what_the_gain_of_pooling_foretells() -> None:
    found = weekly()
    passes, pools = pooled(found, exact=True)
    assert (pools.passes > 2).sum() >= 2
    for pool in range(len(pools.passes)):
        rows = np.flatnonzero(pools.pool_of == pool)
        gain = expected_pooling_gain(
            [contact_of_row(found, passes, int(row)) for row in rows], found.protocol
        )
        assert pools.pooled_bits[pool] == gain.pooled_bits
        assert pools.apart_bits[pool] == sum(gain.per_pass_bits)
    several = (pools.passes > 1) & (pools.pooled_bits > 0)
    assert (pools.pooled_bits[several] > 1.03 * pools.apart_bits[several]).all()


def test_the_surrogates_pools_are_near_the_exact_ones() -> None:
    found = weekly()
    _, exact = pooled(found, exact=True)
    _, fast = pooled(found)
    assert (fast.pool_of == exact.pool_of).all()
    assert np.abs(fast.pooled_bits / exact.pooled_bits - 1)[exact.pooled_bits > 20_000].max() < 0.01
    assert np.allclose(fast.detections, exact.detections, rtol=2e-3)


def test_parts_are_by_sifted_bits_and_make_the_whole() -> None:
    found = weekly()
    passes, pools = pooled(found, exact=True)
    parts = np.bincount(pools.pool_of, pools.part_bits)
    assert parts == pytest.approx(pools.pooled_bits)
    pool = int(np.argmax(pools.passes))
    rows = np.flatnonzero(pools.pool_of == pool)
    sifted = np.array([
        sum(each.detections for each in expected_pass_counts(contact_of_row(found, passes, int(row)))
            if each.class_name == "signal")
        for row in rows
    ])  # fmt: skip
    assert pools.part_bits[rows] == pytest.approx(pools.pooled_bits[pool] * sifted / sifted.sum())


def test_a_pool_is_of_one_link_and_one_period_and_carries_no_more_than_a_block_may() -> None:
    found = weekly(duration_days=12, satellite=[{"preset": "jinan-1"}, {"preset": "jinan-1", "name": "twin"}])
    passes, pools = pooled(found)
    assert pools.passes.sum() == len(passes)
    for pool in range(len(pools.passes)):
        rows = np.flatnonzero(pools.pool_of == pool)
        assert set(passes.satellite[rows].tolist()) == {pools.satellite[pool]}
        assert set(passes.station[rows].tolist()) == {pools.station[pool]}
        assert len(set((passes.culmination_s[rows] // (3 * 86_400)).tolist())) == 1
        assert (pools.start_s[pool], pools.end_s[pool]) == (
            passes.start_s[rows].min(),
            passes.end_s[rows].max(),
        )
    alone = pools.detections > MAXIMUM_KEPT_DETECTIONS
    assert (alone & (pools.passes == 1)).any()
    assert pools.closed.all()


def test_a_pass_belongs_to_the_period_of_its_culmination() -> None:
    """A period ends between a pass's culmination and its end, another between its beginning and that."""
    found = weekly(station=[{"presets": ["stellenbosch"]}], yields={"pool_days": 9})
    passes, whole = pooled(found)
    second = int(np.flatnonzero(np.diff(whole.pool_of) == 0)[0]) + 1
    for side_s, together in ((1.0, True), (-1.0, False)):
        rules = msgspec.structs.replace(found.yields, pool_s=float(passes.culmination_s[second]) + side_s)
        cut = pooled_yields(msgspec.structs.replace(found, yields=rules), passes, np.zeros(len(passes)))
        assert (cut.pool_of[second] == cut.pool_of[second - 1]) == together


def test_a_pool_keeps_no_more_for_its_last_pass_than_a_block_may_take() -> None:
    found = weekly(duration_days=12, yields={"pool_days": 12})
    passes, pools = pooled(found)
    singly = msgspec.structs.replace(found, yields=msgspec.structs.replace(found.yields, pool_s=60.0))
    apart = pooled_yields(singly, passes, fast_yields(found, passes))
    detections = apart.detections[apart.pool_of]
    assert pools.passes.max() > 2
    for pool in range(len(pools.passes)):
        rows = np.flatnonzero(pools.pool_of == pool)
        assert detections[rows].sum() == pytest.approx(pools.detections[pool])
        kept = detections[rows[np.argsort(passes.start_s[rows])][:-1]].sum()
        assert kept <= MAXIMUM_KEPT_DETECTIONS


def test_pools_of_the_protocol_close_where_both_ends_close_them() -> None:
    rules = {"pooling": "pooled", "pool_sifted_bits": 1_500_000}
    found = network(duration_days=12, pair=[], protocol=rules)
    assert pools_asked(found) and not pools_asked(network())
    passes, pools = pooled(found)
    for station in (0, 1):
        pool, held = None, 0
        for row in np.flatnonzero(passes.station == station).tolist():
            if pools.detections[pools.pool_of[row]] > MAXIMUM_KEPT_DETECTIONS:
                continue  # alone, or closed by its last
            [planned] = planned_blocks(contact_of_row(found, passes, row), found.protocol)
            pool, held = (pools.pool_of[row], held) if pool is not None else (pools.pool_of[row], 0)
            assert pools.pool_of[row] == pool
            held += planned.sifted_bits
            if held >= 1_500_000:
                assert pools.closed[pool]
                pool = None
    last = ~pools.closed
    assert last.any() and (pools.pooled_bits[last] == 0).all() and (pools.apart_bits[last] > 0).any()


def test_losses_of_a_pool_are_drawn_for_each_pass() -> None:
    """Two passes against the mean over all pairs of their losses; losses in common would fail."""
    found = network(
        duration_days=2,
        station=[{"presets": ["beijing"]}],
        pair=[],
        yields={"pool_days": 2, "loss_spread_db": 3.0},
    )
    passes = find_opportunities(found)
    small = np.argsort(fast_yields(found, passes))[:2]
    passes = passes.taken(np.sort(small))
    assert len(passes) == 2
    pools = pooled_yields(found, passes, fast_yields(found, passes))
    z = ndtri((np.arange(20) + 0.5) / 20)
    counted = [[_counts(found, passes, row, 3.0 * each) for each in z] for row in range(2)]
    craft, ground = found.satellites[0], found.stations[0]
    receiver = receiver_model(craft, ground)

    def key(one: PassCounts, other: PassCounts) -> int:
        return pooling_gain([one, other], craft.source, found.protocol, receiver=receiver).pooled_bits

    independent = np.mean([key(one, other) for one in counted[0] for other in counted[1]])
    common = np.mean([key(one, other) for one, other in zip(*counted, strict=True)])
    assert pools.pooled_bits.tolist() == pytest.approx([independent], rel=0.025)
    assert common > 1.04 * independent


def _counts(found: Network, passes: Opportunities, row: int, loss_db: float) -> PassCounts:
    counts = expected_pass_counts(weakened_contact(contact_of_row(found, passes, row), loss_db))
    return PassCounts(tuple(counts), foretold_leak(counts, found.protocol))


def test_a_pool_of_one_pass_is_that_pass() -> None:
    found = weekly(yields={"pool_days": 0.02, "loss_spread_db": 3.0}, duration_days=4)
    passes, pools = pooled(found)
    assert (pools.passes == 1).all() and len(passes) > 5
    assert (pools.part_bits == fast_yields(found, passes)).all()


def test_without_a_pass_there_are_no_pools() -> None:
    passes, pools = pooled(weekly(duration_days=0.01))
    assert len(passes) == len(pools.passes) == 0
