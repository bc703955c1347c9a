"""Names into settings: presets, files that override them, and errors that say what was meant."""

from pathlib import Path

import numpy as np
import pytest

from satqkd.config import Orbit, Satellite, Station
from satqkd.errors import ConfigError, DataFormatError, NoPassError
from satqkd.mission import contact_of, evidence_rows, presets, read_protocol, write_pass_folder
from satqkd.mission.run_pass import run_pass
from satqkd.sky import orbit_of, read_elements
from toy_pass import AT_UTC, PROTOCOL, fly_toy, toy_satellite, toy_station


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        (Satellite, "micus", "unknown satellite 'micus'; did you mean micius?"),
        (Satellite, "jinan1", "did you mean jinan-1?"),
        (Station, "xinlong", "unknown station 'xinlong'; did you mean xinglong?"),
        (Station, "qqq", "known: beijing, delingha, graz, hefei, jinan"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(kind: type, name: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        presets.load_preset(name, kind)
    assert words in str(caught.value)
    assert caught.value.exit_code == 2


def test_names_are_those_of_the_files() -> None:
    assert presets.names(Satellite) == ["cubesat-6u", "jinan-1", "micius", "tiangong-2"]
    assert {"beijing", "stellenbosch", "xinglong", "zvenigorod"} <= set(presets.names(Station))


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
    assert (mine.name, mine.receiver.optical_error) == ("mine", 0.02)
    assert mine.receiver.detector.dark_rate_hz == (100, 100, 100, 100)
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


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's own presets, in use."""
    for kind in ("satellites", "stations"):
        (tmp_path / "own" / kind).mkdir(parents=True)
    monkeypatch.setenv(presets.FOLDER_VARIABLE, str(tmp_path / "own"))
    return tmp_path / "own"


def test_a_preset_of_the_users_folder_is_found_by_name(folder: Path) -> None:
    path = folder / "stations" / "roof.toml"
    path.write_text('preset = "beijing"\nname = "roof"\naltitude_m = 90\n')
    assert "roof" in presets.names(Station) and "roof" not in presets.names(Satellite)
    assert (presets.station("roof").altitude_m, presets.origin("roof", Station)) == (90, str(path))
    assert presets.origin("beijing", Station) == presets.SHIPPED
    with pytest.raises(ConfigError, match="did you mean roof"):
        presets.station("rooof")


def test_a_preset_of_the_users_folder_hides_the_shipped_one_and_may_build_on_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "satellites" / "micius.toml").write_text('preset = "micius"\n[source]\npulse_rate_mhz = 200\n')
    assert presets.names(Satellite).count("micius") == 1
    assert presets.satellite("micius").source.pulse_rate_hz == 2e8
    monkeypatch.delenv(presets.FOLDER_VARIABLE)
    assert presets.satellite("micius").source.pulse_rate_hz == 1e8
    assert presets.origin("micius", Satellite) == presets.SHIPPED


def test_files_build_on_files_and_evidence_stays_with_its_number(folder: Path, tmp_path: Path) -> None:
    """Two steps above the shipped preset, units mixed, tables in a list, alternatives replaced."""
    (folder / "stations" / "xinglong.toml").write_text(
        'preset = "xinglong"\nfield_of_view_urad = 50\nvisibility_km = 23\n'
        "[[clouds]]\nfrom_s = 1\nto_s = 2\nloss_db = 3\n"
    )
    loaded = presets.load_preset(write(tmp_path, 'preset = "xinglong"\nfilter_width_m = 2e-9\n'), Station)
    top, marks = loaded.value, {each.path: each.mark for each in loaded.evidence}
    assert (top.field_of_view_rad, top.filter_width_m) == (pytest.approx(5e-5), 2e-9)
    assert (top.visibility_m, top.zenith_optical_depth) == (23e3, None)
    assert top.clouds[0].loss_db == 3
    assert top.receiver == presets.station("xinglong").receiver
    assert marks["receiver.gate_s"] == "published"
    assert not {"field_of_view_rad", "filter_width_m", "zenith_optical_depth"} & set(marks)


def test_files_that_build_on_each_other_are_refused(folder: Path) -> None:
    (folder / "stations" / "one.toml").write_text('preset = "other"\n')
    (folder / "stations" / "other.toml").write_text('preset = "one"\n')
    with pytest.raises(ConfigError, match=r"other\.toml: preset: expected one that does not build"):
        presets.station("one")


def test_a_users_folder_that_is_not_there_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(presets.FOLDER_VARIABLE, str(folder / "none"))
    with pytest.raises(ConfigError, match="SATQKD_PRESETS: expected a folder"):
        presets.names(Station)
    monkeypatch.setenv(presets.FOLDER_VARIABLE, "")
    assert "beijing" in presets.names(Station)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('preset = "micius"\nname = "x"\n', Satellite),
        ('preset = "xinglong"\nname = "x"\n', Station),
        ("[orbit]\n", Satellite),
        ("latitude_deg = 1\n", Station),
    ],
    ids=range(4),
)
def test_the_kind_of_a_file(tmp_path: Path, text: str, kind: type) -> None:
    assert presets.kind_of(write(tmp_path, text)) is kind


