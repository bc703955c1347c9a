"""Who may pass: the application of a connection's certificate, known, current and not revoked.

The certificate of a connection is read once and looked at again with every request: a connection that was
made before a certificate was revoked or ended serves nothing after. The clock is an argument.
"""

import asyncio
import ssl
import time
import weakref
from collections.abc import Callable
from typing import Final

from satqkd.delivery.identity import NOBODY, Identity, peer_identity
from satqkd.delivery.refusals import unauthorized
from satqkd.delivery.settings import Roster
from satqkd.errors import DataFormatError

_REFUSED: Final = "the client certificate names no application of this KME"


class Gate:
    """Callers by connection.

    revoked: serial numbers, replaced as a whole when the list changes.
    """

    def __init__(self, roster: Roster, *, now_s: Callable[[], float] = time.time) -> None:
        self._roster, self._now_s = roster, now_s
        self._known: weakref.WeakKeyDictionary[asyncio.BaseTransport, Identity] = weakref.WeakKeyDictionary()
        self.revoked: frozenset[int] = frozenset()

    def caller(self, transport: asyncio.BaseTransport | None) -> Identity:
        """Who asks: a local application, another KME or a node that pushes. Raises Refusal (401)."""
        who = NOBODY if transport is None else self._known.get(transport) or self._seen(transport)
        if who.not_after_s <= self._now_s():
            raise unauthorized("a client certificate that is current is needed")
        if who.serial in self.revoked:
            raise unauthorized("the client certificate is revoked")
        if not self._is_known(who):
            raise unauthorized(_REFUSED)
        return who

    def _is_known(self, who: Identity) -> bool:
        if who.kme:
            return self._roster.knows_kme(who.kme)
        return self._roster.knows_node(who.node) if who.node else self._roster.is_local(who.sae)

    def _seen(self, transport: asyncio.BaseTransport) -> Identity:
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        try:
            who = peer_identity(tls)
        except (DataFormatError, ValueError):
            raise unauthorized("the client certificate names no one application") from None
        self._known[transport] = who
        return who
