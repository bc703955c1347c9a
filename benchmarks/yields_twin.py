"""What passes are expected to give against what the digital twin distils of them, pass by pass.

From each scenario some passes are taken, evenly in order of their key from the weakest that gives any to the
best, and flown in memory under a clear sky, photon by photon; a pass takes some tens of seconds.

    python benchmarks/yields_twin.py [--each N] [--seed N] [SCENARIO.toml ...]
"""

import argparse
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np

import satqkd
from satqkd.plan.flown_contacts import FlownContact, fly_contacts
from satqkd.plan.network import Network, read_scenario
from satqkd.plan.opportunities import Opportunities, find_opportunities
from satqkd.plan.result import PlannedContact
from satqkd.plan.yields import fast_yields
from satqkd.sky import format_utc

SCENARIOS = Path(__file__).parents[1] / "examples" / "scenarios"
DEFAULT = tuple(SCENARIOS / f"{name}.toml" for name in ("jinan-1-cities", "europe", "six-satellites"))
WEAK_BITS = 20_000
"""A relative error says little of a pass with less, whose key dice decide."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenarios", nargs="*", type=Path, default=DEFAULT)
    parser.add_argument("--each", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    print(f"satqkd {satqkd.__version__}: {asked.each} passes of each scenario, seed {asked.seed}")
    columns = ("surrogate", "exact", "twin", "twin/exact")
    print(f"{'pass':56s} {'highest':>7s} {' '.join(f'{each:>10s}' for each in columns)} {'s':>6s}")
    rows = []
    began_s = time.perf_counter()
    for network in map(read_scenario, asked.scenarios):
        for elevation_rad, found in flown(network, asked.each, asked.seed):
            took_s, began_s = time.perf_counter() - began_s, time.perf_counter()
            rows.append((found.planned_bits, found.expected_bits, found.twin_bits))
            name = f"{network.name} {found.satellite} {found.station} {found.start_utc[:16]}"
            print(
                f"{name:56s} {np.degrees(elevation_rad):7.1f} {_figures(rows[-1])} {took_s:6.1f}", flush=True
            )
    print(f"{'together':64s} {_figures(np.sum(rows, axis=0))}")
    strong = np.array([row for row in rows if row[1] > WEAK_BITS])
    if len(strong) > 1:
        surrogate, exact, twin = strong.T
        _print_ratio("twin / exact", twin / exact)
        _print_ratio("twin / surrogate", twin / surrogate)
        _print_ratio("surrogate / exact", surrogate / exact)


def flown(network: Network, count: int, seed: int) -> Iterator[tuple[float, FlownContact]]:
    """Highest elevation, and what was planned, expected and distilled, pass by pass."""
    passes = find_opportunities(network)
    key_bits = fast_yields(network, passes)
    order = np.argsort(key_bits, kind="stable")[int((key_bits == 0).sum()) :]
    rows = order[np.unique(np.linspace(0, len(order) - 1, count).round().astype(int))]
    contacts = [_contact(network, passes, key_bits, int(row)) for row in rows]
    yield from zip(
        passes.max_elevation_rad[rows].tolist(), fly_contacts(network, contacts, seed=seed), strict=True
    )


def _contact(network: Network, passes: Opportunities, key_bits: np.ndarray, row: int) -> PlannedContact:
    def utc(t_s: float) -> str:
        return format_utc(network.start + timedelta(seconds=float(t_s)))

    return PlannedContact(
        satellite=network.satellites[passes.satellite[row]].name,
        station=network.stations[passes.station[row]].name,
        start_utc=utc(passes.start_s[row]),
        end_utc=utc(passes.end_s[row]),
        max_elevation_rad=float(passes.max_elevation_rad[row]),
        key_bits=float(key_bits[row]),
        clear_probability=1.0,
        period=0,
    )


def _figures(bits: tuple[float, float, float]) -> str:
    ratio = f"{bits[2] / bits[1]:10.3f}" if bits[1] else f"{'-':>10s}"
    return " ".join(f"{each:10,.0f}" for each in bits) + f" {ratio}"


def _print_ratio(name: str, ratio: np.ndarray) -> None:
    """Mean of passes above `WEAK_BITS`, with its standard error."""
    error = ratio.std(ddof=1) / np.sqrt(len(ratio))
    print(f"{name:18s} {ratio.mean():.4f} +- {error:.4f} on {len(ratio)} passes above {WEAK_BITS:,} bits")


if __name__ == "__main__":
    main()
