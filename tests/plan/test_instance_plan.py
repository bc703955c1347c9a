"""Plans of small instances against trying all; every plan is read by a checker that knows no planner."""

import copy
import json
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instance_cases import Document, Plan, best_worth, broken_rules, document
from satqkd.errors import ConfigError
from satqkd.plan.instance import Instance, read_instance
from satqkd.plan.instance_columns import contacts_of
from satqkd.plan.instance_plan import METHODS, plan_instance
from satqkd.results import to_json

FOLDER = os.environ.get("SATQKD_INSTANCES", "")
PROVED = {
    "train_europe_24h_10app_jan_25": 3_550_812.54,
    "train_europe_24h_30app_sep_25": 4_418_835.63,
    "train_europe_24h_60app_jun_5": 4_807_546.85,
}
"""Optima by HiGHS 1.15.1 and CP-SAT 9.15 alike."""

_passes = st.tuples(
    st.integers(0, 1),
    st.integers(0, 40).map(lambda k: 20.0 * k),
    st.integers(1, 12).map(lambda k: 20.0 * k),
    st.sampled_from([0.0, 0.0, 0.5, 1.0, 10.0, 11.0, 1e5]),
).map(lambda row: (row[0], row[1], row[1] + row[2], row[3]))
_targets = st.tuples(
    st.integers(0, 1),
    st.sampled_from([0.0, 0.01, 0.3, 0.5, 0.5, 0.9, 3.0, 20.0]),
    st.sampled_from(["QKD", "OPTICAL_ONLY"]),
)
small_instances = st.builds(
    lambda one, passes, task, targets: document([(0, *one[1:]), *passes], [(0, *task[1:]), *targets]),
    _passes,
    st.lists(_passes, max_size=4),
    _targets,
    st.lists(_targets, max_size=5),
)
quick = settings(max_examples=150, deadline=None, derandomize=True, database=None)


def plan_of(made: Document, **options: Any) -> Plan:
    """In its JSON form."""
    instance = msgspec.convert(made, Instance)
    return dict(json.loads(to_json(plan_instance(instance, **options))))


@quick
@given(small_instances)
def test_the_exact_plan_is_the_best_of_all(made: Document) -> None:
    plan, best = plan_of(made), best_worth(made)
    assert broken_rules(made, plan) == []
    assert plan["status"] == "optimal"
    assert plan["objective"] == pytest.approx(best, rel=1e-8)
    assert plan["bound"] == pytest.approx(best, rel=1e-8) and plan["gap"] <= 1e-9


@quick
@given(small_instances)
def test_plans_of_every_method_keep_the_rules_and_bound_the_best(made: Document) -> None:
    best, worths = best_worth(made), {}
    for method in METHODS:
        plan = plan_of(made, method=method)
        assert broken_rules(made, plan) == [] and plan["method"] == method
        assert plan["objective"] <= best * (1 + 1e-9) and plan["bound"] >= best * (1 - 1e-9)
        worths[method] = plan["objective"]
        assert plan["baselines"]["greedy"] == plan_of(made, method="greedy")["objective"]
    exact = plan_of(made)
    assert exact["baselines"]["longest-path"] == worths["longest-path"]
    assert max(exact["baselines"].values()) <= exact["objective"]


def test_passes_of_one_terminal_share_its_tasks() -> None:
    """The best pass by key has the best task, the second the next; the optical task goes to any other."""
    passes = [(3, 0, 100, 10.0), (3, 1000, 1100, 1000.0), (3, 2000, 2100, 100.0), (3, 3000, 3100, 1.0)]
    plan = plan_of(document(passes, [(3, 0.5, "QKD"), (3, 0.9, "QKD"), (3, 0.1, "OPTICAL_ONLY")]))
    served = {each["target_id"]: each["pass_id"] for each in plan["contacts"]}
    assert (served[1003], served[1000]) == (107, 114) and served[1006] in (100, 121)
    assert plan["objective"] == pytest.approx(0.9 * 1001 + 0.5 * 101 + 0.1)