def test_the_kind_of_a_name() -> None:
    assert (presets.kind_of("micius"), presets.kind_of("graz")) == (Satellite, Station)
    with pytest.raises(ConfigError, match="unknown preset 'gratz'; did you mean graz"):
        presets.kind_of("gratz")


MICIUS_LINES = (
    "1 41731U 16051A   16354.56913372  .00000384  00000-0  18801-4 0  9991",
    "2 41731  97.3698 268.1064 0013349 175.8929 309.0190 15.23916091 19164",
)
ISS_LINES = (
    "1 25544U 98067A   19343.69339541  .00001764  00000-0  38792-4 0  9991",
    "2 25544  51.6439 211.2001 0007417  17.6667  85.6398 15.50103472202482",
)
MICIUS_OMM = (
    '[{"OBJECT_NAME": "QSS (MOZI)", "NORAD_CAT_ID": 41731, "EPOCH": "%s", "MEAN_MOTION": 15.23916091, '
    '"ECCENTRICITY": 0.0013349, "INCLINATION": 97.3698, "RA_OF_ASC_NODE": 268.1064, '
    '"ARG_OF_PERICENTER": 175.8929, "MEAN_ANOMALY": %s, "BSTAR": 0.000018801}]'
)
FROM_JSON = '[orbit]\nelements_file = "x.json"\n'


def write_orbit(
    tmp_path: Path, text: str, elements: str, *, base: str = "jinan-1", name: str = "x.json"
) -> str:
    (tmp_path / name).write_text(elements, encoding="utf-8")
    return write(tmp_path, f'preset = "{base}"\nreference_epoch_utc = "2016-12-20T00:00:00Z"\n{text}')


def test_an_orbit_of_a_file_becomes_plain_elements(tmp_path: Path) -> None:
    """As OMM, over a preset with mean elements of another form: the same orbit as the TLE's."""
    epoch = read_elements("\n".join(MICIUS_LINES))[0].epoch
    omm = MICIUS_OMM % (epoch.strftime("%Y-%m-%dT%H:%M:%S.%f"), 309.019)
    loaded = presets.load_preset(write_orbit(tmp_path, FROM_JSON, omm), Satellite)
    orbit = loaded.value.orbit
    assert (orbit.elements_file, orbit.altitude_m, orbit.tle_line_1) == (None, None, None)
    (tmp_path / "x.json").unlink()
    wanted = orbit_of(Orbit(tle_line_1=MICIUS_LINES[0], tle_line_2=MICIUS_LINES[1]))
    ours, theirs = (model.teme(epoch, [0.0, 43_200.0])[0] for model in (orbit_of(orbit), wanted))
    np.testing.assert_allclose(ours, theirs, atol=1.0)
    source = {each.path: each for each in loaded.evidence}["orbit.mean_motion_rad_s"].source
    assert source == "element set of QSS (MOZI), satellite 41731, epoch 2016-12-19T13:39:33.153Z, in x.json"


