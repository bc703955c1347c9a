"""A campaign run: nothing is done twice, what fails holds up nothing, all workers say the same."""

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from pathlib import Path
from typing import Any

import pytest
from campaigns import HEIGHTS, SCENARIO, SETUPS, answers_a_set, dies_with_2, fails_with_2, grid, toy

from satqkd.config import Scenario, load
from satqkd.config.campaign import CampaignOperation, CampaignSearch
from satqkd.config.overlay import overlaid
from satqkd.errors import DataFormatError, LinkError, ResourceError
from satqkd.plan.campaign import Grid
from satqkd.plan.campaign_crew import InProcess, cluster_crew, local_crew
from satqkd.plan.campaign_folder import CampaignFolder
from satqkd.plan.campaign_run import State, run_campaign, state_of
from satqkd.plan.campaign_tasks import TASKS, Answer, Task, operate_task, plan_task, yields_task
from satqkd.plan.network import Network, network_of
from satqkd.plan.operation import operate
from satqkd.plan.operation_policy import Policy
from satqkd.plan.opportunities import find_opportunities
from satqkd.plan.planner import Offer, clear_probability, make_plan, offer_of
from satqkd.plan.result import Plan
from satqkd.plan.search import Search
from satqkd.plan.yields import fast_yields
from satqkd.sky import parse_utc

