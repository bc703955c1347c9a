"""Key whose bytes are known, looked for wherever key must never be.

The bytes are looked for as they are, in hexadecimal, in base64 and as Python writes them; in files at rest
(the store, SQLite's log, the use log), in the audit log, in what is logged, in the text of errors with their
tracebacks, and in the arguments of processes. In memory a secret is wiped where Python allows.
"""

import base64
import gc
import logging
import random
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crash_work import Town, make_folders

from satqkd.errors import Error
from satqkd.keys import KeyRange, KeyStore, accept_relay, make_relay
from satqkd.keys.at_rest.unlock import Command
from satqkd.keys.secret import Secret
from satqkd.keys.supply.key_supply import KeySupply
from satqkd.keys.supply_door import KeyRequest

NOW = "2026-01-02T03:04:05Z"
PLANTED = random.Random("planted").randbytes(2000)
STEP_BYTES = 50
"""A part of the key of two or more such steps is found by one of them."""


def forms(key: bytes) -> list[bytes]:
    """Ways in which some bytes may be written."""
    found = [key, key.hex().encode(), key.hex().upper().encode(), repr(key)[2:-1].encode()]
    found += [base64.b64encode(key[i:])[4:20] for i in range(3)]
    return [*found, str(list(key))[1:-1].encode()]


MARKERS = [form for i in range(0, len(PLANTED), STEP_BYTES) for form in forms(PLANTED[i : i + 16])]


def leaks(text: bytes) -> list[bytes]:
    """Markers that are in some text."""
    return [marker for marker in MARKERS if marker in text]


def add(store: KeyStore, peer: str, block_id: str, key: bytes, kind: str = "pair") -> None:
    store.add_block(
        block_id,
        peer=peer,
        kind=kind,
        origin="hardware",
        key=key,
        state="confirmed",
        now_utc=NOW,  # type: ignore[arg-type]
        allocator="sat" if kind == "link" else None,
    )


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[tuple[KeyStore, KeyStore]]:
    graz, wien = (KeyStore.create(tmp_path / f"{name}.db", name) for name in ("graz", "wien"))
    add(graz, "wien", "b", PLANTED)
    add(wien, "graz", "b", PLANTED)
    with graz, wien:
        yield graz, wien


def test_the_search_finds_key_in_every_form() -> None:
    for text in (PLANTED, PLANTED.hex().encode(), repr(PLANTED).encode(), base64.b64encode(PLANTED)):
        assert leaks(b"something before " + text)
    assert leaks(str(list(PLANTED)).encode())
    assert leaks(base64.b64encode(b"x" + PLANTED))
    assert not leaks(random.Random("other").randbytes(100_000))


def use(graz: KeyStore, wien: KeyStore) -> None:
    """Both ends use some of it in every way, and leave a delivery under way."""
    for store, peer in ((graz, "wien"), (wien, "graz")):
        store.spend(peer, "pair", 800, purpose="test", reference="r", now_utc=NOW).key.wipe()
    supplies = KeySupply(graz, reserved_bits=2048), KeySupply(wien, reserved_bits=2048)
    words = {"master": "alice", "count": 3, "size_bits": 256}
    one = supplies[0].draw(KeyRequest(peer="wien", slaves=("bob",), **words), now_utc=NOW)  # type: ignore[arg-type]
    two = supplies[0].draw(KeyRequest(peer="wien", slaves=("bob", "carol"), **words), now_utc=NOW)  # type: ignore[arg-type]
    held = {"peer": "graz", "master": "alice", "slaves": ("bob", "carol")}
    supplies[1].entitle(two.ids, now_utc=NOW, **held)  # type: ignore[arg-type]
    for batch in (one, two):
        supplies[1].fetch("graz", master="alice", slave="bob", key_ids=batch.ids, now_utc=NOW)


def test_no_file_at_rest_holds_key_in_clear(ends: tuple[KeyStore, KeyStore], tmp_path: Path) -> None:
    use(*ends)
    files = [file for file in tmp_path.iterdir() if file.suffix != ".lock"]
    assert {"graz.db", "graz.db-wal", "graz.db.uses"} <= {file.name for file in files}
    assert not [file.name for file in files if leaks(file.read_bytes())]
    for store in ends:
        store.close()
    assert not [file.name for file in tmp_path.iterdir() if leaks(file.read_bytes())]


def test_no_log_tells_key(ends: tuple[KeyStore, KeyStore], caplog: pytest.LogCaptureFixture) -> None:
    """Nor does SQLAlchemy's own at its loudest: values of statements are hidden."""
    with caplog.at_level(logging.DEBUG, logger="sqlalchemy"), caplog.at_level(logging.DEBUG):
        use(*ends)
    assert caplog.text
    assert not leaks(caplog.text.encode())
    for store in ends:
        assert not leaks(repr(store.audit_entries()).encode())
        assert not leaks(repr((store.status(), store.list_blocks(), store.check())).encode())


def told_of(work: Callable[[], object]) -> bytes:
    """An error as a handler prints it: message, traceback, and what it came from."""
    try:
        work()
    except Error as error:
        found = traceback.TracebackException.from_exception(error)
        return "".join(found.format()).encode()
    raise AssertionError("no error came")


