"""Tables for other programs: what stands in them is what was computed, the same bytes each time."""

import csv
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planning import network

from satqkd.errors import ConfigError, ResourceError
from satqkd.plan.opportunities import Opportunities, find_opportunities
from satqkd.plan.tables import columns_of, link_rows, pass_columns, write_table
from satqkd.plan.yields_spread import KeySpread
from satqkd.sky import parse_utc

ROWS: list[dict[str, Any]] = [
    {"id": "a", "value": 1 / 3, "count": 1, "mixed": 1, "yes": True, "list": [1, 2]},
    {"id": 'b,"é', "value": None, "count": 2, "mixed": 0.5, "yes": False, "more": "x"},
]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_pass_has_a_row_with_its_place_its_times_and_its_key() -> None:
    found = network(satellite=[{"preset": "jinan-1"}, {"preset": "jinan-1", "name": "twin"}], duration_days=2)
    passes = find_opportunities(found)
    key_bits = np.arange(len(passes), dtype=float)
    columns = pass_columns(found, passes, KeySpread.certain(key_bits), np.full(len(passes), 0.25))
    assert {len(each) for each in columns.values()} == {len(passes)}
    row = int(np.flatnonzero((passes.satellite == 1) & (passes.station == 1))[0])
    told = {name: column[row] for name, column in columns.items()}
    seen = passes.pass_of(row, found.start)
    assert (told["satellite"], told["station"], told["key_bits"]) == ("twin", "stellenbosch", float(row))
    assert abs(parse_utc(told["start_utc"]) - seen.start) <= timedelta(milliseconds=1)
    assert abs(parse_utc(told["end_utc"]) - seen.end) <= timedelta(milliseconds=1)
    assert told["max_elevation_deg"] == pytest.approx(np.degrees(seen.max_elevation_rad))
    assert told["min_range_km"] == pytest.approx(seen.min_range_m / 1000)
    assert told["sun_elevation_deg"] == pytest.approx(np.degrees(seen.sun_elevation_rad))
    assert (told["sunlit"], told["clear_probability"]) == (seen.sunlit, 0.25)
    assert (told["low_bits"], told["high_bits"], told["key_probability"]) == (float(row), float(row), 1.0)
    assert (told["expected_bits"], told["month"]) == (row / 4, f"{seen.culmination:%Y-%m}")


def test_sums_of_links_are_those_of_their_passes() -> None:
    found = network(
        satellite=[{"preset": "jinan-1"}, {"preset": "jinan-1", "name": "twin"}],
        station=[{"presets": ["beijing", "stellenbosch", "graz"]}],
    )
    rng = np.random.default_rng(1)
    satellite, station = rng.integers(0, 2, 40), rng.integers(0, 2, 40)  # none over the third
    key_bits, clear = rng.integers(0, 3, 40).astype(float), rng.random(40)
    zeros = np.zeros(40)
    passes = Opportunities(
        satellite=satellite.astype(np.int32),
        station=station.astype(np.int32),
        sunlit=zeros > 0,
        **{name: zeros for name in Opportunities.__struct_fields__ if name.endswith(("_s", "_rad", "_m"))},
    )
    rows = link_rows(found, passes, key_bits, clear)
    assert [(row["satellite"], row["station"]) for row in rows] == [
        (craft.name, ground.name) for craft in found.satellites for ground in found.stations
    ]
    for index, row in enumerate(rows):
        mine = (satellite == index // 3) & (station == index % 3)
        assert row["passes"] == mine.sum() and row["passes_with_key"] == (key_bits[mine] > 0).sum()
        assert row["key_bits"] == key_bits[mine].sum()
        assert row["expected_bits"] == pytest.approx((key_bits * clear)[mine].sum())
        assert row["best_pass_bits"] == key_bits[mine].max(initial=0)
    assert sum(row["passes"] for row in rows) == 40


def test_without_a_pass_there_are_headings_and_empty_sums(tmp_path: Path) -> None:
    found = network(duration_days=0.01)
    passes = find_opportunities(found)
    assert len(passes) == 0
    none = np.empty(0)
    for name in ("p.csv", "p.parquet"):
        write_table(tmp_path / name, pass_columns(found, passes, KeySpread.certain(none), none))
    assert (tmp_path / "p.csv").read_text().startswith("satellite,station,start_utc,")
    assert [row["passes"] for row in link_rows(found, passes, none, none)] == [0, 0]


def test_numbers_come_back_from_csv_as_they_were(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", columns_of(ROWS))
    back = read(tmp_path / "t.csv")
    assert [row["id"] for row in back] == ["a", 'b,"é']
    assert float(back[0]["value"]) == 1 / 3 and back[1]["value"] == ""
    assert [row["count"] for row in back] == ["1", "2"]
    assert [row["mixed"] for row in back] == ["1.0", "0.5"]
    assert [row["yes"] for row in back] == ["true", "false"]
    assert [(row["list"], row["more"]) for row in back] == [("[1,2]", ""), ("", "x")]


def test_parquet_holds_the_same_with_types(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_table(tmp_path / "t.parquet", columns_of(ROWS))
    table = parquet.read_table(tmp_path / "t.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    assert types == {
        "id": "string", "value": "double", "count": "int64", "mixed": "double", "yes": "bool",
        "list": "string", "more": "string",
    }  # fmt: skip
    assert table.column("value").to_pylist() == [1 / 3, None]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_the_same_rows_are_the_same_bytes_and_nothing_is_left_beside(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_table(path, columns_of(ROWS))
    first = path.read_bytes()
    write_table(path, columns_of(ROWS))
    assert path.read_bytes() == first
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.csv or \.parquet"):
        write_table(tmp_path / "t.xlsx", columns_of(ROWS))


def test_without_pyarrow_what_to_do_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ResourceError, match=r"--format csv"):
        write_table(tmp_path / "t.parquet", columns_of(ROWS))
    write_table(tmp_path / "t.csv", columns_of(ROWS))


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot be written"):
        write_table(tmp_path / "none" / "t.csv", columns_of(ROWS))
