"""Clock recovery against an overhead pass: slots right, residuals small, nothing depends on batches."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.beacon import beacon_code
from satqkd.constants import PS_PER_S, SPEED_OF_LIGHT_M_S
from satqkd.distill import recovery
from satqkd.distill.beacons import is_told
from satqkd.distill.sync import ClockRecovery, Resolved
from satqkd.errors import ConfigError, DataFormatError, LocalProtocolError
from satqkd.randomness import stream
from satqkd.records import BEACON_CHANNEL, Tags

CODE = beacon_code(200_000)


@dataclass(frozen=True)
class Nature:
    """An overhead pass: 7.5 km/s at 510 km, 110 m/s^2 at culmination."""

    rate_hz: float = 10_000.0
    shift_s: float = 1e-6
    period_ps: float = 1600.0
    start_s: float = 0.0
    duration_s: float = 2.0
    culmination_s: float = 1.0
    offset_s: float = 7.3e-4
    drift: float = -1.9e-5
    beacon_jitter_ps: float = 150.0
    jitter_ps: float = 150.0
    quantum_delay_ps: float = 0.0
    missing: float = 0.05
    false_hz: float = 1000.0
    clicks_hz: float = 20_000.0
    blind_s: tuple[float, float] | None = None
    seed: int = 1

    def arrival_ps(self, emission_s: np.ndarray, late_ps: np.ndarray) -> np.ndarray:
        # longdouble: picoseconds survive hundreds of seconds
        light_s = np.hypot(510e3, 7500.0 * (emission_s - self.culmination_s)) / SPEED_OF_LIGHT_M_S
        exact = np.longdouble(emission_s) + np.longdouble(light_s)
        clock = exact * (1 + np.longdouble(self.drift)) + np.longdouble(self.offset_s)
        return np.rint(clock * PS_PER_S + late_ps).astype(np.int64)

    def beacons(self, rng: np.random.Generator) -> np.ndarray:
        first = round(self.start_s * self.rate_hz)
        j = np.arange(first, first + round(self.duration_s * self.rate_hz))
        j = j[rng.random(j.size) >= self.missing]
        emission_s = j / np.longdouble(self.rate_hz) + CODE[j] * np.longdouble(self.shift_s)
        times = self.arrival_ps(emission_s, rng.normal(0, self.beacon_jitter_ps, j.size))
        false = rng.integers(times[0], times[-1], rng.poisson(self.false_hz * self.duration_s))
        times = np.concatenate([times, false])
        if self.blind_s is not None:
            low, high = (edge * PS_PER_S for edge in self.blind_s)
            times = times[(times < low) | (times > high)]
        return times

    def tags(self) -> tuple[Tags, np.ndarray, np.ndarray]:
        """Tags, the true slots of their detector tags, and the jitter each got."""
        rng = stream(self.seed, "sync-test")
        n = rng.poisson(self.clicks_hz * self.duration_s)
        end_s = self.start_s + self.duration_s
        slot = rng.integers(
            int(self.start_s * PS_PER_S / self.period_ps), int(end_s * PS_PER_S / self.period_ps), n
        )
        late = rng.normal(0, self.jitter_ps, n)
        emission_s = slot * (np.longdouble(self.period_ps) / PS_PER_S)
        clicks = self.arrival_ps(emission_s, late + self.quantum_delay_ps)
        beacons = self.beacons(rng)
        times = np.concatenate([clicks, beacons])
        order = np.argsort(times, kind="stable")
        channel = np.concatenate([rng.integers(0, 4, n), np.full(beacons.size, BEACON_CHANNEL)])
        by_time = np.argsort(clicks, kind="stable")
        tags = Tags(time_ps=times[order], channel=channel[order].astype(np.uint8))
        return tags, slot[by_time], late[by_time]

    def recovery(self, **options: float) -> ClockRecovery:
        return ClockRecovery(self.rate_hz, self.shift_s, CODE, self.period_ps, **options)


def run(nature: Nature, pieces: int = 1) -> tuple[Resolved, ClockRecovery, np.ndarray, np.ndarray]:
    tags, slot, late = nature.tags()
    machine = nature.recovery()
    parts = []
    for rows in np.array_split(np.arange(len(tags)), pieces):
        machine.feed(Tags(time_ps=tags.time_ps[rows], channel=tags.channel[rows]))
        parts.append(machine.resolved())
    parts.append(machine.flush())
    names = ("slot", "residual_ps", "channel", "time_ps")
    joined = Resolved(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    kept = np.isin(tags.time_ps[tags.channel < 4], joined.time_ps)
    return joined, machine, slot[kept], late[kept]


NATURES = {
    "culmination": Nature(),
    "approach": Nature(culmination_s=240.0, drift=2e-5, offset_s=-1e-3),
    "recede": Nature(start_s=5.0, culmination_s=-200.0, drift=2e-5),
    "slow beacon": Nature(rate_hz=1000.0, shift_s=1e-5, false_hz=200.0),
    "100 MHz": Nature(period_ps=10_000.0),
    "period not whole": Nature(period_ps=PS_PER_S / 3e8),
    "starts late": Nature(start_s=12.345, culmination_s=13.0),
    "long shift": Nature(shift_s=2e-5),
    "many false tags": Nature(false_hz=10_000.0, missing=0.2),
}


@pytest.mark.parametrize("name", NATURES)
def test_slots_are_right_and_the_clock_within_50_ps_rms(name: str) -> None:
    nature = NATURES[name]
    clicks, machine, slot, late = run(replace(nature, jitter_ps=20.0))
    assert machine.locked
    assert len(clicks) > 0.999 * nature.clicks_hz * nature.duration_s * 0.98
    assert machine.dropped_clicks <= 10
    np.testing.assert_array_equal(clicks.slot, slot)
    clock_error = clicks.residual_ps - late
    assert np.sqrt(np.mean(clock_error**2)) < 50
    assert np.abs(clock_error).max() < 150


def test_a_stale_linear_clock_would_not_do() -> None:
    """Power: over the same window a straight line leaves more than the quadratic's whole allowance."""
    half_s = 0.2
    t = np.linspace(-half_s, half_s, 401)
    delay_ps = np.hypot(510e3, 7500.0 * t) / SPEED_OF_LIGHT_M_S * PS_PER_S
    left = [delay_ps - np.polyval(np.polyfit(t, delay_ps, order), t) for order in (1, 2)]
    assert np.abs(left[0]).max() > 1000
    assert np.abs(left[1]).max() < 20


