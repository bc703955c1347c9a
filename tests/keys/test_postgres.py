"""The same store on a real PostgreSQL server: the same promises, by several writers at once."""

import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pgserver
import psycopg
import pytest
from keys_cases import NOW, key_bytes

from satqkd.errors import ConfigError, KeyExhausted, KeyNotFound, KeyStoreError, ResourceError, StoreRestored
from satqkd.keys import (
    Journal,
    KeyStore,
    RawShelf,
    accept_relay,
    decrypt,
    encrypt,
    make_relay,
    next_boot,
    provision,
)
from satqkd.keys.at_rest.unlock import KeyFile
from satqkd.keys.care.backup import write_backup
from satqkd.keys.care.relock import change_root
from satqkd.keys.care.restore import restore
from satqkd.keys.push.intake import StoreIntake
from satqkd.keys.push.sending import push_blocks
from satqkd.keys.store.opening import Place
from satqkd.keys.store.retirement import revoke_block
from satqkd.keys.supply.key_supply import KeySupply
from satqkd.keys.supply_door import KeyRequest

Make = Callable[..., KeyStore]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pgserver.PostgresServer]:
    """A server of its own for this process, on a socket, gone at the end.

    Of root it takes no commands: the wheel then makes a user by `useradd`, which is not on every PATH.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "/usr/sbin", prepend=os.pathsep)
        found = pgserver.get_server(tmp_path_factory.mktemp("postgres") / "data", cleanup_mode="delete")
        yield found
        found.cleanup()


@pytest.fixture
def address(server: pgserver.PostgresServer) -> str:
    """An empty database."""
    name = f"t{secrets.token_hex(6)}"
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return str(server.get_uri(database=name))


@pytest.fixture
def make(server: pgserver.PostgresServer, tmp_path: Path) -> Iterator[Make]:
    """Stores of nodes, each in a database of its own; closed at the end."""
    made: list[KeyStore] = []

    def store_of(node_id: str) -> KeyStore:
        name = f"t{secrets.token_hex(6)}"
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        where = server.get_uri(database=name)
        made.append(
            KeyStore.create(
                where, node_id, lock=KeyFile(tmp_path / f"{node_id}.key"), uses=tmp_path / f"{node_id}.uses"
            )
        )
        return made[-1]

    yield store_of
    for store in made:
        store.close()


def opened(address: str, folder: Path, writer: str = "main", **more: object) -> KeyStore:
    return KeyStore.open(
        address, lock=KeyFile(folder / "key"), uses=folder / f"{writer}.uses", writer=writer, **more
    )


def created(address: str, folder: Path) -> KeyStore:
    return KeyStore.create(address, "node", lock=KeyFile(folder / "key"), uses=folder / "main.uses")


def add(store: KeyStore, block_id: str, key: bytes) -> None:
    store.add_block(
        block_id, peer="peer", kind="link", origin="hardware", key=key, state="confirmed",
        allocator=store.node_id, now_utc=NOW,
    )  # fmt: skip


def test_made_opened_and_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(KeyNotFound, match="no key store here"):
        opened(address, tmp_path)
    with created(address, tmp_path) as store:
        add(store, "b", key_bytes(10_000, "b"))
        spent = store.spend("peer", "link", 8 * 5000, purpose="test", reference="1")
        assert bytes(spent.key.expose()) == key_bytes(10_000, "b")[:5000]
        with pytest.raises(ResourceError, match="another process writes this store as 'main'"):
            opened(address, tmp_path)
    with pytest.raises(ResourceError, match="found a key store"):
        created(address, tmp_path)
    with pytest.raises(ConfigError, match="got that of 'node'"):
        opened(address, tmp_path, node_id="other")
    with opened(address, tmp_path) as again:
        assert bytes(again.peek_for_check("b").expose()) == bytes(5000) + key_bytes(10_000, "b")[5000:]
        assert again.check().balanced
        assert again.verify_audit().intact
    with opened(address, tmp_path, read_only=True) as reader:
        assert reader.status()[0].spent_bits == 40_000


def test_the_database_itself_refuses(address: str, tmp_path: Path) -> None:
    with created(address, tmp_path) as store:
        add(store, "b", key_bytes(32, "b"))
        store.spend("peer", "link", 64, purpose="test", reference="1")
    columns = "spends (block_pk, offset_bits, length_bits, purpose, reference) VALUES"
    for statement in (
        f"INSERT INTO {columns} (1, 0, 8, 'x', 'x')",
        f"INSERT INTO {columns} (1, 56, 16, 'x', 'x')",
        f"INSERT INTO {columns} (1, 128, 136, 'x', 'x')",
        "UPDATE spends SET offset_bits = 200",
        "DELETE FROM spends",
        "DELETE FROM segments",
        "DELETE FROM audit",
        "UPDATE uses SET uses = 0",
        "UPDATE blocks SET state = 'unconfirmed'",
        "UPDATE blocks SET bits = 8",
    ):
        with psycopg.connect(address) as connection, pytest.raises(psycopg.errors.IntegrityError):
            connection.execute(statement)
    with psycopg.connect(address) as connection:
        connection.execute(f"INSERT INTO {columns} (1, 128, 8, 'x', 'x')")


def test_two_transactions_side_by_side_cannot_use_one_range(address: str, tmp_path: Path) -> None:
    """Whatever program they are of: the second waits for the first, and is refused."""
    with created(address, tmp_path) as store:
        add(store, "b", bytes(32))
    columns = "spends (block_pk, offset_bits, length_bits, purpose, reference)"
    insert = f"INSERT INTO {columns} VALUES (1, %s, 16, 'x', 'x')"
    with psycopg.connect(address) as one, psycopg.connect(address) as two:
        one.execute(insert, (0,))
        refused: list[BaseException] = []

        def second() -> None:
            try:
                two.execute(insert, (8,))
            except psycopg.errors.IntegrityError as error:
                refused.append(error)

        waits = threading.Thread(target=second)
        waits.start()
        waits.join(0.3)
        assert waits.is_alive()
        one.commit()
        waits.join(10)
        assert len(refused) == 1


def test_workers_never_get_the_same_key(address: str, tmp_path: Path) -> None:
    key = key_bytes(4000, "b")
    with created(address, tmp_path) as store:
        add(store, "b", key)
    got: dict[str, list[bytes]] = {}

    def work(writer: str) -> None:
        got[writer] = []
        with opened(address, tmp_path, writer) as store:
            while True:
                try:
                    spent = store.spend("peer", "link", 800, purpose="test", reference=writer)
                except KeyExhausted:
                    return
                got[writer].append(bytes(spent.key.expose()))

    workers = [threading.Thread(target=work, args=(f"worker-{i}",)) for i in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join(60)
    pieces = [piece for found in got.values() for piece in found]
    assert sorted(pieces) == sorted(key[i : i + 100] for i in range(0, 4000, 100))
    with opened(address, tmp_path) as store:
        assert store.check().balanced
        assert store.verify_audit().intact


def test_everything_a_node_keeps(make: Make) -> None:
    """Relay, one-time pad, authentication key, journal, raw blocks: the code is one, the database another."""
    sat, beijing, graz = (make(name) for name in ("sat", "beijing", "graz"))
    for station in (beijing, graz):
        provision(sat, station, 1024, randbytes=secrets.token_bytes, now_utc=NOW)
        key = key_bytes(1000, station.node_id)
        for store, peer in ((sat, station.node_id), (station, "sat")):
            store.add_block(
                f"pass-{station.node_id}", peer=peer, kind="link", origin="hardware", key=key,
                allocator="sat", state="confirmed", now_utc=NOW,
            )  # fmt: skip
    record = make_relay(sat, "beijing", "graz", 4000, relay_id="r", now_utc=NOW)
    for station in (beijing, graz):
        accept_relay(station, record.data, now_utc=NOW)
    assert decrypt(graz, encrypt(beijing, "graz", b"over PostgreSQL")) == b"over PostgreSQL"
    journal = Journal(sat, "beijing")
    journal.begin("pass", parameters=b"p", epoch_utc=NOW)
    for memory in (b"one", b"two"):
        journal.remember("pass", memory)
    journal.append("pass", 0, "input", b"in")
    journal.put("pass", 3, b"said")
    assert (journal.memory("pass"), journal.entries("pass", "input")) == (b"two", [b"in"])
    assert list(journal.outbox("pass", start=0)) == [(3, b"said")]
    journal.taken("pass", 4)
    journal.close("pass", memory=b"end")
    assert list(journal.outbox("pass", start=0)) == []
    assert [next_boot(sat), next_boot(sat, after=7), next_boot(sat)] == [1, 8, 9]
    shelf = RawShelf(sat, "beijing", origin="hardware")
    shelf.keep("raw", b"data", pool="p", sifted_bits=1, detections=1, now_utc=NOW)
    assert shelf.take(["raw"], reference="x") == [b"data"]
    for store in (sat, beijing, graz):
        assert store.check().balanced, store.check().faults


def test_blocks_are_pushed_from_and_to_a_server_of_databases(
    server: pgserver.PostgresServer, address: str, make: Make, tmp_path: Path
) -> None:
    node = make("graz")
    node.add_block(
        "p",
        peer="wien",
        kind="pair",
        origin="hardware",
        key=bytes(range(200)),
        state="confirmed",
        now_utc=NOW,
    )
    lock, uses = KeyFile(tmp_path / "other.key"), tmp_path / "other.uses"
    with KeyStore.create(address, "graz", lock=lock, uses=uses) as store:
        intake = StoreIntake(store, "node", chunk_bytes=64)
        for pushed in (("p",), ()):
            report = push_blocks(node, intake, new_id=lambda: "s", now_utc=lambda: NOW)
            assert tuple(each.block_id for each in report.pushed) == pushed
        assert bytes(store.peek_for_check("p").expose()) == bytes(range(200))
        assert store.check().balanced
    assert node.check().balanced
    assert node.available_bits("wien", "pair") == 0


class Store:
    """A store on the server with its use logs in one folder."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address, self.folder = address, folder
        self.lock = KeyFile(folder / "key")

    def place(self, writer: str = "main") -> Place:
        return Place(self.address, self.lock, self.folder / f"{writer}.uses", writer)

    def spend(self, bits: int, writer: str = "main") -> bytes:
        with opened(self.address, self.folder, writer) as store:
            return bytes(store.spend("peer", "link", bits, purpose="t", reference="").key.expose())

    def back_up(self) -> Path:
        path = self.folder / "backup"
        with opened(self.address, self.folder, read_only=True) as store, path.open("wb") as file:
            write_backup(store, file, now_utc=NOW)
        return path

    def lose(self) -> None:
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")


