"""Names into settings: presets, files that override them, and errors that say what was meant."""

from pathlib import Path

import numpy as np
import pytest

from satqkd.config import Satellite, Station
from satqkd.errors import ConfigError, DataFormatError, NoPassError
from satqkd.mission import contact_of, evidence_rows, presets, read_protocol, run_pass, write_pass_folder
from toy_pass import AT_UTC, PROTOCOL, fly_toy, toy_satellite, toy_station


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        (Satellite, "micus", "unknown satellite 'micus'; did you mean micius?"),
        (Satellite, "jinan1", "did you mean jinan-1?"),
        (Station, "xinlong", "unknown station 'xinlong'; did you mean xinglong?"),
        (Station, "qqq", "known: beijing, hefei, jinan"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(kind: type, name: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        presets.load_preset(name, kind)
    assert words in str(caught.value)
    assert caught.value.exit_code == 2


def test_names_are_those_of_the_files() -> None:
    assert presets.names(Satellite) == ["jinan-1", "micius"]
    assert {"beijing", "stellenbosch", "xinglong"} <= set(presets.names(Station))


def write(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_overrides_a_preset_table_by_table(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'preset = "xinglong"\nname = "mine"\ntelescope_diameter_cm = 60\n[receiver]\noptical_error = 0.02\n'
        "[receiver.detector]\ndark_rate_hz = 100\n",
    )
    base, mine = presets.station("xinglong"), presets.station(path)
    assert (mine.name, mine.receiver.optical_error, mine.receiver.detector.dark_rate_hz) == (
        "mine",
        0.02,
        100,
    )
    assert mine.receiver.gate_s == base.receiver.gate_s
    assert mine.receiver.detector.efficiency == base.receiver.detector.efficiency
    assert mine.latitude_rad == pytest.approx(np.deg2rad(40.39586667))


def test_an_override_may_use_another_unit(tmp_path: Path) -> None:
    mine = presets.satellite(write(tmp_path, 'preset = "micius"\n[source]\npulse_rate_hz = 5e7\n'))
    assert mine.source.pulse_rate_hz == 5e7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'preset = "micius"\n[source]\npulse_rate_mhzz = 1\n',
            r"unknown key source\.pulse_rate_mhzz; did you mean",
        ),
        ('preset = "micius"\ncolour = "red"\n', "unknown key colour"),
        ('preset = "micuis"\n', "did you mean micius"),
        ('preset = "micius"\n[source]\nprobabilities = [0.5, 0.3, 0.3]\n', "expected a sum of 1"),
        ('preset = "micius"\n[source]\npulse_rate_mhz = -1\n', "pulse_rate_hz"),
        ('preset = "micius"\n[source\n', "expected TOML"),
        ('name = "x"\n', "missing required field"),
    ],
    ids=range(7),
)
def test_a_file_with_a_fault_says_where(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=words) as caught:
        presets.satellite(path)
    assert "mine.toml" in str(caught.value) or "micuis" in text


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        presets.station(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("line", "change"),
    [
        (1, lambda line: line[:-1] + "7"),
        (1, lambda line: line[:40]),
        (2, lambda line: line.replace("97.", "9x.")),
    ],
    ids=["checksum", "cut", "letter"],
)
def test_a_malformed_tle_is_refused_in_one_line(line: int, change: object) -> None:
    craft = presets.satellite("micius")
    text = getattr(craft.orbit, f"tle_line_{line}")
    with pytest.raises(DataFormatError, match="TLE line") as caught:
        wrong = toy_satellite(**{f"orbit__tle_line_{line}": change(text)})  # type: ignore[operator]
        contact_of(wrong, toy_station(), AT_UTC)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_wrong_pass_leaves_no_store_behind(tmp_path: Path) -> None:
    with pytest.raises(NoPassError):
        run_pass(toy_satellite(), toy_station(maximum_range_m=1e5), at_utc=AT_UTC, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_protocol_settings_from_a_file(tmp_path: Path) -> None:
    assert read_protocol(None) == type(PROTOCOL)()
    path = tmp_path / "protocol.toml"
    path.write_text('blocks = 2\nkeyed_bases = ["Z"]\n', encoding="utf-8")
    read = read_protocol(path)
    assert (read.blocks, read.keyed_bases) == (2, ("Z",))
    path.write_text("block = 2\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="unknown key block; did you mean blocks"):
        read_protocol(path)
    path.write_text('bound = "lim2014"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="bound"):
        read_protocol(path)


def test_evidence_is_that_of_the_presets() -> None:
    rows = evidence_rows(contact_of(presets.satellite("micius"), presets.station("xinglong"), AT_UTC))
    assert {row["preset"] for row in rows} == {"micius", "xinglong"}
    assert all(row["source"] and row["mark"] for row in rows)


def test_settings_from_elsewhere_have_no_evidence(tmp_path: Path) -> None:
    flight = fly_toy(tmp_path)
    assert evidence_rows(flight.contact) == []
    write_pass_folder(tmp_path, flight.contact, flight.report)
    assert (tmp_path / "pass.json").exists()
