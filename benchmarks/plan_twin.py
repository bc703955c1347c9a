"""Planned contacts of a scenario flown by the digital twin: planned, expected and distilled key side by side.

The scenario is planned, and so many of its contacts, evenly over the horizon, are flown in memory under a
clear sky, one after another; a pass takes some tens of seconds.

    python benchmarks/plan_twin.py [SCENARIO.toml] [CONTACTS] [SEED]
"""

import sys
import time
from pathlib import Path

import numpy as np

import satqkd
from satqkd.plan.flown_contacts import fly_contacts
from satqkd.plan.network import read_scenario
from satqkd.plan.planner import make_plan
from satqkd.plan.search import Search

SCENARIO = Path(__file__).parents[1] / "examples" / "scenarios" / "jinan-1-cities.toml"


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else SCENARIO
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    network = read_scenario(path)
    contacts = make_plan(network, search=Search(gap=1e-2, time_limit_s=60.0)).contacts
    rows = np.unique(np.linspace(0, len(contacts) - 1, count).round().astype(int)).tolist()
    print(
        f"satqkd {satqkd.__version__}: {len(rows)} of {len(contacts)} contacts of {network.name}, seed {seed}"
    )
    print(
        f"{'contact':48s} {'planned':>10s} {'expected':>10s} {'twin':>10s} {'twin / expected':>16s} {'s':>6s}"
    )
    total = np.zeros(3)
    began_s = time.perf_counter()
    for found in fly_contacts(network, [contacts[row] for row in rows], seed=seed):
        took_s, began_s = time.perf_counter() - began_s, time.perf_counter()
        bits = np.array([found.planned_bits, found.expected_bits, found.twin_bits])
        total += bits
        name = f"{found.satellite} {found.station} {found.start_utc}"
        print(f"{name:48s} {_figures(bits)} {took_s:6.1f}", flush=True)
    print(f"{'together':48s} {_figures(total)}")


def _figures(bits: np.ndarray) -> str:
    ratio = f"{bits[2] / bits[1]:16.3f}" if bits[1] else f"{'-':>16s}"
    return " ".join(f"{each:10,.0f}" for each in bits) + f" {ratio}"


if __name__ == "__main__":
    main()
