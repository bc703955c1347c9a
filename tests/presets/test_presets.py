"""Presets load, every number says where it comes from, and Micius and Jinan-1 meet what is published."""

import json
import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from satqkd.cli.presets import app
from satqkd.config import Satellite, Settings, Station, load, read_toml
from satqkd.errors import ConfigError
from satqkd.mission import Contact, contact_of, expected_key, make_contact, site_of
from satqkd.mission.fading import Fading
from satqkd.optics import airmass, expected_rates, link_losses
from satqkd.sky import Pass, find_passes, is_night, orbit_of, parse_utc

PRESETS = Path(str(files("satqkd"))) / "presets"
KINDS: dict[str, type[Settings]] = {"satellites": Satellite, "stations": Station}
FILES = sorted(PRESETS.glob("*/*.toml"))
STATIONS = sorted(path.stem for path in PRESETS.glob("stations/*.toml"))
MARKS = {"published", "inferred", "assumed", "calibrated", "measured"}
LOSS_CSV_ENV = "SATQKD_MICIUS_LOSS_CSV"
MICIUS_UTC = "2016-12-19T16:52:13Z"
PORTABLE = ("jinan", "hefei", "nanshan", "wuhan", "beijing", "shanghai", "stellenbosch")
LARGE = ("xinglong", "delingha", "nanshan-1m", "graz", "zvenigorod")
SATELLITES = ("micius", "jinan-1", "tiangong-2", "cubesat-6u")
IMPOSSIBLE = {("jinan-1", "xinglong"), ("tiangong-2", "zvenigorod")}
PAIRS = [(one, other) for one in SATELLITES for other in STATIONS if (one, other) not in IMPOSSIBLE]


def _satellite(name: str) -> Satellite:
    return load(read_toml(PRESETS / "satellites" / f"{name}.toml"), Satellite, name).value


def _station(name: str) -> Station:
    return load(read_toml(PRESETS / "stations" / f"{name}.toml"), Station, name).value


def _bare_numbers(table: dict[str, Any], path: str = "") -> Iterator[str]:
    """Paths of numbers, or arrays of them, that stand without evidence."""
    for key, value in table.items():
        if isinstance(value, dict):
            if "value" not in value:
                yield from _bare_numbers(value, f"{path}{key}.")
            elif len(str(value.get("source", ""))) < 5 or value.get("evidence") not in MARKS:
                yield path + key
        elif not isinstance(value, str):
            yield path + key


def test_the_walk_finds_a_bare_number() -> None:
    given = {"value": 1, "evidence": "assumed", "source": "some book"}
    table = {
        "a": given,
        "b": {"c": 2.0, "d": given, "e": "text"},
        "f": [1, 2],
        "g": {**given, "evidence": "so"},
    }
    assert list(_bare_numbers(table)) == ["b.c", "f", "g"]


def test_the_promised_presets_are_there() -> None:
    names = {f"{path.parent.name}/{path.stem}" for path in FILES}
    assert {f"satellites/{name}" for name in SATELLITES} <= names
    assert {f"stations/{name}" for name in (*PORTABLE, *LARGE)} <= names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_preset_loads_under_its_name_with_evidence(path: Path) -> None:
    table = read_toml(path)
    assert list(_bare_numbers(table)) == []
    loaded = load(table, KINDS[path.parent.name], str(path))
    assert loaded.value.name == path.stem  # type: ignore[attr-defined]
    assert {each.mark for each in loaded.evidence} <= MARKS


def test_the_portable_stations_differ_in_site_sky_and_clock_alone() -> None:
    """One calibrated loss and one design for all of them."""
    site = ("name", "description", "latitude_rad", "longitude_rad", "altitude_m", "zenith_optical_depth")
    own = (*site, "sky_radiance_w_m2_sr_um", "clock")
    first, *others = [_station(name) for name in PORTABLE]
    for other in others:
        assert msgspec.structs.replace(other, **{name: getattr(first, name) for name in own}) == first


