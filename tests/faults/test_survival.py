"""What a node survives in mid-pass: a minute without a link, a full or read-only disk, a clock that is set.

A disk is full where SQLite says so: its file may have no page more than it has. That can be at any commit;
the node ends with a sentence, and a new one on the same store goes on once there is room.
"""

import ast
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from test_resumed_pass import MortalPass

from satqkd.errors import ResourceError
from satqkd.keys import Journal, KeyStore
from satqkd.mission.emulator import DOWN, UP, LinkEmulator
from satqkd.mission.terminal import TICKS_PER_S
from satqkd.node import watch
from satqkd.node.event_log import EventLog
from session_pair import kind_of
from toy_pass import PROTOCOL, fly_toy, repeatable, replaced, toy_satellite, toy_station

SOURCE = Path(watch.__file__).parent.parent
MINUTE = (5.0, 65.0)


# --- a minute without a link


def test_a_link_cut_for_a_minute_in_mid_pass_costs_time_and_no_key(tmp_path: Path) -> None:
    """73 s of light in three blocks, of which two end in the cut: all is said when the link is back, nothing
    is cut from a block, and the third is in time."""
    flight = MortalPass(
        tmp_path,
        satellite=toy_satellite(source__pulse_rate_hz=1e6),
        station=toy_station(maximum_range_m=700e3),
        protocol=replaced(PROTOCOL, blocks=3, epsilon_secrecy=1e-4),
    )
    flight.link = LinkEmulator(flight.contact, seed=flight.seed, outages=(MINUTE,))
    satellite = flight.ends["satellite"].terminal
    assert satellite is not None
    said = list[str]()
    true = satellite.session.data_to_send

    def data_to_send() -> list[bytes]:
        data = true()
        said.extend(map(kind_of, data))
        return data

    satellite.session.data_to_send = data_to_send  # type: ignore[method-assign]
    flight.fly({})
    report = satellite.report()
    ends_s = [satellite.parameters.end_s(block) for block in range(3)]
    assert MINUTE[0] < ends_s[0] < ends_s[1] < MINUTE[1] < ends_s[2]
    assert len(flight.checked()) == 3
    assert "Amplify" in said and "Cut" not in said
    light_s = [ends_s[0], ends_s[1] - ends_s[0], ends_s[2] - ends_s[1]]
    rates_hz = [each.detections / s for each, s in zip(report.blocks, light_s, strict=True)]
    assert min(rates_hz) > 0.5 * max(rates_hz), "what was announced into the outbox was not lost"
    assert 0.0 < report.confirmed_s[0] - MINUTE[1] < 5.0, "as soon as the link is back"
    assert 0.0 < report.confirmed_s[1] - MINUTE[1] < 5.0
    assert report.confirmed_s[2] - ends_s[2] < 3.0
    assert report.stage_s["0.finished"] - ends_s[0] > 35.0, "and the report tells what it cost"
    flight.close()


# --- a disk that takes nothing more


def driver(store: KeyStore):
    return store._database._driver


def fill(store: KeyStore) -> None:
    """No page more, and none of those that are free: a file keeps them for what comes next."""
    connection = driver(store)
    pages, page_bytes = (pragma(store, name) for name in ("freelist_count", "page_size"))
    connection.execute("CREATE TABLE IF NOT EXISTS filler (bytes BLOB)")
    connection.execute("INSERT INTO filler VALUES (zeroblob(?))", (pages * page_bytes,))
    connection.execute(f"PRAGMA max_page_count = {pragma(store, 'page_count')}")


def pragma(store: KeyStore, name: str) -> int:
    return int(driver(store).execute(f"PRAGMA {name}").fetchone()[0])


def make_room(store: KeyStore) -> None:
    driver(store).execute("PRAGMA max_page_count = 1073741823")
    driver(store).execute("DROP TABLE IF EXISTS filler")


def forbid(store: KeyStore) -> None:
    driver(store).execute("PRAGMA query_only = ON")


def allow(store: KeyStore) -> None:
    driver(store).execute("PRAGMA query_only = OFF")


class Trouble(MortalPass):
    """The toy pass; the store of an end takes nothing from a pass time on, for a second and a half."""

    REPAIRED_AFTER_S = 1.5

    def trouble(
        self, end: str, at_s: float, spoil: Callable[[KeyStore], None], repair: Callable[[KeyStore], None]
    ) -> list[ResourceError]:
        mortal, errors = self.ends[end], list[ResourceError]()
        true = mortal.step

        def step(now_s: float, datagrams: list[bytes], down_s: float) -> list[bytes]:
            if not errors and now_s >= at_s:
                spoil(mortal.store)  # again and again: what the tick before freed would do for a while
            if errors and now_s >= mortal.down_until_s:
                repair(mortal.store)
            try:
                return true(now_s, datagrams, down_s)
            except ResourceError as error:
                errors.append(error)
                mortal.terminal, mortal.down_until_s = None, now_s + self.REPAIRED_AFTER_S
                return []

        mortal.step = step  # type: ignore[method-assign]
        self.fly({})
        return errors


