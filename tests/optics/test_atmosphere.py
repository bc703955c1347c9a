"""Airmass and extinction against published figures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.optics import airmass, atmosphere_transmittance


def test_airmass_of_kasten_and_young() -> None:
    """1/sin gives 2.924, 5.759 and 11.47 from 20 degrees down: it would fail here."""
    elevation_rad = np.radians([90, 30, 20, 15, 10, 5])
    expected = np.array([1.0, 1.994, 2.903, 3.813, 5.586, 10.31])
    np.testing.assert_allclose(airmass(elevation_rad), expected, rtol=1e-3)


def test_airmass_at_the_horizon_and_below() -> None:
    at_horizon, below = airmass([0.0, -0.01])
    assert 36 < at_horizon < 40
    assert below == np.inf


def test_transmittance_of_a_clear_site() -> None:
    """Optical depth 0.111 stands for SatQuMA's MODTRAN table at 850 nm."""
    elevation_rad = np.radians([90, 60, 45, 30, 20, 15, 10])
    table = np.array([0.895, 0.880, 0.855, 0.802, 0.726, 0.657, 0.539])
    computed = atmosphere_transmittance(elevation_rad, zenith_optical_depth=0.111)
    np.testing.assert_allclose(computed, table, atol=0.004)


@pytest.mark.parametrize("depth", [0.0, 0.3])
def test_nothing_comes_through_the_ground(depth: float) -> None:
    assert atmosphere_transmittance(-0.1, zenith_optical_depth=depth) == 0


@settings(max_examples=100, deadline=None)
@given(low=st.floats(0, 1.57), high=st.floats(0, 1.57), depth=st.floats(0, 5))
def test_higher_is_clearer(low: float, high: float, depth: float) -> None:
    low, high = sorted((low, high))
    at_low, at_high = atmosphere_transmittance([low, high], zenith_optical_depth=depth)
    assert 0 <= at_low <= at_high <= 1
