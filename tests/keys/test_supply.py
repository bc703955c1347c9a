"""Keys for applications: the same at both ends, each once, only to who is entitled."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keys_cases import NOW, key_bytes

from satqkd.errors import (
    ConfigError,
    KeyExhausted,
    KeyNotFound,
    KeyStoreError,
    LocalProtocolError,
    OriginRefused,
)
from satqkd.keys import KeyStore
from satqkd.keys.ledger.key_ids import KeyIds, bits_of
from satqkd.keys.secret import Secret
from satqkd.keys.supply.key_supply import KeySupply
from satqkd.keys.supply_door import ConstraintsUnmet, KeyBatch, KeyRequest, NotEntitled

Ends = dict[str, KeyStore]
RESERVED = 8192


def add_pair(stores: Ends, name: str, key: bytes, **changes: object) -> None:
    """The same pair key at both ends."""
    settings: dict[str, object] = {"kind": "pair", "origin": "hardware", "state": "confirmed", "now_utc": NOW}
    for node, peer in (("graz", "wien"), ("wien", "graz")):
        stores[node].add_block(name, peer=peer, key=key, **{**settings, **changes})  # type: ignore[arg-type]


@pytest.fixture
def ends(make_store: Callable[[str], KeyStore]) -> Ends:
    stores = {name: make_store(name) for name in ("graz", "wien")}
    add_pair(stores, "relay:sat:1", key_bytes(4096, "one"), paths=(("sat",),))
    return stores


def supplies(ends: Ends, **more: object) -> tuple[KeySupply, KeySupply]:
    graz, wien = (KeySupply(ends[name], reserved_bits=RESERVED, **more) for name in ("graz", "wien"))
    return graz, wien


def asked(count: int = 1, size_bits: int = 256, **changes: object) -> KeyRequest:
    words: dict[str, object] = {"peer": "wien", "master": "alice", "slaves": ("bob",)}
    return KeyRequest(count=count, size_bits=size_bits, **{**words, **changes})  # type: ignore[arg-type]


def bytes_of(*batches: KeyBatch) -> bytes:
    return b"".join(bytes(batch.keys.expose()) for batch in batches)


def fetch(supply: KeySupply, ids: tuple[str, ...] | list[str], slave: str = "bob", **changes: str) -> bytes:
    words = {"master": "alice", "slave": slave, "now_utc": NOW, **changes}
    return bytes_of(*supply.fetch("graz", key_ids=ids, **words))  # type: ignore[arg-type]


def test_both_ends_get_the_same_keys_each_once(ends: Ends) -> None:
    graz, wien = supplies(ends)
    batch = graz.draw(asked(5), now_utc=NOW)
    assert len(set(batch.ids)) == 5
    assert bytes_of(batch) == key_bytes(4096, "one")[:160]
    assert batch.paths == ((("sat",),),) * 5
    assert fetch(wien, batch.ids[3:]) == bytes_of(batch)[96:]
    with pytest.raises(KeyNotFound):
        fetch(wien, batch.ids[2:4])
    assert fetch(wien, batch.ids[2::-1]) == b"".join(bytes_of(batch)[i : i + 32] for i in (64, 32, 0))
    for supply in (graz, wien):
        supply.close(now_utc=NOW)
    for store in ends.values():
        books = store.check()
        assert books.balanced, books.faults
        assert (books.spent_bits, books.reserved_bits) == (5 * 256 + 256, 0)


def test_ids_tell_nothing_of_the_key_and_look_like_uuids_of_version_8(ends: Ends) -> None:
    graz, _ = supplies(ends)
    batch = graz.draw(asked(20), now_utc=NOW)
    for key_id in batch.ids:
        assert key_id[14] == "8"
        assert key_id[19] in "89ab"
        assert bits_of(key_id) == bits_of(key_id.upper())


def test_who_was_not_named_gets_nothing_and_uses_nothing(ends: Ends) -> None:
    graz, wien = supplies(ends)
    batch = graz.draw(asked(2), now_utc=NOW)
    for changes in ({"slave": "carol"}, {"master": "carol"}, {"slave": "alice", "master": "bob"}):
        with pytest.raises(NotEntitled):
            fetch(wien, batch.ids, **changes)
    other = graz.draw(asked(slaves=("carol",)), now_utc=NOW)
    with pytest.raises(NotEntitled):
        fetch(wien, [batch.ids[0], other.ids[0]])
    assert fetch(wien, batch.ids) == bytes_of(batch)
    with pytest.raises(NotEntitled):
        fetch(wien, batch.ids, slave="carol")


@pytest.mark.parametrize(
    "key_id",
    [
        "",
        "x" * 36,
        "00000000-0000-4000-8000-000000000000",
        "00000000-0000-8000-8000-000000000000",
        "ffffffff-ffff-8fff-bfff-ffffffffffff",
        "００000000-0000-8000-8000-00000000000",
        "00000000+0000-8000-8000-000000000000",
        "0_000000-0000-8000-8000-000000000000",
    ],
)
def test_ids_of_nobody_are_not_known(ends: Ends, key_id: str) -> None:
    _, wien = supplies(ends)
    with pytest.raises(KeyNotFound):
        fetch(wien, [key_id])
    assert ends["wien"].check().spent_bits == 0


def test_a_failed_fetch_leaves_the_keys_of_the_good_ids(ends: Ends) -> None:
    """Also where the first of two stretches was marked before the second was refused."""
    graz, wien = supplies(ends)
    batch = graz.draw(asked(6), now_utc=NOW)
    fetch(wien, [batch.ids[4]])
    with pytest.raises(KeyNotFound):
        fetch(wien, [batch.ids[0], batch.ids[2], batch.ids[4]])
    assert fetch(wien, [batch.ids[0], batch.ids[2]]) == bytes_of(batch)[:32] + bytes_of(batch)[64:96]


def test_each_end_draws_from_its_own_half(ends: Ends) -> None:
    graz, wien = supplies(ends)
    mine = graz.draw(asked(), now_utc=NOW)
    theirs = wien.draw(asked(peer="graz", master="bob", slaves=("alice",)), now_utc=NOW)
    key = key_bytes(4096, "one")
    assert (bytes_of(mine), bytes_of(theirs)) == (key[:32], key[2048:2080])
    found = graz.fetch("wien", master="bob", slave="alice", key_ids=theirs.ids, now_utc=NOW)
    assert bytes_of(*found) == bytes_of(theirs)


@pytest.mark.parametrize("slaves", [["bob"], ["bob", "ben"]])
def test_a_peer_that_names_key_of_this_ends_own_half_gets_nothing_of_it(
    ends: Ends, slaves: list[str]
) -> None:
    """It holds the secret that its ids are made with, so its tags are right wherever they point."""
    graz, wien = supplies(ends)
    graz.draw(asked(), now_utc=NOW)
    with Secret(key_bytes(4096, "one")[2048 - 32 : 2048]) as secret:
        [forged] = KeyIds("relay:sat:1", secret, master="alice", slaves=slaves).make([(3000, 32)])
        [true] = KeyIds("relay:sat:1", secret, master="alice", slaves=slaves).make([(1000, 32)])
    before = ends["wien"].available_bits("graz", "pair")
    with pytest.raises(KeyStoreError, match="of the part that this end allocates"):
        if len(slaves) == 1:
            fetch(wien, [forged])
        else:
            wien.entitle([forged], peer="graz", master="alice", slaves=slaves, now_utc=NOW)
    assert ends["wien"].available_bits("graz", "pair") == before
    if len(slaves) == 1:
        assert fetch(wien, [true]) == key_bytes(4096, "one")[1000:1032]


def test_all_of_a_half_can_be_drawn_and_not_a_bit_more(ends: Ends) -> None:
    graz, wien = supplies(ends)
    whole = 2048 - 32
    drawn = [graz.draw(asked(3, 8 * 96), now_utc=NOW) for _ in range(6)]
    rest = whole - 288 * len(drawn)
    graz.close(now_utc=NOW)
    assert graz.available_bits("wien") == 8 * rest
    with pytest.raises(KeyExhausted):
        graz.draw(asked(1, 8 * rest + 8), now_utc=NOW)
    drawn.append(graz.draw(asked(rest, 8), now_utc=NOW))
    assert bytes_of(*drawn) == key_bytes(4096, "one")[:whole]
    for batch in drawn:
        assert fetch(wien, batch.ids) == bytes_of(batch)
    with pytest.raises(KeyExhausted):
        graz.draw(asked(1, 8), now_utc=NOW)


def test_a_request_that_cannot_be_met_whole_is_not_met_at_all(ends: Ends) -> None:
    graz, _ = supplies(ends)
    before = graz.available_bits("wien")
    with pytest.raises(KeyExhausted, match="are left"):
        graz.draw(asked(1000), now_utc=NOW)
    assert graz.available_bits("wien") == before
    assert ends["graz"].check().spent_bits == 0


def test_what_was_not_handed_out_is_free_again(ends: Ends) -> None:
    graz, _ = supplies(ends)
    graz.draw(asked(2), now_utc=NOW)
    (row,) = ends["graz"].status()
    assert row.reserved_bits >= 512
    while graz.settle(now_utc=NOW):
        pass
    assert ends["graz"].check().spent_bits == 512 + 256
    graz.close(now_utc=NOW)
    assert ends["graz"].status()[0].reserved_bits == 0
    again, _ = supplies(ends)
    assert bytes_of(again.draw(asked(), now_utc=NOW)) == key_bytes(4096, "one")[64:96]


def test_a_kill_loses_the_reservation_and_nothing_comes_twice(ends: Ends, tmp_path: Path) -> None:
    graz, wien = supplies(ends)
    batch = graz.draw(asked(3), now_utc=NOW)
    fetch(wien, batch.ids[:1])
    copies = {}
    for name, store in ends.items():  # the files as a kill leaves them
        store._database.checkpoint()
        folder = tmp_path / f"killed-{name}"
        folder.mkdir()
        for file in store.path.parent.glob(f"{store.path.name}*"):
            (folder / file.name).write_bytes(file.read_bytes())
        copies[name] = folder / store.path.name
    with KeyStore.open(copies["graz"]) as store:
        books = store.check()
        assert books.balanced, books.faults
        assert books.reserved_bits == 0
        assert 3 * 256 + 256 <= books.spent_bits <= RESERVED + 256
        drawn = KeySupply(store, reserved_bits=RESERVED).draw(asked(), now_utc=NOW)
        assert bytes_of(drawn) not in bytes_of(batch)
    with KeyStore.open(copies["wien"]) as store:
        assert store.check().balanced
        assert store.check().spent_bits == 512
        late = KeySupply(store)
        with pytest.raises(KeyNotFound):
            fetch(late, batch.ids[:1])
        assert fetch(late, batch.ids[1:]) == bytes_of(batch)[32:]
        late.close(now_utc=NOW)


def test_twin_key_is_for_demonstrations(ends: Ends) -> None:
    for store in ends.values():
        store.add_block(
            "t",
            peer="linz",
            kind="pair",
            origin="twin",
            key=bytes(range(128)),
            state="confirmed",
            now_utc=NOW,
        )
    graz, _ = supplies(ends)
    assert graz.available_bits("linz") == 0
    with pytest.raises(OriginRefused, match="--demo"):
        graz.draw(asked(peer="linz"), now_utc=NOW)
    shown, _ = supplies(ends, demo=True)
    assert shown.draw(asked(peer="linz"), now_utc=NOW).origin == "twin"


def test_twin_key_is_not_given_to_a_slave_either(ends: Ends) -> None:
    add_pair(ends, "relay:sat:t", key_bytes(512, "t"), origin="twin", paths=(("sat",),))
    for store in ends.values():
        store.discard_block("relay:sat:1")
    graz, wien = supplies(ends, demo=True)
    batch = graz.draw(asked(), now_utc=NOW)
    _, strict = supplies(ends)
    with pytest.raises(OriginRefused):
        fetch(strict, batch.ids)
    assert fetch(wien, batch.ids) == bytes_of(batch)


def test_key_that_one_end_has_not_confirmed_is_given_by_neither(
    make_store: Callable[[str], KeyStore],
) -> None:
    ends = {name: make_store(name) for name in ("graz", "wien")}
    add_pair(ends, "relay:sat:1", key_bytes(512, "one"), state="unconfirmed")
    graz, wien = supplies(ends)
    with pytest.raises(KeyNotFound):
        graz.draw(asked(), now_utc=NOW)
    ends["graz"].confirm_block("relay:sat:1")
    batch = graz.draw(asked(), now_utc=NOW)
    with pytest.raises(KeyNotFound):
        fetch(wien, batch.ids)
    ends["wien"].confirm_block("relay:sat:1")
    assert fetch(wien, batch.ids) == bytes_of(batch)


def test_the_way_of_key_can_be_demanded(ends: Ends) -> None:
    add_pair(ends, "xor:graz:1", key_bytes(1024, "two"), paths=(("sat",), ("moon",)))
    graz, _ = supplies(ends)
    two = graz.draw(asked(colluders=2), now_utc=NOW)
    assert bytes_of(two) == key_bytes(1024, "two")[:32]
    assert two.paths == ((("moon",), ("sat",)),)
    assert bytes_of(graz.draw(asked(avoid=frozenset({"sat"})), now_utc=NOW)) in key_bytes(1024, "two")
    for demands in ({"colluders": 3}, {"avoid": frozenset({"sat", "moon"})}):
        with pytest.raises(ConstraintsUnmet):
            graz.draw(asked(**demands), now_utc=NOW)


def test_several_slaves_get_the_same_key_each_once(ends: Ends) -> None:
    graz, wien = supplies(ends)
    slaves = ("bob", "carol", "dave")
    batch = graz.draw(asked(2, slaves=slaves), now_utc=NOW)
    wien.entitle(batch.ids, peer="graz", master="alice", slaves=slaves, now_utc=NOW)
    for slave in slaves:
        with pytest.raises(NotEntitled):
            fetch(wien, batch.ids, slave="eve")
        assert fetch(wien, batch.ids, slave=slave) == bytes_of(batch)
        with pytest.raises((NotEntitled, KeyNotFound)):
            fetch(wien, batch.ids, slave=slave)
    with pytest.raises((NotEntitled, KeyNotFound)):
        wien.entitle(batch.ids, peer="graz", master="alice", slaves=slaves, now_utc=NOW)


def test_two_clients_of_one_node_share_fresh_key_that_says_so(ends: Ends) -> None:
    graz, _ = supplies(ends)
    batch = graz.draw(asked(2, peer="graz", slaves=("carol",)), now_utc=NOW)
    assert batch.origin == "local"
    for slave, error in (("bob", NotEntitled), ("carol", None), ("carol", KeyNotFound)):
        if error is not None:
            with pytest.raises(error):
                fetch(graz, batch.ids, slave=slave)
        else:
            assert fetch(graz, batch.ids, slave=slave) == bytes_of(batch)
    again = graz.draw(asked(2, peer="graz", slaves=("carol",)), now_utc=NOW)
    assert bytes_of(again) != bytes_of(batch)


@pytest.mark.parametrize(("count", "size"), [(0, 256), (-1, 256), (1, 0), (1, 7), (1, 12), (1, 8 * 16384)])
def test_sizes_that_no_id_can_name_are_refused(ends: Ends, count: int, size: int) -> None:
    graz, _ = supplies(ends)
    with pytest.raises(ConfigError):
        graz.draw(asked(count, size), now_utc=NOW)


@given(
    st.lists(
        st.tuples(st.integers(0, (1 << 28) - 1), st.integers(1, (1 << 14) - 1)), min_size=1, max_size=20
    ),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_ids_are_read_back_by_their_secret_alone(
    places: list[tuple[int, int]], master: str, slave: str
) -> None:
    ids = KeyIds("block", Secret(bytes(32)), master=master, slaves=[slave])
    made = [bits_of(key_id) for key_id in ids.make(places)]
    assert ids.read([bits for bits in made if bits is not None]) == places
    for secret, who in ((bytes(31) + b"\1", (master, slave)), (bytes(32), (master + "\0", slave))):
        other = KeyIds("block", Secret(secret), master=who[0], slaves=[who[1]])
        assert other.read([bits for bits in made if bits is not None]) == [None] * len(places)
    moved = KeyIds("block", Secret(bytes(32)), master=master + slave[:1], slaves=[slave[1:]])
    if slave:
        assert moved.read([bits for bits in made if bits is not None]) == [None] * len(places)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["draw", "draw", "fetch", "settle", "reopen", "kill", "encrypt"]), st.integers(0, 40)
    ),
    max_size=40,
)


@settings(max_examples=30, deadline=None)
@given(STEPS)
def test_in_any_order_no_key_comes_twice_and_all_bits_add_up(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("supply")
    stores = {name: KeyStore.create(folder / f"{name}.db", name) for name in ("graz", "wien")}
    add_pair(stores, "relay:sat:1", key_bytes(1024, "one"))
    add_pair(stores, "relay:sat:2", key_bytes(700, "two"))
    drawn: dict[str, bytes] = {}
    fetched: set[str] = set()
    seen: list[bytes] = []
    graz, wien = supplies(stores)
    for what, number in steps:
        if what == "draw":
            size = (8, 64, 128, 256)[number % 4]
            try:
                batch = graz.draw(asked(1 + number // 8, size), now_utc=NOW)
            except KeyExhausted:
                continue
            step = size // 8
            keys = bytes_of(batch)
            drawn.update({key_id: keys[i * step : (i + 1) * step] for i, key_id in enumerate(batch.ids)})
            seen.append(keys)
        elif what == "encrypt":
            try:
                spent = stores["graz"].spend("wien", "pair", 64, purpose="x", reference="x")
            except KeyExhausted:
                continue
            seen.append(bytes(spent.key.expose()))
        elif what == "fetch" and drawn:
            key_id = random.Random(number).choice(sorted(drawn))
            if key_id in fetched:
                with pytest.raises(KeyNotFound):
                    fetch(wien, [key_id])
            else:
                assert fetch(wien, [key_id]) == drawn[key_id]
                fetched.add(key_id)
        elif what == "settle":
            graz.settle(now_utc=NOW)
            wien.settle(now_utc=NOW)
        elif what in ("reopen", "kill"):
            if what == "reopen":
                graz.close(now_utc=NOW)
                wien.close(now_utc=NOW)
            for name, store in stores.items():
                store.close()
                stores[name] = KeyStore.open(folder / f"{name}.db")
            graz, wien = supplies(stores)
    for store in stores.values():
        books = store.check()
        assert books.balanced, books.faults
        assert store.verify_audit().intact
    key = key_bytes(1024, "one") + key_bytes(700, "two")
    taken = [any(key[i : i + 8] in piece for piece in seen) for i in range(len(key) - 8)]
    assert sum(map(len, seen)) <= len(key)
    assert sum(map(len, seen)) >= sum(taken)
    for i, one in enumerate(seen):
        for other in seen[i + 1 :]:
            assert not any(one[j : j + 8] in other for j in range(len(one) - 7))
    for store in stores.values():
        store.close()


def test_settling_goes_pool_by_pool_and_idle_key_is_given_back(ends: Ends) -> None:
    graz, _ = supplies(ends)
    for slave in ("bob", "carol"):
        graz.draw(asked(slaves=(slave,)), now_utc=NOW)
    assert [graz.settle(now_utc=NOW) for _ in range(3)] == [True, False, False]
    assert ends["graz"].check().spent_bits == 256 + 2 * 256
    assert ends["graz"].status()[0].reserved_bits > 0
    for _ in range(200):
        graz.settle(now_utc=NOW)
    assert ends["graz"].status()[0].reserved_bits == 0
    assert not graz.ready(asked())
    graz.draw(asked(), now_utc=NOW)


@pytest.mark.parametrize("what", ["draw", "fetch", "entitle", "settle"])
def test_nothing_is_handed_out_within_a_change_that_may_be_undone(ends: Ends, what: str) -> None:
    """Else key that left would be free again, or a failed fetch would leave its marks."""
    graz, wien = supplies(ends)
    batch = graz.draw(asked(2), now_utc=NOW)
    calls: dict[str, Callable[[], object]] = {
        "draw": lambda: wien.draw(asked(peer="graz", master="bob", slaves=("alice",)), now_utc=NOW),
        "fetch": lambda: fetch(wien, batch.ids),
        "entitle": lambda: wien.entitle(
            batch.ids, peer="graz", master="alice", slaves=("bob", "carol"), now_utc=NOW
        ),
        "settle": lambda: wien.settle(now_utc=NOW),
    }
    with ends["wien"].work(), pytest.raises(LocalProtocolError, match="within another change"):
        calls[what]()
    with ends["wien"].transaction(), pytest.raises(LocalProtocolError, match="within another change"):
        calls[what]()
    assert ends["wien"].check().spent_bits == ends["wien"].check().reserved_bits == 0
    assert fetch(wien, batch.ids) == bytes_of(batch)
