"""Plans of public instances: the exact one by cliques and a solver, and the baselines beside it.

One satellite flies all contacts: each pass and each task at most once, 60 s between two contacts.

    maximise   sum value_c x_c           x_c in {0, 1}, a column for each contact c that can matter
    subject to sum x_c <= 1              over the contacts of the passes of each maximal clique of conflicts
               sum x_c <= 1              over the contacts of each task

That each pass is flown once is in the cliques. Which contacts can matter: `instance_columns`.
"""

from typing import Final

import msgspec
import numpy as np
from scipy.sparse import csc_array

from satqkd.errors import ConfigError
from satqkd.plan.baselines import By, greedy, longest_path
from satqkd.plan.builder import ProblemBuilder
from satqkd.plan.instance import Instance, Operation, utc
from satqkd.plan.instance_columns import contacts_of, spans_s
from satqkd.plan.intervals import Index, cliques
from satqkd.plan.solver import Status, relative_gap, solve
from satqkd.sky.time import format_utc

METHODS: Final = ("exact", "greedy", "longest-path")

SETUP_S: Final = 60.0
"""Between two contacts: T_min of the published set."""
GAP: Final = 1e-9
"""Relative gap at which a plan counts as proved: some thousandths of what one bit is worth in these plans."""
_GAIN_EXPONENT: Final = 20
"""The solver's largest gain lies below 2 to this, whatever the file's unit: a power of two scales it."""


class InstanceContact(msgspec.Struct, frozen=True, kw_only=True):
    """A pass that is flown, and for what."""

    pass_id: int
    target_id: int
    node_id: int
    start_utc: str
    end_utc: str
    operation: Operation
    value: float


class InstancePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan, what it is worth, and what is proved about it."""

    method: str
    """One of `METHODS`."""
    status: Status
    """optimal: proved within the gap asked for; feasible: a plan, of which that is not proved."""
    objective: float
    """Sum of the contacts' values."""
    bound: float
    """No plan is worth more."""
    gap: float
    """(bound - objective) / objective; inf where the plan is worth nothing and more may be possible."""
    contacts: tuple[InstanceContact, ...]
    """In order of time."""
    baselines: dict[str, float]
    """What plans without a solver are worth: `greedy`, `greedy-per-second`, `longest-path`."""


def plan_instance(
    instance: Instance, *, method: str = "exact", gap: float = GAP, time_limit_s: float | None = None
) -> InstancePlan:
    """The plan of a method; of `exact` the best there is, proved within the relative `gap`.

    time_limit_s: of the solver; when it is over, the best plan so far, baselines among them, with the bound
    that was proved. Raises ConfigError for another method, gap or limit.
    """
    if method not in METHODS:
        raise ConfigError(f"plan, method: expected one of {', '.join(METHODS)}, got {method!r}")
    model = _Model(instance)
    path, bound = model.longest_path()
    kept = {
        "greedy": model.greedy("value"),
        "greedy-per-second": model.greedy("value per second"),
        "longest-path": path,
    }
    chosen, is_proved = kept.get(method, path), False
    if method == "exact":
        exact, solver_bound, is_proved = model.solved(gap, time_limit_s)
        chosen, bound = max((exact, *kept.values()), key=model.worth), min(bound, solver_bound)
    objective = model.worth(chosen)
    bound = max(bound, objective)
    return InstancePlan(
        method=method,
        status="optimal" if is_proved or relative_gap(objective, bound) <= gap else "feasible",
        objective=objective,
        bound=bound,
        gap=relative_gap(objective, bound),
        contacts=model.contacts(chosen),
        baselines={name: model.worth(each) for name, each in kept.items()},
    )


