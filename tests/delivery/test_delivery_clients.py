"""Programs that others wrote, against a real server: etsi-qkd-014-client, qkdsec and its doctor, skip-qkd."""

import base64
import contextlib
import io
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from delivery_cases import KMES, LOCAL, REMOTE, REMOTE_2, STRANGER, THIRD, Kme, files_of, is_error
from etsi_qkd_014_client import QKD014Client
from qkdsec.client import ETSI014Client
from qkdsec.client.errors import KMEHTTPError
from skip_qkd import MTLSConfig, SkipQKDClient
from toy_supply import ToyNetwork

BIN = Path(sys.executable).parent
UNKNOWN_ID = "550e8400-e29b-41d4-a716-446655440000"


class TestEtsiQkd014Client:
    def _client(self, kme: Kme, sae: str) -> QKD014Client:
        cert, key = files_of(kme.folder, sae)
        return QKD014Client(f"localhost:{kme.port}", str(cert), str(key), str(kme.folder / "authority.crt"))

    def test_status_keys_and_keys_by_id(self, beijing: Kme, stellenbosch: Kme) -> None:
        master, slave = self._client(beijing, LOCAL), self._client(stellenbosch, REMOTE)
        code, status = master.get_status(REMOTE)
        assert (code, status.source_kme_id, status.key_size) == (200, KMES["beijing"], 256)
        for options in ({}, {"number": 3, "size": 128}, {"extension_optional": [{"a_b": 1}]}):
            code, drawn = master.get_key(REMOTE, **options)
            assert code == 200
            ids = [each.key_id for each in drawn.keys]
            code, fetched = slave.get_key_with_key_IDs(LOCAL, ids)
            assert code == 200
            assert [(each.key_id, each.key) for each in fetched.keys] == [
                (each.key_id, each.key) for each in drawn.keys
            ]

    def test_every_refusal_can_be_read(self, beijing: Kme, stellenbosch: Kme) -> None:
        """It parses JSON on every status but 200, 401 among them."""
        code, error = self._client(stellenbosch, REMOTE).get_key_with_key_IDs(LOCAL, [UNKNOWN_ID])
        assert (code, error.message) == (400, "one or more keys specified are not found on KME")
        code, error = self._client(beijing, STRANGER).get_status(REMOTE)
        assert code == 401 and error.message
        code, error = self._client(beijing, LOCAL).get_key(REMOTE, size=257)
        assert (code, error.message) == (400, "size shall be a multiple of 8")

    def test_an_empty_pool_can_be_read(self, start: Callable[..., Kme], network: ToyNetwork) -> None:
        network.pools = dict.fromkeys(network.pools, b"")
        code, error = self._client(start("beijing"), LOCAL).get_key(REMOTE)
        assert code == 503 and error.message

    def test_its_command_line(self, beijing: Kme) -> None:
        cert, key = files_of(beijing.folder, LOCAL)
        words = [
            "-H",
            f"localhost:{beijing.port}",
            "-c",
            cert,
            "-k",
            key,
            "-r",
            beijing.folder / "authority.crt",
        ]
        done = subprocess.run(
            [BIN / "qkd014-client", *words, "get_status", REMOTE], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert KMES["stellenbosch"] in done.stdout


class TestQkdsec:
    def _client(self, kme: Kme, sae: str) -> ETSI014Client:
        files = tuple(str(each) for each in files_of(kme.folder, sae))
        ca = str(kme.folder / "authority.crt")
        return ETSI014Client(f"https://localhost:{kme.port}", client_cert=files, verify=ca)

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_status_keys_and_keys_by_id(self, beijing: Kme, stellenbosch: Kme, method: str) -> None:
        with self._client(beijing, LOCAL) as master, self._client(stellenbosch, REMOTE) as slave:
            assert master.status(REMOTE).max_key_per_request == 128
            drawn = master.get_enc_keys(REMOTE, number=3, size=512, method=method)
            fetched = slave.get_dec_keys(LOCAL, key_ids=[each.key_id for each in drawn])
            assert [each.key for each in fetched] == [each.key for each in drawn]
            with pytest.raises(KMEHTTPError) as refusal:
                slave.get_dec_keys(LOCAL, key_ids=[drawn[0].key_id])
            assert refusal.value.status_code == 400

    def test_the_doctor_finds_no_fault_with_an_application_that_is_its_own_peer(self, beijing: Kme) -> None:
        cert, key = files_of(beijing.folder, LOCAL)
        words = ["-s", LOCAL, "--cert", cert, "--key", key, "--ca-cert", beijing.folder / "authority.crt"]
        done = subprocess.run(
            [BIN / "qkdsec", "doctor", f"https://localhost:{beijing.port}", *words, "-f", "json"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        report = json.loads(done.stdout)
        found = {each["name"]: each["status"] for each in report["results"]}
        assert len(found) == 10
        assert {name for name, status in found.items() if status != "pass"} == {"error_contract_404"}
        assert found["error_contract_404"] == "warn"  # it wishes 404 where the standard says 400


class TestSkip:
    @pytest.fixture
    def ends(self, start: Callable[..., Kme]) -> tuple[Kme, Kme]:
        return start("beijing", serve={"skip": True}), start("stellenbosch", serve={"skip": True})

    def _client(self, kme: Kme, sae: str, system: str = "KP Beijing/1") -> SkipQKDClient:
        cert, key = files_of(kme.folder, sae)
        files = MTLSConfig(str(kme.folder / "authority.crt"), str(cert), str(key))
        return SkipQKDClient(f"localhost:{kme.port}", system, files)

    def test_the_real_client_gets_the_same_key_at_both_ends(self, ends: tuple[Kme, Kme]) -> None:
        beijing, stellenbosch = ends
        new = self._client(beijing, LOCAL).request_key(REMOTE, 512)
        assert re.fullmatch(r"[0-9a-f]{32}", new["keyId"]) and len(bytes.fromhex(new["key"])) == 64
        assert self._client(stellenbosch, REMOTE).fetch_key_by_id(new["keyId"], LOCAL) == new
        with pytest.raises(RuntimeError, match="400"):
            self._client(stellenbosch, REMOTE).fetch_key_by_id(new["keyId"], LOCAL)
        assert len(bytes.fromhex(self._client(beijing, LOCAL).request_key(REMOTE)["key"])) == 32

    def test_capabilities(self, ends: tuple[Kme, Kme]) -> None:
        told = self._client(ends[0], LOCAL).capabilities()
        assert (told["entropy"], told["key"], told["localSystemID"]) == (True, True, LOCAL)
        assert {THIRD, REMOTE} <= set(told["remoteSystemID"]) and LOCAL not in told["remoteSystemID"]

    @pytest.mark.parametrize(("asked", "bits"), [(None, 256), (1, 1), (9, 9), (1024, 1024)])
    def test_entropy(self, ends: tuple[Kme, Kme], asked: int | None, bits: int) -> None:
        one, other = (self._client(ends[0], LOCAL).entropy(asked) for _ in range(2))
        assert one["minentropy"] == bits and len(bytes.fromhex(one["randomStr"])) == -(-bits // 8)
        assert bits < 64 or one["randomStr"] != other["randomStr"]

    @pytest.mark.parametrize(
        "target",
        [
            "/key", "/key?size=256", "/key?remoteSystemID=nobody", "/capabilities?x=1",
            f"/key?remoteSystemID={REMOTE}&size=0",
            f"/key?remoteSystemID={REMOTE}&size=12",
            f"/key/xyz?remoteSystemID={REMOTE}", f"/key/{'0' * 32}?remoteSystemID={REMOTE}",
            "/entropy?minentropy=0", "/entropy?minentropy=x", "/entropy?minentropy=999999",
            f"/key/{chr(48) * 32}",
        ],
    )  # fmt: skip
    def test_what_is_no_request_is_refused(self, ends: tuple[Kme, Kme], target: str) -> None:
        reply = ends[0].ask("GET", target)
        assert reply.status == 400 and is_error(reply.body)

    def test_odd_system_ids_in_the_query(self, ends: tuple[Kme, Kme]) -> None:
        for name in ("a/b", "量子/钥匙", "white space", "semi;colon?query=1&b#c"):
            new = ends[0].ask("GET", f"/key?remoteSystemID={quote(name, safe='')}").body
            fetched = ends[0].ask("GET", f"/key/{new['keyId']}?remoteSystemID={LOCAL}", sae=name)
            assert fetched.body == new

    def test_a_third_system_gets_nothing(self, ends: tuple[Kme, Kme]) -> None:
        new = ends[0].ask("GET", f"/key?remoteSystemID={REMOTE}").body
        for sae, status in ((REMOTE_2, 401), (REMOTE, 200)):
            assert ends[1].ask("GET", f"/key/{new['keyId']}?remoteSystemID={LOCAL}", sae=sae).status == status

    def test_it_is_off_unless_switched_on(self, beijing: Kme) -> None:
        assert beijing.ask("GET", "/capabilities").status == 404

    def test_keys_of_both_interfaces_are_the_same(self, ends: tuple[Kme, Kme]) -> None:
        [key] = ends[0].enc({}).body["keys"]
        name = key["key_ID"].replace("-", "")
        fetched = ends[1].ask("GET", f"/key/{name}?remoteSystemID={LOCAL}", sae=REMOTE).body
        assert bytes.fromhex(fetched["key"]) == base64.b64decode(key["key"])

    def test_a_connection_that_asks_to_be_closed_is_closed(self, ends: tuple[Kme, Kme]) -> None:
        request = b"GET /capabilities HTTP/1.1\r\nHost: KP 1/x\r\nConnection: close\r\n\r\n"
        with (
            socket.create_connection(("127.0.0.1", ends[0].port), timeout=20) as raw,
            ends[0].context(LOCAL).wrap_socket(raw, server_hostname="localhost") as line,
        ):
            line.sendall(request)
            answer = b"".join(iter(lambda: line.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_no_client_prints_a_key(beijing: Kme) -> None:
    """Of our own client: not in its repr, not in an error."""
    out: Any = io.StringIO()
    with contextlib.redirect_stdout(out), beijing.client(LOCAL) as client:
        keys = client.get_keys(LOCAL, 2)
        print(keys, client)
    for each in keys:
        shown = bytes(each.key.expose())
        assert base64.b64encode(shown).decode() not in out.getvalue() and shown.hex() not in out.getvalue()
