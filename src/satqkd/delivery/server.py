"""The key server as a process or a thread: listeners, certificates read anew, a graceful end.

`KeyServer` runs in an event loop; `run_server` is the process of `satqkd serve`; `serving` keeps one in a
thread while a block lasts (tests, demonstrations). Knows no key.
"""

import asyncio
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from aiohttp import web

from satqkd.delivery.app import Front, default_routes, make_app
from satqkd.delivery.connections import Doorkeeper
from satqkd.delivery.counters import Counters
from satqkd.delivery.desk import Desk
from satqkd.delivery.gate import Gate
from satqkd.delivery.refusals import Refusal
from satqkd.delivery.server_log import ServerLog
from satqkd.delivery.settings import ServeConfig
from satqkd.delivery.tls import TlsFiles, Trust
from satqkd.errors import ConfigError, Error, ResourceError
from satqkd.exposition import CONTENT_TYPE, Metric, text
from satqkd.keys.supply_door import Supply
from satqkd.sky import format_utc

LOOPBACK: Final = "127.0.0.1"
HANDSHAKE_S: Final = 10.0
SWITCH_S: Final = 0.0005
"""How long the thread at the store may keep the interpreter while a request waits."""
SETTLE_S: Final = 1.0
_BACKLOG: Final = 512


class Address(NamedTuple):
    """Where a server listens."""

    url: str
    metrics_url: str | None


def now_utc() -> str:
    """The wall clock, ISO 8601 with Z."""
    return format_utc(datetime.now(UTC))


class KeyServer:
    """One server over one supply, which it closes at its end."""

    def __init__(self, supply: Supply, config: ServeConfig) -> None:
        self._config = config
        self._counters = Counters()
        log = config.serve.log
        self._log = ServerLog(None if log is None else Path(log), self._counters, now_utc=now_utc)
        self._desk = Desk(supply, config, now_utc=now_utc, randbytes=secrets.token_bytes)
        self._gate = Gate(self._desk.roster)
        self._files = TlsFiles(config.tls)
        routes = default_routes(skip=config.serve.skip)
        self._front = Front(self._desk, self._gate, self._counters, self._log, routes)
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._doorkeeper: Doorkeeper | None = None
        self._runners: list[web.BaseRunner] = []

    async def start(self) -> Address:
        """Listen. Raises ConfigError, ResourceError."""
        limits, serve = self._config.limits, self._config.serve
        trust = self._files.load()
        app = make_app(self._front)
        runner = web.ServerRunner(app, shutdown_timeout=limits.grace_s)
        await runner.setup()
        self._runners.append(runner)
        self._doorkeeper = Doorkeeper(app, self._counters, most=limits.connections, idle_s=limits.idle_s)
        self._socket = _bound(serve.host, serve.port)
        await self._listen(trust)
        metrics_url = None if serve.metrics_port is None else await self._serve_metrics(serve.metrics_port)
        port = self._socket.getsockname()[1]
        host = f"[{serve.host}]" if ":" in serve.host else serve.host
        url = f"https://{host}:{port}"
        self._log.server("started", url)
        return Address(url, metrics_url)

    async def reload(self) -> bool:
        """Read certificates, keys and lists anew; False where they cannot be read, and the old ones hold."""
        try:
            await self._listen(self._files.load())
        except (ConfigError, OSError) as error:
            self._counters.reloads["failed"] += 1
            self._log.server("reload_failed", str(error))
            return False
        self._counters.reloads["done"] += 1
        self._log.server("reloaded")
        return True

    async def watch(self) -> None:
        """Reload whenever the files change, for ever."""
        while True:
            await asyncio.sleep(self._config.tls.reload_s)
            if self._files.changed():
                await self.reload()

    async def settle(self) -> None:
        """Have what was handed out written down once a second, for ever."""
        while True:
            await asyncio.sleep(SETTLE_S)
            with suppress(Refusal):  # told in the log; the next second tries again
                await self._desk.settle()

    def tend(self) -> Callable[[], None]:
        """Watch and settle in the background; what is given back ends it."""
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(work) for work in (self.watch(), self.settle())]

        def end() -> None:
            for task in tasks:
                task.cancel()

        return end

    async def stop(self) -> None:
        """Take no more, let what is under way be answered, close the supply."""
        if self._server is not None:
            self._server.close()
        if self._socket is not None:
            self._socket.close()
        for runner in self._runners:
            await runner.cleanup()
        self._desk.close()
        self._log.server("stopped")
        self._log.close()

    async def _listen(self, trust: Trust) -> None:
        """New connections by a new context, from the same socket: none that waits is lost."""
        assert self._socket is not None and self._doorkeeper is not None
        self._gate.revoked = trust.revoked
        loop, before = asyncio.get_running_loop(), self._server
        self._server = await loop.create_server(
            self._doorkeeper,
            sock=self._socket.dup(),
            ssl=trust.context,
            backlog=_BACKLOG,
            ssl_handshake_timeout=HANDSHAKE_S,
            ssl_shutdown_timeout=2.0,
        )
        if before is not None:
            before.close()

    async def _serve_metrics(self, port: int) -> str:
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._runners.append(runner)
        listening = _bound(LOOPBACK, port)
        await web.SockSite(runner, listening).start()
        return f"http://{LOOPBACK}:{listening.getsockname()[1]}/metrics"

    async def _metrics(self, _: web.Request) -> web.Response:
        assert self._doorkeeper is not None
        behind: list[Metric] = []
        available: dict[str, int] = {}
        with suppress(Refusal):  # a store that cannot be read has no samples
            available = await self._desk.available_bits()
            behind = await self._desk.supply_metrics()
        told = self._counters.metrics(
            connections=self._doorkeeper.open, waiting=self._desk.lane.waiting, available_bits=available
        )
        return web.Response(body=text([*told, *behind]).encode(), headers={"Content-Type": CONTENT_TYPE})


def run_server(supply: Supply, config: ServeConfig, listening: Callable[[Address], None]) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the certificates anew. `listening` is told the address."""
    sys.setswitchinterval(SWITCH_S)
    asyncio.run(_run(KeyServer(supply, config), listening))


async def _run(server: KeyServer, listening: Callable[[Address], None]) -> None:
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    reloads: set[asyncio.Task[bool]] = set()

    def on_hangup() -> None:
        task = loop.create_task(server.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    try:
        listening(await server.start())
        untend = server.tend()
        await asked.wait()
        untend()
    finally:
        await server.stop()


@contextmanager
def serving(supply: Supply, config: ServeConfig) -> Iterator[Address]:
    """A server in a thread of its own while the block lasts. Raises ConfigError, ResourceError."""
    begun = threading.Event()
    found: list[Address | Error] = []
    ends: list[Callable[[], object]] = []

    async def run(server: KeyServer) -> None:
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        ends.append(lambda: loop.call_soon_threadsafe(over.set))
        try:
            found.append(await server.start())
            untend = server.tend()
            begun.set()
            await over.wait()
            untend()
        except Error as error:
            found.append(error)
        finally:
            begun.set()
            await server.stop()

    made = KeyServer(supply, config)
    thread = threading.Thread(target=lambda: asyncio.run(run(made)), name="key server", daemon=True)
    thread.start()
    begun.wait()
    if isinstance(found[0], Error):
        thread.join()
        raise found[0]
    try:
        yield found[0]
    finally:
        ends[0]()
        thread.join()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
    except OSError as error:
        found.close()
        raise ResourceError(
            f"TCP {host}:{port} cannot be taken ({error.strerror}); choose another port or end what holds it"
        ) from None
    found.setblocking(False)
    return found
