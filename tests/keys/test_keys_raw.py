"""Raw blocks in the store: kept, confirmed, used once, wiped; never key, never out of the books."""

import sqlite3
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keys_cases import NOW, key_bytes
from sqlalchemy import select

from satqkd.errors import ConfigError, KeyAlreadyUsed, KeyNotFound
from satqkd.keys import KeyStore, RawShelf
from satqkd.keys.sql.schema import RAW_MATERIAL

MakeStore = Callable[[str], KeyStore]
POOL = "pooled.0123456789abcdef"


def shelf_of(store: KeyStore, *, peer: str = "peer", origin: str = "twin") -> RawShelf:
    return RawShelf(store, peer, origin=origin)


def keep(shelf: RawShelf, block_id: str, data: bytes, *, pool: str = POOL, confirm: bool = True) -> None:
    shelf.keep(block_id, data, pool=pool, sifted_bits=1000, detections=8 * len(data), now_utc=NOW)
    if confirm:
        shelf.confirm(block_id)


def cell_of(store: KeyStore) -> bytes:
    """What the file holds in place of the only raw block."""
    with store.snapshot() as connection:
        return bytes(connection.execute(select(RAW_MATERIAL.c.raw_bytes)).scalar_one())


def file_bytes(store: KeyStore) -> bytes:
    return b"".join(path.read_bytes() for path in store.path.parent.glob(f"{store.path.name}*"))


def test_a_raw_block_is_given_out_once_and_then_gone_from_the_file(make_store: MakeStore) -> None:
    store, data = make_store("node"), key_bytes(500, "raw")
    shelf = shelf_of(store)
    keep(shelf, "p.block0", data)
    sealed = cell_of(store)
    assert sealed in file_bytes(store)
    assert shelf.take(["p.block0"], reference="q.block0") == [data]
    assert data[:16] not in file_bytes(store)
    assert not any(sealed[i : i + 16] in file_bytes(store) for i in (0, 44, len(sealed) - 16))
    with pytest.raises(KeyAlreadyUsed, match="once"):
        shelf.take(["p.block0"], reference="r.block0")
    assert shelf.held([POOL]) == []
    assert store.audit_entries()[-1] == {
        "number": 3, "utc": None, "event": "raw_used", "block_id": "p.block0", "reference": "q.block0"
    }  # fmt: skip
    assert store.check().balanced


def test_of_several_all_are_taken_or_none(make_store: MakeStore) -> None:
    shelf = shelf_of(make_store("node"))
    keep(shelf, "a", b"aaaa")
    with pytest.raises(KeyNotFound, match="no raw block 'b'"):
        shelf.take(["a", "b"], reference="x")
    with pytest.raises(KeyAlreadyUsed):
        shelf.take(["a", "a"], reference="x")
    assert shelf.take(["a"], reference="x") == [b"aaaa"]


def test_raw_bits_are_no_key(make_store: MakeStore) -> None:
    store = make_store("node")
    shelf = shelf_of(store)
    keep(shelf, "a", bytes(range(100)))
    for kind in ("link", "auth", "pair"):
        assert store.available_bits("peer", kind, demo=True) == 0  # type: ignore[arg-type]
    assert store.list_blocks() == []
    (row,) = store.status()
    assert (row.link, row.live_bits, row.unconfirmed_bits, row.raw_bits) == ("peer link", 0, 0, 800)
    with pytest.raises(KeyNotFound):
        store.spend("peer", "link", 8, purpose="x", reference="y", demo=True)
    with pytest.raises(KeyNotFound):
        store.peek_for_check("a")


def test_what_waits_is_told_by_pool_peer_and_origin(make_store: MakeStore) -> None:
    store = make_store("node")
    shelf = shelf_of(store)
    keep(shelf, "old", b"1")
    keep(shelf, "new", b"2", confirm=False)
    keep(shelf, "other-pool", b"3", pool="by-loss.x.30-33dB")
    keep(shelf_of(store, peer="third"), "other-peer", b"4")
    keep(shelf_of(store, origin="hardware"), "other-origin", b"5")
    assert [(row.block_id, row.state) for row in shelf.held([POOL])] == [
        ("old", "confirmed"),
        ("new", "unconfirmed"),
    ]
    with pytest.raises(KeyNotFound, match="third"):
        shelf.take(["other-peer"], reference="x")
    assert len(shelf.held([POOL, "by-loss.x.30-33dB"])) == 3


