"""`satqkd plan --out`: one folder with the plan, its contacts, pictures and the report, or nothing."""

import csv
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from command import Command

from satqkd.cli import plan_told
from satqkd.cli.plan_told import ships_told, view_of_network, weather_told
from satqkd.config import Scenario, load
from satqkd.errors import ResourceError
from satqkd.plan.network import Network, network_of, read_scenario
from satqkd.plan.planner import make_plan
from satqkd.show import plan_report

SCENARIO = """
name = "small"
start_utc = "2024-10-03T12:00:00Z"
duration_days = 2

[[satellite]]
preset = "jinan-1"

[[station]]
presets = ["beijing"]
[[station]]
preset = "stellenbosch"
name = "cape"
latitude_deg = -33.5
longitude_deg = 19

[[pair]]
ends = ["beijing", "cape"]

[weather]
default_clear = 0.375
nearest_km = 0.0
table = "own.csv"
"""
MONTHS = "jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec"
HEADER = f"name,latitude_deg,longitude_deg,{MONTHS},evidence,source\n"
HALF = ",".join(["0.5"] * 12)
HOSTILE = "<script>alert(1)</script>&"


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its weather has a hostile source; colours of the map, which take longest, are left out."""
    monkeypatch.setattr(plan_told, "coverage_of", lambda network: None)
    path = tmp_path / "s.toml"
    path.write_text(SCENARIO, encoding="utf-8")
    (tmp_path / "own.csv").write_text(f"{HEADER}beijing,40.0,116.3,{HALF},measured,{HOSTILE}\n")
    return str(path)


def network(**tables: Any) -> Network:
    """Three stations: one without a row, one with its own, one that the software's table knows."""
    table: dict[str, Any] = {
        "name": "n",
        "start_utc": "2024-10-03T12:00:00Z",
        "duration_days": 1,
        "satellite": [{"preset": "jinan-1"}],
        "station": [
            {"presets": ["beijing"]},
            {"preset": "beijing", "name": "isle", "latitude_deg": -50, "longitude_deg": 0},
        ],
    } | tables
    return network_of(load(table, Scenario, "test").value)


def text_of(path: Path) -> str:
    return html.unescape(re.sub("<[^>]*>", " ", path.read_text(encoding="utf-8"))).replace("\u00a0", " ")