class _Model:
    """An instance as columns; plans are rows of `contacts_of`."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._begin_s, self._end_s = spans_s(instance)
        self._all = contacts_of(instance)

    def worth(self, kept: Index) -> float:
        """Sum of the values of the contacts."""
        return float(self._all.value[kept].sum())

    def greedy(self, by: By) -> Index:
        """Each contact that conflicts with no better one, tasks served once."""
        at = self._all.pass_
        satellite = np.zeros(at.size, dtype=np.intp)
        spans = self._begin_s[at], self._end_s[at]
        return greedy(*spans, self._all.value, [satellite], setup_s=SETUP_S, by=by, once=[self._all.target])

    def longest_path(self) -> tuple[Index, float]:
        """A plan, and a bound of all plans.

        On the longest path each pass is worth its best contact, as if a task could be served twice: no plan
        is worth more. Its passes, with distinct tasks dealt in the best way, are the plan.
        """
        best = np.zeros(self._begin_s.size)
        np.maximum.at(best, self._all.pass_, self._all.value)
        satellite = np.zeros(best.size, dtype=np.intp)
        flown = longest_path(self._begin_s, self._end_s, best, [satellite], setup_s=SETUP_S)
        return self._dealt(flown), float(best[flown].sum())

    def solved(self, gap: float, time_limit_s: float | None) -> tuple[Index, float, bool]:
        """The solver's plan, empty where it found none in time, its bound, and whether it is proved."""
        needed = np.flatnonzero(self._all.is_needed)
        contacts = self._all.only(needed)
        largest = float(contacts.value.max(initial=0.0))
        scale = 2.0 ** min(_GAIN_EXPONENT - int(np.frexp(largest)[1]), 1000)
        build = ProblemBuilder()
        columns = build.add_columns(contacts.value * scale, upper=1.0, integer=True)
        clique, column = self._conflicts(contacts.pass_)
        build.add_rows(column, 1.0, clique, upper=1.0)
        build.add_rows(columns, 1.0, np.unique(contacts.target, return_inverse=True)[1], upper=1.0)
        found = solve(build.build(), relative_gap=gap, time_limit_s=time_limit_s)
        chosen = needed[found.values > 0.5] if found.values is not None else needed[:0]
        return chosen, found.bound / scale, found.status == "optimal"

    def contacts(self, kept: Index) -> tuple[InstanceContact, ...]:
        """The contacts in order of time."""
        plan = self._all.only(kept[np.argsort(self._begin_s[self._all.pass_[kept]], kind="stable")])
        rows = zip(plan.pass_.tolist(), plan.target.tolist(), plan.value.tolist(), strict=True)
        return tuple(self._contact(*row) for row in rows)

    def _contact(self, pass_: int, target: int, value: float) -> InstanceContact:
        flown, task = self._instance.passes[pass_], self._instance.targets[target]
        return InstanceContact(
            pass_id=flown.id,
            target_id=task.id,
            node_id=flown.node,
            start_utc=format_utc(utc(flown.start)),
            end_utc=format_utc(utc(flown.end)),
            operation=task.operation,
            value=value,
        )

    def _conflicts(self, pass_: Index) -> tuple[Index, Index]:
        """Maximal cliques of the passes of some contacts: pairs of a row and a position among these."""
        flown, place = np.unique(pass_, return_inverse=True)
        satellite = np.zeros(flown.size, dtype=np.intp)
        found = cliques(self._begin_s[flown], self._end_s[flown], satellite, setup_s=SETUP_S)
        ones, shape = np.ones(found.row.size), (found.n_rows, flown.size)
        pairs = csc_array((ones, (found.row, found.interval)), shape)[:, place].tocoo()
        return pairs.row, pairs.col

    def _dealt(self, flown: Index) -> Index:
        """Contacts of these passes with distinct tasks, of the largest sum of values."""
        from scipy.optimize import linear_sum_assignment

        node = np.array([each.node for each in self._instance.passes])[self._all.pass_]
        mine = np.isin(self._all.pass_, flown)
        kept = [np.empty(0, dtype=np.intp)]
        for terminal in np.unique(node[mine]).tolist():
            rows = np.flatnonzero(mine & (node == terminal))
            contacts = self._all.only(rows)
            place = [np.unique(each, return_inverse=True)[1] for each in (contacts.pass_, contacts.target)]
            shape = [int(each.max()) + 1 for each in place]
            value, row = np.zeros(shape), np.full(shape, -1)
            value[*place], row[*place] = contacts.value, rows
            dealt = row[linear_sum_assignment(value, maximize=True)]
            kept.append(dealt[dealt >= 0])
        return np.concatenate(kept)
