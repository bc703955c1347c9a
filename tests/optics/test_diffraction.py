"""Diffraction against published figures and against the far-field double integral."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import j0

from satqkd.optics import (
    collected_fraction,
    collected_fraction_of_divergence,
    gaussian_half_angle_rad,
    loss_db,
    narrowest_half_angle_rad,
)
from satqkd.optics.diffraction import Convention

CONVENTIONS: tuple[Convention, ...] = ("disc_full", "gaussian_1e2_full", "gaussian_fwhm_full")


@pytest.mark.parametrize(
    ("convention", "expected_db"),
    [("disc_full", 21.6), ("gaussian_1e2_full", 18.6), ("gaussian_fwhm_full", 23.2)],
)
def test_ten_microradians_at_1200_km_into_one_metre(convention: Convention, expected_db: float) -> None:
    fraction = collected_fraction_of_divergence(
        1.2e6, divergence_rad=10e-6, convention=convention, receiver_radius_m=0.5
    )
    assert loss_db(fraction) == pytest.approx(expected_db, abs=0.05)


def test_portable_telescope_at_three_ranges() -> None:
    fraction = collected_fraction_of_divergence(
        [500e3, 800e3, 1200e3],
        divergence_rad=10e-6,
        convention="gaussian_1e2_full",
        receiver_radius_m=0.14,
    )
    np.testing.assert_allclose(loss_db(fraction), [22.0, 26.1, 29.6], atol=0.05)


def test_waist_of_150_mm_at_1200_km() -> None:
    """The figure 9.95 dB quoted as Micius' diffraction limit holds for a waist that nothing cuts.

    Behind a 300 mm aperture the same waist gives 13.2 dB, and no beam gives less than 12.8 dB.
    """
    link = {"wavelength_m": 850e-9, "receiver_radius_m": 0.5}
    uncut = collected_fraction(1.2e6, aperture_radius_m=5.0, waist_radius_m=0.15, **link)
    cut = collected_fraction(1.2e6, aperture_radius_m=0.15, waist_radius_m=0.15, **link)
    uniform = collected_fraction(1.2e6, aperture_radius_m=0.15, waist_radius_m=15.0, **link)
    np.testing.assert_allclose(loss_db([uncut, cut, uniform]), [9.95, 13.18, 12.85], atol=0.01)


def _double_integral(L: float, lam: float, a_T: float, w: float, a_R: float) -> float:
    """Power inside a_R of the Fraunhofer field of a Gaussian cut at a_T, over the power sent."""
    k = 2 * np.pi / lam

    def field(rho: float) -> float:
        return quad(lambda r: r * np.exp(-((r / w) ** 2)) * j0(k * rho * r / L), 0, a_T)[0]

    power_sent = w**2 / 4 * (1 - np.exp(-2 * (a_T / w) ** 2))
    caught = quad(lambda rho: rho * field(rho) ** 2, 0, a_R)[0] * (k / L) ** 2
    return caught / power_sent


@pytest.mark.parametrize(
    ("range_m", "aperture_radius_m", "waist_radius_m", "receiver_radius_m", "tolerance"),
    [
        (500e3, 0.15, 0.15, 0.5, 0.012),
        (1200e3, 0.15, 0.135, 0.5, 0.003),
        (500e3, 0.05, 0.04, 0.14, 0.001),
        (800e3, 0.1, 0.3, 0.14, 0.001),
    ],
)
def test_agrees_with_the_double_integral(
    range_m: float,
    aperture_radius_m: float,
    waist_radius_m: float,
    receiver_radius_m: float,
    tolerance: float,
) -> None:
    """The largest error is that of a metre-size receiver near a large transmitter."""
    fraction = collected_fraction(
        range_m,
        wavelength_m=850e-9,
        aperture_radius_m=aperture_radius_m,
        waist_radius_m=waist_radius_m,
        receiver_radius_m=receiver_radius_m,
    )
    exact = _double_integral(range_m, 850e-9, aperture_radius_m, waist_radius_m, receiver_radius_m)
    assert float(fraction) == pytest.approx(exact, rel=tolerance)


metres = st.floats(1e-3, 5.0)


@settings(max_examples=200, deadline=None)
@given(range_m=st.floats(1.0, 1e9), lam=st.floats(3e-7, 2e-6), a_T=metres, w=metres, a_R=metres)
def test_never_catches_more_than_was_sent(
    range_m: float, lam: float, a_T: float, w: float, a_R: float
) -> None:
    ranges = np.array([range_m, 2 * range_m])
    near, far = collected_fraction(
        ranges, wavelength_m=lam, aperture_radius_m=a_T, waist_radius_m=w, receiver_radius_m=a_R
    )
    assert 0 <= far <= near <= 1


@settings(max_examples=200, deadline=None)
@given(
    range_m=st.floats(1.0, 1e9),
    divergence_rad=st.floats(1e-7, 1e-2),
    a_R=metres,
    convention=st.sampled_from(CONVENTIONS),
)
def test_never_catches_more_than_was_sent_by_divergence(
    range_m: float, divergence_rad: float, a_R: float, convention: Convention
) -> None:
    near, far = collected_fraction_of_divergence(
        [range_m, 2 * range_m], divergence_rad=divergence_rad, convention=convention, receiver_radius_m=a_R
    )
    assert 0 <= far <= near <= 1


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_half_angle_keeps_the_on_axis_intensity(convention: Convention) -> None:
    """A receiver far smaller than the beam sees only the on-axis intensity."""
    small = {"divergence_rad": 10e-6, "convention": convention, "receiver_radius_m": 1e-3}
    as_named = collected_fraction_of_divergence(1e6, **small)
    w = gaussian_half_angle_rad(10e-6, convention) * 1e6
    assert float(as_named) == pytest.approx(2 * (1e-3 / w) ** 2, rel=1e-6)


@settings(max_examples=100, deadline=None)
@given(ratio=st.floats(0.1, 30.0))
def test_no_truncated_gaussian_is_narrower_than_the_limit(ratio: float) -> None:
    a_T, lam, L, a_R = 0.15, 850e-9, 1e6, 1e-3
    caught = collected_fraction(
        L, wavelength_m=lam, aperture_radius_m=a_T, waist_radius_m=ratio * a_T, receiver_radius_m=a_R
    )
    w = narrowest_half_angle_rad(wavelength_m=lam, aperture_radius_m=a_T) * L
    limit = 2 * (a_R / w) ** 2
    assert float(caught) <= limit * (1 + 1e-9)
    if ratio > 10:
        assert float(caught) == pytest.approx(limit, rel=0.01)
