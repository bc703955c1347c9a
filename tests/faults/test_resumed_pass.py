"""Nodes that die in the middle of a pass, and are started again: the pass goes on, the keys agree.

A node dies by an exception at a commit, before or after it: what was not committed is gone, the object is
dropped, a new one is made from the store. That is what kill -9 leaves; the node room's tests send it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from satqkd.config import BrightLight, Monitors, Protocol, Satellite, Station, Traffic
from satqkd.keys import Journal, KeyStore
from satqkd.keys.traffic import Draft, incoming, outgoing, queue
from satqkd.mission import Contact, contact_of, ensure_authentication, open_store
from satqkd.mission.emulator import DOWN, UP, LinkEmulator
from satqkd.mission.run_pass import station_terminal
from satqkd.mission.satellite_end import satellite_terminal
from satqkd.mission.terminal import NO_TRAFFIC, TICKS_PER_S, Terminal
from satqkd.randomness import stream_bytes
from toy_pass import AT_UTC, PROTOCOL, link_key, replaced, toy_satellite, toy_station


class Crash(BaseException):
    """The process is gone."""


def text_for(receiver: str, text: str) -> Draft:
    """A short message, by the twin's key."""
    return Draft(
        receiver=receiver,
        name="",
        is_text=True,
        urgent=False,
        policy="wait",
        demo=True,
        content=text.encode(),
    )


class Mortal:
    """One end: a terminal on a store, made anew when it died."""

    def __init__(self, make: Callable[[], Terminal], store: KeyStore) -> None:
        self.make, self.store = make, store
        self.terminal: Terminal | None = make()
        self.deaths, self.down_until_s = 0, float("-inf")
        self.crash: str | None = None

    @contextmanager
    def dying(self) -> Iterator[None]:
        """The next commit of the node's work is its last, `before` or `after` it is on the disk."""
        true, when = self.store.work, self.crash

        @contextmanager
        def work() -> Iterator[Any]:
            with true() as connection:
                yield connection
                if when == "before":
                    raise Crash
            if when == "after":
                raise Crash

        self.store.work = work  # type: ignore[method-assign]
        try:
            yield
        finally:
            self.store.work = true  # type: ignore[method-assign]
            self.crash = None

    def step(self, now_s: float, datagrams: list[bytes], down_s: float) -> list[bytes]:
        if self.terminal is None:
            if now_s < self.down_until_s:
                return []
            self.terminal = self.make()
        if self.crash is None:
            return self.terminal.step(now_s, datagrams)
        try:
            with self.dying():
                return self.terminal.step(now_s, datagrams)
        except Crash:
            self.terminal, self.down_until_s = None, now_s + down_s
            self.deaths += 1
            return []


class MortalPass:
    """A toy pass whose ends die when told."""

    def __init__(
        self,
        folder: Path,
        *,
        protocol: Protocol = PROTOCOL,
        seed: int = 1,
        days_later: int = 0,
        satellite: Satellite | None = None,
        station: Station | None = None,
        traffic: Traffic = NO_TRAFFIC,
        messages: int = 0,
        down_s: float = 0.3,
    ) -> None:
        """days_later: the same geometry again, for a later pass. messages: of each end to the other."""
        self.traffic, self.down_s = traffic, down_s
        contact = contact_of(satellite or toy_satellite(), station or toy_station(), AT_UTC)
        later = contact.epoch + timedelta(days=days_later)
        self.contact: Contact = msgspec.structs.replace(contact, epoch=later)
        self.lost: Callable[[str, float, bytes], bool] = lambda way, now_s, data: False
        self.protocol, self.seed = protocol, seed
        self.above, self.below = (open_store(folder, f"toy-{name}") for name in ("satellite", "station"))
        ensure_authentication(self.above, self.below, self.contact, protocol)
        self.ends = {
            "satellite": Mortal(self._satellite, self.above),
            "station": Mortal(self._station, self.below),
        }
        self.link = LinkEmulator(self.contact, seed=seed)
        for store, peer in ((self.above, self.below), (self.below, self.above)):
            for number in range(messages):
                queue(store, text_for(peer.node_id, f"text {number}"), now_utc=AT_UTC)

    def _satellite(self) -> Terminal:
        return satellite_terminal(
            self.contact, self.protocol, self.above, seed=self.seed, traffic=self.traffic
        )

    def _station(self) -> Terminal:
        ties = stream_bytes(self.seed, "station", "ties")
        return station_terminal(
            self.contact, self.protocol, self.below, seed=self.seed, tie_bits=ties, traffic=self.traffic
        )

    def fly(self, deaths: dict[float, tuple[str, str]], *, until_s: float = 1e9) -> None:
        """deaths: pass time to (end, before or after)."""
        left = dict(deaths)
        for tick in self.link.ticks:
            now_s = tick / TICKS_PER_S
            for at_s in [each for each in left if each <= now_s]:
                end, when = left.pop(at_s)
                self.ends[end].crash = when
            if now_s >= until_s:
                return
            down = self.ends["satellite"].step(now_s, self.arrived(UP, now_s), self.down_s)
            up = self.ends["station"].step(now_s, self.arrived(DOWN, now_s), self.down_s)
            self.link.submit(DOWN, down, now_s)
            self.link.submit(UP, up, now_s)
            self.ended_s = now_s
            alive = [each.terminal for each in self.ends.values()]
            if not left and all(each is not None and each.finished for each in alive):
                return

    def arrived(self, way: str, now_s: float) -> list[bytes]:
        return [data for data in self.link.due(way, now_s) if not self.lost(way, now_s, data)]

    def checked(self) -> dict[str, bytes]:
        """The key of both ends, after what must hold whatever died."""
        keys, states = zip(link_key(self.above), link_key(self.below), strict=True)
        assert keys[0] == keys[1], "both ends hold the same key"
        assert states[0] == states[1] and set(states[0].values()) <= {"confirmed"}
        for store in (self.above, self.below):
            assert store.check().balanced
            assert store.verify_audit().intact
        return keys[0]

    @property
    def pass_id(self) -> str:
        return self.contact.parameters(self.protocol, seed=self.seed).pass_id

    def close(self) -> None:
        self.above.close()
        self.below.close()


