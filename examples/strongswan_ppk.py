"""Gives strongSwan post-quantum pre-shared keys (PPK, RFC 8784) out of a KME. Needs `swanctl` and a charon.

    python examples/strongswan_ppk.py responder --file /etc/swanctl/conf.d/qkd-ppk.conf --kme https://... ...
    python examples/strongswan_ppk.py initiator --file /etc/swanctl/conf.d/qkd-ppk.conf \
        --id-file /etc/swanctl/qkd-ppk-id.conf --kme https://... ...

The file (mode 0600, replaced as a whole) holds the last two keys, so that whoever is still at the one before
finds it; the PPK's id is the key's id. --id-file says `ppk_id = ID` for the connection that includes it. IKE
takes a new PPK with its next authentication (`reauth_time`). See docs/feeders.md.
"""

import os
import secrets
import sys
from pathlib import Path

from feeders import arguments, run
from wireguard_psk import called

from satqkd.errors import Error, ResourceError
from satqkd.keys import Secret


class StrongSwan:
    """PPKs of one connection, in a file that `swanctl` reads."""

    def __init__(self, file: Path, id_file: Path | None = None) -> None:
        self._file, self._id_file = file, id_file
        self._keys: list[tuple[str, Secret]] = []
        """The last two, the newest last; their text is hexadecimal."""

    @property
    def commands(self) -> list[list[str]]:
        """What is run after the files are written."""
        conns = [["swanctl", "--load-conns"]] if self._id_file else []
        return [["swanctl", "--load-creds", "--noprompt"], *conns]

    def use(self, key_id: str, key: Secret) -> None:
        """From the next authentication on. Raises ResourceError: the files are then as they were."""
        before = self._keys
        self._keys = [*before[-1:], (key_id, Secret(bytes(key.expose()).hex().encode()))]
        try:
            self._load()
        except Error:
            self._keys[-1][1].wipe()
            self._keys = before
            self._load_quietly()
            raise
        for _, old in before[:-1]:
            old.wipe()

    def undo(self) -> None:
        """Back to the key before. Raises ResourceError."""
        if len(self._keys) < 2:
            raise ResourceError(f"{self._file}: no key before this one is known")
        self._keys.pop()[1].wipe()
        self._load()

    def _load(self) -> None:
        try:
            write_whole(self._file, b"".join([b"secrets {\n", *map(_section, self._keys), b"}\n"]))
            if self._id_file and self._keys:
                write_whole(self._id_file, f'ppk_id = "{self._keys[-1][0]}"\n'.encode())
        except OSError as error:
            raise ResourceError(
                f"{error.filename or self._file}: cannot be written ({error.strerror})"
            ) from None
        for command in self.commands:
            called(command, b"")

    def _load_quietly(self) -> None:
        try:
            self._load()
        except Error:  # the first error is the one to tell
            return


def _section(entry: tuple[str, Secret]) -> bytes:
    key_id, encoded = entry
    secret = b"0x" + bytes(encoded.expose())
    return b'  ppk-%s {\n    id = "%s"\n    secret = %s\n  }\n' % (key_id.encode(), key_id.encode(), secret)


def write_whole(path: Path, data: bytes) -> None:
    """The file as a whole or as it was, readable by its owner alone. Raises OSError."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def main() -> int:
    parser = arguments("Give strongSwan post-quantum pre-shared keys out of a KME.")
    parser.add_argument(
        "--file", required=True, type=Path, help="swanctl file of secrets, written as a whole"
    )
    parser.add_argument("--id-file", type=Path, help="file that says ppk_id, for the connection to include")
    options = parser.parse_args()
    tunnel = StrongSwan(options.file, options.id_file)
    if options.dry_run:
        for command in tunnel.commands:
            print(" ".join(command))
        return 0
    return run(options, tunnel)


if __name__ == "__main__":
    sys.exit(main())
