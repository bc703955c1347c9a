"""The server as a whole: limits, log, metrics, what never shows, its process and its commands."""

import base64
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from delivery_cases import (
    HOMES,
    KMES,
    LOCAL,
    REMOTE,
    REMOTE_2,
    THIRD,
    Kme,
    files_of,
    is_error,
    path,
    scraped,
    serve_config,
)
from hypothesis import given
from hypothesis import strategies as st
from toy_supply import ToyNetwork

from satqkd.cli import main
from satqkd.delivery import KmeClient, read_serve_config, serving
from satqkd.delivery.bucket import Buckets
from satqkd.delivery.pki_folder import PkiFolder
from satqkd.errors import ConfigError, KeyExhausted, LinkError, ResourceError

SERVED = Path(__file__).with_name("served.py")


class TestLimits:
    def test_too_many_requests_of_one_application_do_not_touch_another(
        self, start: Callable[..., Kme]
    ) -> None:
        kme = start("beijing", limits={"requests_per_s": 0.001, "burst": 3})
        replies = [kme.enc({}) for _ in range(5)]
        assert [each.status for each in replies] == [200, 200, 200, 503, 503]
        assert is_error(replies[3].body) and replies[3].headers["Retry-After"] == "1"
        assert kme.enc({}, sae=THIRD).status == 200
        with kme.client(LOCAL) as client, pytest.raises(LinkError, match="too many requests"):
            client.get_keys(REMOTE)

    @given(
        st.lists(st.floats(0, 10), min_size=1, max_size=200),
        st.floats(0.1, 100),
        st.integers(1, 20),
    )
    def test_a_bucket_never_gives_more_than_its_burst_and_rate(
        self, gaps: list[float], rate: float, burst: int
    ) -> None:
        buckets, now_s, taken = Buckets(requests_per_s=rate, burst=burst), 0.0, 0
        for gap in gaps:
            now_s += gap
            taken += buckets.take("a", now_s)
            assert taken <= burst + rate * (now_s - gaps[0]) + 1e-6
        assert taken >= min(len(gaps), burst)

    def test_connections_beyond_the_limit_are_closed(self, start: Callable[..., Kme]) -> None:
        kme = start("beijing", limits={"connections": 2})
        with kme.client(LOCAL) as one, kme.client(THIRD) as two:
            one.status(REMOTE), two.status(REMOTE)
            with kme.client(LOCAL) as three, pytest.raises(LinkError):
                three.status(REMOTE)
            assert one.status(REMOTE).master == LOCAL
        assert scraped(kme)["satqkd_delivery_connections_refused_total", ()] >= 1

    def test_a_client_that_says_nothing_or_dawdles_is_closed(self, start: Callable[..., Kme]) -> None:
        kme = start("beijing", limits={"idle_s": 0.2})
        for said in (b"", b"GET /api/v1/keys/x/status HTTP/1.1\r\nHost:"):
            with (
                socket.create_connection(("127.0.0.1", kme.port), timeout=20) as raw,
                kme.context(LOCAL).wrap_socket(raw, server_hostname="localhost") as line,
            ):
                line.sendall(said) if said else None
                assert line.recv(100) == b""

    def test_a_body_that_does_not_come_is_refused(self, start: Callable[..., Kme]) -> None:
        kme = start("beijing", limits={"body_s": 0.1})
        head = f"POST {path(REMOTE, 'enc_keys')} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        with (
            socket.create_connection(("127.0.0.1", kme.port), timeout=20) as raw,
            kme.context(LOCAL).wrap_socket(raw, server_hostname="localhost") as line,
        ):
            line.sendall(head.encode() + b"Content-Length: 10\r\n\r\n{")
            assert line.recv(4096).startswith(b"HTTP/1.1 400 ")

    def test_more_than_may_wait_for_the_disk_are_told_to_come_again(
        self, start: Callable[..., Kme], network: ToyNetwork
    ) -> None:
        kme = start("beijing", limits={"waiting": 1})
        held, go, draw = threading.Event(), threading.Event(), kme.supply.draw
        kme.supply.slow = True

        def wait(request: Any, *, now_utc: str) -> Any:
            held.set()
            go.wait()
            return draw(request, now_utc=now_utc)

        kme.supply.draw = wait  # type: ignore[method-assign]
        first: list[int] = []
        thread = threading.Thread(target=lambda: first.append(kme.enc({}).status))
        thread.start()
        held.wait()
        second = kme.enc({})
        go.set()
        thread.join()
        assert (first, second.status, second.headers["Retry-After"]) == ([200], 503, "1")

    def test_key_that_is_gone_is_told_as_such(self, start: Callable[..., Kme], network: ToyNetwork) -> None:
        network.pools = {}
        with start("beijing").client(LOCAL) as client, pytest.raises(KeyExhausted, match="no key is left"):
            client.get_keys(REMOTE)


