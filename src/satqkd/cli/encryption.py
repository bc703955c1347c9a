"""`satqkd encrypt` and `satqkd decrypt`: files and streams under the key that two stations share."""

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

import typer

from satqkd.cli.common import Demo, Json, print_json, say
from satqkd.cli.stores import StorePath
from satqkd.cli.stores import opened as open_store
from satqkd.errors import ConfigError

if TYPE_CHECKING:
    from satqkd.keys import StreamReport

STREAM: Final = Path("-")
"""Standard input or output."""
Out = Annotated[
    Path | None, typer.Option(help="Where to write, - for stdout; see the command's help for the default.")
]
Peer = Annotated[str, typer.Option(help="The station at the other end.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with what a stopped run left in OUT.partial, if it left any.")
]


def encrypt(
    file: Annotated[Path, typer.Argument(help="What to encrypt; - for stdin.")],
    store: StorePath,
    peer: Peer,
    out: Out = None,
    hybrid: Annotated[
        bool,
        typer.Option(
            "--hybrid", help="AES-256 under 256 bits of the key: for files longer than it. No one-time pad."
        ),
    ] = False,
    resume: Resume = False,
    demo: Demo = False,
    json: Json = False,
) -> None:
    """Encrypt a file or stdin for a peer with key that is used once (default output: FILE.otp, or stdout)."""
    from satqkd.keys import encrypt_file, encrypt_stream

    target = out or (STREAM if file == STREAM else file.with_name(file.name + ".otp"))
    _require_sensible(target, json=json, resume=resume)
    reference = "stdin" if file == STREAM else file.name
    with _source(file) as source, open_store(store) as opened:
        if target == STREAM:
            report = encrypt_stream(
                opened,
                peer,
                source,
                sys.stdout.buffer,
                randbytes=secrets.token_bytes,
                as_hybrid=hybrid,
                reference=reference,
                now_utc=_now_utc(),
                demo=demo,
            )
        else:
            report = encrypt_file(
                opened,
                peer,
                source,
                target,
                randbytes=secrets.token_bytes,
                as_hybrid=hybrid,
                resume=resume,
                reference=reference,
                now_utc=_now_utc(),
                demo=demo,
            )
    _tell(json, target, report)


def decrypt(
    file: Annotated[Path, typer.Argument(help="What `satqkd encrypt` wrote; - for stdin.")],
    store: StorePath,
    peer: Peer,
    out: Out = None,
    resume: Resume = False,
    demo: Demo = False,
    json: Json = False,
) -> None:
    """Decrypt what a peer encrypted; works once (default output: FILE without .otp, or stdout)."""
    from satqkd.keys import decrypt_file, decrypt_stream

    default = STREAM if file == STREAM else file.with_suffix("" if file.suffix == ".otp" else ".plain")
    target = out or default
    _require_sensible(target, json=json, resume=resume)
    with _source(file) as source, open_store(store) as opened:
        if target == STREAM:
            report = decrypt_stream(
                opened, source, sys.stdout.buffer, peer=peer, now_utc=_now_utc(), demo=demo
            )
        else:
            report = decrypt_file(
                opened, source, target, peer=peer, resume=resume, now_utc=_now_utc(), demo=demo
            )
    _tell(json, target, report)


def _require_sensible(target: Path, *, json: bool, resume: bool) -> None:
    """What can be refused before the store is opened."""
    from satqkd.keys.otp.partial import require_new

    if target != STREAM:
        require_new(target, resume=resume)
        return
    if json:
        raise ConfigError("--json: stdout carries the file itself; give --out (no key was used)")
    if resume:
        raise ConfigError("--resume: nothing is kept of what goes to stdout; give --out (no key was used)")
    if sys.stdout.isatty():
        raise ConfigError("stdout is a terminal; give --out, or send it to a program (no key was used)")


@contextmanager
def _source(file: Path) -> Iterator[BinaryIO]:
    if file == STREAM:
        yield sys.stdin.buffer
        return
    with file.open("rb") as opened:
        yield opened


def _tell(json: bool, target: Path, report: "StreamReport") -> None:
    if json:
        print_json(
            {
                "file": str(target),
                "kind": report.kind,
                "bytes_in": report.bytes_in,
                "bytes_out": report.bytes_out,
            }
        )
    else:
        say(f"{'stdout' if target == STREAM else target}: {report.bytes_out} bytes, {_KINDS[report.kind]}")


_KINDS: Final = {
    "otp": "one-time pad",
    "hybrid": "AES-256 under one-time key: secret as long as AES is, not a one-time pad",
}


def _now_utc() -> str:
    from datetime import UTC, datetime

    from satqkd.sky import format_utc

    return format_utc(datetime.now(UTC))
