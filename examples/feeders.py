"""What the feeders share: two ends put one key of their KMEs into a tunnel, one after the other.

    initiator: draw 512 bits --- use(id) ---> responder: fetch by id, check the tag, put the key in
               put the key in <-- done ------            (or: refused, both keep the old key)

The first 256 bits are the tunnel's key, the others authenticate the exchange (HMAC-SHA256 of each line, which
says its kind): whoever answers `done` holds the key of that id. The responder goes first; where its answer is
lost the same key is offered again, never another, so the ends are at most one step apart. Key is never in an
argument, a log or a file's name. What the tunnel is, is not known here.
"""

import argparse
import hashlib
import hmac
import json
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from satqkd.errors import DataFormatError, Error, LinkError
from satqkd.keys import Secret

KEY_BITS = 512
TUNNEL_BYTES = 32
MAXIMUM_LINE = 1024
ANSWER_TIMEOUT_S = 10.0
FIRST_RETRY_S = 2.0


class Delivered(Protocol):
    """One key and its id."""

    @property
    def key_id(self) -> str: ...
    @property
    def key(self) -> Secret: ...


class Kme(Protocol):
    """Where keys come from; `satqkd.delivery.client.KmeClient` is one."""

    def get_keys(self, slave: str, number: int = 1, size_bits: int = 256) -> Sequence[Delivered]: ...
    def get_keys_by_id(self, master: str, ids: Sequence[str]) -> Sequence[Delivered]: ...


class Tunnel(Protocol):
    """Where keys go. Methods raise an Error when nothing was changed."""

    def use(self, key_id: str, key: Secret) -> None:
        """From the next handshake on."""

    def undo(self) -> None:
        """Back to the key before."""


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one end says."""

    kind: Literal["use", "undo", "done", "refused"]
    key_id: str
    reason: str = ""


class Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line as it travels; `refused` alone has no tag, for its sender may lack the key."""

    body: bytes
    tag: bytes = b""


def sign(line: Line, key: Secret | None) -> bytes:
    """A line with its tag under the second half of the key."""
    body = msgspec.json.encode(line)
    return msgspec.json.encode(Signed(body, _tag(key, body) if key is not None else b"")) + b"\n"


def fits(signed: Signed, key: Secret) -> bool:
    """Whether the line is of somebody who holds the key."""
    return hmac.compare_digest(signed.tag, _tag(key, signed.body))


