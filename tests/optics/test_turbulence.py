"""Turbulence against published tables, worked examples, adaptive quadrature and frozen-flow covariances."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import gamma, hyp1f1, j0, j1

from satqkd.errors import ConfigError
from satqkd.optics.cn2 import (
    Profile,
    bufton_wind_m_s,
    hufnagel_valley_cn2_m23,
    hufnagel_valley_profile,
    itu_profile,
    itu_rms_wind_m_s,
)
from satqkd.optics.turbulence import (
    beam_wander_correlation_time_s,
    coherence_time_s,
    fried_parameter_m,
    intensity_correlation_time_s,
    isoplanatic_angle_rad,
    itu_aperture_averaging,
    itu_log_irradiance_variance,
    point_scintillation_index,
    rytov_variance,
    scintillation_index,
    uplink_beam_wander_rad,
    uplink_scintillation_index,
)

HV57 = hufnagel_valley_profile()
NEAR_INFRARED = {"profile": HV57, "wavelength_m": 850e-9}
ELEVATION_RAD = np.radians([90.0, 60.0, 45.0, 30.0, 20.0, 10.0])
EDGES_M = [0.0, 1.0, 10.0, 50.0, 200.0, 1000.0, 3000.0, 8000.0, 13_000.0]


def _last_digit(printed: list[str]) -> np.ndarray:
    """Half a unit of the last printed digit."""
    return np.array([0.5 * 10.0 ** -len(text.partition(".")[2]) for text in printed])


def _matches(computed: np.ndarray, printed: list[str]) -> None:
    error = np.abs(np.asarray(computed) - [float(text) for text in printed])
    assert np.all(error <= _last_digit(printed) * 1.001), (computed, printed)


@pytest.mark.parametrize("station_altitude_m", [0.0, 893.0, 2080.0])
@pytest.mark.parametrize("power", [0.0, 5 / 6, 5 / 3, 2.0])
def test_layers_integrate_the_profile(power: float, station_altitude_m: float) -> None:
    profile = hufnagel_valley_profile(station_altitude_m=station_altitude_m)
    edges = [*EDGES_M, 20_000.0 - station_altitude_m]

    def integrand(h: float) -> float:
        return float(hufnagel_valley_cn2_m23(h, station_altitude_m=station_altitude_m)) * h**power

    exact = sum(quad(integrand, a, b, epsabs=0, epsrel=1e-10)[0] for a, b in pairwise(edges))
    assert profile.moment(power) == pytest.approx(exact, rel=3e-6)


def test_the_name_of_the_profile_is_its_figures() -> None:
    """HV 5/7: 5 cm and 7 microradians at 500 nm; the integral 2.24e-12 m^(1/3) of AP's worked example."""
    assert float(fried_parameter_m(np.pi / 2, profile=HV57, wavelength_m=500e-9)) == pytest.approx(
        0.0496, abs=5e-5
    )
    angle = isoplanatic_angle_rad(np.pi / 2, profile=HV57, wavelength_m=500e-9)
    assert float(angle) == pytest.approx(7.0e-6, abs=0.05e-6)
    assert HV57.moment(0) == pytest.approx(2.24e-12, rel=3e-3)


def test_table_of_the_link_models() -> None:
    """850 nm, HV 5/7 from the zenith to 10 degrees: every column as printed."""
    rytov = rytov_variance(ELEVATION_RAD, **NEAR_INFRARED)
    _matches(rytov, ["0.125", "0.163", "0.236", "0.446", "0.895", "3.1"])
    _matches(point_scintillation_index(rytov), ["0.123", "0.159", "0.226", "0.395", "0.660", "1.12"])
    _matches(
        fried_parameter_m(ELEVATION_RAD, **NEAR_INFRARED),
        ["0.094", "0.086", "0.076", "0.062", "0.049", "0.033"],
    )
    columns = {
        0.28: ["0.0054", "0.0082", "0.015", "0.041", "0.118", "0.72"],
        0.5: ["0.0014", "0.0022", "0.0040", "0.011", "0.035", "0.25"],
        1.0: ["0.0003", "0.0004", "0.0008", "0.0023", "0.007", "0.054"],
    }
    for diameter_m, printed in columns.items():
        index = scintillation_index(ELEVATION_RAD, **NEAR_INFRARED, aperture_diameter_m=diameter_m)
        _matches(index, printed)
    index = scintillation_index(ELEVATION_RAD, **NEAR_INFRARED, aperture_diameter_m=0.28)
    _matches(10 / np.log(10) * np.sqrt(np.log1p(index)), ["0.32", "0.39", "0.53", "0.87", "1.45", "3.2"])


