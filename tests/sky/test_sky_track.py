"""The path between grid points against SGP4 itself; zeros in many brackets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sky_cases import EPOCH, made_up, wide_orbits

from satqkd.sky import OrbitModel
from satqkd.sky.geometry import earth_fixed
from satqkd.sky.roots import roots
from satqkd.sky.track import Track, fitting_step_s


@given(wide_orbits)
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
def test_between_the_points_the_path_is_that_of_sgp4(orbit: OrbitModel) -> None:
    step_s = fitting_step_s(orbit, EPOCH)
    track = Track(orbit, EPOCH, first_s=-100.0, last_s=86_400.0, step_s=step_s, ut1_minus_utc_s=0.2)
    t_s = np.linspace(-99.0, 86_399.0, 777)
    exact = earth_fixed(orbit, EPOCH, t_s, ut1_minus_utc_s=0.2)
    pieces = track.pieces_at(t_s)
    miss_m = np.abs(pieces.position_m(t_s) - exact.position_m.T).max(axis=0)
    miss_m_s = np.abs(pieces.velocity_m_s(t_s) - exact.velocity_m_s.T).max(axis=0)
    if orbit.period_s < 225 * 60:
        assert miss_m.max() < 2e-3 and miss_m_s.max() < 2e-3
    else:  # SGP4's deep-space part jumps
        assert np.median(miss_m) < 1.0


def test_points_of_the_grid() -> None:
    track = Track(made_up(), EPOCH, first_s=-500.0, last_s=7000.0, step_s=150.0)
    assert track.t_s[0] == -500 and track.t_s[-1] >= 7000 and np.diff(track.t_s) == pytest.approx(150.0)
    exact = earth_fixed(made_up(), EPOCH, track.t_s)
    assert np.abs(track.position_m - exact.position_m).max() < 1e-6
    assert np.abs(track.velocity_m_s - exact.velocity_m_s).max() < 5e-4
    before = np.array([0, 20, track.t_s.size - 2])
    for at in (before, before + 1):
        found = track.pieces(before).position_m(track.t_s[at])
        assert np.abs(found - exact.position_m[at].T).max() < 1e-6


def test_too_coarse_a_grid_is_noticed() -> None:
    """An eccentric orbit gets a finer one than its perigee's speed alone asks for."""
    round_, long_ = made_up(), made_up(altitude_m=20_000e3, inclination_deg=63.4, eccentricity=0.7)
    assert round_.period_s / fitting_step_s(round_, EPOCH) == pytest.approx(40)
    e = 0.7
    by_speed = long_.period_s / 40 * (1 - e**2) ** 1.5 / (1 + e) ** 2
    assert fitting_step_s(long_, EPOCH) < by_speed


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(0.01, 50)), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None, derandomize=True, database=None)
def test_zeros_of_many_brackets(shapes: list[tuple[float, float]]) -> None:
    """Straight, bent and nearly vertical: atan((t - zero) slope), low on the left or on the right."""
    zero, slope = np.array(shapes).T
    for sign in (1.0, -1.0):
        found = roots(lambda t: sign * np.arctan((t - zero) * slope), zero - sign * 4.0, zero + sign * 7.3)  # noqa: B023
        assert found == pytest.approx(zero, abs=1e-4)


def test_no_brackets_no_zeros() -> None:
    assert roots(lambda t: t, np.array([]), np.array([])).shape == (0,)
