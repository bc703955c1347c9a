"""Losses that scatter: the mean of the key is not the key of the mean, and the noise does not fade."""

import math
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import network
from scipy.special import ndtr, ndtri

from satqkd.mission import expected_key
from satqkd.mission.contact import PLANNING_GRID_S, make_contact
from satqkd.plan.network import Network
from satqkd.plan.opportunities import find_opportunities
from satqkd.plan.yields import (
    contact_of_row,
    exact_spread,
    exact_yields,
    fast_spread,
    fast_yields,
    links_of,
    weakened_contact,
    windows_of,
)
from satqkd.plan.yields_spread import TAIL_Z, KeySpread, fast_spread_of, spread_of

Floats = np.ndarray


def scattered(loss_spread_db: float, **tables: object) -> Network:
    rules = {"yields": {"loss_spread_db": loss_spread_db}}
    return network(**({"station": [{"presets": ["beijing"]}], "pair": []} | rules | tables))


def row_of(spread: KeySpread, row: int) -> dict[str, float]:
    return {name: float(getattr(spread, name)[row]) for name in KeySpread.__struct_fields__}


class TestOnFunctions:
    @given(st.floats(-2.5, 2.5), st.floats(1e4, 1e7))
    def test_key_that_falls_evenly_has_its_closed_form(self, threshold: float, slope: float) -> None:
        told = row_of(spread_of(lambda z: max(0.0, slope * (threshold - z))), 0)
        density = math.exp(-(threshold**2) / 2) / math.sqrt(2 * math.pi)
        mean = slope * (threshold * ndtr(threshold) + density)
        assert told["key_bits"] == pytest.approx(mean, rel=2e-3, abs=1)
        assert told["key_probability"] == pytest.approx(ndtr(threshold), abs=5e-3)
        assert told["low_bits"] == pytest.approx(max(0.0, slope * (threshold - TAIL_Z)), abs=1)
        assert told["high_bits"] == pytest.approx(max(0.0, slope * (threshold + TAIL_Z)), abs=1)

    @settings(deadline=None)
    @given(st.floats(0.5, 4.0), st.floats(0.02, 3.0), st.floats(1e5, 1e7))
    def test_the_surrogates_few_calls_find_what_a_fine_grid_does(
        self, deviation_db: float, cost: float, light: float
    ) -> None:
        """Key as counts give it: a share of the light, less a multiple of its root, less a constant."""

        def bits(z: Floats) -> Floats:
            x = 10 ** (-deviation_db * z / 10)
            return np.asarray(light * (0.3 * x - 0.1 * cost * np.sqrt(x) - 0.05 * cost))

        told = row_of(fast_spread_of(lambda rows, z: bits(z), 1, deviation_db=deviation_db), 0)
        z = np.linspace(-6, 6, 4001)
        mean = float(np.trapezoid(np.maximum(bits(z), 0) * np.exp(-(z**2) / 2), z) / math.sqrt(2 * math.pi))
        likely = float(ndtr(z[bits(z) > 0].max(initial=-9.0)))
        assert told["key_bits"] == pytest.approx(mean, rel=0.01, abs=0.002 * light)
        assert told["key_probability"] == pytest.approx(likely, abs=0.01)

    def test_passes_do_not_meet_in_one_call(self) -> None:
        def bits(rows: Floats, z: Floats) -> Floats:
            return np.array([0.0, 1e5, 1e6])[rows] * (10 ** (-0.3 * z) - 0.4)

        together = fast_spread_of(bits, 3, deviation_db=3.0)
        for row in range(3):
            alone = fast_spread_of(lambda _, z, r=row: bits(np.full(len(z), r), z), 1, deviation_db=3.0)
            assert row_of(together, row) == row_of(alone, 0)


def test_without_a_spread_every_column_is_the_key_of_the_budget() -> None:
    found = scattered(0.0, duration_days=4)
    passes = find_opportunities(found)
    for way in (exact_spread, fast_spread):
        told = way(found, passes)
        assert (told.key_bits == told.low_bits).all() and (told.key_bits == told.high_bits).all()
        assert (told.key_probability == (told.key_bits > 0)).all()
    assert (fast_spread(found, passes).key_bits > 0).sum() >= 2
    assert exact_yields(found, passes).tolist() == [
        expected_key(contact_of_row(found, passes, row), found.protocol).secret_bits
        for row in range(len(passes))
    ]


@pytest.mark.parametrize("way", [exact_spread, fast_spread])
def test_a_spread_that_vanishes_changes_nothing(way: Callable[..., KeySpread]) -> None:
    still, moved = scattered(0.0, duration_days=4), scattered(1e-3, duration_days=4)
    passes = find_opportunities(still)
    before, after = way(still, passes).key_bits, way(moved, passes).key_bits
    assert before.max() > 100_000
    assert np.abs(after - before).max() < 100  # counts are whole, so key is rough by some bits


