"""What ten thousand satellites over a thousand stations would cost: parts measured, the whole reckoned.

    python benchmarks/scale.py [--quick]

Measured on one core: passes and key of a few satellites over a thousand stations, the longest path among
their passes, halves of the work in two processes, schedules of growing constellations. Reckoned from
these: the whole. Wall times; the second table is arithmetic, no measurement.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import msgspec
import numpy as np
from planning import memory_mib, scenario, timed, world_pairs

from satqkd.plan.baselines import longest_path
from satqkd.plan.network import Network
from satqkd.plan.opportunities import Opportunities, find_opportunities
from satqkd.plan.planner import MOST_AT_ONCE, offer_of
from satqkd.plan.schedule import choose
from satqkd.plan.search import Search
from satqkd.plan.yields import fast_yields

SATELLITES, STATIONS = 10_000, 1_000
"""Of the whole."""
MONTH_DAYS = 30.0


def light_of(network: Network) -> tuple[Opportunities, Any, float, float]:
    """Passes, their key, and the seconds that each took."""
    passes, find_s = timed(lambda: find_opportunities(network))
    bits, yield_s = timed(lambda: fast_yields(network, passes))
    return passes, bits, find_s, yield_s


def of_satellites(stations: int, satellites: int, days: float) -> dict[str, Any]:
    """Passes and key of some satellites over many stations, and the longest path among them."""
    network = scenario(satellites, stations, days)
    passes, bits, find_s, yield_s = light_of(network)
    path, path_s = timed(
        lambda: longest_path(
            passes.start_s, passes.end_s, bits, [passes.satellite], setup_s=network.service.setup_s
        )
    )
    columns = sum(getattr(passes, name).nbytes for name in passes.__struct_fields__)
    return {
        "case": f"{satellites} satellites, {stations} stations, {days:g} days",
        "satellite_days": satellites * days, "passes": len(passes), "with_key": int((bits > 0).sum()),
        "find_s": find_s, "yields_s": yield_s, "path_s": path_s, "on_paths": len(path),
        "bytes_a_pass": columns / len(passes), "memory_mib": memory_mib(),
    }  # fmt: skip


def in_processes(stations: int, days: float) -> dict[str, Any]:
    """Two satellites one after another, then each in a process of its own, begun and imported before."""
    whole = scenario(2, stations, days)
    halves = [msgspec.structs.replace(whole, satellites=(each,)) for each in whole.satellites]
    _, alone_s = timed(lambda: [_passes(each) for each in halves])
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(_passes, [scenario(1, 2, 1.0)] * 2))
        found, together_s = timed(lambda: list(pool.map(_passes, halves)))
    return {
        "case": f"2 satellites, {stations} stations, {days:g} days, in two processes", "passes": sum(found),
        "alone_s": alone_s, "together_s": together_s, "speed_up": alone_s / together_s,
    }  # fmt: skip


def _passes(network: Network) -> int:
    return len(light_of(network)[0])


def schedules(satellites: tuple[int, ...], days: float) -> Iterator[dict[str, Any]]:
    """Max-min, thirty stations, 29 pairs."""
    for count in satellites:
        network = scenario(count, 30, days, world_pairs())
        offer = offer_of(network)
        search, many = Search(gap=1e-2, time_limit_s=60.0), len(offer.passes) > MOST_AT_ONCE
        ask: Callable[[], Any] = partial(choose, network, offer.passes, offer.value_bits, search)
        choice, seconds = timed(partial(ask, large=many))
        yield {
            "case": f"{count} satellites, 30 stations, 29 pairs, {days:g} days: schedule",
            "passes": len(offer.passes), "schedule_s": seconds,
            "gap": choice.bound / choice.objective - 1 if choice.objective else None,
            "contacts": int(choice.flown.sum()),
        }  # fmt: skip


def reckoned(month: dict[str, Any]) -> dict[str, Any]:
    """The whole, for a month, from a few satellites' month."""
    times = SATELLITES * MONTH_DAYS / month["satellite_days"]
    seconds = {name: month[name] * times for name in ("find_s", "yields_s", "path_s")}
    return {
        "case": f"{SATELLITES} satellites, {STATIONS} stations, {MONTH_DAYS:g} days (reckoned)",
        "passes": round(month["passes"] * times),
        "core_hours": {name: each / 3600 for name, each in seconds.items()},
        "cores_for_a_night": sum(seconds.values()) / (8 * 3600),
        "gigabytes_of_columns": month["passes"] * times * month["bytes_a_pass"] / 1e9,
    }


def main() -> None:
    """Measure, reckon, print."""
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    options.add_argument("--quick", action="store_true", help="small cases, a few seconds each")
    quick = options.parse_args().quick
    stations = 50 if quick else STATIONS
    began_s = time.perf_counter()

    def tell(row: dict[str, Any]) -> dict[str, Any]:
        print(json.dumps(row, default=float), flush=True)
        return row

    for satellites, days in ((1, 2.0), (2, 2.0)) if quick else ((1, 1.0), (2, 1.0), (4, 1.0), (1, 10.0)):
        tell(of_satellites(stations, satellites, days))
    month = tell(of_satellites(stations, 1, 4.0 if quick else MONTH_DAYS))
    tell(in_processes(stations, 2.0 if quick else 5.0))
    for row in schedules((2, 4) if quick else (20, 40, 60, 80), 2.0 if quick else 7.0):
        tell(row)
    tell(reckoned(month))
    print(f"{np.ceil(time.perf_counter() - began_s):g} s in all", flush=True)


if __name__ == "__main__":
    main()
