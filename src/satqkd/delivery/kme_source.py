"""Another vendor's KME as a source of key for two nodes of this network (`keys.network.key_source`).

One end draws as the master application, the other fetches by the ids that it is told as the slave. Each is
a client of the KME beside it, by a certificate of its own; what the KMEs stand for is their affair.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from satqkd.config import Settings, load, read_toml
from satqkd.delivery.client import DeliveredKey, KmeClient
from satqkd.errors import DataFormatError
from satqkd.keys.secret import Secret


class KmeAccess(Settings, frozen=True, kw_only=True):
    """Where a vendor's KME is and who asks it. Paths are relative to the file's folder."""

    url: str
    """https://HOST:PORT."""
    certificate: str
    """Of this end's application, PEM."""
    key: str
    """Its private key, PEM."""
    ca: str
    """Of the authority that vouches for the KME, PEM."""
    other: Annotated[str, Meta(min_length=1, max_length=1000)]
    """SAE id of the application at the other end."""
    keys: Annotated[int, Meta(ge=1, le=100_000)] = 1024
    """How many keys an import draws."""
    key_bits: Annotated[int, Meta(ge=8, le=131_000, multiple_of=8)] = 256


def read_access(path: Path) -> KmeAccess:
    """Settings of a TOML file, its paths made absolute. Raises ConfigError."""
    found = load(read_toml(path), KmeAccess, str(path)).value
    here = path.absolute().parent
    files = {name: str(here / getattr(found, name)) for name in ("certificate", "key", "ca")}
    return KmeAccess(url=found.url, other=found.other, keys=found.keys, key_bits=found.key_bits, **files)


class KmeKeySource:
    """One end. Opens a connection for each call; raises what `KmeClient` raises."""

    def __init__(self, access: KmeAccess) -> None:
        self._access = access

    def draw(self, count: int, size_bits: int) -> tuple[tuple[str, ...], Secret]:
        """New keys, by as many requests as the KME's limit needs.

        Where a later request fails the keys of the earlier ones are lost: the KME has given them out.
        """
        found: list[DeliveredKey] = []
        with self._client() as kme:
            most = kme.status(self._access.other).most_keys
            while len(found) < count:
                found += kme.get_keys(self._access.other, min(most, count - len(found)), size_bits)
        return tuple(each.key_id for each in found), _joined(found, count, size_bits)

    def fetch(self, key_ids: Sequence[str], size_bits: int) -> Secret:
        """Keys that the other end drew, in its order."""
        found: list[DeliveredKey] = []
        with self._client() as kme:
            most = kme.status(self._access.other).most_keys
            for some in _portions(key_ids, most):
                found += kme.get_keys_by_id(self._access.other, some)
        return _joined(found, len(key_ids), size_bits)

    def _client(self) -> KmeClient:
        access = self._access
        return KmeClient(access.url, cert=access.certificate, key=access.key, ca=access.ca)


def _portions(key_ids: Sequence[str], most: int) -> Iterator[list[str]]:
    left = iter(key_ids)
    while portion := list(islice(left, max(1, most))):
        yield portion


def _joined(found: list[DeliveredKey], count: int, size_bits: int) -> Secret:
    """All bytes in one buffer. Raises DataFormatError where the KME gave other than was asked for."""
    sizes = {each.key.bits for each in found}
    if len(found) != count or sizes != {size_bits}:
        raise DataFormatError(
            f"KME: expected {count} keys of {size_bits} bits, got {len(found)} of {sorted(sizes)} bits; "
            f"nothing is imported"
        )
    together = bytearray()
    for each in found:
        with each.key as key:
            together += key.expose()
    return Secret(together)