@pytest.fixture
def flown(tmp_path: Path) -> Iterator[Callable[..., MortalPass]]:
    made: list[MortalPass] = []

    def fly(
        deaths: dict[float, tuple[str, str]],
        *,
        folder: str | None = None,
        lost: Callable[[str, float, bytes], bool] | None = None,
        **settings: Any,
    ) -> MortalPass:
        here = tmp_path / (folder or str(len(made)))
        here.mkdir(exist_ok=True)
        flight = MortalPass(here, **settings)
        made.append(flight)
        flight.lost = lost or flight.lost
        flight.fly(deaths)
        if folder:
            flight.close()
        return flight

    yield fly
    for each in made:
        each.close()


Flown = Callable[..., MortalPass]
PLAIN_BYTES = 6 + len(b"text 0")
"""A short text with its name and flags in MessagePack."""
IN_HELLO_S, IN_LIGHT_S = -9.9, 4.02
STATION_STAGES = ("announced", "chosen", "reconciled", "closed", "confirming", "finished")
SATELLITE_STAGES = ("opened", "sifted", "reconciling", "verifying", "amplified", "confirming", "finished")


@pytest.fixture(scope="module")
def entered_s(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """By end, pass time at which an unbroken pass enters each stage."""
    flight = MortalPass(tmp_path_factory.mktemp("unbroken"))
    flight.fly({})
    reports = {end: each.terminal.report() for end, each in flight.ends.items() if each.terminal}
    flight.close()
    return {
        end: {place.removeprefix("0."): at_s for place, at_s in report.stage_s.items()}
        | {"in hello": IN_HELLO_S, "in light": IN_LIGHT_S}
        for end, report in reports.items()
    }


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("end", "stage"),
    [("station", stage) for stage in ("in hello", "in light", *STATION_STAGES)]
    + [("satellite", stage) for stage in ("in hello", "in light", *SATELLITE_STAGES)],
)
def test_a_node_that_dies_in_the_tick_of_any_stage_is_taken_up_and_the_keys_agree(
    flown: Flown, entered_s: dict[str, dict[str, float]], end: str, stage: str, when: str
) -> None:
    assert set(entered_s["station"]) >= set(STATION_STAGES)
    assert set(entered_s["satellite"]) >= set(SATELLITE_STAGES)
    flight = flown({entered_s[end][stage]: (end, when)})
    assert flight.ends[end].deaths == 1
    assert len(flight.checked()) == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("end", ["satellite", "station"])
def test_messages_of_users_survive_every_death_after_the_key_is_there(
    flown: Flown, entered_s: dict[str, dict[str, float]], end: str, when: str
) -> None:
    """An end dies in tick after tick while messages cross: each is opened once, and paid for once."""
    from_s = entered_s["satellite"]["finished"]
    deaths = {from_s + 0.05 * k: (end, when) for k in range(12)}
    flight = flown(deaths, down_s=0.0, traffic=Traffic(grant_bits=8192), messages=2)
    assert flight.ends[end].deaths >= 8
    flight.checked()
    for store, other in ((flight.above, flight.below), (flight.below, flight.above)):
        assert [row.state for row in outgoing(store)] == ["delivered"] * 2
        assert [row.key_bits for row in outgoing(store)] == [8 * PLAIN_BYTES + 384] * 2
        assert len(incoming(other)) == 2


