"""Clock recovery from quantum tags and public headers: slots right, or none; never a wrong one for long."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantum_tags import NO_SLOT, Train, follow

from satqkd.constants import PS_PER_S
from satqkd.distill import headers, recovery
from satqkd.distill.fit import Fit
from satqkd.distill.headers import find_shift
from satqkd.distill.periodicity import find_train
from satqkd.errors import ConfigError
from satqkd.header import PublicHeader, is_bright
from satqkd.randomness import stream
from satqkd.records import BEACON_CHANNEL, Tags

TRAINS = {
    "culmination": Train(),
    "approach": Train(culmination_s=240.0, drift=2e-5, offset_s=-1e-3),
    "recede, mid-pass": Train(start_s=299.9, culmination_s=60.0, drift=2e-5, duration_s=6.0, interval_s=5.0),
    "100 MHz": Train(period_ps=10_000.0, signal_hz=3000.0),
    "2.5 GHz": Train(period_ps=400.0, jitter_ps=40.0, duration_s=1.0),
    "period not whole": Train(period_ps=PS_PER_S / 3e8),
    "faint": Train(signal_hz=1000.0, background_hz=300.0),
    "noisy": Train(signal_hz=3000.0, background_hz=12_000.0),
    "wide pulses": Train(jitter_ps=350.0),
}


@pytest.mark.parametrize("name", TRAINS)
def test_slots_are_right(name: str) -> None:
    train = TRAINS[name]
    found = follow(train)
    signal = found.slot != NO_SLOT
    assert found.machine.locked or train.duration_s > 5
    assert len(found.clicks) > 0.85 * (train.signal_hz + train.background_hz) * train.duration_s
    assert found.wrong == 0
    assert np.sqrt(np.mean(found.clock_error_ps[signal] ** 2)) < 0.05 * train.period_ps


@settings(max_examples=3, deadline=None)
@given(st.integers(2, 300))
def test_batches_do_not_matter(pieces: int) -> None:
    train = Train(duration_s=1.2, signal_hz=3000.0, blind_s=(0.7, 0.8))
    whole, split = follow(train), follow(train, pieces=pieces)
    for name in ("slot", "residual_ps", "channel", "time_ps"):
        np.testing.assert_array_equal(getattr(whole.clicks, name), getattr(split.clicks, name))
    assert whole.machine.report() == split.machine.report()


@pytest.mark.parametrize("seed", range(4))
def test_a_short_fade_is_bridged(seed: int) -> None:
    """By what was known before and the first light after it, weighed together: neither alone would do."""
    train = Train(
        blind_s=(1.1, 1.34), jitter_ps=200.0, culmination_s=(1.0, 80.0)[seed % 2], duration_s=2.0, seed=seed
    )
    found = follow(train)
    report = found.machine.report()
    assert found.wrong == 0 and report.slips == 0
    assert report.dropped_clicks < 0.2 * train.background_hz
    assert len(report.outages_s) <= 1


@pytest.mark.parametrize("period_ps", [1600.0, 10_000.0])
def test_after_two_seconds_without_light_the_next_header_tells_the_slot(period_ps: float) -> None:
    train = Train(period_ps=period_ps, signal_hz=5000.0, blind_s=(1.0, 3.0), duration_s=6.0)
    found = follow(train)
    report = found.machine.report()
    assert found.wrong == 0 and report.slips == 0
    begin_s, end_s = report.outages_s[0]
    assert 1.0 < begin_s < 1.5 and 4.7 < end_s < 5.2
    assert (found.clicks.time_ps > 5.3 * PS_PER_S).any()
    tags, *_ = train.tags()
    assert report.resolved_clicks + report.dropped_clicks == len(tags)


@pytest.mark.parametrize("header_s", [0.25, 0.5])
def test_every_header_is_asked_again(header_s: float) -> None:
    """One shorter than the window too, so that a slip is seen."""
    train = Train(header_s=header_s, interval_s=1.2, start_s=0.6, duration_s=3.1, signal_hz=5000.0)
    machine = follow(train).machine
    assert machine.headers_read >= 2 and machine.slips == 0
    assert machine.report().headers_read == machine.headers_read


def test_a_careless_bound_would_number_clicks_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Power: the tolerance is what keeps slots right through a fade."""
    monkeypatch.setattr(recovery, "TOLERATED_PERIODS", 1e4)
    train = Train(signal_hz=3000.0, culmination_s=40.0, interval_s=20.0, blind_s=(1.0, 5.0), duration_s=6.0)
    assert follow(train).wrong > 1000


