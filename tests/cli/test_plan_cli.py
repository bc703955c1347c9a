"""`satqkd plan` as people and programs meet it: one JSON document, tables, refusals."""

import json
from pathlib import Path

import pytest
from command import Command

from instance_cases import Document, best_worth, broken_rules, document, written


@pytest.fixture
def made() -> Document:
    passes = [(0, 0, 300, 5.0), (1, 200, 700, 6.0), (2, 500, 900, 4.0)]
    return document(passes, [(0, 1.0, "QKD"), (1, 1.0, "QKD"), (2, 1.0, "QKD"), (2, 0.5, "OPTICAL_ONLY")])


def test_one_json_document_holds_the_plan(satqkd: Command, tmp_path: Path, made: Document) -> None:
    code, out, err = satqkd("plan", str(written(tmp_path, made)), "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert broken_rules(made, found) == []
    assert found["objective"] == found["bound"] == best_worth(made) == 11.0
    assert (found["status"], found["method"], found["gap"], found["pairs"]) == ("optimal", "exact", 0.0, [])
    assert (found["passes"], found["targets"]) == (3, 4) and found["time_s"] > 0
    assert set(found["baselines"]) == {"greedy", "greedy-per-second", "longest-path"}


def test_tables_tell_the_plan_and_what_baselines_reach(
    satqkd: Command, tmp_path: Path, made: Document
) -> None:
    code, out, err = satqkd("plan", str(written(tmp_path, made)))
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert ["contacts", "2"] in lines and ["objective", "11.00"] in lines and ["bound", "11.00"] in lines
    assert ["greedy,", "of", "this", "plan", "63.64", "%"] in lines  # 7 of 11
    assert "exact plan, optimal" in out and "2024-03-05T00:08:20Z" in out


def test_another_method_gives_its_own_plan(satqkd: Command, tmp_path: Path, made: Document) -> None:
    path = str(written(tmp_path, made))
    code, out, _ = satqkd("plan", path, "--method", "greedy", "--json")
    found = json.loads(out)
    assert code == 0 and found["objective"] == 7.0 and found["bound"] >= 11.0
    assert found["status"] == "feasible" and found["gap"] > 0.5
    assert broken_rules(made, found) == []
    code, out, _ = satqkd("plan", path, "--time-limit", "5", "--gap", "0.5", "--json")
    assert code == 0 and json.loads(out)["gap"] <= 0.5


@pytest.mark.parametrize(
    ("name", "words", "part"),
    [
        ("made.toml", (), "scenarios are not planned yet"),
        ("made.csv", (), ".json.gz"),
        ("made.json", ("--method", "best"), "exact, greedy, longest-path"),
        ("made.json", ("--gap", "-1"), "gap"),
        ("made.json", ("--time-limit", "0"), "time-limit"),
    ],
)
def test_wrong_words_end_in_one_line_and_code_2(
    satqkd: Command, tmp_path: Path, made: Document, name: str, words: tuple[str, ...], part: str
) -> None:
    assert part in satqkd.refusal(2, "plan", str(written(tmp_path, made, name)), *words)


def test_a_contradiction_is_told(satqkd: Command, tmp_path: Path, made: Document) -> None:
    made["satellite_passes"][1]["endTime"] = made["satellite_passes"][1]["startTime"]
    assert "id 107" in satqkd.refusal(2, "plan", str(written(tmp_path, made)))
    assert "no such file" in satqkd.refusal(2, "plan", str(tmp_path / "nowhere.json"))
