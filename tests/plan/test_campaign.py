"""A run is named by all that it depends on: what changes an id, what does not, and what a grid refuses."""

from pathlib import Path
from typing import Any

import pytest
import tomli_w
from campaigns import HEIGHTS, SCENARIO, SETUPS, fails_with_2, grid, toy

from documentation import missing, page, undocumented_settings
from satqkd.config import Scenario, load
from satqkd.config.campaign import (
    Campaign,
    CampaignAxis,
    CampaignOperation,
    CampaignOption,
    CampaignSearch,
)
from satqkd.config.overlay import overlaid
from satqkd.errors import ConfigError
from satqkd.plan import campaign as campaigns
from satqkd.plan.campaign import Grid, read_campaign
from satqkd.plan.campaign_tasks import TASKS, Task, policy_of
from satqkd.plan.operation_policy import USUAL


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "toy", Task(toy, "toys"))
    monkeypatch.setitem(TASKS, "other", Task(fails_with_2, "toys"))


def only(found: Grid) -> str:
    (point,) = found.points
    return point.id


def with_(path: str, value: Any) -> dict[str, Any]:
    return overlaid(SCENARIO, Scenario, path, value, "tests")


class TestIds:
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("name", "large"),
            ("start_utc", "2024-10-03T12:00:01Z"),
            ("duration_s", 43_201),
            ("objective", "total"),
            ("satellite.0.altitude_m", 500_001),
            ("satellite.0.phasing", 1),
            ("satellite.0.preset", "micius"),
            ("satellite.0.name", "jinan-1-b"),
            ("station.0.presets", ["stellenbosch", "beijing"]),
            ("pair.0.weight", 1.1),
            ("pair.0.satellites", 2),
            ("pair.0.demand_bit_s", 1),
            ("service.setup_s", 61),
            ("service.store_bits", 1e9),
            ("service.period_days", 2),
            ("weather.default_clear", 0.51),
            ("weather.persistence_s", 3600),
            ("weather", "none"),
            ("protocol.epsilon_secrecy", 1e-10),
            ("protocol.keyed_bases", ["Z"]),
        ],
    )
    def test_any_setting_changes_the_id(self, path: str, value: Any) -> None:
        scenario = with_("satellite.0", {"planes": 2, "count": 2})
        changed = overlaid(scenario, Scenario, path, value, "tests")
        assert only(grid(scenario=changed)) != only(grid(scenario=scenario))

    def test_seed_task_search_and_form_change_the_id(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ids = [
            only(grid()),
            only(grid(seeds=[2])),
            only(grid(task="other")),
            only(grid(search={"gap": 0.1})),
            only(grid(search={"method": "greedy"})),
            only(grid(search={"time_limit_s": 1})),
            only(grid(search={"window_days": 1})),
        ]
        monkeypatch.setattr(campaigns, "RESULT_FORM", 99)
        assert len({*ids, only(grid())}) == 8

    def test_a_task_is_named_by_its_own_settings_alone(self) -> None:
        changed = {"method": "greedy", "window_days": 1, "look_ahead": 1, "gap": 0.1, "time_limit_s": 1}
        changed |= {"stock_days": 1, "low_bits": 1, "low_days": 2}
        tables = [{}, *({key: value} for key, value in changed.items())]
        ids = [only(grid(task="operate", operation=table)) for table in tables]
        assert len({*ids}) == 1 + len(changed)
        assert only(grid(task="operate", operation={"window_s": 7 * 86_400})) == ids[0]
        assert only(grid(task="plan")) not in ids

    def test_an_axis_over_a_policy_makes_the_runs_of_the_campaigns_that_say_so_themselves(self) -> None:
        methods = {"key": "operation.method", "values": ["exact", "greedy"]}
        windows = {"name": "window", "option": [{"name": "day", "set": {"operation": {"window_days": 1}}}]}
        for axes in ([methods, windows], [windows, methods]):
            found = grid(task="operate", axis=axes, operation={"gap": 0.1})
            assert {point.labels["operation.method"]: point.id for point in found.points} == {
                method: only(grid(task="operate", operation={"method": method, "window_days": 1, "gap": 0.1}))
                for method in ("exact", "greedy")
            }
            assert len({point.family for point in found.points}) == 1

    def test_the_settings_of_a_search_lie_on_axes_too(self) -> None:
        (point,) = grid(task="plan", axis=[{"key": "search.gap", "values": [0.5]}]).points
        assert point.id == only(grid(task="plan", search={"gap": 0.5}))
        assert point.settings == CampaignSearch(gap=0.5)

    def test_words_and_units_do_not(self) -> None:
        metres = with_("satellite.0.altitude_m", 500_000)
        assert "altitude_km" not in metres["satellite"][0]
        told = with_("description", "of another day")
        assert {only(grid(scenario=each)) for each in (metres, told)} == {only(grid())}
        assert only(grid(name="others", description="d", seeds=[1])) == only(grid())

    def test_the_order_of_axes_and_values_does_not(self) -> None:
        there = grid(axis=[HEIGHTS, SETUPS], seeds=[1, 2])
        back = grid(axis=[SETUPS, HEIGHTS | {"values": [600, 500]}], seeds=[2, 1])
        assert len(there.points) == len(there.runs) == 8
        assert [(p.id, p.seed, p.labels) for p in there.points] == [
            (p.id, p.seed, p.labels) for p in back.points
        ]

    def test_a_point_of_a_grid_is_the_run_of_the_scenario_that_says_so_itself(self) -> None:
        (point,) = [
            each
            for each in grid(axis=[HEIGHTS, SETUPS]).points
            if each.labels == {"satellite.0.altitude_km": 600, "setup": "slow"}
        ]
        itself = overlaid(with_("satellite.0.altitude_km", 600), Scenario, "service.setup_s", 99, "tests")
        assert only(grid(scenario=itself)) == point.id
        assert (point.scenario.service.setup_s, point.scenario.satellite[0].altitude_m) == (99, 600e3)

    def test_files_count_by_what_is_in_them_and_not_by_their_names(self, tmp_path: Path) -> None:
        def id_with(name: str, clear: float, source: str = "made up") -> str:
            months = "jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec"
            row = f"beijing,40.5,117,{','.join(12 * [str(clear)])},assumed,{source}"
            text = f"name,latitude_deg,longitude_deg,{months},evidence,source\n{row}\n"
            (tmp_path / name).write_text(text)
            wide = with_("weather", {"table": name, "nearest_km": 2000})
            return only(grid(tmp_path, scenario=wide))

        first = id_with("a.csv", 0.25)
        assert id_with("b.csv", 0.25) == id_with("a.csv", 0.25, "a dream") == first
        assert id_with("a.csv", 0.26) != first

    def test_a_preset_in_a_file_of_its_own_is_the_same(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            (tmp_path / f"{name}.toml").write_text('preset = "beijing"\n')
        ids = {
            only(grid(tmp_path, scenario=with_("station.0.presets", [name, "stellenbosch"])))
            for name in ("beijing", "one.toml", "two.toml")
        }
        assert len(ids) == 1
        (tmp_path / "two.toml").write_text('preset = "beijing"\naltitude_m = 7\n')
        assert (
            only(grid(tmp_path, scenario=with_("station.0.presets", ["two.toml", "stellenbosch"]))) not in ids
        )


class TestGrids:
    def test_a_campaigns_file_names_its_scenario_beside_it(self, tmp_path: Path) -> None:
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "small.toml").write_text(tomli_w.dumps(SCENARIO))
        campaign = {"name": "c", "scenario": "deep/small.toml", "task": "toy", "axis": [HEIGHTS, SETUPS]}
        (tmp_path / "any.toml").write_text(tomli_w.dumps(campaign))
        found = read_campaign(tmp_path / "any.toml")
        assert [each.id for each in found.points] == [each.id for each in grid(axis=[HEIGHTS, SETUPS]).points]
        assert found.folder == tmp_path / "deep"

    def test_points_that_come_out_alike_are_one_run(self) -> None:
        clear = {"name": "sky", "option": [{"name": "cloudy"}, {"name": "clear", "set": {"weather": "none"}}]}
        same = {"name": "again", "option": [{"name": "a"}, {"name": "b", "set": {"service.setup_s": 60}}]}
        found = grid(axis=[clear, same])
        assert (len(found.points), len(found.runs)) == (4, 2)

    def test_a_key_may_go_into_the_list_that_an_option_gives(self) -> None:
        places = [{"name": "one", "set": {"station": [{"preset": "beijing", "name": "roof"}], "pair": []}}]
        axes = [{"key": "station.0.altitude_m", "values": [1, 2]}, {"name": "places", "option": places}]
        for ordered in (axes, axes[::-1]):
            found = grid(axis=ordered)
            assert {each.scenario.station[0].altitude_m for each in found.points} == {1.0, 2.0}

    def test_axes_whose_order_would_matter_are_refused(self) -> None:
        other = {"key": "satellite.0.altitude_m", "values": [1]}
        with pytest.raises(ConfigError, match="two axes give the same setting"):
            grid(axis=[HEIGHTS, other])

    @pytest.mark.parametrize(
        ("tables", "told"),
        [
            ({"task": "toi"}, r"task: unknown 'toi'; did you mean toy\?"),
            ({"search": {"method": "greed"}}, r"search.method: unknown 'greed'; did you mean greedy\?"),
            (
                {"task": "operate", "axis": [{"key": "operation.method", "values": ["longest"]}]},
                r"= longest: operation.method: unknown 'longest'; did you mean longest-path\?",
            ),
            (
                {"task": "operate", "axis": [{"key": "operation.stock_day", "values": [1]}]},
                r"unknown key operation.stock_day; did you mean stock_days\?",
            ),
            ({"axis": [{"key": "satelite.0.planes", "values": [1]}]}, r"satelite; did you mean satellite\?"),
            (
                {"axis": [{"key": "satellite.0.altitud_km", "values": [1]}]},
                r"^c.toml, .* = 1: unknown key satellite.0.altitud_km; did you mean altitude_km\?",
            ),
            ({"axis": [{"key": "service.setup", "values": [1]}]}, r"did you mean setup_s\?"),
            ({"axis": [{"key": "satellite.1.planes", "values": [1]}]}, "one of its 1 entries.* got '1'"),
            ({"axis": [{"key": "satellite.planes", "values": [1]}]}, "one of its 1 entries.* got 'planes'"),
            ({"axis": [{"key": "user.0.name", "values": ["a"]}]}, "expected a list to put 0 into"),
            ({"axis": [{"key": "objective.x", "values": ["a"]}]}, "neither a table nor a list"),
            (
                {"axis": [{"key": "service.setup_s", "values": [-1]}]},
                "setup_s = -1: service.setup_s: expected",
            ),
            (
                {"axis": [{"name": "x", "option": [{"name": "y", "set": {"service": {"stor_bits": 1}}}]}]},
                r"x = y: unknown key service.stor_bits; did you mean store_bits\?",
            ),
            (
                {"axis": [{"key": "pair.0.ends", "values": [["beijing", "stelenbosch"]]}]},
                "did you mean stellenb",
            ),
        ],
    )
    def test_a_wrong_name_is_refused_with_the_nearest(self, tables: dict[str, Any], told: str) -> None:
        with pytest.raises(ConfigError, match=told):
            grid(**tables)

    @pytest.mark.parametrize(
        ("tables", "told"),
        [
            ({"seeds": 0}, "from 1 to"),
            ({"seeds": 10**15}, "from 1 to"),
            ({"seeds": []}, "one or more"),
            ({"seeds": [3, 3]}, "each once"),
            ({"axis": [{"key": "name"}]}, "key with values, or name with options"),
            ({"axis": [{"key": "name", "values": ["a"], "name": "b"}]}, "another mixture"),
            ({"axis": [HEIGHTS, HEIGHTS]}, "altitude_km twice"),
            ({"axis": [SETUPS | {"option": 2 * [{"name": "a"}]}]}, "a twice"),
            ({"task": "plan", "seeds": 2}, "task plan draws nothing by chance"),
            (
                {"task": "plan", "operation": {"gap": 0.5}},
                "operation: .* takes its own from search",
            ),
            ({"task": "operate", "search": {"gap": 0.5}}, "search: .* takes its own from operation"),
            (
                {"task": "plan", "axis": [{"key": "operation.gap", "values": [0.5]}]},
                "operation: expected nothing there",
            ),
            ({"task": "operate", "operation": {"window_days": 0.7}}, "window: expected whole periods"),
        ],
    )
    def test_a_grid_without_sense_is_refused(self, tables: dict[str, Any], told: str) -> None:
        with pytest.raises(ConfigError, match=told):
            grid(**tables)


class TestOverlays:
    def test_a_value_in_another_unit_takes_the_place_of_the_first(self) -> None:
        laid = with_("satellite.0.altitude_m", 7e5)
        assert load(laid, Scenario, "t").value.satellite[0].altitude_m == 7e5
        assert SCENARIO["satellite"][0]["altitude_km"] == 500

    def test_a_table_is_laid_over_key_by_key_and_a_list_is_replaced(self) -> None:
        laid = with_("service", {"setup_ms": 5000, "store_bits": 8})
        service = load(laid, Scenario, "t").value.service
        assert (service.setup_s, service.store_bits) == (5.0, 8.0)
        assert with_("station", [{"preset": "beijing"}])["station"] == [{"preset": "beijing"}]

    def test_a_table_that_is_missing_is_made(self) -> None:
        assert with_("protocol.blocks", 4)["protocol"] == {"blocks": 4}


def test_what_is_usual_is_that_of_the_operation_itself() -> None:
    assert policy_of(CampaignOperation()) == USUAL


@pytest.mark.parametrize(
    "struct", [Campaign, CampaignAxis, CampaignOption, CampaignOperation, CampaignSearch]
)
def test_every_setting_of_a_campaign_is_documented(struct: type) -> None:
    assert undocumented_settings(struct, page("settings.md")) == []


def test_tasks_are_documented() -> None:
    assert missing(TASKS.keys() - {"toy", "other"}, page("campaigns.md")) == []
