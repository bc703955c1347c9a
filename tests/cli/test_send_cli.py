"""`send` and `messages`, with and without a node that has the store open."""

import json
from pathlib import Path

import pytest
from command import Command

from satqkd.keys import KeyStore
from satqkd.keys.traffic import outgoing, receive, spool
from satqkd.keys.traffic.parcels import leaving, piece
from satqkd.keys.traffic_model import Parcel

NOW = "2026-01-02T03:04:05Z"


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, Path]:
    """Two stations with 2000 bytes of end-to-end key that is secret."""
    paths = {name: tmp_path / f"{name}.db" for name in ("beijing", "stellenbosch")}
    for name, path in paths.items():
        peer = next(other for other in paths if other != name)
        with KeyStore.create(path, name) as store:
            store.add_block(
                "relay:sat:r1", peer=peer, kind="pair", origin="hardware", key=bytes(range(250)) * 8,
                state="confirmed", now_utc=NOW,
            )  # fmt: skip
    return paths


def carry(stores: dict[str, Path]) -> None:
    """What the couriers do, without them."""
    with KeyStore.open(stores["beijing"]) as sender, KeyStore.open(stores["stellenbosch"]) as receiver:
        with sender.snapshot() as connection:
            rows = leaving(connection, None)
            data = [(row.number, piece(connection, row, 0, row.size_bytes)) for row in rows]
        for number, each in data:
            with receiver.transaction() as connection:
                parcel = Parcel("message", "beijing", "stellenbosch", number)
                assert receive(connection, parcel, each, NOW, demo=False)


def test_a_file_is_sent_listed_and_saved(stores: dict[str, Path], tmp_path: Path, satqkd: Command) -> None:
    file = tmp_path / "wall.txt"
    file.write_bytes(b"the Great Wall")
    to = ("--to", "stellenbosch", "--store", str(stores["beijing"]))
    sent = json.loads(satqkd("send", str(file), *to, "--json").out)
    assert (sent["id"], sent["state"]) == ("beijing:1", "sealed")
    with KeyStore.open(stores["beijing"]) as store:
        assert store.status()[0].spent_bits == sent["key_bits"] >= 8 * 14 + 256 + 128
    carry(stores)
    listed = json.loads(satqkd("messages", "--store", str(stores["stellenbosch"]), "--json").out)
    assert [(row["id"], row["name"], row["size_bytes"]) for row in listed["incoming"]] == [
        ("beijing:1", "wall.txt", 14)
    ]
    target = tmp_path / "saved"
    save = ("messages", "--store", str(stores["stellenbosch"]), "--save", "beijing:1", str(target))
    assert satqkd(*save).code == 0
    assert target.read_bytes() == b"the Great Wall"
    assert target.stat().st_mode & 0o777 == 0o600
    assert "exists" in satqkd.refusal(2, *save)
    assert "no message" in satqkd.refusal(2, *save[:4], "beijing:9", str(tmp_path / "x"))
    assert "expected SENDER:NUMBER" in satqkd.refusal(2, *save[:4], "nine", str(tmp_path / "x"))


def test_without_key_it_waits_and_says_so_or_refuses(stores: dict[str, Path], satqkd: Command) -> None:
    to = ("send", "--text", "x" * 2000, "--to", "stellenbosch", "--store", str(stores["beijing"]))
    waits = json.loads(satqkd(*to, "--json").out)
    assert waits["state"] == "waiting" and "this end may still use" in waits["reason"]
    refusal = satqkd.refusal(3, *to, "--policy", "refuse")
    assert "refused, nothing was sent" in refusal
    rows = json.loads(satqkd("messages", "--store", str(stores["beijing"]), "--json").out)["outgoing"]
    assert [row["state"] for row in rows] == ["waiting", "refused"]
    table = satqkd("messages", "--store", str(stores["beijing"])).out
    assert "waiting" in table and "refused" in table


def test_twin_key_needs_demo(tmp_path: Path, satqkd: Command) -> None:
    path = tmp_path / "twin.db"
    with KeyStore.create(path, "beijing") as store:
        store.add_block(
            "b",
            peer="stellenbosch",
            kind="pair",
            origin="twin",
            key=bytes(range(200)) * 2,
            state="confirmed",
            now_utc=NOW,
        )
    to = ("send", "--text", "hello", "--to", "stellenbosch", "--store", str(path))
    assert "--demo" in satqkd.refusal(3, *to, "--policy", "refuse")
    assert json.loads(satqkd(*to, "--demo", "--json").out)["state"] == "sealed"


def test_a_running_node_takes_the_message_over(stores: dict[str, Path], satqkd: Command) -> None:
    path = stores["beijing"]
    with KeyStore.open(path) as node:
        told = json.loads(
            satqkd("send", "--text", "hello", "--to", "stellenbosch", "--store", str(path), "--json").out
        )
        assert (told["state"], told["id"]) == ("spooled", None)
        assert outgoing(node) == []
        assert json.loads(satqkd("messages", "--store", str(path), "--json").out)["spooled"] == 1
        queued, refused = spool.take_over(node, now_utc=NOW, maximum_bytes=1000)
        assert (queued, refused) == (["beijing:1"], [])
    assert json.loads(satqkd("messages", "--store", str(path), "--json").out)["spooled"] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--text", "x", "--to", "beijing"), "another node"),
        (("--text", "x", "--to", "Bad Name"), "receiver"),
        (("--text", "x" * 1025, "--urgent", "--to", "stellenbosch"), "1024"),
        (("--to", "stellenbosch"), "either FILE or --text"),
    ],
)
def test_bad_words_are_refused_and_nothing_is_queued(
    stores: dict[str, Path], satqkd: Command, words: tuple[str, ...], told: str
) -> None:
    assert told in satqkd.refusal(2, "send", *words, "--store", str(stores["beijing"]))
    with KeyStore.open(stores["beijing"]) as store:
        assert outgoing(store) == []
