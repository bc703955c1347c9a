"""Key is pushed over mutual TLS into the store of a running key server, which delivers it at once."""

import json
import random
import signal
import subprocess
import sys
import uuid
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomli_w
from delivery_cases import (
    KMES,
    LOCAL,
    NODES,
    REMOTE,
    STRANGE_NODE,
    Kme,
    files_of,
    is_error,
    serve_config,
)

from satqkd import cli
from satqkd.delivery import Address, serving
from satqkd.delivery.pki_folder import PkiFolder
from satqkd.delivery.push_client import PushClient
from satqkd.delivery.push_wire import BODY_BYTES, CLOSE_PATH, KEY_PATH, OPEN_PATH, PushKey
from satqkd.errors import ConfigError, KeyExhausted, LinkError
from satqkd.keys import KeyStore
from satqkd.keys.push.sending import PushReport, push_blocks
from satqkd.keys.push_door import CHUNK_BYTES, NoLink, PushedBlock, StreamInUse
from satqkd.keys.supply.key_supply import KeySupply
from satqkd.keys.supply_door import NotEntitled

NOW = "2026-01-02T03:04:05Z"
PEERS = {"beijing": "stellenbosch", "stellenbosch": "beijing"}
BLOCK = "relay:jinan-1:1"
STREAM = "00000000-0000-4000-8000-00000000abcd"


def key_of(block_id: str, length: int = 2 * CHUNK_BYTES + 100) -> bytes:
    """Three chunks; the same at both sites."""
    return random.Random(block_id).randbytes(length)


class Site:
    """One end: the store of its node, and a key server with a store of its own."""

    def __init__(self, folder: Path, pki: PkiFolder, name: str) -> None:
        self.folder, self.pki, self.name = folder, pki, name
        self.node = KeyStore.create(folder / f"{name}-node.db", name)
        KeyStore.create(folder / f"{name}-server.db", name).close()
        self.stack = ExitStack()
        self.start()

    def start(self, **changes: Any) -> None:
        store = self.stack.enter_context(KeyStore.open(self.folder / f"{self.name}-server.db"))
        supply = KeySupply(store)
        config = serve_config(self.pki.folder, self.name, self.folder, **changes)
        address = self.stack.enter_context(serving(supply, config))
        self.kme = Kme(address, supply, self.pki.folder)  # type: ignore[arg-type]

    def stop(self) -> None:
        """End the server."""
        self.stack.close()

    def close(self) -> None:
        self.stop()
        self.node.close()

    def add(self, block_id: str = BLOCK, *, origin: str = "hardware") -> None:
        self.node.add_block(
            block_id, peer=PEERS[self.name], kind="pair", origin=origin, key=key_of(block_id),
            state="confirmed", paths=(("jinan-1",),), now_utc=NOW,
        )  # fmt: skip

    def files(self, name: str | None = None) -> tuple[Path, Path]:
        return files_of(self.pki.folder, name or NODES[self.name])

    def line(self, name: str | None = None, **more: Any) -> PushClient:
        """As the site's node, or another."""
        cert, key = self.files(name)
        ca = self.pki.folder / "authority.crt"
        return PushClient(self.kme.address.url, cert=cert, key=key, ca=ca, **more)

    def push(self) -> PushReport:
        with self.line() as line:
            return push_blocks(self.node, line, new_id=lambda: str(uuid.uuid4()), now_utc=lambda: NOW)

    def server_blocks(self) -> dict[str, tuple[int, int, str]]:
        """Live and spent bits and origin by block, with the server ended."""
        self.stop()
        with KeyStore.open(self.folder / f"{self.name}-server.db") as store:
            books = store.check()
            assert books.balanced, books.faults
            found = {row.block_id: (row.live_bits, row.spent_bits, row.origin) for row in store.list_blocks()}
            for block_id, (_, spent_bits, _) in found.items():
                if not spent_bits:
                    assert bytes(store.peek_for_check(block_id).expose()) == key_of(block_id)
        return found


@pytest.fixture
def sites(tmp_path: Path, pki: PkiFolder) -> Iterator[dict[str, Site]]:
    found = {name: Site(tmp_path, pki, name) for name in PEERS}
    yield found
    for site in found.values():
        site.close()


@pytest.fixture
def site(sites: dict[str, Site]) -> Site:
    return sites["beijing"]


