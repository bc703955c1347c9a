"""The twin's tags in time: noise, dead time, jitter, order, light time, clock, beacons, reads."""

from decimal import Decimal, getcontext
from fractions import Fraction

import msgspec
import numpy as np
import pytest
from devices_models import STATION, Bench, link_series
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.beacon import beacon_code
from satqkd.devices.nature import path_of, period_of
from satqkd.errors import DataFormatError, LocalProtocolError
from satqkd.kernels import clicks
from satqkd.records import Tags

LIGHT_M_S = 299_792_458


def test_noise_has_its_rate_and_is_spread_over_the_detectors(bench):
    series = bench.series(20.0, transmittance=0.0, background_hz=np.linspace(0, 4000, 201))
    tags = bench.photons(
        bench.receiver(series, slots=1_000_000_000, detector={"dark_rate_hz": 300.0}).read(99.0)
    )
    per_detector = np.bincount(tags.channel, minlength=4)
    expected = 20 * (300 + 4000 / 2 / 4)
    assert (np.abs(per_detector - expected) < 4 * expected**0.5).all()
    early = (tags.time_ps < 10e12).sum()
    assert abs(early - 10 * (1200 + 1000)) < 4 * (10 * 2200) ** 0.5
    gaps = np.diff(tags.time_ps[tags.time_ps > 19e12])
    assert abs((gaps.std() / gaps.mean()) - 1) < 0.06


def test_noise_counts_in_the_stations_seconds(bench):
    """A receding satellite stretches the pass: 1 % of light speed, 1 % more dark counts."""
    t_s = np.arange(0, 11.0)
    speed_m_s = 9e4
    series = link_series(t_s, 1e6 + speed_m_s * t_s, np.full(11, speed_m_s))
    twin = bench.receiver(series, slots=0, detector={"dark_rate_hz": 1e5})
    assert twin._noise_hz[0] == pytest.approx(4e5 * (1 + speed_m_s / LIGHT_M_S), rel=1e-12)


def test_dead_time_is_never_violated_and_takes_its_share(bench):
    dead_s, rate_hz = 2e-6, 4e5
    series = bench.series(1.0, transmittance=0.0, background_hz=rate_hz * 4, moving=True)
    detector = {"dead_time_s": dead_s, "jitter_s": 3e-6}
    clock = {"offset_s": 2e-4, "drift": 1e-5}
    tags = bench.receiver(series, slots=100_000_000, detector=detector, clock=clock).read(9.0)
    for channel in range(4):
        gaps = np.diff(tags.time_ps[tags.channel == channel])
        assert gaps.min() >= 2_000_000
        expected = rate_hz / (1 + rate_hz * dead_s)  # non-paralysable, Knoll equation 4.23
        assert abs(gaps.size + 1 - expected) < 4 * expected**0.5


@pytest.mark.parametrize("rate_hz", [625e6, 100e6, 7e8 / 3])
def test_slots_arrive_at_their_time_with_gaussian_jitter(bench, rate_hz):
    series = bench.series(0.4, transmittance=0.05)
    changes = {
        "source": {"pulse_rate_hz": rate_hz, "pulse_width_s": 30e-12},
        "detector": {"jitter_s": 40e-12},
    }
    tags = bench.photons(bench.receiver(series, slots=int(0.4 * rate_hz), **changes).read(9.0))
    late = (tags.time_ps - 5e5 / LIGHT_M_S * 1e12) * (rate_hz * 1e-12)
    away_ps = (late - np.rint(late)) / rate_hz * 1e12
    sigma_ps = 50 / 2.354820045
    assert abs(away_ps.mean()) < 0.6
    assert away_ps.std() == pytest.approx(sigma_ps, rel=0.01)
    assert np.rint(late).max() < int(0.4 * rate_hz)
    assert np.rint(late).max() > 0.99 * int(0.4 * rate_hz)


def test_period_of_rates():
    assert period_of(625e6) == (1600, 0.0)
    assert period_of(1e8) == (10_000, 0.0)
    whole, fraction = period_of(3e8)
    assert whole == 3333
    assert fraction == pytest.approx(1 / 3, abs=1e-15)


