"""`satqkd optimise` as people and programs meet it: tables, one JSON document, a picture, exit codes."""

import json
from pathlib import Path

import pytest
from command import Command

MICIUS = ("optimise", "micius", "xinglong", "--at", "2016-12-19T16:52:13Z")


def test_one_json_document_and_nothing_else(satqkd: Command) -> None:
    code, out, err = satqkd(*MICIUS, "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["satellite"] == "micius" and found["bound"] == "variable-sharp"
    assert found["after_bits"] > found["before_bits"] > 0
    assert set(found["after"]) >= {"intensities", "probabilities", "basis_z_probability"}
    assert found["elevation_cuts"][0]["elevation_deg"] == 15.0
    assert len(found["passes"]) == 1 and found["fixed_length_bits"] is None


def test_the_tables_hold_the_settings_and_what_depends_on_what(satqkd: Command, tmp_path: Path) -> None:
    picture = tmp_path / "best.png"
    code, out, err = satqkd(*MICIUS, "--plot", str(picture), "--fix", "basis", "--loss-spread", "2")
    assert code == 0
    for part in ("intensities, signal", "0.8", "first key at", "lengths by the counts", "other rules"):
        assert part in out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert str(picture) in err
    assert list(tmp_path.iterdir()) == [picture]


def test_a_link_without_key_ends_in_1_with_the_reason(satqkd: Command, tmp_path: Path) -> None:
    picture = tmp_path / "none.png"
    words = ("optimise", "cubesat-6u", "zvenigorod", "--plot", str(picture))
    code, out, err = satqkd(*words)
    assert code == 1 and "expected secret bits" in out
    assert "times the pulses would be enough" in err
    assert not picture.exists()
    code, out, _ = satqkd(*words, "--json")
    assert code == 1 and json.loads(out)["after_bits"] == 0


def test_bounds_that_are_no_proof_are_named_so(satqkd: Command) -> None:
    code, _, err = satqkd(*MICIUS, "--bound", "lim2014", "--fix", "basis", "--fix", "intensities")
    assert code == 0 and "for comparison" in err


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--bound", "best"), "variable-sharp"),
        (("--fix", "colour"), "intensities, probabilities, basis"),
        (("--passes", "2", "--season", "3"), "one of the two"),
        (("--plot", "best.pdf"), ".png"),
        (("--loss-spread", "-1"), "loss-spread"),
        (("--bound", "rusca2018"), "3 classes"),
        (("--decoys", "1", "--fix", "probabilities"), "three classes"),
    ],
)
def test_wrong_words_end_in_one_line_and_code_2(
    satqkd: Command, words: tuple[str, ...], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = satqkd(*MICIUS, *words)
    assert (code, out) == (2, "")
    assert part in err and len(err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
