"""Key delivery under load: requests and keys a second, latency, the server's CPU time.

The server runs in a process of its own, over a supply in memory (the tests' toy), so that what is measured is
TLS, HTTP and the standard's objects, or with --store over a key store. The load comes from another process,
raw asyncio streams over mutual TLS. Budgets: 2,000 requests/s of one key on one connection that is kept,
30,000 keys/s in batches of 100, p99 under 10 ms with 16 connections.

    python benchmarks/delivery.py [--json] [--seconds 3] [--store] [--profile]
"""

import argparse
import asyncio
import gc
import json
import secrets
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).parents[1]
TESTS = REPOSITORY / "tests" / "delivery"


class Load(NamedTuple):
    """One way of asking."""

    name: str
    connections: int
    keys: int
    fetch: bool
    """Whether each batch is fetched by its ids besides."""


LOADS = (
    Load("1 key, 1 connection", 1, 1, False),
    Load("100 keys, 1 connection", 1, 100, False),
    Load("1 key, 16 connections", 16, 1, False),
    Load("100 keys, 16 connections", 16, 100, False),
    Load("1 key drawn and fetched, 1 connection", 1, 1, True),
    Load("100 keys drawn and fetched, 1 connection", 1, 100, True),
)


@contextmanager
def toy_supply(folder: Path) -> Iterator[Any]:
    """Key in memory."""
    from toy_supply import ToyNetwork

    gc.set_threshold(100_000, 50, 1000)  # the toy remembers every key in objects, which a store does not
    yield ToyNetwork("beijing", "stellenbosch", bytes_each=1 << 25).supply("beijing")


@contextmanager
def stored_supply(folder: Path) -> Iterator[Any]:
    """Key in a store on the disk."""
    from satqkd.keys import KeyStore
    from satqkd.keys.supply import KeySupply

    with KeyStore.create(folder / "beijing.db", "beijing") as store:
        for number in range(8):
            store.add_block(
                f"relay:jinan-1:{number}", peer="stellenbosch", kind="pair", origin="hardware",
                key=secrets.token_bytes(1 << 23), state="confirmed", paths=(("jinan-1",),),
                now_utc="2026-01-02T03:04:05Z",
            )  # fmt: skip
        yield KeySupply(store)


def serve(folder: Path, *, stored: bool, profiled: bool) -> None:
    """The server's process."""
    sys.path.insert(0, str(TESTS))
    from delivery_cases import serve_config

    config = serve_config(folder, "beijing", folder, limits={"requests_per_s": 1e6, "burst": 1_000_000})
    with (stored_supply if stored else toy_supply)(folder) as supply:
        _run(supply, config, profiled=profiled)


def _run(supply: Any, config: Any, *, profiled: bool) -> None:
    from satqkd.delivery import run_server

    work = lambda: run_server(supply, config, _tell)  # noqa: E731
    if not profiled:
        work()
        return
    import cProfile
    import pstats

    profile = cProfile.Profile()
    profile.runcall(work)
    pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(30)


def _tell(address: Any) -> None:
    print(json.dumps(address._asdict()), flush=True)


async def _connection(
    load: Load, context: ssl.SSLContext, port: int, until_s: float
) -> tuple[list[float], int]:
    """One connection that asks until the time is over: seconds of each request, keys got."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    slave = "sae-beijing" if load.fetch else "sae-stellenbosch"
    draw = _post(slave, "enc_keys", json.dumps({"number": load.keys}).encode())
    times, keys = [], 0
    while time.perf_counter() < until_s:
        body = await _ask(reader, writer, draw, times)
        keys += load.keys
        if load.fetch:
            ids = [{"key_ID": each["key_ID"]} for each in json.loads(body)["keys"]]
            await _ask(reader, writer, _post(slave, "dec_keys", json.dumps({"key_IDs": ids}).encode()), times)
            keys += load.keys
    writer.close()
    return times, keys


def _post(name: str, method: str, body: bytes) -> bytes:
    head = f"POST /api/v1/keys/{name}/{method} HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, times: list[float]
) -> bytes:
    begin_s = time.perf_counter()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
    body = await reader.readexactly(length)
    times.append(time.perf_counter() - begin_s)
    return body


async def measure(
    load: Load, context: ssl.SSLContext, port: int, metrics: str, duration_s: float
) -> dict[str, Any]:
    """One load for so long."""
    before_s, begin_s = _server_cpu_s(metrics), time.perf_counter()
    found = await asyncio.gather(
        *(_connection(load, context, port, begin_s + duration_s) for _ in range(load.connections))
    )
    wall_s, cpu_s = time.perf_counter() - begin_s, _server_cpu_s(metrics) - before_s
    times = sorted(each for one, _ in found for each in one)
    return {
        "name": load.name,
        "requests_per_s": round(len(times) / wall_s),
        "keys_per_s": round(sum(keys for _, keys in found) / wall_s),
        "p50_ms": round(1e3 * times[len(times) // 2], 3),
        "p99_ms": round(1e3 * times[int(0.99 * len(times))], 3),
        "server_cpu": round(cpu_s / wall_s, 3),
        "server_us_per_request": round(1e6 * cpu_s / len(times)),
    }


def _server_cpu_s(metrics: str) -> float:
    with urllib.request.urlopen(metrics) as answer:
        lines = answer.read().decode().splitlines()
    return float(
        next(line for line in lines if line.startswith("satqkd_delivery_process_cpu")).rsplit(" ", 1)[1]
    )


def main() -> None:
    """Start the server, load it, print."""
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    options.add_argument("--json", action="store_true")
    options.add_argument("--seconds", type=float, default=3.0)
    options.add_argument("--store", action="store_true", help="key out of a store on the disk, drawn alone")
    options.add_argument("--profile", action="store_true", help="profile the server; figures are then lower")
    options.add_argument("--serve", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.serve:
        serve(Path(chosen.serve), stored=chosen.store, profiled=chosen.profile)
        return
    with tempfile.TemporaryDirectory() as scratch:
        rows = _measured(Path(scratch) / "pki", chosen.seconds, stored=chosen.store, profiled=chosen.profile)
    if chosen.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"{row['name']:42s} {row['requests_per_s']:6d} requests/s {row['keys_per_s']:7d} keys/s  "
            f"p50 {row['p50_ms']:6.2f} ms  p99 {row['p99_ms']:6.2f} ms  "
            f"server {100 * row['server_cpu']:3.0f} % of a core, {row['server_us_per_request']} us a request"
        )


def _measured(folder: Path, duration_s: float, *, stored: bool, profiled: bool) -> list[dict[str, Any]]:
    sys.path.insert(0, str(TESTS))
    from delivery_cases import LOCAL, files_of, make_folder

    make_folder(folder, datetime.now(UTC))
    context = ssl.create_default_context(cafile=str(folder / "authority.crt"))
    context.load_cert_chain(*files_of(folder, LOCAL))
    words = [sys.executable, __file__, "--serve", str(folder), *(["--profile"] if profiled else [])]
    words += ["--store"] if stored else []
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            told = json.loads(server.stdout.readline())
            port = int(told["url"].rsplit(":", 1)[1])
            return [
                asyncio.run(measure(load, context, port, told["metrics_url"], duration_s))
                for load in LOADS
                if not (stored and load.fetch)
            ]
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