def test_what_both_nodes_push_is_delivered_at_both_sites(sites: dict[str, Site]) -> None:
    with sites["beijing"].kme.client(LOCAL) as master, sites["stellenbosch"].kme.client(REMOTE) as slave:
        with pytest.raises(KeyExhausted):
            master.get_keys(REMOTE)
        for site in sites.values():
            site.add()
            assert [each.block_id for each in site.push().pushed] == [BLOCK]
            assert site.push().pushed == ()
        drawn = master.get_keys(REMOTE, 2)
        assert b"".join(bytes(each.key.expose()) for each in drawn) == key_of(BLOCK)[:64]
        assert (drawn[0].paths, drawn[0].origin) == ((("jinan-1",),), "hardware")
        fetched = slave.get_keys_by_id(LOCAL, [each.key_id for each in drawn])
        assert [each.key for each in fetched] == [each.key for each in drawn]
        [back] = slave.get_keys(LOCAL)
        assert master.get_keys_by_id(REMOTE, [back.key_id])[0].key == back.key
    for site in sites.values():
        with pytest.raises(KeyExhausted):
            site.node.spend(PEERS[site.name], "pair", 8, purpose="test", reference="")


def test_twin_key_stays_twin_key(site: Site) -> None:
    site.add(origin="twin")
    assert site.push().pushed[0].origin == "twin"
    answer = site.kme.enc({})
    assert (answer.status, "demonstration" in answer.body["message"]) == (503, True)
    assert site.server_blocks()[BLOCK][2] == "twin"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", range(5))
