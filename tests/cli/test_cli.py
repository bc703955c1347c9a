"""The command line as people and programs meet it: what it prints where, and how it ends."""

import errno
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command import Command

from satqkd.cli.budget import HEADERS
from satqkd.keys import KeyStore
from satqkd.mission.planning import LOSS_COLUMNS


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("nonsense",), "nonsense"),
        (("pass",), "satellite"),
        (("pass", "jinan-2", "beijing"), "did you mean jinan-1"),
        (("pass", "jinan-1", "bejing"), "did you mean beijing"),
        (("pass", "jinan-1", "beijing", "--at", "yesterday"), "ISO 8601"),
        (("pass", "jinan-1", "beijing", "--at", "2024-10-04T03:05:00Z"), "by day"),
        (("pass", "jinan-1", "beijing", "--speed", "fast"), "expected max, realtime or a factor"),
        (("keys", "status", "--store", "nowhere.sqlite"), "no key store here"),
        (("keylength", "nowhere.json"), "no such file"),
        (("satellite", "nowhere.toml"), "no such file"),
        (("presets", "show", "nobody"), "unknown preset"),
        (("report", "nowhere"), "pass.json"),
    ],
)
def test_wrong_words_end_in_one_line_and_code_2(
    satqkd: Command, tmp_path: Path, words: tuple[str, ...], part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert part in satqkd.refusal(2, *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("sed = 3\n", "unknown key sed"),
        ("satellite = \n", "expected TOML"),
        ('satellite = "micius"\nstation = "xinglong"\nfolder = "."\nport = 0\n', "port"),
    ],
)
def test_a_broken_run_file_is_refused_with_its_place(
    satqkd: Command, tmp_path: Path, text: str, part: str
) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    assert part in satqkd.refusal(2, "station", str(path))


def test_a_malformed_tle_is_refused_with_line_and_column(satqkd: Command, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'preset = "micius"\n[orbit]\n'
        'tle_line_1 = "1 41731U 16051A   16354.56913372  .00000384  00000-0  18801-4 0  9992"\n'
    )
    assert "line 1" in satqkd.refusal(2, "passes", str(path), "xinglong")


def test_json_is_one_document_on_stdout(satqkd: Command) -> None:
    code, out, err = satqkd("passes", "jinan-1", "beijing", "--days", "1", "--json")
    rows = json.loads(out)
    assert (code, err) == (0, "")
    assert set(rows[0]) == {
        "station", "start_utc", "culmination_utc", "end_utc", "max_elevation_deg", "min_range_km",
        "start_azimuth_deg", "culmination_azimuth_deg", "end_azimuth_deg", "sun_elevation_deg", "darkness",
        "satellite_sunlit", "moon_elevation_deg", "moon_illuminated_fraction", "expected_secret_bits",
    }  # fmt: skip
    for row in rows:
        limits = ("day", -0.833), ("civil", -6), ("nautical", -12), ("astronomical", -18), ("night", -91)
        assert row["darkness"] == next(name for name, low in limits if row["sun_elevation_deg"] >= low)
    assert [row["expected_secret_bits"] > 0 for row in rows] == [
        row["sun_elevation_deg"] < -12 for row in rows
    ]


def test_the_budget_table_has_a_head_for_every_part_of_the_loss() -> None:
    assert [name for name in HEADERS if name.endswith("_db")] == list(LOSS_COLUMNS)


def test_budget_rows_have_the_fields_of_the_contract_and_add_up(satqkd: Command) -> None:
    words = ("budget", "micius", "xinglong", "--at", "2016-12-19T16:52:13Z", "--step", "60", "--json")
    code, out, _ = satqkd(*words)
    rows = json.loads(out)
    assert code == 0 and len(rows) == 5
    wanted = (
        "t_s elevation_deg range_km range_rate_m_s diffraction_db pointing_db atmosphere_db receiver_db "
        "detector_db total_db background_hz expected_detection_hz expected_qber"
    )
    parts = ("diffraction_db", "pointing_db", "atmosphere_db", "receiver_db", "calibration_db", "detector_db")
    for row in rows:
        assert set(wanted.split()) <= set(row)
        assert sum(row[part] for part in parts) == pytest.approx(row["total_db"], abs=1e-9)


def test_no_bits_ends_with_1(satqkd: Command, tmp_path: Path) -> None:
    rows = [
        {"basis": basis, "class": name, "intensity": mu, "probability": p, "detections": 1000, "errors": 400}
        for basis in "ZX"
        for name, mu, p in (("signal", 0.8, 0.5), ("decoy", 0.1, 0.25), ("vacuum", 0.0, 0.25))
    ]
    security = {"epsilon_secrecy": 1e-9, "epsilon_correctness": 1e-15}
    path = tmp_path / "counts.json"
    path.write_text(json.dumps({"counts": rows, "security": security, "leaked_bits": 100}))
    code, out, _ = satqkd("keylength", str(path), "--json")
    assert code == 1 and json.loads(out)["secret_bits"] == 0