@pytest.fixture
def shared(address: str, tmp_path: Path) -> Store:
    with created(address, tmp_path) as store:
        add(store, "b", key_bytes(1000, "b"))
    return Store(address, tmp_path)


def test_a_restore_skips_what_any_writer_used_also_one_that_came_after(shared: Store) -> None:
    key = key_bytes(1000, "b")
    assert shared.spend(80) + shared.spend(80, "two") == key[:20]
    backup = shared.back_up()
    assert shared.spend(80, "two") + shared.spend(40, "three") + shared.spend(40, "three") == key[20:40]
    assert shared.spend(80) == key[40:50]
    shared.lose()
    report = restore(backup, shared.place(), discard=False, now_utc=NOW)
    assert report.skipped_bits == 240
    for writer in ("two", "three", "main"):
        shared.spend(8, writer)
    assert shared.spend(8) == key[53:54]
    with opened(shared.address, shared.folder) as store:
        add(store, "c", bytes(8))  # rows are numbered on
        assert store.check().balanced, store.check().faults
        assert store.verify_audit().intact
    with psycopg.connect(shared.address) as connection, pytest.raises(psycopg.errors.IntegrityError):
        connection.execute("DELETE FROM spends")


def test_without_the_log_of_one_writer_all_unused_key_is_wiped(shared: Store) -> None:
    shared.spend(80, "two")
    backup = shared.back_up()
    shared.lose()
    (shared.folder / "two.uses").unlink()
    with pytest.raises(KeyStoreError, match="all writers"):
        restore(backup, shared.place(), discard=False, now_utc=NOW)
    with pytest.raises(KeyNotFound):
        opened(shared.address, shared.folder)
    assert restore(backup, shared.place(), discard=True, now_utc=NOW).wiped_bits == 7920
    (begun,) = shared.folder.glob("*-two.uses")
    begun.rename(shared.folder / "two.uses")
    for writer in ("main", "two"):
        with opened(shared.address, shared.folder, writer) as store:
            add(store, f"new-{writer}", bytes(10))
            assert store.check().balanced
    assert shared.spend(8, "two") == bytes(1)


