"""Seeds one after the other, what they injected and reached, and how to see a failing one again."""

import itertools
import multiprocessing
import os
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from simulator.checker import violations
from simulator.dice import Plan, plan_of
from simulator.mail import SETTINGS, Mail, carries_mail
from simulator.reached import reached_by_all
from simulator.world import World

REPLAY = "PYTHONPATH=tests python -m simulator {seed}"


class Total(NamedTuple):
    """Of all seeds so far."""

    seeds: list[int]
    passes: list[int]
    faults: Counter[str]
    reached: Counter[str]
    failed: list[str]

    def table(self, wall_s: float, cpu_s: float) -> str:
        """The report of a run."""
        lines = [
            f"{len(self.seeds)} seeds, {sum(self.passes)} passes in {wall_s:.0f} s: "
            f"{60 * len(self.seeds) / wall_s:.0f} seeds a minute, "
            f"{cpu_s / max(sum(self.passes), 1):.3f} s of one core a pass",
            "",
            "injected",
            *(f"  {count:8d}  {name}" for name, count in sorted(self.faults.items())),
            "reached",
            *(f"  {count:8d}  {name}" for name, count in sorted(self.reached.items()) if count),
        ]
        return "\n".join([*lines, "", *self.failed])


def new_total() -> Total:
    """Nothing yet."""
    return Total([], [], Counter(), Counter(), [])


def faults_of(plan: Plan) -> tuple[World, list[str]]:
    """The world of a plan when all is over, and what does not hold of it."""
    mail = carries_mail(plan.seed)
    world = World(plan, guests=[Mail(plan.seed)], traffic=SETTINGS) if mail else World(plan)
    try:
        world.run()
    except Exception as error:
        where = "".join(traceback.format_tb(error.__traceback__)[-4:])
        return world, [f"{type(error).__name__}: {error}\n{where}"]
    return world, violations(world)


def run_seed(seed: int, total: Total) -> list[str]:
    """One seed; what does not hold, with the command that shows it again."""
    plan = plan_of(seed)
    world, found = faults_of(plan)
    reached_by_all(world.history, {name: node.store for name, node in world.nodes.items()}, plan.flights)
    total.seeds.append(seed)
    total.passes.append(len(plan.flights))
    total.faults.update(world.history.faults)
    total.reached.update(world.history.reached)
    if found:
        total.failed.append(f"seed {seed}, replay with: {REPLAY.format(seed=seed)}\n  " + "\n  ".join(found))
    return found


def run_for(seconds: float, seeds: Iterable[int], total: Total) -> str:
    """Seeds until the time is over; the report."""
    began_s, cpu_s = time.monotonic(), time.process_time()
    for seed in seeds:
        run_seed(seed, total)
        if time.monotonic() - began_s > seconds:
            break
    return total.table(time.monotonic() - began_s, time.process_time() - cpu_s)


def _part(seconds: float, first: int, step: int) -> tuple[Total, float]:
    total, cpu_s = new_total(), time.process_time()
    run_for(seconds, itertools.count(first, step), total)
    return total, time.process_time() - cpu_s


def run_on_all_cores(seconds: float, first: int) -> tuple[Total, str]:
    """Seeds from a first on until the time is over, shared among processes; total and report."""
    began_s, cores = time.monotonic(), os.cpu_count() or 1
    with ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = list(pool.map(_part, [seconds] * cores, range(first, first + cores), [cores] * cores))
    total = new_total()
    for each, _ in parts:
        total.seeds.extend(each.seeds)
        total.passes.extend(each.passes)
        total.faults.update(each.faults)
        total.reached.update(each.reached)
        total.failed.extend(each.failed)
    return total, total.table(time.monotonic() - began_s, sum(cpu_s for _, cpu_s in parts))
