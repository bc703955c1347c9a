"""A user's table of passes: what is read, what is refused and where, what is compared and summed up."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from satqkd import cli
from satqkd.errors import DataFormatError, NoPassError
from satqkd.mission import contact_of, expected_key, presets
from satqkd.validation import compare_table, micius
from satqkd.validation.rows import Row
from satqkd.validation.table import read_table

HEADER = "satellite,station,culmination_utc"
PASS = "micius,xinglong,2016-12-19T16:52:13Z"


@pytest.fixture
def table(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write(text: str) -> Path:
        path = tmp_path / "passes.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def _rows(path: Path) -> dict[str, Row]:
    return {each.id: each for each in compare_table(path)}


def test_the_published_pass_is_compared_figure_by_figure(table) -> None:  # type: ignore[no-untyped-def]
    rows = _rows(
        table(
            f"{HEADER},max_elevation_deg,min_range_km,duration_s,detections,sifted_bits,qber,secret_bits\n"
            f"{PASS},47.8,645,273,3551136,1671072,0.011,300939\n"
        )
    )
    named = [name for name in rows if name.startswith("T2.")]
    assert named == [
        "T2.max_elevation_deg",
        "T2.min_range_km",
        "T2.duration_s",
        "T2.detections",
        "T2.sifted_bits",
        "T2.qber",
        "T2.secret_bits",
    ]
    contact = contact_of(presets.satellite("micius"), presets.station("xinglong"), micius.AT_UTC)
    sifted = micius.sifted(contact).computed
    assert rows["T2.sifted_bits"].computed == pytest.approx(sifted, rel=0.005)
    assert rows["T2.secret_bits"].computed == pytest.approx(expected_key(contact).secret_bits, rel=0.01)
    assert rows["T2.min_range_km"].computed == pytest.approx(645.3, abs=0.1)
    assert rows["T2.qber"].computed == pytest.approx(contact.expected_qber, rel=0.01)
    assert {each.status for each in rows.values()} == {"reproduced"}
    assert rows["T2.min_range_km"].fitted == rows["T.rms.min_range_km"].fitted == ""
    assert rows["T2.qber"].fitted == rows["T.bias.qber"].fitted == "calibration loss of xinglong"


def test_a_wrong_figure_is_noticed_and_the_others_are_not(table) -> None:  # type: ignore[no-untyped-def]
    rows = _rows(
        table(
            f"{HEADER},min_range_km,sifted_bits,sifted_bits_tolerance\n{PASS},700,1671072,0.01\n{PASS},645,,\n"
        )
    )
    assert rows["T2.min_range_km"].status == "not_reproduced"
    assert rows["T3.min_range_km"].status == "reproduced"
    assert rows["T2.sifted_bits"].tolerance == "± 1 %"
    assert rows["T2.sifted_bits"].status == "not_reproduced"
    assert "T3.sifted_bits" not in rows


def test_units_stand_in_the_header(table) -> None:  # type: ignore[no-untyped-def]
    rows = _rows(table(f"{HEADER},min_range_m,max_elevation_rad\n{PASS},645000,0.834\n"))
    assert rows["T2.min_range_m"].computed == pytest.approx(645_300, abs=200)
    assert rows["T2.max_elevation_rad"].computed == pytest.approx(np.radians(47.8), abs=0.002)
    assert rows["T2.min_range_m"].status == rows["T2.max_elevation_rad"].status == "reproduced"


def test_kilometres_under_a_header_of_metres_are_noticed(table) -> None:  # type: ignore[no-untyped-def]
    assert _rows(table(f"{HEADER},min_range_m\n{PASS},645\n"))["T2.min_range_m"].status == "not_reproduced"


def test_start_or_culmination_finds_the_pass_and_culmination_decides(table) -> None:  # type: ignore[no-untyped-def]
    passes = read_table(
        table(
            "satellite,station,start_utc,culmination_utc,min_range_km\n"
            "micius,xinglong,2016-12-19T16:49:30Z,,645\n"
            "micius,xinglong,2016-12-19T16:49:30Z,2016-12-19T16:52:13Z,645\n"
        )
    )
    assert [each.when for each in passes] == ["start", "culmination"]
    rows = compare_table(
        table("satellite,station,start_utc,min_range_km\nmicius,xinglong,2016-12-19T16:49Z,645\n")
    )
    assert rows[0].computed == pytest.approx(645.3, abs=0.1)
    assert "2016-12-19T16:52" in rows[0].what
    early = "2016-12-19T16:41:00Z"  # 507 s before the start, 673 s before the culmination
    for name, known in (("start_utc", True), ("culmination_utc", False)):
        path = table(f"satellite,station,{name},min_range_km\nmicius,xinglong,{early},645\n")
        if known:
            assert compare_table(path)[0].id == "T2.min_range_km"
        else:
            with pytest.raises(
                NoPassError, match=r"its culmination within 600 s .* the nearest is 67\d s off"
            ):
                compare_table(path)


def test_a_station_of_ones_own(table, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "roof.toml").write_text('preset = "xinglong"\nname = "roof"\ntelescope_diameter_m = 0.5\n')
    line = f"micius,{tmp_path}/roof.toml,2016-12-19T16:52:13Z,1671072"
    rows = _rows(table(f"{HEADER},sifted_bits\n{line}\n{PASS},1671072\n"))
    assert rows["T2.sifted_bits"].computed / rows["T3.sifted_bits"].computed == pytest.approx(0.25, rel=0.02)
    assert "over roof" in rows["T2.sifted_bits"].what


def test_bias_and_scatter_of_the_logarithm(table) -> None:  # type: ignore[no-untyped-def]
    """Half and twice the figure have no bias and a scatter of ln 2; one with 0 is left out, and said so."""
    exact = float(_rows(table(f"{HEADER},sifted_bits\n{PASS},1\n"))["T2.sifted_bits"].computed)  # type: ignore[arg-type]
    lines = "".join(f"{PASS},{value!r},0.9\n" for value in (exact / 2, exact * 2, 0))
    rows = _rows(table(f"{HEADER},sifted_bits,sifted_bits_tolerance\n{lines}"))
    bias, rms = rows["T.bias.sifted_bits"], rows["T.rms.sifted_bits"]
    assert bias.computed == pytest.approx(0, abs=1e-4)
    assert rms.computed == pytest.approx(math.log(2), abs=1e-4)
    assert "2 passes, 1 with 0 left out" in bias.what
    assert bias.published == rms.published == 0

    shifted = _rows(table(f"{HEADER},sifted_bits\n{PASS},{exact / 3!r}\n"))
    assert shifted["T.bias.sifted_bits"].computed == pytest.approx(math.log(3), abs=1e-4)
    assert shifted["T.rms.sifted_bits"].computed == pytest.approx(math.log(3), abs=1e-4)
    assert shifted["T.bias.sifted_bits"].status == "not_reproduced"


def test_rows_within_their_tolerance_never_fail_in_the_summary(table) -> None:  # type: ignore[no-untyped-def]
    """The lower edge of a relative tolerance is further off in the logarithm than the upper."""
    exact = float(_rows(table(f"{HEADER},sifted_bits\n{PASS},1\n"))["T2.sifted_bits"].computed)  # type: ignore[arg-type]
    for edge in (0.501, 1.499):
        rows = _rows(table(f"{HEADER},sifted_bits\n{PASS},{exact / edge!r}\n"))
        assert {each.status for each in rows.values()} == {"reproduced"}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (
            f"{HEADER},sifted_bit\n{PASS},1\n",
            r"line 1: unknown column 'sifted_bit'; did you mean sifted_bits\?",
        ),
        (f"{HEADER},min_range\n{PASS},1\n", r"unknown column 'min_range'; did you mean min_range_"),
        (f"{HEADER},zzz\n{PASS},1\n", r"unknown column 'zzz'; known: .*sifted_bits"),
        (f"{HEADER},qber,qber\n{PASS},0,0\n", r"line 1: column qber stands there twice"),
        (f"{HEADER},min_range_km,min_range_m\n{PASS},1,2\n", r"given twice, in two units"),
        (f"{HEADER},qber_tolerance\n{PASS},0.1\n", r"expected at least one figure"),
        (f"{HEADER},sifted_bits,qber_tolerance\n{PASS},1,0.1\n", r"no column qber beside it"),
        (f"{HEADER}\n{PASS}\n", r"expected at least one figure"),
        ("satellite,station,qber\nmicius,xinglong,0.01\n", r"start_utc or culmination_utc"),
        ("station,start_utc,qber\nxinglong,2016-12-19T16:52:13Z,0.01\n", r"columns satellite, station"),
        (f"{HEADER},qber\n", r"at least one pass"),
        (f"{HEADER},qber\n{PASS},0.01,7\n", r"line 2: expected 4 cells"),
        (f"# note\n\n{HEADER},qber\n{PASS},1.1\n", r"line 4, column qber: expected a share .*0\.011"),
        (f"{HEADER},sifted_bits\n{PASS},1e6x\n", r"line 2, column sifted_bits: expected a number"),
        (f"{HEADER},sifted_bits\n{PASS},-4\n", r"line 2, column sifted_bits"),
        (f"{HEADER},sifted_bits\n{PASS},nan\n", r"line 2, column sifted_bits"),
        (f"{HEADER},qber,qber_tolerance\n{PASS},0.01,30\n", r"column qber_tolerance: .*write 30 % as 0.3"),
        (f"{HEADER},qber\nmicius,xinglong,19.12.2016,0.01\n", r"line 2, column culmination_utc: .*ISO 8601"),
        (f"{HEADER},qber\nmicius,xinglong,,0.01\n", r"line 2, column start_utc"),
        (f"{HEADER},qber\n,xinglong,2016-12-19T16:52:13Z,0.01\n", r"line 2, column satellite"),
        (f'{HEADER},qber\n{PASS},"0.01\n', r"expected CSV"),
    ],
)
def test_faults_are_told_with_line_and_column(table, text: str, part: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataFormatError, match=part):
        read_table(table(text))


def test_an_unknown_preset_is_told_with_its_place_and_the_nearest(table) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataFormatError, match=r"line 3, column station: .*did you mean xinglong\?"):
        compare_table(table(f"{HEADER},qber\n{PASS},0.01\nmicius,xinglon,2016-12-19T16:52:13Z,0.01\n"))


def test_a_time_without_pass_is_told(table) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(
        NoPassError, match=r"line 2: expected a pass of micius over xinglong .*check the time"
    ):
        compare_table(table(f"{HEADER},qber\nmicius,xinglong,2016-12-19T17:30:00Z,0.01\n"))


def test_no_file_and_no_text_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match="cannot be read"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"satellite\xff\n")
    with pytest.raises(DataFormatError, match="byte 9: expected UTF-8"):
        read_table(tmp_path / "latin.csv")


def _run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["satqkd", "validate", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out, said.err


def test_the_command_prints_the_rows_and_ends_by_them(  # type: ignore[no-untyped-def]
    table, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = str(table(f"{HEADER},min_range_km\n{PASS},645\n"))
    code, out, _ = _run(monkeypatch, capsys, "--table", good, "--json")
    assert code == 0
    assert [each["id"] for each in json.loads(out)] == [
        "T2.min_range_km",
        "T.bias.min_range_km",
        "T.rms.min_range_km",
    ]
    code, out, _ = _run(monkeypatch, capsys, "--table", good)
    assert code == 0
    assert "validation of passes.csv" in out
    assert "T2.min_range_km" in out

    bad = str(table(f"{HEADER},min_range_km\n{PASS},845\n"))
    assert _run(monkeypatch, capsys, "--table", bad)[0] == 1
    code, out, err = _run(monkeypatch, capsys, "--table", "nowhere.csv")
    assert (code, out) == (2, "")
    assert "nowhere.csv: cannot be read" in err


def test_the_command_without_table_ends_with_1_while_a_row_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    curve = tmp_path / "curve.csv"
    curve.write_text("range_km,loss_db\n600,30\n1300,42\n")
    monkeypatch.setenv("SATQKD_MICIUS_LOSS_CSV", str(curve))
    code, out, _ = _run(monkeypatch, capsys, "--json")
    assert code == 1
    ids = [each["id"] for each in json.loads(out)]
    assert "V2e" in ids
    assert "T.bias.qber" not in ids
