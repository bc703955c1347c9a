"""A client of ETSI GS QKD 014: synchronous, one connection that is kept, key as `Secret`.

Whoever answers is believed by its certificate alone (`line`). What was sent is never sent again: an answer
that was lost on its way is a lost key. No clock, no file but the three PEM.
"""

from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import msgspec

from satqkd.delivery.line import TIMEOUT_S, Line
from satqkd.keys.secret import Secret


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
        self._line = Line(url, cert=cert, key=key, ca=ca, timeout_s=timeout_s)

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
        return self._line.decoded(self._line.ask("GET", f"{_path(slave)}/status"), KmeStatus)

    def get_keys(
        self,
        slave: str,
        number: int = 1,
        size_bits: int | None = None,
        *,
        more_slaves: Sequence[str] = (),
        avoid_nodes: Sequence[str] = (),
        colluders: int = 1,
    ) -> list[DeliveredKey]:
        """New keys to share with a slave, and with more of the same KME.

        size_bits None: the KME's default. avoid_nodes, colluders: as in `KeyRequest`.
        """
        demands: list[dict[str, msgspec.Raw]] = []
        if avoid_nodes:
            demands.append({"satqkd_avoid_nodes": msgspec.Raw(msgspec.json.encode(list(avoid_nodes)))})
        if colluders > 1:
            demands.append({"satqkd_colluders": msgspec.Raw(msgspec.json.encode(colluders))})
        asked: dict[str, object] = {"number": number}
        if size_bits is not None:
            asked["size"] = size_bits
        if more_slaves:
            asked["additional_slave_SAE_IDs"] = list(more_slaves)
        if demands:
            asked["extension_mandatory"] = demands
        return self._keys(self._line.ask("POST", f"{_path(slave)}/enc_keys", msgspec.json.encode(asked)))

    def get_keys_by_id(self, master: str, ids: Sequence[str]) -> list[DeliveredKey]:
        """Keys that a master drew for this application, in the order asked, each once for ever."""
        asked = {"key_IDs": [{"key_ID": each} for each in ids]}
        return self._keys(self._line.ask("POST", f"{_path(master)}/dec_keys", msgspec.json.encode(asked)))

    def _keys(self, body: bytes) -> list[DeliveredKey]:
        found = self._line.decoded(body, _Container)
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
            raise self._line.malformed("key that is no base64") from None


def _path(name: str) -> str:
    return f"/api/v1/keys/{quote(name, safe='')}"