def _of_parallax(longitude_rad: float, cosine: float, sine: float) -> tuple[float, float, float]:
    """Rectangular place of an observatory from the constants of the Minor Planet Center's list."""
    radius_m = 6_378_137.0
    across_m = radius_m * cosine
    return across_m * np.cos(longitude_rad), across_m * np.sin(longitude_rad), radius_m * sine


@pytest.mark.parametrize(
    ("name", "rectangular_m"),
    [
        ("graz", (4_194_426.1, 1_162_694.5, 4_647_246.9)),  # ILRS site log of station 7839
        ("zvenigorod", _of_parallax(np.radians(36.75953), 0.564841, 0.822468)),  # code 102
    ],
)
def test_places_are_those_of_their_sources(name: str, rectangular_m: tuple[float, float, float]) -> None:
    """Angles of four decimals: 11 m."""
    np.testing.assert_allclose(site_of(_station(name)).position_m, rectangular_m, atol=11.0)


def _night_passes(satellite: Satellite, station: Station, days: float) -> list[Pass]:
    found = find_passes(
        orbit_of(satellite.orbit),
        site_of(station),
        parse_utc(satellite.reference_epoch_utc),
        duration_s=days * 86_400.0,
        minimum_elevation_rad=station.minimum_elevation_rad,
    )
    return [each for each in found if is_night(each, maximum_sun_elevation_rad=np.radians(-12))]


def _good_pass(satellite: Satellite, station: Station) -> Contact:
    """The highest of twenty days that culminates by night and in the Earth's shadow."""
    dark = [each for each in _night_passes(satellite, station, 20) if not each.sunlit]
    return make_contact(satellite, station, max(dark, key=lambda each: each.max_elevation_rad), step_s=1.0)


@pytest.mark.parametrize(("satellite", "station"), PAIRS)
def test_every_station_has_a_sane_budget_with_every_satellite(satellite: str, station: str) -> None:
    contact = _good_pass(_satellite(satellite), _station(station))
    rows, nearest = contact.quantum_rows, int(np.argmin(contact.look.range_m))
    losses, rates = contact.losses, contact.rates
    for name in losses.__struct_fields__:
        assert np.isfinite(getattr(losses, name)[rows]).all(), name
    assert ((losses.transmittance[rows] > 0) & (losses.transmittance[rows] < 1)).all()
    assert 20 < losses.total_db[nearest] < 60
    assert 0.003 < rates.qber[nearest] < 0.1
    assert losses.total_db[nearest] == pytest.approx(losses.total_db[rows].min(), abs=0.5)
    assert (losses.crosstalk_hz[rows] > 0).all() and losses.crosstalk_hz[rows].max() < 50


def test_a_gate_longer_than_the_period_is_refused() -> None:
    """The published 2 ns at Xinglong against 625 MHz."""
    with pytest.raises(ConfigError, match="gate 2 ns must not exceed"):
        _good_pass(_satellite("jinan-1"), _station("xinglong"))


def test_an_orbit_of_42_degrees_never_serves_zvenigorod() -> None:
    assert _night_passes(_satellite("tiangong-2"), _station("zvenigorod"), 20) == []


def test_micius_over_xinglong_is_the_fit_to_the_published_loss() -> None:
    """31.1488 + 20 log10(R / 1000 km) + 1.54775 X, optics of the ground included, detector not."""
    contact = _micius_pass()
    rows = contact.quantum_rows
    losses, course = contact.losses, contact.look
    fit_db = 31.1488 + 20 * np.log10(course.range_m / 1e6) + 1.54775 * airmass(course.elevation_rad)
    np.testing.assert_allclose((losses.total_db - losses.detector_db)[rows], fit_db[rows], atol=0.005)


def _micius_pass() -> Contact:
    return contact_of(_satellite("micius"), _station("xinglong"), MICIUS_UTC)


def test_micius_noise_is_within_the_bound_of_the_published_ratio() -> None:
    contact = _micius_pass()
    receiver, rows = contact.station.receiver, contact.quantum_rows
    noise_hz = sum(receiver.detector.dark_rate_hz) + (
        contact.losses.background_hz + contact.losses.crosstalk_hz
    )
    assert (noise_hz[rows] * receiver.gate_s).max() < 3e-7


