"""`satqkd plan` as people and programs meet it: one JSON document, tables, refusals."""

import json
from pathlib import Path

import msgspec
import pytest
from command import Command

from instance_cases import Document, best_worth, broken_rules, document, written
from plan_checker import faults
from satqkd.plan.network import read_scenario
from satqkd.plan.result import Plan


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
        ("made.toml", (), "expected TOML"),
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


# --- scenarios

EXAMPLES = sorted(Path(__file__).parents[2].glob("examples/scenarios/*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_scenario_is_planned_without_a_fault(satqkd: Command, path: Path) -> None:
    code, out, err = satqkd("plan", str(path), "--json")
    assert (code, err) == (0, "")
    plan = msgspec.json.decode(out, type=Plan)
    assert plan.contacts and plan.objective > 0
    assert faults(read_scenario(path), plan) == []
    assert plan.gap <= 0.011


def test_a_scenario_is_told_in_tables(satqkd: Command) -> None:
    path = next(each for each in EXAMPLES if each.stem == "jinan-1-cities")
    code, out, err = satqkd("plan", str(path))
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert ["objective", "max-min"] in lines and ["status", "optimal"] in lines
    assert any(line[:1] == ["wuhan-nanshan"] for line in lines)
    assert any(line[2:4] == ["jinan-1", "stellenbosch"] for line in lines)


def test_options_of_a_scenario(satqkd: Command) -> None:
    path = str(next(each for each in EXAMPLES if each.stem == "china-south-africa"))
    whole, rolled, rough, exact = (
        json.loads(satqkd("plan", path, "--json", *words)[1])
        for words in ((), ("--window-days", "5"), ("--method", "greedy"), ("--exact-key",))
    )
    assert whole["objective"] >= rolled["objective"] > 0.8 * whole["objective"]
    assert rough["method"] == "greedy" and rough["objective"] <= whole["objective"]
    assert (
        abs(exact["objective"] / whole["objective"] - 1) < 0.005 and exact["objective"] != whole["objective"]
    )


def test_a_scenario_in_which_nothing_can_be_planned_is_told(satqkd: Command, tmp_path: Path) -> None:
    text = "name = 'x'\nstart_utc = '2024-10-03T12:00:00Z'\nduration_days = 1\n"
    text += "[[satellite]]\npreset = 'jinan-1'\n"
    path = tmp_path / "s.toml"
    path.write_text(text + "[[station]]\npresets = ['xinglong']\n")
    assert "no satellite gives key to any station" in satqkd.refusal(2, "plan", str(path))
    path.write_text(text + "[[station]]\npresets = ['nowhere']\n")
    assert "nowhere" in satqkd.refusal(2, "plan", str(path))
    path.write_text(text.replace("preset =", "prset =") + "[[station]]\npresets = ['graz']\n")
    assert "did you mean preset" in satqkd.refusal(2, "plan", str(path))
