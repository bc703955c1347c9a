"""`satqkd campaign` and `satqkd yields` at the command line."""

import csv
import html
import json
import re
import tomllib
from pathlib import Path

import pytest
import tomli_w
from command import Command

from documentation import REPOSITORY, page
from satqkd.cli.campaign_told import CURVES, campaign_view, seconds_of
from satqkd.config.campaign import CampaignSearch
from satqkd.plan.campaign import read_campaign
from satqkd.plan.campaign_folder import CampaignFolder
from satqkd.plan.campaign_tasks import TASKS, Answer, Task
from satqkd.plan.network import Network
from satqkd.show.plan_campaign_view import size_series, time_series

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
        "tables": [str(out / "results.csv"), str(out / "pairs.csv")], "report": str(out / "report.html"),
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


# --- the report

SIZES = [
    {"key": "satellite.0.count", "values": [1, 2]},
    {"key": "duration_days", "values": [0.5, 1.0]},
]


@pytest.fixture
def sizes(tmp_path: Path) -> str:
    """Four runs of the task `yields`: two sizes for two lengths."""
    scenario = HOUR.replace(
        'preset = "jinan-1"', 'preset = "jinan-1", name = "s", pattern = "sun-synchronous"'
    )
    (tmp_path / "hour.toml").write_text(scenario.replace('synchronous"', 'synchronous", altitude_km = 500'))
    path = tmp_path / "sizes.toml"
    table = {"name": "sizes", "scenario": "hour.toml", "task": "yields", "axis": SIZES}
    path.write_text(tomli_w.dumps(table))
    return str(path)


def text_of(path: Path) -> str:
    return html.unescape(re.sub("<[^>]*>", " ", path.read_text(encoding="utf-8"))).replace("\u00a0", " ")


def test_a_report_stands_beside_the_tables_and_changes_none(
    satqkd: Command, sizes: str, tmp_path: Path
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    _, out, err = satqkd("campaign", sizes, "--out", str(a), "--workers", "0", "--format", "csv")
    assert f"satqkd: report: {a / 'report.html'}" in err and "report" not in out
    words = ("campaign", sizes, "--out", str(b), "--workers", "0", "--format", "csv", "--no-report", "--json")
    assert json.loads(satqkd(*words)[1])["report"] is None
    for name in ("results.csv", "links.csv", "campaign.json"):
        assert (a / name).read_bytes() == (b / name).read_bytes()
    only = {path.name for path in a.iterdir()} - {path.name for path in b.iterdir()}
    assert only == {"report.html", "campaign-size-01.png", "campaign-cost-01.png"}


def test_the_report_tells_what_the_tables_hold(satqkd: Command, sizes: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    satqkd("campaign", sizes, "--out", str(out), "--workers", "0", "--format", "csv")
    text = text_of(out / "report.html")
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 and "changes along satellite.0.count" in text
    for row in rows:
        bits = f"{float(row['expected_bits']):,.0f}".replace(",", " ")
        each = f"{float(row['expected_bits']) / 2:,.0f}".replace(",", " ")
        cells = f"{row['satellites']}  {float(row['axis.duration_days']):g}  {bits}  {each}  {row['passes']}"
        assert cells in text.replace("   ", "  ")


def test_series_are_the_rows_of_the_tables_with_their_times(
    satqkd: Command, sizes: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    satqkd("campaign", sizes, "--out", str(out), "--workers", "0", "--format", "csv", "--no-report")
    first, *others = map(json.loads, (out / "seconds.jsonl").read_text().splitlines())
    with (out / "seconds.jsonl").open("a") as log:
        log.write("torn {\n" + json.dumps(first | {"seconds": 77.0}) + "\n")
    grid, folder = read_campaign(Path(sizes)), CampaignFolder(out)
    view = campaign_view(grid, folder)
    short, long = size_series(view)
    assert (short.name, long.name) == ("duration_days 0.5", "duration_days 1")
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    for series, days in ((short, "0.5"), (long, "1.0")):
        told = {
            (float(r["satellites"]), float(r["expected_bits"]))
            for r in rows
            if r["axis.duration_days"] == days
        }
        assert {*zip(series.sizes.tolist(), series.values.tolist(), strict=True)} == told
    (timed,) = time_series(view)
    assert sorted(timed.values) == sorted([77.0, *(each["seconds"] for each in others)])
    assert sorted(timed.sizes) == [0.5, 1.0, 1.0, 2.0] and len(seconds_of(out)) == 4


def test_a_merged_folder_says_that_it_knows_no_times(satqkd: Command, sizes: str, tmp_path: Path) -> None:
    a, b = str(tmp_path / "a"), tmp_path / "b"
    satqkd("campaign", sizes, "--out", a, "--workers", "0", "--format", "csv")
    satqkd("campaign", sizes, "--out", str(b), "--merge", a, "--format", "csv")
    assert "How long runs took is not known in this folder" in text_of(b / "report.html")
    assert (b / "results.csv").read_bytes() == Path(a, "results.csv").read_bytes()


def test_a_place_that_cannot_take_the_report_is_refused_before_anything_runs(
    satqkd: Command, sizes: str, tmp_path: Path
) -> None:
    (tmp_path / "busy" / "report.html").mkdir(parents=True)
    words = ("campaign", sizes, "--out", str(tmp_path / "busy"), "--workers", "0")
    assert "report.html" in satqkd.refusal(2, *words)
    assert [path.name for path in (tmp_path / "busy").iterdir()] == ["report.html"]
    assert satqkd(*words, "--no-report")[0] == 0


def test_every_task_has_its_curves() -> None:
    assert TASKS.keys() <= CURVES.keys()
