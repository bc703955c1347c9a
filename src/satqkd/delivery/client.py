"""A client of ETSI GS QKD 014: synchronous, one connection that is kept, key as `Secret`.

Whoever answers is believed by its certificate alone. A connection that the server closed in the mean time
is made anew only where nothing was sent on it that could have used key. No clock, no file but the three PEM.
"""

import http.client
import select
import ssl
from base64 import b64decode
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from satqkd.delivery.refusals import NOT_FOUND, ErrorBody
from satqkd.errors import ConfigError, DataFormatError, Error, KeyExhausted, KeyNotFound, LinkError
from satqkd.keys.secret import Secret
from satqkd.keys.supply_door import NotEntitled

T = TypeVar("T")
TIMEOUT_S: Final = 30.0
_MOST_BYTES: Final = 64 << 20


class DeliveredKey(msgspec.Struct, frozen=True, eq=False):
    """One key and its id."""

    key_id: str
    key: Secret
    paths: tuple[tuple[str, ...], ...] = ()
    """Who knew it on its way, where the KME tells: one share a path."""
    origin: str | None = None


class KmeStatus(msgspec.Struct, frozen=True, rename={
    "source_kme": "source_KME_ID", "target_kme": "target_KME_ID", "master": "master_SAE_ID",
    "slave": "slave_SAE_ID", "key_bits": "key_size", "stored_keys": "stored_key_count",
    "most_stored_keys": "max_key_count", "most_keys": "max_key_per_request", "most_key_bits": "max_key_size",
    "least_key_bits": "min_key_size", "most_additional_slaves": "max_SAE_ID_count",
}):  # fmt: skip
    """What a KME tells of keys for a slave."""

    source_kme: str
    target_kme: str
    master: str
    slave: str
    key_bits: int
    stored_keys: int
    most_stored_keys: int
    most_keys: int
    most_key_bits: int
    least_key_bits: int
    most_additional_slaves: int


class _Told(msgspec.Struct, frozen=True):
    satqkd_paths: tuple[tuple[str, ...], ...] = ()
    satqkd_origin: str | None = None


class _Key(msgspec.Struct, frozen=True):
    key_ID: str  # noqa: N815 - the standard's spelling
    key: str
    key_extension: _Told = _Told()


class _Container(msgspec.Struct, frozen=True):
    keys: list[_Key]


class KmeClient:
    """A connection to one KME.

        with KmeClient("https://localhost:8443", cert=cert, key=key, ca=ca) as kme:
            first, = kme.get_keys("sae-2")

    cert, key: PEM files of this application; ca: of who vouches for the KME. Raises ConfigError for these;
    all methods raise LinkError (no connection, not trusted, busy), NotEntitled (401), KeyExhausted (503),
    KeyNotFound and ConfigError (400), DataFormatError (an answer that is none).
    """

    def __init__(
        self, url: str, *, cert: Path | str, key: Path | str, ca: Path | str, timeout_s: float = TIMEOUT_S
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
        self._place = f"{parts.hostname}:{parts.port or 443}"
        self._line = http.client.HTTPSConnection(
            parts.hostname, parts.port or 443, timeout=timeout_s, context=context
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._line.close()

    def status(self, slave: str) -> KmeStatus:
        """What may be drawn for a slave."""
        return self._decoded(self._asked("GET", f"{_path(slave)}/status"), KmeStatus)

    def get_keys(
        self,
        slave: str,
        number: int = 1,
        size_bits: int | None = None,
        *,
        more_slaves: Sequence[str] = (),
        avoid_nodes: Sequence[str] = (),
        disjoint_paths: int = 1,
    ) -> list[DeliveredKey]:
        """New keys to share with a slave, and with more of the same KME.

        size_bits None: the KME's default. avoid_nodes, disjoint_paths: what a satqkd KME must observe.
        """
        demands: list[dict[str, msgspec.Raw]] = []
        if avoid_nodes:
            demands.append({"satqkd_avoid_nodes": msgspec.Raw(msgspec.json.encode(list(avoid_nodes)))})
        if disjoint_paths > 1:
            demands.append({"satqkd_disjoint_paths": msgspec.Raw(msgspec.json.encode(disjoint_paths))})
        asked: dict[str, object] = {"number": number}
        if size_bits is not None:
            asked["size"] = size_bits
        if more_slaves:
            asked["additional_slave_SAE_IDs"] = list(more_slaves)
        if demands:
            asked["extension_mandatory"] = demands
        return self._keys(self._asked("POST", f"{_path(slave)}/enc_keys", msgspec.json.encode(asked)))

    def get_keys_by_id(self, master: str, ids: Sequence[str]) -> list[DeliveredKey]:
        """Keys that a master drew for this application, in the order asked, each once for ever."""
        asked = {"key_IDs": [{"key_ID": each} for each in ids]}
        return self._keys(self._asked("POST", f"{_path(master)}/dec_keys", msgspec.json.encode(asked)))

    def _keys(self, body: bytes) -> list[DeliveredKey]:
        found = self._decoded(body, _Container)
        try:
            return [
                DeliveredKey(
                    each.key_ID,
                    Secret(bytearray(b64decode(each.key, validate=True))),
                    each.key_extension.satqkd_paths,
                    each.key_extension.satqkd_origin,
                )
                for each in found.keys
            ]
        except ValueError:
            raise self._malformed("key that is no base64") from None

    def _decoded(self, body: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise self._malformed("another object") from None

    def _malformed(self, got: str) -> DataFormatError:
        return DataFormatError(
            f"{self._place}: expected an answer of ETSI GS QKD 014, got {got}; is this a KME?"
        )

    def _asked(self, method: str, path: str, body: bytes | None = None) -> bytes:
        headers = {} if body is None else {"Content-Type": "application/json"}
        if self._is_stale():
            self._line.close()
        try:
            self._line.request(method, path, body=body, headers=headers)
            answer = self._line.getresponse()
            data = answer.read(_MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            self._line.close()
            raise LinkError(
                f"{self._place}: no answer of the KME ({_told(error)}); look whether it runs, "
                "and at the certificates"
            ) from None
        if answer.status != HTTPStatus.OK:
            raise self._refused(answer.status, answer.headers.get("Retry-After"), data)
        return data

    def _is_stale(self) -> bool:
        """Whether the server closed the connection, or said something unasked, since the last answer."""
        tls = self._line.sock
        return tls is not None and bool(select.select([tls], [], [], 0)[0])

    def _refused(self, status: int, retry_after: str | None, body: bytes) -> Error:
        try:
            words = msgspec.json.decode(body, type=ErrorBody).message
        except (msgspec.MsgspecError, UnicodeDecodeError):
            words = "no reason given"
        told = f"{self._place} refuses ({status}): {words}"
        if status == HTTPStatus.UNAUTHORIZED:
            return NotEntitled(f"{told}; look at the certificate, and who was named when the key was drawn")
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            return KeyExhausted(f"{told}") if retry_after is None else LinkError(f"{told}")
        if status == HTTPStatus.BAD_REQUEST:
            return KeyNotFound(told) if words == NOT_FOUND else ConfigError(told)
        return self._malformed(f"HTTP {status}")


def _path(name: str) -> str:
    return f"/api/v1/keys/{quote(name, safe='')}"


def _told(error: Exception) -> str:
    return getattr(error, "verify_message", "") or getattr(error, "strerror", "") or type(error).__name__
