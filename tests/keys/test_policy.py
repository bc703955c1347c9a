"""Alarms, quotas and metrics of a store."""

from collections.abc import Callable

import pytest
from keys_cases import NOW, give, key_bytes

from satqkd.config import KeyNetwork, PairPolicy, load
from satqkd.errors import ConfigError, KeyExhausted
from satqkd.exposition import text
from satqkd.keys import KeyStore
from satqkd.keys.care.metrics import numbers_of, store_metrics
from satqkd.keys.store.policy import LinkStatus, link_rows
from satqkd.keys.supply.key_supply import KeySupply
from satqkd.keys.supply_door import KeyRequest

Make = Callable[[str], KeyStore]
NEXT_DAY = "2026-01-03T03:04:05Z"


@pytest.fixture
def store(make_store: Make) -> KeyStore:
    one = make_store("graz")
    give(one, make_store("wien"), "p", key_bytes(1000, "p"), paths=(("sat", "micius"), ("sat", "delingha")))
    give(one, make_store("sat"), "l", key_bytes(100, "l"), kind="link")
    return one


def policy(**changes: float) -> KeyNetwork:
    return KeyNetwork(pair=(PairPolicy(peer="wien", **changes),))  # type: ignore[arg-type]


def alarms(
    store: KeyStore, network: KeyNetwork, now_utc: str = NEXT_DAY, low: int | None = None
) -> dict[str, object]:
    return {row.link: row.alarms for row in link_rows(store, network, low_bits=low, now_utc=now_utc)}


def test_rows_tell_age_and_how_few_know_the_key(store: KeyStore) -> None:
    rows = {row.link: row for row in link_rows(store, KeyNetwork(), now_utc=NEXT_DAY)}
    assert (rows["wien pair"].age_s, rows["wien pair"].colluders) == (86_400.0, 1)
    assert (rows["sat link"].colluders, rows["sat link"].alarms) == (None, ())
    names = ("link", "live_bits", "reserved_bits", "spent_bits", "unconfirmed_bits", "oldest_utc")
    assert LinkStatus.__struct_fields__[: len(names)] == names


@pytest.mark.parametrize(("low_bits", "low"), [(8000, False), (8001, True), (0, False)])
def test_fewer_bits_than_wanted_are_low(store: KeyStore, low_bits: int, low: bool) -> None:
    told = alarms(store, policy(low_bits=low_bits))
    assert told == {"wien pair": ("low",) if low else (), "sat link": ()}


def test_a_limit_for_all_rows_and_a_policy_hold_together(store: KeyStore) -> None:
    assert alarms(store, KeyNetwork(), low=801) == {"wien pair": (), "sat link": ("low",)}
    assert alarms(store, policy(low_bits=9000), low=1) == {"wien pair": ("low",), "sat link": ()}
    assert alarms(store, policy(low_bits=1), low=9000)["wien pair"] == ("low",)


def test_a_peer_of_the_policy_without_any_key_is_low(make_store: Make) -> None:
    assert alarms(make_store("empty"), policy(low_bits=1)) == {"wien pair": ("low",)}


@pytest.mark.parametrize(("days", "old"), [(1.0, False), (0.99, True)])
def test_unused_key_past_its_age_is_old(store: KeyStore, days: float, old: bool) -> None:
    assert alarms(store, policy(max_age_s=86_400 * days))["wien pair"] == (("old",) if old else ())


def asked(count: int) -> KeyRequest:
    return KeyRequest(peer="wien", master="a", slaves=("b",), count=count, size_bits=256)


def test_a_days_quota_holds_for_what_applications_get(store: KeyStore) -> None:
    network = policy(bits_a_day=3 * 256)
    supply = KeySupply(store, network=network)
    supply.draw(asked(2), now_utc=NOW)
    with pytest.raises(KeyExhausted, match="quota"):
        supply.draw(asked(2), now_utc=NOW)
    supply.draw(asked(1), now_utc=NOW)
    supply.settle(now_utc=NOW)
    with pytest.raises(KeyExhausted, match="0 left on 2026-01-02"):
        supply.draw(asked(1), now_utc=NOW)
    assert alarms(store, network, NOW)["wien pair"] == ("quota",)
    assert alarms(store, network)["wien pair"] == ()
    supply.draw(asked(1), now_utc=NEXT_DAY)
    supply.close(now_utc=NEXT_DAY)
    assert store.check().spent_bits == 4 * 256 + 256


def test_a_quota_is_not_got_round_by_another_supply(store: KeyStore) -> None:
    """What one has set aside counts, and so does what was exported."""
    network = policy(bits_a_day=4 * 256)
    one, two = KeySupply(store, network=network, reserved_bits=256), KeySupply(store, network=network)
    one.draw(asked(2), now_utc=NOW)
    store.spend("wien", "pair", 256, purpose="export", reference="", now_utc=NOW)
    with pytest.raises(KeyExhausted, match="256 left"):
        two.draw(asked(2), now_utc=NOW)


def test_a_policy_is_read_from_its_file_and_checked() -> None:
    table = {"pair": [{"peer": "wien", "low_bits": 5, "bits_a_day": 7, "max_age_days": 0.5}]}
    assert load(table, KeyNetwork, "f").value == policy(low_bits=5, bits_a_day=7, max_age_s=43_200.0)
    for wrong in ({"low_bits": -1}, {"max_age_days": 0}, {"quota": 1}):
        with pytest.raises(ConfigError):
            load({"pair": [{"peer": "wien", **wrong}]}, KeyNetwork, "f")


def test_metrics_tell_the_rows_in_prometheus_text(store: KeyStore) -> None:
    store.spend("wien", "pair", 80, purpose="t", reference="", now_utc=NOW)
    rows = link_rows(store, policy(low_bits=9000), now_utc=NEXT_DAY)
    told = text(store_metrics(numbers_of(store, rows)))
    for line in (
        'satqkd_store_live_bits{node="graz",peer="wien",kind="pair"} 7920.0',
        'satqkd_store_spent_bits_total{node="graz",peer="wien",kind="pair"} 80.0',
        'satqkd_store_oldest_age_seconds{node="graz",peer="sat",kind="link"} 86400.0',
        'satqkd_store_alarm{node="graz",peer="wien",kind="pair",alarm="low"} 1.0',
        'satqkd_store_alarm{node="graz",peer="wien",kind="pair",alarm="old"} 0.0',
        'satqkd_store_failed_tags_total{node="graz"} 0.0',
        f'satqkd_store_audit_entries_total{{node="graz"}} {len(store.audit_entries())}.0',
        'satqkd_store_held_keys{node="graz"} 0.0',
        "# TYPE satqkd_store_spent_bits_total counter",
    ):
        assert line in told.splitlines(), line