def test_a_satellite_that_dies_loses_no_detection(flown: Flown) -> None:
    plain, broken = flown({}), flown({4.02: ("satellite", "before"), 8.9: ("satellite", "after")})
    assert broken.ends["satellite"].deaths == 2
    reports = [each.ends["station"].terminal.reports[0] for each in (plain, broken)]  # type: ignore[union-attr]
    assert reports[0] == reports[1]
    plain.checked(), broken.checked()


def test_a_station_that_dies_loses_what_was_in_flight_and_what_it_did_not_see(flown: Flown) -> None:
    plain, broken = flown({}), flown({4.02: ("station", "after")})
    whole, left = (each.ends["station"].terminal.reports[0].detections for each in (plain, broken))  # type: ignore[union-attr]
    away_s = 0.3 + 0.1 + 0.15 + 0.1 + 0.2
    """Down, the announcement under way, the sync's stretch and margin, and its new lock."""
    rate_hz = whole / plain.contact.quantum_end_s
    assert whole - 1.5 * rate_hz * away_s < left < whole
    broken.checked()


def test_monitors_judge_a_block_by_the_light_before_and_after_a_death(flown: Flown) -> None:
    """A station that died in mid-block watched nearly all of it, and its report tells what it judged by."""
    station = toy_station(
        receiver__bright_light=BrightLight(
            avalanche_electrons=1e8, linear_electrons=50, blinding_w=4e-7, current_noise_a=7e-7
        ),
        receiver__monitors=Monitors(
            bias_current_limit_a=5e-6, detector_share_false_alarm=1e-9, coincidence_false_alarm=1e-9
        ),
    )
    told = []
    for deaths in ({}, {4.02: ("station", "after")}, {8.3: ("station", "after")}):
        flight = flown(deaths, station=station)
        assert flight.ends["station"].deaths == len(deaths)
        monitors = flight.ends["station"].terminal.report().monitors  # type: ignore[union-attr]
        assert [each.monitor for each in monitors] == ["bias_current", "detector_shares", "coincidences"]
        assert not any(each.alarm for each in monitors)
        told.append(monitors)
        flight.checked()
    plain, in_light, judged = told
    assert judged == plain
    both_bases = [monitors[2].reading for monitors in (plain, in_light)]
    assert 0.85 * both_bases[0] < both_bases[1] < both_bases[0]
    readings = in_light[0].false_alarm / plain[0].false_alarm
    assert 0.8 < readings < 1.1, "of the bias current, which is read five times a second"