def test_micius_ratio_and_qber_of_the_published_pass() -> None:
    """Published: 1 671 072 sifted of 3 551 136 detections in 273 s, QBER 1.1 %, all noise terms in."""
    contact = _micius_pass()
    rows, rates = contact.quantum_rows, contact.rates
    ratio = rates.sifted_hz[rows].sum() / rates.detection_hz[rows].sum()
    assert contact.quantum_end_s == pytest.approx(273, abs=3)
    assert contact.look.range_m[rows].min() == pytest.approx(645e3, abs=2e3)
    assert ratio == pytest.approx(1_671_072 / 3_551_136, abs=5e-4)
    assert contact.expected_qber == pytest.approx(0.011, abs=0.0002)


def test_micius_detections_are_those_of_the_published_pass() -> None:
    contact = _micius_pass()
    detections = contact.rates.detection_hz[contact.quantum_rows].sum() * contact.step_s
    assert detections == pytest.approx(3_551_136, rel=0.06)


def _digitised_loss() -> tuple[np.ndarray, np.ndarray]:
    """Range in m and loss in dB, detector not included."""
    range_km, loss_db = np.loadtxt(os.environ[LOSS_CSV_ENV], delimiter=",", comments="#", skiprows=2).T
    return range_km * 1e3, loss_db


needs_loss_curve = pytest.mark.skipif(
    LOSS_CSV_ENV not in os.environ, reason=f"{LOSS_CSV_ENV} names no digitised loss curve"
)


@needs_loss_curve
def test_micius_loss_follows_the_digitised_curve() -> None:
    contact = _micius_pass()
    rows, (curve_m, curve_db) = contact.quantum_rows, _digitised_loss()
    losses = contact.losses
    residual_db = (losses.total_db - losses.detector_db)[rows]
    residual_db = residual_db - np.interp(contact.look.range_m[rows], curve_m, curve_db)
    assert np.sqrt(np.mean(residual_db**2)) == pytest.approx(0.786, abs=0.005)
    assert abs(np.mean(residual_db)) < 0.005


@needs_loss_curve
def test_micius_counts_on_the_digitised_curve() -> None:
    """Source, detector and sifting arithmetic on the published loss itself, not on its fit."""
    satellite, station, contact = _satellite("micius"), _station("xinglong"), _micius_pass()
    range_m = contact.look.range_m[contact.quantum_rows]
    losses = msgspec.structs.replace(
        link_losses(
            range_m,
            contact.look.elevation_rad[contact.quantum_rows],
            satellite=satellite,
            station=station,
        ),
        transmittance=10 ** (-np.interp(range_m, *_digitised_loss()) / 10),
    )
    rates = expected_rates(losses, satellite=satellite, station=station)
    assert rates.detection_hz.sum() * contact.step_s == pytest.approx(3_551_136, rel=0.06)
    assert rates.sifted_hz.sum() * contact.step_s == pytest.approx(1_671_072, rel=0.06)


def test_the_best_pass_of_jinan_1_is_calibrated_to_the_published_key() -> None:
    """1.07 Mbit over Stellenbosch, by the one loss that builders/calibrate_jinan.py finds."""
    contact = contact_of(_satellite("jinan-1"), _station("stellenbosch"))
    assert expected_key(contact).secret_bits == pytest.approx(1.07e6, rel=0.003)
    assert 0.008 < contact.expected_qber < 0.013
    assert not contact.course.around.sunlit[contact.quantum_rows].any()