def test_angles_and_times_of_the_link_models() -> None:
    angle = isoplanatic_angle_rad(np.pi / 2, **NEAR_INFRARED)
    assert float(angle) == pytest.approx(13.3e-6, abs=0.05e-6)
    times = coherence_time_s(np.pi / 2, **NEAR_INFRARED, slew_rad_s=[0.0, 5e-3, 15e-3])
    _matches(times * 1e3, ["3.5", "1.6", "0.74"])


@pytest.mark.parametrize(
    ("rms_wind_m_s", "printed"),
    [(21.0, ["0.23", "0.13", "0.10", "0.07"]), (30.0, ["0.36", "0.21", "0.16", "0.10"])],
)
def test_table_2_of_itu_r_p1622(rms_wind_m_s: float, printed: list[str]) -> None:
    """Elevation 75 degrees, station 5.5 m above the ground, C_0 = 1.7e-14: variances at four wavelengths."""
    profile = hufnagel_valley_profile(rms_wind_m_s=rms_wind_m_s, station_altitude_m=5.5)
    variance = [
        float(itu_log_irradiance_variance(np.radians(75), profile=profile, wavelength_m=each))
        for each in (0.532e-6, 0.850e-6, 1.064e-6, 1.55e-6)
    ]
    _matches(np.array(variance), printed)


def test_wind_and_profile_of_itu_r_p1621() -> None:
    assert itu_rms_wind_m_s(2.3) == pytest.approx(21.0, abs=0.05)
    assert itu_rms_wind_m_s(0.0) > 18
    assert itu_profile().moment(0) == pytest.approx(HV57.moment(0), rel=1e-3)
    high, low = itu_profile(station_altitude_m=2168.0), itu_profile()
    assert low.moment(0) / high.moment(0) == pytest.approx(9.8, abs=0.3)


def test_itu_averaging_is_that_of_a_uniform_path_in_the_limit() -> None:
    """Flat turbulence up to H: z_0 = (11/18)^(6/7) H, so A = 1/(1 + 1.8 (D^2/(lambda H))^(7/6))."""
    node, weight = np.polynomial.legendre.leggauss(40)
    flat = Profile(height_m=500 * (node + 1), layer_cn2_m13=1e-15 * 500 * weight)
    factor = itu_aperture_averaging(np.pi / 2, profile=flat, wavelength_m=1e-6, aperture_diameter_m=0.1)
    assert float(factor) == pytest.approx(1 / (1 + 1.8 * (0.01 / 1e-3) ** (7 / 6)), rel=1e-4)
    at_zenith = itu_aperture_averaging(np.pi / 2, profile=HV57, wavelength_m=1.55e-6, aperture_diameter_m=1.0)
    assert 0 < float(at_zenith) < 0.01


def test_aperture_averaging_against_the_hard_aperture_and_itu() -> None:
    """The soft aperture's closed form against the spectral integral of a hard one: within 15 %."""
    kappa = np.geomspace(1e-2, 3e3, 20_000)
    k, h = 2 * np.pi / 850e-9, HV57.height_m
    for diameter_m in (0.05, 0.28, 1.0):
        y = kappa * diameter_m / 2
        spectrum = kappa ** (-5 / 3) * (2 * j1(y) / y) ** 2
        fresnel = 1 - np.cos(kappa**2 * h[:, None] / k)
        inner = (fresnel * spectrum).sum(axis=1) * np.log(kappa[1] / kappa[0])
        hard = 8 * np.pi**2 * k**2 * 0.033 * float(HV57.layer_cn2_m13 @ inner)
        soft = scintillation_index(np.pi / 2, **NEAR_INFRARED, aperture_diameter_m=diameter_m)
        assert float(soft) == pytest.approx(hard, rel=0.15)