@pytest.mark.parametrize(("pause_s", "contacts"), [(60.0, 2), (59.0, 1)])
def test_sixty_seconds_between_two_contacts_are_enough(pause_s: float, contacts: int) -> None:
    passes = [(0, 0, 300, 5.0), (1, 300 + pause_s, 700, 5.0)]
    made = document(passes, [(0, 1.0, "QKD"), (1, 1.0, "QKD")])
    for method in METHODS:
        assert len(plan_of(made, method=method)["contacts"]) == contacts


def test_a_pass_without_key_serves_no_qkd() -> None:
    plan = plan_of(document([(0, 0, 300, 0.0)], [(0, 9.0, "QKD"), (0, 0.5, "OPTICAL_ONLY")]))
    assert [each["operation"] for each in plan["contacts"]] == ["OPTICAL_ONLY"]
    assert plan["objective"] == 0.5
    nothing = plan_of(document([(0, 0, 300, 0.0)], [(0, 9.0, "QKD")]))
    assert (nothing["contacts"], nothing["objective"], nothing["status"]) == ([], 0.0, "optimal")


@pytest.mark.parametrize("unit", [1e-300, 1e-9, 1.0, 1e6])
def test_priorities_of_any_size_are_weighed(unit: float) -> None:
    """Gains of 1e-9 are nothing to a solver. Greedy takes the 7 between 5 and 6; the longest path takes both
    passes of terminal 0, which has one task. So neither stands in for it."""
    passes = [
        *((0, 0, 100, 9.0), (0, 500, 600, 9.0), (1, 500, 600, 5.0)),
        *((2, 2000, 2300, 4.0), (3, 2200, 2500, 6.0), (4, 2400, 2700, 5.0)),
    ]
    plan = plan_of(document(passes, [(node, unit, "QKD") for node in range(5)]))
    shares = {name: value / unit for name, value in plan["baselines"].items()}
    assert shares == pytest.approx({"greedy": 23, "greedy-per-second": 23, "longest-path": 21})
    assert plan["objective"] == pytest.approx(27 * unit) and plan["status"] == "optimal"


@quick
@given(small_instances)
def test_contacts_without_column_are_missed_by_no_best_plan(made: Document) -> None:
    instance = msgspec.convert(made, Instance)
    needed = contacts_of(instance).only(contacts_of(instance).is_needed)
    pairs = {
        (instance.passes[pass_].id, instance.targets[target].id)
        for pass_, target in zip(needed.pass_.tolist(), needed.target.tolist(), strict=True)
    }
    assert best_worth(made, pairs) == pytest.approx(best_worth(made), rel=1e-12)


def test_an_optical_task_keeps_its_column_where_it_may_be_worth_more() -> None:
    """Of two passes with key one has the good task; for the other, 0.1 x 3 is less than an optical 0.5."""
    passes = [(0, 0, 100, 2.0), (0, 1000, 1100, 2.0)]
    optical = [(0, 0.5, "OPTICAL_ONLY")]
    for more in ([], [(0, 0.1, "QKD")]):
        made = document(passes, [(0, 1.0, "QKD"), *more, *optical])
        columns = contacts_of(msgspec.convert(made, Instance))
        assert columns.value[columns.is_needed & (columns.value == 0.5)].size == 2
        assert plan_of(made)["objective"] == pytest.approx(3.5)
    made = document(passes, [(0, 1.0, "QKD"), (0, 0.2, "QKD"), *optical])
    columns = contacts_of(msgspec.convert(made, Instance))
    assert columns.is_needed.sum() == 3 and plan_of(made)["objective"] == pytest.approx(3.6)


def test_contacts_that_cannot_matter_have_no_column() -> None:
    """Four passes of one terminal and 200 tasks: 800 contacts, of which 4 + 3 + 2 + 1 with QKD are needed."""
    passes = [(0, 1000.0 * k, 1000.0 * k + 200, 1000.0 * (k + 1)) for k in range(4)]
    priorities = np.linspace(0.1, 1.0, 100).tolist()
    tasks = [(0, each, kind) for each in priorities for kind in ("QKD", "OPTICAL_ONLY")]
    columns = contacts_of(msgspec.convert(document(passes, tasks), Instance))
    assert columns.value.size == 32 and columns.is_needed.sum() == 10