def test_a_discarded_block_is_wiped_and_stays_so(make_store: MakeStore) -> None:
    store, data = make_store("node"), key_bytes(64, "gone")
    shelf = shelf_of(store)
    keep(shelf, "a", data)
    for _ in range(2):
        shelf.discard(["a"])
    shelf.confirm("a")
    assert data[:16] not in file_bytes(store)
    with pytest.raises(KeyAlreadyUsed, match="discarded"):
        shelf.take(["a"], reference="x")
    (row,) = store.list_raw_blocks()
    assert (row.kind, row.state, row.bits, row.live_bits, row.wiped_bits) == ("raw", "discarded", 512, 0, 512)


def test_an_id_names_one_block_of_either_kind(make_store: MakeStore) -> None:
    store = make_store("node")
    store.add_block("a", peer="peer", kind="link", origin="twin", key=b"key", allocator="node", now_utc=NOW)
    with pytest.raises(KeyAlreadyUsed, match="for ever"):
        keep(shelf_of(store), "a", b"raw")
    keep(shelf_of(store), "b", b"raw")
    with pytest.raises(KeyAlreadyUsed, match="for ever"):
        keep(shelf_of(store), "b", b"raw")


def test_a_block_without_detections_is_kept_too(make_store: MakeStore) -> None:
    store = make_store("node")
    keep(shelf_of(store), "empty", b"")
    assert shelf_of(store).take(["empty"], reference="x") == [b""]
    assert store.check().balanced


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE raw_blocks SET state = 'confirmed' WHERE state = 'used'",
        "UPDATE raw_blocks SET state = 'unconfirmed'",
        "UPDATE raw_blocks SET detections = 1",
        "UPDATE raw_blocks SET pool = 'x'",
        "DELETE FROM raw_blocks",
        "DELETE FROM raw_material",
    ],
)
def test_the_file_itself_refuses_a_second_use(make_store: MakeStore, change: str) -> None:
    """Whatever program writes it."""
    store = make_store("node")
    keep(shelf_of(store), "used", b"1")
    keep(shelf_of(store), "held", b"2")
    shelf_of(store).take(["used"], reference="x")
    with sqlite3.connect(store.path) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(change)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("UPDATE raw_material SET raw_bytes = zeroblob(3) WHERE block_pk = 2", "damaged"),
        ("UPDATE raw_material SET raw_bytes = x'' WHERE block_pk = 2", "0 bytes stored of 4"),
        ("UPDATE raw_material SET raw_bytes = x'01020304' WHERE block_pk = 1", "damaged"),
        ("UPDATE raw_blocks SET state = 'discarded' WHERE pk = 2", "audit log"),
    ],
)
def test_the_check_sees_what_does_not_add_up(make_store: MakeStore, change: str, fault: str) -> None:
    store = make_store("node")
    keep(shelf_of(store), "used", b"1234")
    keep(shelf_of(store), "held", b"5678")
    shelf_of(store).take(["used"], reference="x")
    assert store.check().balanced
    with sqlite3.connect(store.path) as connection:
        connection.execute(change)
    assert any(fault in each for each in store.check().faults)


def test_odd_names_are_refused(make_store: MakeStore) -> None:
    store = make_store("node")
    with pytest.raises(ConfigError, match="peer"):
        shelf_of(store, peer="Not A Name")
    with pytest.raises(ConfigError, match="origin"):
        shelf_of(store, origin="heaven")
    with pytest.raises(ConfigError, match="block_id"):
        keep(shelf_of(store), "no spaces", b"1")


STEPS = st.lists(
    st.tuples(st.sampled_from(["keep", "confirm", "take", "discard", "reopen"]), st.integers(0, 5)),
    max_size=30,
)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_in_any_order_no_raw_block_comes_out_twice(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    store = KeyStore.create(tmp_path_factory.mktemp("raw") / "n.db", "node")
    given_out: dict[str, bytes] = {}
    gone: set[str] = set()
    for verb, number in steps:
        name, data, shelf = f"b{number}", key_bytes(9, str(number)), shelf_of(store)
        known = {row.block_id for row in store.list_raw_blocks()}
        if verb == "reopen":
            store.close()
            store = KeyStore.open(store.path)
        elif verb == "keep" and name not in known:
            keep(shelf, name, data, confirm=False)
        elif verb != "keep" and name in known:
            if verb == "confirm":
                shelf.confirm(name)
            elif verb == "discard":
                shelf.discard([name])
                gone.add(name)
            elif name in given_out or name in gone:
                with pytest.raises(KeyAlreadyUsed):
                    shelf.take([name], reference="x")
            else:
                (given_out[name],) = shelf.take([name], reference="x")
                assert given_out[name] == data
        report = store.check()
        assert report.balanced, report.faults
        assert report.raw_used_bits == 72 * len(given_out)
    store.close()