def test_no_error_tells_key(ends: tuple[KeyStore, KeyStore], monkeypatch: pytest.MonkeyPatch) -> None:
    graz, wien = ends
    words = {"purpose": "x", "reference": "r", "now_utc": NOW}
    spent = graz.spend("wien", "pair", 800, **words)  # type: ignore[arg-type]
    failing: list[Callable[[], object]] = [
        lambda: add(graz, "wien", "b", PLANTED),
        lambda: add(graz, "wien", "no such id!", PLANTED),
        lambda: add(graz, "graz", "c", PLANTED),
        lambda: add(graz, "wien", "c", PLANTED, kind="other"),
        lambda: graz.spend("wien", "pair", 10**6, **words),  # type: ignore[arg-type]
        lambda: wien.spend_at("graz", "pair", (KeyRange("b", 0, 10**6),), **words),  # type: ignore[arg-type]
        lambda: graz.spend_at("wien", "pair", spent.ranges, **words),  # type: ignore[arg-type]
        lambda: accept_relay(graz, PLANTED, now_utc=NOW),
    ]
    for work in failing:
        assert not leaks(told_of(work))
    graz._database._driver.execute(
        f"PRAGMA max_page_count={graz._database._driver.execute('PRAGMA page_count').fetchone()[0]}"
    )  # type: ignore[attr-defined]
    assert not leaks(told_of(lambda: [add(graz, "wien", f"d{i}", PLANTED) for i in range(99)]))
    shown = [repr(spent), repr(spent.key), str(spent), f"{spent.key}"]
    assert not leaks("".join(shown).encode())


def test_no_process_has_key_in_its_arguments(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The command that unlocks a store is given its key on standard input; it sees what all may see."""
    seen = tmp_path / "seen"
    script = tmp_path / "lock.py"
    script.write_text(
        "import os, sys\n"
        f"out = open({str(seen)!r}, 'ab')\n"
        "out.write(open('/proc/self/cmdline', 'rb').read() + open('/proc/self/environ', 'rb').read())\n"
        "data = sys.stdin.buffer.read()\n"
        "out.write(b'|' + data.hex().encode() + b'\\n')\n"
        "sys.stdout.buffer.write(data)\n"
    )
    lock = Command([sys.executable, str(script)])
    with KeyStore.create(tmp_path / "graz.db", "graz", lock=lock) as store:
        add(store, "wien", "b", PLANTED)
    KeyStore.open(tmp_path / "graz.db", lock=lock).close()
    calls = [line.rsplit(b"|", 1) for line in seen.read_bytes().splitlines()]
    assert len(calls) >= 2
    for public, root in calls:
        assert root not in public
        assert bytes.fromhex(root.decode()) not in public
    own = Path("/proc/self/cmdline").read_bytes() + Path("/proc/self/environ").read_bytes()
    assert not leaks(own)
    assert not leaks("".join(capfd.readouterr()).encode())


def test_secrets_are_wiped_when_they_are_done_with(ends: tuple[KeyStore, KeyStore]) -> None:
    """What Python allows: buffers of the supplies, of windows and of the root key are zeros after the end."""
    graz, wien = ends
    master, slave = KeySupply(graz, reserved_bits=2048), KeySupply(wien)
    request = KeyRequest(peer="wien", master="a", slaves=("b",), count=2, size_bits=256)
    batch = master.draw(request, now_utc=NOW)
    slave.fetch("graz", master="a", slave="b", key_ids=batch.ids, now_utc=NOW)
    stretches = [each.reserved.key for pool in master._drawing._pools.values() for each in pool.stretches]
    windows = list(slave._fetching._windows._windows.values())
    roots = [store._database.vault._root for store in ends]
    assert stretches and windows and all(map(any, windows))
    master.close(now_utc=NOW)
    slave.close(now_utc=NOW)
    for store in ends:
        store.close()
    assert not any(any(window) for window in windows)
    assert not any(any(secret._buffer) for secret in (*stretches, *roots))


def test_nothing_mutable_with_key_is_left_after_the_end(tmp_path: Path) -> None:
    """No bytearray that the collector or a frame still knows holds planted key; `bytes` are out of reach."""
    with KeyStore.create(tmp_path / "graz.db", "graz") as store:
        add(store, "wien", "b", PLANTED)
        supply = KeySupply(store, reserved_bits=2048)
        request = KeyRequest(peer="wien", master="a", slaves=("b",), count=2, size_bits=256)
        with supply.draw(request, now_utc=NOW).keys:
            pass
        store.spend("wien", "pair", 800, purpose="x", reference="", now_utc=NOW).key.wipe()
        supply.close(now_utc=NOW)
    gc.collect()
    control = Secret(PLANTED)
    held = [each for each in gc.get_objects() if isinstance(each, Secret)]
    assert any(each is control for each in held), "the search finds what there is"
    control.wipe()
    assert not [each for each in held if leaks(bytes(each._buffer))]


def test_a_town_at_work_tells_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Relays, imports of blocks, deliveries, restarts: no key of a block is in any file in clear."""
    make_folders(tmp_path / "town")
    town = Town(tmp_path / "town", 3)
    with caplog.at_level(logging.DEBUG):
        town.start()
        town.work(40)
        town.close()
    town.leave()
    files = [file for file in (tmp_path / "town").glob("*/*/*") if file.is_file()]
    assert len(files) >= 9
    contents = [file.read_bytes() for file in files] + [caplog.text.encode()]
    for key in town.known.keys.values():
        for i in range(0, len(key) - 16, 64):
            assert not any(form in content for form in forms(key[i : i + 16])[:2] for content in contents)


def test_a_relay_record_shows_neither_key(tmp_path: Path) -> None:
    with KeyStore.create(tmp_path / "sat.db", "sat") as sat:
        add(sat, "graz", "g", PLANTED, "link")
        add(sat, "wien", "w", PLANTED[::-1], "link")
        record = make_relay(sat, "graz", "wien", 8000, relay_id="r", now_utc=NOW)
    assert not leaks(record.data + repr(record).encode())