@settings(max_examples=5, deadline=None)
@given(st.integers(2, 400))
def test_batches_do_not_matter(pieces: int) -> None:
    nature = Nature(duration_s=0.8, clicks_hz=3000.0, quantum_delay_ps=300.0)
    whole, machine, *_ = run(nature)
    split, again, *_ = run(nature, pieces)
    for name in ("slot", "residual_ps", "channel", "time_ps"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(split, name))
    for name in ("beacons_seen", "beacons_rejected", "resolved_clicks", "dropped_clicks", "fine_offset_ps"):
        assert getattr(machine, name) == getattr(again, name)


def test_fine_offset_is_learnt_from_earlier_stretches_only() -> None:
    nature = Nature(quantum_delay_ps=520.0, jitter_ps=200.0)
    clicks, machine, *_ = run(nature)
    assert machine.fine_offset_ps == pytest.approx(520.0, abs=10)
    stretch = clicks.time_ps // (PS_PER_S // 10)
    first = clicks.residual_ps[stretch == stretch[0]]
    later = clicks.residual_ps[stretch > stretch[0] + 1]
    assert np.mean(np.abs(first - 520.0) < 300) > 0.8  # nothing known yet
    assert abs(later.mean()) < 20


def test_background_alone_moves_no_fine_offset() -> None:
    nature = Nature()
    tags, *_ = nature.tags()
    rng = stream(3, "background")
    times = tags.time_ps + np.where(tags.channel == BEACON_CHANNEL, 0, rng.integers(-800, 800, len(tags)))
    order = np.argsort(times, kind="stable")
    machine = nature.recovery()
    machine.feed(Tags(time_ps=times[order], channel=tags.channel[order]))
    machine.flush()
    assert machine.fine_offset_ps == 0.0


