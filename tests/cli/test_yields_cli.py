"""`satqkd yields` with what passes are summed up by, raised masks, a spread of losses and pools."""

import csv
import json
import re
from pathlib import Path

import pytest
from command import Command

from documentation import REPOSITORY, page

SCENARIO = str(REPOSITORY / "examples" / "campaign" / "two-continents.toml")


def told(satqkd: Command, *options: str) -> dict[str, object]:
    code, out, err = satqkd("yields", SCENARIO, "--sample", "0", "--json", *options)
    assert (code, err) == (0, "")
    return json.loads(out)


def test_sums_are_of_the_same_passes_whatever_they_are_by(satqkd: Command) -> None:
    links = told(satqkd)
    assert links["groups"] is links["cuts"] is links["pools"] is None
    whole = sum(link["key_bits"] for link in links["links"])
    for by in ("night_class", "month", "elevation", "satellite", "station"):
        rows = told(satqkd, "--by", by)["groups"]
        assert sum(row["key_bits"] for row in rows) == whole
        out = satqkd("yields", SCENARIO, "--sample", "0", "--by", by)[1]
        assert all(str(row[by]) in out and f"{row['expected_bits']:,.0f}" in out for row in rows)


def test_masks_are_raised_one_by_one(satqkd: Command) -> None:
    rows = told(satqkd, "--elevation-cuts", "20, 40")["cuts"]
    assert [row["cut_deg"] for row in rows] == [None, pytest.approx(20), pytest.approx(40)]
    assert rows[0]["key_bits"] > rows[1]["key_bits"] > rows[2]["key_bits"] > 0
    out = satqkd("yields", SCENARIO, "--sample", "0", "--elevation-cuts", "20,40")[1]
    assert f"{100 * rows[2]['share']:.1f} %" in out


@pytest.mark.parametrize("cuts", ["", "20;30", "-1", "85", "nan"])
def test_masks_that_are_none_are_refused(satqkd: Command, cuts: str) -> None:
    assert "expected degrees" in satqkd.refusal(2, "yields", SCENARIO, f"--elevation-cuts={cuts}")


def test_what_the_command_says_of_losses_and_pools_holds_for_the_scenario(
    satqkd: Command, tmp_path: Path
) -> None:
    path = tmp_path / "passes.csv"
    options = ("--loss-spread", "3", "--pool-days", "1.5")
    found = told(satqkd, *options, "--out", str(path))
    assert found["loss_spread_db"] == 3.0
    with path.open() as file:
        passes = list(csv.DictReader(file))
    assert len(passes) == found["passes"] == sum(pool["passes"] for pool in found["pools"])
    for pool in found["pools"]:
        parts = [float(row["pool_part_bits"]) for row in passes if row["pool"] == str(pool["pool"])]
        assert sum(parts) == pytest.approx(pool["pooled_bits"])
    assert any(0 < float(row["key_probability"]) < 1 for row in passes)
    still = told(satqkd)
    assert still["loss_spread_db"] == 0.0
    assert sum(link["key_bits"] for link in found["links"]) != sum(
        link["key_bits"] for link in still["links"]
    )
    file_of_its_own = tmp_path / "scattered.toml"
    text = Path(SCENARIO).read_text() + "\n[yields]\nloss_spread_db = 3.0\npool_days = 1.5\n"
    file_of_its_own.write_text(text)
    same = json.loads(satqkd("yields", str(file_of_its_own), "--sample", "0", "--json")[1])
    assert (same["links"], same["pools"]) == (found["links"], found["pools"])


def test_the_examples_print_what_the_page_says(
    satqkd: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    monkeypatch.chdir(tmp_path)
    shown = re.findall(r"^```\n\$ satqkd (.*?)\n```\n+```\n(.*?)^```$", page("yields.md"), re.M | re.S)
    assert len(shown) == 2
    for line, printed in shown:
        out = satqkd(*line.split()).out
        assert [each.rstrip() for each in out.strip().splitlines()] == printed.strip().splitlines()
