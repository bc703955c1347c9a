"""Damaged, cut and missing files: either the store works, or it says what is wrong; it never gives wrong key.

Each page of the file is damaged in turn, the file cut at every sector, the use log garbled, the key file
taken away. What comes is an error of the tree with what to do, and the store is as good as before where the
damage is undone.
"""

import errno
import os
import random
import resource
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from satqkd.errors import ConfigError, DataFormatError, Error, KeyExhausted, ResourceError, StoreRestored
from satqkd.keys import KeyRange, KeyStore
from satqkd.keys.at_rest.unlock import Command, Passphrase
from satqkd.keys.supply.key_supply import KeySupply
from satqkd.keys.supply_door import KeyRequest

NOW = "2026-01-02T03:04:05Z"
KEY = random.Random("pair").randbytes(6000)
PAGE_BYTES = 4096
USED_BYTES = 700
"""Given by the store before it is damaged: from the start of the block."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed store with some of everything in it."""
    path = tmp_path / "graz.db"
    with KeyStore.create(path, "graz") as store:
        words = {"peer": "wien", "origin": "hardware", "now_utc": NOW, "state": "confirmed"}
        store.add_block("pair", kind="pair", key=KEY, **words)  # type: ignore[arg-type]
        store.add_block("auth", kind="auth", key=KEY[:300], **words)  # type: ignore[arg-type]
        for _ in range(7):
            store.spend("wien", "pair", 800, purpose="test", reference="", now_utc=NOW).key.wipe()
        supply = KeySupply(store)
        supply.draw(KeyRequest(peer="graz", master="a", slaves=("b",), count=2, size_bits=256), now_utc=NOW)
    return path


def try_all(path: Path) -> list[str]:
    """Use a store in all ways; the errors that come, all of the tree. Checks the key that comes."""
    errors: list[str] = []

    def attempt(work: Callable[[KeyStore], object]) -> None:
        try:
            with KeyStore.open(path) as store:
                work(store)
        except Error as error:
            assert str(error)
            errors.append(f"{type(error).__name__}: {error}")

    attempt(_check)
    attempt(lambda store: (store.status(), store.list_blocks(), store.audit_entries(), store.verify_audit()))
    attempt(_spend)
    attempt(_draw)
    attempt(lambda store: store.draw_auth("wien", position_bits=0, bits=256, purpose="x", now_utc=NOW))
    attempt(_spend)
    return errors


def _check(store: KeyStore) -> None:
    report = store.check()
    if not report.balanced:
        raise DataFormatError(f"check: {report.faults}")


