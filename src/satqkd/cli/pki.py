"""`satqkd pki`: a development PKI for the key server and its applications."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from satqkd.cli.common import Json, print_json, print_table
from satqkd.errors import ConfigError

if TYPE_CHECKING:
    from satqkd.delivery.pki_folder import Issued, PkiFolder

app = typer.Typer(
    help="Make, renew and revoke certificates for a laboratory's key servers and applications.",
    no_args_is_help=True,
)
Folder = Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Folder of the authority.")]
File = Annotated[str, typer.Argument(metavar="CERTIFICATE", help="A .crt file of the folder.")]
Days = Annotated[int, typer.Option(min=1, max=3650, help="How long a certificate holds.")]
Hosts = Annotated[
    list[str] | None, typer.Option("--host", help="Name or address of a KME's machine besides this one's.")
]
Nodes = Annotated[
    list[str] | None,
    typer.Option("--node", help="ID@KME of a node that may push key there, for a client certificate."),
]
Kmes = Annotated[list[str] | None, typer.Option("--kme", help="Id of a KME, for a server certificate.")]


@app.command()
def init(
    directory: Folder,
    kme: Kmes = None,
    sae: Annotated[
        list[str] | None,
        typer.Option("--sae", help="ID@KME of an application, for a client certificate; the last @ counts."),
    ] = None,
    node: Nodes = None,
    host: Hosts = None,
    days: Days = 397,
    json: Json = False,
) -> None:
    """Make an authority, server and client certificates, an empty list of revocations, server files."""
    from satqkd.delivery.pki_folder import PkiFolder
    from satqkd.delivery.server_file import write_server_files

    kmes = kme or []
    applications = [_at_kme("--sae", each, kmes) for each in sae or []]
    nodes = [_at_kme("--node", each, kmes) for each in node or []]
    if not kmes:
        raise ConfigError("pki init: expected --kme ID once or more, got none")
    now = datetime.now(UTC)
    made = PkiFolder.create(directory, now)
    for name in kmes:
        made.issue("kme", name, now, hosts=host or (), days=days)
    for name, _ in applications:
        made.issue("sae", name, now, days=days)
    for name in dict.fromkeys(name for name, _ in nodes):
        made.issue("node", name, now, days=days)
    write_server_files(made, kmes, applications, nodes)
    _tell(made.issued, json=json)


@app.command()
def issue(
    directory: Folder,
    kme: Annotated[str | None, typer.Option(help="Id of a KME, for a server certificate.")] = None,
    sae: Annotated[str | None, typer.Option(help="Id of an application, for a client certificate.")] = None,
    node: Annotated[
        str | None, typer.Option(help="Id of a node that pushes key, for a client certificate.")
    ] = None,
    host: Hosts = None,
    days: Days = 397,
    json: Json = False,
) -> None:
    """Make one more certificate."""
    if sum(each is not None for each in (kme, sae, node)) != 1:
        raise ConfigError("pki issue: expected --kme, --sae or --node, one of the three")

    def work(folder: "PkiFolder", now: datetime) -> "list[Issued]":
        if kme is not None:
            return [folder.issue("kme", kme, now, hosts=host or (), days=days)]
        if node is not None:
            return [folder.issue("node", node, now, days=days)]
        return [folder.issue("sae", sae or "", now, days=days)]

    _with(directory, work, json=json)


@app.command()
def renew(directory: Folder, certificate: File, days: Days = 397, json: Json = False) -> None:
    """Put a new certificate and key in the place of one; a server takes them up while it runs."""
    _with(directory, lambda folder, now: [folder.renew(certificate, now, days=days)], json=json)


@app.command()
def revoke(directory: Folder, certificate: File, json: Json = False) -> None:
    """Revoke all certificates of a file's holder; a server refuses them while it runs."""
    _with(directory, lambda folder, now: folder.revoke(certificate, now), json=json)


def _with(folder: Path, work: "Callable[[PkiFolder, datetime], list[Issued]]", *, json: bool) -> None:
    from satqkd.delivery.pki_folder import PkiFolder

    _tell(work(PkiFolder(folder), datetime.now(UTC)), json=json)


def _tell(rows: "list[Issued]", *, json: bool) -> None:
    if json:
        print_json(rows)
        return
    print_table(
        "certificates",
        ("file", "kind", "name", "until", "revoked"),
        [(each.file, each.kind, each.name, each.not_after_utc, each.revoked_utc) for each in rows],
    )


def _at_kme(option: str, text: str, kmes: list[str]) -> tuple[str, str]:
    name, at, kme = text.rpartition("@")
    if not at or not name or kme not in kmes:
        raise ConfigError(f"{option}: expected ID@KME with a KME of --kme ({', '.join(kmes)}), got {text!r}")
    return name, kme