def test_a_node_that_is_killed_at_any_request_has_pushed_once_in_the_end(
    site: Site, call: int, when: str
) -> None:
    site.add()
    site.node.close()
    words = [str(Path(__file__).with_name("pushing.py")), str(site.folder / "beijing-node.db")]
    words += [site.kme.address.url, *map(str, site.files()), str(site.pki.folder / "authority.crt")]
    done = subprocess.run([sys.executable, *words, str(call), when], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr
    site.stop()
    site.start()
    site.node = KeyStore.open(site.folder / "beijing-node.db")
    assert [each.block_id for each in site.push().pushed] == [BLOCK]
    assert site.push().pushed == ()
    row = site.node.list_blocks()[0]
    assert (row.live_bits, row.spent_bits) == (0, 8 * len(key_of(BLOCK)))
    assert site.node.check().balanced
    assert site.server_blocks() == {BLOCK: (8 * len(key_of(BLOCK)), 0, "hardware")}


def test_a_server_that_ends_in_between_goes_on_where_it_was(site: Site) -> None:
    site.add()
    site.add("relay:jinan-1:2")
    with site.line() as line:
        first = line.take

        def end_then_take(stream_id: str, index: int, chunk: memoryview, *, now_utc: str) -> int:
            if index == 1:
                site.stop()
            return first(stream_id, index, chunk, now_utc=now_utc)

        line.take = end_then_take  # type: ignore[method-assign]
        with pytest.raises(LinkError):
            push_blocks(site.node, line, new_id=lambda: str(uuid.uuid4()), now_utc=lambda: NOW)
    assert [row.spent_bits > 0 for row in site.node.list_blocks()] == [True, False]
    site.start()
    assert len(site.push().pushed) == 2
    assert set(site.server_blocks()) == {BLOCK, "relay:jinan-1:2"}


@contextmanager
def process(site: Site) -> Iterator[subprocess.Popen[str]]:
    """The site's server as a process of its own; the site's client speaks to it."""
    site.stop()
    config = serve_config(site.pki.folder, site.name, site.folder)
    serve = msgspec.structs.replace(config.serve, store=str(site.folder / f"{site.name}-server.db"))
    table = msgspec.to_builtins(msgspec.structs.replace(config, serve=serve))
    file = site.folder / "serve.toml"
    file.write_text(tomli_w.dumps(_given(table)))
    words = [sys.executable, "-c", "from satqkd.cli import main; main()", "serve", str(file)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as found:
        assert found.stdout is not None
        url = json.loads(found.stdout.readline())["url"]
        site.kme = Kme(Address(url, None), site.kme.supply, site.pki.folder)
        try:
            yield found
        finally:
            found.kill()


def _given(value: Any) -> Any:
    """Without what is not given: TOML has no null."""
    if isinstance(value, dict):
        return {name: _given(each) for name, each in value.items() if each is not None}
    return [_given(each) for each in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("call", ["take", "close"])
def test_a_server_that_is_killed_after_a_call_has_the_block_once(site: Site, call: str) -> None:
    site.add()
    with process(site) as server, site.line() as line:
        real = getattr(line, call)

        def deadly(*words: Any, **named: Any) -> Any:
            real(*words, **named)
            server.send_signal(signal.SIGKILL)
            server.wait()
            raise LinkError("the answer is lost")

        setattr(line, call, deadly)
        with pytest.raises(LinkError):
            push_blocks(site.node, line, new_id=lambda: str(uuid.uuid4()), now_utc=lambda: NOW)
    with process(site):
        assert [each.block_id for each in site.push().pushed] == [BLOCK]
        assert site.push().pushed == ()
    assert site.server_blocks() == {BLOCK: (8 * len(key_of(BLOCK)), 0, "hardware")}


class TestWhoMayPush:
    def test_only_nodes_of_the_settings(self, site: Site) -> None:
        site.add()
        for name in (STRANGE_NODE, NODES["stellenbosch"], LOCAL, KMES["stellenbosch"]):
            with site.line(name) as line, pytest.raises(NotEntitled):
                push_blocks(site.node, line, new_id=lambda: STREAM, now_utc=lambda: NOW)
        assert site.node.list_blocks()[0].spent_bits == 0

    def test_a_node_is_no_application_and_no_kme(self, site: Site) -> None:
        for path in ("/api/v1/keys/x/status", "/openapi.json"):
            assert site.kme.ask("GET", path, sae=NODES["beijing"]).status == 401
        assert site.kme.ask("POST", "/satqkd/v1/entitle", "{}", sae=NODES["beijing"]).status == 401

    def test_no_key_goes_to_a_server_that_is_another_kme(self, site: Site) -> None:
        site.add()
        with site.line(kme="KME-Stellenbosch") as line, pytest.raises(LinkError, match="no key was sent"):
            push_blocks(site.node, line, new_id=lambda: STREAM, now_utc=lambda: NOW)
        assert site.node.list_blocks()[0].spent_bits == 0
        with site.line(kme=KMES["beijing"]) as line:
            push_blocks(site.node, line, new_id=lambda: STREAM, now_utc=lambda: NOW)


def opening(**changes: Any) -> str:
    """A body of OPEN_CONNECT."""
    block = {
        "block_id": BLOCK, "peer": "stellenbosch", "origin": "hardware", "paths": [["jinan-1"]],
        "bits": 800, "own_from_bits": 0, "own_until_bits": 400, "created_utc": NOW,
    }  # fmt: skip
    whole = {
        "Source": "beijing", "Destination": "stellenbosch", "QoS": {"Key_chunk_size": CHUNK_BYTES},
        "Key_stream_ID": STREAM, "Metadata": block,
    }  # fmt: skip
    for name, value in changes.items():
        (whole if name in whole else block)[name] = value
    return json.dumps(whole)


class TestWire:
    def ask(self, site: Site, path: str, body: str) -> Any:
        return site.kme.ask("POST", path, body, sae=NODES["beijing"])

    def key(self, index: int, data: bytes) -> str:
        return json.dumps({"Key_stream_ID": STREAM, "index": index, "Key_buffer": b64encode(data).decode()})

    def test_the_statuses_of_the_standard(self, site: Site) -> None:
        longer = self.ask(site, OPEN_PATH, opening(QoS={"Key_chunk_size": CHUNK_BYTES + 1})).body
        assert (longer["status"], longer["QoS"]) == (7, {"Key_chunk_size": CHUNK_BYTES})
        unknown = opening(peer="xian", Destination="xian")
        assert self.ask(site, OPEN_PATH, unknown).body["status"] == 4
        opened = self.ask(site, OPEN_PATH, opening(QoS={"Key_chunk_size": 8192}))
        assert (opened.status, opened.body["status"], opened.body["index"]) == (200, 0, 0)
        assert opened.body["QoS"] == {"Key_chunk_size": 8192}
        assert self.ask(site, OPEN_PATH, opening(bits=1600)).body["status"] == 5
        close = json.dumps({"Key_stream_ID": STREAM})
        assert self.ask(site, CLOSE_PATH, close).body["status"] == 2
        for _ in range(2):
            assert self.ask(site, KEY_PATH, self.key(0, key_of(BLOCK, 100))).body == {
                "index": 1, "status": 0, "message": "",
            }  # fmt: skip
        for _ in range(2):
            assert self.ask(site, CLOSE_PATH, close).body["status"] == 0
        other = opening(Key_stream_ID=STREAM.replace("abcd", "ABCE"))
        assert self.ask(site, OPEN_PATH, other).body["status"] == 5

    @pytest.mark.parametrize(
        "changes",
        [
            {"Source": "xian"},
            {"Destination": "xian"},
            {"peer": "beijing", "Destination": "beijing"},
            {"Key_stream_ID": "one"},
            {"origin": "gold"},
            {"bits": 801},
            {"bits": (1 << 30) + 8},
            {"own_until_bits": 808},
            {"created_utc": "yesterday"},
            {"block_id": "a b"},
            {"paths": [["a"]] * 33},
            {"QoS": {"Key_chunk_size": 100}},
            {"colour": "red"},
        ],
        ids=str,
    )
    def test_what_cannot_be_is_a_bad_request(self, site: Site, changes: dict[str, Any]) -> None:
        answer = self.ask(site, OPEN_PATH, opening(**changes))
        assert (answer.status, is_error(answer.body)) == (400, True)

    def test_a_body_over_64_kib_is_refused_whatever_the_limits_say(self, site: Site) -> None:
        site.stop()
        site.start(limits={"body_bytes": 256})
        self.ask(site, OPEN_PATH, opening(bits=8 * 2 * CHUNK_BYTES))
        assert len(self.key(0, bytes(CHUNK_BYTES))) < BODY_BYTES == 65_536
        assert self.ask(site, KEY_PATH, self.key(0, bytes(CHUNK_BYTES))).body["index"] == 1
        assert self.ask(site, KEY_PATH, self.key(1, bytes(50_000))).status == 400

    def test_an_unknown_stream_is_a_bad_request(self, site: Site) -> None:
        assert self.ask(site, KEY_PATH, self.key(0, b"x" * 100)).status == 400
        assert self.ask(site, CLOSE_PATH, json.dumps({"Key_stream_ID": STREAM})).status == 400

    def test_key_is_in_no_message_and_no_log(self, site: Site) -> None:
        site.add()
        site.push()
        key = key_of(BLOCK)
        body = self.key(0, key[:100])
        for answer in (self.ask(site, KEY_PATH, body), self.ask(site, KEY_PATH, body[:-1] + ',"x":1}')):
            assert b64encode(key[:30]).decode() not in json.dumps(answer.body)
        assert "Key" not in repr(PushKey(STREAM, 0, key)).replace("<PushKey", "")
        site.close()
        for file in site.folder.iterdir():
            data = file.read_bytes()
            for start in (0, 4096, CHUNK_BYTES, len(key) - 60):
                assert key[start : start + 12] not in data, file
                assert b64encode(key[start : start + 30]) not in data, file

    def test_the_client_tells_the_statuses_apart(self, site: Site) -> None:
        block = PushedBlock(
            block_id=BLOCK, peer="stellenbosch", origin="hardware", paths=(), bits=800, own_from_bits=0,
            own_until_bits=400, created_utc=NOW,
        )  # fmt: skip
        changed = {"bits": 1600}, {"peer": "xian"}, {"peer": "beijing"}
        with site.line() as line:
            line.open(STREAM, "beijing", block, now_utc=NOW)
            for change, kind in zip(changed, (StreamInUse, NoLink, ConfigError), strict=True):
                other = {name: getattr(block, name) for name in block.__struct_fields__} | change
                stream_id = STREAM if "bits" in change else STREAM.replace("abcd", "abce")
                with pytest.raises(kind):
                    line.open(stream_id, "beijing", PushedBlock(**other), now_utc=NOW)
            with pytest.raises(KeyExhausted, match="expected 1 chunks, got 0"):
                line.close(STREAM, now_utc=NOW)


def test_the_command(site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    site.add()
    site.add("relay:jinan-1:2")
    site.node.close()
    cert, key = site.files()
    words = ["keys", "push", "--store", str(site.folder / "beijing-node.db"), "--to", site.kme.address.url]
    words += [
        "--cert",
        str(cert),
        "--key",
        str(key),
        "--ca",
        str(site.pki.folder / "authority.crt"),
        "--json",
    ]

    def run(*more: str) -> tuple[int, Any]:
        monkeypatch.setattr(sys, "argv", ["satqkd", *words, *more])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out = capsys.readouterr().out
        return int(stop.value.code or 0), json.loads(out) if out else None

    assert run("--peer", "xian") == (0, {"pushed": [], "bits": 0, "left": []})
    assert run("--kme", "KME-Stellenbosch")[0] == 4
    code, told = run("--kme", KMES["beijing"])
    assert (code, [each["block_id"] for each in told["pushed"]]) == (0, [BLOCK, "relay:jinan-1:2"])
    assert told["bits"] == 2 * 8 * len(key_of(BLOCK))
    with KeyStore.open(site.folder / "beijing-node.db") as store:
        store.add_block(
            "other",
            peer="xian",
            kind="pair",
            origin="hardware",
            key=b"12345678",
            state="confirmed",
            now_utc=NOW,
        )
    code, told = run()
    assert (code, [each["block_id"] for each in told["left"]]) == (1, ["other"])
    site.node = KeyStore.open(site.folder / "beijing-node.db")
