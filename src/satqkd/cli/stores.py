"""How commands find and open a key store: what is said once before the command, for every command alike.

    satqkd --passphrase-file - keys status --store postgresql://keys@server/graz

What unlocks a store and where its use log lies goes with the machine, not with the command; so these words
stand before it, and the environment (`SATQKD_...`) says the same. They hold for the store of `--store` alone:
another one that a command opens besides goes by the environment, or by what lies beside it.
"""

import sys
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from satqkd.errors import ConfigError

if TYPE_CHECKING:
    from satqkd.config import KeyNetwork
    from satqkd.keys import KeyStore
    from satqkd.keys.at_rest.unlock import Lock
    from satqkd.keys.store.opening import Place

StorePath = Annotated[
    str, typer.Option("--store", help="Key store of this node: a path, or postgresql://USER@HOST/DATABASE.")
]

NetworkFile = Annotated[
    Path | None,
    typer.Option("--network", help="TOML file with settings of the key network; see docs/settings.md."),
]


class Access(NamedTuple):
    """What was said before the command."""

    lock: "Lock | None" = None
    uses: Path | None = None
    writer: str = "main"


_ACCESS: ContextVar[Access] = ContextVar("access", default=Access())  # noqa: B039 - cannot be changed


def choose_access(
    key_file: Annotated[
        Path | None, typer.Option(help="Key file that unlocks --store. Default: STORE.key beside it.")
    ] = None,
    passphrase_file: Annotated[
        Path | None, typer.Option(help="File whose first line unlocks --store; - asks for it.")
    ] = None,
    unlock_command: Annotated[
        str | None, typer.Option(help="Command that unwraps the root key of --store, for an HSM or a TPM.")
    ] = None,
    uses: Annotated[
        Path | None, typer.Option(help="Folder, or file, of the use log. Default: STORE.uses beside it.")
    ] = None,
    writer: Annotated[
        str, typer.Option(help="Name of this writer, another for each that writes one store of PostgreSQL.")
    ] = "main",
) -> None:
    """Satellite quantum key distribution: fly passes, distil keys, relay and use them, plan and predict."""
    _ACCESS.set(Access(lock_of_words(key_file, passphrase_file, unlock_command), uses, writer))


def lock_of_words(
    key_file: Path | None,
    passphrase_file: Path | None,
    command: str | None,
    names: tuple[str, str, str] = ("--key-file", "--passphrase-file", "--unlock-command"),
    *,
    new: bool = False,
) -> "Lock | None":
    """The one lock that was named, or none. Raises ConfigError for two.

    new: it is to lock from now on, so a passphrase that is typed is typed twice.
    """
    given = [name for name, word in zip(names, (key_file, passphrase_file, command), strict=True) if word]
    if len(given) > 1:
        raise ConfigError(f"expected one lock, got {' and '.join(given)}; give one of them")
    if not given:
        return None
    from satqkd.keys.at_rest.unlock import Command, KeyFile, Passphrase

    if key_file is not None:
        return KeyFile(key_file)
    if passphrase_file is not None:
        return Passphrase(cache(lambda: _passphrase(passphrase_file, new=new)))
    return Command((command or "").split())


def _passphrase(path: Path, *, new: bool) -> str:
    from satqkd.keys.store.opening import first_line

    if str(path) != "-":
        return first_line(path)
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    from getpass import getpass

    if not new:
        return getpass("Passphrase: ")
    words = getpass("New passphrase: ")
    if getpass("The same again: ") != words:
        raise ConfigError("passphrase: the two differ; nothing was changed")
    return words


def place_of(store: str) -> "Place":
    """The store's place with what was said before the command."""
    from satqkd.keys.store.opening import Place

    return Place(store, *_ACCESS.get())


def opened(store: str, *, read_only: bool = False) -> "KeyStore":
    """The store of `--store`."""
    from satqkd.keys import KeyStore

    return KeyStore.open(store, read_only=read_only, **_ACCESS.get()._asdict())


def opened_or_made(store: str, node: str | None, *, named: bool = True) -> "KeyStore":
    """A store; a new one of this node where there is none.

    named: the words before the command hold for it.
    """
    from satqkd.errors import KeyNotFound
    from satqkd.keys import KeyStore

    access = _ACCESS.get()._asdict() if named else {}
    try:
        return KeyStore.open(store, node_id=node, **access)
    except KeyNotFound:
        if node is None:
            raise
    return KeyStore.create(store, node, **access)


def key_network(path: Path | None) -> "KeyNetwork":
    """The policy of a file; without one nothing is asked for and nobody commands. Raises ConfigError."""
    from satqkd.config import KeyNetwork, load, read_toml

    return KeyNetwork() if path is None else load(read_toml(path), KeyNetwork, str(path)).value


def file_of(store: str) -> Path | None:
    """The store's path; None where a server holds it."""
    place = place_of(store)
    return None if place.is_postgres else Path(store)


def shown(store: str) -> str:
    """How tables call a store: an address without its password."""
    if file_of(store) is not None:
        return store
    from sqlalchemy import make_url

    return make_url(store).render_as_string(hide_password=True)
