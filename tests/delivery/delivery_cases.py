"""Names, settings and raw requests that the tests of delivery share."""

import http.client
import json
import ssl
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from prometheus_client.parser import text_string_to_metric_families
from toy_supply import ToySupply

from satqkd.config import load
from satqkd.delivery import Address, KmeClient, ServeConfig
from satqkd.delivery.pki_folder import PkiFolder

LOCAL, THIRD, REMOTE, REMOTE_2 = "sae-beijing", "sae-third", "sae-stellenbosch", "sae-stellenbosch-2"
STRANGER = "sae-stranger"
ODD = (
    "a/b",
    "white space",
    "100%",
    "100%2F",
    "量子/钥匙",
    "x" * 200,
    "semi;colon?query=1&b#c",
    "..",
    "ü@kme",
)
"""Names that any URL or file name may stumble over, all at Beijing."""
KMES = {"beijing": "KME/Beijing", "stellenbosch": "KME-Stellenbosch"}
NODES = {"beijing": "Distiller/Beijing", "stellenbosch": "distiller-stellenbosch"}
"""Who may push key, by the node whose key it is."""
STRANGE_NODE = "distiller-stranger"
HOMES = {
    **dict.fromkeys((LOCAL, THIRD, *ODD), "beijing"),
    REMOTE: "stellenbosch",
    REMOTE_2: "stellenbosch",
}


def make_folder(folder: Path, now: datetime) -> PkiFolder:
    """Certificates of everybody, and of one application that no KME knows."""
    made = PkiFolder.create(folder, now)
    for name in KMES.values():
        made.issue("kme", name, now)
    for name in (*HOMES, STRANGER):
        made.issue("sae", name, now)
    for name in (*NODES.values(), STRANGE_NODE):
        made.issue("node", name, now)
    return made


def files_of(folder: Path, name: str) -> tuple[Path, Path]:
    """Certificate and key of a name."""
    index = json.loads((folder / "index.json").read_bytes())
    file = next(each["file"] for each in reversed(index) if each["name"] == name)
    return folder / file, (folder / file).with_suffix(".key")


def serve_config(folder: Path, node: str, scratch: Path, **changes: Any) -> ServeConfig:
    """Settings of one KME; `changes` are laid over the tables of the same name."""
    certificate, key = files_of(folder, KMES[node])
    tables: dict[str, Any] = {
        "serve": {"store": "none.db", "port": 0, "metrics_port": 0, "log": str(scratch / f"{node}.jsonl")},
        "tls": {
            "certificate": str(certificate),
            "key": str(key),
            "ca": str(folder / "authority.crt"),
            "crl": str(folder / "revoked.crl"),
            "reload_s": 0.05,
        },
        "kme": [{"id": name, "node": each} for each, name in KMES.items()],
        "sae": [{"id": name, "kme": KMES[each]} for name, each in HOMES.items()],
        "node": [{"id": NODES[node]}],
    }
    for name, table in changes.items():
        tables[name] = tables.get(name, {}) | table if isinstance(table, dict) else table
    return load(tables, ServeConfig, "tests").value


class Reply(NamedTuple):
    """An HTTP answer."""

    status: int
    body: Any
    headers: dict[str, str]


class Kme(NamedTuple):
    """A server that runs."""

    address: Address
    supply: ToySupply
    folder: Path

    @property
    def port(self) -> int:
        return int(self.address.url.rsplit(":", 1)[1])

    def client(self, sae: str) -> KmeClient:
        """As an application."""
        cert, key = files_of(self.folder, sae)
        return KmeClient(self.address.url, cert=cert, key=key, ca=self.folder / "authority.crt")

    def context(self, sae: str | None) -> ssl.SSLContext:
        """TLS as an application, or as nobody."""
        context = ssl.create_default_context(cafile=str(self.folder / "authority.crt"))
        if sae is not None:
            context.load_cert_chain(*files_of(self.folder, sae))
        return context

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        *,
        sae: str = LOCAL,
        kind: str | None = "application/json",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """One request on a connection of its own."""
        line = http.client.HTTPSConnection("localhost", self.port, context=self.context(sae), timeout=20)
        told = dict(headers or {})
        if body is not None and kind is not None:
            told["Content-Type"] = kind
        try:
            line.request(method, path, body=body, headers=told)
            answer = line.getresponse()
            data = answer.read()
        finally:
            line.close()
        assert answer.headers["Content-Type"].startswith("application/json"), data
        return Reply(answer.status, json.loads(data) if data else None, dict(answer.headers))

    def enc(self, body: Any = None, *, slave: str = REMOTE, sae: str = LOCAL) -> Reply:
        """POST enc_keys."""
        data = body if body is None or isinstance(body, bytes | str) else json.dumps(body)
        return self.ask("POST", path(slave, "enc_keys"), data, sae=sae)

    def dec(self, *ids: str, master: str = LOCAL, sae: str = REMOTE) -> Reply:
        """POST dec_keys."""
        body = json.dumps({"key_IDs": [{"key_ID": each} for each in ids]})
        return self.ask("POST", path(master, "dec_keys"), body, sae=sae)


def path(name: str, method: str) -> str:
    """Of a method."""
    return f"/api/v1/keys/{quote(name, safe='')}/{method}"


def is_error(body: Any) -> bool:
    """Whether a body is the standard's Error object."""
    return (
        isinstance(body, dict)
        and set(body) <= {"message", "details"}
        and isinstance(body["message"], str)
        and body["message"] != ""
        and isinstance(body.get("details", []), list)
        and all(isinstance(each, dict) and len(each) >= 1 for each in body.get("details", []))
    )


def scraped(kme: Kme) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All samples of `/metrics`."""
    with urllib.request.urlopen(str(kme.address.metrics_url)) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
