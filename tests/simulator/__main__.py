"""Replay seeds, or run many:

PYTHONPATH=tests python -m simulator 17 18          these, with all that happened in them
PYTHONPATH=tests python -m simulator --seconds 60   as many as fit, from seed 0 on; --from N: from N on
"""

import argparse
import sys

from simulator.dice import plan_of
from simulator.runner import faults_of, run_on_all_cores


def main() -> int:
    """Exit code 1 where something does not hold."""
    parser = argparse.ArgumentParser(prog="simulator")
    parser.add_argument("seeds", nargs="*", type=int)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--from", dest="first", type=int, default=0)
    arguments = parser.parse_args()
    if not arguments.seeds:
        total, report = run_on_all_cores(arguments.seconds, arguments.first)
        print(report)
        return int(bool(total.failed))
    failed = False
    for seed in arguments.seeds:
        plan = plan_of(seed)
        world, found = faults_of(plan)
        failed |= bool(found)
        print(*plan.flights, *world.history.events, f"seed {seed}:", *(found or ["all holds"]), sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