EXAMPLE = str(Path(__file__).parents[2] / "examples" / "micius-2016.json")


def test_all_bounds_that_cover_the_counts_and_which_are_proved(satqkd: Command) -> None:
    code, out, err = satqkd("keylength", EXAMPLE, "--bound", "all")
    proved = {words[0]: words[2] for line in out.splitlines() if len(words := line.split()) >= 3}
    assert code == 0
    assert (proved["variable-sharp"], proved["lim2014"], proved["satquma"]) == ("yes", "no:", "no:")
    assert "left out: bound rusca2018: does not cover a source of 3 classes" in err
    assert "left out: variable-kato" in err


def test_an_explanation_ends_in_the_length(satqkd: Command) -> None:
    code, out, _ = satqkd("keylength", EXAMPLE, "--explain")
    lengths = [int(found) for found in re.findall(r"so (\d+) secret bits", out)]
    assert code == 0 and len(lengths) == 2
    assert f"variable-sharp: {sum(lengths)} secret bits" in out
    assert out.count("statement 8: phase errors") == 2


def test_several_files_are_pooled(satqkd: Command) -> None:
    table = EXAMPLE.replace(".json", ".csv")
    code, out, _ = satqkd("keylength", EXAMPLE, table, "--json")
    found = json.loads(out)
    assert code == 0 and set(found) == {EXAMPLE, table, "pooled"}
    assert found[EXAMPLE]["secret_bits"] == found[table]["secret_bits"]
    assert found["pooled"]["secret_bits"] > 2 * found[table]["secret_bits"]


def test_a_bound_that_does_not_cover_the_counts_is_refused(satqkd: Command) -> None:
    assert "take one of variable-sharp" in satqkd.refusal(2, "keylength", EXAMPLE, "--bound", "rusca2018")
    assert "expected one of variable-sharp" in satqkd.refusal(2, "keylength", EXAMPLE, "--bound", "best")


def test_help_names_every_command(satqkd: Command) -> None:
    code, out, _ = satqkd("--help")
    assert code == 0
    promised = (
        "demo pass passes budget keylength keys encrypt decrypt satellite station emulator presets validate"
    )
    assert all(name in out for name in promised.split())


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    """`satqkd --help` must not wait for numba, scipy or matplotlib."""
    heavy = ("numba", "scipy", "matplotlib", "numpy")
    code = f"import sys, satqkd.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_existing_output_is_not_written_over_and_costs_no_key(satqkd: Command, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"text")
    target = tmp_path / "plain.otp"
    target.write_bytes(b"precious")
    line = satqkd.refusal(2, "encrypt", str(plain), "--store", str(tmp_path / "s.sqlite"), "--peer", "b")
    assert "no key was used" in line and target.read_bytes() == b"precious"


Stores = dict[str, str]
RELAY = ("--a", "beijing", "--b", "xian")


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    """A satellite and two stations with 1000 bytes of link key each, as paths."""
    now = "2026-01-02T03:04:05Z"
    paths = {name: str(tmp_path / f"{name}.sqlite") for name in ("sat", "beijing", "xian")}
    with KeyStore.create(paths["sat"], "sat") as satellite:
        for name in ("beijing", "xian"):
            with KeyStore.create(paths[name], name) as station:
                for store, peer in ((satellite, name), (station, "sat")):
                    store.add_block(
                        f"pass:{name}",
                        peer=peer,
                        kind="link",
                        origin="hardware",
                        key=random.Random(name).randbytes(1000),
                        state="confirmed",
                        allocator="sat",
                        now_utc=now,
                    )
    return paths


def spent_bits(path: str) -> int:
    with KeyStore.open(path, read_only=True) as store:
        return sum(row.spent_bits for row in store.status())


@pytest.mark.parametrize("place", ["taken", "nowhere/record", "x" * 250, "x" * 300])
def test_a_relay_that_could_not_be_written_costs_no_key(
    satqkd: Command, stores: Stores, tmp_path: Path, place: str
) -> None:
    (tmp_path / "taken").write_bytes(b"precious")
    before = sorted(tmp_path.iterdir())
    words = ("keys", "relay", "--store", stores["sat"], *RELAY, "--out", str(tmp_path / place))
    assert "no key was used" in satqkd.refusal(2, *words)
    assert sorted(tmp_path.iterdir()) == before and (tmp_path / "taken").read_bytes() == b"precious"
    assert spent_bits(stores["sat"]) == 0