@pytest.mark.parametrize(
    "train",
    [
        Train(signal_hz=2000.0, background_hz=1000.0, blind_s=(1.2, 1.6), duration_s=2.5, jitter_ps=200.0),
        # Light comes back so that a window ends with it: noise before must not pass for knowledge.
        Train(period_ps=1e4, blind_s=(1.13, 1.73), duration_s=2.9, interval_s=20.0, jitter_ps=200.0, seed=3),
    ],
    ids=["fade", "late light"],
)
def test_errors_stay_below_the_stated_bound(train: Train) -> None:
    machine = train.recovery()
    bounds: list[np.ndarray] = []
    place = machine._slots

    def noted(fit: Fit, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        bounds.append(np.stack([times.astype(float), fit.bound_ps(times)]))
        return place(fit, times)

    machine._slots = noted  # type: ignore[method-assign]
    found = follow(train, machine)
    stated = np.concatenate(bounds, axis=1)
    stated = stated[1, np.argsort(stated[0], kind="stable")]
    signal = found.slot != NO_SLOT
    ratio = np.abs(found.clock_error_ps[signal]) / stated[signal]
    assert 0.05 < ratio.max() < 1.0


def test_noise_alone_never_locks() -> None:
    rng = stream(7, "noise")
    for clicks_hz in (500.0, 20_000.0):
        times = np.sort(rng.integers(0, PS_PER_S, rng.poisson(clicks_hz)))
        machine = Train().recovery()
        machine.feed(Tags(times, np.zeros(times.size, np.uint8)))
        assert len(machine.flush()) == 0
        assert not machine.ever_locked and machine.dropped_clicks == times.size


def test_the_header_of_another_satellite_never_locks() -> None:
    train = Train(signal_hz=20_000.0, background_hz=0.0, duration_s=0.9, period_ps=10_000.0)
    found = follow(train, train.recovery("another"))
    assert len(found.clicks) == 0 and not found.machine.ever_locked


def test_nor_in_the_strongest_light(monkeypatch: pytest.MonkeyPatch) -> None:
    """There any two codes correlate significantly, but little. Power: by significance alone it is a find."""
    one, other = (Train(period_ps=10_000.0).header(name) for name in ("one", "sat3"))
    slots = stream(9, "strong").integers(0, one.header_slots, 1_000_000)
    slots = slots[is_bright(slots, one)]
    light = slots, np.zeros(slots.size)
    assert find_shift(*light, 0, one) == 0
    assert find_shift(*light, 0, other) is None
    monkeypatch.setattr(headers, "_OF_THE_TRAIN", 0.0)
    assert find_shift(*light, 0, other) is not None


@pytest.mark.parametrize("factor", [1.0002, 0.5, 2.0, 1.5])
def test_another_pulse_rate_never_locks(factor: float) -> None:
    train = Train(duration_s=0.9)
    found = follow(train, replace(train, period_ps=train.period_ps * factor).recovery())
    assert len(found.clicks) == 0 and not found.machine.ever_locked


def test_a_pass_without_headers_never_locks() -> None:
    """The train is there, its slots are not told."""
    train = Train(start_s=1.0, duration_s=2.0)
    tags, *_ = train.tags()
    assert find_train(tags.time_ps[:4000], train.period_ps) is not None
    assert not follow(train).machine.ever_locked


def test_a_clock_that_jumps_is_put_right_by_the_next_header() -> None:
    """By one period, as no phase can show: wrong until then, and said so."""
    train = Train(duration_s=6.5, signal_hz=3000.0)
    tags, slot, _ = train.tags()
    jump_ps = 2 * PS_PER_S
    times = np.sort(tags.time_ps + np.where(tags.time_ps > jump_ps, round(train.period_ps), 0))
    machine = train.recovery()
    machine.feed(Tags(times, tags.channel))
    clicks = machine.flush()
    kept = np.isin(times, clicks.time_ps)
    wrong = (clicks.slot != slot[kept]) & (slot[kept] != NO_SLOT)
    late = clicks.time_ps > 5.6 * PS_PER_S
    assert machine.slips == 1
    assert wrong[~late].any() and not wrong[late].any()


def test_the_search_needs_some_light_but_not_more_than_it_says() -> None:
    for signal_hz, told in ((300.0, True), (30.0, False)):
        tags, *_ = Train(signal_hz=signal_hz, background_hz=0.0, duration_s=0.5).tags()
        assert (find_train(tags.time_ps, 1600.0) is not None) == told


def test_few_clicks_of_the_header_are_no_find() -> None:
    header = Train(period_ps=10_000.0).header()
    rng = stream(3, "few")
    bright = np.flatnonzero(np.tile(header.codes[0], 8)[: 1 << 16])
    slots = np.sort(rng.choice(bright, 60))
    assert find_shift(slots - 12_345, np.zeros(60), 10_000, header) is None


def test_beacon_tags_are_ignored_and_nothing_at_all_is_nothing() -> None:
    train = Train(duration_s=0.6)
    tags, *_ = train.tags()
    machine, plain = train.recovery(), train.recovery()
    plain.feed(tags)
    channel = np.concatenate([tags.channel, np.full(50, BEACON_CHANNEL, np.uint8)])
    times = np.concatenate([tags.time_ps, np.full(50, tags.time_ps[-1])])
    machine.feed(Tags(times, channel))
    np.testing.assert_array_equal(machine.flush().slot, plain.flush().slot)
    empty = train.recovery()
    empty.feed(Tags(np.zeros(0, np.int64), np.zeros(0, np.uint8)))
    assert len(empty.resolved()) == len(empty.flush()) == 0


def test_a_header_too_short_to_be_read_is_refused() -> None:
    header = Train().header()
    for sizes in ((1000, 10_000_000), (6_000_000, 10_000_000)):
        with pytest.raises(ConfigError, match="header"):
            train_header = PublicHeader(*sizes, header.codes)
            type(Train().recovery())(1600.0, train_header, light_time_s=0.0)


def partly_in_a_header(seed: int) -> tuple[np.ndarray, int, PublicHeader]:
    """Numbers of a window of which a part lies in a header, the shift that makes them slots, the header."""
    rng = stream(seed, "partly")
    header = Train(period_ps=1600.0).header()
    inside, outside = rng.integers(50, 800), rng.integers(0, 3000)
    begin = rng.integers(0, header.header_slots - 70_000_000)
    candidates = begin + rng.integers(0, 70_000_000, 3 * inside)
    slots = candidates[is_bright(candidates, header)][:inside]
    slots = np.concatenate([slots, rng.integers(header.header_slots, header.interval_slots, outside)])
    shift = int(rng.integers(-(10**9), 10**9))
    return slots + header.interval_slots - shift, shift, header


def test_of_two_codes_one_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the edge of a header one code stands out before the other: that is no find yet.

    Power: with no demand on each by itself, one true place and one false pass together.
    """
    asked: list[int | None] = []
    for seed in range(100):
        numbers, shift, header = partly_in_a_header(seed)
        guess = shift + (-1) ** seed * 6_000_000
        found = find_shift(numbers, np.zeros(numbers.size), guess, header)
        assert found in (None, shift)
        asked.append(found)
    assert 15 < sum(each is not None for each in asked) < 90
    monkeypatch.setattr(headers, "SIGNIFICANCE", -9.0)
    careless = [partly_in_a_header(seed) for seed in range(100)]
    assert any(find_shift(n, np.zeros(n.size), s, h) not in (None, s) for n, s, h in careless)


def test_the_place_beyond_the_guess_is_not_told() -> None:
    """The guess may be off by half the product of the lengths, and no more."""
    rng = stream(5, "guess")
    header = Train(period_ps=1600.0).header()
    slots = np.sort(rng.integers(0, header.header_slots, 3000))
    slots = slots[is_bright(slots, header)] + 7 * header.interval_slots
    for off, told in ((60_000_000, True), (-60_000_000, True), (75_000_000, False), (-75_000_000, False)):
        assert (find_shift(slots - 99, np.zeros(slots.size), 99 + off, header) == 99) == told


@pytest.mark.soak
def test_no_fade_of_many_ever_leaves_wrong_slots() -> None:
    rng = stream(1, "fades")
    for seed in range(200):
        begin_s, dark_s = (
            rng.uniform(1.0, 1.5),
            rng.choice([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5]),
        )
        train = Train(
            period_ps=rng.choice([1600.0, 1e4, PS_PER_S / 3e8]),
            signal_hz=rng.choice([2000.0, 5000.0, 20_000.0]),
            background_hz=rng.choice([100.0, 1000.0, 5000.0]),
            culmination_s=rng.choice([1.0, 60.0, -60.0, 240.0]),
            drift=rng.choice([-2e-5, 2e-5]),
            offset_s=rng.uniform(-1e-3, 1e-3),
            duration_s=4.5,
            interval_s=3.0,
            blind_s=(begin_s, begin_s + dark_s),
            seed=1000 + seed,
        )
        found = follow(train)
        assert found.machine.ever_locked and found.machine.slips == 0
        assert found.wrong == 0
