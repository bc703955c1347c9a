"""`/status` and `/metrics` of a node on loopback: read only, from a thread of its own.

The thread reads the board, never the node, so a node that is busy still answers with its last snapshot.
Nothing is taken in. The HTTP library is loaded only where a port is configured.
"""

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from satqkd.errors import ResourceError
from satqkd.exposition import CONTENT_TYPE
from satqkd.node.board import Board
from satqkd.node.metrics import exposition

if TYPE_CHECKING:
    from aiohttp import web

LOOPBACK: Final = "127.0.0.1"
JSON: Final = "application/json"


@contextmanager
def local_server(port: int | None, board: Board) -> Iterator[None]:
    """Serve the board while the block lasts; without a port, nobody listens.

    Raises ResourceError when the port is taken.
    """
    if port is None:
        yield
        return
    board.watched = True
    server = _Server(port, board)
    server.start()
    try:
        yield
    finally:
        server.end()


class _Server:
    """An event loop in a thread."""

    def __init__(self, port: int, board: Board) -> None:
        self._port, self._board = port, board
        self._ready = threading.Event()
        self._failed: OSError | None = None
        self._end: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._run, name="local status", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()
        if self._failed is not None:
            raise ResourceError(
                f"TCP {LOOPBACK}:{self._port} cannot be taken ({self._failed.strerror}); choose another "
                f"local port or end what holds it"
            )

    def end(self) -> None:
        self._end()
        self._thread.join()

    def _run(self) -> None:
        import asyncio

        asyncio.run(self._serve())

    async def _serve(self) -> None:
        import asyncio

        from aiohttp import web

        app = web.Application()
        app.router.add_get("/status", _answer(self._board, JSON, msgspec.json.encode))
        app.router.add_get("/metrics", _answer(self._board, CONTENT_TYPE, lambda s: exposition(s).encode()))
        runner, over = web.AppRunner(app, access_log=None), asyncio.Event()
        loop = asyncio.get_running_loop()
        self._end = lambda: loop.call_soon_threadsafe(over.set)
        await runner.setup()
        try:
            await web.TCPSite(runner, LOOPBACK, self._port).start()
        except OSError as error:
            self._failed = error
            over.set()
        self._ready.set()
        await over.wait()
        await runner.cleanup()


def _answer(
    board: Board, content_type: str, encode: Callable[..., bytes]
) -> Callable[["web.Request"], Awaitable["web.Response"]]:
    from aiohttp import web

    async def handler(request: web.Request) -> web.Response:
        status = board.status
        if status is None:
            return web.Response(status=503, text="the node is starting\n")
        return web.Response(body=encode(status), headers={"Content-Type": content_type})

    return handler
