"""A station's monitors: how often they alarm without an attack, and what makes them alarm."""

import functools
from typing import Any

import msgspec
import numpy as np
import pytest

from satqkd.config import BrightLight, Monitors, Station
from satqkd.devices import BiasReadings
from satqkd.distill.recovery import Resolved
from satqkd.errors import ConfigError
from satqkd.mission.monitors import MonitorReading, StationMonitors, alarm_reason, calibrated_shares
from satqkd.randomness import stream
from satqkd.records import Tags
from session_pair import parameters
from toy_pass import replaced, toy_station

BRIGHT = BrightLight(avalanche_electrons=1e8, linear_electrons=50, blinding_w=4e-7, current_noise_a=2e-8)
PARAMETERS = parameters(slots=4_000_000, blocks=2)
"""4 s at 1 MHz, two blocks."""


class Meter:
    """A receiver whose bias currents are given."""

    def __init__(self, rows: BiasReadings) -> None:
        self._rows = rows

    def read(self, until_s: float) -> Tags:
        """No tags."""
        return Tags(np.empty(0, np.int64), np.empty(0, np.uint8))

    def readings(self, until_s: float) -> BiasReadings:
        """Those not given yet."""
        ended = int(np.searchsorted(self._rows.t_s, until_s, "right"))
        given = BiasReadings(self._rows.t_s[:ended], self._rows.current_a[:ended])
        self._rows = BiasReadings(self._rows.t_s[ended:], self._rows.current_a[ended:])
        return given


class Mute:
    """A receiver that tells no currents."""

    def read(self, until_s: float) -> Tags:
        """No tags."""
        return Tags(np.empty(0, np.int64), np.empty(0, np.uint8))


def monitors(limits: dict[str, Any], *, rows: BiasReadings | None = None, **station: Any) -> StationMonitors:
    settings = watched(Monitors(**limits), **station).receiver
    return StationMonitors(settings, PARAMETERS, Mute() if rows is None else Meter(rows))


@functools.cache
def unwatched() -> Station:
    return toy_station(receiver__bright_light=BRIGHT)


def watched(limits: Monitors, **changes: Any) -> Station:
    station: Station = replaced(unwatched(), receiver__monitors=limits, **changes)
    return station


def clicks(slots: Any, channel: Any, residual_ps: float = 0.0) -> Resolved:
    slots = np.asarray(slots, np.int64)
    return Resolved(slots, np.full(slots.size, residual_ps), np.asarray(channel, np.uint8), slots * 1_000_000)


def photons(rng: np.random.Generator, mean: float, shares: Any = (0.25,) * 4) -> Resolved:
    """A Poisson number of photons in each slot of block 0, each at a detector of its own choice."""
    slots = np.repeat(np.arange(2_000_000), rng.poisson(mean, 2_000_000))
    return clicks(slots, rng.choice(4, slots.size, p=np.asarray(shares)))


def only(found: StationMonitors, block: int = 0) -> MonitorReading:
    (reading,) = found.judge(block)
    return reading


def test_a_block_is_judged_by_all_of_its_light_though_the_process_died_in_the_middle() -> None:
    """Cut anywhere, also within a second: the readings are those of an unbroken watch."""
    limits = {
        "bias_current_limit_a": 5e-6,
        "detector_share_false_alarm": 1e-6,
        "coincidence_false_alarm": 1e-6,
    }
    rng = stream(5, "cut")
    light = photons(rng, 0.02)
    rows = BiasReadings(np.arange(1, 11) * 0.2, rng.uniform(0, 4e-6, (10, 4)))
    whole = monitors(limits, rows=rows)
    whole.feed(light)
    expected = whole.judge(0)
    at = np.searchsorted(light.slot, 700_321)  # between two slots
    names = [field.name for field in msgspec.structs.fields(Resolved)]
    first, second = (
        Resolved(**{name: getattr(light, name)[part] for name in names}) for part in (np.s_[:at], np.s_[at:])
    )
    broken = monitors(limits, rows=rows)
    broken.feed(first)
    broken.read_currents(0.9)
    kept = broken.news()
    assert set(kept) == {0} and broken.news() == {}
    resumed = StationMonitors(
        watched(Monitors(**limits)).receiver, PARAMETERS, broken._receiver, earlier=kept
    )
    resumed.feed(second)
    assert resumed.judge(0) == expected