def test_a_relay_lost_on_the_way_to_the_disk_is_repeated_by_its_id(
    satqkd: Command, stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "record"
    words = ("keys", "relay", "--store", stores["sat"], *RELAY, "--out", str(out))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", disk_full)
        line = satqkd.refusal(2, *words)
    spent = spent_bits(stores["sat"])
    assert spent == 2 * 8000 and not out.exists() and not list(tmp_path.glob("*.partial"))
    (relay_id,) = re.findall(r"--relay-id (relay-[0-9a-f]+)", line)
    code, _, err = satqkd(*words, "--relay-id", relay_id)
    assert code == 0 and relay_id in err and spent_bits(stores["sat"]) == spent
    for station in ("beijing", "xian"):
        code, said, _ = satqkd("keys", "accept", str(out), "--store", stores[station], "--json")
        assert (code, json.loads(said)["bits"]) == (0, 8000 - 256)


def disk_full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_relay_without_key_says_so_and_leaves_no_file(
    satqkd: Command, stores: Stores, tmp_path: Path
) -> None:
    words = ("keys", "relay", "--store", stores["sat"], *RELAY, "--relay-id", "r1")
    assert satqkd(*words, "--out", str(tmp_path / "first"))[0] == 0
    again = ("keys", "relay", "--store", stores["sat"], *RELAY, "--relay-id", "r2")
    line = satqkd.refusal(3, *again, "--out", str(tmp_path / "second"))
    assert "relay r2" in line and "asked for" in line
    assert not list(tmp_path.glob("second*"))


def test_decrypting_looks_at_its_target_before_the_pad_is_used(
    satqkd: Command, stores: Stores, tmp_path: Path
) -> None:
    record, plain, sealed = (tmp_path / name for name in ("record", "plain", "sealed"))
    plain.write_bytes(b"text")
    satqkd("keys", "relay", "--store", stores["sat"], *RELAY, "--out", str(record))
    for station in ("beijing", "xian"):
        satqkd("keys", "accept", str(record), "--store", stores[station])
    words = ("encrypt", str(plain), "--store", stores["beijing"], "--peer", "xian", "--out", str(sealed))
    assert satqkd(*words)[0] == 0
    before = spent_bits(stores["xian"])
    words = ("decrypt", str(sealed), "--store", stores["xian"], "--peer", "beijing")
    for place in (str(plain), str(tmp_path / "nowhere" / "x"), str(tmp_path / ("x" * 250))):
        assert "no key was used" in satqkd.refusal(2, *words, "--out", place)
    assert spent_bits(stores["xian"]) == before
    back = tmp_path / "back"
    assert satqkd(*words, "--out", str(back))[0] == 0
    assert back.read_bytes() == b"text" and not list(tmp_path.glob("*.partial"))


def test_exported_key_is_the_same_at_both_ends_and_is_used_up(
    satqkd: Command, stores: Stores, tmp_path: Path
) -> None:
    record, ranges, ours, theirs = (tmp_path / name for name in ("record", "ranges.json", "ours", "theirs"))
    satqkd("keys", "relay", "--store", stores["sat"], *RELAY, "--out", str(record))
    for station in ("beijing", "xian"):
        satqkd("keys", "accept", str(record), "--store", stores[station])
    words = ("keys", "export", "--clear", "--store", stores["beijing"], "--peer", "xian", "--out", str(ours))
    code, said, _ = satqkd(*words, "--bits", "512", "--json")
    assert (code, json.loads(said)["bits"]) == (0, 512)
    ranges.write_text(said)
    words = ("keys", "export", "--store", stores["xian"], "--peer", "beijing", "--ranges", str(ranges))
    assert "no key was used" in satqkd.refusal(2, *words, "--out", str(theirs))
    words = (*words, "--clear")
    assert satqkd(*words, "--out", str(theirs))[0] == 0
    assert ours.read_bytes() == theirs.read_bytes() and len(set(ours.read_bytes())) > 20
    assert ours.stat().st_mode & 0o077 == 0
    assert "used before" in satqkd.refusal(3, *words, "--out", str(tmp_path / "again"))
    assert "either --bits or --ranges" in satqkd.refusal(
        2, *words, "--bits", "8", "--out", str(tmp_path / "x")
    )
    ranges.write_text("[]")
    assert "export --json" in satqkd.refusal(2, *words, "--out", str(tmp_path / "y"))


def test_provisioning_makes_stores_that_are_missing_when_told_whose(satqkd: Command, tmp_path: Path) -> None:
    one, two = str(tmp_path / "one.sqlite"), str(tmp_path / "two.sqlite")
    words = ("keys", "provision", "--store", one, "--other", two, "--bits", "2048")
    assert "--node NAME" in satqkd.refusal(2, *words)
    assert list(tmp_path.iterdir()) == []
    assert satqkd(*words, "--node", "jinan-1", "--other-node", "beijing")[0] == 0
    with KeyStore.open(one) as satellite, KeyStore.open(two) as station:
        assert (
            satellite.available_bits("beijing", "auth") == station.available_bits("jinan-1", "auth") == 2048
        )
    assert "jinan-1" in satqkd.refusal(2, *words, "--node", "micius", "--other-node", "beijing")


@pytest.mark.parametrize("words", [(), ("presets",), ("keys",)])
def test_a_group_without_a_command_prints_its_help(satqkd: Command, words: tuple[str, ...]) -> None:
    code, out, err = satqkd(*words)
    assert (code, out) == (2, "")
    assert "Usage:" in err
    assert "Commands:" in err


def test_a_date_beyond_the_calendar_is_one_line(satqkd: Command) -> None:
    assert "satqkd: " in satqkd.refusal(2, "passes", "micius", "jinan", "--from", "9999-12-31T00:00:00Z")


def test_a_gate_longer_than_the_pulse_period_has_passes_but_no_expected_key(satqkd: Command) -> None:
    code, out, err = satqkd("passes", "jinan-1", "xinglong", "jinan", "--days", "3", "--json")
    expected = {row["station"]: [] for row in json.loads(out)}
    for row in json.loads(out):
        expected[row["station"]].append(row["expected_secret_bits"])
    assert code == 0
    assert set(expected["xinglong"]) == {None} and max(expected["jinan"]) > 0
    assert err == (
        "satqkd: xinglong: its gate is longer than the pulse period of jinan-1: no key can be expected\n"
    )
    assert " - " in satqkd("passes", "jinan-1", "xinglong")[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("passes", "micius", "xinglong", "--from", "2017-12-19T16:52:13Z"), "365 days"),
        (("passes", "micius", "xinglong", "--from", "2016-12-25T00:00:00Z"), None),
        (("budget", "micius", "xinglong", "--at", "2016-06-19T16:52:13Z"), "182 days"),
        (("passes", "tiangong-2", "xinglong", "--from", "2030-01-01T00:00:00Z"), None),
    ],
)
def test_elements_far_from_their_epoch_are_told(
    satqkd: Command, words: tuple[str, ...], told: str | None
) -> None:
    code, _, err = satqkd(*words)
    assert code == 0
    assert (told in err and "elements" in err) if told else err == ""


