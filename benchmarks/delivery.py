"""Key delivery under load: requests and keys a second, latency, the server's CPU time.

Two servers run in processes of their own, each over a durable store of its end (SQLite, or PostgreSQL from a
wheel), or over a supply in memory, which leaves TLS, HTTP and the standard's objects and cannot fetch; the
load comes from another process, raw asyncio streams over mutual TLS. Budgets: 2,000 requests/s of one key on
one connection that is kept, 30,000 keys/s in batches of 100, p99 under 10 ms with 16 connections.

    python benchmarks/delivery.py [--store sqlite|postgres|memory] [--json] [--seconds 3] [--profile]
"""

import argparse
import asyncio
import gc
import json
import random
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).parents[1]
TESTS = REPOSITORY / "tests" / "delivery"
NODES = ("beijing", "stellenbosch")
BLOCK_BYTES = 1 << 22
BLOCKS_A_SECOND = 12
"""Of a load: 800 000 keys of 256 bits for either end, for all loads together."""


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


def serve(folder: Path, node: str, store: str, seconds: float, *, profiled: bool) -> None:
    """One server's process: key without end."""
    sys.path.insert(0, str(TESTS))
    from delivery_cases import serve_config

    from satqkd.delivery import run_server

    config = serve_config(folder, node, folder, limits={"requests_per_s": 1e6, "burst": 1_000_000})
    with _supply(folder.parent, node, store, ceil(BLOCKS_A_SECOND * seconds)) as supply:
        work = lambda: run_server(supply, config, _tell)  # noqa: E731
        if not profiled:
            work()
            return
        import cProfile
        import pstats

        profile = cProfile.Profile()
        profile.runcall(work)
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(30)


@contextmanager
def _supply(folder: Path, node: str, kind: str, blocks: int) -> Iterator[Any]:
    from toy_supply import ToyNetwork

    from satqkd.keys import KeyStore
    from satqkd.keys.at_rest.unlock import KeyFile
    from satqkd.keys.supply.key_supply import KeySupply

    if kind == "memory":
        gc.set_threshold(100_000, 50, 1000)  # the toy remembers every key in objects, which a store does not
        yield ToyNetwork("beijing", "stellenbosch", bytes_each=blocks * BLOCK_BYTES).supply(node)
        return
    peer = next(each for each in NODES if each != node)
    with ExitStack() as stack:
        address = str(folder / f"{node}.db")
        if kind == "postgres":
            import pgserver

            server = pgserver.get_server(folder / f"{node}-data", cleanup_mode="stop")
            stack.callback(server.cleanup)
            address = server.get_uri()
        beside = {"lock": KeyFile(folder / f"{node}.key"), "uses": folder / f"{node}.uses"}
        store = stack.enter_context(KeyStore.create(address, node, **beside))
        for number in range(blocks):
            key = random.Random(number).randbytes(BLOCK_BYTES)
            store.add_block(
                f"relay:jinan-1:{number}", peer=peer, kind="pair", origin="hardware", key=key,
                state="confirmed", now_utc="2026-01-02T03:04:05Z",
            )  # fmt: skip
        yield KeySupply(store)


def _tell(address: Any) -> None:
    print(json.dumps(address._asdict()), flush=True)


async def _connection(
    load: Load, contexts: list[ssl.SSLContext], ports: list[int], until_s: float
) -> tuple[list[float], int]:
    """One connection that asks until the time is over: seconds of each request, keys got."""
    (reader, writer), (its_reader, its_writer) = [
        await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        for port, context in zip(ports, contexts, strict=True)
    ]
    draw = _post("sae-stellenbosch/enc_keys", json.dumps({"number": load.keys}).encode())
    times, keys = [], 0
    while time.perf_counter() < until_s:
        body = await _ask(reader, writer, draw, times)
        keys += load.keys
        if load.fetch:
            ids = [{"key_ID": each["key_ID"]} for each in json.loads(body)["keys"]]
            wanted = _post("sae-beijing/dec_keys", json.dumps({"key_IDs": ids}).encode())
            await _ask(its_reader, its_writer, wanted, times)
            keys += load.keys
    writer.close()
    its_writer.close()
    return times, keys


def _post(path: str, body: bytes) -> bytes:
    head = f"POST /api/v1/keys/{path} HTTP/1.1\r\nHost: localhost\r\n"
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
    load: Load, contexts: list[ssl.SSLContext], ports: list[int], metrics: list[str], duration_s: float
) -> dict[str, Any]:
    """One load for so long."""
    before_s, begin_s = sum(map(_server_cpu_s, metrics)), time.perf_counter()
    found = await asyncio.gather(
        *(_connection(load, contexts, ports, begin_s + duration_s) for _ in range(load.connections))
    )
    wall_s, cpu_s = time.perf_counter() - begin_s, sum(map(_server_cpu_s, metrics)) - before_s
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
    options.add_argument("--profile", action="store_true", help="profile the server; figures are then lower")
    options.add_argument("--store", choices=("sqlite", "postgres", "memory"), default="sqlite")
    options.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.serve:
        serve(Path(chosen.serve[0]), chosen.serve[1], chosen.store, chosen.seconds, profiled=chosen.profile)
        return
    with tempfile.TemporaryDirectory() as scratch:
        words = [
            "--store",
            chosen.store,
            "--seconds",
            str(chosen.seconds),
            *(["--profile"] if chosen.profile else []),
        ]
        rows = _measured(Path(scratch) / "pki", chosen.seconds, words)
    if chosen.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"{row['name']:42s} {row['requests_per_s']:6d} requests/s {row['keys_per_s']:7d} keys/s  "
            f"p50 {row['p50_ms']:6.2f} ms  p99 {row['p99_ms']:6.2f} ms  "
            f"servers {100 * row['server_cpu']:3.0f} "
            f"% of a core, {row['server_us_per_request']} us a request"
        )


def _measured(folder: Path, duration_s: float, words: list[str]) -> list[dict[str, Any]]:
    sys.path.insert(0, str(TESTS))
    from delivery_cases import LOCAL, REMOTE, files_of, make_folder

    make_folder(folder, datetime.now(UTC))
    contexts = []
    for name in (LOCAL, REMOTE):
        contexts.append(ssl.create_default_context(cafile=str(folder / "authority.crt")))
        contexts[-1].load_cert_chain(*files_of(folder, name))
    with ExitStack() as stack:
        told = []
        for node in NODES:
            command = [sys.executable, __file__, "--serve", str(folder), node, *words]
            server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(server.terminate)
            assert server.stdout is not None
            told.append(json.loads(server.stdout.readline()))
        ports = [int(each["url"].rsplit(":", 1)[1]) for each in told]
        metrics = [each["metrics_url"] for each in told]
        loads = [load for load in LOADS if not (load.fetch and "memory" in words)]
        return [asyncio.run(measure(load, contexts, ports, metrics, duration_s)) for load in loads]


if __name__ == "__main__":
    main()