def test_a_small_aperture_is_a_point_and_none_exceeds_one() -> None:
    elevation_rad = np.radians(np.linspace(1, 90, 50))
    point = scintillation_index(elevation_rad, **NEAR_INFRARED, aperture_diameter_m=0.0)
    tiny = scintillation_index(elevation_rad, **NEAR_INFRARED, aperture_diameter_m=1e-5)
    strong = rytov_variance(elevation_rad, **NEAR_INFRARED) > 0.2
    np.testing.assert_allclose(tiny[strong], point[strong])
    diameters_m = (0.0, 0.05, 0.1, 0.28, 1.0)
    falling = [
        scintillation_index(elevation_rad, **NEAR_INFRARED, aperture_diameter_m=d) for d in diameters_m
    ]
    assert np.all(np.diff(falling, axis=0) <= 0)
    assert max(each.max() for each in falling) < 1.2432


def test_point_index_from_weak_to_saturated() -> None:
    np.testing.assert_allclose(point_scintillation_index([1e-6, 1e-4]), [1e-6, 1e-4], rtol=1e-3)
    assert float(point_scintillation_index(1e9)) == pytest.approx(np.expm1(0.51 / 0.69 ** (5 / 6)), rel=1e-3)
    assert point_scintillation_index(np.geomspace(0.1, 1e3, 500)).max() == pytest.approx(1.243, abs=5e-4)


def test_uplink_of_the_worked_example() -> None:
    """AP, worked example 1 of ch. 12: to 38 500 km, 1.06 um, W_0 = 2 cm, 30 degrees from the zenith.

    Printed: r_0 = 11.24 cm, tracked index 0.07, downlink 0.13, isoplanatic angle 13.5 microradians.
    """
    link = {"profile": HV57, "wavelength_m": 1.06e-6}
    up = uplink_scintillation_index(np.radians(60), **link, beam_radius_m=0.02, satellite_altitude_m=38.5e6)
    _matches(up, ["0.07"])
    assert float(rytov_variance(np.radians(60), **link)) == pytest.approx(0.13, abs=0.005)
    assert float(fried_parameter_m(np.radians(60), **link)) == pytest.approx(0.1124, rel=3e-3)
    assert float(isoplanatic_angle_rad(np.radians(60), **link)) == pytest.approx(13.5e-6, rel=0.02)


def test_uplink_limits() -> None:
    """A very wide beam is a plane wave; a very narrow or divergent one a spherical wave."""
    thin = Profile(height_m=np.array([10_000.0]), layer_cn2_m13=np.array([1e-14]))
    link = {"profile": thin, "wavelength_m": 1e-6, "satellite_altitude_m": 500e3}
    k, H, h = 2 * np.pi / 1e-6, 500e3, 10e3
    spherical = 2.2517 * k ** (7 / 6) * 1e-14 * (h * (1 - h / H)) ** (5 / 6)
    for shape in ({"beam_radius_m": 1e-4}, {"beam_radius_m": 0.01, "half_angle_rad": 5e-3}):
        assert float(uplink_scintillation_index(np.pi / 2, **link, **shape)) == pytest.approx(
            spherical, rel=0.02
        )
    plane = 2.2517 * k ** (7 / 6) * 1e-14 * (H - h) ** (5 / 6)
    wide = uplink_scintillation_index(np.pi / 2, **link, beam_radius_m=30.0)
    assert float(wide) == pytest.approx(float(point_scintillation_index(plane)), rel=0.02)


