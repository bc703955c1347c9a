"""Schedules: overlaps are refused or shared by turns, nodes fly all contacts, one failure ends nothing."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from test_processes import SATELLITE_TOML, STATION_TOML

from satqkd.config import Protocol
from satqkd.errors import ConfigError, NoPassError
from satqkd.mission import contact_of, ensure_authentication, open_store
from satqkd.mission.contact import ACQUISITION_S, Window
from satqkd.node import free_port
from satqkd.node.run_config import without_none
from satqkd.node.schedule import Schedule, ScheduledContact, is_schedule, planned_contacts, read_schedule
from satqkd.node.stop import Stop
from satqkd.node.unattended import (
    ScheduleSummary,
    _Begins,
    _sleep_until,
    run_emulator_schedule,
    run_node_schedule,
)
from toy_pass import AT_UTC, PROTOCOL, link_key, toy_satellite, toy_station

LATER_UTC = "2016-12-20T16:00:00Z"


def schedule(folder: Path, stations: tuple[str, ...] = ("toy-a", "toy-b"), **changes: Any) -> Schedule:
    (folder / "satellite.toml").write_text(SATELLITE_TOML, encoding="utf-8")
    for name in stations:
        text = STATION_TOML.replace('name = "toy-station"', f'name = "{name}"')
        text = text.replace("maximum_range_km = 646", "maximum_range_km = 665")
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    base = Schedule(
        satellite=str(folder / "satellite.toml"),
        folder=str(folder),
        port=free_port(),
        contacts=tuple(
            ScheduledContact(station=str(folder / f"{name}.toml"), at_utc=AT_UTC) for name in stations
        ),
        protocol=PROTOCOL,
        slew_s=2.0,
        closing_s=8.0,
        patience_s=60.0,
    )
    return msgspec.structs.replace(base, **changes)


class TestWindows:
    CONTACT = contact_of(toy_satellite(), toy_station(), AT_UTC)

    def test_a_window_cuts_both_links_and_moves_the_epoch(self) -> None:
        window = Window(from_s=-4.0, to_s=5.0, closing_s=1.0)
        cut = contact_of(toy_satellite(), toy_station(), AT_UTC, window=window)
        assert cut.epoch == self.CONTACT.epoch
        assert cut.quantum_end_s == pytest.approx(4.0, abs=1e-6)
        assert (cut.link_start_s, cut.link_end_s) == pytest.approx((-4.0, 5.0))
        late = contact_of(
            toy_satellite(), toy_station(), AT_UTC, window=Window(from_s=2.0, to_s=60.0, closing_s=10.0)
        )
        assert late.epoch == self.CONTACT.epoch + timedelta(seconds=2.0 + ACQUISITION_S)
        assert late.quantum_end_s == pytest.approx(self.CONTACT.quantum_end_s - 4.0, abs=0.002)
        assert (late.link_start_s, late.link_end_s) == pytest.approx((-ACQUISITION_S, 60.0 - 4.0))

    def test_light_and_range_are_those_of_the_same_moments(self) -> None:
        late = contact_of(
            toy_satellite(), toy_station(), AT_UTC, window=Window(from_s=2.0, to_s=60.0, closing_s=10.0)
        )
        assert late.light_time_s(0.0) == pytest.approx(self.CONTACT.light_time_s(4.0), rel=1e-9)

    def test_a_window_without_light_is_refused(self) -> None:
        with pytest.raises(NoPassError, match="expected a part of the quantum link"):
            contact_of(toy_satellite(), toy_station(), AT_UTC, window=Window(from_s=20.0, to_s=60.0))

    def test_a_window_too_short_to_close_a_block_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="that acquisition and closing_s take"):
            Window(from_s=0.0, to_s=16.0, closing_s=15.0)


class TestOverlaps:
    def test_overlapping_contacts_are_refused_with_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"toy-a until .* and toy-b from .* one telescope; set turns"):
            planned_contacts(schedule(tmp_path))

    def test_turns_share_the_light_and_leave_time_to_slew(self, tmp_path: Path) -> None:
        one, other = planned_contacts(schedule(tmp_path, turns=True))
        assert (other.begin - one.end).total_seconds() == pytest.approx(2.0, abs=0.002)
        flown = [each.config.contact() for each in (one, other)]
        ends = [each.epoch + timedelta(seconds=each.quantum_end_s) for each in flown]
        link_end = flown[0].epoch + timedelta(seconds=flown[0].link_end_s)
        assert abs((link_end - one.end).total_seconds()) < 0.002
        assert flown[0].quantum_end_s == pytest.approx(flown[1].quantum_end_s, abs=0.01)
        assert flown[0].quantum_end_s > 3
        assert ends[0] + timedelta(seconds=8.0) <= one.end + timedelta(seconds=0.002)
        assert flown[1].epoch >= other.begin + timedelta(seconds=ACQUISITION_S - 0.002)

    def test_windows_by_hand_that_leave_no_time_to_slew_are_refused(self, tmp_path: Path) -> None:
        asked = schedule(tmp_path)
        windows = (Window(from_s=-10, to_s=16.0, closing_s=8.0), Window(from_s=17.0, to_s=60, closing_s=8.0))
        contacts = tuple(
            msgspec.structs.replace(each, window=window)
            for each, window in zip(asked.contacts, windows, strict=True)
        )
        with pytest.raises(ConfigError, match=r"1\.0 s apart, expected at least slew_s = 2 s"):
            planned_contacts(msgspec.structs.replace(asked, contacts=contacts))
        apart = msgspec.structs.replace(asked, contacts=contacts, slew_s=1.0)
        assert [each.station for each in planned_contacts(apart)] == ["toy-a", "toy-b"]

    def test_turns_that_leave_no_light_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="turns leave no light for toy-"):
            planned_contacts(schedule(tmp_path, turns=True, closing_s=120.0))

    def test_a_pass_that_is_there_twice_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="there twice"):
            planned_contacts(schedule(tmp_path, ("toy-a", "toy-a")))

    def test_contacts_apart_need_no_windows_and_come_in_order(self, tmp_path: Path) -> None:
        asked = schedule(tmp_path)
        later = msgspec.structs.replace(asked.contacts[0], at_utc=LATER_UTC, seed=7)
        found = planned_contacts(msgspec.structs.replace(asked, contacts=(later, asked.contacts[1])))
        assert [each.station for each in found] == ["toy-b", "toy-a"]
        assert [each.config.seed for each in found] == [1, 7]
        assert [each.config.window for each in found] == [None, None]
        assert len({each.config.folder for each in found}) == 2
        for each in found:
            contact = each.config.contact()
            assert each.begin == contact.epoch + timedelta(seconds=contact.link_start_s)


def provision(folder: Path, contacts: tuple[str, ...] = ("toy-a", "toy-b")) -> None:
    for name in contacts:
        contact = contact_of(toy_satellite(), toy_station(name=name), AT_UTC)
        with open_store(folder, "toy-satellite") as above, open_store(folder, name) as below:
            ensure_authentication(above, below, contact, Protocol(blocks=4))


class Fleet:
    """Nodes and emulator of a schedule, each in a thread."""

    def __init__(self, asked: Schedule, stations: tuple[str, ...]) -> None:
        self.summaries: dict[str, ScheduleSummary] = {}
        threads = [threading.Thread(target=self._emulate, args=(asked,))]
        threads += [threading.Thread(target=self._node, args=(asked, "satellite", None))]
        threads += [threading.Thread(target=self._node, args=(asked, "station", name)) for name in stations]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _emulate(self, asked: Schedule) -> None:
        self.summaries["emulator"] = run_emulator_schedule(asked)

    def _node(self, asked: Schedule, role: Any, name: str | None) -> None:
        self.summaries[name or role] = run_node_schedule(asked, role, name)


def test_one_satellite_serves_two_stations_in_overlapping_passes_and_both_get_key(tmp_path: Path) -> None:
    """Then the same again: nothing is flown twice. Then one contact more: it alone is flown."""
    asked = schedule(tmp_path, turns=True)
    provision(tmp_path)
    fleet = Fleet(asked, ("toy-a", "toy-b"))
    outcomes = {name: [each.outcome for each in s.contacts] for name, s in fleet.summaries.items()}
    assert outcomes == {
        "emulator": ["flown", "flown"],
        "satellite": ["flown", "flown"],
        "toy-a": ["flown"],
        "toy-b": ["flown"],
    }
    bits = {name: summary.secret_bits for name, summary in fleet.summaries.items()}
    assert bits["toy-a"] > 0 and bits["toy-b"] > 0
    assert bits["satellite"] == bits["toy-a"] + bits["toy-b"]
    with open_store(tmp_path, "toy-satellite") as above:
        held = link_key(above)[0]
        assert above.check().balanced
    theirs: dict[str, bytes] = {}
    for name in ("toy-a", "toy-b"):
        with open_store(tmp_path, name) as store:
            keys, states = link_key(store)
            theirs |= keys
            assert set(states.values()) == {"confirmed"}
    assert held == theirs and len(held) == 2
    again = Fleet(asked, ("toy-a", "toy-b"))
    for name, summary in again.summaries.items():
        assert {each.outcome for each in summary.contacts} == {"earlier"}
        assert (summary.secret_bits, summary.complete) == (bits[name], True)
    written = msgspec.json.decode((tmp_path / "summary.toy-a.json").read_bytes(), type=ScheduleSummary)
    assert written == again.summaries["toy-a"]


def test_one_failed_contact_does_not_end_the_schedule(tmp_path: Path) -> None:
    """Station A never comes: its contact fails at the satellite, station B's is flown."""
    asked = schedule(tmp_path, turns=True, patience_s=3.0)
    provision(tmp_path)
    fleet = Fleet(asked, ("toy-b",))
    contacts = fleet.summaries["satellite"].contacts
    assert [(each.station, each.outcome) for each in contacts] == [("toy-a", "failed"), ("toy-b", "flown")]
    assert contacts[0].reason
    assert not fleet.summaries["satellite"].complete
    assert [each.outcome for each in fleet.summaries["emulator"].contacts] == ["failed", "flown"]
    assert fleet.summaries["toy-b"].complete and fleet.summaries["toy-b"].secret_bits > 0


