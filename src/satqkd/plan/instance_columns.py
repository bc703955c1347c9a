r"""The contacts of a public instance as columns, and which of them an exact plan can need.

A contact is a pass with a task of its terminal. It is worth priority x (1 + key bits) for a QKD task, its
priority for an optical one; a pass without key serves no QKD task.

Most contacts cannot matter. Let a terminal have m passes, n of them with key; rank its passes by key, its QKD
and its optical tasks by priority, the best 0. There is an optimal plan in which, at every terminal,

1. the QKD tasks are the best ones: with k QKD contacts, a task that is not among the k best can change places
   with a free one of these, which has no less priority on the same pass. Likewise the optical tasks;
2. the better of two passes with QKD has the better task (rearrangement inequality). So the i-th best of the
   passes flown with QKD has task i, and i is at most its rank among all. Optical tasks are worth the same on
   every pass, so they may be dealt in the same order;
3. no pass with key has an optical task that is worth no more there than QKD task n - 1: the pass itself has
   no QKD, so one of the n best tasks is free, and the change loses nothing. Among the optimal plans the one
   with the fewest optical contacts has none of this kind, and 1 and 2 leave value and number as they are.

Tasks change places on passes that are flown anyhow, so no conflict arises.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from satqkd.plan.instance import Instance, utc
from satqkd.plan.intervals import Column, Index

Mask = NDArray[np.bool_]


class Contacts(NamedTuple):
    """Contacts that a plan may hold, a row each; shapes (n,). What is worth nothing is not among them."""

    pass_: Index
    """Position in the instance's passes."""
    target: Index
    """Position in the instance's targets."""
    value: Column
    is_needed: Mask
    """Whether an exact plan can need it. A plan that deals tasks in another order may hold the others too."""

    def only(self, rows: Index | Mask) -> "Contacts":
        """These rows."""
        return Contacts(self.pass_[rows], self.target[rows], self.value[rows], self.is_needed[rows])


def spans_s(instance: Instance) -> tuple[Column, Column]:
    """Beginning and end of each pass in seconds after the instance's coverage begins."""
    epoch = utc(instance.coverage_start)
    begin = [(utc(each.start) - epoch).total_seconds() for each in instance.passes]
    end = [(utc(each.end) - epoch).total_seconds() for each in instance.passes]
    return np.array(begin), np.array(end)


def contacts_of(instance: Instance) -> Contacts:
    """All contacts with as many of a terminal's best QKD and optical tasks as it has passes for them."""
    key = np.array([each.key_bits for each in instance.passes])
    priority = np.array([each.priority for each in instance.targets])
    is_qkd = np.array([each.operation == "QKD" for each in instance.targets])
    passes, tasks = _best_first(key), _best_first(priority)
    over = np.array([each.node for each in instance.passes])[passes]
    at = np.array([each.node for each in instance.targets])[tasks]
    parts = []
    for terminal in np.intersect1d(over, at).tolist():
        own, asked = passes[over == terminal], tasks[at == terminal]
        keyed = own[key[own] > 0]
        qkd, optical = asked[is_qkd[asked]][: keyed.size], asked[~is_qkd[asked]][: own.size]
        worth = priority[qkd] * (1 + key[keyed, None])
        is_open = np.full(own.size, True)
        if optical.size and 0 < keyed.size == qkd.size:
            is_open[: keyed.size] = priority[optical[0]] > worth[:, -1]
        parts.append(_table(keyed, qkd, worth, np.full(keyed.size, True)))
        parts.append(_table(own, optical, np.tile(priority[optical], (own.size, 1)), is_open))
    found = _joined(parts)
    return found.only(found.value > 0)


def _joined(parts: list[Contacts]) -> Contacts:
    return Contacts(
        np.concatenate([each.pass_ for each in parts]),
        np.concatenate([each.target for each in parts]),
        np.concatenate([each.value for each in parts]),
        np.concatenate([each.is_needed for each in parts]),
    )


def _best_first(amount: Column) -> Index:
    """Positions by falling amount, of equal ones the first first."""
    return np.argsort(-amount, kind="stable")


def _table(passes: Index, tasks: Index, value: NDArray[np.float64], is_open: Mask) -> Contacts:
    """Each pass with each task, both ranked; task i is needed on open passes of rank i and more only."""
    rank, task = (each.ravel() for each in np.indices(value.shape))
    return Contacts(passes[rank], tasks[task], value.ravel(), (task <= rank) & is_open[rank])
