"""Rotates the pre-shared key of a WireGuard peer with key of a KME. Needs `wg` and the right to use it.

    python wireguard_psk.py responder --interface wg0 --peer PUBKEY --kme https://... --peer-sae vpn-a
    python wireguard_psk.py initiator --interface wg0 --peer PUBKEY --kme https://... --peer-sae vpn-b

The running session goes on with its own keys: a new pre-shared key counts from the next handshake, two
minutes later at most. The key goes to `wg` by its stdin, never as an argument. See docs/feeders.md.
"""

import base64
import subprocess
import sys
from collections.abc import Sequence

from feeders import arguments, run

from satqkd.errors import ResourceError
from satqkd.keys import Secret

COMMAND_TIMEOUT_S = 10.0


class WireGuard:
    """One peer of one interface."""

    def __init__(self, interface: str, peer: str) -> None:
        self._interface, self._peer = interface, peer
        self._before: Secret | None = None
        """The key before the last, empty where there was none."""
        self._now: Secret | None = None

    @property
    def command(self) -> list[str]:
        """What is run; the key comes by stdin, an empty one takes the key away."""
        return ["wg", "set", self._interface, "peer", self._peer, "preshared-key", "/dev/stdin"]

    def use(self, key_id: str, key: Secret) -> None:
        """From the next handshake on. Raises ResourceError: the old key is then still in."""
        if self._now is None:
            self._now = self._present()
        encoded = Secret(base64.b64encode(key.expose()))
        self._set(encoded)
        if self._before is not None:
            self._before.wipe()
        self._before, self._now = self._now, encoded

    def undo(self) -> None:
        """Back to the key before. Raises ResourceError."""
        if self._before is None or self._now is None:
            raise ResourceError(f"{self._interface}: no key before this one is known")
        self._set(self._before)
        self._now.wipe()
        self._now, self._before = self._before, None

    def _set(self, encoded: Secret) -> None:
        called(self.command, bytes(encoded.expose()) + b"\n" if len(encoded) else b"")

    def _present(self) -> Secret:
        for line in called(["wg", "show", self._interface, "preshared-keys"], b"").splitlines():
            peer, _, encoded = line.partition(b"\t")
            if peer.decode() == self._peer:
                return Secret(b"" if encoded == b"(none)" else encoded)
        raise ResourceError(
            f"{self._interface}: expected a peer {self._peer}, found none; add it with `wg set` first"
        )


def called(command: Sequence[str], stdin: bytes) -> bytes:
    """Run a command; its stdout. Raises ResourceError with what it said, which is no key."""
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, check=False, timeout=COMMAND_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ResourceError(f"{command[0]}: cannot be run ({error}); install it, or mend PATH") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise ResourceError(f"`{' '.join(command)}` ended with {done.returncode}: {said}")
    return done.stdout


def main() -> int:
    parser = arguments("Rotate the pre-shared key of a WireGuard peer with key of a KME.")
    parser.add_argument("--interface", required=True, help="as in `wg show`")
    parser.add_argument("--peer", required=True, metavar="PUBKEY", help="public key of the peer, base64")
    options = parser.parse_args()
    tunnel = WireGuard(options.interface, options.peer)
    if options.dry_run:
        print(" ".join(tunnel.command))
        return 0
    return run(options, tunnel)


if __name__ == "__main__":
    sys.exit(main())
