"""Stores of an earlier schema: brought up, all that is secret sealed, nothing of it left in clear."""

from pathlib import Path

import pytest
from keys_cases import NOW, key_bytes
from sqlalchemy import Connection, insert

from satqkd.errors import DataFormatError
from satqkd.keys import Journal, KeyStore
from satqkd.keys.ledger import raw
from satqkd.keys.sql.journal_schema import CONVERSATIONS, JOURNAL, MEMORIES, UNRECEIPTED
from satqkd.keys.sql.schema import BLOCKS, META, RAW_BLOCKS, RAW_MATERIAL
from satqkd.keys.sql.sqlite import SqliteDatabase
from satqkd.keys.sql.traffic_schema import INBOX, OUTBOX
from satqkd.keys.store import migrations
from satqkd.keys.store.sealing import _MATERIAL
from satqkd.keys.traffic import inbox

NAMES = ("key", "raw", "memory", "input", "message", "out", "in", "token")
SECRETS = {name: key_bytes(60, name) for name in NAMES}

OLD_BLOCKS = {
    "k": "link",
    "relay:jinan-1:r1": "pair",
    "relay:a:b:c": "link",
    "grant:jinan-1:x:1": "pair",
}


def rows_in_clear(connection: Connection) -> None:
    """A row of everything, as it was written before stores were sealed."""
    block = {"peer": "peer", "origin": "twin", "state": "confirmed", "bits": 480, "created_utc": NOW}
    own = {"own_from_bits": 0, "own_until_bits": 480}
    for block_id, kind in OLD_BLOCKS.items():
        connection.execute(insert(BLOCKS).values(block_id=block_id, kind=kind, **block, **own))
    for pk in range(1, 1 + len(OLD_BLOCKS)):
        connection.execute(insert(_MATERIAL).values(block_pk=pk, key_bytes=SECRETS["key"]))
    held = {"peer": "peer", "pool": "p", "origin": "twin", "sifted_bits": 1, "detections": 1}
    for pk, state, data in ((1, "confirmed", SECRETS["raw"]), (2, "used", bytes(60))):
        connection.execute(
            insert(RAW_BLOCKS).values(block_id=f"r{pk}", state=state, created_utc=NOW, size_bytes=60, **held)
        )
        connection.execute(insert(RAW_MATERIAL).values(block_pk=pk, raw_bytes=data))
    open_one = {"pass_id": "pass", "peer": "peer", "state": "open", "parameters": b"", "epoch_utc": NOW}
    connection.execute(insert(CONVERSATIONS).values(pk=1, reason="", **open_one))
    of = {"conversation_pk": 1}
    connection.execute(insert(MEMORIES).values(conversation_pk=1, bytes=SECRETS["memory"]))
    connection.execute(insert(JOURNAL).values(**of, block=0, sort="input", bytes=SECRETS["input"]))
    connection.execute(insert(UNRECEIPTED).values(conversation_pk=1, sequence=7, bytes=SECRETS["message"]))
    message = {"name": "", "is_text": 0, "urgent": 0, "size_bytes": 60}
    sent = {"receiver": "peer", "policy": "wait", "demo": 0, "state": "waiting", "reason": "", "key_bits": 0}
    connection.execute(insert(OUTBOX).values(**message, **sent, content=SECRETS["out"], queued_utc=NOW))
    came = {"sender": "peer", "number": 1, "key_bits": 8, "origin": "twin", "received_utc": NOW}
    connection.execute(
        insert(INBOX).values(**message, **came, content=SECRETS["in"], token=SECRETS["token"][:16])
    )


@pytest.fixture
def old_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "old.db"
    with monkeypatch.context() as before:
        before.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:4])
        database = SqliteDatabase.create(path)
        migrations.migrate(database)
        with database.transaction() as connection:
            connection.execute(insert(META).values(name="node_id", value="node"))
            rows_in_clear(connection)
            database.mark(connection)
        database.checkpoint()
        database.close()
    assert all(secret[:16] in path.read_bytes() for secret in SECRETS.values())
    return path


def test_an_old_file_is_sealed_and_says_what_it_said(old_path: Path) -> None:
    with pytest.raises(DataFormatError, match="open the store once for writing"):
        KeyStore.open(old_path, read_only=True)
    with KeyStore.open(old_path) as store:
        assert bytes(store.peek_for_check("k").expose()) == SECRETS["key"]
        paths = {row.block_id: row.paths for row in store.list_blocks()}
        assert paths == {each: (("jinan-1",),) if each == "relay:jinan-1:r1" else () for each in OLD_BLOCKS}
        journal = Journal(store, "peer")
        assert journal.memory("pass") == SECRETS["memory"]
        assert journal.entries("pass", "input") == [SECRETS["input"]]
        assert list(journal.outbox("pass", start=0)) == [(7, SECRETS["message"])]
        assert inbox.content_of(store, "peer", 1) == SECRETS["in"]
        with store.snapshot() as connection:
            held = [raw.read(connection, raw.find(connection, name)) for name in ("r1", "r2")]
        assert held == [SECRETS["raw"], b""]
    for file in old_path.parent.iterdir():
        for name, secret in SECRETS.items():
            assert secret[:12] not in file.read_bytes(), (file, name)


def test_a_newer_file_is_refused(old_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    KeyStore.open(old_path).close()
    monkeypatch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:1])
    with pytest.raises(DataFormatError, match="newer"):
        KeyStore.open(old_path)


def test_a_killed_migration_leaves_the_old_file(old_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    title, step = migrations.MIGRATIONS[4]

    def dies(connection: Connection) -> None:
        step(connection)
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS[:4], (title, dies)])
        with pytest.raises(KeyboardInterrupt):
            KeyStore.open(old_path)
    with KeyStore.open(old_path) as store:
        assert bytes(store.peek_for_check("k").expose()) == SECRETS["key"]
