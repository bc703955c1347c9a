"""`satqkd operate` as people and programs meet it: one JSON document, tables, files, refusals."""

import html
import json
import re
from pathlib import Path

import pytest
from command import Command

from satqkd.keys import KeyStore

SCENARIO = """
name = "small"
start_utc = "2024-10-03T12:00:00Z"
duration_days = 4

[[satellite]]
preset = "jinan-1"

[[station]]
presets = ["beijing", "stellenbosch"]

[[pair]]
ends = ["beijing", "stellenbosch"]
demand_bit_s = 1.0

[weather]
default_clear = 0.9
nearest_km = 0.0
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(SCENARIO, encoding="utf-8")
    return str(path)


def test_one_json_document_holds_the_operation(satqkd: Command, scenario: str) -> None:
    code, out, err = satqkd("operate", scenario, "--seed", "3", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert (found["name"], found["seed"], found["method"], found["window_s"]) == (
        "small",
        3,
        "exact",
        604_800,
    )
    (pair,) = found["pairs"]
    assert found["share"] == found["worst_share"] == pair["share"] == pair["used_bits"] / pair["wanted_bits"]
    assert len(found["levels"]) == 1 and len(found["levels"][0]) == 4
    assert json.loads(satqkd("operate", scenario, "--seed", "3", "--json")[1]) == found


def test_tables_tell_who_was_served(satqkd: Command, scenario: str) -> None:
    code, out, _ = satqkd("operate", scenario, "--window-days", "2", "--method", "greedy")
    assert code == 0 and "operation of small" in out and "beijing-stellenbosch" in out
    assert "greedy, 2 days at a time" in out


def test_several_seeds_are_rows_and_files(satqkd: Command, scenario: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    code, out, err = satqkd("operate", scenario, "--seeds", "3", "--json", "--out", str(folder))
    rows = json.loads(out)["runs"]
    assert code == 0 and [row["seed"] for row in rows] == [1, 2, 3] and err.count("written") == 4
    for row in rows:
        written = json.loads((folder / f"operation-{row['seed']}.json").read_text(encoding="utf-8"))
        assert written["share"] == row["share"]
    code, out, _ = satqkd("operate", scenario, "--seeds", "2")
    assert code == 0 and "worst pair" in out


def test_one_seed_has_a_report_of_its_levels_and_pairs(
    satqkd: Command, scenario: str, tmp_path: Path
) -> None:
    folder = tmp_path / "deep" / "out"
    code, out, err = satqkd("operate", scenario, "--seed", "3", "--json", "--out", str(folder))
    told = json.loads(out)
    assert code == 0 and json.loads((folder / "operation-3.json").read_text(encoding="utf-8")) == told
    assert err.splitlines()[-1] == f"satqkd: {folder / 'report.html'} written"
    files = {path.name for path in folder.iterdir()}
    assert files == {"operation-3.json", "operation-levels.png", "report.html"}
    text = text_of(folder / "report.html")
    (pair,) = told["pairs"]
    for number in (pair["lowest_bits"], pair["left_bits"], told["links"][0]["key_bits"]):
        assert f"{number:,}".replace(",", " ") in text
    assert "beijing-stellenbosch" in text and "sky of seed 3" in text
    assert "Weather of beijing, stellenbosch: rows of the table that comes with the software" in text


def test_several_seeds_have_a_report_of_their_spread(satqkd: Command, scenario: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert satqkd("operate", scenario, "--out", str(folder))[0] == 0
    _, out, _ = satqkd("operate", scenario, "--seeds", "3", "--out", str(folder), "--json")
    files = {path.name for path in folder.iterdir()}
    assert files == {*(f"operation-{k}.json" for k in (1, 2, 3)), "operation-shares.png", "report.html"}
    text = text_of(folder / "report.html")
    for row in json.loads(out)["runs"]:
        assert f"{100 * row['share']:.2f} %" in text and f"{row['lost_bits']:,}".replace(",", " ") in text


def test_a_place_that_cannot_take_it_is_refused_before_anything_is_operated(
    satqkd: Command, scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("satqkd.plan.planner.offer_of", never)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "busy" / "operation-2.json").mkdir(parents=True)
    words = ("operate", scenario, "--seeds", "2", "--out")
    assert "got a file" in satqkd.refusal(2, *words, str(tmp_path / "file"))
    assert "operation-2.json" in satqkd.refusal(2, *words, str(tmp_path / "busy"))
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "busy", "file", "operation-2.json", "small.toml"
    ]  # fmt: skip


def text_of(path: Path) -> str:
    return html.unescape(re.sub("<[^>]*>", " ", path.read_text(encoding="utf-8"))).replace("\u00a0", " ")


def test_stores_are_left_in_the_folder_and_say_the_same_as_books(
    satqkd: Command, scenario: str, tmp_path: Path
) -> None:
    words = ("operate", scenario, "--seed", "3", "--ledger", "stores", "--out", str(tmp_path), "--json")
    code, out, _ = satqkd(*words)
    assert code == 0 and out == satqkd("operate", scenario, "--seed", "3", "--json")[1]
    with KeyStore.open(tmp_path / "stores-3" / "beijing.db", read_only=True) as store:
        assert store.check().balanced
        assert store.check().spent_bits > json.loads(out)["pairs"][0]["used_bits"] > 0
    code, _, err = satqkd(*words)
    assert code == 2 and "jinan-1.db" in err
    assert satqkd("operate", scenario, "--ledger", "stores")[0] == 0


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--window-days", "1.5"), "whole periods"),
        (("--method", "best"), "longest-path"),
        (("--ledger", "paper"), "books"),
        (("--seeds", "0"), "seeds"),
    ],
)
def test_what_cannot_be_operated_is_refused_in_words(
    satqkd: Command, scenario: str, words: tuple[str, ...], part: str
) -> None:
    code, out, err = satqkd("operate", scenario, *words)
    assert (code, out) == (2, "") and part in err
