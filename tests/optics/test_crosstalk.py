"""Crosstalk against hand-computed counts, adaptive quadrature of the lidar equation, and scaling laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from satqkd.errors import ConfigError
from satqkd.optics.atmosphere import zenith_depths
from satqkd.optics.crosstalk import (
    AEROSOL_LIDAR_RATIO_SR,
    RAYLEIGH_LIDAR_RATIO_SR,
    arriving_light_rate_hz,
    backscattered_fraction,
    rayleigh_backscatter,
    uplink_backscatter_rate_hz,
)

AIR = {
    "wavelength_m": 808e-9,
    "altitude_m": 100.0,
    "aerosol_optical_depth": 0.15,
    "telescope_diameter_m": 0.28,
}
RECEIVER = {"optics_transmittance": 0.5, "detector_efficiency": 0.5}


def test_a_nanowatt_by_hand() -> None:
    """1 nW at 850 nm is 4.279e9 photons a second; a quarter, then 90 dB: 1.07 counts a second."""
    rate_hz = arriving_light_rate_hz(1e-9, wavelength_m=850e-9, isolation_db=[0.0, 90.0], **RECEIVER)
    np.testing.assert_allclose(rate_hz, [1.0698e9, 1.0698], rtol=1e-3)


def test_isolation_is_a_loss_and_power_is_linear() -> None:
    base, louder, held_off = arriving_light_rate_hz(
        np.array([1e-9, 3e-9, 1e-9]),
        wavelength_m=850e-9,
        isolation_db=np.array([80.0, 80.0, 90.0]),
        **RECEIVER,
    )
    assert louder == pytest.approx(3 * base)
    assert held_off == pytest.approx(base / 10)


@pytest.mark.parametrize("altitude_m", [0.0, 2000.0, 5000.0])
def test_rayleigh_backscatter_against_6s(altitude_m: float) -> None:
    """Integrated upwards and times 8 pi / 3 it is 6S's optical depth, made from other cross sections."""
    lam = np.array([532e-9, 808e-9, 850e-9, 1064e-9, 1550e-9])
    column = np.array(
        [
            quad(lambda h, each=each: float(rayleigh_backscatter(h, wavelength_m=each)), altitude_m, 8e4)[0]
            for each in lam
        ]
    )
    rayleigh = zenith_depths(lam, visibility_m=23e3, altitude_m=altitude_m).rayleigh
    np.testing.assert_allclose(RAYLEIGH_LIDAR_RATIO_SR * column, rayleigh, rtol=0.06)


def _lidar_equation(elevation: float, r0: float, depth: float, lam: float, site: float, D: float) -> float:
    """The integral as it stands in the docstring, adaptively, with the path's own extinction integrated."""
    sine = np.sin(elevation)

    def extinction(r: float) -> tuple[float, float]:
        rayleigh = float(rayleigh_backscatter(site + r * sine, wavelength_m=lam)) * RAYLEIGH_LIDAR_RATIO_SR
        return rayleigh, depth / 1.4e3 * np.exp(-r * sine / 1.4e3)

    def integrand(x: float) -> float:
        r = np.exp(x)
        rayleigh, aerosol = extinction(r)
        beta = rayleigh / RAYLEIGH_LIDAR_RATIO_SR + aerosol / AEROSOL_LIDAR_RATIO_SR
        tau = quad(lambda s: sum(extinction(s)), 0, r)[0]
        return r * 2 * np.pi * (1 - r / np.hypot(r, D / 2)) * beta * np.exp(-2 * tau)

    return quad(integrand, np.log(r0), np.log(6e4 / sine), limit=200)[0]


@pytest.mark.parametrize(("elevation", "r0"), [(1.5, 50.0), (0.5, 300.0), (0.15, 3000.0)])
def test_against_adaptive_quadrature(elevation: float, r0: float) -> None:
    fraction = backscattered_fraction(elevation, overlap_range_m=r0, **AIR)
    exact = _lidar_equation(elevation, r0, 0.15, 808e-9, 100.0, 0.28)
    assert float(fraction) == pytest.approx(exact, rel=1e-5)


def test_near_overlap_by_hand() -> None:
    """Close by the air is uniform: F = beta A / r0. One lens-sized overlap of 10 m gives 1.5e-8."""
    beta = float(rayleigh_backscatter(100.0, wavelength_m=808e-9)) + 0.15 / 1.4e3 / AEROSOL_LIDAR_RATIO_SR
    by_hand = beta * np.pi / 4 * 0.28**2 / 10.0
    fraction = backscattered_fraction(0.3, overlap_range_m=10.0, **AIR)
    assert by_hand == pytest.approx(1.5e-8, rel=0.03)
    assert float(fraction) == pytest.approx(by_hand, rel=0.03)


def test_counts_of_an_uplink() -> None:
    """1 W at 808 nm, overlap at 100 m: 12 counts a second behind 80 dB, linear in power."""
    link = {**AIR, **RECEIVER, "elevation_rad": 0.8, "overlap_range_m": 100.0}
    one, two = uplink_backscatter_rate_hz(np.array([1.0, 2.0]), isolation_db=80.0, **link)
    fraction = backscattered_fraction(0.8, overlap_range_m=100.0, **AIR)
    photons_hz = 808e-9 / (6.62607015e-34 * 299792458.0)
    assert one == pytest.approx(photons_hz * float(fraction) * 0.25 * 1e-8, rel=1e-9)
    assert one == pytest.approx(12, rel=0.02)
    assert two == pytest.approx(2 * one)


def test_scaling_laws() -> None:
    def of(**change: float) -> float:
        return float(backscattered_fraction(1.0, **(AIR | {"overlap_range_m": 3.0} | change)))

    assert of(overlap_range_m=6.0) / of() == pytest.approx(0.5, rel=0.03)
    assert of(telescope_diameter_m=0.56) / of() == pytest.approx(4, rel=0.01)
    clean = {"aerosol_optical_depth": 0.0}
    assert of(wavelength_m=1616e-9, **clean) / of(**clean) == pytest.approx(1 / 16, rel=0.01)
    assert of(altitude_m=8100.0, **clean) / of(**clean) == pytest.approx(np.exp(-1), rel=0.01)


def test_shape_and_horizon() -> None:
    fraction = backscattered_fraction(np.array([[-0.1, 0.0], [0.1, 1.5]]), overlap_range_m=100.0, **AIR)
    assert fraction.shape == (2, 2)
    np.testing.assert_array_equal(fraction[0], 0)
    assert np.all(fraction[1] > 0)


@settings(max_examples=200, deadline=None)
@given(
    elevation=st.floats(0.01, np.pi / 2),
    lam=st.floats(4e-7, 2e-6),
    altitude=st.floats(0, 5000),
    depth=st.floats(0, 5),
    diameter=st.floats(0.01, 5.0),
    overlap=st.floats(1e-3, 1e6),
)
def test_never_more_than_was_sent(
    elevation: float, lam: float, altitude: float, depth: float, diameter: float, overlap: float
) -> None:
    fraction = backscattered_fraction(
        elevation,
        wavelength_m=lam,
        altitude_m=altitude,
        aerosol_optical_depth=depth,
        telescope_diameter_m=diameter,
        overlap_range_m=overlap,
    )
    assert 0 <= fraction < 0.5


def test_no_overlap_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"overlap_range_m.*got 0"):
        backscattered_fraction(1.0, overlap_range_m=0.0, **AIR)
