"""Backups: what comes back is the store, and no bit that was used since is used again."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keys_cases import NOW, give, key_bytes

from satqkd.errors import (
    ConfigError,
    DataFormatError,
    KeyAlreadyUsed,
    KeyExhausted,
    KeyNotFound,
    KeyStoreError,
    ResourceError,
    StoreRestored,
)
from satqkd.keys import Journal, KeyStore, RawShelf
from satqkd.keys.at_rest.unlock import KeyFile
from satqkd.keys.care.backup import read_header, write_backup
from satqkd.keys.care.restore import RestoreReport, restore
from satqkd.keys.store.opening import Place
from satqkd.keys.store.retirement import revoke_peer
from satqkd.keys.supply.key_supply import KeySupply
from satqkd.keys.supply_door import KeyRequest

Make = Callable[[str], KeyStore]
KEY = key_bytes(4000, "pair")


@pytest.fixture
def store(make_store: Make) -> KeyStore:
    one = make_store("graz")
    give(one, make_store("wien"), "relay:sat:1", KEY)
    return one


def back_up(store: KeyStore, name: str = "backup") -> Path:
    path = store.path.parent / name
    with path.open("wb") as file:
        write_backup(store, file, now_utc=NOW)
    return path


def lose(store: KeyStore) -> Path:
    """The file is gone; key file and use log are left."""
    path = store.path
    store.close()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    return path


def bring_back(path: Path, backup: Path, *, discard: bool = False) -> RestoreReport:
    return restore(backup, Place(str(path)), discard=discard, now_utc=NOW)


def spend(store: KeyStore, bits: int) -> bytes:
    spent = store.spend("wien", "pair", bits, purpose="test", reference="", now_utc=NOW)
    return bytes(spent.key.expose())


def test_nothing_that_was_used_since_is_given_again(store: KeyStore) -> None:
    first = spend(store, 800)
    backup = back_up(store)
    second = spend(store, 1600)
    path = lose(store)
    report = bring_back(path, backup)
    assert (report.node_id, report.skipped_bits, report.wiped_bits) == ("graz", 1600, 0)
    with KeyStore.open(path) as again:
        third = spend(again, 800)
        assert first + second + third == KEY[:400]
        books = again.check()
        assert books.balanced, books.faults
        assert again.verify_audit().intact


def test_what_was_used_before_is_in_the_books(store: KeyStore) -> None:
    spend(store, 800)
    rows, status = store.list_blocks(), store.status()
    entries = store.audit_entries()
    path, backup = store.path, back_up(store)
    lose(store)
    bring_back(path, backup)
    with KeyStore.open(path) as again:
        assert (again.list_blocks(), again.status()) == (rows, status)
        assert again.audit_entries()[: len(entries)] == entries
        assert [each["event"] for each in again.audit_entries()[len(entries) :]] == ["restored", "recovered"]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_history_of_uses_backups_and_losses_gives_each_bit_once(data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graz.db"
        store = KeyStore.create(path, "graz")
        store.add_block(
            "b", peer="wien", kind="pair", origin="hardware", key=KEY[:200], state="confirmed", now_utc=NOW
        )
        given_out, backups = b"", [back_up(store, "0")]
        for step in data.draw(st.lists(st.sampled_from(["use", "back up", "lose"]), max_size=8)):
            if step == "use":
                try:
                    given_out += spend(store, 8 * data.draw(st.integers(1, 12)))
                except KeyExhausted:
                    continue
            elif step == "back up":
                backups.append(back_up(store, str(len(backups))))
            else:
                lose(store)
                bring_back(path, data.draw(st.sampled_from(backups)))
                store = KeyStore.open(path)
                assert store.check().balanced
        store.close()
        assert given_out == KEY[: len(given_out)]


def test_without_its_use_log_only_a_store_without_key_comes_back(store: KeyStore) -> None:
    spend(store, 800)
    backup = back_up(store)
    path = lose(store)
    Path(f"{path}.uses").unlink()
    with pytest.raises(KeyStoreError, match="--discard"):
        bring_back(path, backup)
    assert not path.exists()
    assert not Path(f"{path}.lock").exists()
    report = bring_back(path, backup, discard=True)
    assert report.wiped_bits == 8 * len(KEY) - 800
    with KeyStore.open(path) as again:
        assert again.check().balanced
        with pytest.raises(KeyExhausted):
            spend(again, 8)


def test_a_use_log_that_is_older_than_the_backup_is_none(store: KeyStore) -> None:
    spend(store, 8)
    old = Path(f"{store.path}.uses").read_bytes()
    spend(store, 8)
    spend(store, 8)
    backup = back_up(store)
    path = lose(store)
    Path(f"{path}.uses").write_bytes(old)
    with pytest.raises(KeyStoreError):
        bring_back(path, backup)
    assert bring_back(path, backup, discard=True).wiped_bits


def test_discard_is_refused_where_the_log_knows_all(store: KeyStore) -> None:
    backup = back_up(store)
    path = lose(store)
    with pytest.raises(KeyStoreError, match="without"):
        bring_back(path, backup, discard=True)


def test_a_store_and_its_restored_copy_that_share_a_log_are_never_used_both(store: KeyStore) -> None:
    """One at a time, and whichever is behind is refused."""
    backup = back_up(store)
    log, original = Path(f"{store.path}.uses"), store.path
    copy = Place(str(original.parent / "copy.db"), KeyFile(f"{original}.key"), log)
    words = {"lock": copy.lock, "uses": log}
    with pytest.raises(ResourceError, match="use log open"):
        restore(backup, copy, discard=False, now_utc=NOW)
    given_out = spend(store, 800)
    store.close()
    restore(backup, copy, discard=False, now_utc=NOW)
    with KeyStore.open(original) as one, pytest.raises(ResourceError, match="use log open"):
        given_out += spend(one, 8) + spend(one, 8)
        KeyStore.open(copy.address, **words)
    with pytest.raises(StoreRestored):
        KeyStore.open(copy.address, **words)
    KeyStore.recover(copy.address, **words)
    with KeyStore.open(copy.address, **words) as two:
        given_out += spend(two, 800) + spend(two, 800)
    with pytest.raises(StoreRestored):
        KeyStore.open(original)
    assert given_out == KEY[: len(given_out)]


def test_a_store_is_not_written_over(store: KeyStore) -> None:
    backup = back_up(store)
    with pytest.raises(ResourceError):
        bring_back(store.path, backup)
    assert store.check().balanced


def test_a_block_that_came_after_the_backup_is_not_stored_again(make_store: Make, store: KeyStore) -> None:
    """Its key may be at hand still: a file to import, a recorded pass."""
    backup = back_up(store)
    give(store, make_store("xian"), "import:fibre", key_bytes(64, "fibre"))
    untouched = key_bytes(64, "untouched")
    words = {"kind": "pair", "origin": "hardware", "state": "confirmed", "now_utc": NOW}
    store.add_block("import:untouched", peer="xian", key=untouched, **words)
    store.spend("xian", "pair", 8, purpose="t", reference="", now_utc=NOW)
    path = lose(store)
    bring_back(path, backup)
    with KeyStore.open(path) as again:
        with pytest.raises(KeyAlreadyUsed, match="put back"):
            again.add_block("import:fibre", peer="xian", key=key_bytes(64, "fibre"), **words)
        again.add_block("import:untouched", peer="xian", key=untouched, **words)


def test_a_block_that_was_confirmed_and_used_after_the_backup_is_not_confirmed_again(store: KeyStore) -> None:
    words = {"kind": "pair", "origin": "hardware", "now_utc": NOW}
    store.add_block("late", peer="wien", key=key_bytes(4000, "late"), **words)
    backup = back_up(store)
    store.confirm_block("late", now_utc=NOW)
    spend(store, 16_000 + 800)
    path = lose(store)
    bring_back(path, backup)
    with KeyStore.open(path) as again:
        with pytest.raises(KeyStoreError, match="discarded"):
            again.confirm_block("late", now_utc=NOW)
        assert again.check().balanced


def test_what_was_reserved_or_waiting_in_the_backup_is_lost(store: KeyStore) -> None:
    supply = KeySupply(store, reserved_bits=8192)
    request = {"master": "a", "slaves": ("b",), "size_bits": 256}
    supply.draw(KeyRequest(peer="wien", count=1, **request), now_utc=NOW)
    local = supply.draw(KeyRequest(peer="graz", count=1, **request), now_utc=NOW)
    backup = back_up(store)
    supply.fetch("graz", master="a", slave="b", key_ids=local.ids, now_utc=NOW)
    path = lose(store)
    assert bring_back(path, backup).held_keys == 1
    with KeyStore.open(path) as again:
        assert again.check().reserved_bits == 0
        assert again.check().balanced
        with pytest.raises(KeyNotFound):
            KeySupply(again).fetch("graz", master="a", slave="b", key_ids=local.ids, now_utc=NOW)


def test_passes_under_way_and_raw_blocks_are_given_up(store: KeyStore) -> None:
    Journal(store, "sat").begin("p1", parameters=b"{}", epoch_utc=NOW)
    shelf = RawShelf(store, "sat", origin="hardware")
    shelf.keep("raw-1", b"raw", pool="p", sifted_bits=1, detections=3, now_utc=NOW)
    backup = back_up(store)
    path = lose(store)
    assert bring_back(path, backup).conversations == 1
    with KeyStore.open(path) as again:
        assert Journal(again, "sat").unfinished() == []
        with pytest.raises(KeyAlreadyUsed):
            RawShelf(again, "sat", origin="hardware").take(["raw-1"], reference="r")


def test_key_that_was_revoked_since_does_not_come_back(store: KeyStore) -> None:
    backup = back_up(store)
    revoke_peer(store, "wien", reason="lost", now_utc=NOW)
    path = lose(store)
    bring_back(path, backup)
    with KeyStore.open(path) as again, pytest.raises(KeyExhausted):
        spend(again, 8)


def test_every_changed_byte_and_every_cut_is_refused(store: KeyStore, tmp_path: Path) -> None:
    whole = back_up(store).read_bytes()
    path, changed = lose(store), tmp_path / "changed"
    places = [
        *range(64),
        *random.Random(1).sample(range(len(whole)), 60),
        *range(len(whole) - 40, len(whole)),
    ]
    for place in places:
        data = bytearray(whole)
        data[place] ^= 1
        changed.write_bytes(data)
        with pytest.raises((DataFormatError, ConfigError)):
            bring_back(path, changed)
        changed.write_bytes(whole[:place])
        with pytest.raises((DataFormatError, ConfigError)):
            bring_back(path, changed)
        assert not path.exists()
    changed.write_bytes(whole + b"x")
    with pytest.raises(DataFormatError):
        bring_back(path, changed)


def test_another_lock_does_not_open_a_backup(store: KeyStore, tmp_path: Path) -> None:
    backup = back_up(store)
    path = lose(store)
    Path(f"{path}.key").write_bytes(bytes(32))
    with pytest.raises(ConfigError, match="does not open"):
        bring_back(path, backup)


def test_neither_key_nor_lock_nor_use_log_is_in_a_backup(store: KeyStore) -> None:
    spend(store, 8)
    data = back_up(store).read_bytes()
    assert not any(KEY[i : i + 16] in data for i in range(0, len(KEY), 16))
    assert Path(f"{store.path}.key").read_bytes() not in data
    assert Path(f"{store.path}.uses").read_bytes()[:40] not in data
    header = read_header(store.path.parent / "backup")
    assert (header.node_id, header.uses, header.made_utc) == ("graz", {"main": 1}, NOW)


def test_a_backup_is_one_view_of_a_store_that_another_process_writes(store: KeyStore) -> None:
    """What it writes while the backup is read is not in it, and the log knows it."""

    class Slow:
        def __init__(self) -> None:
            self.data = b""

        def write(self, data: bytes) -> None:
            if not self.data:
                spend(store, 800)
            self.data += data

    target = Slow()
    with KeyStore.open(store.path, read_only=True) as reader:
        write_backup(reader, target, now_utc=NOW)  # type: ignore[arg-type]
    backup = store.path.parent / "backup"
    backup.write_bytes(target.data)
    assert read_header(backup).uses == {} or read_header(backup).uses == {"main": 0}
    path = lose(store)
    assert bring_back(path, backup).skipped_bits == 800


def test_a_copy_that_was_put_back_by_hand_is_refused_until_it_is_recovered(store: KeyStore) -> None:
    spend(store, 8)
    copy = store.path.parent / "copy"
    store.close()
    shutil.copy(store.path, copy)
    with KeyStore.open(store.path) as opened:
        spend(opened, 800)
        spend(opened, 800)
    shutil.copy(copy, store.path)
    with pytest.raises(StoreRestored, match="keys recover"):
        KeyStore.open(store.path)
    assert KeyStore.recover(store.path).skipped_bits == 1600
    with KeyStore.open(store.path) as opened:
        assert spend(opened, 8) == KEY[201:202]


def test_a_kill_during_a_restore_leaves_no_store(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from satqkd.keys.care import restore as module

    backup = back_up(store)
    path = lose(store)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "settle_with_logs", killed)
        with pytest.raises(KeyboardInterrupt):
            bring_back(path, backup)
    assert not path.exists()
    bring_back(path, backup)
    with KeyStore.open(path) as again:
        assert again.check().balanced