def test_beacons_are_counted_and_false_ones_rejected() -> None:
    nature = Nature(missing=0.0, false_hz=2000.0)
    tags, *_ = nature.tags()
    _, machine, *_ = run(nature)
    assert machine.beacons_seen == int((tags.channel == BEACON_CHANNEL).sum())
    false = machine.beacons_seen - 20_000
    assert abs(machine.beacons_rejected - false) < 20


def test_clicks_without_beacons_are_dropped_and_lock_comes_back() -> None:
    nature = Nature(blind_s=(0.6, 1.4), duration_s=2.2)
    clicks, machine, slot, _ = run(nature)
    np.testing.assert_array_equal(clicks.slot, slot)
    blind = (clicks.time_ps > 1.0 * PS_PER_S) & (clicks.time_ps < 1.22 * PS_PER_S)
    assert not blind.any()
    assert machine.dropped_clicks > 0.22 * nature.clicks_hz
    assert machine.locked
    assert (clicks.time_ps > 1.45 * PS_PER_S).any()
    assert machine.resolved_clicks == len(clicks)


def test_a_lock_that_is_lost_was_one() -> None:
    """Both within one call: nobody looked between."""
    machine = (nature := Nature(blind_s=(0.6, 1.4), duration_s=1.4)).recovery()
    machine.feed(nature.tags()[0])
    machine.flush()
    assert machine.ever_locked and not machine.locked


def test_noise_never_locks() -> None:
    rng = stream(5, "noise")
    times = np.sort(rng.integers(0, PS_PER_S, 12_000))
    channel = np.where(rng.random(times.size) < 0.8, BEACON_CHANNEL, 0).astype(np.uint8)
    machine = Nature().recovery()
    machine.feed(Tags(time_ps=times, channel=channel))
    assert len(machine.flush()) == 0
    assert not machine.locked and not machine.ever_locked
    assert machine.dropped_clicks == int((channel == 0).sum())
    assert machine.beacons_rejected == machine.beacons_seen


def test_a_code_of_another_satellite_never_locks() -> None:
    nature = Nature(duration_s=0.3)
    tags, *_ = nature.tags()
    machine = ClockRecovery(nature.rate_hz, nature.shift_s, 1 - CODE, nature.period_ps)
    machine.feed(tags)
    assert len(machine.flush()) == 0


def test_nothing_is_resolved_before_the_margin_has_passed() -> None:
    tags, *_ = Nature(duration_s=1.0).tags()
    machine = Nature().recovery()
    early = tags.time_ps < 0.24 * PS_PER_S
    machine.feed(Tags(time_ps=tags.time_ps[early], channel=tags.channel[early]))
    assert len(machine.resolved()) == 0
    machine.feed(Tags(time_ps=tags.time_ps[~early], channel=tags.channel[~early]))
    assert len(machine.resolved()) > 0


def test_no_tags_at_all() -> None:
    machine = Nature().recovery()
    machine.feed(Tags(time_ps=np.zeros(0, np.int64), channel=np.zeros(0, np.uint8)))
    assert len(machine.resolved()) == len(machine.flush()) == 0


def test_misuse_is_refused() -> None:
    machine = Nature().recovery()
    with pytest.raises(DataFormatError, match="do not decrease"):
        machine.feed(Tags(time_ps=np.array([5, 4]), channel=np.zeros(2, np.uint8)))
    with pytest.raises(DataFormatError, match="channels"):
        machine.feed(Tags(time_ps=np.array([5]), channel=np.array([9], np.uint8)))
    machine.feed(Tags(time_ps=np.array([5]), channel=np.zeros(1, np.uint8)))
    with pytest.raises(DataFormatError, match="do not decrease"):
        machine.feed(Tags(time_ps=np.array([4]), channel=np.zeros(1, np.uint8)))
    machine.flush()
    with pytest.raises(LocalProtocolError, match="flush"):
        machine.feed(Tags(time_ps=np.array([6]), channel=np.zeros(1, np.uint8)))
    with pytest.raises(ConfigError, match="code_shift"):
        Nature(shift_s=1e-9).recovery()
    with pytest.raises(ConfigError, match="rate"):
        Nature(rate_hz=100.0, shift_s=1e-5).recovery()