def read_line(data: bytes) -> tuple[Signed, Line]:
    """A line as it came. Raises DataFormatError."""
    try:
        signed = msgspec.json.decode(data, type=Signed)
        return signed, msgspec.json.decode(signed.body, type=Line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataFormatError(f"exchange: expected one line of JSON, got {error}") from None


def _tag(key: Secret, body: bytes) -> bytes:
    return hmac.new(bytes(key.expose()[TUNNEL_BYTES:]), body, hashlib.sha256).digest()


class Initiator:
    """The end that draws keys and decides when."""

    def __init__(self, kme: Kme, slave: str, tunnel: Tunnel, ask: Callable[[bytes], bytes]) -> None:
        self._kme, self._slave, self._tunnel, self._ask = kme, slave, tunnel, ask
        self._open: Delivered | None = None
        """Offered, and not known whether it was taken."""

    def rotate(self) -> str:
        """One rotation; returns the key's id. Raises an Error when this end keeps the old key."""
        if self._open is None:
            (self._open,) = self._kme.get_keys(self._slave, 1, KEY_BITS)
        offered = self._open
        self._said("use", offered)
        try:
            with offered.key.part(0, TUNNEL_BYTES) as key:
                self._tunnel.use(offered.key_id, key)
        except Error:
            with suppress(Error):
                self._said("undo", offered)
            self._done_with(offered)
            raise
        self._done_with(offered)
        return offered.key_id

    def _said(self, kind: Literal["use", "undo"], offered: Delivered) -> None:
        """The peer did it. Raises LinkError."""
        answer = self._ask(sign(Line(kind, offered.key_id), offered.key))
        signed, line = read_line(answer)
        if line.kind == "refused":
            self._done_with(offered)
            raise LinkError(f"key {offered.key_id}: the peer refused it ({line.reason[:200]})")
        if (line.kind, line.key_id) != ("done", offered.key_id) or not fits(signed, offered.key):
            raise LinkError(f"key {offered.key_id}: the answer is not of the peer; look who is on the line")

    def _done_with(self, offered: Delivered) -> None:
        offered.key.wipe()
        self._open = None


class Responder:
    """The end that follows. It remembers its last key, so that an offer may come twice."""

    def __init__(self, kme: Kme, master: str, tunnel: Tunnel) -> None:
        self._kme, self._master, self._tunnel = kme, master, tunnel
        self._last: Delivered | None = None
        self._state: Literal["fetched", "in", "undone"] = "fetched"

    def answer(self, data: bytes) -> bytes:
        """What to say to a line, after it was done. Raises DataFormatError."""
        signed, line = read_line(data)
        try:
            held = self._held(signed, line)
            if line.kind == "use":
                self._use(held)
            elif self._state == "in":
                self._tunnel.undo()
                self._state = "undone"
        except Error as error:
            say(f"key {line.key_id[:36]}: not used, the old one stays: {error}")
            return sign(Line("refused", line.key_id, str(error)[:200]), None)
        return sign(Line("done", line.key_id), held.key)

    def _use(self, held: Delivered) -> None:
        if self._state == "undone":
            raise LinkError("this key was taken back; offer another")
        if self._state == "fetched":
            with held.key.part(0, TUNNEL_BYTES) as key:
                self._tunnel.use(held.key_id, key)
            self._state = "in"

    def _held(self, signed: Signed, line: Line) -> Delivered:
        if self._last is not None and self._last.key_id == line.key_id:
            return self._authentic(signed, self._last)
        if line.kind != "use":
            raise DataFormatError(f"expected `use` of a new key, got {line.kind}")
        (fetched,) = self._kme.get_keys_by_id(self._master, [line.key_id])
        self._authentic(signed, fetched)
        if self._last is not None:
            self._last.key.wipe()
        self._last, self._state = fetched, "fetched"
        return fetched

    def _authentic(self, signed: Signed, held: Delivered) -> Delivered:
        if len(held.key) != KEY_BITS // 8 or not fits(signed, held.key):
            raise LinkError("the line is not of the peer that drew this key")
        return held


class Health:
    """Whether rotations go well, with hysteresis: three failures in a row make it bad, two successes good."""

    def __init__(self, *, bad_after: int = 3, good_after: int = 2) -> None:
        self._bad_after, self._good_after = bad_after, good_after
        self._run = 0
        self.is_good = True

    def note(self, *, success: bool) -> bool:
        """Count one rotation; whether the verdict changed."""
        self._run = self._run + 1 if success != self.is_good else 0
        if self._run < (self._good_after if success else self._bad_after):
            return False
        self.is_good, self._run = success, 0
        return True


def rotate_for_ever(
    initiator: Initiator,
    every_s: float,
    *,
    rotations: int | None,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Rotate until stopped, or so many times; after a failure sooner again, waiting longer each time.

    Returns whether the last rotation went well.
    """
    health, failures, count = Health(), 0, 0
    while rotations is None or count < rotations:
        if count:
            sleep(every_s if not failures else min(every_s, FIRST_RETRY_S * 2 ** (failures - 1)))
        count += 1
        try:
            tell("rotated", key_id=initiator.rotate())
            failures = 0
        except Error as error:
            failures += 1
            say(f"the old key stays: {error}")
            tell("kept the old key", reason=str(error))
        if health.note(success=not failures):
            tell("rotation works again" if health.is_good else "rotation fails")
    return failures == 0


def asker(host: str, port: int) -> Callable[[bytes], bytes]:
    """Says a line to the responder and returns its answer. Raises LinkError."""

    def ask(data: bytes) -> bytes:
        try:
            with socket.create_connection((host, port), timeout=ANSWER_TIMEOUT_S) as line:
                line.sendall(data)
                return received(line)
        except OSError as error:
            raise LinkError(
                f"{host}:{port}: no answer ({error}); the same key will be offered again"
            ) from None

    return ask


def received(line: socket.socket) -> bytes:
    """One line, of bounded length; what there was when the other end closed."""
    data = b""
    while (
        not data.endswith(b"\n")
        and len(data) < MAXIMUM_LINE
        and (part := line.recv(MAXIMUM_LINE - len(data)))
    ):
        data += part
    return data


def serve(responder: Responder, host: str, port: int, *, answers: int | None = None) -> None:
    """Answer one caller after the other. Port 0: the system chooses; the port is told on stdout."""
    with socket.create_server((host, port)) as server:
        tell("listening", port=server.getsockname()[1])
        count = 0
        while answers is None or count < answers:
            line, _ = server.accept()
            with line, suppress(OSError):
                line.settimeout(ANSWER_TIMEOUT_S)
                try:
                    line.sendall(responder.answer(received(line)))
                except DataFormatError as error:
                    say(str(error))
                    continue
                count += 1


def tell(event: str, **more: Any) -> None:
    """One JSON line on stdout; no key."""
    print(json.dumps({"event": event, **more}), flush=True)


def say(message: str) -> None:
    """Prose on stderr; no key."""
    print(f"{Path(sys.argv[0]).stem}: {message}", file=sys.stderr, flush=True)


def arguments(description: str) -> argparse.ArgumentParser:
    """Options that both feeders take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("role", choices=("initiator", "responder"))
    parser.add_argument("--kme", metavar="URL", help="this end's KME, https://HOST:PORT")
    parser.add_argument("--cert", help="this application's certificate (PEM)")
    parser.add_argument("--key", help="and its private key (PEM)")
    parser.add_argument("--ca", help="authority of the KME's certificate (PEM)")
    parser.add_argument("--peer-sae", help="id of the application at the other end")
    parser.add_argument(
        "--at", default="127.0.0.1:7580", metavar="HOST:PORT", help="where the responder listens"
    )
    parser.add_argument(
        "--every", type=float, default=120.0, metavar="S", help="seconds between two keys (120)"
    )
    parser.add_argument("--rotations", type=int, default=None, help="end after so many (default: never)")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the commands that would be run, and end"
    )
    return parser


def run(options: argparse.Namespace, tunnel: Tunnel) -> int:
    """Either role until it ends; 0 when the last rotation went well."""
    from satqkd.delivery.client import KmeClient

    host, _, port = options.at.rpartition(":")
    try:
        with KmeClient(options.kme, cert=options.cert, key=options.key, ca=options.ca) as kme:
            if options.role == "responder":
                serve(Responder(kme, options.peer_sae, tunnel), host, int(port), answers=options.rotations)
                return 0
            initiator = Initiator(kme, options.peer_sae, tunnel, asker(host, int(port)))
            return 0 if rotate_for_ever(initiator, options.every, rotations=options.rotations) else 4
    except KeyboardInterrupt:
        return 4
    except Error as error:
        say(str(error))
        return error.exit_code