def test_beam_wander_between_its_sources() -> None:
    """The centroid's tilt, integrated from Kolmogorov's spectrum, lies between the published coefficients."""
    W0, mu = 0.05, HV57.moment(0)
    phase = 4 * np.pi**2 * 0.033 * mu

    def gradient(kappa: float) -> float:
        return kappa ** (-2 / 3) * np.exp(-((kappa * W0) ** 2) / 4)

    radial = phase * (quad(gradient, 0, 10)[0] + quad(gradient, 10, 2000, limit=200)[0])
    assert radial == pytest.approx(phase * gamma(1 / 6) * 2 ** (-2 / 3) * W0 ** (-1 / 3), rel=1e-4)
    tilt_rad = np.sqrt(radial / 2)
    ratio = {
        model: float(uplink_beam_wander_rad(np.pi / 2, profile=HV57, beam_radius_m=W0, model=model))
        / tilt_rad
        for model in ("itu", "andrews-phillips", "dios")
    }
    assert ratio == pytest.approx({"itu": 0.87, "andrews-phillips": 1.26, "dios": 0.67}, abs=0.01)


def test_beam_wander_is_the_printed_form_of_each_source() -> None:
    """P.1622 eq. 11b, and AP 12.50 by r_0: 0.54 (lambda/2W)^2 (2W/r_0)^(5/3), whatever the wavelength."""
    h, W0 = np.radians(30.0), 0.07
    itu = 2.08 * np.sqrt(HV57.moment(0) / ((2 * W0) ** (1 / 3) * np.sin(h)))
    assert float(uplink_beam_wander_rad(h, profile=HV57, beam_radius_m=W0)) == pytest.approx(itu / np.sqrt(2))
    for wavelength_m in (810e-9, 1550e-9):
        r0 = float(fried_parameter_m(h, profile=HV57, wavelength_m=wavelength_m))
        radial_sq = 0.54 * (wavelength_m / (2 * W0)) ** 2 * (2 * W0 / r0) ** (5 / 3)
        wander = uplink_beam_wander_rad(h, profile=HV57, beam_radius_m=W0, model="andrews-phillips")
        assert float(wander) == pytest.approx(np.sqrt(radial_sq / 2), rel=0.01)


def test_beam_wander_correlation_is_the_root_it_claims() -> None:
    root = brentq(lambda x: hyp1f1(1 / 6, 1, -x * x) - np.exp(-1), 1, 25)
    still = beam_wander_correlation_time_s(np.pi / 2, profile=HV57, beam_radius_m=0.05)
    wind = float(HV57.layer_cn2_m13 @ bufton_wind_m_s(HV57.height_m)) / HV57.moment(0)
    assert float(still) == pytest.approx(root * 0.05 / wind, rel=1e-3)
    turning = beam_wander_correlation_time_s(np.pi / 2, profile=HV57, beam_radius_m=0.05, slew_rad_s=0.01)
    assert float(turning) < float(still)


@pytest.mark.parametrize("elevation_deg", [90.0, 20.0])
@pytest.mark.parametrize("slew_rad_s", [0.0, 5e-3])
@pytest.mark.parametrize("aperture_m", [0.0, 0.05, 0.28, 1.0])
def test_intensity_correlation_time_against_the_covariance(
    aperture_m: float, slew_rad_s: float, elevation_deg: float
) -> None:
    """Frozen flow past a hard aperture: the autocovariance falls to 1/e within 28 % of the time stated."""
    sine, k = np.sin(np.radians(elevation_deg)), 2 * np.pi / 850e-9
    z, wind = HV57.height_m / sine, bufton_wind_m_s(HV57.height_m)
    kappa = np.geomspace(1e-2, 2e3, 3000)
    y = kappa * max(aperture_m, 1e-9) / 2
    spectrum = kappa ** (-5 / 3) * (2 * j1(y) / y) ** 2 * (1 - np.cos(kappa**2 * z[:, None] / k))
    time_s = intensity_correlation_time_s(
        np.radians(elevation_deg), **NEAR_INFRARED, aperture_diameter_m=aperture_m, slew_rad_s=slew_rad_s
    )

    def covariance(lag_s: float) -> float:
        across = (wind + slew_rad_s * z)[:, None] * lag_s
        return float(HV57.layer_cn2_m13 @ (spectrum * j0(kappa * across)).sum(axis=1))

    zero, at = covariance(0.0), float(time_s)
    assert covariance(0.78 * at) / zero > np.exp(-1) > covariance(1.28 * at) / zero


