"""A line to a server as its client: mutual TLS, one connection that is kept, answers and refusals as errors.

Whoever answers is believed by its certificate. A connection that the server closed in the mean time is made
anew only where nothing was sent on it. No clock, no file but the three PEM; nothing of what is asked.
"""

import http.client
import select
import ssl
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from satqkd.delivery.identity import NOBODY, Identity, peer_identity
from satqkd.delivery.refusals import NOT_FOUND, ErrorBody
from satqkd.errors import ConfigError, DataFormatError, Error, KeyExhausted, KeyNotFound, LinkError
from satqkd.keys.supply_door import NotEntitled

T = TypeVar("T")
TIMEOUT_S: Final = 30.0
_MOST_BYTES: Final = 64 << 20


class Line:
    """A connection to one server.

    accept: looks at the server's certificate before anything is said, and raises where it is the wrong one.
    Raises ConfigError for what is given; for errors of `ask` see `KmeClient`.
    """

    def __init__(
        self,
        url: str,
        *,
        cert: Path | str,
        key: Path | str,
        ca: Path | str,
        timeout_s: float = TIMEOUT_S,
        accept: Callable[[Identity], None] | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ConfigError(f"url: expected https://HOST:PORT, got {url!r}; only the place, without a path")
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(ca))
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(str(cert), str(key))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"{cert}, {key}, {ca}: expected PEM files of certificate, key, authority "
                f"({error.strerror or error})"
            ) from None
        self.place: Final = f"{parts.hostname}:{parts.port or 443}"
        self._accept = accept
        self._line = http.client.HTTPSConnection(
            parts.hostname, parts.port or 443, timeout=timeout_s, context=context
        )

    def close(self) -> None:
        """End the connection."""
        self._line.close()

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The body of the answer to one request."""
        headers = {} if body is None else {"Content-Type": "application/json"}
        if self._is_stale():
            self._line.close()
        try:
            self._connect()
            self._line.request(method, path, body=body, headers=headers)
            answer = self._line.getresponse()
            data = answer.read(_MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            self._line.close()
            raise LinkError(
                f"{self.place}: no answer of the KME ({_told(error)}); look whether it runs, "
                "and at the certificates"
            ) from None
        if answer.status != HTTPStatus.OK:
            raise self._refused(answer.status, answer.headers.get("Retry-After"), data)
        return data

    def decoded(self, body: bytes, kind: type[T]) -> T:
        """An answer's object. Raises DataFormatError."""
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise self.malformed("another object") from None

    def malformed(self, got: str) -> DataFormatError:
        """An answer that is none."""
        return DataFormatError(
            f"{self.place}: expected an answer of ETSI GS QKD 014, got {got}; is this a KME?"
        )

    def _connect(self) -> None:
        if self._line.sock is not None:
            return
        self._line.connect()
        if self._accept is None:
            return
        try:
            who = peer_identity(self._line.sock)
        except (DataFormatError, ValueError):
            who = NOBODY
        try:
            self._accept(who)
        except Error:
            self._line.close()
            raise

    def _is_stale(self) -> bool:
        """Whether the server closed the connection, or said something unasked, since the last answer."""
        tls = self._line.sock
        return tls is not None and bool(select.select([tls], [], [], 0)[0])

    def _refused(self, status: int, retry_after: str | None, body: bytes) -> Error:
        try:
            words = msgspec.json.decode(body, type=ErrorBody).message
        except (msgspec.MsgspecError, UnicodeDecodeError):
            words = "no reason given"
        told = f"{self.place} refuses ({status}): {words}"
        if status == HTTPStatus.UNAUTHORIZED:
            return NotEntitled(f"{told}; look at the certificate, and who was named when the key was drawn")
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            return KeyExhausted(f"{told}") if retry_after is None else LinkError(f"{told}")
        if status == HTTPStatus.BAD_REQUEST:
            return KeyNotFound(told) if words == NOT_FOUND else ConfigError(told)
        return self.malformed(f"HTTP {status}")


def _told(error: Exception) -> str:
    return getattr(error, "verify_message", "") or getattr(error, "strerror", "") or type(error).__name__