class TestBooks:
    def test_log_and_metrics_tell_who_got_how_much_and_never_a_key(
        self, beijing: Kme, stellenbosch: Kme, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with beijing.client(LOCAL) as master, stellenbosch.client(REMOTE) as slave:
            keys = master.get_keys(REMOTE, 5, 512)
            slave.get_keys_by_id(LOCAL, [each.key_id for each in keys])
        assert beijing.dec(keys[0].key_id, sae=THIRD).status == 400
        assert stellenbosch.dec(keys[0].key_id, sae=REMOTE_2).status == 401
        beijing.supply.draw = lambda *_, **__: 1 / 0  # type: ignore[method-assign]
        assert beijing.enc({}).status == 503
        lines = [json.loads(each) for each in (tmp_path / "beijing.jsonl").read_text().splitlines()]
        assert [each["event"] for each in lines][:2] == ["server", "request"]
        drawn = lines[1]
        assert (drawn["sae"], drawn["operation"], drawn["other"]) == (LOCAL, "postKey", REMOTE)
        assert (drawn["status"], drawn["keys"], drawn["bits"]) == (200, 5, 2560)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", drawn["utc"])
        samples = scraped(beijing)
        assert samples["satqkd_delivery_keys_total", (("operation", "postKey"),)] == 5
        assert samples["satqkd_delivery_requests_total", (("operation", "postKey"), ("status", "503"))] == 1
        assert samples["satqkd_delivery_available_bits", (("peer", "stellenbosch"),)] == 8 * ((1 << 20) - 320)
        written = b"".join(each.read_bytes() for each in tmp_path.glob("*.jsonl"))
        text = written.decode() + caplog.text + json.dumps([str(each) for each in samples])
        assert "ZeroDivisionError" in caplog.text
        for each in keys:
            shown = bytes(each.key.expose())
            for form in (shown.hex(), base64.b64encode(shown).decode(), repr(shown)[2:-1], str(list(shown))):
                assert form not in text and form[8:40] not in text

    def test_the_log_is_its_owners_alone(self, beijing: Kme, tmp_path: Path) -> None:
        assert (tmp_path / "beijing.jsonl").stat().st_mode & 0o777 == 0o600

    def test_a_disk_that_takes_no_line_stops_no_delivery(self, start: Callable[..., Kme]) -> None:
        kme = start("beijing", serve={"log": "/dev/full"})
        assert kme.enc({}).status == 200
        assert scraped(kme)["satqkd_delivery_log_lines_lost_total", ()] >= 2

    def test_metrics_are_on_loopback_alone_and_no_part_of_the_interface(self, beijing: Kme) -> None:
        assert str(beijing.address.metrics_url).startswith("http://127.0.0.1:")
        assert beijing.ask("GET", "/metrics").status == 404

    def test_buffers_of_key_are_wiped_once_they_are_sent(self, beijing: Kme) -> None:
        batches, draw = [], beijing.supply.draw

        def kept(request: Any, *, now_utc: str) -> Any:
            batches.append(draw(request, now_utc=now_utc))
            return batches[-1]

        beijing.supply.draw = kept  # type: ignore[method-assign]
        assert beijing.enc({"number": 2}).status == 200
        assert "wiped" in repr(batches[0].keys)


def test_what_was_handed_out_is_written_down_again_and_again(
    start: Callable[..., Kme], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("satqkd.delivery.server.SETTLE_S", 0.01)
    kme, fail = start("beijing"), threading.Event()
    settle = kme.supply.settle

    def failing(*, now_utc: str) -> None:
        settle(now_utc=now_utc)
        fail.set()
        raise RuntimeError("no disk")

    while not kme.supply.settled:
        time.sleep(0.01)
    kme.supply.settle = failing  # type: ignore[method-assign]
    fail.wait()
    before = kme.supply.settled
    while kme.supply.settled < before + 2:  # one that fails does not end it
        time.sleep(0.01)
    assert kme.enc({}).status == 200


def test_the_end_waits_for_requests_under_way(pki: PkiFolder, network: ToyNetwork, tmp_path: Path) -> None:
    supply = network.supply("beijing")
    held, go, draw = threading.Event(), threading.Event(), supply.draw
    supply.slow = True

    def wait(request: Any, *, now_utc: str) -> Any:
        held.set()
        go.wait()
        return draw(request, now_utc=now_utc)

    supply.draw = wait  # type: ignore[method-assign]
    found: list[int] = []
    with serving(supply, serve_config(pki.folder, "beijing", tmp_path)) as address:
        kme = Kme(address, supply, pki.folder)
        thread = threading.Thread(target=lambda: found.append(kme.enc({}).status))
        thread.start()
        held.wait()
        threading.Timer(0.2, go.set).start()
    thread.join()
    assert (found, supply.closed) == ([200], True)


class TestSettings:
    def _text(self, **changes: Any) -> str:
        tables: dict[str, Any] = {
            "serve": {"store": "a.db"},
            "tls": {"certificate": "a.crt", "key": "a.key", "ca": "ca.crt"},
            "kme": [{"id": "K", "node": "n"}],
            "sae": [{"id": "s", "kme": "K"}],
        }
        return tomli_w.dumps(tables | changes)

    def test_paths_are_those_of_the_files_folder(self, tmp_path: Path) -> None:
        file = tmp_path / "serve.toml"
        file.write_text(self._text(), encoding="utf-8")
        config = read_serve_config(file)
        assert config.serve.store == str(tmp_path / "a.db")
        assert (config.tls.ca, config.tls.crl, config.serve.log) == (str(tmp_path / "ca.crt"), None, None)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"sae": [{"id": "s", "kme": "L"}]}, "expected kme to be one of"),
            ({"sae": [{"id": "s", "kme": "K"}] * 2}, "got 's' twice"),
            ({"kme": [{"id": "K", "node": "n"}, {"id": "L", "node": "n"}]}, "got 'n' twice"),
            ({"limits": {"key_bits": 100}}, "multiples of 8"),
            ({"limits": {"min_key_bits": 512}}, "min_key_bits <= key_bits"),
            ({"limits": {"idle": 3}}, "did you mean idle_s"),
            ({"serve": {"store": "a", "port": 70_000}}, "serve.port"),
        ],
    )
    def test_what_is_wrong_is_told_with_its_place(
        self, tmp_path: Path, changes: dict[str, Any], words: str
    ) -> None:
        file = tmp_path / "serve.toml"
        file.write_text(self._text(**changes), encoding="utf-8")
        with pytest.raises(ConfigError, match=re.escape(words)):
            read_serve_config(file)

    def test_a_store_of_another_node_and_a_port_that_is_taken(
        self, pki: PkiFolder, network: ToyNetwork, tmp_path: Path, beijing: Kme
    ) -> None:
        config = serve_config(pki.folder, "beijing", tmp_path)
        with pytest.raises(ConfigError, match="whose store this is"), serving(network.supply("mars"), config):
            pass
        taken = serve_config(pki.folder, "beijing", tmp_path, serve={"port": beijing.port})
        with pytest.raises(ResourceError, match="cannot be taken"), serving(network.supply("beijing"), taken):
            pass

    def test_missing_certificates_are_refused_in_words(
        self, pki: PkiFolder, network: ToyNetwork, tmp_path: Path
    ) -> None:
        config = serve_config(pki.folder, "beijing", tmp_path, tls={"ca": str(tmp_path / "no.crt")})
        with pytest.raises(ConfigError, match=r"no\.crt"), serving(network.supply("beijing"), config):
            pass


