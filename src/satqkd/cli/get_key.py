"""`satqkd get-key`: draw key from a KME as an application, or fetch what another one drew."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from satqkd.cli.common import Json, new_file, print_json, print_table, say
from satqkd.errors import ConfigError

if TYPE_CHECKING:
    from satqkd.delivery import DeliveredKey, KmeClient


def get_key(
    url: Annotated[str, typer.Option(help="The KME: https://HOST:PORT.")],
    cert: Annotated[Path, typer.Option(help="Certificate of this application, PEM.")],
    key: Annotated[Path, typer.Option(help="Its private key, PEM.")],
    ca: Annotated[Path, typer.Option(help="Certificate of the authority that vouches for the KME, PEM.")],
    slave: Annotated[
        str | None, typer.Option(help="Draw new key to share with this application, by its SAE id.")
    ] = None,
    master: Annotated[
        str | None, typer.Option(help="Fetch key that this application drew, by its SAE id.")
    ] = None,
    key_id: Annotated[list[str] | None, typer.Option("--id", help="Id of a key to fetch.")] = None,
    number: Annotated[int | None, typer.Option(min=1, help="How many keys to draw; default 1.")] = None,
    size: Annotated[int | None, typer.Option(min=8, help="Bits of each; default the KME's.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the keys' bytes here, one after another; must not exist.")
    ] = None,
    json: Json = False,
) -> None:
    """Get keys by ETSI GS QKD 014; with --json and no --out they stand in the document, in base64."""
    from satqkd.delivery import KmeClient

    _check(slave, master, key_id, number, size)
    if out is None and not json:
        raise ConfigError("get-key: expected --out or --json, got neither; say where the key goes")
    with KmeClient(url, cert=cert, key=key, ca=ca) as kme:
        if out is None:
            _print(
                [_row(each, shown=True) for each in _got(kme, slave, master, key_id, number, size)], json=json
            )
            return
        with new_file(out, afterwards="ask for other key") as write:
            keys = _got(kme, slave, master, key_id, number, size)
            write(b"".join(bytes(each.key.expose()) for each in keys))
    _print([_row(each, shown=False) for each in keys], json=json)
    say(f"{len(keys)} keys, {sum(each.key.bits for each in keys)} bits, written to {out}")


def _check(
    slave: str | None, master: str | None, ids: list[str] | None, number: int | None, size: int | None
) -> None:
    if (slave is None) == (master is None):
        raise ConfigError("get-key: expected --slave (to draw) or --master (to fetch), one of the two")
    if (master is None) != (not ids):
        raise ConfigError("get-key: --master and --id go together: whose key, and which")
    if master is not None and (number is not None or size is not None):
        raise ConfigError("get-key: --number and --size are for drawing; a key that is fetched has its size")


def _got(
    kme: "KmeClient",
    slave: str | None,
    master: str | None,
    ids: list[str] | None,
    number: int | None,
    size: int | None,
) -> "list[DeliveredKey]":
    if slave is not None:
        return kme.get_keys(slave, number or 1, size)
    return kme.get_keys_by_id(master or "", ids or [])


def _row(each: "DeliveredKey", *, shown: bool) -> dict[str, object]:
    from base64 import b64encode

    row: dict[str, object] = {
        "key_id": each.key_id,
        "bits": each.key.bits,
        "paths": each.paths,
        "origin": each.origin,
    }
    if shown:
        row["key"] = b64encode(each.key.expose()).decode()
    return row


def _print(rows: list[dict[str, object]], *, json: bool) -> None:
    if json:
        print_json({"keys": rows})
        return
    print_table("keys", ("key id", "bits", "origin"), [(r["key_id"], r["bits"], r["origin"]) for r in rows])
