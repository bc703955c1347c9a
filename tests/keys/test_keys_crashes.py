"""What a crash leaves is settled at the next start, whatever it was, and no copy put back passes for one."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from keys_cases import NOW, give, key_bytes
from sqlalchemy import Connection

from kill_points import Killed, KillPoints
from satqkd.errors import (
    DataFormatError,
    KeyAlreadyUsed,
    KeyExhausted,
    KeyNotFound,
    KeyStoreError,
    ResourceError,
    StoreRestored,
)
from satqkd.keys import KeyStore
from satqkd.keys.at_rest import unlock
from satqkd.keys.at_rest.unlock import KeyFile
from satqkd.keys.secret import Secret
from satqkd.keys.sql.database import Database
from satqkd.keys.supply.key_supply import KeySupply
from satqkd.keys.supply_door import KeyBatch, KeyRequest

Make = Callable[[str], KeyStore]
Ends = tuple[KeyStore, KeyStore]
KEY = key_bytes(1024, "pair")


@pytest.fixture
def ends(make_store: Make) -> Ends:
    graz, wien = make_store("graz"), make_store("wien")
    give(graz, wien, "b", KEY)
    return graz, wien


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> KillPoints:
    return KillPoints(monkeypatch)


def spend(store: KeyStore, bits: int = 64) -> bytes:
    spent = store.spend("wien", "pair", bits, purpose="test", reference="", now_utc=NOW)
    return bytes(spent.key.expose())


def request(peer: str, count: int = 2, slaves: tuple[str, ...] = ("bob",)) -> KeyRequest:
    return KeyRequest(peer=peer, master="alice", slaves=slaves, count=count, size_bits=128)


def fetch(supply: KeySupply, ids: object, *, master_at: str = "graz", slave: str = "bob") -> bytes:
    got = supply.fetch(master_at, master="alice", slave=slave, key_ids=ids, now_utc=NOW)  # type: ignore[arg-type]
    return b"".join(bytes(batch.keys.expose()) for batch in got)


def keys_of(batch: KeyBatch) -> bytes:
    return bytes(batch.keys.expose())


def kill(kills: KillPoints, store: KeyStore, at: int | str, work: Callable[[], object]) -> Path:
    """Break work off; gives the path of the store that is left."""
    folder = store.path.parent
    copy = folder.parent / f"{folder.name}-killed"
    kills.kill_at(at, folder, copy)
    with pytest.raises(Killed):
        work()
    return copy / store.path.name


def copy_of(store: KeyStore, name: str) -> Path:
    """A copy of a closed store's file alone: neither key file nor use log."""
    copy = store.path.parent / name
    shutil.copy(store.path, copy)
    return copy


def put_back(store: KeyStore, copy: Path) -> None:
    for suffix in ("-wal", "-shm"):
        Path(f"{store.path}{suffix}").unlink(missing_ok=True)
    shutil.copy(copy, store.path)


def test_a_kill_at_any_point_of_a_use_gives_no_bit_twice(ends: Ends, kills: KillPoints) -> None:
    graz, _ = ends
    first = spend(graz)
    kills.kill_at(0, Path(), Path())
    spend(graz)
    points = len(kills.passed)
    assert {"before line", "after sync", "before commit", "after commit"} <= set(kills.passed)
    for at in range(1, points + 1):
        path = kill(kills, graz, at, lambda: spend(graz))
        with KeyStore.open(path) as again:
            assert first not in spend(again)
            assert again.check().balanced


def test_a_kill_while_a_kill_is_settled_is_no_restored_copy(ends: Ends, kills: KillPoints) -> None:
    """Nor is one after it, and so on: nothing is written that cannot be written again."""
    graz, _ = ends
    path = kill(kills, graz, "told", lambda: spend(graz))
    for at in range(1, 9):
        copy = path.parent.parent / f"again-{at}"
        kills.kill_at(at, path.parent, copy)
        with suppress(Killed):
            KeyStore.open(path).close()
        if copy.exists():
            path = copy / path.name
    kills.never()
    with KeyStore.open(path) as store:
        assert store.check().spent_bits == 64
        assert spend(store) == KEY[8:16]


