"""Key that is given up: gone from disk and memory, in the books, and never delivered after."""

from collections.abc import Callable
from pathlib import Path

import pytest
from keys_cases import NOW, give, key_bytes

from satqkd.config import KeyNetwork, PairPolicy
from satqkd.errors import ConfigError, KeyExhausted, KeyNotFound, KeyStoreError, LocalProtocolError
from satqkd.keys import KeyStore, RawShelf
from satqkd.keys.store.policy import expire_by_policy
from satqkd.keys.store.retirement import expire, revoke_block, revoke_nodes, revoke_peer
from satqkd.keys.supply.key_supply import KeySupply
from satqkd.keys.supply_door import KeyRequest

Make = Callable[[str], KeyStore]
Ends = dict[str, KeyStore]
LATER = "2026-02-01T00:00:00Z"
WAYS = {"one": (("sat",),), "two": (("sat",), ("micius",)), "hops": (("sat", "delingha"),), "fibre": ()}


@pytest.fixture
def ends(make_store: Make) -> Ends:
    """Key over several ways between two stations."""
    stores = {name: make_store(name) for name in ("graz", "wien")}
    for name, paths in WAYS.items():
        give(stores["graz"], stores["wien"], name, key_bytes(400, name), paths=paths)
    return stores


def live(store: KeyStore) -> set[str]:
    return {row.block_id for row in store.list_blocks() if row.live_bits}


def asked(peer: str = "wien", count: int = 1) -> KeyRequest:
    return KeyRequest(peer=peer, master="alice", slaves=("bob",), count=count, size_bits=256)


@pytest.mark.parametrize(
    ("nodes", "left"),
    [
        (("sat",), {"two", "fibre"}),
        (("delingha",), {"one", "two", "fibre"}),
        (("micius",), set(WAYS)),
        (("sat", "micius"), {"fibre"}),
        (("micius", "delingha"), {"one", "two", "fibre"}),
        (("wien",), set()),
        (("nobody",), set(WAYS)),
    ],
)
def test_all_that_nodes_together_knew_is_given_up_and_no_more(
    ends: Ends, nodes: tuple[str, ...], left: set[str]
) -> None:
    store = ends["graz"]
    done = revoke_nodes(store, nodes, reason="broken into", now_utc=LATER)
    assert live(store) == left
    assert set(done.blocks) == set(WAYS) - left
    assert done.bits == 3200 * len(done.blocks)
    books = store.check()
    assert books.balanced, books.faults
    noted = [each for each in store.audit_entries() if each["event"] == "revoked"]
    assert [(each["reason"], set(each["blocks"])) for each in noted] == [("broken into", set(done.blocks))][
        : len(done.blocks) > 0
    ]


def test_key_that_is_given_up_is_wiped_and_never_comes_out(ends: Ends) -> None:
    store = ends["graz"]
    revoke_peer(store, "wien", reason="", now_utc=LATER)
    for name in WAYS:
        assert not any(store.peek_for_check(name).expose())
        with pytest.raises(KeyStoreError):
            store.confirm_block(name, now_utc=LATER)
    with pytest.raises(KeyExhausted):
        store.spend("wien", "pair", 8, purpose="t", reference="", now_utc=LATER)
    assert revoke_peer(store, "wien", reason="", now_utc=LATER).blocks == ()


def test_unconfirmed_and_raw_blocks_of_a_revoked_peer_go_too(ends: Ends) -> None:
    store = ends["graz"]
    store.add_block(
        "new", peer="sat", kind="link", origin="hardware", key=b"12345678", allocator="sat", now_utc=NOW
    )
    shelf = RawShelf(store, "sat", origin="hardware")
    shelf.keep("raw", b"raw", pool="p", sifted_bits=1, detections=3, now_utc=NOW)
    assert revoke_peer(store, "sat", reason="", now_utc=LATER).raw_blocks == 1
    with pytest.raises(KeyStoreError):
        store.confirm_block("new", now_utc=LATER)
    assert shelf.held(["p"]) == []
    assert store.check().balanced


def test_authentication_key_goes_on_behind_what_was_given_up(ends: Ends) -> None:
    store = ends["graz"]
    for name in ("auth-1", "auth-2"):
        store.add_block(
            name,
            peer="sat",
            kind="auth",
            origin="provisioned",
            key=bytes(range(64)),
            state="confirmed",
            now_utc=NOW,
        )
    revoke_block(store, "auth-1", reason="", now_utc=LATER)
    assert store.auth_position("sat") == 512
    assert store.draw_auth("sat", position_bits=512, bits=8, purpose="t").key.bits == 8
    assert store.available_bits("sat", "auth") == 504
    with pytest.raises(KeyStoreError):
        store.draw_auth("sat", position_bits=0, bits=8, purpose="t")
    assert store.check().balanced


