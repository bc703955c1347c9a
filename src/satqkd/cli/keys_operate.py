"""`satqkd keys protect`, `recover`, `backup`, `restore`, `expire`, `revoke`, `unseal`: a store in service."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final, Literal

import typer

from satqkd.cli.common import Json, new_file, now_utc, refuse_existing, tell_result
from satqkd.cli.stores import (
    NetworkFile,
    StorePath,
    key_network,
    lock_of_words,
    opened,
    place_of,
    shown,
)
from satqkd.errors import ConfigError, ResourceError

if TYPE_CHECKING:
    from satqkd.keys.store.retirement import Retired

Kind = Literal["auth", "link", "pair"]
Discard = Annotated[
    bool, typer.Option("--discard", help="The use log is lost or too old: wipe all unused key.")
]


def protect(
    store: StorePath,
    by_key_file: Annotated[
        Path | None, typer.Option(help="The new lock: a key file, made where it is missing.")
    ] = None,
    by_passphrase_file: Annotated[
        Path | None,
        typer.Option(help="The new lock: a file whose first line is a passphrase; - asks for it."),
    ] = None,
    by_command: Annotated[
        str | None, typer.Option(help="The new lock: a command that wraps and unwraps.")
    ] = None,
    new_root: Annotated[
        bool, typer.Option("--new-root", help="A fresh root key: all that is secret is sealed anew.")
    ] = False,
    json: Json = False,
) -> None:
    """Change what unlocks a store, or its root key, or both."""
    from satqkd.keys.care.relock import change_lock, change_root
    from satqkd.keys.store.opening import lock_of

    names = ("--by-key-file", "--by-passphrase-file", "--by-command")
    lock = lock_of_words(by_key_file, by_passphrase_file, by_command, names, new=True)
    if lock is None and not new_root:
        raise ConfigError(f"keys protect: expected {', '.join(names)} or --new-root")
    with opened(store) as found:
        if new_root:
            change_root(found, lock or lock_of(place_of(store)), now_utc=now_utc())
        elif lock is not None:
            change_lock(found, lock, now_utc=now_utc())
    told = {"lock": None if lock is None else lock.word.decode(), "new_root": new_root}
    old = "" if lock is None else "; the old lock opens old copies and backups: destroy it when they may go"
    tell_result(told, f"{shown(store)}: {'sealed anew' if new_root else 'locked anew'}{old}", json=json)


def recover(store: StorePath, discard: Discard = False, json: Json = False) -> None:
    """Make a store usable that was put back from a copy: skip what its use logs know to be used."""
    from satqkd.keys.store.opening import recover_store

    report = recover_store(place_of(store), discard=discard)
    tell_result(
        report,
        f"{shown(store)}: {report.skipped_bits} bits skipped, {report.wiped_bits} wiped, "
        f"{report.conversations} passes given up, {report.held_keys} waiting keys wiped",
        json=json,
    )


def backup(
    store: StorePath,
    out: Annotated[Path, typer.Option(help="Where the backup is written; must not exist.")],
    json: Json = False,
) -> None:
    """Write a store's backup, sealed as the store is, while others use it or not."""
    from satqkd.keys.care.backup import write_backup

    with opened(store, read_only=True) as found:
        header = _written(out, lambda target: write_backup(found, target, now_utc=now_utc()))
    told = {
        "node_id": header.node_id,
        "store_id": header.store_id,
        "uses": header.uses,
        "made_utc": header.made_utc,
        "bytes": out.stat().st_size,
    }
    tell_result(told, f"{shown(store)}: {out.stat().st_size} bytes, written to {out}", json=json)


def _written(out: Path, write: Callable[[BinaryIO], Any]) -> Any:
    """What `write` gives, once its file is whole and on the disk; nothing is left of it otherwise."""
    refuse_existing(out)
    partial = out.with_name(out.name + ".partial")
    try:
        with os.fdopen(
            os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_WRONLY, 0o600), "wb"
        ) as file:
            try:
                done = write(file)
                file.flush()
                os.fsync(file.fileno())
                partial.replace(out)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise ResourceError(f"{out}: cannot be written ({error.strerror}); choose another --out") from None
    return done