def test_displaced_beacons_inside_the_gate_do_not_pull_the_clock() -> None:
    """Power: a tenth of the beacons 2 ns late would pull plain least squares by 200 ps."""
    nature = Nature(jitter_ps=20.0, false_hz=0.0)
    tags, slot, late = nature.tags()
    moved = (tags.channel == BEACON_CHANNEL) & (stream(2, "late beacons").random(len(tags)) < 0.1)
    times = tags.time_ps + 2000 * moved
    order = np.argsort(times, kind="stable")
    machine = nature.recovery()
    machine.feed(Tags(time_ps=times[order], channel=tags.channel[order]))
    clicks = machine.flush()
    np.testing.assert_array_equal(clicks.slot, slot)
    assert np.sqrt(np.mean((clicks.residual_ps - late) ** 2)) < 50
    # All clicks shift alike in a fit pulled by 200 ps, and the fine offset would hide it: look at the start.
    first = clicks.time_ps < 0.1 * PS_PER_S
    assert abs(np.mean(clicks.residual_ps[first] - late[first])) < 50
    assert machine.beacons_rejected >= 0.98 * moved.sum()


def hard(
    seed: int, *, rate_hz: float, period_ps: float = 1600.0, missing: float = 0.5, start_s: float = 0.0
) -> Nature:
    """Any offset, 20 ppm, half of the beacons missing, 30 % of the tags false, 2 s without beacons."""
    rng = stream(seed, "hard")
    return Nature(
        rate_hz=rate_hz,
        shift_s=0.05 / rate_hz,
        period_ps=period_ps,
        start_s=start_s,
        duration_s=4.0,
        culmination_s=start_s + (2.0, 60.0, -60.0, 240.0, -240.0)[seed % 5],
        offset_s=rng.uniform(-1e-3, 1e-3),
        drift=rng.choice([-2e-5, 2e-5]),
        missing=missing,
        false_hz=rate_hz * (1 - missing) * 0.3 / 0.7,
        clicks_hz=3000.0,
        blind_s=(start_s + 1.0, start_s + 3.0),
        seed=seed,
    )


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("rate_hz", [1000.0, 2000.0, 10_000.0])
def test_half_missing_a_third_false_and_two_seconds_lost(rate_hz: float, seed: int) -> None:
    nature = hard(seed, rate_hz=rate_hz, period_ps=(1600.0, 10_000.0)[seed % 2], start_s=3.7 * (seed % 3))
    clicks, machine, slot, _ = run(nature)
    np.testing.assert_array_equal(clicks.slot, slot)
    since_s = clicks.time_ps / PS_PER_S - nature.start_s
    assert since_s[0] < 0.1
    assert since_s[since_s > 3.0][0] < 3.1
    report = machine.report()
    assert machine.locked and len(report.outages_s) == 1
    begin_s, end_s = (edge - nature.start_s for edge in report.outages_s[0])
    assert 1.0 < begin_s < 1.4 and 2.7 < end_s < 3.1


def test_what_was_lost_is_counted() -> None:
    nature = hard(1, rate_hz=10_000.0, period_ps=10_000.0)
    tags, *_ = nature.tags()
    clicks, machine, *_ = run(nature)
    report = machine.report()
    used = report.beacons_seen - report.beacons_rejected
    assert abs(used - 10_000) < 300
    assert abs(report.beacons_rejected - 2 * nature.false_hz) < 300
    assert abs(used + report.beacons_missing - 40_000) < 10
    assert report.resolved_clicks == len(clicks)
    assert report.resolved_clicks + report.dropped_clicks == int((tags.channel < 4).sum())
    assert report.predicted_clicks > 0.4 * nature.clicks_hz
    assert (report.method, report.headers_read, report.slips) == ("beacon", 0, 0)