MOMENTS = sorted(random.Random(7).uniform(-9.9, 9.8) for _ in range(4))
STAGES = (8.9, 9.1)
"""Bases and parities of the toy pass; what comes after them may fit the pages that there are."""


@pytest.mark.parametrize("end", ["satellite", "station"])
@pytest.mark.parametrize("at_s", [*MOMENTS, *STAGES])
def test_a_disk_that_is_full_at_any_commit_ends_the_node_and_room_takes_it_up(
    tmp_path: Path, end: str, at_s: float
) -> None:
    flight = Trouble(tmp_path)
    store = flight.ends[end].store
    errors = flight.trouble(end, at_s, fill, make_room)
    assert errors, "something was to be written after that"
    (first, *rest) = map(str, errors)
    assert first.startswith(f"{store.path}: the store cannot be used: database or disk is full; check disk")
    assert not rest, "when there is room it goes on"
    assert len(flight.checked()) == 1
    flight.close()


def test_a_full_disk_leaves_the_last_commit_and_no_half_of_the_next(tmp_path: Path) -> None:
    """The dump of the file before the tick that failed is the dump after it."""
    flight = Trouble(tmp_path)
    flight.fly({}, until_s=8.9)
    end, dumps = flight.ends["satellite"], list[list[str]]()
    for tick in range(int(8.9 * TICKS_PER_S), int(12 * TICKS_PER_S)):
        now_s = tick / TICKS_PER_S
        fill(end.store)
        before = dump(end.store)
        try:
            flight.link.submit(DOWN, end.step(now_s, flight.arrived(UP, now_s), 0.0), now_s)
        except ResourceError:
            dumps = [before, dump(end.store)]
            break
        flight.link.submit(UP, flight.ends["station"].step(now_s, flight.arrived(DOWN, now_s), 0.0), now_s)
    assert dumps, "it filled"
    assert dumps[0] == dumps[1]
    assert not driver(end.store).in_transaction
    make_room(end.store)
    assert end.make().resumed
    flight.close()


def dump(store: KeyStore) -> list[str]:
    return list(driver(store).iterdump())


@pytest.mark.parametrize("end", ["satellite", "station"])
def test_a_disk_turned_read_only_ends_the_node_with_a_sentence(tmp_path: Path, end: str) -> None:
    flight = Trouble(tmp_path)
    store = flight.ends[end].store
    errors = flight.trouble(end, 4.0, forbid, allow)
    (told,) = map(str, errors)
    assert told.startswith(f"{store.path}: the store cannot be used: attempt to write a readonly database")
    assert "permissions" in told
    assert len(flight.checked()) == 1
    row = Journal(store, "toy-station" if end == "satellite" else "toy-satellite").find(flight.pass_id)
    assert row is not None and row.state == "closed"
    flight.close()


# --- a clock that is set


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_a_clock_that_is_set_in_mid_pass_changes_nothing(
    tmp_path: Path, step_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a number of the report, not an event's time: pass time is counted in ticks."""
    (tmp_path / "plain").mkdir(), (tmp_path / "set").mkdir()
    plain, lines = list[dict[str, object]](), list[dict[str, object]]()
    before = fly_toy(tmp_path / "plain", lines=plain)
    true = time.time

    def on_the_way(way: str, now_s: float, data: bytes) -> bytes:
        if now_s >= 4.0:
            monkeypatch.setattr(time, "time", lambda: true() + step_s)
        return data

    after = fly_toy(tmp_path / "set", lines=lines, on_the_way=on_the_way)
    assert repeatable(after.report) == repeatable(before.report)
    assert lines == plain
    assert after.keys[0] == after.keys[1]


def test_who_looks_at_the_time_of_day() -> None:
    """The snapshot's `utc`, schedules that begin by it, the key server (ends of certificates, the ledger's
    time); and what a person asks at a prompt."""
    names = {"now", "utcnow", "today", "localtime", "gmtime"}
    found = set()
    for path in SOURCE.rglob("*.py"):
        for each in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(each, ast.Attribute) and (
                (each.attr in names and ast.unparse(each.value) in ("datetime", "date", "time"))
                or ast.unparse(each) == "time.time"
            ):
                found.add(str(path.relative_to(SOURCE)))
    of_nodes, of_delivery = (
        {"node/watch.py", "node/unattended.py"},
        {"delivery/gate.py", "delivery/server.py"},
    )
    assert {name for name in found if not name.startswith("cli/")} == of_nodes | of_delivery


def test_an_event_log_that_the_disk_does_not_take_is_told_by_its_name() -> None:
    """`/dev/full` is a disk without room."""
    log = EventLog(Path("/dev/full"), datetime(2030, 1, 1, tzinfo=UTC), "satellite")
    with log, pytest.raises(ResourceError, match=r"/dev/full: cannot be written \(No space left on device\)"):
        log.log(0.0, "node", "started")