@pytest.fixture
def sharing(satqkd: Command, stores: Stores, tmp_path: Path) -> Stores:
    """The stores, with pair key between the stations."""
    satqkd("keys", "relay", "--store", stores["sat"], *RELAY, "--out", str(tmp_path / "record"))
    for station in ("beijing", "xian"):
        satqkd("keys", "accept", str(tmp_path / "record"), "--store", stores[station])
    return stores


@pytest.mark.parametrize("kind", [(), ("--hybrid",)], ids=["otp", "hybrid"])
def test_streams_go_through_pipes(sharing: Stores, kind: tuple[str, ...]) -> None:
    there = ("encrypt", "-", "--store", sharing["beijing"], "--peer", "xian", *kind)
    back = ("decrypt", "-", "--store", sharing["xian"], "--peer", "beijing")
    sealed = piped(there, b"the Great Wall")
    assert sealed.stdout.startswith(b"SQOTP2") and b"Wall" not in sealed.stdout
    assert (b"not a one-time pad" in sealed.stderr) == bool(kind)
    assert piped(back, sealed.stdout).stdout == b"the Great Wall"
    assert (again := piped(back, sealed.stdout)).returncode == 3 and again.stdout == b""


def piped(words: tuple[str, ...], data: bytes) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "satqkd", *words], input=data, capture_output=True, check=False
    )


def test_what_does_not_go_with_stdout_is_refused(satqkd: Command, sharing: Stores, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"text")
    words = ("encrypt", str(plain), "--store", sharing["beijing"], "--peer", "xian", "--out", "-")
    for option in ("--json", "--resume"):
        assert f"{option}:" in satqkd.refusal(2, *words, option)
    assert spent_bits(sharing["beijing"]) == 8000


def test_a_stopped_encryption_is_resumed_by_name(satqkd: Command, sharing: Stores, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"text")
    words = ("encrypt", str(plain), "--store", sharing["beijing"], "--peer", "xian")
    (tmp_path / "plain.otp.partial").touch()
    assert "--resume" in satqkd.refusal(2, *words)
    assert "begin anew" in satqkd.refusal(2, *words, "--resume")
    (tmp_path / "plain.otp.partial").unlink()
    code, out, _ = satqkd(*words, "--resume", "--json")
    assert code == 0 and json.loads(out)["kind"] == "otp"
    assert not list(tmp_path.glob("*.partial*"))
