"""Airmass and extinction against published figures, and against laws that the table was not made from."""

from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.errors import ConfigError
from satqkd.optics import airmass, atmosphere_transmittance
from satqkd.optics.atmosphere import mie_scattering_loss_db, zenith_depths, zenith_optical_depth

USUAL = {"visibility_m": 23e3, "altitude_m": 0.0}


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


class TestTable:
    def test_the_figures_of_6s_at_850_nm(self) -> None:
        """Aerosol 0.305 belongs to optical depth 0.5 at 550 nm, which 6S calls 8.49 km; 23 km has 0.143."""
        depths = zenith_depths(850e-9, visibility_m=[8.49e3, 23e3], altitude_m=0.0)
        np.testing.assert_allclose(depths.rayleigh, 0.0168, rtol=0.01)
        np.testing.assert_allclose(depths.aerosol, [0.305, 0.1432], rtol=0.01)
        np.testing.assert_allclose(np.exp(-depths.gas), 0.998, atol=0.0015)

    def test_the_parts_add_up(self) -> None:
        depths = zenith_depths([785e-9, 1064e-9], **USUAL)
        np.testing.assert_allclose(zenith_optical_depth([785e-9, 1064e-9], **USUAL), np.sum(depths, axis=0))

    def test_between_a_clear_site_and_haze(self) -> None:
        """SatQuMA's MODTRAN site (0.111 at 850 nm, 0.132 at 785 nm) lies by the 60 km row."""
        clearest = zenith_optical_depth([850e-9, 785e-9], visibility_m=60e3, altitude_m=0.0)
        np.testing.assert_allclose(clearest, [0.111, 0.132], rtol=0.15)

    def test_rayleigh_against_a_formula(self) -> None:
        """Hansen & Travis 1974, eq. 2.30, at 1013 hPa, scaled by the US standard pressure."""
        lam_um = np.array([0.532, 0.633, 0.785, 0.85, 1.064])
        formula = 0.008569 * lam_um**-4 * (1 + 0.0113 * lam_um**-2 + 0.00013 * lam_um**-4)
        for altitude_m in (0.0, 1500.0, 5000.0):
            pressure = (1 - 2.25577e-5 * altitude_m) ** 5.25588
            depths = zenith_depths(lam_um * 1e-6, visibility_m=23e3, altitude_m=altitude_m)
            np.testing.assert_allclose(depths.rayleigh, formula * pressure, rtol=0.02)

    @pytest.mark.parametrize("visibility_km", [7.0, 10.0, 23.0, 40.0])
    def test_aerosol_colour_is_kims(self, visibility_km: float) -> None:
        """Kruse and Kim: the power 1.3 for 6 to 50 km, from 550 nm. Not 0, nor molecules' 4."""
        lam_nm = np.array([550.0, 785.0, 850.0, 1064.0, 1550.0])
        aerosol = zenith_depths(lam_nm * 1e-9, visibility_m=visibility_km * 1e3, altitude_m=0.0).aerosol
        np.testing.assert_allclose(aerosol / aerosol[0], (lam_nm / 550) ** -1.3, rtol=0.13)

    def test_aerosol_column_is_kims_over_one_to_two_kilometres(self) -> None:
        """Ground extinction 3.912 / V times a scale height; a depth that ignored V would need 0.5 to 6 km."""
        visibility_km = np.array([5.0, 8.0, 15.0, 23.0, 40.0, 60.0])
        column = zenith_depths(550e-9, visibility_m=visibility_km * 1e3, altitude_m=0.0).aerosol
        scale_km = column / (3.912 / visibility_km)
        assert np.all((scale_km > 0.95) & (scale_km < 2.2))

    def test_arrays_broadcast(self) -> None:
        depth = zenith_optical_depth(
            np.array([785e-9, 850e-9]),
            visibility_m=np.array([[10e3], [23e3], [40e3]]),
            altitude_m=np.zeros((4, 1, 1)),
        )
        assert depth.shape == (4, 3, 2)
        one = zenith_optical_depth(850e-9, visibility_m=40e3, altitude_m=0.0)
        assert depth[3, 2, 1] == one

    @settings(max_examples=200, deadline=None)
    @given(
        lam=st.floats(532e-9, 1570e-9),
        visibilities=st.tuples(st.floats(5e3, 60e3), st.floats(5e3, 60e3)),
        altitudes=st.tuples(st.floats(0, 5200), st.floats(0, 5200)),
    )
    def test_clearer_air_and_higher_sites_take_less(
        self, lam: float, visibilities: tuple[float, float], altitudes: tuple[float, float]
    ) -> None:
        low, high = sorted(altitudes)
        hazy, clear = sorted(visibilities)
        thick = zenith_depths(lam, visibility_m=hazy, altitude_m=low)
        thin = zenith_depths(lam, visibility_m=clear, altitude_m=high)
        slack = 1e-12
        assert 0 < thin.rayleigh <= thick.rayleigh * (1 + slack)
        assert 0 < thin.aerosol <= thick.aerosol * (1 + slack)
        assert 0 <= thin.gas <= thick.gas + slack

    @settings(max_examples=200, deadline=None)
    @given(pair=st.tuples(st.floats(532e-9, 1570e-9), st.floats(532e-9, 1570e-9)))
    def test_scattering_falls_with_wavelength(self, pair: tuple[float, float]) -> None:
        short, long = sorted(pair)
        blue, red = zenith_depths(short, **USUAL), zenith_depths(long, **USUAL)
        assert red.rayleigh <= blue.rayleigh * (1 + 1e-12)
        assert red.aerosol <= blue.aerosol * (1 + 1e-12)

    @pytest.mark.parametrize(
        ("asked", "message"),
        [
            ({"wavelength_m": 405e-9}, r"wavelength 405 nm .*530 to 1570 nm"),
            ({"visibility_m": 2e3}, r"visibility 2 km .*5 to 60 km"),
            ({"altitude_m": -50.0}, r"altitude -50 m .*0 to 5200 m"),
            ({"altitude_m": float("nan")}, r"altitude nan m"),
        ],
    )
    def test_outside_the_table_is_an_error(self, asked: dict[str, float], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            zenith_optical_depth(**({"wavelength_m": 850e-9, **USUAL} | asked))

    def test_the_table_is_small_and_says_where_it_is_from(self) -> None:
        text = files("satqkd.optics").joinpath("optical_depth.csv").read_text(encoding="utf-8")
        assert len(text) < 60_000
        assert "6SV1.1" in text.splitlines()[0]
        assert "builders/optical_depth_6s.py" in text.splitlines()[0]


class TestMieOfP1622:
    def test_by_hand(self) -> None:
        """At 1550 nm and sea level d = 0.719 - 1.953 + 2.21511 - 0.84904 = 0.13206 neper."""
        straight_up, at_45 = mie_scattering_loss_db(
            np.radians([90.0, 45.0]), wavelength_m=1.55e-6, altitude_m=0.0
        )
        assert straight_up == pytest.approx(4.3429 * 0.13206, rel=1e-4)
        assert at_45 == pytest.approx(straight_up * np.sqrt(2), rel=1e-9)

    def test_with_every_coefficient(self) -> None:
        """850 nm, 1 km: a, b, c, d = -0.00249376, -0.01079270, -0.11438, 0.17412 by hand."""
        nepers = -0.00249376 - 0.01079270 - 0.11438 + 0.1741245
        loss = mie_scattering_loss_db(np.pi / 2, wavelength_m=850e-9, altitude_m=1e3)
        assert float(loss) == pytest.approx(10 / np.log(10) * nepers, rel=1e-3)

    def test_falls_with_altitude_and_wavelength(self) -> None:
        losses = mie_scattering_loss_db(
            np.pi / 2,
            wavelength_m=np.array([850e-9, 1064e-9, 1550e-9]),
            altitude_m=np.array([[0.0], [500.0], [1000.0]]),
        )
        assert np.all(np.diff(losses, axis=0) < 0)
        assert np.all(np.diff(losses[:2], axis=1) < 0)

    def test_agrees_with_a_clear_day_of_6s(self) -> None:
        """At sea level it lies between visibilities of 15 and 23 km."""
        loss = float(mie_scattering_loss_db(np.pi / 2, wavelength_m=850e-9, altitude_m=0.0))
        hazy, clear = zenith_depths(850e-9, visibility_m=[15e3, 23e3], altitude_m=0.0).aerosol
        assert clear < loss * np.log(10) / 10 < hazy

    def test_where_it_does_not_hold(self) -> None:
        assert np.isnan(mie_scattering_loss_db(np.radians(30), wavelength_m=850e-9, altitude_m=0.0))
        with pytest.raises(ConfigError, match=r"wavelength 0.532 um .*P.1622.*0.8 to 2 um"):
            mie_scattering_loss_db(1.5, wavelength_m=532e-9, altitude_m=0.0)
        with pytest.raises(ConfigError, match=r"altitude 5.2 km .*0 to 5 km"):
            mie_scattering_loss_db(1.5, wavelength_m=850e-9, altitude_m=5.2e3)