def test_interpolation_over_elevation_is_below_a_millionth() -> None:
    """Many points are interpolated, few are computed: both must say the same."""
    elevation_rad = np.radians(np.linspace(5, 90, 200))
    up = {"beam_radius_m": 0.05, "satellite_altitude_m": 500e3}

    def one_by_one(function, **link) -> np.ndarray:  # type: ignore[no-untyped-def]
        return np.array([float(function(each, profile=HV57, **link)) for each in elevation_rad])

    for function, link in (
        (scintillation_index, {"wavelength_m": 850e-9, "aperture_diameter_m": 0.28}),
        (scintillation_index, {"wavelength_m": 1550e-9, "aperture_diameter_m": 0.02}),
        (uplink_scintillation_index, {"wavelength_m": 810e-9, **up}),
        (uplink_scintillation_index, {"wavelength_m": 810e-9, "half_angle_rad": 50e-6, **up}),
        (coherence_time_s, {"wavelength_m": 850e-9, "slew_rad_s": 4e-3}),
    ):
        at_once = function(elevation_rad, profile=HV57, **link)
        np.testing.assert_allclose(at_once, one_by_one(function, **link), rtol=1e-6)


def test_one_elevation_many_times() -> None:
    """A constant elevation is computed once, whatever the length."""
    at_once = scintillation_index(np.full(200_000, 0.5), **NEAR_INFRARED, aperture_diameter_m=0.28)
    assert np.ptp(at_once) == 0
    assert at_once[0] == float(scintillation_index(0.5, **NEAR_INFRARED, aperture_diameter_m=0.28))


def test_shapes_and_the_horizon() -> None:
    """No path below the horizon: NaN there, and nothing else is touched."""
    elevation_rad = np.radians([[-5.0, 0.0, 30.0], [60.0, 90.0, -90.0]])
    for value in (
        scintillation_index(elevation_rad, **NEAR_INFRARED, aperture_diameter_m=0.3),
        rytov_variance(elevation_rad, **NEAR_INFRARED),
        coherence_time_s(elevation_rad, **NEAR_INFRARED, slew_rad_s=np.full((2, 3), 1e-3)),
        uplink_beam_wander_rad(elevation_rad, profile=HV57, beam_radius_m=0.1),
    ):
        assert value.shape == (2, 3)
        np.testing.assert_array_equal(np.isnan(value), elevation_rad <= 0)
    below = scintillation_index(np.full(5, -0.1), **NEAR_INFRARED, aperture_diameter_m=0.3)
    assert np.isnan(below).all()


def test_a_mountain_has_less_air_above() -> None:
    high = hufnagel_valley_profile(station_altitude_m=3153.0)
    link = {"elevation_rad": np.radians(40.0), "wavelength_m": 850e-9}
    assert float(fried_parameter_m(**link, profile=high)) > 1.5 * float(
        fried_parameter_m(**link, profile=HV57)
    )
    assert float(rytov_variance(**link, profile=high)) < float(rytov_variance(**link, profile=HV57))
    # The ground layer is thinner by exp(-h/700) but not cut off with the air below the station.
    layer = float(hufnagel_valley_cn2_m23(0.0, station_altitude_m=3153.0))
    assert layer == pytest.approx(1.7e-14 * np.exp(-3153 / 700) + 2.7e-16 * np.exp(-3153 / 1500), rel=0.02)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="above the turbulence, whose top is at 20 km"):
        hufnagel_valley_profile(station_altitude_m=25_000.0)
    with pytest.raises(ConfigError, match=r"below the diffraction limit 5\.16 urad"):
        uplink_scintillation_index(
            1.0,
            profile=HV57,
            wavelength_m=810e-9,
            beam_radius_m=0.05,
            satellite_altitude_m=5e5,
            half_angle_rad=1e-6,
        )
    with pytest.raises(ConfigError, match="expected one of itu"):
        uplink_beam_wander_rad(1.0, profile=HV57, beam_radius_m=0.05, model="kolmogorov")  # type: ignore[arg-type]
