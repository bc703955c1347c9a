"""A server file for each KME of a new PKI, ready for `satqkd serve`: paths, who is who, all else default.

A node's name and its store's file are taken from the KME's id; whoever named them otherwise edits the file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import tomli_w

from satqkd.delivery.pki_folder import AUTHORITY, REVOKED, PkiFolder

FIRST_PORT: Final = 8443


def write_server_files(
    folder: PkiFolder,
    kmes: list[str],
    applications: list[tuple[str, str]],
    nodes: Sequence[tuple[str, str]] = (),
) -> list[Path]:
    """`<certificate>.toml` beside each KME's certificate.

    applications: pairs of SAE id and KME id. nodes: of who may push key, and to which KME.
    """
    return [
        _written(
            folder,
            name,
            FIRST_PORT + number,
            kmes,
            applications,
            [node for node, home in nodes if home == name],
        )
        for number, name in enumerate(kmes)
    ]


def _written(
    folder: PkiFolder,
    kme: str,
    port: int,
    kmes: list[str],
    applications: list[tuple[str, str]],
    nodes: list[str],
) -> Path:
    certificate = next(each.file for each in folder.issued if (each.kind, each.name) == ("kme", kme))
    stem = Path(certificate).stem
    table = {
        "serve": {"store": f"../{kme}.sqlite", "port": port},
        "tls": {
            "certificate": certificate,
            "key": f"{stem}.key",
            "ca": f"{AUTHORITY}.crt",
            "crl": REVOKED,
        },
        "kme": [
            {"id": name, "node": name, "url": f"https://localhost:{FIRST_PORT + number}"}
            for number, name in enumerate(kmes)
        ],
        "sae": [{"id": name, "kme": home} for name, home in applications],
    }
    if nodes:
        table["node"] = [{"id": name} for name in nodes]
    path = folder.folder / f"{stem}.toml"
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path