def test_a_backup_moves_a_store_between_the_two_databases(shared: Store) -> None:
    shared.spend(80)
    backup = shared.back_up()
    path = shared.folder / "file.db"
    shutil.copy(shared.folder / "main.uses", f"{path}.uses")
    restore(backup, Place(str(path), shared.lock), discard=False, now_utc=NOW)
    shared.lose()
    with KeyStore.open(path, lock=shared.lock) as store:
        assert store.check().balanced
        spent = store.spend("peer", "link", 80, purpose="t", reference="", now_utc=NOW)
        assert bytes(spent.key.expose()) == key_bytes(1000, "b")[10:20]
        with backup.open("wb") as file:
            write_backup(store, file, now_utc=NOW)
    shutil.copy(f"{path}.uses", shared.folder / "main.uses")
    restore(backup, shared.place(), discard=False, now_utc=NOW)
    assert shared.spend(80) == key_bytes(1000, "b")[20:30]


def test_a_new_root_needs_the_store_alone_and_seals_all_anew(shared: Store) -> None:
    def sealed() -> set[bytes]:
        with psycopg.connect(shared.address) as connection:
            return {bytes(row[0]) for row in connection.execute("SELECT sealed FROM segments")}

    before, new = sealed(), KeyFile(shared.folder / "new")
    with opened(shared.address, shared.folder) as one:
        with opened(shared.address, shared.folder, "two"), pytest.raises(ResourceError, match="others write"):
            change_root(one, new, now_utc=NOW)
        change_root(one, new, now_utc=NOW)
        assert bytes(one.peek_for_check("b").expose()) == key_bytes(1000, "b")
    assert not before & sealed()
    with pytest.raises(ConfigError, match="does not open"):
        opened(shared.address, shared.folder)
    shared.lock.path.write_bytes(new.path.read_bytes())
    assert shared.spend(80) == key_bytes(1000, "b")[:10]
    with psycopg.connect(shared.address) as connection, pytest.raises(psycopg.errors.IntegrityError):
        connection.execute("DELETE FROM spends")