@pytest.mark.parametrize(("satellite", "station"), [("jinan-1", "beijing"), ("cubesat-6u", "stellenbosch")])
def test_the_laser_link_holds_while_photons_fly_and_fades_low_down(satellite: str, station: str) -> None:
    contact = contact_of(_satellite(satellite), _station(station))
    fading, t_s = Fading(contact, 1), contact.look.t_s
    for loss in (fading.downlink(), fading.uplink()):
        grid_s = loss.start_s + loss.step_s * np.arange(loss.probability.size)
        elevation_deg = np.degrees(np.interp(grid_s, t_s, contact.look.elevation_rad))
        working = loss.probability[elevation_deg > 15]
        low = loss.probability[elevation_deg < 8]
        assert working.mean() < 0.005
        assert 0.02 < low.mean() < 0.6
        assert (low > 0.9).any() and (low < 0.01).any()


def test_without_a_laser_the_loss_of_frames_is_one_number() -> None:
    """Micius: its radio link stands in."""
    contact = _micius_pass()
    assert Fading(contact, 1).downlink().probability.tolist() == [0.01]


def test_the_station_orbit_is_that_of_tiangong_2() -> None:
    orbit = orbit_of(_satellite("tiangong-2").orbit)
    assert np.degrees(orbit.inclination_rad) == pytest.approx(42)
    assert orbit.period_s == pytest.approx(92.3 * 60, abs=20)
    over_delingha = _night_passes(_satellite("tiangong-2"), _station("delingha"), 10)
    assert min(each.min_range_m for each in over_delingha) == pytest.approx(388e3, abs=15e3)


def test_the_reference_epoch_of_jinan_1_begins_a_night_of_two_good_passes() -> None:
    satellite = _satellite("jinan-1")
    first = {name: _night_passes(satellite, _station(name), 1)[0] for name in ("beijing", "stellenbosch")}
    assert first["beijing"].end < first["stellenbosch"].start
    assert np.degrees(first["beijing"].max_elevation_rad) > 50
    assert np.degrees(first["stellenbosch"].max_elevation_rad) >= 80


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_show_prints_every_number_with_mark_and_source(path: Path) -> None:
    """The table's text is compared with what the file says, number for number."""
    shown = CliRunner().invoke(app, ["show", path.stem])
    assert shown.exit_code == 0
    lines = {line.split()[0]: line for line in shown.stdout.splitlines() if line.strip()}
    for each in load(read_toml(path), KINDS[path.parent.name], path.stem).evidence:
        assert f" {each.mark} " in lines[each.path] and each.source in lines[each.path]


def test_show_reads_a_number_of_four_equal_detectors_once() -> None:
    lines = CliRunner().invoke(app, ["show", "xinglong"]).stdout.splitlines()
    assert any("receiver.detector.dark_rate_hz" in line and " 25 (each of 4) " in line for line in lines)


def test_show_of_a_file_and_its_json(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'preset = "xinglong"\nname = "mine"\n[[clouds]]\nfrom_s = 1\nto_s = 2\nloss_db = 3\n'
        "[receiver.detector]\ndark_rate_hz = [10, 20, 30, 40]\n"
    )
    shown = CliRunner().invoke(app, ["show", str(path)])
    assert "10, 20, 30, 40" in shown.stdout and "clouds[0].loss_db" in shown.stdout
    document = json.loads(CliRunner().invoke(app, ["show", str(path), "--json"]).stdout)
    assert set(document) == {"id", "origin", "settings", "evidence"}
    assert document["origin"] == str(path)
    assert document["settings"]["receiver"]["detector"]["dark_rate_hz"] == [10, 20, 30, 40]
    assert "receiver.detector.dark_rate_hz" not in {each["path"] for each in document["evidence"]}


def test_list_tells_where_presets_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stations").mkdir()
    (tmp_path / "stations" / "roof.toml").write_text('preset = "beijing"\nname = "roof"\n')
    monkeypatch.setenv("SATQKD_PRESETS", str(tmp_path))
    rows = json.loads(CliRunner().invoke(app, ["list", "--json"]).stdout)
    origins = {(row["kind"], row["name"]): row["origin"] for row in rows}
    assert set(rows[0]) == {"kind", "name", "description", "origin"}
    assert origins["station", "roof"] == str(tmp_path / "stations" / "roof.toml")
    assert origins["station", "beijing"] == origins["satellite", "micius"] == "shipped"