def _spend(store: KeyStore) -> None:
    spent = store.spend("wien", "pair", 256, purpose="test", reference="", now_utc=NOW)
    key = b"".join(KEY[each.offset_bits // 8 : each.end_bits // 8] for each in spent.ranges)
    assert bytes(spent.key.expose()) == key, "wrong key was given"
    assert all(each.offset_bits >= 8 * USED_BYTES for each in spent.ranges), "key was given twice"


def _draw(store: KeyStore) -> None:
    supply = KeySupply(store, reserved_bits=4096)
    batch = supply.draw(
        KeyRequest(peer="wien", master="a", slaves=("b",), count=4, size_bits=128), now_utc=NOW
    )
    assert KEY.find(bytes(batch.keys.expose())) >= USED_BYTES, "wrong key was given"
    supply.close(now_utc=NOW)


@contextmanager
def changed(path: Path, content: bytes) -> Iterator[Path]:
    """A store with another content of its file, in a folder of its own."""
    folder = path.parent / "changed"
    folder.mkdir()
    for suffix in (".key", ".uses"):
        shutil.copy(f"{path}{suffix}", folder)
    (folder / path.name).write_bytes(content)
    yield folder / path.name
    shutil.rmtree(folder)


def damaged(whole: bytes, page: int, how: str, rng: random.Random) -> bytes:
    """A copy with one page damaged."""
    content = bytearray(whole)
    start = page * PAGE_BYTES
    if how == "zeros":
        content[start : start + PAGE_BYTES] = bytes(PAGE_BYTES)
    elif how == "garbage":
        content[start : start + PAGE_BYTES] = rng.randbytes(PAGE_BYTES)
    else:
        used = [i for i in range(start, start + PAGE_BYTES) if content[i]]
        for _ in range(3):
            content[rng.choice(used or [start])] ^= 1 << rng.randrange(8)
    return bytes(content)


@pytest.mark.parametrize("how", ["zeros", "garbage", "bits", "other bits"])
def test_a_damaged_page_gives_no_wrong_key(path: Path, how: str) -> None:
    whole, rng = path.read_bytes(), random.Random(how)
    told = 0
    for page in range(len(whole) // PAGE_BYTES):
        with changed(path, damaged(whole, page, how, rng)) as copy:
            told += bool(try_all(copy))
    assert told


def test_a_file_cut_at_any_sector_gives_no_wrong_key(path: Path) -> None:
    whole, told = path.read_bytes(), 0
    for length in range(0, len(whole), 512):
        with changed(path, whole[:length]) as copy:
            told += bool(try_all(copy))
    assert told >= len(whole) // 512 - PAGE_BYTES // 512, "all but what is in the last page, perhaps"
    with changed(path, whole) as copy:
        assert not try_all(copy)


def test_key_that_the_ledger_forgot_is_not_given_as_zeros(path: Path) -> None:
    """Whoever changes the ledger finds no key where it was used; zeros would be a key that anybody knows."""
    with sqlite3.connect(path) as driver:
        driver.execute("DROP TRIGGER spends_no_delete")
        driver.execute("DELETE FROM spends")
    driver.close()
    with KeyStore.open(path) as store:
        for bits in (64, 256, 8 * USED_BYTES + 256):
            with pytest.raises(DataFormatError, match="counts as unused is wiped"):
                store.spend("wien", "pair", bits, purpose="test", reference="", now_utc=NOW)
        with pytest.raises(DataFormatError, match="counts as unused is wiped"):
            _draw(store)
        assert not store.check().balanced


# --- what lies beside the file


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_a_use_log_that_is_cut_is_refused_or_settled(path: Path, cut: int) -> None:
    uses = Path(f"{path}.uses")
    whole = uses.read_bytes()
    uses.write_bytes(whole[: max(0, len(whole) - cut)])
    errors = try_all(path)
    assert not errors or all("satqkd keys recover" in error for error in errors)
    uses.write_bytes(whole)
    if errors:
        assert not try_all(path)


@pytest.mark.parametrize("seed", range(30))
def test_a_garbled_use_log_is_refused_or_does_no_harm(path: Path, seed: int) -> None:
    uses, rng = Path(f"{path}.uses"), random.Random(seed)
    whole = uses.read_bytes()
    garbled = bytearray(whole)
    for _ in range(rng.choice((1, 5, 50))):
        garbled[rng.randrange(len(garbled))] = rng.randrange(256)
    uses.write_bytes(garbled)
    errors = try_all(path)
    if errors:
        uses.write_bytes(whole)
        assert not try_all(path), "nothing is wrong with the store itself"


def test_without_its_key_file_or_with_another_the_store_says_so(path: Path, tmp_path: Path) -> None:
    key = Path(f"{path}.key")
    content = key.read_bytes()
    key.unlink()
    for error in try_all(path):
        assert "cannot read the store's key file" in error
    assert not key.exists(), "no new key is made for a store that there is"
    for other, told in (
        (bytes(32), "this key file does not open"),
        (bytes(31), "expected a key file of 32 bytes"),
    ):
        key.write_bytes(other)
        for error in try_all(path):
            assert told in error
    key.write_bytes(content)
    assert not try_all(path)


def test_another_lock_than_the_stores_is_told_by_its_kind(path: Path) -> None:
    for lock in (Passphrase(lambda: "words"), Command(["false"])):
        with pytest.raises(ConfigError, match="locked by a file"):
            KeyStore.open(path, lock=lock)
    assert not try_all(path)


def test_a_wrong_passphrase_and_a_command_that_fails(tmp_path: Path) -> None:
    words = Passphrase(lambda: "right", log2_n=4)
    KeyStore.create(tmp_path / "one.db", "graz", lock=words).close()
    for said, told in (("wrong", "this passphrase does not open"), ("", "expected some words")):
        with pytest.raises(ConfigError, match=told):
            KeyStore.open(tmp_path / "one.db", lock=Passphrase(lambda said=said: said))  # type: ignore[misc]
    KeyStore.open(tmp_path / "one.db", lock=words).close()
    KeyStore.create(tmp_path / "two.db", "graz", lock=Command(["sh", "-c", "cat"])).close()
    for argv, error, told in (
        (["sh", "-c", "exit 3"], ResourceError, "exit code 3 and 0 bytes; try the command by hand"),
        (["/no/such/program"], ResourceError, "cannot be run"),
        (["sh", "-c", "echo hello"], ConfigError, "expected 32 bytes"),
        (["sh", "-c", "head -c 32 /dev/zero"], DataFormatError, "damaged|moved"),
    ):
        with (
            pytest.raises(error, match=told),
            KeyStore.open(tmp_path / "two.db", lock=Command(argv)) as store,
        ):
            store.add_block("b", peer="wien", kind="pair", origin="hardware", key=KEY, now_utc=NOW)
            store.peek_for_check("b")
            raise DataFormatError("a wrong root went unnoticed: damaged")
    KeyStore.open(tmp_path / "two.db", lock=Command(["sh", "-c", "cat"])).close()


# --- no room, no right to write


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process grows beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_files_that_may_not_grow_cost_no_more_than_the_call(path: Path) -> None:
    """At any size: the call fails with what to do, or succeeds; then there is room again."""
    given: set[KeyRange] = set()
    for size in [0, 100, 600, 700, *range(1000, 400_000, 19_000)]:
        with largest_file(size):
            for error in try_failing(path, given):
                assert "disk space" in error or "cannot" in error, error
        with KeyStore.open(path) as store:
            report = store.check()
            assert report.balanced, report.faults
    assert given


def try_failing(path: Path, given: set[KeyRange]) -> list[str]:
    """Open, spend twice, close, where all of it may fail."""
    errors = []
    try:
        with KeyStore.open(path) as store:
            for _ in range(2):
                try:
                    spent = store.spend("wien", "pair", 64, purpose="test", reference="", now_utc=NOW)
                    assert not given & set(spent.ranges), "key was given twice"
                    given |= set(spent.ranges)
                except Error as error:
                    errors.append(str(error))
    except Error as error:
        errors.append(str(error))
    return errors


def test_a_full_use_log_uses_no_key(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fdatasync

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with KeyStore.open(path) as store:
        before = store.check().spent_bits
        monkeypatch.setattr(os, "fdatasync", full)
        for _ in range(3):
            with pytest.raises(ResourceError, match="no key was used; check disk space"):
                store.spend("wien", "pair", 64, purpose="test", reference="", now_utc=NOW)
        monkeypatch.setattr(os, "fdatasync", sync)
        assert store.check().spent_bits == before
        _spend(store)
    assert not try_all(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
@pytest.mark.parametrize("closed", ["", ".uses", "folder"])
def test_what_may_not_be_written_is_named(path: Path, closed: str) -> None:
    target = path.parent if closed == "folder" else Path(f"{path}{closed}")
    mode = target.stat().st_mode
    target.chmod(0o500 if closed == "folder" else 0o400)
    try:
        errors = try_all(path)
        assert errors
        assert all("cannot" in error for error in errors)
    finally:
        target.chmod(mode)
    assert not try_all(path)


def test_a_file_system_that_is_read_only_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the superuser sees it too: opening for writing fails."""
    true = os.open

    def read_only(name: object, flags: int, *rest: int, **more: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return true(name, flags, *rest, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", read_only)
        with pytest.raises(ResourceError, match="Read-only file system"):
            KeyStore.open(path)
    assert not try_all(path)


def test_a_lost_use_log_says_what_to_do_and_that_helps(path: Path) -> None:
    Path(f"{path}.uses").unlink()
    with pytest.raises(StoreRestored, match="keys recover --discard"):
        KeyStore.open(path)
    KeyStore.recover(path, discard=True)
    with KeyStore.open(path) as store, pytest.raises(KeyExhausted):
        _spend(store)