def test_both_die_many_times(flown: Flown) -> None:
    ends, moments = ("satellite", "station"), ("before", "after")
    deaths = {0.73 * n - 9.9: (ends[n % 2], moments[n // 2 % 2]) for n in range(27)}
    flight = flown(deaths, protocol=replaced(PROTOCOL, blocks=2, epsilon_secrecy=1e-4))
    assert sum(each.deaths for each in flight.ends.values()) == 27
    flight.checked()


def test_raw_key_and_tag_key_are_gone_from_the_files_when_the_pass_is_over(flown: Flown) -> None:
    flight = flown({4.02: ("station", "after")})
    secrets = [
        bytes(flight.ends[end].terminal.session.memory().pass_key[:32])  # type: ignore[union-attr]
        for end in ("satellite", "station")
    ]
    assert all(any(secret) for secret in secrets)
    flight.checked()
    for store, secret in zip((flight.above, flight.below), secrets, strict=True):
        for path in (store.path, Path(f"{store.path}-wal")):
            assert secret not in path.read_bytes()


# --- the next contact

FAST: dict[str, Any] = {
    "satellite": toy_satellite(source__pulse_rate_hz=2.5e7),
    "protocol": replaced(PROTOCOL, epsilon_secrecy=1e-4, blocks=2),
}


def test_a_block_that_the_satellite_never_heard_confirmed_is_at_the_next_contact(flown: Flown) -> None:
    """The station's last word is lost with the link; both hold the key, and may use it a day later."""

    unbroken = flown({}, folder="unbroken").ends["station"].terminal.report()  # type: ignore[union-attr]

    def no_last_word(way: str, now_s: float, data: bytes) -> bool:
        return way == UP and now_s >= unbroken.confirmed_s[0]

    first = flown({}, folder="stores", lost=no_last_word)
    with open_store(first.above.path.parent, "toy-satellite") as store:
        assert set(link_key(store)[1].values()) == {"unconfirmed"}
    second = flown({}, folder="stores", days_later=1, seed=2)
    told = second.ends["satellite"].terminal.report().resumed  # type: ignore[union-attr]
    assert [(each.pass_id, each.report.outcome) for each in told] == [(first.pass_id, "key")]
    for path, node in ((second.above.path, "toy-satellite"), (second.below.path, "toy-station")):
        with open_store(path.parent, node) as store:
            states = link_key(store)[1]
            assert set(states) == {f"{each.pass_id}.block0" for each in (first, second)}
            assert set(states.values()) == {"confirmed"}


@pytest.mark.parametrize("way", [UP, DOWN])
def test_an_end_that_missed_the_last_receipt_is_told_at_the_next_contact(
    flown: Flown, entered_s: dict[str, dict[str, float]], way: str
) -> None:
    """Both hold the key, the pass is over at one end alone; a day later it is so at both, soon."""
    from_s = max(each["finished"] for each in entered_s.values())

    def no_last_receipt(direction: str, now_s: float, data: bytes) -> bool:
        return direction == way and now_s >= from_s + 0.05

    first = flown({}, folder="stores", lost=no_last_receipt)
    folder = first.above.path.parent
    waiting = {"satellite": way == UP, "station": way == DOWN}
    for end, peer in (("satellite", "toy-station"), ("station", "toy-satellite")):
        with open_store(folder, f"toy-{end}") as store:
            left = [row.pass_id for row in Journal(store, peer).unfinished()]
            assert left == [first.pass_id] * waiting[end]
    second = flown({}, folder="stores", days_later=1, seed=2)
    assert second.ended_s < second.contact.link_end_s - 1
    for end, peer in (("satellite", "toy-station"), ("station", "toy-satellite")):
        with open_store(folder, f"toy-{end}") as store:
            assert Journal(store, peer).unfinished() == []
            assert set(link_key(store)[1].values()) == {"confirmed"}


def test_a_pass_whose_link_broke_in_the_light_gives_its_key_at_the_next_contact(flown: Flown) -> None:
    """What the satellite was not asked in time is cut; what it was asked, and the block before, give key."""
    first = flown({}, folder="stores", lost=lambda way, now_s, data: now_s >= 6.5, **FAST)
    reports = first.ends["station"].terminal.report().blocks  # type: ignore[union-attr]
    assert [each.outcome for each in reports] == ["key", "no_key"]
    second = flown({}, folder="stores", days_later=1, seed=2, **FAST)
    for end in second.ends.values():
        (told,) = end.terminal.report().resumed  # type: ignore[union-attr]
        assert (told.pass_id, told.report.block, told.report.outcome) == (first.pass_id, 1, "key")
        assert 0.3 * reports[1].detections < told.report.detections < 0.9 * reports[1].detections
    folder = second.above.path.parent
    with open_store(folder, "toy-satellite") as above, open_store(folder, "toy-station") as below:
        assert link_key(above)[0] == link_key(below)[0]
        assert len(link_key(above)[0]) == 4


def test_a_pass_that_is_not_finished_within_a_month_is_given_up(flown: Flown) -> None:
    first = flown({}, folder="stores", lost=lambda way, now_s, data: now_s >= 5.0)
    flown({}, folder="stores", days_later=31, seed=2)
    for node, peer in (("toy-satellite", "toy-station"), ("toy-station", "toy-satellite")):
        with open_store(first.above.path.parent, node) as store:
            row = Journal(store, peer).find(first.pass_id)
            assert row is not None and (row.state, "30 days" in row.reason) == ("failed", True)
            assert store.check().balanced


def test_a_link_cut_for_a_minute_of_light_time_costs_what_the_source_forgot(flown: Flown) -> None:
    """The toy's minute is two seconds of eight; its source remembers one."""
    forgetful = toy_satellite(source__pulse_rate_hz=2.5e7, source_memory_s=1.0)
    settings = FAST | {"satellite": forgetful, "protocol": replaced(FAST["protocol"], blocks=3)}
    flight = flown({}, lost=lambda way, now_s, data: 3.5 <= now_s < 5.5, **settings)
    reports = flight.ends["station"].terminal.report().blocks  # type: ignore[union-attr]
    assert [each.outcome for each in reports] == ["key", "key", "key"]
    whole = reports[0].detections
    assert reports[2].detections == pytest.approx(whole, rel=0.1)
    assert 0.15 * whole < reports[1].detections < 0.45 * whole, (
        "cut where the link was: 3.5 s of 2.7 s to 5.3 s"
    )
    assert len(flight.checked()) == 3