def test_what_one_worker_revokes_another_does_not_deliver(shared: Store) -> None:
    key = key_bytes(4000, "pair")
    request = KeyRequest(peer="peer", master="a", slaves=("b",), count=1, size_bits=256)
    with opened(shared.address, shared.folder) as one, opened(shared.address, shared.folder, "two") as two:
        one.add_block(
            "p", peer="peer", kind="pair", origin="hardware", key=key, state="confirmed", now_utc=NOW
        )
        supply = KeySupply(one)
        supply.draw(request, now_utc=NOW)
        revoke_block(two, "p", reason="", now_utc=NOW)
        supply.settle(now_utc=NOW)
        with pytest.raises(KeyNotFound):
            supply.draw(request, now_utc=NOW)
        supply.close(now_utc=NOW)
        assert two.check().balanced, two.check().faults


def test_a_copy_that_was_put_back_is_refused_also_by_a_writer_that_used_none_since(shared: Store) -> None:
    """With PostgreSQL's own means, say; then all writers' logs count."""
    shared.spend(8, "two")
    with psycopg.connect(shared.address) as connection:
        old = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in ("spends", "uses")}
    shared.spend(80)
    shared.spend(80)
    with psycopg.connect(shared.address, autocommit=True) as connection:
        for name, rows in old.items():
            connection.execute(f"ALTER TABLE {name} DISABLE TRIGGER USER")
            connection.execute(f"DELETE FROM {name}")
            for row in rows:
                connection.execute(f"INSERT INTO {name} VALUES ({', '.join(['%s'] * len(row))})", row)
            connection.execute(f"ALTER TABLE {name} ENABLE TRIGGER USER")
    for writer in ("two", "three", "main"):
        with pytest.raises(StoreRestored, match="keys recover"):
            opened(shared.address, shared.folder, writer)
    place = shared.place("two")
    recovered = KeyStore.recover(place.address, lock=place.lock, uses=place.uses, writer="two")
    assert recovered.skipped_bits == 160
    for writer in ("two", "three", "main"):
        with opened(shared.address, shared.folder, writer) as store:
            assert store.status()[0].spent_bits == 168


