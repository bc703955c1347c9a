"""`satqkd keys push`: key moves from a node's store to that of its key server."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from satqkd.cli.common import Json, now_utc, print_json, say
from satqkd.cli.stores import StorePath, opened


def push(
    store: StorePath,
    to: Annotated[str, typer.Option(help="The key server: https://HOST:PORT.")],
    cert: Annotated[Path, typer.Option(help="Certificate of this node, PEM.")],
    key: Annotated[Path, typer.Option(help="Its private key, PEM.")],
    ca: Annotated[Path, typer.Option(help="Certificate of the authority that vouches for the server, PEM.")],
    kme: Annotated[
        str | None, typer.Option(help="Id that the server's certificate must name. Default: any KME.")
    ] = None,
    peer: Annotated[str | None, typer.Option(help="Only key with this node. Default: all.")] = None,
    json: Json = False,
) -> None:
    """Move whole blocks of end-to-end key into the key server's store, each exactly once; at both ends."""
    from satqkd.delivery.push_client import PushClient
    from satqkd.keys.push.sending import push_blocks

    with opened(store) as node, PushClient(to, cert=cert, key=key, ca=ca, kme=kme) as line:
        report = push_blocks(node, line, peer=peer, new_id=lambda: str(uuid.uuid4()), now_utc=now_utc)
    if json:
        blocks = [
            {"block_id": each.block_id, "peer": each.peer, "bits": each.bits, "origin": each.origin}
            for each in report.pushed
        ]
        print_json({"pushed": blocks, "bits": report.bits, "left": report.left})
    else:
        say(f"{len(report.pushed)} blocks, {report.bits} bits, are in the store of {to}")
        for each in report.left:
            say(f"{each.block_id} is left: {each.reason}")
    if report.left:
        raise typer.Exit(1)


COMMANDS: Final[dict[str, Callable[..., None]]] = {"push": push}