@pytest.mark.parametrize("period_ps", [1600.0, 10_000.0])
def test_clicks_of_an_outage_are_put_within_the_stated_bound(
    period_ps: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And beyond the tolerance they are rightly dropped: without it slots come out wrong."""
    nature = replace(hard(3, rate_hz=10_000.0, period_ps=period_ps), jitter_ps=10.0)
    clicks, machine, slot, late = run(nature)
    np.testing.assert_array_equal(clicks.slot, slot)
    assert np.abs(clicks.residual_ps - late).max() < 0.25 * period_ps
    assert machine.predicted_clicks > 300
    if period_ps < 2000:
        monkeypatch.setattr(recovery, "TOLERATED_PERIODS", 1e3)
        careless, _, true, _ = run(nature)
        assert np.count_nonzero(careless.slot != true) > 100


@pytest.mark.parametrize("missing", [0.75, 0.85])
def test_most_beacons_may_be_missing(missing: float) -> None:
    clicks, machine, slot, _ = run(hard(2, rate_hz=10_000.0, missing=missing))
    assert machine.locked and len(clicks) > 5000
    np.testing.assert_array_equal(clicks.slot, slot)


def test_the_place_in_the_code_must_be_beyond_chance() -> None:
    assert is_told(73, 0, 5_000_000) and not is_told(72, 0, 5_000_000)
    assert is_told(128, 8, 5_000_000) and not is_told(90, 8, 5_000_000)
    assert not is_told(2000, 400, 5_000_000)  # a fifth misread: lines, but no code


@pytest.mark.parametrize("shift", [1, 37, 100_000])
def test_another_part_of_the_code_never_locks_wrongly(shift: int) -> None:
    """A code begun elsewhere either is told as what it is or not at all."""
    nature = hard(4, rate_hz=10_000.0)
    tags, slot, _ = nature.tags()
    machine = ClockRecovery(nature.rate_hz, nature.shift_s, beacon_code(300_000)[shift:], nature.period_ps)
    machine.feed(tags)
    clicks = machine.flush()
    kept = np.isin(tags.time_ps[tags.channel < 4], clicks.time_ps)
    moved = slot[kept] - clicks.slot
    assert machine.ever_locked == (shift < 100_000)
    np.testing.assert_array_equal(moved, round(shift / nature.rate_hz * PS_PER_S / nature.period_ps))


@pytest.mark.parametrize("false_hz", [3000.0, 40_000.0])
def test_false_tags_alone_never_lock(false_hz: float) -> None:
    nature = Nature(missing=1 - 1e-3, false_hz=false_hz, duration_s=1.0, clicks_hz=100.0)
    clicks, machine, *_ = run(nature)
    assert len(clicks) == 0 and not machine.ever_locked


@pytest.mark.parametrize("rate_hz", [9_990.0, 5_000.0, 20_000.0])
def test_beacons_of_another_rate_never_lock(rate_hz: float) -> None:
    nature = Nature(duration_s=0.6)
    machine = ClockRecovery(rate_hz, 0.05 / rate_hz, CODE, nature.period_ps)
    machine.feed(nature.tags()[0])
    assert len(machine.flush()) == 0 and not machine.ever_locked


@pytest.mark.soak
def test_no_seed_of_many_ever_locks_wrongly() -> None:
    for seed in range(10, 310):
        rate_hz, missing = ((1000.0, 0.5), (3000.0, 0.5), (10_000.0, 0.8))[seed % 3]
        nature = hard(seed, rate_hz=rate_hz, missing=missing)
        clicks, machine, slot, _ = run(nature)
        assert machine.locked
        np.testing.assert_array_equal(clicks.slot, slot)