def test_a_station_without_monitors_judges_nothing() -> None:
    found = monitors({})
    found.feed(photons(stream(1, "dark"), 1e-3))
    assert found.judge(0) == ()


class TestShares:
    LIMITS = {"detector_share_false_alarm": 0.01, "detector_share_tolerance": 0.0}

    def test_false_alarms_are_as_told(self) -> None:
        """1000 honest blocks: 10 alarms expected, three times as many are refused."""
        rng, alarms = stream(1, "shares"), 0
        for counts in rng.multinomial(10_000, [0.25] * 4, 1000):
            found = monitors(self.LIMITS)
            found.feed(clicks(np.arange(10_000), np.repeat(np.arange(4), counts)))
            alarms += only(found).alarm
        assert 2 <= alarms <= 25

    def test_tolerance_forgives_what_calibration_may_leave(self) -> None:
        """Shares off by the tolerance to and fro, the worst it allows: still no more alarms than told."""
        rng, alarms, off = stream(2, "shares"), 0, 0.02
        shares = 0.25 * (1 + off * np.array([1, -1, 1, -1]))
        for counts in rng.multinomial(20_000, shares, 300):
            found = monitors(self.LIMITS | {"detector_share_tolerance": off})
            found.feed(clicks(np.arange(20_000), np.repeat(np.arange(4), counts)))
            alarms += only(found).alarm
        assert alarms <= 11

    def test_a_shifted_detector_alarms_and_afterpulses_widen_the_limit(self) -> None:
        shares = (0.27, 0.23, 0.25, 0.25)
        strict = monitors({"detector_share_false_alarm": 1e-9})
        strict.feed(photons(stream(3, "shares"), 0.02, shares))
        reading = only(strict)
        assert reading.alarm and reading.reading is not None and reading.limit is not None
        assert reading.reading > reading.limit and "chi-square" in reading.told
        loose = monitors({"detector_share_false_alarm": 1e-9}, receiver__detector__afterpulse_probability=0.1)
        loose.feed(photons(stream(3, "shares"), 0.02, shares))
        assert only(loose).limit == pytest.approx(1.2 * reading.limit)

    def test_calibration_is_of_the_settings(self) -> None:
        station = toy_station(receiver__detector__efficiency=(0.5, 0.4, 0.5, 0.6))
        assert calibrated_shares(station.receiver) == pytest.approx([0.25, 0.2, 0.25, 0.3])
        active = replaced(station, receiver__basis_choice="active", receiver__basis_z_probability=0.8)
        assert calibrated_shares(active.receiver).sum() == pytest.approx(1)
        assert calibrated_shares(active.receiver)[0] == pytest.approx(0.4 / 0.94)

    def test_swapped_labels_are_detectors_and_what_lies_outside_the_gate_is_none(self) -> None:
        found = monitors({"detector_share_false_alarm": 1e-9}, receiver__label_swap="random")
        found.feed(clicks(np.arange(8000), np.tile([0, 1, 2, 3, 5, 6, 7, 8], 1000)))
        found.feed(clicks(np.arange(8000, 9000), [0] * 1000, residual_ps=1100.0))
        assert only(found).reading == 0.0


class TestCoincidences:
    LIMITS = {"coincidence_false_alarm": 0.01}

    def test_honest_blocks_alarm_no_more_than_told(self) -> None:
        alarms = 0
        for seed in range(60):
            found = monitors(self.LIMITS)
            found.feed(photons(stream(seed, "honest"), 0.02))
            alarms += only(found).alarm
        assert alarms <= 4

    def test_the_limit_is_the_quantile_of_what_independent_photons_give(self) -> None:
        """2e6 slots at a mean of 0.02: a hundredth of 1 % of them click in both bases, 200."""
        found = monitors(self.LIMITS)
        found.feed(photons(stream(1, "honest"), 0.02))
        reading = only(found)
        assert reading.reading == pytest.approx(200, abs=65)
        assert reading.limit == pytest.approx(200 - 2.33 * 200**0.5, abs=8)

    def test_none_at_all_alarms_and_too_few_clicks_never_do(self) -> None:
        bright, faint = monitors(self.LIMITS), monitors(self.LIMITS)
        slots = np.arange(0, 2_000_000, 50)
        bright.feed(clicks(slots, np.arange(slots.size) % 4))
        faint.feed(clicks(slots[::100], np.arange(slots.size)[::100] % 4))
        assert only(bright).alarm and only(bright, 1).reading == 0
        assert only(faint) == MonitorReading(
            block=0,
            monitor="coincidences",
            reading=0.0,
            limit=None,
            false_alarm=0.01,
            told="0 slots with clicks in both bases, independent photons give 0 or more",
        )

    def test_an_active_receiver_has_none_to_count(self) -> None:
        with pytest.raises(ConfigError, match="expected a passive receiver"):
            watched(Monitors(coincidence_false_alarm=1e-9), receiver__basis_choice="active")