@contextmanager
def served(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`satqkd serve` in a process, with the address that it printed."""
    file = folder / "serve.toml"
    certificate, key = files_of(folder, KMES["beijing"])
    tables = {
        "serve": {"store": "none.db", "port": 0, "metrics_port": 0},
        "tls": {"certificate": certificate.name, "key": key.name, "ca": "authority.crt", "crl": "revoked.crl",
                "reload_s": 3600.0},
        "kme": [{"id": name, "node": node} for node, name in KMES.items()],
        "sae": [{"id": name, "kme": KMES[node]} for name, node in HOMES.items()],
    }  # fmt: skip
    file.write_text(tomli_w.dumps(tables), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(SERVED), str(file), *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=SERVED.parent,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def copied(pki: PkiFolder, tmp_path: Path) -> Path:
    shutil.copytree(pki.folder, tmp_path / "copied")
    return tmp_path / "copied"


def client_of(folder: Path, url: str, sae: str) -> KmeClient:
    cert, key = files_of(folder, sae)
    return KmeClient(url.replace("127.0.0.1", "localhost"), cert=cert, key=key, ca=folder / "authority.crt")


class TestProcess:
    def test_it_serves_reloads_on_a_hangup_and_ends_when_asked(self, copied: Path) -> None:
        with served(copied, "--demo") as (process, told):
            with client_of(copied, told["url"], LOCAL) as client:
                assert client.get_keys(REMOTE)[0].origin == "twin"
            with client_of(copied, told["url"], THIRD) as client:
                client.status(LOCAL)
                PkiFolder(copied).revoke(files_of(copied, THIRD)[0].name, datetime.now(UTC))
                process.send_signal(signal.SIGHUP)
                while (
                    'satqkd_delivery_reloads_total{outcome="done"} 1.0'
                    not in urllib.request.urlopen(told["metrics_url"]).read().decode()
                ):
                    time.sleep(0.01)
                with pytest.raises(Exception, match="revoked"):
                    client.status(LOCAL)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate()
        assert (process.returncode, out) == (0, "")
        assert "listening on https://127.0.0.1:" in err and "closed" in err and "--demo" in err

    def test_key_of_the_twin_is_refused_without_demo(self, copied: Path) -> None:
        with (
            served(copied) as (_, told),
            client_of(copied, told["url"], LOCAL) as client,
            pytest.raises(KeyExhausted, match="demonstration"),
        ):
            client.get_keys(REMOTE)


def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object
) -> tuple[int, str, str]:
    """A command in this process: exit code, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["satqkd", *map(str, words)])
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end:
        main()
    signal.signal(signal.SIGTERM, before)
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


