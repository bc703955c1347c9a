"""A million keys through a store: stored, drawn at one end, fetched at the other; rates and memory.

No HTTP: what a store and its supply cost by themselves. Memory is what the process holds (VmRSS) after each
tenth of the keys; it must not grow with them.

    python benchmarks/supply.py [--store sqlite|postgres] [--keys 1000000] [--batch 100] [--json]
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from satqkd.keys import KeyStore
from satqkd.keys.at_rest.unlock import KeyFile
from satqkd.keys.supply.key_supply import KeySupply
from satqkd.keys.supply_door import KeyRequest

NOW = "2026-01-02T03:04:05Z"
BLOCK_BYTES = 1 << 22
KEY_BYTES = 32
SETTLE_EACH = 50
"""Batches."""


@contextmanager
def ends(folder: Path, kind: str, keys: int) -> Iterator[list[KeyStore]]:
    """Both stores, with more key than is drawn."""
    blocks = 1 + 2 * keys * KEY_BYTES // (BLOCK_BYTES - 2 * KEY_BYTES)
    with ExitStack() as stack:
        found = []
        for node, peer in (("graz", "wien"), ("wien", "graz")):
            address = str(folder / f"{node}.db")
            if kind == "postgres":
                import pgserver

                server = pgserver.get_server(folder / f"{node}-data", cleanup_mode="stop")
                stack.callback(server.cleanup)
                address = server.get_uri()
            lock, uses = KeyFile(folder / f"{node}.key"), folder / f"{node}.uses"
            store = stack.enter_context(KeyStore.create(address, node, lock=lock, uses=uses))
            for number in range(blocks):
                key = random.Random(number).randbytes(BLOCK_BYTES)
                store.add_block(
                    f"b{number}", peer=peer, kind="pair", origin="hardware", key=key, state="confirmed",
                    now_utc=NOW,
                )  # fmt: skip
            found.append(store)
        yield found


def measure(kind: str, keys: int, batch: int) -> dict[str, Any]:
    """One run."""
    with tempfile.TemporaryDirectory() as scratch:
        begin_s = time.perf_counter()
        with ends(Path(scratch), kind, keys) as (graz, wien):
            stored_s, memory = time.perf_counter() - begin_s, [_memory_mib()]
            here, there = KeySupply(graz), KeySupply(wien)
            asked = KeyRequest(peer="wien", master="a", slaves=("b",), count=batch, size_bits=8 * KEY_BYTES)
            drawn_s = fetched_s = settled_s = 0.0
            for number in range(keys // batch):
                start_s = time.perf_counter()
                drawn = here.draw(asked, now_utc=NOW)
                middle_s = time.perf_counter()
                (got,) = there.fetch("graz", master="a", slave="b", key_ids=drawn.ids, now_utc=NOW)
                end_s = time.perf_counter()
                assert got.keys == drawn.keys
                drawn_s, fetched_s = drawn_s + middle_s - start_s, fetched_s + end_s - middle_s
                if number % SETTLE_EACH == SETTLE_EACH - 1:
                    for supply in (here, there):
                        while supply.settle(now_utc=NOW):
                            pass
                    settled_s += time.perf_counter() - end_s
                if number % max(1, keys // batch // 10) == 0:
                    memory.append(_memory_mib())
            for supply, store in ((here, graz), (there, wien)):
                supply.close(now_utc=NOW)
                assert store.check().balanced
    return {
        "store": kind,
        "keys": keys,
        "batch": batch,
        "stored_s": round(stored_s, 2),
        "drawn_keys_per_s": round(keys / drawn_s),
        "fetched_keys_per_s": round(keys / fetched_s),
        "settled_s": round(settled_s, 2),
        "memory_mib": memory,
    }


def _memory_mib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1024


def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    options.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    options.add_argument("--keys", type=int, default=1_000_000)
    options.add_argument("--batch", type=int, default=100)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    found = measure(chosen.store, chosen.keys, chosen.batch)
    if chosen.json:
        json.dump(found, sys.stdout)
        return
    for name, value in found.items():
        print(f"{name:20s} {value}")


if __name__ == "__main__":
    main()