@settings(max_examples=25, deadline=None)
@given(
    ends_s=st.lists(st.floats(-0.2, 0.6), max_size=12),
    seed=st.integers(0, 3),
    jitter_s=st.sampled_from([0.0, 1e-9, 2e-3]),
)
def test_the_stream_does_not_depend_on_the_reads(ends_s, seed, jitter_s):
    bench = Bench()
    series = bench.series(
        0.38, transmittance=2e-4, background_hz=2e4, start_s=-0.12, step_s=0.007, moving=True
    )

    def twin():
        detector = {"dead_time_s": 1e-5, "jitter_s": jitter_s}
        clock = {"offset_s": -3e-4, "drift": -5e-6}
        return bench.receiver(series, slots=35_000_000, seed=seed, detector=detector, clock=clock)

    whole = twin().read(1.0)
    assert (np.diff(whole.time_ps) >= 0).all()
    assert len(whole) > 8000
    chopped = twin()
    parts: list[Tags] = [chopped.read(end_s) for end_s in [*sorted(ends_s), 1.0]]
    assert np.array_equal(np.concatenate([part.time_ps for part in parts]), whole.time_ps)
    assert np.array_equal(np.concatenate([part.channel for part in parts]), whole.channel)


def test_a_read_ends_where_light_of_its_end_arrives(bench):
    series = bench.series(0.5, background_hz=1e5)
    twin = bench.receiver(series, slots=0, clock={"offset_s": 5e-4}, detector={"jitter_s": 1e-6})
    whole = bench.receiver(series, slots=0, clock={"offset_s": 5e-4}, detector={"jitter_s": 1e-6}).read(9)
    limit_ps = 0.123e12 + 5e5 / LIGHT_M_S * 1e12 + 5e8
    assert len(twin.read(0.123)) == (whole.time_ps < limit_ps).sum()


def test_reading_at_the_beginning_gives_nothing_and_loses_nothing(bench):
    series = bench.series(0.3, background_hz=1e5, start_s=-0.1)
    twin = bench.receiver(series, slots=1000)
    assert len(twin.read(-5.0)) == 0
    assert len(twin.read(-0.1)) == 0
    assert len(twin.read(1.0)) == len(bench.receiver(series, slots=1000).read(1.0))


def test_light_time_and_clock_against_exact_arithmetic(bench):
    """A cubic range is exact under Hermite interpolation: only rounding is left, 600 s from the epoch."""
    a, b, c, d = Fraction(600_000), Fraction(-7001, 2), Fraction(31, 4), Fraction(1, 512)
    t = [Fraction(n) for n in range(611)]
    range_m = np.array([float(a + b * x + c * x**2 + d * x**3) for x in t])
    rate_m_s = np.array([float(b + 2 * c * x + 3 * d * x**2) for x in t])
    series = link_series(np.arange(611.0), range_m, rate_m_s)
    station = _station(offset_s=7.3e-4, drift=-1.7e-5)
    path = path_of(series, station, 1)
    emissions = np.random.default_rng(4).integers(0, 610 * 10**12, 300)
    for emission_ps in emissions.tolist():
        x = Fraction(emission_ps, 10**12)
        arrival_s = x + (a + b * x + c * x**2 + d * x**3) / LIGHT_M_S
        clock_s = arrival_s * (1 + Fraction(-1.7e-5)) + Fraction(7.3e-4)
        assert abs(clicks.station_ps(emission_ps, 0.0, path) - clock_s * 10**12) < Fraction(501, 1000)


@pytest.mark.parametrize(("step_s", "within_ps"), [(0.05, 0.51), (1.0, 10.0)])
def test_light_time_of_an_orbit(step_s, within_ps):
    getcontext().prec = 40
    t_s = np.arange(int(600 / step_s) + 1) * step_s
    along = 7500.0 * (t_s - 300.0)
    range_m = np.sqrt(5e5**2 + along**2)
    series = link_series(t_s, range_m, 7500.0 * along / range_m)
    path = path_of(series, _station(), 1)
    straight = []
    for emission_ps in np.random.default_rng(5).integers(295 * 10**12, 305 * 10**12, 300).tolist():
        x = Decimal(emission_ps) / 10**12
        exact = (Decimal(500_000) ** 2 + (7500 * (x - 300)) ** 2).sqrt() / LIGHT_M_S * 10**12 + emission_ps
        assert abs(float(clicks.station_ps(emission_ps, 0.0, path) - exact)) < within_ps
        line_ps = np.interp(float(x), t_s, range_m) / LIGHT_M_S * 1e12
        straight.append(abs(float(emission_ps - exact) + line_ps))
    assert max(straight) > 10 * within_ps


