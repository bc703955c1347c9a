"""`satqkd keys` between nodes: every record goes through files, as people carry them."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from command import Command

from satqkd.keys import KeyStore

NOW = "2026-01-02T03:04:05Z"
Stores = dict[str, str]


def shared(one: str, two: str) -> bytes:
    return random.Random(f"{one} {two}").randbytes(1000)


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    """Two satellites with 1000 bytes of link key and as much pair key with each of two stations."""
    paths = {name: str(tmp_path / f"{name}.sqlite") for name in ("jinan-1", "micius", "beijing", "xian")}
    opened = {name: KeyStore.create(path, name) for name, path in paths.items()}
    for satellite in ("jinan-1", "micius"):
        for station in ("beijing", "xian"):
            for kind in ("link", "pair"):
                for store, peer in ((opened[satellite], station), (opened[station], satellite)):
                    store.add_block(
                        f"{kind}:{satellite}:{station}", peer=peer, kind=kind,  # type: ignore[arg-type]
                        origin="hardware", key=shared(satellite, station), state="confirmed",
                        allocator=satellite if kind == "link" else None, now_utc=NOW,
                    )  # fmt: skip
    for store in opened.values():
        store.close()
    return paths


def last_block(path: str) -> tuple[Any, bytes]:
    with KeyStore.open(path, read_only=True) as store:
        row = store.list_blocks()[-1]
        return row, bytes(store.peek_for_check(row.block_id).expose())


def run(satqkd: Command, *words: str) -> Any:
    code, out, err = satqkd(*words, "--json")
    assert code == 0, err
    return json.loads(out) if out else None


def test_two_satellites_give_one_key_that_neither_knows(
    satqkd: Command, stores: Stores, tmp_path: Path
) -> None:
    for satellite in ("jinan-1", "micius"):
        record = str(tmp_path / f"{satellite}.relay")
        ends = ("--a", "beijing", "--b", "xian", "--bits", "4000")
        told = run(satqkd, "keys", "relay", "--store", stores[satellite], *ends, "--out", record)
        assert told["paths"] == [[satellite]]
        for station in ("beijing", "xian"):
            accepted = run(satqkd, "keys", "accept", record, "--store", stores[station])
            assert (accepted["kind"], accepted["bits"]) == ("relay", 4000)
    policy = tmp_path / "network.toml"
    policy.write_text('[[pair]]\npeer = "xian"\npaths = 2\n')
    record, again = str(tmp_path / "xor"), str(tmp_path / "again")
    words = ("keys", "combine", "--store", stores["beijing"], "--peer", "xian", "--combination-id", "x1")
    told = run(satqkd, *words, "--network", str(policy), "--out", record)
    assert told == {
        "combination_id": "x1", "block_id": "xor:beijing:x1", "bits": 2000 - 256, "spent": 4000,
        "paths": [["jinan-1"], ["micius"]],
    }  # fmt: skip
    assert run(satqkd, *words, "--paths", "2", "--out", again) == told
    assert Path(record).read_bytes() == Path(again).read_bytes()
    run(satqkd, "keys", "accept", record, "--store", stores["xian"])
    assert last_block(stores["beijing"])[1] == last_block(stores["xian"])[1]
    _, table, _ = satqkd("keys", "list", "--store", stores["xian"])
    assert "jinan-1 + micius" in table


def test_a_pair_without_policy_has_nothing_to_combine(
    satqkd: Command, stores: Stores, tmp_path: Path
) -> None:
    words = ("keys", "combine", "--store", stores["beijing"], "--peer", "xian", "--out", str(tmp_path / "x"))
    assert "at least 2" in satqkd.refusal(2, *words)
    assert "found none" in satqkd.refusal(3, *words, "--paths", "2")


def test_the_ground_commands_a_satellite(satqkd: Command, stores: Stores, tmp_path: Path) -> None:
    order, record, again = (str(tmp_path / name) for name in ("order", "record", "again"))
    pair = ("--a", "beijing", "--b", "xian", "--bits", "800", "--relay-id", "r1")
    words = ("keys", "command", "--store", stores["beijing"], "--node", "jinan-1", *pair)
    assert run(satqkd, *words, "--not-after", "2999-01-01T00:00:00Z", "--out", order)["relay_id"] == "r1"
    network = tmp_path / "network.toml"
    network.write_text('commanders = ["beijing"]\n[[quota]]\nstations = ["xian", "beijing"]\nbits = 800\n')
    obey = ("keys", "relay", "--store", stores["jinan-1"], "--command", order)
    assert "commanders" in satqkd.refusal(3, *obey, "--out", record)
    told = run(satqkd, *obey, "--network", str(network), "--out", record)
    assert (told["relay_id"], told["bits"]) == ("r1", 800)
    run(satqkd, *obey, "--network", str(network), "--out", again)
    assert Path(record).read_bytes() == Path(again).read_bytes()
    second = str(tmp_path / "second")
    more = [word if word != "r1" else "r2" for word in words]
    run(satqkd, *more, "--not-after", "2999-01-01T00:00:00Z", "--out", second)
    obey = ("keys", "relay", "--store", stores["jinan-1"], "--command", second, "--network", str(network))
    assert "quota" in satqkd.refusal(3, *obey, "--out", str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    for wrong in ((), ("--a", "beijing"), ("--a", "beijing", "--b", "xian", "--command", order)):
        words = ("keys", "relay", "--store", stores["jinan-1"], *wrong, "--out", str(tmp_path / "none"))
        assert "--command" in satqkd.refusal(2, *words)


def test_a_fibres_key_comes_in_by_four_messages(satqkd: Command, stores: Stores, tmp_path: Path) -> None:
    for end in ("beijing", "xian"):
        (tmp_path / end).mkdir()
        (tmp_path / end / "fibre-1.bin").write_bytes(shared("fibre", "1"))
    files = {end: str(tmp_path / end / "fibre-1.bin") for end in ("beijing", "xian")}
    said = [str(tmp_path / name) for name in ("offer", "answer", "confirmation", "receipt")]
    words = ("keys", "import", "--store")
    begin = (*words, stores["beijing"], files["beijing"], "--peer", "xian")
    told = run(satqkd, *begin, "--out", said[0])
    assert told == {"import_id": "fibre-1", "peer": "xian", "bits": 8000 - 768, "usable": False}
    run(satqkd, *begin, "--out", str(tmp_path / "said again"))
    assert (tmp_path / "said again").read_bytes() == Path(said[0]).read_bytes()
    answer = (*words, stores["xian"], "--message", said[0])
    assert "name the source" in satqkd.refusal(2, *answer, "--out", said[1])
    run(satqkd, *answer, files["xian"], "--out", said[1])
    assert not run(satqkd, *words, stores["beijing"], "--message", said[1], "--out", said[2])["usable"]
    assert run(satqkd, *words, stores["xian"], "--message", said[2], "--out", said[3])["usable"]
    assert run(satqkd, *words, stores["beijing"], "--message", said[3])["usable"]
    assert last_block(stores["beijing"])[1] == last_block(stores["xian"])[1]
    assert last_block(stores["beijing"])[0].state == "confirmed"
    assert "finished" in satqkd.refusal(3, *words, stores["xian"], "--message", said[0], "--abandon")
    assert "imported before" in satqkd.refusal(
        3, *begin, "--import-id", "other", "--out", str(tmp_path / "x")
    )


def test_an_import_given_up_wipes_what_it_held(satqkd: Command, stores: Stores, tmp_path: Path) -> None:
    file = tmp_path / "fibre-2.bin"
    file.write_bytes(shared("fibre", "2"))
    words = ("keys", "import", "--store", stores["beijing"])
    assert "--peer" in satqkd.refusal(2, *words, str(file))
    assert "--out" in satqkd.refusal(2, *words, str(file), "--peer", "xian")
    run(satqkd, *words, str(file), "--peer", "xian", "--out", str(tmp_path / "offer"))
    code, _, err = satqkd(*words, "--message", str(tmp_path / "offer"), "--abandon")
    assert code == 0 and "given up" in err
    row, held = last_block(stores["beijing"])
    assert row.state == "discarded" and not any(held)


def test_accept_takes_records_alone(satqkd: Command, stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"\x93\xa5offer\x01")
    words = ("keys", "accept", str(tmp_path / "noise"), "--store", stores["beijing"])
    assert "expected one of relay, combination" in satqkd.refusal(2, *words)
