"""The aiohttp application: from a request to a call, from an answer or refusal to a response.

Paths are told apart by the table of routes, on the path as it came, so that a `%2F` in
a name is no slash. Whatever goes wrong, the body is an Error object. It serves plain connections too, where
it knows nobody and refuses all: TLS is the listener's.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from satqkd.delivery.bucket import Buckets
from satqkd.delivery.counters import Counters
from satqkd.delivery.desk import Desk
from satqkd.delivery.gate import Gate
from satqkd.delivery.identity import Identity
from satqkd.delivery.openapi import document
from satqkd.delivery.push_routes import PUSH
from satqkd.delivery.refusals import Refusal, bad_request, too_soon, unauthorized, unavailable
from satqkd.delivery.routes import ETSI, Answer, Asker, Call, Route, Table
from satqkd.delivery.server_log import ServerLog
from satqkd.delivery.wire import path_name

JSON: Final = "application/json"
OPENAPI_PATH: Final = "/openapi.json"
_NO_ROUTE: Final = "none"
_ASKERS: Final = {"sae": "applications", "kme": "KMEs", "node": "nodes that make key"}
_HEADERS: Final = CIMultiDictProxy(
    CIMultiDict({"Content-Type": JSON, "Server": "satqkd", "Cache-Control": "no-store"})
)
_log = logging.getLogger(__name__)


class Front:
    """One request after the other: who, what, how much, answer."""

    def __init__(
        self, desk: Desk, gate: Gate, counters: Counters, log: ServerLog, routes: Iterable[Route]
    ) -> None:
        self.desk, self.gate, self.counters, self.log = desk, gate, counters, log
        limits = desk.limits
        self._buckets = Buckets(requests_per_s=limits.requests_per_s, burst=limits.burst)
        listed = list(routes)
        self._table = Table([*listed, _openapi_route(document(listed, limits))])

    async def respond(self, request: web.BaseRequest) -> web.Response:
        """The aiohttp handler."""
        begin_s = time.perf_counter()
        seen = _Seen()
        try:
            answer = await self._answer(request, seen)
            response = _response(HTTPStatus.OK, answer.body)
        except Refusal as refusal:
            answer = Answer(msgspec.json.encode(refusal.body))
            response = _response(refusal.status, answer.body)
            response.headers.update(refusal.headers)
            if not request.content.at_eof():
                response.force_close()
        self._note(seen, response.status, answer, time.perf_counter() - begin_s)
        return response

    async def _answer(self, request: web.BaseRequest, seen: "_Seen") -> Answer:
        who = self.gate.caller(request.transport)
        seen.sae = who.sae or who.kme or who.node
        path, _, query = _target(request).partition("?")
        route, raw_name = self._route(path, request.method)
        seen.operation = route.operation
        if route.asked_by != _sort(who):
            raise unauthorized(f"this is for {_ASKERS[route.asked_by]}")
        if not self._buckets.take(seen.sae, time.monotonic()):
            raise too_soon("too many requests of this SAE; try again later")
        seen.other = path_name(raw_name) if "{" in route.path else ""
        body = (
            await self._body(request, route.body_bytes or self.desk.limits.body_bytes)
            if route.method == "POST"
            else b""
        )
        call = Call(seen.sae, seen.other, query, body, request.headers.get("Content-Type", ""))
        try:
            return await route.handler(self.desk, call)
        except Refusal:
            raise
        except Exception as error:  # whatever it is, the answer is an Error object
            _log.error("%s failed: %s", route.operation, type(error).__name__, exc_info=error)
            raise unavailable("the server failed; its log says more") from None

    def _route(self, path: str, method: str) -> tuple[Route, str]:
        found = self._table.find(path)
        if found is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "no such path; see /openapi.json")
        methods, name = found
        if method not in methods:
            allowed = ", ".join(methods)
            told = f"expected {allowed}, got {method[:20]}"
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, told).with_header("Allow", allowed)
        return methods[method], name

    async def _body(self, request: web.BaseRequest, most: int) -> bytes:
        if (request.content_length or 0) > most:
            raise _too_large(most)
        if "Content-Encoding" in request.headers:
            raise bad_request("expected a body that is not compressed")
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            async with asyncio.timeout(self.desk.limits.body_s):
                return await _read(request, most)
        except TimeoutError:
            raise bad_request("the body did not come in time") from None
        except (web.RequestPayloadError, ValueError) as error:
            raise bad_request(f"the body cannot be read ({type(error).__name__})") from None

    def _note(self, seen: "_Seen", status: int, answer: Answer, duration_s: float) -> None:
        told = {"keys": answer.keys, "bits": answer.bits}
        self.counters.request(seen.operation, status, duration_s, **told)
        self.log.request(
            sae=seen.sae,
            operation=seen.operation,
            other=seen.other,
            status=status,
            duration_s=duration_s,
            **told,
        )


class _Seen:
    """What is known of a request so far, for the log."""

    __slots__ = ("operation", "other", "sae")

    def __init__(self) -> None:
        self.sae, self.operation, self.other = "", _NO_ROUTE, ""


def make_app(front: Front) -> web.Server:
    """The application, to be served behind TLS that asks for client certificates.

    It is aiohttp's server without a router, which would answer in its own words for targets that it does not
    understand. Needs a running event loop.
    """
    return web.Server(front.respond, access_log=None)


def default_routes(*, skip: bool) -> tuple[Route, ...]:
    """ETSI GS QKD 014, what nodes push by, and SKIP where it is switched on."""
    if not skip:
        return ETSI + PUSH
    from satqkd.delivery.skip import SKIP

    return ETSI + PUSH + SKIP


def _sort(who: Identity) -> Asker:
    if who.kme:
        return "kme"
    return "node" if who.node else "sae"


async def _read(request: web.BaseRequest, most: int) -> bytes:
    body = bytearray()
    while piece := await request.content.readany():
        body += piece
        if len(body) > most:
            raise _too_large(most)
    return bytes(body)


def _too_large(most: int) -> Refusal:
    return bad_request(f"expected a body of at most {most} bytes, got more")


def _target(request: web.BaseRequest) -> str:
    """Path and query as they came; of the absolute form what follows the authority."""
    raw = request.raw_path
    return raw if raw.startswith("/") else request.rel_url.raw_path_qs


def _response(status: HTTPStatus, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, headers=_HEADERS)


def _openapi_route(body: bytes) -> Route:
    async def answer(_: Desk, __: Call) -> Answer:
        return Answer(body)

    handler: Callable[[Desk, Call], Awaitable[Answer]] = answer
    return Route("getOpenApi", "GET", OPENAPI_PATH, handler, "This interface as an OpenAPI document", dict)