def test_beacons_carry_their_code(bench):
    series = bench.series(2.0, transmittance=0.0, start_s=-0.5, step_s=0.25)
    clock = {"offset_s": 1e-4, "drift": 1e-5}
    tags = bench.receiver(series, slots=0, clock=clock).read(9.0)
    assert (tags.channel == 4).all()
    number = np.arange(20_000)
    emission_ps = number * 100_000_000 + beacon_code(20_000).astype(np.int64) * 1_000_000
    expected = (emission_ps + 5e5 / LIGHT_M_S * 1e12) * (1 + 1e-5) + 1e8
    assert np.abs(tags.time_ps - expected).max() < 1


def test_beacons_with_a_shift_longer_than_their_spacing_are_all_there(bench):
    beacon = {"rate_hz": 1000.0, "code_shift_s": 0.0613}
    series = bench.series(1.0, transmittance=0.0)
    tags = bench.receiver(series, slots=0, beacon=beacon).read(9.0)
    emission_ps = np.arange(1001) * 10**9 + beacon_code(1001).astype(np.int64) * 61_300_000_000
    expected = np.sort(emission_ps[emission_ps < 10**12]) + 5e5 / LIGHT_M_S * 1e12
    assert np.abs(tags.time_ps - expected).max() < 1


def test_seeds_change_nature_and_repeat_it(bench):
    series = bench.series(0.2, transmittance=1e-3, background_hz=1e4)
    first, again, other = (
        bench.receiver(series, slots=10_000_000, seed=seed).read(9.0).time_ps for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("column", "value"),
    [("range_m", -1.0), ("range_m", np.nan), ("transmittance", np.nan), ("background_hz", -1.0)],
)
def test_a_link_that_cannot_be_is_refused(bench, column, value):
    series = bench.series(0.5)
    getattr(series, column)[3] = value
    with pytest.raises(DataFormatError, match=f"{column}.*row 3"):
        bench.receiver(series, slots=10)


def test_a_series_shorter_than_the_transmission_is_refused(bench):
    with pytest.raises(DataFormatError, match="lengthen the series"):
        bench.receiver(bench.series(0.5), slots=60_000_000)
    with pytest.raises(DataFormatError, match="from 0 s or earlier"):
        bench.receiver(bench.series(0.5, start_s=0.1), slots=10)


@pytest.mark.parametrize("bad", [0.1, float("nan")])
def test_reads_go_forward(bench, bad):
    twin = bench.receiver(bench.series(0.5), slots=10)
    twin.read(0.2)
    with pytest.raises(LocalProtocolError, match="never decreases"):
        twin.read(bad)


def _station(*, offset_s: float = 0.0, drift: float = 0.0):
    clock = msgspec.structs.replace(STATION.clock, offset_s=offset_s, drift=drift)
    return msgspec.structs.replace(STATION, clock=clock)


def test_the_fast_grid_reaches_from_the_first_to_the_last_of_the_slow() -> None:
    t_s = np.arange(-2.0, 9.0)
    series = link_series(t_s, np.full(11, 1e6), np.zeros(11), fading=np.ones(41), beacon_seen=np.ones(41))
    assert series.fast_t_s.shape == series.fading.shape
    assert (series.fast_t_s[0], series.fast_t_s[-1]) == (-2.0, 8.0)
    np.testing.assert_allclose(np.diff(series.fast_t_s), series.fast_step_s)


def test_a_plate_turned_between_reads_changes_later_light_alone(bench):
    """Turned by 90 degrees H falls on V: of light measured in its own basis, 90 % changes its detector."""
    series = bench.series(0.8, transmittance=2e-3)

    def tags(*reads_s: float, turned: bool) -> Tags:
        twin = bench.receiver(series, slots=80_000_000)
        parts = [twin.read(0.0)]
        if turned:
            twin.turn_plate(np.pi / 2, 45_000_000)
        parts += [twin.read(until_s) for until_s in (*reads_s, 9.0)]
        columns = (np.concatenate([getattr(part, name) for part in parts]) for name in ("time_ps", "channel"))
        return bench.photons(Tags(*columns))

    still, whole, chopped = tags(turned=False), tags(turned=True), tags(0.3, 0.46, turned=True)
    assert np.array_equal(whole.time_ps, chopped.time_ps)
    assert np.array_equal(whole.channel, chopped.channel)
    assert np.array_equal(whole.time_ps, still.time_ps)
    later = still.time_ps > 0.45e12 + 5e5 / LIGHT_M_S * 1e12 - 1_000
    moved = whole.channel != still.channel
    assert not moved[~later].any()
    expected, n = 0.9 / 2, later.sum()
    assert n > 10_000
    assert abs(moved[later].sum() - n * expected) < 4 * (n * expected * (1 - expected)) ** 0.5