def test_two_workers_of_one_site_supply_keys_side_by_side(
    server: pgserver.PostgresServer, tmp_path: Path
) -> None:
    """They draw from one store and never the same key; either may give what the other's client drew."""
    key = key_bytes(20_000, "pair")
    addresses = {}
    for node, peer in (("graz", "wien"), ("wien", "graz")):
        name = f"t{secrets.token_hex(6)}"
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        addresses[node] = str(server.get_uri(database=name))
        with KeyStore.create(
            addresses[node], node, lock=KeyFile(tmp_path / "key"), uses=tmp_path / f"{node}-main.uses"
        ) as store:
            store.add_block(
                "relay:sat:1",
                peer=peer,
                kind="pair",
                origin="hardware",
                key=key,
                state="confirmed",
                now_utc=NOW,
            )

    def worker(node: str, writer: str) -> KeyStore:
        uses = tmp_path / f"{node}-{writer}.uses"
        return KeyStore.open(addresses[node], lock=KeyFile(tmp_path / "key"), uses=uses, writer=writer)

    stores = [worker(node, writer) for node in ("graz", "wien") for writer in ("one", "two")]
    supplies = [KeySupply(store, reserved_bits=4096) for store in stores]
    asked = KeyRequest(peer="wien", master="alice", slaves=("bob",), count=3, size_bits=256)
    drawn = [supplies[number % 2].draw(asked, now_utc=NOW) for number in range(10)]
    ids = [key_id for batch in drawn for key_id in batch.ids]
    keys = b"".join(bytes(batch.keys.expose()) for batch in drawn)
    pieces = {keys[i : i + 32] for i in range(0, len(keys), 32)}
    assert len(pieces) == len(set(ids)) == 30
    got = b""
    for number, key_id in enumerate(ids):
        (batch,) = supplies[2 + number % 2].fetch(
            "graz", master="alice", slave="bob", key_ids=[key_id], now_utc=NOW
        )
        got += bytes(batch.keys.expose())
        with pytest.raises(KeyNotFound):
            supplies[3 - number % 2].fetch("graz", master="alice", slave="bob", key_ids=[key_id], now_utc=NOW)
    assert got == keys
    for supply in supplies:
        while supply.settle(now_utc=NOW):
            pass
        supply.close(now_utc=NOW)
    for store in stores:
        books = store.check()
        assert books.balanced, books.faults
        assert books.spent_bits == 30 * 256 + 256
        assert store.verify_audit().intact
        store.close()