def test_what_a_supply_has_in_memory_is_not_delivered_after_a_revoke(ends: Ends) -> None:
    store = ends["graz"]
    supply = KeySupply(store)
    first = supply.draw(asked(), now_utc=NOW)
    assert supply.ready(asked())
    revoke_nodes(store, ["sat"], reason="", now_utc=LATER)
    assert not supply.ready(asked())
    batch = supply.draw(asked(), now_utc=LATER)
    assert set(batch.paths[0]) == set(WAYS["two"])
    assert bytes(batch.keys.expose()) == key_bytes(400, "two")[:32] != bytes(first.keys.expose())
    supply.settle(now_utc=LATER)
    supply.close(now_utc=LATER)
    books = store.check()
    assert books.balanced, books.faults
    assert books.reserved_bits == 0
    used = [
        e for e in store.audit_entries() if e["event"] == "spend" and e["purpose"] == "revoked while reserved"
    ]
    assert len(used) == 1  # some of it had been handed out


def test_key_that_was_named_to_a_slave_is_not_fetched_after_a_revoke(ends: Ends) -> None:
    graz, wien = KeySupply(ends["graz"]), KeySupply(ends["wien"])
    batch = graz.draw(asked(count=3), now_utc=NOW)
    words = {"master": "alice", "slave": "bob", "now_utc": NOW}
    wien.fetch("graz", key_ids=batch.ids[:1], **words)  # and its window is in memory
    revoke_block(ends["wien"], "one", reason="", now_utc=LATER)
    with pytest.raises(KeyNotFound):
        wien.fetch("graz", key_ids=batch.ids[1:], **words)
    wien.settle(now_utc=LATER)
    wien.close(now_utc=LATER)
    books = ends["wien"].check()
    assert books.balanced, books.faults
    assert books.spent_bits == 256 + 256  # the key that was fetched, and the secret of ids


@pytest.mark.parametrize("by_another", [False, True])
def test_memory_is_cleared_of_what_was_given_up(ends: Ends, by_another: bool) -> None:
    """At once by the process itself, at its settling where another did it; nobody asks for key in between."""
    graz, wien = KeySupply(ends["graz"]), KeySupply(ends["wien"])
    batch = graz.draw(asked(), now_utc=NOW)
    wien.fetch("graz", master="alice", slave="bob", key_ids=batch.ids, now_utc=NOW)
    for supply in (graz, wien):
        supply.settle(now_utc=NOW)  # so that nothing is left to be settled
    assert graz.ready(asked())
    assert wien._fetching._windows.blocks
    (stretch,) = next(iter(graz._drawing._pools.values())).stretches
    for store, supply in ((ends["graz"], graz), (ends["wien"], wien)):
        revoke_block(store, "one", reason="", now_utc=LATER)
        if by_another:
            store._database.retirements = supply._seen
            supply.settle(now_utc=LATER)
    assert not graz.ready(asked())
    assert not wien.ready(asked())
    assert wien._fetching._windows.blocks == set()
    with pytest.raises(LocalProtocolError, match="wiped"):
        stretch.reserved.key.expose()
    for supply in (graz, wien):
        supply.close(now_utc=LATER)


def test_a_supply_that_is_closed_before_it_notices_settles_nothing_twice(ends: Ends) -> None:
    store, supply = ends["graz"], KeySupply(ends["graz"])
    supply.draw(asked(), now_utc=NOW)
    revoke_block(store, "one", reason="", now_utc=LATER)
    store._database.retirements = supply._seen
    supply.close(now_utc=LATER)
    assert store.check().balanced, store.check().faults


def test_a_supply_notices_at_its_settling_what_another_writer_gave_up(ends: Ends) -> None:
    """As on PostgreSQL: nothing told this process of it."""
    store, supply = ends["graz"], KeySupply(ends["graz"])
    slave, wien = KeySupply(ends["wien"]), ends["wien"]
    batch = supply.draw(asked(count=2), now_utc=NOW)
    words = {"master": "alice", "slave": "bob", "now_utc": NOW}
    slave.fetch("graz", key_ids=batch.ids[:1], **words)
    for each in (store, wien):
        revoke_block(each, "one", reason="", now_utc=LATER)
        each._database.retirements = 0
    assert supply.ready(asked())
    with pytest.raises(KeyNotFound):
        slave.fetch("graz", key_ids=batch.ids[1:], **words)
    for each in (supply, slave):
        each.settle(now_utc=LATER)
    assert not supply.ready(asked())
    assert slave._fetching._windows.blocks == set()
    for each, books in ((supply, store), (slave, wien)):
        each.close(now_utc=LATER)
        assert books.check().balanced, books.check().faults


