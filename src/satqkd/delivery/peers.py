"""What one KME tells another: that several slaves, its clients, may fetch keys that were drawn here.

Over mutual TLS with the server's own certificate; the other end must show the certificate of the very KME.
Only key ids and names cross, no key. Nothing else is said between KMEs: one slave needs no message.
"""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from satqkd.delivery.identity import Identity
from satqkd.delivery.line import Line
from satqkd.delivery.settings import ServeConfig
from satqkd.delivery.wire import UUID_PATTERN, SaeId
from satqkd.errors import LinkError

ENTITLE_PATH: Final = "/satqkd/v1/entitle"
TIMEOUT_S: Final = 10.0


class Entitle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """These slaves may fetch these keys."""

    master: SaeId
    slaves: Annotated[list[SaeId], Meta(min_length=2, max_length=101)]
    """As the request named them, in its order."""
    key_IDs: Annotated[list[Annotated[str, Meta(pattern=UUID_PATTERN)]], Meta(min_length=1)]  # noqa: N815


class Entitled(msgspec.Struct, frozen=True):
    """How many keys are waiting for their slaves now."""

    keys: int


class Peers:
    """The other KMEs of the settings."""

    def __init__(self, config: ServeConfig) -> None:
        self._tls = config.tls
        self._urls = {each.id: each.url for each in config.kme}

    def is_reachable(self, kme: str) -> bool:
        """Whether the settings say where it is."""
        return self._urls.get(kme) is not None

    async def entitle(self, kme: str, master: str, slaves: Sequence[str], key_ids: Sequence[str]) -> None:
        """Tell it. Raises what `Line` raises where it cannot be told, or refuses."""
        body = msgspec.json.encode(Entitle(master, list(slaves), list(key_ids)))
        await asyncio.to_thread(self._post, kme, body)

    def _post(self, kme: str, body: bytes) -> None:
        def accept(who: Identity) -> None:
            if who.kme != kme:
                raise LinkError(f"KME {kme}: expected its certificate, got that of {who.kme or 'another'}")

        files = {"cert": self._tls.certificate, "key": self._tls.key, "ca": self._tls.ca}
        line = Line(self._urls[kme] or "", **files, timeout_s=TIMEOUT_S, accept=accept)
        with closing(line):
            line.ask("POST", ENTITLE_PATH, body)