class TestBiasCurrent:
    LIMITS = {"bias_current_limit_a": 5e-6}

    @staticmethod
    def rows(rng: np.random.Generator, **places: float) -> BiasReadings:
        t_s = np.arange(1, 21) * 0.2
        current_a = 1e-6 + 2e-8 * rng.standard_normal((20, 4))
        for place, value in places.items():
            row, detector = (int(each) for each in place[1:].split("_"))
            current_a[row, detector] = value
        return BiasReadings(t_s, current_a)

    def test_one_reading_above_alarms_in_its_block_alone(self) -> None:
        found = monitors(self.LIMITS, rows=self.rows(stream(1, "bias"), r12_1=5.1e-6))
        first, second = only(found), only(found, 1)
        assert (first.alarm, second.alarm) == (False, True)
        assert second.told == "5.1 uA on detector V at 2.6 s, at most 5 uA allowed"
        assert alarm_reason([first]) == ""
        assert alarm_reason([first, second]) == f"monitor bias_current: {second.told}"

    def test_false_alarms_are_as_told(self) -> None:
        """40 readings a block whose limit lies 3 sigma over what the clicks draw."""
        charge_a = 1.602176634e-19 * 1e8 * 250
        alarms, told = 0, 0.0
        for seed in range(400):
            rows = BiasReadings(
                np.arange(1, 11) * 0.2,
                charge_a + 2e-8 * stream(seed, "bias").standard_normal((10, 4)),
            )
            found = monitors({"bias_current_limit_a": charge_a + 6e-8}, rows=rows)
            found.feed(clicks(np.arange(0, 2_000_000, 1000), np.tile([0, 1, 2, 3], 500)))
            reading = only(found)
            alarms, told = alarms + reading.alarm, reading.false_alarm or 0.0
        assert told == pytest.approx(40 * 0.00135, rel=0.01)
        assert alarms / 400 < told + 4 * (told / 400) ** 0.5 and alarms > 5

    @pytest.mark.parametrize("live", [True, False], ids=["live", "recorded"])
    def test_a_receiver_without_currents_is_not_taken_for_quiet(self, live: bool) -> None:
        """An alarm, where light comes now; of a recording it is told."""
        settings = watched(Monitors(**self.LIMITS)).receiver
        reading = only(StationMonitors(settings, PARAMETERS, Mute(), tells_currents=live))
        assert (reading.reading, reading.false_alarm, reading.alarm) == (None, None, live)
        assert reading.told == "the receiver gives no readings"

    def test_a_meter_that_falls_silent_for_a_block_is_an_alarm_in_it(self) -> None:
        rows = BiasReadings(np.arange(1, 6) * 0.2, np.full((5, 4), 1e-6))
        found = monitors(self.LIMITS, rows=rows)
        assert [only(found, block).alarm for block in range(2)] == [False, True]

    def test_a_reading_counts_for_the_block_in_whose_light_it_ended(self) -> None:
        t_s = np.array([0.0, 1.9, 2.0, 2.1, 4.1])
        for bright, alarms in (
            (0, [True, False]),
            (2, [True, False]),
            (3, [False, True]),
            (4, [False, True]),
        ):
            current_a = np.full((5, 4), 1e-6)
            current_a[bright, 2] = 9e-5
            found = monitors(self.LIMITS, rows=BiasReadings(t_s, current_a))
            found.read_currents(5.0)
            assert [only(found, block).alarm for block in range(2)] == alarms

    def test_a_limit_needs_to_know_what_a_current_shows(self) -> None:
        with pytest.raises(ConfigError, match="expected bright_light with it"):
            toy_station(receiver__monitors=Monitors(bias_current_limit_a=5e-6))