def test_when_time_runs_out_at_once_a_baseline_stands_with_a_bound() -> None:
    rng = np.random.default_rng(3)
    begin = rng.integers(0, 4000, 60).tolist()
    passes = [(k % 6, b, b + 300, float(rng.integers(1, 1000))) for k, b in enumerate(begin)]
    made = document(passes, [(k % 6, float(rng.random()), "QKD") for k in range(60)])
    proved = plan_of(made)
    hasty = plan_of(made, time_limit_s=1e-9)
    assert broken_rules(made, hasty) == [] and hasty["status"] == "feasible"
    assert 0 < hasty["objective"] <= proved["objective"] <= hasty["bound"]
    assert hasty["objective"] == max(hasty["baselines"].values())
    assert hasty["gap"] == pytest.approx(hasty["bound"] / hasty["objective"] - 1)


def test_another_method_is_refused_with_the_known_ones() -> None:
    made = document([(0, 0, 300, 1.0)], [(0, 1.0, "QKD")])
    with pytest.raises(ConfigError, match="exact, greedy, longest-path"):
        plan_of(made, method="best")


class TestChecker:
    """Each rule broken once: the checker says which."""

    MADE = document(
        [(0, 0, 300, 5.0), (1, 360, 700, 6.0), (1, 720, 900, 0.0)],
        [(0, 1.0, "QKD"), (1, 2.0, "QKD"), (1, 3.0, "OPTICAL_ONLY"), (0, 4.0, "OPTICAL_ONLY")],
    )

    def _changed(self, place: int, **changes: Any) -> list[str]:
        plan = copy.deepcopy(plan_of(self.MADE))
        assert broken_rules(self.MADE, plan) == [] and len(plan["contacts"]) == 2
        plan["contacts"][place] |= changes
        return broken_rules(self.MADE, plan)

    def test_each_broken_rule_is_told(self) -> None:
        assert "pass or task unknown" in self._changed(0, pass_id=0)
        assert "another terminal" in self._changed(0, target_id=1003)
        assert "another operation" in self._changed(0, operation="OPTICAL_ONLY")
        assert "QKD without key" in self._changed(1, pass_id=114)
        assert "another time" in self._changed(0, end_utc="2024-03-05T00:04:00Z")
        assert "another value" in self._changed(0, value=7.0)
        assert "another sum, or a bound below it" in self._changed(0, value=7.0)
        first = plan_of(self.MADE)["contacts"][0]
        assert {"pass_id twice", "target_id twice"} <= set(self._changed(1, **first))

    def test_a_pause_that_is_too_short_and_another_order_are_told(self) -> None:
        near = copy.deepcopy(self.MADE)
        near["satellite_passes"][1]["startTime"] = "2024-03-05T00:05:59"
        plan = plan_of(self.MADE)
        plan["contacts"][1]["start_utc"] = "2024-03-05T00:05:59Z"
        assert broken_rules(near, plan) == ["less than 60 s between contacts"]
        plan = plan_of(self.MADE)
        plan["contacts"].reverse()
        assert broken_rules(self.MADE, plan) == ["not in order of time"]


@pytest.mark.skipif(not Path(FOLDER or "nowhere").is_dir(), reason="SATQKD_INSTANCES names no folder")
@pytest.mark.parametrize("name", PROVED)
def test_public_instances_are_proved_at_the_known_optimum_in_two_seconds(name: str) -> None:
    path = next(iter(Path(FOLDER).glob(f"{name}.json*")))
    began = time.process_time()
    instance = read_instance(path)
    found = plan_instance(instance)
    assert time.process_time() - began < 2.0
    assert found.status == "optimal" and found.gap <= 1e-9
    assert round(found.objective, 2) == PROVED[name]
    made = json.loads(msgspec.json.encode(instance))
    assert broken_rules(made, json.loads(to_json(found))) == []
