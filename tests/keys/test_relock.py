"""Another lock, another root key: what opens the store, what does not any more, and that nothing is lost."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from keys_cases import NOW, give, key_bytes
from sqlalchemy import insert

from satqkd.errors import ConfigError, DataFormatError
from satqkd.keys import Journal, KeyStore, RawShelf
from satqkd.keys.at_rest.unlock import KeyFile, Passphrase
from satqkd.keys.care.relock import HOLDERS, change_lock, change_root
from satqkd.keys.ledger import ledger, push_outbox, push_streams
from satqkd.keys.push.intake import StoreIntake
from satqkd.keys.push_door import PushedBlock
from satqkd.keys.secret import Secret
from satqkd.keys.sql import cells
from satqkd.keys.sql.cells import ERASED
from satqkd.keys.sql.tables import TABLES
from satqkd.keys.sql.traffic_schema import INBOX
from satqkd.keys.supply.key_supply import KeySupply
from satqkd.keys.supply_door import KeyRequest
from satqkd.keys.traffic import Draft, content_of, outgoing, queue

Make = Callable[[str], KeyStore]


@pytest.fixture
def full(make_store: Make) -> KeyStore:
    """A store with something in every column that is sealed."""
    store, other = make_store("graz"), make_store("wien")
    give(store, other, "relay:sat:1", key_bytes(20_000, "pair"))
    give(store, other, "relay:sat:2", key_bytes(64, "all used"))
    store.spend("wien", "pair", 80, purpose="test", reference="", now_utc=NOW)
    RawShelf(store, "wien", origin="hardware").keep(
        "raw-1", b"raw detections", pool="p", sifted_bits=1, detections=3, now_utc=NOW
    )
    supply = KeySupply(store)
    for peer in ("wien", "graz"):
        supply.draw(KeyRequest(peer=peer, master="a", slaves=("b",), count=1, size_bits=256), now_utc=NOW)
    supply.close(now_utc=NOW)
    journal = Journal(store, "wien")
    journal.begin("p1", parameters=b"{}", epoch_utc=NOW)
    journal.remember("p1", b"memory")
    journal.append("p1", 1, "input", b"entry")
    journal.put("p1", 7, b"message")
    with store.transaction() as connection:
        content, token = (
            cells.seal(connection, cells.inbox_place("wien", 3, name), name.encode())
            for name in ("content", "token")
        )
        row = {"sender": "wien", "number": 3, "name": "", "is_text": 1, "urgent": 0, "size_bytes": 7}
        row |= {"key_bits": 0, "origin": "hardware", "received_utc": NOW, "content": content, "token": token}
        connection.execute(insert(INBOX).values(**row))
    draft = {"receiver": "wien", "name": "", "is_text": True, "urgent": False, "demo": False}
    give(store, other, "relay:sat:3", key_bytes(64, "pushed"))
    with store.transaction() as connection:
        push_outbox.set_out(connection, ledger.find_block(connection, "relay:sat:3"), "s", NOW)
    told = PushedBlock(
        block_id="relay:sat:4", peer="wien", origin="hardware", paths=(), bits=800, own_from_bits=0,
        own_until_bits=0, created_utc=NOW,
    )  # fmt: skip
    intake = StoreIntake(store, "node", chunk_bytes=50)
    intake.open("t", "graz", told, now_utc=NOW)
    intake.take("t", 0, memoryview(bytes(range(50))), now_utc=NOW)
    queue(store, Draft(policy="wait", content=b"hello", **draft), now_utc=NOW)
    return store


def cells_of(path: Path) -> dict[tuple[str, str], set[bytes]]:
    """All bytes of a store by table and column, by SQLite alone."""
    found: dict[tuple[str, str], set[bytes]] = {}
    with sqlite3.connect(path) as connection:
        for table in TABLES:
            columns = [
                row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[2] == "BLOB"
            ]
            for column in columns:
                rows = connection.execute(f"SELECT {column} FROM {table} WHERE length({column}) > 0")
                found[table, column] = {bytes(row[0]) for row in rows}
    return found


def test_the_tables_are_all_there_are(full: KeyStore) -> None:
    with sqlite3.connect(full.path) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names == {*TABLES, "migrations", "sqlite_sequence"}
    assert len(set(TABLES)) == len(TABLES)


def test_another_lock_opens_the_store_and_the_old_one_does_not(full: KeyStore, tmp_path: Path) -> None:
    words, old = Passphrase(lambda: "some words", log2_n=4), KeyFile(f"{full.path}.key")
    before = full.list_blocks()
    change_lock(full, words, now_utc=NOW)
    assert full.peek_for_check("relay:sat:1").bits == 160_000
    full.close()
    with pytest.raises(ConfigError, match="locked by a passphrase"):
        KeyStore.open(full.path, lock=old)
    with KeyStore.open(full.path, lock=words) as again:
        assert again.list_blocks() == before
        assert again.check().balanced
        assert again.audit_entries()[-1]["event"] == "lock changed"
        change_lock(again, old, now_utc=NOW)
    with KeyStore.open(full.path) as again:
        assert again.check().balanced


def test_a_lock_that_does_not_open_what_it_wrapped_changes_nothing(full: KeyStore) -> None:
    class Broken:
        word = b"broken"

        def wrap(self, root: Secret) -> bytes:
            return b"x"

        def unwrap(self, wrapped: bytes) -> Secret:
            return Secret(os.urandom(32))

    for change in (change_lock, change_root):
        with pytest.raises(ConfigError, match="does not give back"):
            change(full, Broken(), now_utc=NOW)
    full.close()
    with KeyStore.open(full.path) as again:
        assert again.check().balanced


def test_a_new_root_seals_every_cell_anew_and_loses_nothing(full: KeyStore, tmp_path: Path) -> None:
    path, lock = full.path, KeyFile(f"{full.path}.key")
    before, key = cells_of(path), bytes(full.peek_for_check("relay:sat:1").expose())
    rows = full.list_blocks()
    change_root(full, lock, now_utc=NOW)
    after = cells_of(path)
    sealed = {(holder.table.name, holder.cell) for holder in HOLDERS}
    sealed |= {("segments", "sealed"), ("block_keys", "wrapped")}
    full_ones = {name for name, found in before.items() if found}
    assert sealed - {("outbox", "token")} <= full_ones
    for name in full_ones:
        if name in sealed:
            assert not before[name] & after[name], name
            assert len(before[name]) == len(after[name]), name
        else:
            assert before[name] == after[name] or name[0] == "audit", name
    for store in (full, None):  # as it is, and opened anew
        with store or KeyStore.open(path) as opened:
            assert opened.list_blocks() == rows
            assert bytes(opened.peek_for_check("relay:sat:1").expose()) == key
            assert opened.check().balanced
            assert [row.state for row in outgoing(opened)] == ["waiting"]
            assert content_of(opened, "wien", 3) == b"content"
            journal = Journal(opened, "wien")
            assert (journal.memory("p1"), journal.entries("p1", "input")) == (b"memory", [b"entry"])
            assert list(journal.outbox("p1", start=0)) == [(7, b"message")]
            with opened.snapshot() as connection:
                assert bytes(push_outbox.bytes_of(connection, "s").expose()) == key_bytes(64, "pushed")
                stream = push_streams.find(connection, "t")
                push_streams.require_same(connection, stream, 0, memoryview(bytes(range(50))))
    with KeyStore.open(path) as opened:
        shelf = RawShelf(opened, "wien", origin="hardware")
        assert shelf.take(["raw-1"], reference="r") == [b"raw detections"]
        supply = KeySupply(opened)
        batch = supply.draw(
            KeyRequest(peer="wien", master="a", slaves=("b",), count=2, size_bits=256), now_utc=NOW
        )
        assert bytes(batch.keys.expose()) == key_bytes(20_000, "pair")[10 + 32 : 10 + 96]
        supply.close(now_utc=NOW)


def test_the_rules_hold_again_after_a_new_root(full: KeyStore) -> None:
    def rules() -> list[tuple[str, ...]]:
        with sqlite3.connect(full.path) as connection:
            return connection.execute(
                "SELECT name, sql FROM sqlite_master WHERE type='trigger' ORDER BY 1"
            ).fetchall()

    before = rules()
    change_root(full, KeyFile(f"{full.path}.key"), now_utc=NOW)
    assert rules() == before
    assert len(before) > 20


def test_old_copies_do_not_open_by_a_lock_that_is_new(full: KeyStore, tmp_path: Path) -> None:
    """Nor do old segments, put into the new store, open by the new root."""
    path, new = full.path, KeyFile(tmp_path / "new.key")
    with sqlite3.connect(path) as connection:
        old_cells = connection.execute("SELECT block_pk, segment, sealed FROM segments").fetchall()
    copy = tmp_path / "copy.db"
    with sqlite3.connect(path) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    change_root(full, new, now_utc=NOW)
    full.close()
    with pytest.raises(ConfigError, match="does not open"):
        KeyStore.open(copy, lock=new, read_only=True).peek_for_check("relay:sat:1")
    with sqlite3.connect(path) as connection:
        for pk, number, sealed in old_cells:
            connection.execute(
                "UPDATE segments SET sealed = ? WHERE block_pk = ? AND segment = ?", (sealed, pk, number)
            )
    with KeyStore.open(path, lock=new) as opened, pytest.raises(DataFormatError):
        opened.peek_for_check("relay:sat:1")


def test_a_kill_leaves_the_old_root_or_the_new(full: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from satqkd.keys.care import relock

    lock = KeyFile(f"{full.path}.key")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(relock, "_write_root", killed)
        with pytest.raises(KeyboardInterrupt):
            change_root(full, lock, now_utc=NOW)
    assert full.check().balanced
    full.close()
    with KeyStore.open(full.path, lock=lock) as opened:
        assert opened.check().balanced
        assert opened.spend("wien", "pair", 8, purpose="t", reference="", now_utc=NOW).key.bits == 8


def test_what_is_erased_stays_erased(full: KeyStore) -> None:
    full.discard_block("relay:sat:2", now_utc=NOW)
    change_root(full, KeyFile(f"{full.path}.key"), now_utc=NOW)
    with sqlite3.connect(full.path) as connection:
        (wrapped,) = connection.execute(
            "SELECT wrapped FROM block_keys JOIN blocks ON pk = block_pk WHERE block_id = 'relay:sat:2'"
        ).fetchone()
    assert wrapped == ERASED