class TestClock:
    BEGIN = datetime(2030, 1, 1, tzinfo=UTC)

    def contacts(self, tmp_path: Path) -> list[Any]:
        asked = schedule(tmp_path)
        later = msgspec.structs.replace(asked.contacts[0], at_utc=LATER_UTC)
        return planned_contacts(msgspec.structs.replace(asked, contacts=(later, asked.contacts[1])))

    def test_at_the_time_of_day_contacts_begin_at_their_utc_though_the_clock_is_set(
        self, tmp_path: Path
    ) -> None:
        first, _ = self.contacts(tmp_path)
        day = iter([first.begin - timedelta(hours=5), first.begin - timedelta(seconds=3)])
        asked = schedule(tmp_path, speed="realtime", clock="utc")
        begins_in_s = _Begins(asked, lambda: next(day)).of(first)
        assert begins_in_s is not None
        assert [begins_in_s(), begins_in_s()] == [5 * 3600, 3]

    def test_from_the_start_gaps_are_kept_over_the_speed(self, tmp_path: Path) -> None:
        first, later = self.contacts(tmp_path)
        asked = schedule(tmp_path, speed="100")
        clock_s = [50.0]
        begins = _Begins(asked, lambda: self.BEGIN, lambda: clock_s[0])
        assert begins.of(first) is None
        clock_s[0] = 60.0
        left_s = begins.of(later)
        assert left_s is not None
        assert left_s() == pytest.approx((later.begin - first.begin).total_seconds() / 100 - 10)

    def test_without_a_pace_nothing_is_waited_for(self, tmp_path: Path) -> None:
        begins = _Begins(schedule(tmp_path), lambda: self.BEGIN)
        assert [begins.of(each) for each in self.contacts(tmp_path)] == [None, None]

    def test_a_node_sleeps_until_shortly_before_and_looks_at_the_clock_again(self, tmp_path: Path) -> None:
        first, _ = self.contacts(tmp_path)
        slept: list[float] = []
        day = [first.begin - timedelta(seconds=100)]

        class Sleepy(Stop):
            def wait(self, duration_s: float) -> bool:
                slept.append(duration_s)
                day[0] += timedelta(seconds=duration_s)
                return False

        _sleep_until(first, 30.0, Sleepy(), lambda: day[0])
        assert slept == [30.0, 30.0, 10.0]

    def test_a_contact_whose_time_is_over_is_missed_and_not_waited_for(self, tmp_path: Path) -> None:
        asked = schedule(tmp_path, speed="realtime", clock="utc", turns=True)
        summary = run_node_schedule(asked, "station", "toy-a", now=lambda: self.BEGIN)
        assert [each.outcome for each in summary.contacts] == ["missed"]
        assert not summary.complete

    @pytest.mark.parametrize("speed", ["max", "10"])
    def test_the_time_of_day_goes_with_the_pace_of_the_sky_alone(self, tmp_path: Path, speed: str) -> None:
        with pytest.raises(ConfigError, match="clock"):
            Schedule(satellite="a", folder=".", port=1, contacts=(), clock="utc", speed=speed)


class TestFile:
    def test_a_schedule_comes_back_and_is_told_from_a_run_file(self, tmp_path: Path) -> None:
        import tomli_w

        asked = schedule(tmp_path, turns=True)
        path = tmp_path / "schedule.toml"
        path.write_text(tomli_w.dumps(without_none(msgspec.to_builtins(asked))), encoding="utf-8")
        assert is_schedule(path)
        assert read_schedule(path) == asked
        path.write_text(path.read_text().replace("slew_s", "slow_s"), encoding="utf-8")
        with pytest.raises(ConfigError, match="unknown key slow_s"):
            read_schedule(path)

    def test_a_station_without_contacts_is_refused_with_the_names(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="expected a station of the schedule, toy-a, toy-b, got 'else'"):
            run_node_schedule(schedule(tmp_path, turns=True), "station", "else")
