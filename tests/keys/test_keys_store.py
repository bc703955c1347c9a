"""The store itself: who opens it, what it gives out, what stays on the disk, what it says."""

import fcntl
import hashlib
import os
import pickle
import sqlite3
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path

import msgspec
import pytest
from keys_cases import NOW, key_bytes
from sqlalchemy import select

from satqkd.errors import (
    ConfigError,
    DataFormatError,
    Error,
    KeyAlreadyUsed,
    KeyExhausted,
    KeyNotFound,
    KeyStoreError,
    LocalProtocolError,
    OriginRefused,
    ResourceError,
)
from satqkd.keys import KeyRange, KeyStore, Secret
from satqkd.keys.sql.schema import BLOCK_KEYS, SEGMENTS

MakeStore = Callable[[str], KeyStore]


def add(store: KeyStore, block_id: str, key: bytes, **changes: object) -> None:
    settings: dict[str, object] = {
        "peer": "peer",
        "kind": "link",
        "origin": "hardware",
        "state": "confirmed",
        "allocator": store.node_id,
        "now_utc": NOW,
        **changes,
    }
    store.add_block(block_id, key=key, **settings)  # type: ignore[arg-type]


def take(store: KeyStore, bits: int, **changes: object) -> bytes:
    settings: dict[str, object] = {"purpose": "test", "reference": "1", **changes}
    return bytes(store.spend("peer", "link", bits, **settings).key.expose())  # type: ignore[arg-type]


# --- opening


