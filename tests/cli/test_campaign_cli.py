"""`satqkd campaign` and `satqkd yields` at the command line."""

import csv
import json
import re
import tomllib
from pathlib import Path

import pytest
import tomli_w
from command import Command

from documentation import REPOSITORY, page
from satqkd.config.campaign import CampaignSearch
from satqkd.plan.campaign_tasks import TASKS, Answer, Task
from satqkd.plan.network import Network

EXAMPLE = REPOSITORY / "examples" / "campaign"
HOUR = """
name = "hour"
start_utc = "2024-10-03T12:00:00Z"
duration_days = 0.5
satellite = [{ preset = "jinan-1" }]
station = [{ presets = ["beijing", "stellenbosch"] }]
pair = [{ ends = ["beijing", "stellenbosch"] }]
"""


@pytest.fixture
def campaign(tmp_path: Path) -> str:
    """A file of two runs; the method of the second does not go with its service."""
    (tmp_path / "hour.toml").write_text(HOUR)
    table = {
        "name": "two",
        "scenario": "hour.toml",
        "task": "plan",
        "search": {"method": "greedy"},
        "axis": [
            {"key": "duration_days", "values": [0.5]},
            {"key": "service.contact_per_revolution_s", "values": ["none", 900]},
        ],
    }
    path = tmp_path / "two.toml"
    path.write_text(tomli_w.dumps(table))
    return str(path)


def test_the_example_prints_what_the_page_says(
    satqkd: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    monkeypatch.chdir(tmp_path)
    line, printed = re.findall(
        r"^```\n\$ satqkd (.*?)\n```\n+```\n(.*?)^```$", page("campaigns.md"), re.M | re.S
    )[0]
    code, out, err = satqkd(*line.split(), "--workers", "0")
    assert code == 0
    assert [each.rstrip() for each in out.strip().splitlines()] == printed.strip().splitlines()
    assert "satqkd: heights: 6 of 6 runs done, 0 failed" in err
    with Path("heights/results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6


def test_failed_runs_are_told_and_kept_and_make_exit_1(
    satqkd: Command, campaign: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ("campaign", campaign, "--out", str(out), "--workers", "0", "--format", "csv", "--json")
    code, told, err = satqkd(*words)
    assert code == 1
    assert json.loads(told) == {
        "campaign": "two", "points": 2, "runs": 2, "done": 1, "failed": 1, "missing": 0, "ran_now": 2,
        "tables": [str(out / "results.csv"), str(out / "pairs.csv")],
    }  # fmt: skip
    assert f"1 of 2 runs failed: inputs and errors in {out / 'failed'}" in err
    (failed,) = (out / "failed").glob("*.json")
    assert "expected no contact_per_revolution_s" in json.loads(failed.read_text())["error"]
    assert len((out / "results.csv").read_text().splitlines()) == 2
    assert [json.loads(satqkd(*words, *more)[1])["ran_now"] for more in ((), ("--retry",))] == [0, 1]


def test_a_scenario_in_which_nothing_can_be_planned_is_done_with_its_reason(
    satqkd: Command, campaign: str, tmp_path: Path
) -> None:
    table = tomllib.loads(Path(campaign).read_text())
    table["axis"] = [{"key": "duration_days", "values": [0.5, 0.001]}]
    Path(campaign).write_text(tomli_w.dumps(table))
    out = tmp_path / "out"
    code, _, _ = satqkd("campaign", campaign, "--out", str(out), "--workers", "0", "--format", "csv")
    with (out / "results.csv").open() as file:
        rows = {row["axis.duration_days"]: row for row in csv.DictReader(file)}
    assert (code, rows["0.001"]["status"], rows["0.001"]["worth"]) == (0, "nothing", "0.0")
    assert "no satellite gives key to any station" in rows["0.001"]["reason"]
    assert (rows["0.5"]["status"], rows["0.5"]["reason"]) == ("optimal", "")


def _never(network: Network, seed: int, search: CampaignSearch) -> Answer:
    raise AssertionError


def test_folders_are_merged_without_a_run(
    satqkd: Command, campaign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    satqkd("campaign", campaign, "--out", a, "--workers", "0", "--format", "csv")
    monkeypatch.setitem(TASKS, "plan", Task(_never, "pairs", seeded=False))
    code, told, err = satqkd("campaign", campaign, "--out", b, "--merge", a, "--format", "csv", "--json")
    assert (code, json.loads(told)["done"], json.loads(told)["ran_now"]) == (1, 1, 0)
    assert "1 results taken in" in err
    for name in ("results.csv", "pairs.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_what_cannot_be_run_is_refused_in_one_line(
    satqkd: Command, campaign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ("--out", str(tmp_path / "out"))
    assert "no such file" in satqkd.refusal(2, "campaign", "none.toml", *out)
    both = ("--workers", "1", "--scheduler", "tcp://127.0.0.1:9")
    assert "exclude each other" in satqkd.refusal(2, "campaign", campaign, *out, *both)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "--format csv" in satqkd.refusal(2, "campaign", campaign, *out, "--format", "parquet")
    assert ".csv or .parquet" in satqkd.refusal(2, "yields", campaign, "--out", "a.xlsx")


def test_yields_as_a_table_and_as_json_say_the_same(satqkd: Command, tmp_path: Path) -> None:
    scenario, path = str(EXAMPLE / "two-continents.toml"), tmp_path / "passes.csv"
    code, out, err = satqkd("yields", scenario, "--out", str(path), "--sample", "3")
    told = json.loads(satqkd("yields", scenario, "--json", "--sample", "3")[1])
    assert (code, err) == (0, "")
    with path.open() as file:
        passes = list(csv.DictReader(file))
    assert len(passes) == told["passes"] == 8
    for link in told["links"]:
        mine = [float(row["key_bits"]) for row in passes if row["station"] == link["station"]]
        assert (link["passes"], link["key_bits"], link["best_pass_bits"]) == (len(mine), sum(mine), max(mine))
        assert f"{link['key_bits']:,.0f}" in out and f"{link['expected_bits']:,.0f}" in out
    assert told["surrogate"]["passes"] == 3
    assert f"{100 * told['surrogate']['total']:+.2f}" in out


def test_exact_yields_have_no_surrogate_whose_error_could_be_told(satqkd: Command) -> None:
    scenario = str(EXAMPLE / "two-continents.toml")
    told = json.loads(satqkd("yields", scenario, "--exact", "--json")[1])
    fast = json.loads(satqkd("yields", scenario, "--sample", "0", "--json")[1])
    assert told["surrogate"] is None and fast["surrogate"] is None
    assert 0 < abs(told["links"][0]["key_bits"] / fast["links"][0]["key_bits"] - 1) < 0.01