Register = Callable[[Callable[..., Answer]], list[int]]


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Makes a function the task `toy`, counted: gives the list to which each call adds its seed."""

    def register(function: Callable[..., Answer]) -> list[int]:
        calls: list[int] = []

        def counted(network: Network, seed: int, search: CampaignSearch) -> Answer:
            calls.append(seed)
            return function(network, seed, search)

        monkeypatch.setitem(TASKS, "toy", Task(counted, "toys"))
        return calls

    return register


def run(found: Grid, folder: Path, **options: Any) -> State:
    return run_campaign(found, CampaignFolder(folder), InProcess(), **options)


def names(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.json")}


def tables(folder: Path, found: Grid, form: Any = "csv") -> list[bytes]:
    return [path.read_bytes() for path in CampaignFolder(folder).write_tables(found, form)]


def _runs(process: int) -> bool:
    """A process is there and not just waiting to be buried."""
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


class TestResume:
    def test_only_what_is_missing_is_run(self, tmp_path: Path, register: Register) -> None:
        calls = register(toy)
        assert run(grid(seeds=[1, 2]), tmp_path) == State(2, 2, 0, 2)
        assert run(grid(seeds=[3, 2, 1, 4]), tmp_path) == State(4, 4, 0, 2)
        assert sorted(calls) == [1, 2, 3, 4]
        assert run(grid(seeds=[3, 2, 1, 4]), tmp_path) == State(4, 4, 0, 0)

    def test_points_that_are_one_run_are_run_once(self, tmp_path: Path, register: Register) -> None:
        calls = register(toy)
        same = {"name": "again", "option": [{"name": "a"}, {"name": "b", "set": {"service.setup_s": 60}}]}
        found = grid(axis=[same])
        run(found, tmp_path)
        assert len(calls) == 1
        assert [line.split(b",")[3] for line in tables(tmp_path, found)[0].splitlines()] == [
            b"axis.again",
            b"a",
            b"b",
        ]

    @pytest.mark.parametrize("torn", [b"", b'{"id": "', b"{}", b"\xff", b"null"])
    def test_a_torn_answer_is_run_again(self, tmp_path: Path, register: Register, torn: bytes) -> None:
        calls = register(toy)
        found = grid(seeds=[1, 2])
        run(found, tmp_path)
        whole = tables(tmp_path, found)
        path = tmp_path / "done" / f"{found.points[0].id}.json"
        path.write_bytes(torn)
        assert len(tables(tmp_path, found)[0].splitlines()) == 2
        assert run(found, tmp_path) == State(2, 2, 0, 1)
        assert sorted(calls) == sorted([1, 2, found.points[0].seed])
        assert tables(tmp_path, found) == whole

    def test_an_answer_under_anothers_name_is_none(self, tmp_path: Path, register: Register) -> None:
        register(toy)
        found = grid(seeds=[1, 2])
        run(found, tmp_path)
        one, two = (tmp_path / "done" / f"{point.id}.json" for point in found.points)
        two.write_bytes(one.read_bytes())
        assert state_of(found, CampaignFolder(tmp_path)) == State(2, 1, 0, 0)

    def test_each_answer_is_on_disk_when_it_is_told(self, tmp_path: Path, register: Register) -> None:
        register(toy)

        class KilledError(BaseException):
            pass

        def progress(state: State) -> None:
            assert len(names(tmp_path / "done")) == state.done
            if state.done == 2:
                raise KilledError

        with pytest.raises(KilledError):
            run(grid(seeds=5), tmp_path, progress=progress)
        assert run(grid(seeds=5), tmp_path) == State(5, 5, 0, 3)


class TestFailures:
    def test_what_fails_is_kept_with_its_inputs_and_the_rest_goes_on(
        self, tmp_path: Path, register: Register
    ) -> None:
        calls = register(fails_with_2)
        found = grid(seeds=4, axis=[HEIGHTS])
        told: list[State] = []
        assert run(found, tmp_path, progress=told.append) == State(8, 6, 2, 8)
        assert [state.ran for state in told] == list(range(1, 9))
        assert len(calls) == 8
        (failed, other) = [
            json.loads((tmp_path / "failed" / f"{name}.json").read_text())
            for name in names(tmp_path / "failed")
        ]
        assert {failed["labels"]["satellite.0.altitude_km"], other["labels"]["satellite.0.altitude_km"]} == {
            500,
            600,
        }
        assert (failed["seed"], failed["task"], failed["error"]) == (2, "toy", "ValueError: no luck with 2")
        assert failed["scenario"]["satellite"][0]["altitude_m"] == (
            1e3 * failed["labels"]["satellite.0.altitude_km"]
        )
        assert 'raise ValueError("no luck with 2")' in failed["traceback"]
        assert len(tables(tmp_path, found)[0].splitlines()) == 7

    def test_failed_runs_are_run_again_on_demand_alone(self, tmp_path: Path, register: Register) -> None:
        register(fails_with_2)
        run(grid(seeds=3), tmp_path)
        calls = register(toy)
        assert run(grid(seeds=3), tmp_path) == State(3, 2, 1, 0)
        assert run(grid(seeds=3), tmp_path, retry=True) == State(3, 3, 0, 1)
        assert calls == [2]
        assert names(tmp_path / "failed") == set()

    def test_one_that_fails_again_is_counted_once(self, tmp_path: Path, register: Register) -> None:
        register(fails_with_2)
        run(grid(seeds=3), tmp_path)
        assert run(grid(seeds=3), tmp_path, retry=True) == State(3, 2, 1, 1)

    def test_an_answer_that_no_file_can_hold_is_a_failure(self, tmp_path: Path, register: Register) -> None:
        register(answers_a_set)
        assert run(grid(), tmp_path) == State(1, 0, 1, 1)

    def test_a_worker_that_is_killed_fails_its_own_run_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(TASKS, "toy", Task(dies_with_2, "toys"))
        found = grid(seeds=3)
        with local_crew(1) as crew:
            state = run_campaign(found, CampaignFolder(tmp_path), crew)
        assert state == State(3, 2, 1, 3)
        (name,) = names(tmp_path / "failed")
        failed = json.loads((tmp_path / "failed" / f"{name}.json").read_text())
        assert failed["seed"] == 2 and "killed" in failed["error"]


class TestMerge:
    def test_two_halves_make_the_whole(self, tmp_path: Path, register: Register) -> None:
        calls = register(toy)
        a, b, whole = (tmp_path / name for name in ("a", "b", "whole"))
        found = grid(seeds=4, axis=[HEIGHTS])
        run(grid(seeds=[1, 2, 3], axis=[HEIGHTS]), a)
        run(grid(seeds=[3, 4], axis=[HEIGHTS]), b)
        run(found, whole)
        calls.clear()
        assert CampaignFolder(a).take(b, found.runs) == 2
        assert state_of(found, CampaignFolder(a)) == State(8, 8, 0, 0)
        assert tables(a, found) == tables(whole, found)
        assert calls == []

    def test_different_answers_of_one_run_name_both_and_take_nothing(
        self, tmp_path: Path, register: Register
    ) -> None:
        register(toy)
        a, b = tmp_path / "a", tmp_path / "b"
        run(grid(seeds=[1, 2]), a)
        run(grid(seeds=4), b)
        found = grid(seeds=4)
        (point,) = [each for each in found.points if each.seed == 2]
        path = b / "done" / f"{point.id}.json"
        answer = json.loads(path.read_text())
        answer["row"]["value"] += 1.0
        path.write_text(json.dumps(answer))
        with pytest.raises(DataFormatError) as stop:
            CampaignFolder(a).take(b, found.runs)
        assert str(path) in str(stop.value) and str(a / "done" / path.name) in str(stop.value)
        assert len(names(a / "done")) == 2

    def test_runs_of_other_campaigns_and_torn_ones_stay(self, tmp_path: Path, register: Register) -> None:
        register(toy)
        a, b = tmp_path / "a", tmp_path / "b"
        run(grid(seeds=[1]), a)
        run(grid(seeds=[2, 3]), b)
        found = grid(seeds=[1, 2])
        torn = next(each.id for each in found.points if each.seed == 2)
        (b / "done" / f"{torn}.json").write_text("{")
        assert CampaignFolder(a).take(b, found.runs) == 0
        assert len(names(a / "done")) == 1

    def test_an_answer_goes_before_a_failure(self, tmp_path: Path, register: Register) -> None:
        a, b = tmp_path / "a", tmp_path / "b"
        register(fails_with_2)
        run(grid(seeds=[2]), a)
        run(grid(seeds=[1]), b)
        register(toy)
        run(grid(seeds=[2]), b)
        for taker, giver in ((a, b), (b, tmp_path / "c")):
            run(grid(seeds=[1]), giver)
            CampaignFolder(taker).take(giver, grid(seeds=2).runs)
            assert state_of(grid(seeds=2), CampaignFolder(taker)) == State(2, 2, 0, 0)

    def test_failures_come_along(self, tmp_path: Path, register: Register) -> None:
        register(fails_with_2)
        run(grid(seeds=3), tmp_path / "b")
        folder = CampaignFolder(tmp_path / "a")
        assert folder.take(tmp_path / "b", grid(seeds=3).runs) == 2
        assert state_of(grid(seeds=3), folder) == State(3, 2, 1, 0)

    def test_a_folder_of_something_else_is_refused(self, tmp_path: Path, register: Register) -> None:
        register(toy)
        with pytest.raises(ResourceError, match="expected the folder of a campaign"):
            CampaignFolder(tmp_path / "a").take(tmp_path, [])


class TestWorkers:
    def test_one_worker_and_four_make_equal_bytes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(TASKS, "toy", Task(toy, "toys"))
        found = grid(seeds=5, axis=[HEIGHTS, SETUPS])
        made = []
        for workers in (0, 1, 4):
            folder = tmp_path / str(workers)
            with local_crew(workers) as crew:
                assert run_campaign(found, CampaignFolder(folder), crew) == State(20, 20, 0, 20)
            made.append([*tables(folder, found, "csv"), *tables(folder, found, "parquet")])
        assert made[0] == made[1] == made[2] and len(made[0]) == 4

    def test_a_pool_that_broke_is_renewed(self) -> None:
        with local_crew(1) as crew:
            with pytest.raises(BrokenExecutor):
                crew.submit(os._exit, 9).result()
            crew.renew()
            assert crew.submit(int, "7").result() == 7

    def test_processes_end_when_they_are_left_whatever_they_are_at(self) -> None:
        class LeftError(Exception):
            pass

        began_s = time.monotonic()
        with pytest.raises(LeftError), local_crew(1) as crew:
            worker = crew.submit(os.getpid).result()
            crew.submit(time.sleep, 600)
            raise LeftError
        while time.monotonic() < began_s + 20 and _runs(worker):
            time.sleep(0.05)
        assert not _runs(worker)

    def test_a_cluster_makes_the_same_bytes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        distributed = pytest.importorskip("distributed")
        monkeypatch.setitem(TASKS, "toy", Task(fails_with_2, "toys"))
        found = grid(seeds=5, axis=[HEIGHTS])
        with (
            distributed.LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                processes=False,
                dashboard_address=None,
                host="127.0.0.1",
                protocol="tcp",
            ) as cluster,
            cluster_crew(cluster.scheduler_address) as crew,
        ):
            state = run_campaign(found, CampaignFolder(tmp_path / "cluster"), crew)
        assert state == run(found, tmp_path / "here") == State(10, 8, 2, 10)
        assert names(tmp_path / "cluster" / "failed") == names(tmp_path / "here" / "failed")
        assert tables(tmp_path / "cluster", found) == tables(tmp_path / "here", found)

    def test_a_scheduler_that_goes_away_fails_no_run(self, tmp_path: Path, register: Register) -> None:
        register(toy)

        class Going(InProcess):
            def submit(self, function: Any, /, *arguments: Any, **named: Any) -> "Future[Any]":
                if arguments[2][2] == 2:  # the seed
                    gone: Future[Any] = Future()
                    gone.cancel()
                    gone.set_running_or_notify_cancel()
                    return gone
                return super().submit(function, *arguments, **named)

        with pytest.raises(LinkError, match="run again to go on"):
            run_campaign(grid(seeds=4), CampaignFolder(tmp_path), Going())
        assert names(tmp_path / "failed") == set()
        assert run(grid(seeds=4), tmp_path).done == 4

    def test_without_a_scheduler_the_address_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("satqkd.plan.campaign_crew._REACH_S", 0.2)
        with pytest.raises(LinkError, match=r"scheduler tcp://127.0.0.1:9: expected one with a"):
            cluster_crew("tcp://127.0.0.1:9").__enter__()

    def test_without_distributed_what_to_install_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "distributed", None)
        with pytest.raises(ResourceError, match=r"pip install 'satqkd\[cluster\]'"):
            cluster_crew("tcp://127.0.0.1:9").__enter__()


class TestTables:
    def test_rows_are_in_order_of_ids_with_the_axes_beside(self, tmp_path: Path, register: Register) -> None:
        register(toy)
        more = [{"key": key, "values": [key.count("i")]} for key in ("service.period_days", "pair.0.weight")]
        found = grid(seeds=2, axis=[SETUPS, HEIGHTS, *more])
        run(found, tmp_path)
        whole, parts = (each.decode().splitlines() for each in tables(tmp_path, found))
        axes = "axis.pair.0.weight,axis.satellite.0.altitude_km,axis.service.period_days,axis.setup"
        assert whole[0] == f"id,task,seed,{axes},value,setup_s"
        assert parts[0] == f"id,task,seed,{axes},pair,third"
        ids = [line.split(",")[0] for line in whole[1:]]
        assert ids == sorted(ids) and len(set(ids)) == 8
        for line in whole[1:]:
            _, task, seed, _, height_km, _, setup, value, setup_s = line.split(",")
            assert float(value) == 1e3 * float(height_km) / (7 + int(seed))
            assert (task, float(setup_s)) == ("toy", 99.0 if setup == "slow" else 60.0)

    def test_tables_of_another_format_do_not_stay_beside(self, tmp_path: Path, register: Register) -> None:
        register(toy)
        run(grid(), tmp_path)
        tables(tmp_path, grid(), "csv")
        tables(tmp_path, grid(), "parquet")
        assert {path.name for path in tmp_path.glob("*.*") if path.suffix != ".jsonl"} == {
            "results.parquet",
            "toys.parquet",
        }

    def test_times_are_in_no_table(self, tmp_path: Path, register: Register) -> None:
        register(toy)
        run(grid(seeds=2), tmp_path)
        times = [json.loads(line) for line in (tmp_path / "seconds.jsonl").read_text().splitlines()]
        assert {each["id"] for each in times} == names(tmp_path / "done")
        assert all(each["seconds"] >= 0 for each in times)

    def test_two_runs_do_not_write_one_folder(self, tmp_path: Path) -> None:
        with (
            CampaignFolder(tmp_path).writing(),
            pytest.raises(ResourceError, match="another run"),
            CampaignFolder(tmp_path).writing(),
        ):
            pass


BLIND = {"preset": "beijing", "name": "pole", "latitude_deg": -89.0, "longitude_deg": 0.0}
"""Where it is day in October."""


class TestNothing:
    """A scenario in which nothing can be planned is a result."""

    @pytest.mark.parametrize(
        ("path", "value", "told"),
        [
            ("service.least_key_bits", 1e12, "no satellite gives key to any station"),
            ("station", [*SCENARIO["station"], BLIND], "no pass gives key to pole"),
            ("pair.0.satellites", 2, "1 satellites give key to both, 2 are needed"),
        ],
    )
    def test_nothing_is_a_row_of_zeros_with_a_reason(
        self, tmp_path: Path, path: str, value: Any, told: str
    ) -> None:
        pairs = [*SCENARIO["pair"], {"ends": ["beijing", "pole"]}] if path == "station" else SCENARIO["pair"]
        scenario = overlaid(SCENARIO, Scenario, path, value, "tests")
        scenario["pair"] = [dict(pair) | {"demand_bit_s": 1.0} for pair in scenario["pair"][:1]] + pairs[1:]
        for task in ("plan", "operate"):
            found = grid(scenario=scenario, task=task)
            assert run(found, tmp_path / task) == State(1, 1, 0, 1)
            answer = json.loads((tmp_path / task / "done" / f"{found.points[0].id}.json").read_text())
            row, parts = answer["row"], answer["parts"]
            assert row["status"] == "nothing" and told in row["reason"]
            zeros = ("worth", "bound", "gap", "contacts", "contact_s", "key_bits", "least_key_bits")
            zeros += ("share", "worst_share", "used_bits", "link_bits", "lost_bits", "cloudy")
            assert {row[name] for name in zeros if name in row} == {0}
            assert [part["pair"] for part in parts] == ["-".join(pair["ends"]) for pair in pairs]
            assert {part["key_bits"] for part in parts} == {0}
        assert row["unmet_bits"] == parts[0]["wanted_bits"] == 43_200
        assert row["alarms"] == 1

    def test_wrong_settings_are_failures_whatever_is_seen(self, tmp_path: Path) -> None:
        scenario = overlaid(SCENARIO, Scenario, "service.least_key_bits", 1e12, "tests")
        for task in ("plan", "operate"):
            found = grid(scenario=scenario | {"objective": "demand"}, task=task)
            assert run(found, tmp_path / task) == State(1, 0, 1, 1)
        (name,) = names(tmp_path / "operate" / "failed")
        failed = json.loads((tmp_path / "operate" / "failed" / f"{name}.json").read_text())
        assert failed["settings"]["window_s"] == 604_800

    def test_a_scenario_that_sees_something_has_no_reason(self) -> None:
        answer = plan_task(network_of(load(SCENARIO, Scenario, "tests").value), 1, CampaignSearch())
        assert answer.row["reason"] is None and answer.row["status"] != "nothing"


class TestTasks:
    """Against what the functions below them say."""

    def test_the_settings_of_the_search_are_the_planners(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[dict[str, Any]] = []

        def told(network: Network, **options: Any) -> Plan:
            asked.append(options)
            return make_plan(network, **options)

        monkeypatch.setattr("satqkd.plan.campaign_tasks.make_plan", told)
        found = network_of(load(SCENARIO, Scenario, "tests").value)
        plan_task(found, 1, CampaignSearch(method="longest-path", gap=0.02, time_limit_s=7, window_s=9e9))
        assert asked == [
            {"method": "longest-path", "search": Search(gap=0.02, time_limit_s=7), "window_s": 9e9}
        ]

    def test_yields_are_those_of_the_surrogate_by_link(self) -> None:
        found = network_of(load(SCENARIO, Scenario, "tests").value)
        answer = yields_task(found, 1, CampaignSearch())
        passes = find_opportunities(found)
        key_bits, clear = fast_yields(found, passes), clear_probability(found, passes)
        assert answer.row["key_bits"] == key_bits.sum() > 100_000
        assert answer.row["expected_bits"] == (key_bits * clear).sum() < key_bits.sum()
        assert [part["station"] for part in answer.parts] == ["beijing", "stellenbosch"]
        assert [part["key_bits"] for part in answer.parts] == [
            key_bits[passes.station == station].sum() for station in (0, 1)
        ]
        assert abs(answer.row["surrogate_total"]) < 0.01

    def test_an_operation_is_that_of_the_policy_under_the_sky_of_the_seed(self) -> None:
        found = network_of(
            load(overlaid(SCENARIO, Scenario, "pair.0.demand_bit_s", 0.5, "t"), Scenario, "t").value
        )
        for settings, policy in (
            (CampaignOperation(method="greedy", window_s=86_400), Policy(method="greedy", window_s=86_400)),
            (CampaignOperation(), Policy()),
        ):
            for seed in (1, 2):
                answer = operate_task(found, seed, settings)
                operated = operate(found, seed=seed, policy=policy)
                (pair,) = operated.pairs
                assert answer.row["used_bits"] == answer.parts[0]["used_bits"] == pair.used_bits
                assert answer.row["share"] == answer.parts[0]["share"] == operated.share
                assert answer.row["contacts"] == sum(each.contacts for each in operated.satellites) > 0
                assert answer.row["alarms"] == len(operated.alarms)
                assert (answer.row["status"], answer.row["reason"]) == ("operated", None)
                assert answer.parts[0]["longest_empty_s"] == pair.longest_empty_s
        assert answer.row["passes"] == make_plan(found).passes

    def test_runs_of_one_network_look_for_its_passes_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[float] = []

        def told(network: Network) -> Offer:
            asked.append(network.service.setup_s)
            return offer_of(network)

        monkeypatch.setattr("satqkd.plan.campaign_tasks.offer_of", told)
        for setup_s in (31.0, 32.0):
            scenario = overlaid(SCENARIO, Scenario, "service.setup_s", setup_s, "tests")
            for seed in (1, 2, 3):
                found = network_of(load(scenario, Scenario, "tests").value)
                operate_task(found, seed, CampaignOperation(method="greedy"))
        assert asked == [31.0, 32.0]

    def test_a_plan_is_that_of_the_search(self) -> None:
        found = network_of(load(SCENARIO, Scenario, "tests").value)
        answers = {
            method: plan_task(found, 1, CampaignSearch(method=method, gap=0.01))
            for method in ("exact", "greedy")
        }
        plan = make_plan(found, search=Search(gap=0.01))
        row = answers["exact"].row
        assert (row["worth"], row["contacts"], row["passes"]) == (
            plan.objective,
            len(plan.contacts),
            plan.passes,
        )
        assert (
            row["least_key_bits"] == answers["exact"].parts[0]["key_bits"] == plan.pairs[0].key_bits > 10_000
        )
        lengths_s = [parse_utc(each.end_utc) - parse_utc(each.start_utc) for each in plan.contacts]
        assert row["contact_s"] == pytest.approx(sum(each.total_seconds() for each in lengths_s))
        assert answers["greedy"].row["worth"] <= row["bound"]
        assert answers["greedy"].row["status"] == make_plan(found, method="greedy").status
