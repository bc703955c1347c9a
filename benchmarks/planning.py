"""What planning costs: passes, yields, schedules, and how that grows with satellites and days.

    python benchmarks/planning.py [--quick] [--plot FILE]

Every row is one process's wall time on one core; passes and yields are functions of the scenario alone, a
schedule's time is the solver's.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from satqkd.config import Scenario, load
from satqkd.plan.network import Network, network_of
from satqkd.plan.opportunities import find_opportunities
from satqkd.plan.planner import MOST_AT_ONCE, offer_of
from satqkd.plan.schedule import choose, upper_bound
from satqkd.plan.search import Search
from satqkd.plan.yields import fast_yields, surrogate_error

START = "2024-10-03T12:00:00Z"
PLACES = [
    ("london", 51.5, -0.1), ("glasgow", 55.9, -4.3), ("paris", 48.9, 2.4), ("madrid", 40.4, -3.7),
    ("tenerife", 28.3, -16.5), ("matera", 40.7, 16.7), ("vienna", 48.2, 16.4), ("athens", 38.0, 23.7),
    ("berlin", 52.5, 13.4), ("warsaw", 52.2, 21.0), ("helsinki", 60.2, 25.0), ("istanbul", 41.0, 29.0),
    ("cairo", 30.0, 31.2), ("nairobi", -1.3, 36.8), ("johannesburg", -26.2, 28.0), ("cape-town", -33.9, 18.5),
    ("dubai", 25.2, 55.3), ("delhi", 28.6, 77.2), ("bangalore", 13.0, 77.6), ("singapore", 1.35, 103.8),
    ("beijing", 40.0, 116.3), ("shanghai", 31.2, 121.5), ("urumqi", 43.8, 87.6), ("tokyo", 35.7, 139.7),
    ("perth", -32.0, 115.9), ("sydney", -33.9, 151.2), ("santiago", -33.4, -70.7), ("mexico", 19.4, -99.1),
    ("denver", 39.7, -105.0), ("ottawa", 45.4, -75.7),
]  # fmt: skip


def scenario(
    satellites: int, stations: int, days: float, pairs: list[tuple[str, str]] | None = None
) -> Network:
    """Sun-synchronous satellites at 500 km; thirty places of the world, more drawn by a seed."""
    rng = np.random.default_rng(1)
    more = zip(rng.uniform(-55, 60, 2000).tolist(), rng.uniform(-180, 180, 2000).tolist(), strict=True)
    places = [*PLACES, *((f"p{k}", *each) for k, each in enumerate(more))][:stations]
    table: dict[str, Any] = {
        "name": "benchmark",
        "start_utc": START,
        "duration_days": days,
        "satellite": [
            {"preset": "jinan-1", "name": "b", "pattern": "sun-synchronous", "altitude_km": 500}
            | {"count": satellites, "planes": next(k for k in (5, 4, 3, 2, 1) if satellites % k == 0)}
        ],
        "station": [
            {"preset": "beijing", "name": name, "latitude_deg": latitude, "longitude_deg": longitude}
            for name, latitude, longitude in places
        ],
        "pair": [{"ends": list(each)} for each in pairs or ()],
    }
    return network_of(load(table, Scenario, "benchmark").value)


def world_pairs() -> list[tuple[str, str]]:
    """Neighbours and antipodes among the thirty places: 29 pairs."""
    names = [name for name, *_ in PLACES]
    far = [(names[k], names[29 - k]) for k in range(15)]
    return [*far, *((names[k], names[k + 1]) for k in range(0, 28, 2))]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """An answer and how long it took."""
    began_s = time.perf_counter()
    return work(), time.perf_counter() - began_s


def rows(*, quick: bool) -> Iterator[dict[str, Any]]:
    """One measurement each."""
    year = scenario(1, 10, 36.5 if quick else 365)
    passes, find_s = timed(lambda: find_opportunities(year))
    bits, yield_s = timed(lambda: fast_yields(year, passes))
    error = surrogate_error(year, passes, bits, sample=100 if quick else 400)
    yield {
        "case": f"1 satellite, 10 stations, {year.duration_s / 86400:g} days",
        "passes": len(passes),
        "find_s": find_s,
        "yields_s": yield_s,
        "surrogate": msgspec.structs.asdict(error),
    }
    many = scenario(10 if quick else 100, 50, 3 if quick else 30)
    passes, find_s = timed(lambda: find_opportunities(many))
    yield {"case": f"{len(many.satellites)} satellites, 50 stations, {many.duration_s / 86400:g} days",
           "passes": len(passes), "find_s": find_s, "memory_mib": memory_mib()}  # fmt: skip
    for days in (2,) if quick else (7, 30):
        network = scenario(20, 30, days, world_pairs())
        yield _schedule(network)


def _schedule(network: Network) -> dict[str, Any]:
    offer, offer_s = timed(lambda: offer_of(network))
    relaxed, relaxed_s = timed(lambda: upper_bound(network, offer.passes, offer.value_bits))
    search = Search(gap=1e-2, time_limit_s=60.0)
    many = len(offer.passes) > MOST_AT_ONCE
    choice, choose_s = timed(lambda: choose(network, offer.passes, offer.value_bits, search, large=many))
    return {
        "case": f"20 satellites, 30 stations, 29 pairs, {network.duration_s / 86400:g} days, max-min",
        "passes": len(offer.passes), "offer_s": offer_s, "relaxation_s": relaxed_s, "schedule_s": choose_s,
        "objective": choice.objective, "bound": choice.bound, "gap": 1 - choice.objective / choice.bound,
        "relaxation": relaxed, "contacts": int(choice.flown.sum()),
    }  # fmt: skip


def growth(*, quick: bool) -> list[tuple[int, float, float]]:
    """Satellites times days, seconds of passes and yields, seconds of a schedule swept to 3 per cent."""
    found = []
    large = ((10, 14), (20, 14), (20, 28), (40, 28), (40, 56))
    for satellites, days in ((2, 2), (4, 2), (8, 2), (8, 4)) if quick else large:
        network = scenario(satellites, 30, days, world_pairs())
        offer, offer_s = timed(partial(offer_of, network))
        ask = partial(choose, network, offer.passes, offer.value_bits, Search(gap=3e-2))
        _, choose_s = timed(partial(ask, large=True))
        found.append((satellites * days, offer_s, choose_s))
    return found


def memory_mib() -> float:
    """Peak of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def draw(points: list[tuple[int, float, float]], path: Path) -> None:
    """Seconds against satellites times days, with lines of slope 1."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    work, offer_s, choose_s = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for seconds, name, mark in (
        (offer_s, "passes and yields", "o"),
        (choose_s, "schedule, swept to 3 %", "s"),
    ):
        slope = np.polyfit(np.log(work), np.log(seconds), 1)[0]
        axes.loglog(work, seconds, mark + "-", label=f"{name}: slope {slope:.2f}")
    axes.loglog(work, offer_s[0] * work / work[0], ":", color="grey", label="linear")
    axes.set(xlabel="satellites x days (30 stations, 29 pairs)", ylabel="time on one core (s)")
    axes.set_title("What planning costs")
    axes.legend()
    axes.grid(visible=True, which="both", alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print, draw."""
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    options.add_argument("--quick", action="store_true", help="small cases, a few seconds each")
    options.add_argument("--plot", type=Path, help="growth as one PNG file")
    chosen = options.parse_args()
    for row in rows(quick=chosen.quick):
        print(json.dumps(row, default=float), flush=True)
    points = growth(quick=chosen.quick)
    for work, offer_s, choose_s in points:
        print(json.dumps({"satellite_days": work, "offer_s": offer_s, "schedule_s": choose_s}), flush=True)
    if chosen.plot:
        draw(points, chosen.plot)
        print(chosen.plot, file=sys.stderr)


if __name__ == "__main__":
    main()
