"""`satqkd encrypt` and `satqkd decrypt`: one-time pad with the key that two stations share."""

from pathlib import Path
from typing import Annotated

import typer

from satqkd.cli.common import Demo, Json, new_file, print_json, say
from satqkd.cli.stores import StorePath
from satqkd.cli.stores import opened as open_store

Out = Annotated[Path | None, typer.Option(help="Where to write; see the command's help for the default.")]
Peer = Annotated[str, typer.Option(help="The station at the other end.")]


def encrypt(
    file: Annotated[Path, typer.Argument(help="What to encrypt.")],
    store: StorePath,
    peer: Peer,
    out: Out = None,
    demo: Demo = False,
    json: Json = False,
) -> None:
    """Encrypt a file for a peer with key that is used once (default output: FILE.otp)."""
    from satqkd.keys import encrypt as seal

    plaintext = file.read_bytes()
    target = out or file.with_name(file.name + ".otp")
    with (
        new_file(target, afterwards="encrypt again with other key") as write,
        open_store(store) as opened,
    ):
        data = seal(opened, peer, plaintext, reference=file.name, demo=demo)
        write(data)
    _tell(json, target, len(plaintext), len(data))


def decrypt(
    file: Annotated[Path, typer.Argument(help="What `satqkd encrypt` wrote.")],
    store: StorePath,
    peer: Peer,
    out: Out = None,
    demo: Demo = False,
    json: Json = False,
) -> None:
    """Decrypt a file of a peer; works once (default output: FILE without .otp)."""
    from satqkd.errors import ConfigError
    from satqkd.keys import decrypt as open_sealed
    from satqkd.keys.otp import read_header

    data = file.read_bytes()
    header = read_header(data)
    if header.sender != peer:
        raise ConfigError(
            f"{file}: expected a file of {peer}, it says it is of {header.sender}; check --peer"
        )
    target = out or file.with_suffix("" if file.suffix == ".otp" else ".plain")
    with (
        new_file(target, afterwards=f"ask {peer} to encrypt it again") as write,
        open_store(store) as opened,
    ):
        plaintext = open_sealed(opened, data, demo=demo)
        write(plaintext)
    _tell(json, target, len(data), len(plaintext))


def _tell(json: bool, target: Path, bytes_in: int, bytes_out: int) -> None:
    if json:
        print_json({"file": str(target), "bytes_in": bytes_in, "bytes_out": bytes_out})
    else:
        say(f"{target}: {bytes_out} bytes")