def restore(
    file: Annotated[Path, typer.Argument(help="What `keys backup` wrote.")],
    store: StorePath,
    discard: Discard = False,
    json: Json = False,
) -> None:
    """Make a store of a backup where there is none; what was used since is skipped, by the use log."""
    from satqkd.keys.care.restore import restore as bring_back

    report = bring_back(file, place_of(store), discard=discard, now_utc=now_utc())
    tell_result(
        report,
        f"{shown(store)}: the store of {report.node_id} as of {report.made_utc}; {report.skipped_bits} bits "
        f"skipped, {report.wiped_bits} wiped",
        json=json,
    )


def expire(
    store: StorePath,
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Days; without it the ages in --network hold.")
    ] = None,
    peer: Annotated[str | None, typer.Option(help="Only key with this node.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only this kind. Default: link and pair.")] = None,
    network: NetworkFile = None,
    json: Json = False,
) -> None:
    """Wipe what is unused of old key."""
    from satqkd.keys.store.policy import before, expire_by_policy
    from satqkd.keys.store.retirement import expire as give_up

    if (older_than is None) == (network is None):
        raise ConfigError("keys expire: expected either --older-than or --network; give one of the two")
    if network is not None and (peer or kind):
        raise ConfigError("keys expire: --network says itself what expires; give --older-than instead")
    now = now_utc()
    with opened(store) as found:
        if older_than is None:
            done = expire_by_policy(found, key_network(network), now_utc=now)
        else:
            done = [give_up(found, before(now, 86_400 * older_than), peer=peer, kind=kind, now_utc=now)]
    _tell_retired(done, "expired", json=json)


def revoke(
    store: StorePath,
    block: Annotated[str | None, typer.Option(help="Give up one block.")] = None,
    peer: Annotated[str | None, typer.Option(help="Give up all key with this node.")] = None,
    node: Annotated[
        list[str] | None,
        typer.Option(
            help="Give up all that this node knew, with it or on its way; several: what they join to."
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="For the audit log.")] = "",
    json: Json = False,
) -> None:
    """Wipe key that somebody knows who should not; nothing of it is delivered after."""
    from satqkd.keys.store.retirement import revoke_block, revoke_nodes, revoke_peer

    if sum(bool(each) for each in (block, peer, node)) != 1:
        raise ConfigError("keys revoke: expected --block, --peer or --node; give one of them")
    now = now_utc()
    with opened(store) as found:
        if block:
            done = revoke_block(found, block, reason=reason, now_utc=now)
        elif peer:
            done = revoke_peer(found, peer, reason=reason, now_utc=now)
        else:
            done = revoke_nodes(found, node or [], reason=reason, now_utc=now)
    _tell_retired([done], "revoked", json=json)


def _tell_retired(done: "list[Retired]", word: str, *, json: bool) -> None:
    blocks = [block for each in done for block in each.blocks]
    bits = sum(each.bits for each in done)
    told = {
        "blocks": blocks,
        "bits": bits,
        "held_keys": sum(each.held_keys for each in done),
        "raw_blocks": sum(each.raw_blocks for each in done),
        "pushes": sum(each.pushes for each in done),
    }
    tell_result(told, f"{word}: {bits} bits of {len(blocks)} blocks", json=json)


def unseal(
    file: Annotated[Path, typer.Argument(help="What `keys export` sealed.")],
    out: Annotated[Path, typer.Option(help="Where the key's bytes are written; must not exist.")],
    by_key: Annotated[Path | None, typer.Option(help="Key file that it was sealed by.")] = None,
    by_passphrase_file: Annotated[
        Path | None, typer.Option(help="File whose first line is the passphrase; - asks for it.")
    ] = None,
    json: Json = False,
) -> None:
    """Open exported key; needs no store."""
    from satqkd.keys.care.sealed_export import unseal as open_export

    lock = lock_of_words(by_key, by_passphrase_file, None, names=("--by-key", "--by-passphrase-file", ""))
    if lock is None:
        raise ConfigError("keys unseal: expected --by-key or --by-passphrase-file")
    with new_file(out, afterwards="unseal it again") as write:
        header, secret = open_export(file.read_bytes(), lock)
        with secret as key:
            write(bytes(key.expose()))
    told = {"node": header.node, "peer": header.peer, "bits": header.bits, "ranges": header.ranges}
    tell_result(
        told, f"{header.bits} bits of key of {header.node} with {header.peer}, written to {out}", json=json
    )


COMMANDS: Final[dict[str, Callable[..., None]]] = {
    "protect": protect,
    "recover": recover,
    "backup": backup,
    "restore": restore,
    "expire": expire,
    "revoke": revoke,
    "unseal": unseal,
}
