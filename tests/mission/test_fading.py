"""Fading of a contact: no mean is moved, what is shared is shared, what is not is not."""

from typing import Any

import msgspec
import numpy as np
import pytest

from satqkd.config import Cloud, Laser, LaserReceiver, Satellite, Station, Turbulence
from satqkd.mission import Contact, contact_of, presets
from satqkd.mission.emulator import DOWN, UP, LinkEmulator
from satqkd.mission.fading import FADING_STEP_S, Fading
from satqkd.optics import intensity_correlation_time_s, quantum_beam, station_profile

LASER = Laser(wavelength_m=808e-9, power_w=0.05, divergence_rad=60e-6)
PHOTODIODE = LaserReceiver(
    aperture_diameter_m=0.28,
    optics_transmittance=0.3,
    quantum_efficiency=0.7,
    gain=50.0,
    ionisation_ratio=0.02,
    amplifier_noise_a_sqrt_hz=1e-12,
)


def replaced(struct: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(struct, **changes)


def satellite(power_w: float = LASER.power_w, **transmitter: Any) -> Satellite:
    craft = presets.satellite("jinan-1")
    sent = {"pointing_jitter_rad": 1.5e-6, "pointing_correlation_s": 0.02, **transmitter}
    return replaced(
        craft,
        transmitter=replaced(craft.transmitter, **sent),
        lasercom=replaced(
            craft.lasercom,
            frame_loss=0.0,
            laser=replaced(LASER, power_w=power_w),
            receiver=replaced(PHOTODIODE, aperture_diameter_m=0.1),
        ),
    )


def station(power_w: float = 1.0, **changes: Any) -> Station:
    ground = presets.station("stellenbosch")
    air = Turbulence(ground_cn2_m23=1.7e-14, high_wind_m_s=21.0, ground_wind_m_s=5.0)
    uplink = replaced(
        LASER, power_w=power_w, pointing_jitter_rad=4e-6, pointing_correlation_s=0.05, wavelength_m=830e-9
    )
    lasercom = replaced(ground.lasercom, frame_loss=0.0, laser=uplink, receiver=PHOTODIODE)
    return replaced(ground, **{"turbulence": air, "lasercom": lasercom, **changes})


def contact(craft: Satellite | None = None, ground: Station | None = None) -> Contact:
    return contact_of(craft or satellite(), ground or station())


@pytest.fixture(scope="module")
def flown() -> Contact:
    return contact()


@pytest.fixture(scope="module")
def fadings(flown: Contact) -> np.ndarray:
    return np.stack([Fading(flown, seed).series().fading for seed in range(12)])


def test_fading_changes_no_mean(fadings: np.ndarray, flown: Contact) -> None:
    """Twelve passes of seven minutes: tens of thousands of fades of 20 ms."""
    variance = float(np.mean(fadings**2)) - 1
    independent = fadings.size * FADING_STEP_S / 0.02
    assert variance > 0.05
    assert fadings.mean() == pytest.approx(1.0, abs=4 * np.sqrt(variance / independent))
    thirds = np.array_split(fadings, 3, axis=1)
    for third in thirds:
        assert third.mean() == pytest.approx(1.0, abs=6 * np.sqrt(3 * variance / independent))


def test_its_variance_is_the_one_the_budget_tells(fadings: np.ndarray, flown: Contact) -> None:
    slow_s, columns = flown.look.t_s, np.array_split(np.arange(fadings.shape[1]), 8)
    fast_s = np.linspace(slow_s[0], slow_s[-1], fadings.shape[1])
    for rows in columns:
        expected = np.interp(fast_s[rows], slow_s, flown.losses.fading_variance).mean()
        assert fadings[:, rows].var() == pytest.approx(expected, rel=0.15)


def test_low_elevation_scintillates_more(fadings: np.ndarray, flown: Contact) -> None:
    still = contact(satellite(pointing_jitter_rad=0.0))
    fading = Fading(still, 1).series().fading
    highest = int(np.argmax(flown.look.elevation_rad) / flown.look.t_s.size * fading.size)
    assert fading[:5000].std() > 5 * fading[highest - 2500 : highest + 2500].std() > 0


def test_correlation_time_of_the_pointing_is_the_one_asked_for() -> None:
    calm = contact(satellite(pointing_correlation_s=0.1), station(turbulence=None))
    log = np.log(Fading(calm, 3).series().fading)
    log -= log.mean()
    lag = round(0.05 / FADING_STEP_S)
    # The logarithm is a sum of squares of the error: its correlation is the error's squared.
    correlation = float(np.mean(log[lag:] * log[:-lag]) / np.mean(log**2))
    assert correlation == pytest.approx(np.exp(-2 * 0.05 / 0.1), abs=0.05)


def test_nothing_fades_where_nothing_is_given() -> None:
    steady = contact(satellite(pointing_correlation_s=None), station(turbulence=None))
    series = Fading(steady, 1).series()
    assert (series.fading == 1).all()
    assert (steady.losses.fading_variance == 0).all()
    plain = contact(presets.satellite("micius"), presets.station("xinglong"))
    bare = replaced(plain.satellite.lasercom, laser=None)
    link = Fading(contact(replaced(plain.satellite, lasercom=bare), plain.station), 1)
    assert set(link.downlink().probability.tolist()) == {plain.satellite.lasercom.frame_loss}


def test_the_series_is_the_budget(flown: Contact) -> None:
    series = Fading(flown, 1).series()
    assert np.array_equal(series.transmittance, flown.losses.transmittance)
    assert np.array_equal(series.background_hz, flown.losses.background_hz + flown.losses.crosstalk_hz)
    assert np.array_equal(series.error_z, flown.losses.error_z)
    assert series.t_s[-1] - series.t_s[0] == pytest.approx(FADING_STEP_S * (series.fading.size - 1))
    assert series.t_s[-1] >= flown.quantum_end_s


def test_energy_is_conserved_in_the_brightest_moment() -> None:
    """A metre of telescope over a satellite a step away: fading may not amplify beyond all there is."""
    near = contact(satellite(divergence_rad=5e-6, aperture_diameter_m=1.0), station(telescope_diameter_m=9.0))
    series = Fading(near, 1).series()
    fast_s = np.linspace(series.t_s[0], series.t_s[-1], series.fading.size)
    assert (np.interp(fast_s, series.t_s, series.transmittance) * series.fading <= 1 + 1e-12).all()


def test_one_seed_one_fading_whoever_asks_first(flown: Contact) -> None:
    one, other = Fading(flown, 5), Fading(flown, 5)
    one.downlink()
    assert np.array_equal(one.series().fading, other.series().fading)
    assert np.array_equal(one.uplink().probability, Fading(flown, 5).uplink().probability)
    assert not np.array_equal(one.series().fading, Fading(flown, 6).series().fading)


def _weak_and_strong(loss: np.ndarray, fading: np.ndarray) -> tuple[float, float]:
    """Mean frame loss in the weaker and in the stronger half of the moments of the quantum beam."""
    weak = fading < np.median(fading)
    return float(loss[weak].mean()), float(loss[~weak].mean())


def test_the_downlink_fades_with_the_photons_and_the_uplink_does_not() -> None:
    """At a power where the fades decide, frames are lost when the quantum beam is weak, on the way down."""
    marginal = contact(satellite(power_w=8e-5, divergence_rad=10e-6), station(power_w=5e-4))
    fading = Fading(marginal, 2)
    quantum = fading.series().fading
    middle = slice(quantum.size // 3, 2 * quantum.size // 3)
    down, up = fading.downlink().probability[middle], fading.uplink().probability[middle]
    weak, strong = _weak_and_strong(down, quantum[middle])
    assert 0.02 < down.mean() < 0.98
    assert weak > 2 * strong
    weak, strong = _weak_and_strong(up, quantum[middle])
    assert 0.02 < up.mean() < 0.98
    assert weak == pytest.approx(strong, rel=0.2)


def test_more_light_loses_fewer_frames_and_the_floor_stays() -> None:
    losses = [
        Fading(contact(satellite(power_w=power_w)), 1).downlink().probability.mean()
        for power_w in (1e-5, 1e-4, 1e-2)
    ]
    assert losses[0] > losses[1] > losses[2]
    craft = satellite(power_w=10.0)
    floor = replaced(craft, lasercom=replaced(craft.lasercom, frame_loss=0.03))
    assert Fading(contact(floor), 1).downlink().probability.min() == pytest.approx(0.03)


def test_a_cloud_takes_light_both_ways_and_photons_with_it() -> None:
    cloudy = contact(ground=station(clouds=(Cloud(from_s=100.0, to_s=160.0, loss_db=40.0),)))
    clear = contact()
    t_s = clear.look.t_s
    inside, outside = (t_s > 101) & (t_s < 159), (t_s < 99) | (t_s > 161)
    ratio = cloudy.losses.transmittance / clear.losses.transmittance
    np.testing.assert_allclose(ratio[inside], 1e-4, rtol=1e-9)
    np.testing.assert_allclose(ratio[outside], 1.0, rtol=1e-9)
    fading, open_sky = Fading(cloudy, 1), Fading(clear, 1)
    ways = ((fading.downlink(), open_sky.downlink()), (fading.uplink(), open_sky.uplink()))
    for covered, free in ways:
        assert np.mean([covered.at(t) for t in np.arange(120, 140, 0.1)]) > 0.95
        assert np.mean([free.at(t) for t in np.arange(120, 140, 0.1)]) < 0.5
        assert covered.at(300.0) == free.at(300.0)


def test_beacons_are_missed_when_their_light_is_weak() -> None:
    craft = satellite()
    lit = replaced(craft.beacon, laser=replaced(LASER, power_w=1e-4), detection_photons=1e4)
    seen = Fading(contact(replaced(craft, beacon=lit)), 1).series().beacon_seen
    assert seen.min() < 0.01
    assert 0.1 < seen.mean() < 0.999
    dark = replaced(craft.beacon, laser=replaced(LASER, power_w=1e-9), detection_photons=1e4)
    assert Fading(contact(replaced(craft, beacon=dark)), 1).series().beacon_seen.max() < 1e-6


def test_the_emulator_loses_frames_as_the_fading_says() -> None:
    marginal = contact(satellite(power_w=8e-5, divergence_rad=10e-6), station(power_w=5e-4))
    link = LinkEmulator(marginal, seed=4)
    expected = {DOWN: 0.0, UP: 0.0}
    losses = {DOWN: Fading(marginal, 4).downlink(), UP: Fading(marginal, 4).uplink()}
    for direction in (DOWN, UP):
        for now_s in np.arange(10.0, 400.0, 0.05).tolist():
            link.submit(direction, [b"x" * 10], now_s)
            expected[direction] += losses[direction].at(now_s)
    for direction, counts in link.counts().items():
        assert counts.lost == pytest.approx(expected[direction], abs=4.5 * np.sqrt(counts.frames / 4))


def test_the_beam_that_fades_is_the_one_that_points(flown: Contact) -> None:
    """A wider beam of the same telescope fades less under the same jitter."""
    wide = contact(satellite(divergence_rad=30e-6), station(turbulence=None))
    narrow = contact(satellite(divergence_rad=8e-6), station(turbulence=None))
    assert quantum_beam(wide.satellite).half_angle_rad > quantum_beam(narrow.satellite).half_angle_rad
    assert Fading(wide, 1).series().fading.std() < 0.3 * Fading(narrow, 1).series().fading.std()


def test_the_satellite_s_beams_twinkle_together_whatever_takes_them_up() -> None:
    """Photons in 28 cm and laser light in 14 cm cross the same air; the light that goes up does not."""
    ground = station()
    receiver = replaced(PHOTODIODE, aperture_diameter_m=0.14)
    ground = replaced(ground, lasercom=replaced(ground.lasercom, receiver=receiver))
    fading = Fading(contact(satellite(pointing_correlation_s=None), ground), 5)
    photons, down, up = fading.series().fading, fading._downlink_w(), fading._uplink_w()
    assert down is not None and up is not None
    middle = slice(photons.size // 2 - 10_000, photons.size // 2 + 10_000)
    with_photons = [np.corrcoef(photons[middle], beam[middle])[0, 1] for beam in (down, up)]
    assert with_photons[0] > 0.8 and abs(with_photons[1]) < 0.2


def test_an_uplink_without_correlation_time_loses_its_mean_and_fades_nothing() -> None:
    calm = station(turbulence=None)
    laser = replaced(calm.lasercom.laser, pointing_jitter_rad=8e-6, pointing_correlation_s=None)
    flown = contact(ground=replaced(calm, lasercom=replaced(calm.lasercom, laser=laser)))
    factor = Fading(flown, 1)._uplink_factor(laser)
    half_angle_rad = laser.divergence_rad / 2
    np.testing.assert_allclose(factor, half_angle_rad**2 / (half_angle_rad**2 + 4 * 8e-6**2))


def test_the_air_bends_the_uplink_whatever_its_terminal_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fading, "_uplink_scintillation", lambda self, *given: np.ones(self._n))

    def bent(ground_cn2_m23: float) -> float:
        air = Turbulence(ground_cn2_m23=ground_cn2_m23, high_wind_m_s=21.0, ground_wind_m_s=5.0)
        ground = station(turbulence=air)
        laser = replaced(ground.lasercom.laser, pointing_jitter_rad=0.0, divergence_rad=10e-6)
        return float(-np.log(Fading(contact(ground=ground), 1)._uplink_factor(laser)).mean())

    weak, strong = bent(1.7e-15), bent(1.7e-14)
    assert 0 < 2 * weak < strong < np.inf


def test_twinkling_lasts_as_long_as_theory_says(flown: Contact) -> None:
    """Autocovariance of the scintillation near the culmination falls to 1/e at the theory's time."""
    fading = Fading(flown, 3)
    craft, look = flown.satellite, flown.look
    factor = fading._scintillation(0.28, craft.source.wavelength_m)
    profile = station_profile(flown.station)
    assert profile is not None
    told_s = intensity_correlation_time_s(
        look.elevation_rad,
        profile=profile,
        wavelength_m=craft.source.wavelength_m,
        aperture_diameter_m=0.28,
        slew_rad_s=0.5 * 299_792_458 * look.point_ahead_rad / look.range_m,
        ground_wind_m_s=5.0,
    )
    middle = int(np.argmin(told_s) / look.t_s.size * factor.size)
    near = slice(middle - 15_000, middle + 15_000)
    expected_s = float(np.mean(np.interp(fading._fast_s[near], look.t_s, told_s)))
    here = factor[near] - factor[near].mean()
    lags = np.arange(0, 60)
    covariance = np.array([np.mean(here[lag:] * here[: here.size - lag]) for lag in lags])
    found_s = np.interp(-np.exp(-1), -covariance / covariance[0], lags * FADING_STEP_S)
    assert found_s == pytest.approx(expected_s, rel=0.25)


def test_beacons_pay_for_pointing_and_photodiodes_for_their_dark_current() -> None:
    craft = satellite()
    lit = replaced(
        craft.beacon, laser=replaced(LASER, power_w=1e-4, divergence_rad=2e-5), detection_photons=1e6
    )
    straight, askew = (
        Fading(
            contact(
                replaced(
                    craft, beacon=lit, transmitter=replaced(craft.transmitter, pointing_bias_rad=bias_rad)
                )
            ),
            1,
        )
        .series()
        .beacon_seen.mean()
        for bias_rad in (0.0, 15e-6)
    )
    assert askew < 0.7 * straight

    def lost(dark_current_a: float) -> float:
        ground = station()
        noisy = replaced(PHOTODIODE, dark_current_a=dark_current_a)
        ground = replaced(ground, lasercom=replaced(ground.lasercom, receiver=noisy))
        return float(Fading(contact(satellite(power_w=1e-3), ground), 1).downlink().probability.mean())

    assert lost(1e-6) > lost(0.0) + 0.01
