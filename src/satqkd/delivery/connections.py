"""Connections: how many there may be, and an Error object even for what is no HTTP.

A connection too many is closed at once. aiohttp closes one on which no request comes in time; here its
protocol is given JSON words for requests that it cannot parse. Knows no key and nobody.
"""

import asyncio
from http import HTTPStatus

import msgspec
from aiohttp import web

from satqkd.delivery.counters import Counters
from satqkd.delivery.refusals import ErrorBody


class Doorkeeper:
    """Makes the protocol of each new connection.

    most: connections at a time. idle_s: how long one may be silent between requests, or before the first.
    """

    def __init__(self, server: web.Server, counters: Counters, *, most: int, idle_s: float) -> None:
        self._server, self._counters, self._most, self._idle_s = server, counters, most, idle_s

    @property
    def open(self) -> int:
        """Connections now."""
        return len(self._server.connections)

    def __call__(self) -> asyncio.Protocol:
        """The factory that an asyncio server asks."""
        if self.open >= self._most:
            self._counters.connections_refused += 1
            return _Closed()
        return _Protocol(
            self._server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # what aiohttp itself passes for none
            keepalive_timeout=self._idle_s,
            lingering_time=2.0,
        )


class _Closed(asyncio.Protocol):
    """Of a connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class _Protocol(web.RequestHandler):
    """aiohttp's, that says in JSON what it does not understand."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.Response:
        """Malformed HTTP is 400, a fault of the server 503: nothing of either is repeated in the answer."""
        malformed = status < HTTPStatus.INTERNAL_SERVER_ERROR
        told = "expected an HTTP request, got what cannot be read" if malformed else "the server failed"
        code = HTTPStatus.BAD_REQUEST if malformed else HTTPStatus.SERVICE_UNAVAILABLE
        response = web.Response(
            status=code,
            body=msgspec.json.encode(ErrorBody(told)),
            content_type="application/json",
            headers={"Server": "satqkd"},
        )
        response.force_close()
        return response
