"""Ground commands: believed once, in order, within the quota; nothing else moves a satellite."""

import msgspec
import pytest
from cryptography.hazmat.primitives.poly1305 import Poly1305
from keys_cases import NOW, changed_bits, give, key_bytes

from memory_store import MemoryDatabase, memory_store
from satqkd.config import KeyNetwork, RelayQuota
from satqkd.errors import (
    AuthenticationError,
    ConfigError,
    Error,
    KeyAlreadyUsed,
    KeyExhausted,
    KeyNotFound,
    KeyStoreError,
)
from satqkd.keys import KeyStore, RelayRecord, accept_relay, make_relay
from satqkd.keys.network.command import execute_command, make_command
from satqkd.keys.network.command_record import read_command

LATER, NEXT_DAY = "2026-01-02T23:59:59Z", "2026-01-03T00:00:00.500Z"
ALLOWED = KeyNetwork(commanders=("control",))
COMMAND_KEY = key_bytes(400, "control")


class Mission:
    """A satellite, two stations, a control centre that shares pair key with the satellite."""

    def __init__(self) -> None:
        self.databases: dict[str, MemoryDatabase] = {}
        self.stores: dict[str, KeyStore] = {}
        for name in ("sat", "beijing", "xian", "control"):
            self.stores[name], self.databases[name] = memory_store(name)
        self.satellite, self.control = self.stores["sat"], self.stores["control"]
        for station in ("beijing", "xian"):
            give(self.satellite, self.stores[station], station, key_bytes(1000, station), kind="link")
        give(self.control, self.satellite, "control", COMMAND_KEY)

    def order(self, relay_id: str = "r1", bits: int = 800, **more: str) -> bytes:
        words = {"not_after_utc": LATER, "now_utc": NOW} | more
        return make_command(self.control, "sat", ("beijing", "xian"), bits, relay_id=relay_id, **words)

    def obey(self, command: bytes, network: KeyNetwork = ALLOWED, now_utc: str = NOW) -> RelayRecord:
        return execute_command(self.satellite, command, network=network, now_utc=now_utc)

    def spent(self) -> list[int]:
        return [row.spent_bits for row in self.satellite.list_blocks()]


@pytest.fixture
def mission() -> Mission:
    return Mission()


def test_the_satellite_relays_what_was_ordered(mission: Mission) -> None:
    command = mission.order()
    record = mission.obey(command)
    assert (record.relay_id, record.bits, record.station_a) == ("r1", 800, "beijing")
    assert mission.spent() == [1056, 1056, 256]
    for station in ("beijing", "xian"):
        accept_relay(mission.stores[station], record.data, now_utc=NOW)
    for store in mission.stores.values():
        assert store.check().balanced
    noted = [entry for entry in mission.satellite.audit_entries() if entry["event"] == "command"]
    assert [(each["commander"], each["sequence"], each["refusal"]) for each in noted] == [
        ("control", 1, None)
    ]


def test_a_command_is_a_body_and_a_one_time_tag_of_the_commanders_part(mission: Mission) -> None:
    kind, version, body, tag = msgspec.msgpack.decode(mission.order())
    assert (kind, version, tag) == ("command", 1, Poly1305.generate_tag(COMMAND_KEY[:32], body))
    assert msgspec.msgpack.decode(body) == [
        "control", "sat", 1, "r1", ["beijing", "xian"], ["link", "link"], 800, LATER, [["control", 0, 256]],
    ]  # fmt: skip


def test_a_replay_gives_the_record_again_and_relays_nothing(mission: Mission) -> None:
    command = mission.order()
    record = mission.obey(command)
    spent = mission.spent()
    assert mission.obey(command) == record
    assert mission.obey(command, now_utc=NEXT_DAY) == record
    assert mission.order() == command
    assert mission.spent() == spent
    with pytest.raises(KeyAlreadyUsed, match="another id"):
        mission.order(bits=80)


def test_a_command_that_comes_after_a_later_one_is_refused(mission: Mission) -> None:
    first, second = mission.order("r1", 80), mission.order("r2", 80)
    mission.obey(second)
    spent = mission.spent()
    for _ in range(2):
        with pytest.raises(KeyAlreadyUsed, match="above 2"):
            mission.obey(first)
    assert mission.spent() == spent
    mission.obey(mission.order("r3", 80))


