"""Polarisation errors against published angles and against Jones matrices that know no Stokes parameter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from satqkd.errors import ConfigError
from satqkd.optics.polarisation import (
    combined_error,
    crossed_contrasts,
    error_of_contrast,
    error_probabilities,
    half_wave_plate_angle_rad,
    residual_angle_rad,
)

H, V = np.array([1, 0], complex), np.array([0, 1], complex)
PLUS, MINUS = (H + V) / np.sqrt(2), (H - V) / np.sqrt(2)
NONE = {"optical_error_z": 0.0, "optical_error_x": 0.0}

Jones = NDArray[np.complex128]


def rotation(angle: float) -> Jones:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], complex)


def retarder(phase: float) -> Jones:
    return np.diag([1, np.exp(1j * phase)])


def half_wave_plate(angle: float) -> Jones:
    return rotation(angle) @ np.diag([1, -1]).astype(complex) @ rotation(-angle)


def wrong(optics: Jones, right: Jones, other: Jones, depolarisation: float, flip: float) -> float:
    """Error of a basis: mean of its two states, mixed with unpolarised light, through a leaky analyser."""
    total = 0.0
    for sent, missed in ((right, other), (other, right)):
        state = np.outer(optics @ sent, (optics @ sent).conj())
        state = (1 - depolarisation) * state + depolarisation * np.eye(2) / 2
        p = float((missed.conj() @ state @ missed).real)
        total += p * (1 - flip) + (1 - p) * flip
    return total / 2


def test_angles_of_the_facts_page() -> None:
    errors = error_probabilities(np.radians([3, 5, 10]), **NONE)
    assert errors.shape == (2, 3)
    np.testing.assert_allclose(errors[0], [0.0027, 0.0076, 0.030], rtol=0.02)
    np.testing.assert_array_equal(errors[0], errors[1])


@settings(max_examples=300, deadline=None)
@given(
    psi=st.floats(-3.2, 3.2),
    phi=st.floats(-3.2, 3.2),
    p=st.floats(0, 1),
    errors=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)),
    mirrors_first=st.booleans(),
)
def test_against_jones_matrices(
    psi: float, phi: float, p: float, errors: tuple[float, float], mirrors_first: bool
) -> None:
    """Mirrors in the sender's frame or in the receiver's give the same, phase and turn of either sign."""
    optics = rotation(psi) @ retarder(phi) if mirrors_first else retarder(phi) @ rotation(psi)
    computed = error_probabilities(
        psi,
        optical_error_z=errors[0],
        optical_error_x=errors[1],
        depolarisation=p,
        retardance_rad=phi,
    )
    expected = [wrong(optics, H, V, p, errors[0]), wrong(optics, PLUS, MINUS, p, errors[1])]
    np.testing.assert_allclose(computed, expected, atol=1e-12)


@settings(max_examples=200, deadline=None)
@given(psi=st.floats(-3.2, 3.2), phi=st.floats(-3.2, 3.2), p=st.floats(0, 1), flip=st.floats(0, 0.5))
def test_contrast_in_the_other_basis_against_jones_matrices(
    psi: float, phi: float, p: float, flip: float
) -> None:
    """Both bits of both bases, mirrors in the sender's frame; the sign is that of a turn from H toward +."""
    optics = rotation(psi) @ retarder(phi)
    s_z, s_x = crossed_contrasts(
        psi, optical_error_z=flip, optical_error_x=flip, depolarisation=p, retardance_rad=phi
    )
    assert crossed_contrasts(0.1, **NONE)[0] > 0
    for sent, other, same in ((H, MINUS, (1 + s_z) / 2), (V, PLUS, (1 + s_z) / 2)):
        assert 1 - wrong_one(optics, sent, other, p, flip) == pytest.approx(same, abs=1e-12)
    for sent, other, same in ((PLUS, V, (1 - s_x) / 2), (MINUS, H, (1 - s_x) / 2)):
        assert 1 - wrong_one(optics, sent, other, p, flip) == pytest.approx(same, abs=1e-12)


def wrong_one(optics: Jones, sent: Jones, missed: Jones, depolarisation: float, flip: float) -> float:
    """Probability that one state reaches the detector of the other bit."""
    state = optics @ sent
    p = (1 - depolarisation) * abs(missed.conj() @ state) ** 2 + depolarisation / 2
    return float(p * (1 - flip) + (1 - p) * flip)