def test_file_is_private_and_reopens_with_its_node(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    old_mask = os.umask(0)
    try:
        store = KeyStore.create(path, "node")
        add(store, "b", key_bytes(8, "b"))
    finally:
        os.umask(old_mask)
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    store.close()
    with KeyStore.open(path) as again:
        assert again.node_id == "node"
        assert [row.block_id for row in again.list_blocks()] == ["b"]


@pytest.mark.parametrize("content", [b"", b"hello, this is no database", b"SQLite format 3\x00" + bytes(4)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "node.db"
    path.write_bytes(content)
    with pytest.raises(DataFormatError, match=r"key store|damaged"):
        KeyStore.open(path)
    assert path.read_bytes() == content


def test_another_sqlite_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(DataFormatError, match="another SQLite file"):
        KeyStore.open(path)


def test_missing_wrong_node_newer_schema_and_existing(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    with pytest.raises(KeyNotFound, match="no key store"):
        KeyStore.open(path)
    assert not list(tmp_path.iterdir())
    KeyStore.create(path, "node").close()
    with pytest.raises(ConfigError, match="'other'"):
        KeyStore.open(path, node_id="other")
    with pytest.raises(ResourceError, match="found one"):
        KeyStore.create(path, "node")
    with pytest.raises(ResourceError, match="cannot create"):
        KeyStore.create(tmp_path / "nowhere" / "node.db", "node")
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO migrations VALUES (99, 'later')")
    connection.commit()
    connection.close()
    with pytest.raises(DataFormatError, match="newer satqkd"):
        KeyStore.open(path)


def test_one_writer_many_readers(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    with KeyStore.create(path, "node") as store:
        add(store, "b", key_bytes(8, "b"))
        with pytest.raises(ResourceError, match="another process") as refused:
            KeyStore.open(path)
        assert refused.value.exit_code == 2
        code = f"from satqkd.keys import KeyStore; KeyStore.open({str(path)!r})"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "another process has this store open" in other.stderr
        with KeyStore.open(path, read_only=True) as reader:
            assert reader.status() == store.status()
            with pytest.raises(LocalProtocolError, match="opened for reading"):
                take(reader, 8)
    KeyStore.open(path).close()


def test_the_lock_file_is_gone_when_the_store_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    with KeyStore.create(path, "node"):
        assert Path(f"{path}.lock").exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["node.db", "node.db.key", "node.db.uses"]


def test_a_lock_on_a_file_that_its_owner_removed_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened before the other closed, locked after: the next to come would lock a new file of that name."""
    path = tmp_path / "node.db"
    KeyStore.create(path, "node").close()
    true, removed = fcntl.flock, []

    def late(descriptor: int, operation: int) -> None:
        if not removed:
            removed.append(Path(f"{path}.lock").unlink())
        true(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with KeyStore.open(path), pytest.raises(ResourceError, match="another process"):
        KeyStore.open(path)


def test_a_forked_child_cannot_use_the_store(make_store: MakeStore) -> None:
    store = make_store("node")
    add(store, "b", key_bytes(8, "b"))
    child = os.fork()
    if child == 0:
        try:
            take(store, 8)
        except ResourceError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_closed_store_says_so(make_store: MakeStore) -> None:
    store = make_store("node")
    store.close()
    store.close()
    with pytest.raises(LocalProtocolError, match="closed"):
        store.status()


# --- blocks


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "other"},
        {"origin": "somewhere"},
        {"state": "discarded"},
        {"peer": "node"},
        {"peer": "Not A Name"},
        {"allocator": None},
        {"allocator": "third"},
    ],
)
def test_malformed_blocks_are_refused_whole(make_store: MakeStore, changes: dict[str, object]) -> None:
    store = make_store("node")
    with pytest.raises(ConfigError):
        add(store, "b", bytes(8), **changes)
    with pytest.raises(ConfigError):
        add(store, "", bytes(8))
    with pytest.raises(ConfigError):
        add(store, "b", b"")
    assert store.list_blocks() == []


def test_a_block_id_is_used_once(make_store: MakeStore) -> None:
    store = make_store("node")
    add(store, "b", bytes(8))
    with pytest.raises(KeyAlreadyUsed, match="stored already"):
        add(store, "b", bytes(8))


def test_only_confirmed_key_is_given_out(make_store: MakeStore) -> None:
    store, key = make_store("node"), key_bytes(32, "k")
    add(store, "b", key, state="unconfirmed")
    with pytest.raises(KeyExhausted):
        take(store, 8)
    store.confirm_block("b")
    store.confirm_block("b")
    assert take(store, 64) == key[:8]
    store.discard_block("b")
    store.discard_block("b")
    with pytest.raises(KeyExhausted):
        take(store, 8)
    with pytest.raises(KeyStoreError, match="discarded"):
        store.confirm_block("b")
    with pytest.raises(KeyNotFound):
        store.confirm_block("no such block")
    (row,) = store.list_blocks()
    assert (row.bits, row.spent_bits, row.live_bits, row.wiped_bits) == (256, 64, 0, 192)
    assert store.check().balanced


# --- single use


def test_key_comes_in_order_across_blocks_and_ends(make_store: MakeStore) -> None:
    store, first, second = make_store("node"), key_bytes(16, "1"), key_bytes(16, "2")
    add(store, "b1", first)
    add(store, "b2", second)
    assert take(store, 80) == first[:10]
    spent = store.spend("peer", "link", 80, purpose="test", reference="2")
    assert bytes(spent.key.expose()) == first[10:] + second[:4]
    assert spent.ranges == (KeyRange("b1", 80, 48), KeyRange("b2", 0, 32))
    with pytest.raises(KeyExhausted, match="96"):
        take(store, 104)
    assert take(store, 96) == second[4:]
    assert store.available_bits("peer", "link") == 0


@pytest.mark.parametrize("bits", [0, -8, 7, 12])
def test_odd_amounts_are_refused(make_store: MakeStore, bits: int) -> None:
    store = make_store("node")
    add(store, "b", bytes(8))
    with pytest.raises(ConfigError, match="multiple of 8"):
        take(store, bits)


def test_spend_at_takes_the_peers_ranges_once(make_store: MakeStore) -> None:
    store, key = make_store("node"), key_bytes(32, "k")
    add(store, "b", key, allocator="peer")

    def at(*ranges: KeyRange, peer: str = "peer") -> bytes:
        spent = store.spend_at(peer, "link", ranges, purpose="test", reference="1")
        return bytes(spent.key.expose())

    assert at(KeyRange("b", 64, 64)) == key[8:16]
    for overlap in (
        KeyRange("b", 64, 64),
        KeyRange("b", 120, 16),
        KeyRange("b", 0, 256),
        KeyRange("b", 72, 8),
    ):
        with pytest.raises(KeyAlreadyUsed):
            at(overlap)
    with pytest.raises(KeyAlreadyUsed):
        at(KeyRange("b", 0, 64), KeyRange("b", 56, 8))
    for unknown in (KeyRange("x", 0, 8), KeyRange("b", 248, 16), KeyRange("b", -8, 16)):
        with pytest.raises(KeyNotFound):
            at(unknown)
    with pytest.raises(KeyNotFound):
        at(KeyRange("b", 0, 8), peer="other")
    assert at(KeyRange("b", 0, 64), KeyRange("b", 128, 128)) == key[:8] + key[16:]
    add(store, "waiting", key, state="unconfirmed", allocator="peer")
    with pytest.raises(KeyStoreError, match="unconfirmed"):
        at(KeyRange("waiting", 0, 8))
    add(store, "ours", key)
    with pytest.raises(KeyStoreError, match="this end allocates"):
        at(KeyRange("ours", 0, 8))


def test_pair_key_is_split_between_the_ends(make_store: MakeStore) -> None:
    key = key_bytes(26, "pair")
    low, high = make_store("a"), make_store("b")
    add(low, "p", key, peer="b", kind="pair", allocator=None)
    add(high, "p", key, peer="a", kind="pair", allocator=None)
    assert (low.available_bits("b", "pair"), high.available_bits("a", "pair")) == (104, 104)
    from_low = low.spend("b", "pair", 104, purpose="test", reference="1")
    from_high = high.spend("a", "pair", 104, purpose="test", reference="1")
    assert bytes(from_low.key.expose()) + bytes(from_high.key.expose()) == key
    for taker, peer in ((low, "b"), (high, "a")):
        with pytest.raises(KeyExhausted):
            taker.spend(peer, "pair", 8, purpose="test", reference="2")


def test_the_file_itself_refuses_overlap_and_rewriting(make_store: MakeStore) -> None:
    store = make_store("node")
    add(store, "b", key_bytes(32, "b"))
    add(store, "waiting", key_bytes(32, "w"), state="unconfirmed")
    take(store, 64)
    take(store, 64)
    store.close()
    connection = sqlite3.connect(store.path)
    insert = "INTO spends (block_pk, offset_bits, length_bits, purpose, reference) VALUES (?, ?, ?, 'x', 'x')"
    for verb in ("INSERT", "INSERT OR REPLACE", "REPLACE", "INSERT OR IGNORE"):
        for offset, length in ((0, 64), (0, 8), (56, 16), (120, 64), (0, 256), (64, 64)):
            with pytest.raises(sqlite3.IntegrityError, match="already used"):
                connection.execute(f"{verb} {insert}", (1, offset, length))
    for pk, offset, length in ((1, 128, 136), (2, 0, 8), (3, 0, 8), (1, 128, 0), (1, 130, 8)):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(f"INSERT {insert}", (pk, offset, length))
    for statement in (
        "UPDATE spends SET offset_bits = 200",
        "DELETE FROM spends",
        "DELETE FROM blocks",
        "DELETE FROM segments",
        "DELETE FROM block_keys",
        "DELETE FROM uses",
        "UPDATE uses SET uses = 1",
        "UPDATE blocks SET bits = 8",
        "UPDATE blocks SET origin = 'hardware'",
        "UPDATE blocks SET state = 'unconfirmed' WHERE pk = 1",
        "DELETE FROM audit",
        "UPDATE audit SET event = 'nothing'",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)
    connection.execute(f"INSERT {insert}", (1, 128, 8))
    connection.close()


def test_a_wrong_allocator_is_stopped_by_the_file(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store("node")
    add(store, "b", key_bytes(32, "b"))
    take(store, 64)
    monkeypatch.setattr("satqkd.keys.ledger.ledger.allocate", lambda *_, **__: [KeyRange("b", 56, 64)])
    with pytest.raises(KeyAlreadyUsed, match="given out before"):
        take(store, 64)


# --- origin


def test_key_that_is_not_secret_needs_demo(make_store: MakeStore) -> None:
    store, twin, real = make_store("node"), key_bytes(16, "t"), key_bytes(16, "r")
    add(store, "t", twin, origin="twin")
    with pytest.raises(OriginRefused, match="--demo"):
        take(store, 64)
    add(store, "r", real)
    assert take(store, 64) == real[:8]
    with pytest.raises(OriginRefused):
        take(store, 128)
    spent = store.spend("peer", "link", 192, purpose="test", reference="1", demo=True)
    assert bytes(spent.key.expose()) == twin + real[8:]
    assert spent.origin == "twin"


def test_peers_ranges_obey_the_origin_rule(make_store: MakeStore) -> None:
    store = make_store("node")
    add(store, "t", bytes(16), origin="recorded", allocator="peer")
    where = [KeyRange("t", 0, 8)]
    with pytest.raises(OriginRefused):
        store.spend_at("peer", "link", where, purpose="test", reference="1")
    store.spend_at("peer", "link", where, purpose="test", reference="1", demo=True)


# --- crashes


def test_an_exception_inside_the_transaction_gives_nothing_and_takes_nothing(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, key = make_store("node"), key_bytes(16, "k")
    add(store, "b", key)
    with monkeypatch.context() as patch:
        patch.setattr("satqkd.keys.ledger.audit.append", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            take(store, 64)
    assert take(store, 64) == key[:8]
    assert store.check().balanced


def test_a_crash_after_the_commit_loses_key_and_never_repeats_it(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, key = make_store("node"), key_bytes(16, "k")
    add(store, "b", key)
    with monkeypatch.context() as patch:
        patch.setattr(store._database, "checkpoint", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            take(store, 64)
    assert take(store, 64) == key[8:]


KILLED = """
import os, sys
from satqkd.keys import KeyStore
where, path = sys.argv[1:]
store = KeyStore.open(path)
if where == "after commit":
    store._database.checkpoint = lambda: os._exit(9)
elif where == "before commit":
    from satqkd.keys.ledger import audit
    audit.append = lambda *_, **__: os._exit(9)
store.spend("peer", "link", 64, purpose="test", reference="killed")
os._exit(9)
"""


@pytest.mark.parametrize(
    ("where", "next_byte"), [("before commit", 0), ("after commit", 8), ("after return", 8)]
)
def test_a_killed_process_never_repeats_key(make_store: MakeStore, where: str, next_byte: int) -> None:
    store, key = make_store("node"), key_bytes(32, "k")
    add(store, "b", key)
    store.close()
    killed = subprocess.run([sys.executable, "-c", KILLED, where, str(store.path)], check=False)
    assert killed.returncode == 9
    with KeyStore.open(store.path) as again:
        assert take(again, 64) == key[next_byte : next_byte + 8]
        assert again.check().balanced
        assert again.verify_audit().intact


# --- secrets stay secret


def found_in_files(store: KeyStore, marker: bytes) -> bool:
    files = store.path.parent.glob(store.path.name + "*")
    return any(marker in file.read_bytes() for file in files)


@pytest.mark.parametrize("n_bytes", [64, 20_000])
def test_key_is_never_in_clear_and_what_was_used_is_gone_from_the_files(
    make_store: MakeStore, n_bytes: int
) -> None:
    store = make_store("node")
    used, discarded = key_bytes(n_bytes, "used"), key_bytes(n_bytes, "discarded")
    add(store, "b", used)
    add(store, "d", discarded)
    for key in (used, discarded):
        assert not any(found_in_files(store, key[i : i + 12]) for i in range(0, n_bytes - 12, 1000))
    with store.snapshot() as connection:
        sealed = [bytes(row.sealed) for row in connection.execute(select(SEGMENTS.c.sealed))]
        wrapped = [bytes(row.wrapped) for row in connection.execute(select(BLOCK_KEYS.c.wrapped))]
    assert all(found_in_files(store, each) for each in [*(cell[:40] for cell in sealed), *wrapped])
    take(store, 8 * n_bytes)
    store.discard_block("d")
    for each in [*(cell[i : i + 12] for cell in sealed for i in (0, 20, len(cell) - 12)), *wrapped]:
        assert not found_in_files(store, each)


def test_a_part_that_was_used_is_sealed_anew_without_it(make_store: MakeStore) -> None:
    store, key = make_store("node"), key_bytes(10_000, "b")
    add(store, "b", key)
    with store.snapshot() as connection:
        before = [bytes(row.sealed) for row in connection.execute(select(SEGMENTS.c.sealed))]
    assert take(store, 8 * 5000) == key[:5000]
    with store.snapshot() as connection:
        after = [bytes(row.sealed) for row in connection.execute(select(SEGMENTS.c.sealed))]
    assert (after[0], after[2]) == (b"", before[2])
    assert not found_in_files(store, before[1][:12])
    assert bytes(store.peek_for_check("b").expose()) == bytes(5000) + key[5000:]


def test_no_secret_in_text(make_store: MakeStore) -> None:
    store, marker = make_store("node"), b"PLANTED-KEY-MARKER"
    add(store, "b", marker * 4)
    shown = [repr(store), repr(store.list_blocks()), repr(store.status()), repr(store.audit_entries())]
    for action in (
        lambda: add(store, "b", marker * 4),
        lambda: add(store, "c", marker * 4, origin="bad"),
        lambda: take(store, 8000),
        lambda: store.spend_at("peer", "link", [KeyRange("b", 0, 8)], purpose="x", reference="x"),
    ):
        try:
            action()
        except Error as error:
            shown.append("".join(traceback.format_exception(error)))
    spent = store.spend("peer", "link", 8 * len(marker), purpose="test", reference="1")
    shown += [repr(spent), str(spent), f"{spent.key}", repr(store.check())]
    assert len(shown) == 4 + 4 + 4
    for text in shown:
        assert "PLANTED" not in text
        assert marker.hex() not in text


def test_a_secret_resists_copies_and_wipes() -> None:
    secret = Secret(bytearray(b"PLANTED!"))
    assert repr(secret) == "<Secret of 64 bits>"
    assert secret == Secret(b"PLANTED!")
    assert secret != Secret(b"planted!")
    assert secret != b"PLANTED!"
    for leak in (pickle.dumps, deepcopy, hash, msgspec.json.encode):
        with pytest.raises(TypeError):
            leak(secret)  # type: ignore[operator]
    with pytest.raises(TypeError):
        secret.expose()[0] = 1
    with secret as open_secret:
        view = open_secret.expose()
        assert open_secret.xor(bytes(8)) == b"PLANTED!"
    assert bytes(view) == bytes(8)
    with pytest.raises(LocalProtocolError, match="wiped"):
        secret.expose()


# --- books


def test_status_and_books_add_up(make_store: MakeStore) -> None:
    store = make_store("node")
    add(store, "b1", key_bytes(100, "b1"), now_utc="2026-01-02T00:00:00Z")
    add(store, "b2", bytes(100), state="unconfirmed", now_utc="2026-01-01T00:00:00Z")
    add(store, "b3", bytes(100), peer="other")
    take(store, 80)
    store.discard_block("b3")
    rows = {row.link: row for row in store.status()}
    link = rows["peer link"]
    assert (link.live_bits, link.reserved_bits, link.spent_bits, link.unconfirmed_bits) == (720, 0, 80, 800)
    assert link.oldest_utc == "2026-01-01T00:00:00Z"
    assert rows["other link"].oldest_utc is None
    books = store.check()
    assert books.balanced, books.faults
    assert (books.distilled_bits, books.spent_bits, books.live_bits, books.wiped_bits) == (
        2400,
        80,
        1520,
        800,
    )


@pytest.mark.parametrize(
    ("tampering", "fault"),
    [
        ("DROP TRIGGER audit_no_update; UPDATE audit SET detail = '{}' WHERE number = 2", "chain"),
        ("DROP TRIGGER audit_no_delete; DELETE FROM audit WHERE number = 2", "chain"),
        ("DROP TRIGGER spends_no_delete; DELETE FROM spends", "used ranges"),
        ("DROP TRIGGER audit_no_delete; DELETE FROM audit WHERE number = 3", "used ranges"),
        ("DROP TRIGGER blocks_fixed; UPDATE blocks SET bits = 264", "blocks are not those"),
        ("UPDATE segments SET sealed = randomblob(60)", "damaged"),
        ("UPDATE segments SET sealed = zeroblob(2)", "damaged"),
        ("UPDATE segments SET segment = 1", "segments"),
        ("DROP TRIGGER block_keys_no_delete; DELETE FROM block_keys", "erased"),
    ],
)
def test_tampering_shows_in_the_books(make_store: MakeStore, tampering: str, fault: str) -> None:
    store = make_store("node")
    add(store, "b", key_bytes(32, "b"))
    take(store, 64)
    assert store.check().balanced
    store.close()
    connection = sqlite3.connect(store.path)
    connection.executescript(tampering)
    connection.close()
    with KeyStore.open(store.path) as again:
        books = again.check()
        assert not books.balanced
        assert any(fault in text for text in books.faults), books.faults
        assert again.verify_audit().intact == (fault != "chain")


def test_an_entry_forged_with_its_own_digest_breaks_the_next(make_store: MakeStore) -> None:
    store = make_store("node")
    for name in "bcd":
        add(store, name, key_bytes(32, name))
    store.close()
    connection = sqlite3.connect(store.path)
    connection.execute("DROP TRIGGER audit_no_update")
    row = connection.execute("SELECT previous, utc, event FROM audit WHERE number = 3").fetchone()
    sealed = row[0] + msgspec.json.encode([3, row[1], row[2], "{}"])
    forged = hashlib.sha256(sealed).digest()
    connection.execute("UPDATE audit SET detail = '{}', digest = ? WHERE number = 3", (forged,))
    connection.execute("UPDATE audit SET previous = ? WHERE number = 4", (forged,))
    connection.commit()
    connection.close()
    with KeyStore.open(store.path) as again:
        report = again.verify_audit()
    assert (report.intact, report.first_bad) == (False, 4)


def test_a_log_cut_at_its_end_shows_against_a_noted_head(make_store: MakeStore) -> None:
    store = make_store("node")
    add(store, "b", key_bytes(32, "b"))
    add(store, "c", key_bytes(32, "c"))
    noted = store.verify_audit()
    store.close()
    connection = sqlite3.connect(store.path)
    connection.executescript("DROP TRIGGER audit_no_delete; DELETE FROM audit WHERE number = 4")
    connection.close()
    with KeyStore.open(store.path) as again:
        report = again.verify_audit()
    assert report.intact
    assert (report.head, report.entries) != (noted.head, noted.entries)


def test_migrations_are_recorded(make_store: MakeStore) -> None:
    store = make_store("node")
    store.close()
    connection = sqlite3.connect(store.path)
    assert connection.execute("SELECT version, title FROM migrations").fetchall() == [
        (1, "blocks, ledger, relays, audit log"),
        (2, "raw blocks of pools"),
        (3, "journal of conversations"),
        (4, "user traffic"),
        (5, "sealed at rest, reservations, use log"),
        (6, "key network"),
        (7, "supply of keys with ids"),
        (8, "blocks pushed to a key server"),
    ]
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def full(store: KeyStore) -> None:
    """The file may have no page more."""
    (pages,) = store._database._driver.execute("PRAGMA page_count").fetchone()
    store._database._driver.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_is_told_as_such_from_inside_a_part_of_a_change(make_store: MakeStore) -> None:
    """SQLite undoes the whole change by itself then; that the part cannot be undone any more is no news."""
    store = make_store("node")
    full(store)
    with pytest.raises(ResourceError, match="disk is full; check disk space"), store.work():
        add(store, "small", key_bytes(8, "small"))
        add(store, "large", key_bytes(1 << 20, "large"))
    assert store.list_blocks() == []
    assert store.check().balanced


def test_nobody_goes_on_with_what_sqlite_undid(make_store: MakeStore) -> None:
    """Else what comes after the error passed over would be a change of its own, and the first half gone."""
    store = make_store("node")
    full(store)
    with pytest.raises(ResourceError, match="undone by the database; nothing of it is kept"), store.work():
        add(store, "first", key_bytes(8, "first"))
        with suppress(ResourceError):
            add(store, "large", key_bytes(1 << 20, "large"))
        add(store, "last", key_bytes(8, "last"))
    assert store.list_blocks() == []
    with pytest.raises(ResourceError, match="undone by the database"), store.work():
        add(store, "first", key_bytes(8, "first"))
        with suppress(ResourceError):
            add(store, "large", key_bytes(1 << 20, "large"))
    assert store.list_blocks() == []


def test_a_part_of_a_change_that_raises_is_undone_alone(make_store: MakeStore) -> None:
    """What comes before it and after it in the change is kept."""
    store = make_store("node")
    with store.work():
        add(store, "first", key_bytes(8, "first"))
        with pytest.raises(ZeroDivisionError), store.transaction():
            add(store, "within", key_bytes(8, "within"))
            raise ZeroDivisionError
        add(store, "last", key_bytes(8, "last"))
    assert [row.block_id for row in store.list_blocks()] == ["first", "last"]
    assert store.check().balanced
    assert store.verify_audit().intact
