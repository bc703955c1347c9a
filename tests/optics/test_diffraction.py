"""Diffraction against published figures and against the far-field double integral."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import j0

from satqkd.errors import ConfigError
from satqkd.optics import (
    collected_fraction,
    collected_fraction_of_divergence,
    gaussian_half_angle_rad,
    loss_db,
    narrowest_half_angle_rad,
)
from satqkd.optics.diffraction import Convention, equivalent_half_angle_rad, on_axis_gain

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


def _double_integral(
    L: float, lam: float, a_T: float, w: float, a_R: float, eps_T: float = 0.0, eps_R: float = 0.0
) -> float:
    """Power between eps_R a_R and a_R of the Fraunhofer field of a Gaussian cut to an annulus, over all."""
    k, b = 2 * np.pi / lam, eps_T * a_T

    def field(rho: float) -> float:
        return quad(lambda r: r * np.exp(-((r / w) ** 2)) * j0(k * rho * r / L), b, a_T)[0]

    power_sent = w**2 / 4 * (np.exp(-2 * (b / w) ** 2) - np.exp(-2 * (a_T / w) ** 2))
    caught = quad(lambda rho: rho * field(rho) ** 2, eps_R * a_R, a_R)[0] * (k / L) ** 2
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
@pytest.mark.parametrize(("eps_T", "eps_R"), [(0.0, 0.0), (0.33, 0.0), (0.0, 0.33), (0.33, 0.33)])
def test_agrees_with_the_double_integral(
    range_m: float,
    aperture_radius_m: float,
    waist_radius_m: float,
    receiver_radius_m: float,
    tolerance: float,
    eps_T: float,
    eps_R: float,
) -> None:
    """The largest error is that of a metre-size receiver near a large transmitter.

    An obscured beam has a narrower main lobe and stronger rings, so it may miss by 2.4 times as much. Leaving
    an obscuration out, or taking it as a ratio of areas, misses by a tenth.
    """
    fraction = collected_fraction(
        range_m,
        wavelength_m=850e-9,
        aperture_radius_m=aperture_radius_m,
        waist_radius_m=waist_radius_m,
        receiver_radius_m=receiver_radius_m,
        transmitter_obscuration=eps_T,
        receiver_obscuration=eps_R,
    )
    exact = _double_integral(
        range_m, 850e-9, aperture_radius_m, waist_radius_m, receiver_radius_m, eps_T, eps_R
    )
    obscured = max(eps_T, eps_R) > 0
    assert float(fraction) == pytest.approx(exact, rel=tolerance * (2.4 if obscured else 1.0))


metres = st.floats(1e-3, 5.0)
obscurations = st.floats(0.0, 0.95)


@settings(max_examples=300, deadline=None)
@given(
    range_m=st.floats(1e-3, 1e9),
    lam=st.floats(3e-7, 2e-6),
    a_T=metres,
    w=metres,
    a_R=metres,
    eps_T=obscurations,
    eps_R=obscurations,
)
def test_never_catches_more_than_was_sent(
    range_m: float, lam: float, a_T: float, w: float, a_R: float, eps_T: float, eps_R: float
) -> None:
    """At any range, also where there is no far field; an obscured receiver may lose a beam that narrows."""
    ranges = np.array([range_m, 2 * range_m])
    beam = {"wavelength_m": lam, "aperture_radius_m": a_T, "waist_radius_m": w, "receiver_radius_m": a_R}
    near, far = collected_fraction(ranges, transmitter_obscuration=eps_T, **beam)
    assert 0 <= far <= near <= 1
    obscured = collected_fraction(ranges, transmitter_obscuration=eps_T, receiver_obscuration=eps_R, **beam)
    assert np.all((obscured >= 0) & (obscured <= [near, far]))


@settings(max_examples=300, deadline=None)
@given(
    range_m=st.floats(1e-3, 1e9),
    divergence_rad=st.floats(1e-7, 1e-2),
    a_R=metres,
    eps_R=obscurations,
    convention=st.sampled_from(CONVENTIONS),
)
def test_never_catches_more_than_was_sent_by_divergence(
    range_m: float, divergence_rad: float, a_R: float, eps_R: float, convention: Convention
) -> None:
    beam = {"divergence_rad": divergence_rad, "convention": convention, "receiver_radius_m": a_R}
    near, far = collected_fraction_of_divergence([range_m, 2 * range_m], **beam)
    assert 0 <= far <= near <= 1
    obscured = collected_fraction_of_divergence([range_m, 2 * range_m], receiver_obscuration=eps_R, **beam)
    assert np.all((obscured >= 0) & (obscured <= [near, far]))


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_distant_obscured_receiver_loses_its_covered_area(convention: Convention) -> None:
    far = {"divergence_rad": 10e-6, "convention": convention, "receiver_radius_m": 0.14}
    ratio = collected_fraction_of_divergence(
        40e6, receiver_obscuration=0.4, **far
    ) / collected_fraction_of_divergence(40e6, **far)
    assert float(ratio) == pytest.approx(1 - 0.4**2, rel=1e-5)


def test_klein_and_degnans_annulus() -> None:
    """The on-axis gain as their amplitude integral over the annulus, written out."""
    a, w, eps, lam = 0.15, 0.12, 0.3, 850e-9
    outer, inner = np.exp(-((a / w) ** 2)), np.exp(-((eps * a / w) ** 2))
    gain = 8 * (np.pi * w / lam) ** 2 * (inner - outer) ** 2 / (inner**2 - outer**2)
    half_angle_rad = equivalent_half_angle_rad(
        wavelength_m=lam, aperture_radius_m=a, waist_radius_m=w, transmitter_obscuration=eps
    )
    assert on_axis_gain(half_angle_rad) == pytest.approx(gain, rel=1e-12)


def test_gain_of_a_uniformly_lit_annulus() -> None:
    a, eps, lam = 0.15, 0.3, 850e-9
    half_angle_rad = equivalent_half_angle_rad(
        wavelength_m=lam, aperture_radius_m=a, waist_radius_m=1e3, transmitter_obscuration=eps
    )
    area = np.pi * a**2 * (1 - eps**2)
    assert on_axis_gain(half_angle_rad) == pytest.approx(4 * np.pi * area / lam**2, rel=1e-6)


def test_untruncated_beam_has_its_own_half_angle() -> None:
    half_angle_rad = equivalent_half_angle_rad(
        wavelength_m=850e-9, aperture_radius_m=5.0, waist_radius_m=0.05
    )
    assert half_angle_rad == pytest.approx(850e-9 / (np.pi * 0.05), rel=1e-12)


def test_equivalent_angle_is_good_for_small_pointing_errors() -> None:
    """A fifth of the half angle off, the true far field differs by less than 2 % from the Gaussian."""
    a, w, eps, lam = 0.15, 0.15, 0.3, 850e-9
    half_angle_rad = equivalent_half_angle_rad(
        wavelength_m=lam, aperture_radius_m=a, waist_radius_m=w, transmitter_obscuration=eps
    )
    off = 0.2 * half_angle_rad

    def field(angle: float) -> float:
        return quad(lambda r: r * np.exp(-((r / w) ** 2)) * j0(2 * np.pi / lam * angle * r), eps * a, a)[0]

    assert (field(off) / field(0.0)) ** 2 == pytest.approx(np.exp(-2 * 0.2**2), rel=0.02)


@pytest.mark.parametrize("ratio", [-0.1, 1.0, float("nan")])
def test_an_impossible_obscuration_is_refused(ratio: float) -> None:
    with pytest.raises(ConfigError, match=r"receiver_obscuration.*below 1"):
        collected_fraction_of_divergence(
            1e6,
            divergence_rad=10e-6,
            convention="disc_full",
            receiver_radius_m=0.5,
            receiver_obscuration=ratio,
        )
    with pytest.raises(ConfigError, match="transmitter_obscuration"):
        narrowest_half_angle_rad(wavelength_m=850e-9, aperture_radius_m=0.1, transmitter_obscuration=ratio)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_half_angle_keeps_the_on_axis_intensity(convention: Convention) -> None:
    """A receiver far smaller than the beam sees only the on-axis intensity."""
    small = {"divergence_rad": 10e-6, "convention": convention, "receiver_radius_m": 1e-3}
    as_named = collected_fraction_of_divergence(1e6, **small)
    w = gaussian_half_angle_rad(10e-6, convention) * 1e6
    assert float(as_named) == pytest.approx(2 * (1e-3 / w) ** 2, rel=1e-6)


@settings(max_examples=100, deadline=None)
@given(ratio=st.floats(0.1, 30.0), eps=obscurations)
def test_no_truncated_gaussian_is_narrower_than_the_limit(ratio: float, eps: float) -> None:
    a_T, lam = 0.15, 850e-9
    half_angle_rad = equivalent_half_angle_rad(
        wavelength_m=lam, aperture_radius_m=a_T, waist_radius_m=ratio * a_T, transmitter_obscuration=eps
    )
    limit_rad = narrowest_half_angle_rad(wavelength_m=lam, aperture_radius_m=a_T, transmitter_obscuration=eps)
    assert half_angle_rad >= limit_rad * (1 - 1e-12)
    if ratio > 10:
        assert half_angle_rad == pytest.approx(limit_rad, rel=0.005)