def test_settling_a_kill_does_not_lengthen_the_log(ends: Ends, kills: KillPoints) -> None:
    graz, _ = ends
    supply = KeySupply(graz, reserved_bits=1024)
    supply.draw(request("wien"), now_utc=NOW)
    path = kill(kills, graz, "told", lambda: spend(graz))
    lines = Path(f"{path}.uses").read_bytes()
    KeyStore.open(path).close()
    assert Path(f"{path}.uses").read_bytes() == lines


def test_key_ids_can_be_read_after_a_kill_at_the_first_fetch(ends: Ends, kills: KillPoints) -> None:
    """The secret of ids is told to the log like key; but nobody was given it, and both ends need it."""
    graz, wien = ends
    batch = KeySupply(graz, reserved_bits=2048).draw(request("wien"), now_utc=NOW)
    path = kill(kills, wien, "told", lambda: fetch(KeySupply(wien), batch.ids[:1]))
    with KeyStore.open(path) as again:
        late = KeySupply(again)
        with pytest.raises(KeyNotFound):
            fetch(late, batch.ids[:1])
        assert fetch(late, batch.ids[1:]) == keys_of(batch)[16:]
        late.close(now_utc=NOW)
        assert again.check().spent_bits == 2 * 128 + 256


def test_keys_can_be_drawn_after_a_kill_at_the_first_draw(ends: Ends, kills: KillPoints) -> None:
    graz, wien = ends
    path = kill(kills, graz, "told", lambda: KeySupply(graz).draw(request("wien"), now_utc=NOW))
    with KeyStore.open(path) as again:
        batch = KeySupply(again).draw(request("wien"), now_utc=NOW)
        assert fetch(KeySupply(wien), batch.ids) == keys_of(batch)


def test_a_block_that_a_killed_change_stored_and_used_may_be_stored_again(
    ends: Ends, kills: KillPoints
) -> None:
    graz, _ = ends
    words = {"peer": "wien", "kind": "pair", "origin": "hardware", "key": KEY, "now_utc": NOW}

    def work() -> None:
        with graz.work():
            graz.add_block("later", state="confirmed", **words)  # type: ignore[arg-type]
            spend(graz, 8 * 600)

    path = kill(kills, graz, "told", work)
    with KeyStore.open(path) as again:
        again.add_block("later", state="confirmed", **words)  # type: ignore[arg-type]
        assert again.check().balanced


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, ResourceError])
def test_a_commit_that_was_disturbed_after_it_came_about_is_in_the_log(
    ends: Ends, monkeypatch: pytest.MonkeyPatch, interrupt: type[BaseException]
) -> None:
    """Ctrl-C in mid-commit: the key is used, and the log has to know for the day a copy is put back."""
    graz, _ = ends
    with disturbed(monkeypatch, interrupt("now"), after=True), pytest.raises(interrupt):
        spend(graz)
    assert spend(graz) == KEY[8:16]
    with disturbed(monkeypatch, interrupt("now"), after=True), pytest.raises(interrupt):
        spend(graz)
    graz.close()
    lines = Path(f"{graz.path}.uses").read_text().splitlines()[1:]
    assert [msgspec.json.decode(line)[1] for line in lines] == [[["b", at, 64]] for at in (0, 64, 128)]
    with KeyStore.open(graz.path) as again:
        assert spend(again) == KEY[24:32]