def test_keys_that_wait_for_applications_go_with_their_block_their_way_or_their_age(ends: Ends) -> None:
    graz, wien = KeySupply(ends["graz"]), KeySupply(ends["wien"])
    slaves = ("bob", "carol")

    def waiting() -> tuple[str, ...]:
        batch = graz.draw(
            KeyRequest(peer="wien", master="alice", slaves=slaves, count=1, size_bits=64), now_utc=NOW
        )
        wien.entitle(batch.ids, peer="graz", master="alice", slaves=slaves, now_utc=NOW)
        return batch.ids

    def gone(ids: tuple[str, ...]) -> None:
        with pytest.raises(KeyStoreError):
            wien.fetch("graz", master="alice", slave="carol", key_ids=ids, now_utc=NOW)

    ids = waiting()
    assert wien.fetch("graz", master="alice", slave="bob", key_ids=ids, now_utc=NOW)
    assert revoke_block(ends["wien"], "two", reason="", now_utc=LATER).held_keys == 0
    assert revoke_block(ends["wien"], "one", reason="", now_utc=LATER).held_keys == 1
    gone(ids)
    revoke_block(ends["graz"], "one", reason="", now_utc=LATER)
    revoke_block(ends["graz"], "two", reason="", now_utc=LATER)
    ids = waiting()  # over the hops
    assert revoke_nodes(ends["wien"], ["micius"], reason="", now_utc=LATER).held_keys == 0
    assert expire(ends["wien"], NOW, now_utc=LATER).held_keys == 0
    assert expire(ends["wien"], LATER, now_utc=LATER).held_keys == 2
    gone(ids)


def test_only_what_is_older_expires_of_the_kind_and_peer_named(ends: Ends, make_store: Make) -> None:
    store = ends["graz"]
    give(store, make_store("sat"), "pass", key_bytes(80, "pass"), kind="link")
    store.add_block(
        "young", peer="wien", kind="pair", origin="hardware", key=b"1234567", state="confirmed", now_utc=LATER
    )
    store.add_block(
        "auth", peer="sat", kind="auth", origin="provisioned", key=b"1234567", state="confirmed", now_utc=NOW
    )
    assert expire(store, NOW, now_utc=LATER).blocks == ()
    assert expire(store, LATER, peer="xian", now_utc=LATER).blocks == ()
    assert expire(store, LATER, kind="link", now_utc=LATER).blocks == ("pass",)
    assert set(expire(store, LATER, now_utc=LATER).blocks) == set(WAYS)
    assert live(store) == {"young", "auth"}
    assert expire(store, LATER, kind="auth", now_utc=LATER).blocks == ("auth",)
    assert {each["event"] for each in store.audit_entries()} >= {"expired", "discarded"}
    assert store.check().balanced


def test_a_policy_expires_each_peers_pair_key_and_a_supply_does_so_by_the_hour(
    ends: Ends, make_store: Make
) -> None:
    store = ends["graz"]
    give(store, make_store("xian"), "other", key_bytes(80, "o"))
    give(store, make_store("sat"), "pass", key_bytes(80, "p"), kind="link")
    network = KeyNetwork(pair=(PairPolicy(peer="wien", max_age_s=30 * 86_400.0), PairPolicy(peer="xian")))
    expire_by_policy(store, network, now_utc="2026-02-01T03:04:05Z")
    assert live(store) == {*WAYS, "other", "pass"}
    supply = KeySupply(store, network=network)
    supply.draw(asked(), now_utc=LATER)
    supply.settle(now_utc="2026-02-01T03:00:00Z")
    assert live(store) == {*WAYS, "other", "pass"}
    supply.settle(now_utc="2026-02-01T03:59:59Z")  # the same hour: not looked again
    assert live(store) == {*WAYS, "other", "pass"}
    supply.settle(now_utc="2026-02-01T04:00:00Z")
    assert live(store) == {"other", "pass"}
    supply.close(now_utc=LATER)
    assert store.check().balanced, store.check().faults


def test_words_that_name_nothing_are_refused(ends: Ends) -> None:
    for nodes in ([], ["graz"], ["sat", "graz"]):
        with pytest.raises(ConfigError):
            revoke_nodes(ends["graz"], nodes, reason="", now_utc=NOW)
    with pytest.raises(KeyNotFound):
        revoke_block(ends["graz"], "nothing", reason="", now_utc=NOW)
    assert live(ends["graz"]) == set(WAYS)


def test_the_use_log_is_told(ends: Ends) -> None:
    log = Path(f"{ends['graz'].path}.uses")
    revoke_block(ends["graz"], "two", reason="", now_utc=NOW)
    assert log.read_text().splitlines()[-1] == '[1,[["two",0,3200]]]'