def test_a_retarding_mirror_hurts_x_alone() -> None:
    z, x = error_probabilities(0.0, retardance_rad=np.radians(20), **NONE)
    assert z == 0
    assert x == pytest.approx(np.sin(np.radians(10)) ** 2)


def test_contrast_of_micius() -> None:
    """280:1 is a floor of 0.36 %; two such parts in a row nearly add."""
    floor = error_of_contrast(280)
    assert float(floor) == pytest.approx(0.0036, rel=0.02)
    assert float(combined_error([floor, floor])) == pytest.approx(2 * floor * (1 - floor))


@settings(max_examples=100, deadline=None)
@given(psi=st.floats(-1.5, 1.5))
def test_the_plate_undoes_the_turn(psi: float) -> None:
    """Turned by psi / 2, not by psi; H and V come back, + and - change places."""
    back = half_wave_plate(float(half_wave_plate_angle_rad(psi))) @ rotation(psi)
    for sent, arrives in ((H, H), (V, V), (PLUS, MINUS), (MINUS, PLUS)):
        assert abs(arrives.conj() @ back @ sent) == pytest.approx(1, abs=1e-12)


class TestResidual:
    TIME_S = np.linspace(0.0, 100.0, 1001)
    STEADY = 0.01 * TIME_S
    """A turn of 10 mrad/s."""

    @pytest.mark.parametrize("static_rad", [0.0, 0.03, -0.2])
    def test_it_makes_the_mean_error_of_a_plate_that_moves_in_steps(self, static_rad: float) -> None:
        """The plate played out: 2 s for the angle at the middle of each, error of every millisecond.

        What is not told is the curve of the turn within a step, times the static angle.
        """
        turn, step_s = 1.5 * np.sin(self.TIME_S / 10), 2.0
        middle_s = np.arange(0.0, 100.0, step_s) + step_s / 2
        moment_s = middle_s[:, None] + (np.arange(2000) + 0.5) * 1e-3 - step_s / 2
        left = 1.5 * np.sin(moment_s / 10) - 1.5 * np.sin(middle_s / 10)[:, None] + static_rad
        played = np.mean(np.sin(left) ** 2, axis=1)
        residual = residual_angle_rad(
            turn, time_s=self.TIME_S, update_interval_s=step_s, static_rad=static_rad
        )
        told = np.sin(np.interp(middle_s, self.TIME_S, residual)) ** 2
        np.testing.assert_allclose(told[1:-1], played[1:-1], atol=2e-4 + 5e-3 * abs(static_rad))
        assert played.max() - np.sin(static_rad) ** 2 > 5e-3

    def test_a_small_step_leaves_its_twelfth(self) -> None:
        residual = residual_angle_rad(self.STEADY, time_s=self.TIME_S, update_interval_s=2.0)
        np.testing.assert_allclose(residual, 0.02 / np.sqrt(12), rtol=1e-3)

    def test_following_leaves_the_static_part(self) -> None:
        for static_rad in (0.03, -0.03, 0.0):
            still = residual_angle_rad(
                self.STEADY, time_s=self.TIME_S, update_interval_s=0.0, static_rad=static_rad
            )
            np.testing.assert_allclose(still, np.full(1001, static_rad), atol=1e-8)

    def test_a_wrap_of_the_axis_is_no_motion(self) -> None:
        turn = 5 * self.STEADY
        wrapped = turn % np.pi
        assert np.abs(np.diff(wrapped)).max() > 3
        np.testing.assert_allclose(
            residual_angle_rad(wrapped + 2.5, time_s=self.TIME_S, update_interval_s=2.0),
            residual_angle_rad(turn, time_s=self.TIME_S, update_interval_s=2.0),
            atol=1e-9,
        )

    @settings(max_examples=100, deadline=None)
    @given(interval=st.floats(0.0, 40), scale=st.floats(0, 1.0), n=st.integers(50, 400))
    def test_other_points_of_the_pass_see_the_same(self, interval: float, scale: float, n: int) -> None:
        coarse_s = np.linspace(0.0, 100.0, n)
        fine, coarse = (
            residual_angle_rad(scale * np.sin(t_s / 10), time_s=t_s, update_interval_s=interval)
            for t_s in (self.TIME_S, coarse_s)
        )
        np.testing.assert_allclose(
            np.interp(coarse_s, self.TIME_S, fine), coarse, atol=0.03 * scale * interval
        )

    def test_a_negative_interval_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"update_interval_s.*got -1"):
            residual_angle_rad(self.STEADY, time_s=self.TIME_S, update_interval_s=-1.0)