def test_a_commit_that_failed_costs_no_key(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    graz, _ = ends
    for close in (False, True, True):
        with disturbed(monkeypatch, ResourceError("full"), after=False), pytest.raises(ResourceError):
            spend(graz)
        if close:
            graz.close()
            graz = KeyStore.open(graz.path)
    assert spend(graz) == KEY[:8]
    graz.close()
    assert Path(f"{graz.path}.uses").read_text().count("\n") == 2


@contextmanager
def disturbed(monkeypatch: pytest.MonkeyPatch, error: BaseException, *, after: bool) -> Iterator[None]:
    """The next commit raises, before or after it came about."""
    begun = Database._begun

    @contextmanager
    def _begun(database: Database, *, read_only: bool) -> Iterator[Connection]:
        with begun(database, read_only=read_only) as connection:
            yield connection
            if not (after or read_only):
                monkeypatch.undo()
                raise error
        if after and not read_only:
            monkeypatch.undo()
            raise error

    monkeypatch.setattr(Database, "_begun", _begun)
    yield


# --- the use log


def test_a_use_log_is_on_the_disk_before_it_is_relied_on(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed process wrote may be in memory only, and so may SQLite's log."""
    graz, _ = ends
    spend(graz)
    folder = graz.path.parent / "killed"
    folder.mkdir()
    for file in graz.path.parent.glob("graz.db*"):
        shutil.copy(file, folder)
    synced: list[str] = []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    KeyStore.open(folder / "graz.db").close()
    assert {"graz.db.uses", "graz.db-wal"} <= set(synced)


def test_a_line_whose_beginning_is_torn_was_never_committed(ends: Ends) -> None:
    """The disk may have kept the end of a line that lies in two sectors."""
    graz, _ = ends
    spend(graz)
    graz.close()
    uses = Path(f"{graz.path}.uses")
    whole = uses.read_bytes()
    for torn in (bytes(20) + b'"b",64,64]]]\n', b'[2,[["b",64', b"\0" * 30, b"\n", b"[2,[[\n"):
        uses.write_bytes(whole + torn)
        with KeyStore.open(graz.path) as again:
            assert again.check().balanced
        assert uses.read_bytes() == whole


@pytest.mark.parametrize("left", [b"", b'{"satqkd us', bytes(90)])
def test_a_log_that_a_crash_left_without_its_first_line_is_begun_anew(ends: Ends, left: bytes) -> None:
    _, wien = ends
    wien.close()
    uses = Path(f"{wien.path}.uses")
    uses.write_bytes(left)
    with KeyStore.open(wien.path) as again:
        spent = again.spend("graz", "pair", 64, purpose="test", reference="", now_utc=NOW)
        assert bytes(spent.key.expose()) == KEY[512:520]
    assert uses.read_text().count("\n") == 2
    uses.write_bytes(left)
    with pytest.raises(StoreRestored, match="missing"):
        KeyStore.open(wien.path)


def test_another_file_in_the_place_of_the_log_is_left_as_it_is(ends: Ends) -> None:
    _, wien = ends
    wien.close()
    uses = Path(f"{wien.path}.uses")
    uses.write_bytes(b"a letter without an end of line")
    with pytest.raises(DataFormatError, match="expected the head of a use log"):
        KeyStore.open(wien.path)
    assert uses.read_bytes() == b"a letter without an end of line"


def test_a_full_disk_leaves_no_half_a_line_behind(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where what was written cannot be cut off at once."""
    graz, _ = ends
    spend(graz)
    write, cut = os.write, os.ftruncate
    broken = [True]

    def half(descriptor: int, data: bytes) -> int:
        return write(descriptor, data[: len(data) // 2] if broken[0] else data)

    def ftruncate(descriptor: int, length: int) -> None:
        if broken[0]:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        cut(descriptor, length)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        patch.setattr(os, "ftruncate", ftruncate)
        for _ in range(2):
            with pytest.raises(ResourceError, match=r"no key was used; check disk space"):
                spend(graz)
        broken[0] = False
        assert spend(graz) == KEY[8:16]
    graz.close()
    with KeyStore.open(graz.path) as again:
        assert spend(again) == KEY[16:24]


def test_a_kill_with_half_a_line_in_the_log_costs_nothing(ends: Ends, kills: KillPoints) -> None:
    graz, _ = ends
    path = kill(kills, graz, "before line", lambda: spend(graz))
    with Path(f"{path}.uses").open("ab") as file:
        file.write(b'[1,[["b",0')
    with KeyStore.open(path) as again:
        assert spend(again) == KEY[:8]


# --- copies that are put back


def test_a_copy_from_before_the_last_use_gives_that_use_not_again(ends: Ends) -> None:
    """It looks like a kill between line and commit, and is settled like one; blocks that came since go."""
    graz, _ = ends
    spend(graz)
    graz.close()
    copy = copy_of(graz, "copy")
    words = {"peer": "wien", "kind": "pair", "origin": "hardware", "now_utc": NOW}
    with KeyStore.open(graz.path) as store:
        store.discard_block("b")
        store.add_block("later", key=KEY, state="confirmed", **words)  # type: ignore[arg-type]
        spend(store)
    put_back(graz, copy)
    with KeyStore.open(graz.path) as store:
        with pytest.raises(KeyAlreadyUsed, match="put back from a copy"):
            store.add_block("later", key=KEY, **words)  # type: ignore[arg-type]
        assert store.check().balanced


def test_a_held_key_that_was_fetched_is_not_given_again_by_a_copy(ends: Ends) -> None:
    graz, _ = ends
    supply = KeySupply(graz)
    local = supply.draw(request("graz", count=1), now_utc=NOW)
    supply.close(now_utc=NOW)
    graz.close()
    copy = copy_of(graz, "copy")
    with KeyStore.open(graz.path) as store:
        assert fetch(KeySupply(store), local.ids) == keys_of(local)
    put_back(graz, copy)
    with KeyStore.open(graz.path) as store, pytest.raises(KeyNotFound):
        fetch(KeySupply(store), local.ids)


@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_a_log_that_was_begun_anew_vouches_for_no_older_copy(ends: Ends, before: int) -> None:
    """The log was lost, all key wiped, a new log begun: it knows nothing of what was used before."""
    graz, _ = ends
    copies = []
    for number in range(4):
        graz.close()
        copies.append(copy_of(graz, f"copy-{number}"))
        graz = KeyStore.open(graz.path)
        if number < 3:
            spend(graz)
    graz.close()
    Path(f"{graz.path}.uses").unlink()
    KeyStore.recover(graz.path, discard=True)
    with KeyStore.open(graz.path) as store, pytest.raises(KeyExhausted):
        spend(store)
    put_back(graz, copies[before])
    with pytest.raises(StoreRestored):
        KeyStore.open(graz.path)
    with pytest.raises(KeyStoreError, match="--discard"):
        KeyStore.recover(graz.path)
    KeyStore.recover(graz.path, discard=True)
    with KeyStore.open(graz.path) as store, pytest.raises(KeyExhausted):
        spend(store)


def test_a_kill_in_a_recovery_leaves_it_to_be_done_again(ends: Ends, kills: KillPoints) -> None:
    graz, _ = ends
    spend(graz)
    graz.close()
    path = graz.path
    Path(f"{path}.uses").unlink()
    for at in range(1, 12):
        copy = path.parent.parent / f"recovery-{at}"
        kills.kill_at(at, path.parent, copy)
        with suppress(Killed, KeyStoreError):
            KeyStore.recover(path, discard=True)
        if copy.exists():
            killed = copy / path.name
            kills.never()
            with pytest.raises((StoreRestored, KeyExhausted)), KeyStore.open(killed) as store:
                spend(store)
            with suppress(KeyStoreError):
                KeyStore.recover(killed, discard=True)
            with KeyStore.open(killed) as store, pytest.raises(KeyExhausted):
                spend(store)
            shutil.rmtree(path.parent)
            shutil.copytree(copy, path.parent)
            Path(f"{path}.uses").unlink(missing_ok=True)


def test_a_store_and_its_log_from_one_copy_deceive(ends: Ends) -> None:
    """The limit that the page of the key store names: keep the log elsewhere."""
    graz, _ = ends
    graz.close()
    copies = [(each, each.read_bytes()) for each in (graz.path, Path(f"{graz.path}.uses"))]
    with KeyStore.open(graz.path) as store:
        first = spend(store)
    for file, content in copies:
        file.write_bytes(content)
    with KeyStore.open(graz.path) as store:
        assert spend(store) == first


def test_a_new_key_file_is_on_the_disk_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(unlock, "sync_folder", synced.append)
    with Secret(bytes(32)) as root:
        KeyFile(tmp_path / "key").wrap(root)
    assert synced == [tmp_path / "key"]