class TestCommands:
    @pytest.fixture
    def words(self, beijing: Kme) -> list[object]:
        cert, key = files_of(beijing.folder, LOCAL)
        ca = beijing.folder / "authority.crt"
        return [
            "get-key",
            "--url",
            f"https://localhost:{beijing.port}",
            "--cert",
            cert,
            "--key",
            key,
            "--ca",
            ca,
        ]

    def test_a_key_is_drawn_and_fetched(
        self, words: list[object], tmp_path: Path, capsys: Any, monkeypatch: Any
    ) -> None:
        code, out, _ = run(
            capsys, monkeypatch, *words, "--slave", LOCAL, "--number", 2, "--size", 128, "--json"
        )
        keys = json.loads(out)["keys"]
        assert (code, [each["bits"] for each in keys]) == (0, [128, 128])
        ids = [word for each in keys for word in ("--id", each["key_id"])]
        target = tmp_path / "key.bin"
        code, out, err = run(capsys, monkeypatch, *words, "--master", LOCAL, *ids, "--out", target, "--json")
        assert code == 0
        assert target.read_bytes() == b"".join(base64.b64decode(each["key"]) for each in keys)
        assert target.stat().st_mode & 0o777 == 0o600
        assert [set(each) for each in json.loads(out)["keys"]] == [{"key_id", "bits", "paths", "origin"}] * 2
        for each in keys:
            assert each["key"] not in out + err
        code, out, err = run(capsys, monkeypatch, *words, "--master", LOCAL, *ids, "--json")
        assert (code, out) == (2, "") and "not found on KME" in err

    def test_a_target_that_is_there_costs_no_key(
        self, words: list[object], beijing: Kme, tmp_path: Path, capsys: Any, monkeypatch: Any
    ) -> None:
        target = tmp_path / "there"
        target.write_bytes(b"x")
        code, _, err = run(capsys, monkeypatch, *words, "--slave", REMOTE, "--out", target)
        assert code == 2 and "no key was used" in err
        assert scraped(beijing).get(("satqkd_delivery_keys_total", (("operation", "postKey"),)), 0) == 0

    @pytest.mark.parametrize(
        "more",
        [[], ["--slave", "a", "--master", "b", "--json"], ["--slave", "a"], ["--master", "a", "--json"],
         ["--slave", "a", "--id", "x", "--json"], ["--master", "a", "--id", "x", "--size", "8", "--json"]],
    )  # fmt: skip
    def test_words_that_do_not_go_together(
        self, words: list[object], more: list[str], capsys: Any, monkeypatch: Any
    ) -> None:
        code, out, err = run(capsys, monkeypatch, *words, *more)
        assert (code, out) == (2, "") and err.startswith("satqkd: ")

    def test_a_kme_that_is_not_there(self, words: list[object], capsys: Any, monkeypatch: Any) -> None:
        free = socket.create_server(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        changed = [f"https://localhost:{port}" if str(each).startswith("https:") else each for each in words]
        code, _, err = run(capsys, monkeypatch, *changed, "--slave", REMOTE, "--json")
        assert code == 4 and "no answer of the KME" in err

    def test_a_pki_is_made_and_its_certificates_renewed_and_revoked(
        self, tmp_path: Path, capsys: Any, monkeypatch: Any
    ) -> None:
        folder = tmp_path / "pki"
        names = ["--kme", "kme-a", "--kme", "kme-b", "--sae", "a@x@kme-a", "--sae", "b@kme-b"]
        names += ["--node", "d@kme-a"]
        code, out, _ = run(capsys, monkeypatch, "pki", "init", folder, *names, "--json")
        assert code == 0
        made = json.loads(out)
        assert [(each["kind"], each["name"]) for each in made] == [
            ("kme", "kme-a"), ("kme", "kme-b"), ("sae", "a@x"), ("sae", "b"), ("node", "d")
        ]  # fmt: skip
        config = read_serve_config(folder / "kme-kme-a.toml")
        assert {(each.id, each.kme) for each in config.sae} == {("a@x", "kme-a"), ("b", "kme-b")}
        assert run(capsys, monkeypatch, "pki", "init", folder, *names)[0] == 2
        code, out, _ = run(capsys, monkeypatch, "pki", "issue", folder, "--sae", "c", "--days", 7, "--json")
        assert code == 0 and json.loads(out)[0]["file"] == "sae-c.crt"
        assert run(capsys, monkeypatch, "pki", "issue", folder, "--sae", "c")[0] == 2
        assert [each.id for each in config.node] == ["d"]
        assert run(capsys, monkeypatch, "pki", "issue", folder, "--node", "e")[0] == 0
        for words in ([], ["--node", "f", "--sae", "f"]):
            assert run(capsys, monkeypatch, "pki", "issue", folder, *words)[0] == 2
        assert run(capsys, monkeypatch, "pki", "renew", folder, "sae-c.crt")[0] == 0
        code, out, _ = run(capsys, monkeypatch, "pki", "revoke", folder, "sae-c.crt", "--json")
        assert code == 0 and len(json.loads(out)) == 2 and json.loads(out)[0]["revoked_utc"] is not None
        assert run(capsys, monkeypatch, "pki", "revoke", folder, "sae-d.crt")[0] == 2

    @pytest.mark.parametrize("sae", ["a", "@kme-a", "a@kme-c"])
    def test_an_application_without_a_kme_makes_no_pki(
        self, tmp_path: Path, sae: str, capsys: Any, monkeypatch: Any
    ) -> None:
        code, _, err = run(capsys, monkeypatch, "pki", "init", tmp_path / "p", "--kme", "kme-a", "--sae", sae)
        assert code == 2 and "expected ID@KME" in err and not (tmp_path / "p").exists()