def test_the_folder_holds_what_was_printed(satqkd: Command, scenario: str, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    code, out, err = satqkd("plan", scenario, "--out", str(folder), "--json")
    told = json.loads(out)
    assert code == 0 and err == f"satqkd: {folder / 'report.html'} written, and 5 files beside it\n"
    assert (folder / "plan.json").read_text(encoding="utf-8") == out
    with (folder / "contacts.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(told["contacts"]) > 1
    for row, contact in zip(rows, told["contacts"], strict=True):
        assert (row["satellite"], row["station"], row["end_utc"]) == tuple(
            contact[name] for name in ("satellite", "station", "end_utc")
        )
        assert float(row["expected_bits"]) == contact["key_bits"] * contact["clear_probability"]
    files = {path.name for path in folder.iterdir()}
    assert files == {
        "plan.json", "contacts.csv", "plan-map.png", "plan-pairs.png", "plan-contacts-01.png", "report.html"
    }  # fmt: skip


def test_the_report_tells_the_plan_and_escapes_its_names(
    satqkd: Command, scenario: str, tmp_path: Path
) -> None:
    code, out, _ = satqkd("plan", scenario, "--out", str(tmp_path / "out"))
    assert code == 0 and "plan of small" in out
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    told = json.loads((tmp_path / "out" / "plan.json").read_text(encoding="utf-8"))
    assert "<script" not in page and HOSTILE in text_of(tmp_path / "out" / "report.html")
    text = text_of(tmp_path / "out" / "report.html")
    for contact in told["contacts"]:
        assert contact["start_utc"] in text
    for pair in told["pairs"]:
        assert pair["pair"] in text and f"{pair['key_bits']:,.0f}".replace(",", " ") in text
    assert "no row of a table holds; the scenario's default_clear, 37.5 % at all times" in text
    assert "made-up" not in text


def test_what_is_drawn_is_the_plan(scenario: str) -> None:
    net = read_scenario(Path(scenario))
    plan = make_plan(net)
    view = view_of_network(net, plan)
    assert [(c.satellite, c.station, c.start_utc, c.key_bits) for c in view.plan.contacts] == [
        (c.satellite, c.station, c.start_utc, c.key_bits) for c in plan.contacts
    ]
    assert [(p.pair, p.key_bits) for p in view.plan.pairs] == [(p.pair, p.key_bits) for p in plan.pairs]
    assert [(s.name, s.latitude_rad) for s in view.stations] == [
        (s.name, s.latitude_rad) for s in net.stations
    ]
    assert view.duration_s == net.duration_s and view.coverage is None
    assert [sky.clear for sky in view.skies or ()] == [0.5, 0.375]
    assert view.tracks[0].satellite == "jinan-1"


def test_weather_is_told_by_where_it_came_from(tmp_path: Path) -> None:
    table = tmp_path / "own.csv"
    table.write_text(f"{HEADER}isle,-50,0,{HALF},measured,a log\n")
    assert weather_told(network()) == []
    near = {"nearest_km": 100.0}
    assert weather_told(network(weather=near | {"default_clear": 0.5})) == [
        "Weather of beijing: rows of the table that comes with the software, examples, their evidence "
        "inferred.",
        "Weather of isle: no row of a table holds; the scenario's default_clear, 50 % at all times.",
    ]
    own = weather_told(network(weather=near | {"table": str(table)}))
    assert own[1] == "Weather of isle: rows of the scenario's own table, their evidence measured."
    many = [{"preset": "beijing", "name": f"p{k}", "latitude_deg": -60, "longitude_deg": k} for k in range(9)]
    (told,) = weather_told(network(station=many, weather={"default_clear": 0.5, "nearest_km": 0.0}))
    assert told.startswith("Weather of p0, p1, p2, p3, p4, p5 and 3 more: ")


def test_ships_are_told() -> None:
    points = [("2024-10-03T12:00:00Z", 30, 122), ("2024-10-05T12:00:00Z", 22, 118)]
    track = [dict(zip(("utc", "latitude_deg", "longitude_deg"), point, strict=True)) for point in points]
    ship = {"preset": "beijing", "name": "east-wind", "track": track}
    assert ships_told(network()) == []
    (told,) = ships_told(network(station=[{"presets": ["beijing"]}, ship]))
    assert told.startswith("Ships, east-wind: drawn")


def test_a_place_that_cannot_take_it_is_refused_before_the_plan_is_made(
    satqkd: Command, scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("satqkd.plan.planner.make_plan", never)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "busy" / "contacts.csv").mkdir(parents=True)
    assert "got a file" in satqkd.refusal(2, "plan", scenario, "--out", str(tmp_path / "file"))
    assert "contacts.csv" in satqkd.refusal(2, "plan", scenario, "--out", str(tmp_path / "busy"))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["busy", "file", "own.csv", "s.toml"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_report_that_fails_leaves_nothing_and_prints_no_plan(
    satqkd: Command, scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise ResourceError("no space left")

    monkeypatch.setattr(plan_report, "night_picture", full)
    words = ("plan", scenario, "--out", str(tmp_path / "out"), "--json")
    assert "no space left" in satqkd.refusal(2, *words)
    assert not (tmp_path / "out").exists()


def test_an_instance_has_no_report(satqkd: Command, tmp_path: Path) -> None:
    (tmp_path / "made.json").write_text("{}")
    line = satqkd.refusal(2, "plan", str(tmp_path / "made.json"), "--out", str(tmp_path / "out"))
    assert "expected a scenario, .toml, got a public instance" in line
    assert not (tmp_path / "out").exists()