def test_expected_key_is_the_mean_over_stations_that_lose_more_or_less() -> None:
    """Against budgets of stations whose unexplained loss is another each time; naive means fail."""
    deviation_db, shares = 2.5, (np.arange(80) + np.random.default_rng(1).random(80)) / 80
    found = scattered(deviation_db, duration_days=6)
    # Room for gains: twice the telescope, and the loss that takes it back.
    [ground] = found.stations
    loss_db = ground.calibration_loss_db + 8
    ground = msgspec.structs.replace(ground, telescope_diameter_m=0.7, calibration_loss_db=loss_db)
    found = msgspec.structs.replace(found, stations=(ground,))
    passes = find_opportunities(found)
    still = msgspec.structs.replace(found, yields=msgspec.structs.replace(found.yields, loss_spread_db=0))
    naive = exact_yields(still, passes)
    chosen = np.argsort(naive)[[int((naive == 0).sum()), -1]]  # the weakest with key, the best
    told = exact_spread(found, passes.taken(chosen))
    fast = fast_spread(found, passes.taken(chosen))
    for k, row in enumerate(chosen.tolist()):
        keys = []
        for offset_db in deviation_db * ndtri(shares):
            other = msgspec.structs.replace(ground, calibration_loss_db=loss_db + offset_db)
            contact = make_contact(
                found.satellites[0], other, passes.pass_of(row, found.start), step_s=PLANNING_GRID_S
            )
            keys.append(expected_key(contact, found.protocol).secret_bits)
        assert told.key_bits[k] == pytest.approx(np.mean(keys), rel=0.025)
        assert fast.key_bits[k] == pytest.approx(np.mean(keys), rel=0.04)
        assert abs(naive[row] / np.mean(keys) - 1) > 0.1
        assert told.key_probability[k] == pytest.approx(np.mean(np.array(keys) > 0), abs=0.02)
        assert told.low_bits[k] == pytest.approx(np.quantile(keys, 0.1), rel=0.15, abs=2000)
        assert told.high_bits[k] == pytest.approx(np.quantile(keys, 0.9), rel=0.05)


def test_a_pass_without_key_at_its_budget_may_give_some() -> None:
    found = scattered(3.0, duration_days=6)
    passes = find_opportunities(found)
    still = msgspec.structs.replace(found, yields=msgspec.structs.replace(found.yields, loss_spread_db=0))
    none = fast_yields(still, passes) == 0
    told = fast_spread(found, passes)
    assert none.any()
    assert ((told.key_bits > 0) & (told.key_probability < 0.5) & (told.low_bits == 0))[none].all()


def test_the_surrogate_with_a_spread_is_near_the_exact_mean() -> None:
    found = scattered(3.0, duration_days=10)
    passes = find_opportunities(found)
    passes = passes.taken(np.arange(0, len(passes), 2))
    exact, fast = exact_spread(found, passes), fast_spread(found, passes)
    assert abs(fast.key_bits.sum() / exact.key_bits.sum() - 1) < 0.005
    strong = exact.key_bits > 20_000
    assert strong.sum() >= 3 and (~strong).any()
    assert np.abs(fast.key_bits[strong] / exact.key_bits[strong] - 1).max() < 0.01
    assert np.abs(fast.key_probability - exact.key_probability).max() < 0.02


def test_where_key_ends_is_found_between_far_apart_losses() -> None:
    """At 6 dB the surrogate's first losses lie 12 dB apart, and beyond the end only costs are left."""
    found = scattered(
        6.0, duration_days=12, satellite=[{"preset": "micius"}], station=[{"presets": ["xinglong"]}]
    )
    passes = find_opportunities(found)
    passes = passes.taken(np.arange(0, len(passes), 4))
    exact, fast = exact_spread(found, passes), fast_spread(found, passes)
    assert len(passes) >= 3 and exact.key_probability.min() > 0.95
    assert np.abs(fast.key_probability - exact.key_probability).max() < 0.007
    assert np.abs(fast.key_bits / exact.key_bits - 1).max() < 0.01


def test_detectors_blinded_by_too_much_light_do_not_take_the_key_away() -> None:
    told = row_of(spread_of(lambda z: 0.0 if z < -4.5 else max(0.0, 1e6 * (1.0 - z))), 0)
    assert told["key_probability"] == pytest.approx(ndtr(1.0), abs=5e-3)


def test_light_is_weakened_and_noise_is_not() -> None:
    found = scattered(0.0, duration_days=2)
    passes = find_opportunities(found)
    contact = contact_of_row(found, passes, 0)
    weak = weakened_contact(contact, 10.0)
    assert np.allclose(weak.losses.transmittance, contact.losses.transmittance / 10, rtol=1e-12)
    for name in ("background_hz", "crosstalk_hz"):
        assert (getattr(weak.losses, name) == getattr(contact.losses, name)).all()
    assert weak.expected_qber > 2 * contact.expected_qber
    [(_, _, rows)] = links_of(passes)
    [(_, light)] = windows_of(found, passes, rows)
    (before, _), (after, _) = light.counts(), light.counts(10.0)
    signal, vacuum = (..., 0), (..., 2)
    assert (after[signal] < 0.2 * before[signal]).all()
    assert (after[vacuum] > 0.5 * before[vacuum]).all()
    assert (light.counts(0.0)[0] == before).all()
