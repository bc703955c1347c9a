"""Public scheduling instances: proved optimum, its time, and how much of it plans without a solver reach.

Seconds are of one thread from opening the file to the plan; the first row's hold the loading of the solver.

    python benchmarks/instances.py FOLDER
"""

import sys
import time
from pathlib import Path

import satqkd
from satqkd.plan.instance import read_instance
from satqkd.plan.instance_plan import plan_instance

COLUMNS = ("passes", "tasks", "contacts", "objective", "bound", "seconds", "greedy", "per second", "path")


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        raise SystemExit("benchmarks/instances.py: give the folder with the instances, .json or .json.gz")
    files = [
        each for each in sorted(Path(sys.argv[1]).iterdir()) if each.name.endswith((".json", ".json.gz"))
    ]
    if not files:
        raise SystemExit(f"benchmarks/instances.py: {sys.argv[1]} holds no .json and no .json.gz file")
    names = [each.name.removesuffix(".gz").removesuffix(".json") for each in files]
    width = max(map(len, names))
    print(f"satqkd {satqkd.__version__}: shares of the optimum by greedy, greedy per second, longest path")
    print(f"{'instance':{width}s} " + " ".join(f"{each:>12s}" for each in COLUMNS))
    for name, path in zip(names, files, strict=True):
        print(f"{name:{width}s} " + " ".join(f"{cell:>12s}" for cell in _row(path)), flush=True)


def _row(path: Path) -> list[str]:
    began = time.perf_counter()
    instance = read_instance(path)
    found = plan_instance(instance)
    seconds = time.perf_counter() - began
    return [
        f"{len(instance.passes):,}",
        f"{len(instance.targets):,}",
        str(len(found.contacts)),
        f"{found.objective:.2f}",
        f"{found.bound:.2f}",
        f"{seconds:.2f}",
        *(f"{each / found.objective if found.objective else 1:.4f}" for each in found.baselines.values()),
    ]


if __name__ == "__main__":
    main()
