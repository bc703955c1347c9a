"""What unlocks a store: a passphrase, a key file, or a command that speaks for an HSM or a TPM.

The store's root key is random and lies in the database, wrapped by one of these; to change the lock wraps
it anew and touches nothing else. The wrapped root is told apart by its first word:

    "file"        | AES-256-GCM under the 32 bytes of a key file
    "passphrase"  | log2 n, r, p (a byte each) | salt (16) | AES-256-GCM under scrypt (RFC 7914) of the words
    "command"     | whatever the command gave for `wrap` on its standard output

A command is run with `wrap` or `unwrap` as its last argument, the key on standard input, its answer on
standard output: no key in arguments or environment. It comes from who opens the store, never from the store.
"""

import os
import secrets
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from satqkd.errors import ConfigError, DataFormatError, ResourceError
from satqkd.keys.at_rest.vault import KEY_BYTES, SALT_BYTES, Cipher
from satqkd.keys.folders import sync_folder
from satqkd.keys.secret import Secret

ROOT_PLACE: Final = "root"
SCRYPT_LOG2_N: Final = 17
SCRYPT_R: Final = 8
SCRYPT_P: Final = 1
"""128 MiB and some tenths of a second for a guess; OWASP's recommendation of 2023."""
COMMAND_TIMEOUT_S: Final = 60


class Lock(Protocol):
    """One way to wrap a root key."""

    word: bytes

    def wrap(self, root: Secret) -> bytes:
        """The wrapped root without its word. Raises ResourceError."""

    def unwrap(self, wrapped: bytes) -> Secret:
        """The root. Raises ConfigError (does not fit), ResourceError (cannot be asked)."""


class KeyFile:
    """32 random bytes in a file of its own, mode 0600, made where it is missing when a store is made."""

    word = b"file"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def wrap(self, root: Secret) -> bytes:
        """Wrap under the file's key; a missing file is made."""
        if not self.path.exists():
            self._make()
        with self._key() as key:
            return Cipher(key.expose(), secrets.token_bytes).seal(ROOT_PLACE, root.expose())

    def unwrap(self, wrapped: bytes) -> Secret:
        """Unwrap under the file's key."""
        with self._key() as key:
            return _opened(key, wrapped, f"{self.path}: this key file")

    def _make(self) -> None:
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self.path)
        except OSError as error:
            raise ResourceError(f"{self.path}: cannot make the key file: {error.strerror}") from None

    def _key(self) -> Secret:
        try:
            key = Secret(self.path.read_bytes())
        except OSError as error:
            raise ResourceError(
                f"{self.path}: cannot read the store's key file: {error.strerror}; the store needs it"
            ) from None
        if len(key) != KEY_BYTES:
            raise DataFormatError(f"{self.path}: expected a key file of {KEY_BYTES} bytes, got {len(key)}")
        return key


class Passphrase:
    """Words that somebody knows."""

    word = b"passphrase"

    def __init__(self, ask: Callable[[], str], *, log2_n: int = SCRYPT_LOG2_N) -> None:
        self._ask, self._log2_n = ask, log2_n

    def wrap(self, root: Secret) -> bytes:
        """Wrap under the words and a fresh salt."""
        salt = secrets.token_bytes(SALT_BYTES)
        settings = bytes((self._log2_n, SCRYPT_R, SCRYPT_P)) + salt
        with self._key(settings) as key:
            return settings + Cipher(key.expose(), secrets.token_bytes).seal(ROOT_PLACE, root.expose())

    def unwrap(self, wrapped: bytes) -> Secret:
        """Unwrap under the words."""
        settings, sealed = wrapped[: 3 + SALT_BYTES], wrapped[3 + SALT_BYTES :]
        if len(settings) < 3 + SALT_BYTES or not 1 <= settings[0] <= 24 or not all(settings[1:3]):
            raise DataFormatError("the store's scrypt settings are damaged; restore a backup")
        with self._key(settings) as key:
            return _opened(key, sealed, "this passphrase")

    def _key(self, settings: bytes) -> Secret:
        words = self._ask()
        if not words:
            raise ConfigError("passphrase: expected some words, got none")
        log2_n, r, p = settings[:3]
        return Secret(Scrypt(settings[3:], KEY_BYTES, 1 << log2_n, r, p).derive(words.encode()))


class Command:
    """A program that wraps and unwraps, so that what it wraps under never leaves an HSM or a TPM."""

    word = b"command"

    def __init__(self, argv: Sequence[str]) -> None:
        if not argv:
            raise ConfigError("command that unlocks the store: expected a program, got nothing")
        self._argv = tuple(argv)

    def wrap(self, root: Secret) -> bytes:
        """What the program gives for the root."""
        return self._run("wrap", bytes(root.expose()))

    def unwrap(self, wrapped: bytes) -> Secret:
        """What the program gives for the wrapped root."""
        root = Secret(self._run("unwrap", wrapped))
        if len(root) != KEY_BYTES:
            raise ConfigError(f"{self._argv[0]} unwrap: expected {KEY_BYTES} bytes, got {len(root)}")
        return root

    def _run(self, verb: str, data: bytes) -> bytes:
        try:
            done = subprocess.run(
                [*self._argv, verb], input=data, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ResourceError(f"{self._argv[0]} {verb}: cannot be run: {type(error).__name__}") from None
        if done.returncode or not done.stdout:
            raise ResourceError(
                f"{self._argv[0]} {verb}: expected the answer on standard output, got exit code "
                f"{done.returncode} and {len(done.stdout)} bytes; try the command by hand"
            )
        return done.stdout


def lock_root(lock: Lock, root: Secret) -> bytes:
    """The wrapped root with its word: what the database holds."""
    return lock.word + b"\x00" + lock.wrap(root)


def unlock_root(lock: Lock, locked: bytes) -> Secret:
    """The root of a store. Raises ConfigError (another kind of lock, or one that does not fit)."""
    word, _, wrapped = locked.partition(b"\x00")
    if word != lock.word:
        raise ConfigError(
            f"this store is locked by a {word.decode(errors='replace')}, not by a {lock.word.decode()}: "
            f"see docs/key-store.md#at-rest for how each is given"
        )
    return lock.unwrap(wrapped)


def _opened(key: Secret, sealed: bytes, what: str) -> Secret:
    try:
        return Secret(Cipher(key.expose(), secrets.token_bytes).open(ROOT_PLACE, sealed))
    except DataFormatError:
        raise ConfigError(
            f"{what} does not open the store (or its lock is damaged); nothing was read"
        ) from None
