"""Clock recovery against an overhead pass: slots right, residuals small, nothing depends on batches."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.beacon import beacon_code
from satqkd.constants import PS_PER_S, SPEED_OF_LIGHT_M_S
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
        machine.feed(Tags(time_ps=np.array([5]), channel=np.array([5], np.uint8)))
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
