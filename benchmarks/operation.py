"""A year of six satellites, twenty stations and twenty pairs, operated under a sampled sky.

Prints seconds of finding passes and their key, of operating with books and, for so many days of it, with real
stores in the memory of the machine or in a folder of its own on a disk, and what was served. With stores the
contacts are those of `greedy`, so that no time is the solver's.

    python benchmarks/operation.py [DAYS] [DAYS OF STORES] [FOLDER]
"""

import itertools
import sys
import tempfile
import time
from pathlib import Path

import satqkd
from satqkd.config import Scenario, load
from satqkd.constants import DAY_S
from satqkd.plan.network import Network, network_of
from satqkd.plan.operation import operate
from satqkd.plan.operation_policy import Policy
from satqkd.plan.planner import METHODS, offer_of
from satqkd.plan.stores import Stores

PLACES = {
    "beijing": (40.0, 116.3),
    "cape-town": (-33.9, 18.5),
    "london": (51.5, -0.1),
    "singapore": (1.35, 103.8),
    "paris": (48.85, 2.35),
    "tokyo": (35.7, 139.7),
    "madrid": (40.4, -3.7),
    "santiago": (-33.4, -70.7),
    "berlin": (52.5, 13.4),
    "johannesburg": (-26.2, 28.0),
    "vienna": (48.2, 16.4),
    "rome": (41.9, 12.5),
    "athens": (38.0, 23.7),
    "delhi": (28.6, 77.2),
    "perth": (-31.95, 115.9),
    "sydney": (-33.9, 151.2),
    "denver": (39.7, -105.0),
    "mexico": (19.4, -99.1),
    "lima": (-12.0, -77.0),
    "tenerife": (28.3, -16.5),
}
PAIR_STEP = 7
"""A station's pair is so many places further on."""
DEMAND_BIT_S = 2.0
MEMORY = Path("/dev/shm")


def main() -> None:
    days = float(sys.argv[1]) if len(sys.argv) > 1 else 365.0
    store_days = float(sys.argv[2]) if len(sys.argv) > 2 else 28.0
    print(f"satqkd {satqkd.__version__}: {days:g} days, 6 satellites, {len(PLACES)} stations and pairs")
    network = _network(days)
    began_s = time.perf_counter()
    offer = offer_of(network)
    print(f"{len(offer.passes):,} passes with key in {time.perf_counter() - began_s:.1f} s")
    for method in METHODS:
        began_s = time.perf_counter()
        found = operate(network, seed=1, policy=Policy(method=method), offer=offer)
        took_s = time.perf_counter() - began_s
        contacts = sum(each.contacts for each in found.satellites)
        print(
            f"{method:13s} books {took_s:6.1f} s, {contacts:,} contacts, "
            f"served {100 * found.share:.1f} %, worst pair {100 * found.worst_share:.1f} %"
        )
    if store_days:
        in_memory = MEMORY if MEMORY.is_dir() else None
        _with_stores(_network(store_days), sys.argv[3] if len(sys.argv) > 3 else in_memory)


def _network(days: float) -> Network:
    names = list(PLACES)
    pairs = [
        (name, names[(k + PAIR_STEP) % len(names)]) for name, k in zip(names, itertools.count(), strict=False)
    ]
    tables = {
        "name": "year",
        "start_utc": "2025-01-01T00:00:00Z",
        "duration_days": days,
        "satellite": [
            {
                "preset": "jinan-1",
                "name": "s",
                "pattern": "sun-synchronous",
                "count": 6,
                "planes": 3,
                "altitude_km": 500,
                "first_local_time_s": 79_200,
            }
        ],
        "station": [
            {"preset": "beijing", "name": name, "latitude_deg": at[0], "longitude_deg": at[1]}
            for name, at in PLACES.items()
        ],
        "pair": [{"ends": list(pair), "demand_bit_s": DEMAND_BIT_S} for pair in pairs],
        "service": {"setup_s": 90, "key_life_days": 28},
        "weather": {"default_clear": 0.5},
    }
    return network_of(load(tables, Scenario, "benchmark").value)


def _with_stores(network: Network, folder: str | Path | None) -> None:
    offer = offer_of(network)
    policy = Policy(method="greedy")
    books = operate(network, seed=1, policy=policy, offer=offer)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        began_s = time.perf_counter()
        with Stores(network, Path(scratch), seed=1) as stores:
            found = operate(network, seed=1, policy=policy, offer=offer, ledger=stores)
            took_s = time.perf_counter() - began_s
            balanced = all(store.check().balanced for store in stores.nodes.values())
            checked_s = time.perf_counter() - began_s - took_s
        size_mb = sum(path.stat().st_size for path in Path(scratch).iterdir()) / 1e6
    print(
        f"{network.duration_s / DAY_S:g} days with stores: {took_s:.1f} s, {size_mb:.0f} MB, "
        f"equal to books: {found == books}, balanced: {balanced} ({checked_s:.1f} s)"
    )


if __name__ == "__main__":
    main()
