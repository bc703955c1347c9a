"""The page of campaigns runs as it stands, and prints what it says."""

import contextlib
import csv
import io
import re
from pathlib import Path

import pytest

from documentation import REPOSITORY, missing, page, section
from satqkd.config import Scenario, load, read_toml
from satqkd.config.campaign import CampaignOperation, CampaignSearch
from satqkd.plan.campaign import read_campaign
from satqkd.plan.campaign_crew import InProcess
from satqkd.plan.campaign_folder import CampaignFolder
from satqkd.plan.campaign_run import run_campaign
from satqkd.plan.campaign_tasks import TASKS, operate_task, plan_task, yields_task
from satqkd.plan.network import network_of

EXAMPLE = REPOSITORY / "examples" / "campaign"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds nothing but the examples."""
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_example_prints_what_the_page_says(elsewhere: Path) -> None:
    ((code, printed),) = re.findall(
        r"^```python\n(.*?)^```\n+```\n(.*?)^```$", page("campaigns.md"), re.M | re.S
    )
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "docs/campaigns.md", "exec"), {})
    assert out.getvalue() == printed


def test_the_file_that_is_shown_is_the_example() -> None:
    (shown,) = re.findall(r"^```toml\n(.*?)^```$", page("campaigns.md"), re.M | re.S)
    text = (EXAMPLE / "heights.toml").read_text(encoding="utf-8")
    assert shown == "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))


def test_the_operated_fleets_are_served_as_the_page_says(tmp_path: Path) -> None:
    grid = read_campaign(EXAMPLE / "fleets-operated.toml")
    folder = CampaignFolder(tmp_path)
    run_campaign(grid, folder, InProcess())
    whole, _ = folder.write_tables(grid, "csv")
    with whole.open() as file:
        made = {
            f"| {row['axis.fleet']} | {row['axis.operation.method']} | {row['seed']} "
            f"| {100 * float(row['share']):.1f} % | {100 * float(row['worst_share']):.1f} % "
            f"| {row['contacts']} | {int(row['lost_bits']):,} |"
            for row in csv.DictReader(file)
        }
    shown = section(page("campaigns.md"), "## Fleets and policies, operated").splitlines()
    assert made == {line for line in shown if line.startswith(("| two", "| four"))}


def test_every_column_and_every_file_is_documented(tmp_path: Path) -> None:
    grid = read_campaign(EXAMPLE / "heights.toml")
    network = network_of(load(read_toml(EXAMPLE / "two-continents.toml"), Scenario, "example").value, EXAMPLE)
    names: set[str] = set()
    operated = operate_task(network, 1, CampaignOperation(method="greedy"))
    for answer in (
        yields_task(network, 1, CampaignSearch()),
        plan_task(network, 1, grid.campaign.search),
        operated,
    ):
        names |= answer.row.keys() | answer.parts[0].keys()
    folder = CampaignFolder(tmp_path)
    few = type(grid)(campaign=grid.campaign, folder=grid.folder, points=grid.points[:1])
    run_campaign(few, folder, InProcess())
    with folder.writing():
        folder.write_grid(few)
        folder.write_tables(few, "parquet")
    files = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert files == {"campaign.json", "lock", "pairs.parquet", "results.parquet", "seconds.jsonl"}
    assert missing([*names, *files, *TASKS], page("campaigns.md")) == []