def test_an_orbit_of_a_file_is_chosen_by_its_number(tmp_path: Path) -> None:
    lines = "\n".join((*ISS_LINES, *MICIUS_LINES))
    text = '[orbit]\nelements_file = "sub/x.tle"\ncatalogue_number = %d\n'
    (tmp_path / "sub").mkdir()
    for number, chosen in ((25544, ISS_LINES), (41731, MICIUS_LINES)):
        orbit = presets.satellite(write_orbit(tmp_path, text % number, lines, name="sub/x.tle")).orbit
        assert (orbit.tle_line_1, orbit.tle_line_2) == chosen


def test_of_several_element_sets_the_nearest_to_the_reference_epoch_is_taken(tmp_path: Path) -> None:
    sets = [MICIUS_OMM % (f"2016-12-{day}T00:00:00", day) for day in (10, 19, 25)]
    omm = "[" + ",".join(each.strip("[]") for each in sets) + "]"
    orbit = presets.satellite(write_orbit(tmp_path, FROM_JSON, omm)).orbit
    assert np.degrees(orbit.mean_anomaly_rad or 0.0) == pytest.approx(19)


def test_evidence_of_an_elements_file_is_that_of_its_numbers(tmp_path: Path) -> None:
    omm = MICIUS_OMM % ("2016-12-19T00:00:00", 1)
    text = '[orbit]\nelements_file = { value = "x.json", evidence = "measured", source = "our own radar" }\n'
    evidence = presets.load_preset(write_orbit(tmp_path, text, omm), Satellite).evidence
    own = {each.path: (each.mark, each.source) for each in evidence}
    assert own["orbit.eccentricity"] == ("measured", "our own radar")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '[orbit]\nelements_file = "y.json"\n',
            r"mine\.toml: orbit\.elements_file: .*y\.json cannot be read",
        ),
        (f"{FROM_JSON}catalogue_number = 5\n", r"mine\.toml.*x\.json.*got 5; it holds 41731"),
        (f'{FROM_JSON}catalogue_number = "41731"\n', "expected a whole number, got '41731'"),
        (f"{FROM_JSON}altitude_km = 500\n", "got altitude_km besides"),
        ("[orbit]\ncatalogue_number = 41731\n", "elements_file, which is missing"),
    ],
    ids=range(5),
)
def test_an_orbit_of_a_file_with_a_fault_says_where(tmp_path: Path, text: str, words: str) -> None:
    omm = MICIUS_OMM % ("2016-12-19T00:00:00", 1)
    with pytest.raises(ConfigError, match=words):
        presets.satellite(write_orbit(tmp_path, text, omm))


def test_an_elements_file_of_another_kind_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match=r"x\.json"):
        presets.satellite(write_orbit(tmp_path, FROM_JSON, "{}"))


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


def test_a_file_may_build_on_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('preset = "stellenbosch"\nname = "roof"\nlatitude_deg = 48\n')
    (tmp_path / "bigger.toml").write_text('preset = "./site.toml"\ntelescope_diameter_m = 0.5\n')
    roof = presets.station(str(tmp_path / "bigger.toml"))
    assert (roof.name, roof.telescope_diameter_m) == ("roof", 0.5)
    assert presets.kind_of(str(tmp_path / "bigger.toml")) is Station


def test_a_loop_of_files_is_refused_by_all_who_follow_it(tmp_path: Path) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{one}.toml").write_text(f'preset = "{other}.toml"\n')
    for follow in (presets.station, presets.kind_of):
        with pytest.raises(ConfigError, match="a loop"):
            follow(str(tmp_path / "a.toml"))