def test_every_changed_bit_is_refused_and_the_true_command_still_obeyed(mission: Mission) -> None:
    command = mission.order(bits=8)
    before = mission.satellite.status()
    everybody = KeyNetwork(commanders=("control", "contrnl", "contrml", "gontrol", "sat"))
    wrong = 0
    for changed in changed_bits(command):
        with pytest.raises(Error) as refused:
            mission.obey(changed, everybody)
        wrong += isinstance(refused.value, AuthenticationError)
    assert wrong >= 8 * 16
    assert mission.satellite.status() == before
    assert mission.obey(command).bits == 8


def test_wrong_tags_are_counted_and_noted_without_moving_the_sequence(mission: Mission) -> None:
    order, envelope = read_command(mission.order())
    ahead = msgspec.msgpack.encode(msgspec.structs.replace(order, sequence=2**61))
    for _ in range(3):
        with pytest.raises(AuthenticationError):
            mission.obey(msgspec.msgpack.encode(msgspec.structs.replace(envelope, body=ahead)))
    events = [entry["event"] for entry in mission.satellite.audit_entries()]
    assert (events.count("wrong tag"), events.count("command")) == (2, 0)
    mission.obey(mission.order())


def test_who_may_command(mission: Mission) -> None:
    command = mission.order()
    for network in (KeyNetwork(), KeyNetwork(commanders=("beijing",))):
        with pytest.raises(KeyStoreError, match="commanders"):
            mission.obey(command, network)
    with pytest.raises(KeyNotFound, match="for 'sat'"):
        execute_command(mission.stores["beijing"], command, network=ALLOWED, now_utc=NOW)
    assert mission.spent() == [0, 0, 0]
    mission.obey(command)
    for stations, node in ((("beijing", "sat"), "sat"), (("beijing", "xian"), "control")):
        with pytest.raises(ConfigError):
            make_command(mission.control, node, stations, 80, relay_id="r", not_after_utc=LATER, now_utc=NOW)


def test_a_late_command_is_refused_for_good(mission: Mission) -> None:
    """Its time does not come back with a clock that is set back."""
    command = mission.order()
    with pytest.raises(KeyStoreError, match="expected before"):
        mission.obey(command, now_utc=NEXT_DAY)
    with pytest.raises(KeyAlreadyUsed, match="refused"):
        mission.obey(command)
    assert mission.spent() == [0, 0, 256]
    assert mission.obey(mission.order("r2"), now_utc="2026-01-02T23:59:59.900Z").bits == 800


def test_a_command_without_key_is_refused_and_takes_none(mission: Mission) -> None:
    with pytest.raises(KeyExhausted):
        mission.obey(mission.order(bits=8000))
    assert mission.spent() == [0, 0, 256]
    make_relay(mission.satellite, "beijing", "xian", 80, relay_id="r2", now_utc=NOW)
    with pytest.raises(KeyAlreadyUsed, match="of another relay"):
        mission.obey(mission.order("r2", 80))
    assert mission.satellite.check().balanced


def test_a_quota_holds_in_all_and_by_the_day_whoever_relayed(mission: Mission) -> None:
    quota = RelayQuota(stations=("xian", "beijing"), bits=2400, bits_a_day=1600)
    network = KeyNetwork(commanders=("control",), quota=(quota,))
    make_relay(mission.satellite, "beijing", "xian", 800, relay_id="by-hand", now_utc=NOW)
    mission.obey(mission.order("r1", 800), network)
    with pytest.raises(KeyExhausted, match="on 2026-01-02"):
        mission.obey(mission.order("r2", 8), network)
    tomorrow = {"now_utc": NEXT_DAY}
    late = "2026-02-01T00:00:00Z"
    with pytest.raises(KeyExhausted, match="in all"):
        mission.obey(mission.order("r3", 808, not_after_utc=late), network, **tomorrow)
    mission.obey(mission.order("r4", 800, not_after_utc=late), network, **tomorrow)
    with pytest.raises(KeyExhausted, match="in all"):
        mission.obey(mission.order("r5", 8, not_after_utc=late), network, **tomorrow)


def test_a_kill_leaves_a_command_obeyed_or_untouched(mission: Mission) -> None:
    command, database = mission.order(), mission.databases["sat"]
    before, database.commits = database.copy(), []
    record = mission.obey(command)
    assert len(database.commits) == 1
    for copy in (before, *database.commits):
        database.put_back(copy)
        assert mission.obey(command) == record
        assert mission.spent() == [1056, 1056, 256]


def test_no_two_rules_for_one_pair() -> None:
    twice = (RelayQuota(stations=("a", "b")), RelayQuota(stations=("b", "a")))
    with pytest.raises(ConfigError, match="one"):
        KeyNetwork(quota=twice)
    with pytest.raises(ConfigError, match="two stations"):
        RelayQuota(stations=("a", "a"))
