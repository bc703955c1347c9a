"""SGP4 through our wrapper, TLEs that are damaged, orbits made from mean elements."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sgp4.api import WGS72, Satrec
from sky_cases import EPOCH, MICIUS_1, MICIUS_2, made_up, micius

from satqkd.config import Orbit, Settings, load
from satqkd.errors import ConfigError, DataFormatError
from satqkd.sky import Constellation, OrbitModel, gmst82_rad, julian_date, orbit_of, parse_utc
from satqkd.sky.tle import checksum

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "sgp4" / "sgp4_ver.json").read_text())
WRONG_CHECKSUMS = (33333, 33334, 33335)
"""Made wrong on purpose by the authors, to reach errors 3 and 4."""


def of_vector(satellite: dict[str, Any]) -> OrbitModel:
    if satellite["number"] in WRONG_CHECKSUMS:
        return OrbitModel(Satrec.twoline2rv(satellite["line_1"], satellite["line_2"], WGS72))
    return orbit_of(Orbit(tle_line_1=satellite["line_1"], tle_line_2=satellite["line_2"]))


@pytest.mark.parametrize("satellite", VECTORS["satellites"], ids=lambda each: str(each["number"]))
def test_published_sgp4_vectors(satellite: dict[str, Any]) -> None:
    """Vallado et al., AIAA 2006-6753: to 2 cm and 0.02 mm/s, the last digits of the published list."""
    orbit, rows = of_vector(satellite), np.array(satellite["rows"]).reshape(-1, 7)
    if rows.size:
        position, velocity = orbit.teme(orbit.epoch, rows[:, 0] * 60)
        assert np.abs(position / 1e3 - rows[:, 1:4]).max() < 2e-5
        assert np.abs(velocity / 1e3 - rows[:, 4:7]).max() < 2e-8
    if satellite["first_error"]:
        minutes, code = satellite["first_error"]
        with pytest.raises(DataFormatError, match=rf"got its error {code} \("):
            orbit.teme(orbit.epoch, minutes * 60)


def test_published_vectors_reach_five_errors_and_all_kinds_of_orbit() -> None:
    codes = [each["first_error"][1] for each in VECTORS["satellites"] if each["first_error"]]
    assert codes == [1, 1, 6, 6, 4, 3, 6]  # in the order of the list, as python-sgp4 and the C++ have them
    assert sum(len(each["rows"]) for each in VECTORS["satellites"]) > 180


def test_the_constellation_meets_the_vectors_and_keeps_the_errors_apart() -> None:
    orbits = [of_vector(each) for each in VECTORS["satellites"]]
    for number, satellite in enumerate(VECTORS["satellites"]):
        minutes = [row[0] for row in satellite["rows"]] + (satellite["first_error"] or [])[:1]
        own = orbits[number]
        found = Constellation([own, micius()]).positions(own.epoch, np.array(minutes) * 60)
        codes = found.error[0].tolist()
        expected = [0] * len(satellite["rows"]) + (satellite["first_error"] or [])[1:]
        assert codes == expected
        assert np.isnan(found.position_m[0]).all(axis=1).tolist() == [code != 0 for code in expected]
        theta = gmst82_rad(*julian_date(own.epoch, np.array(minutes) * 60))
        for row, position, angle in zip(satellite["rows"], found.position_m[0], theta, strict=False):
            x, y = (
                np.cos(angle) * row[1] + np.sin(angle) * row[2],
                np.cos(angle) * row[2] - np.sin(angle) * row[1],
            )
            assert position / 1e3 == pytest.approx([x, y, row[3]], abs=4e-5)


def test_array_call_is_the_scalar_call() -> None:
    t_s = np.linspace(-86_400, 86_400, 50)
    position, velocity = micius().teme(EPOCH, t_s)
    satrec = Satrec.twoline2rv(MICIUS_1, MICIUS_2, WGS72)
    for i, (jd, part) in enumerate(zip(*julian_date(EPOCH, t_s), strict=True)):
        _, r_km, v_km_s = satrec.sgp4(jd, part)
        assert position[i] == pytest.approx(np.array(r_km) * 1e3, abs=1e-3)
        assert velocity[i] == pytest.approx(np.array(v_km_s) * 1e3, abs=1e-6)


def test_epoch_of_the_lines() -> None:
    assert abs(micius().epoch - parse_utc("2016-12-19T13:39:33.153408Z")) < timedelta(microseconds=2)
    assert micius().catalogue_number == 41731
    assert micius().period_s == pytest.approx(86_400 / 15.23916091, rel=1e-3)


def mended(line: str) -> str:
    return line[:68] + str(checksum(line))


@pytest.mark.parametrize(
    ("line_1", "line_2", "message"),
    [
        (MICIUS_1[:-1], MICIUS_2, "line 1: expected 69 ASCII columns, got 68"),
        (MICIUS_1, MICIUS_2.replace("  ", " "), "line 2: expected 69 ASCII columns, got 68"),
        (MICIUS_1.replace("U", "Ü"), MICIUS_2, "line 1: expected 69 ASCII"),
        (MICIUS_2, MICIUS_1, "line 1, column 1 .line number.: .* got '2'"),
        (MICIUS_1, MICIUS_2.replace("268.1064", "268.10x4"), r"line 2, columns 18-25 .right ascension"),
        (MICIUS_1.replace("354.56913372", "354,56913372"), MICIUS_2, r"line 1, columns 21-32 .epoch day"),
        (MICIUS_1, MICIUS_2.replace("268.1064", "268.1065"), r"line 2, column 69 .checksum.: expected 5"),
        (MICIUS_1, MICIUS_2[:7] + "7" + MICIUS_2[8:], r"line 2, column 8: expected a blank, got '7'"),
        (
            MICIUS_1,
            mended(MICIUS_2.replace("41731", "41732")),
            "columns 3-7 .* expected '41731' as in line 1",
        ),
        (MICIUS_1, mended(MICIUS_2.replace(" 97.3698", "197.3698")), "inclination.: expected 0 to 180"),
        (MICIUS_1, mended(MICIUS_2.replace("15.23916091", " 0.00000000")), "mean motion.: expected 0.01"),
        (mended(MICIUS_1.replace("16354", "16999")), MICIUS_2, "epoch day.: expected 1 to 367"),
    ],
)
def test_a_damaged_tle_is_named_by_line_and_column(line_1: str, line_2: str, message: str) -> None:
    with pytest.raises(DataFormatError, match=message):
        orbit_of(Orbit(tle_line_1=line_1, tle_line_2=line_2))


def test_every_changed_digit_is_noticed() -> None:
    for column in range(69):
        if MICIUS_2[column].isdigit():
            digit = str((int(MICIUS_2[column]) + 1) % 10)
            with pytest.raises(DataFormatError, match="line 2"):
                orbit_of(
                    Orbit(tle_line_1=MICIUS_1, tle_line_2=MICIUS_2[:column] + digit + MICIUS_2[column + 1 :])
                )


def test_decay_is_an_error_that_names_the_moment() -> None:
    decaying = mended(MICIUS_1.replace("18801-4", "99999-1"))
    orbit = orbit_of(Orbit(tle_line_1=decaying, tle_line_2=MICIUS_2))
    with pytest.raises(DataFormatError, match=r"41731.*to 20\d\d-.*Z, got its error \d .*use some nearer"):
        orbit.teme(orbit.epoch, np.arange(0, 400) * 86_400.0)


def node_rad(position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Right ascension of the ascending node from the angular momentum."""
    h = np.cross(position, velocity)
    return np.arctan2(h[:, 0], -h[:, 1])


def mean_sun_rad(days_since_j2000: np.ndarray) -> np.ndarray:
    """Mean longitude of the Sun (Meeus eq. 25.2, linear part)."""
    return np.radians(280.46646 + 36000.76983 / 36525 * days_since_j2000)


def test_sun_synchronous_inclination_at_500_km() -> None:
    assert np.degrees(made_up().inclination_rad) == pytest.approx(97.40, abs=0.02)


def test_the_node_turns_once_a_year() -> None:
    t_s = np.arange(0, 365.0) * 86_400
    node = np.unwrap(node_rad(*made_up().teme(EPOCH, t_s)))
    per_year = np.polyfit(t_s / (365.24219 * 86_400), np.degrees(node), 1)[0]
    assert per_year == pytest.approx(360, abs=2)


@pytest.mark.parametrize("local_time_h", [0.0, 6.0, 10.5, 22.5])
@pytest.mark.parametrize("latitude_argument_deg", [0.0, 200.0])
@pytest.mark.parametrize("clock", ["00:00:00", "17:42:10"])
def test_local_mean_time_at_the_ascending_node(
    local_time_h: float, latitude_argument_deg: float, clock: str
) -> None:
    text = f"2024-10-01T{clock}Z"
    epoch = parse_utc(text)
    orbit = made_up(local_time_h=local_time_h, latitude_argument_deg=latitude_argument_deg, epoch_utc=text)
    t_s = np.arange(0, 2 * orbit.period_s, 1.0)
    position, _ = orbit.teme(epoch, t_s)
    upward = np.flatnonzero((position[:-1, 2] < 0) & (position[1:, 2] >= 0))
    whole, part = julian_date(epoch, t_s[upward])
    ascension = np.arctan2(position[upward, 1], position[upward, 0])
    behind_the_sun = ascension - mean_sun_rad(whole - 2_451_545.0 + part)
    hours = (12 + np.degrees(behind_the_sun) / 15) % 24
    off_minutes = (hours - local_time_h + 12) % 24 * 60 - 720
    assert upward.size == 2
    assert np.abs(off_minutes).max() < 1.0


def test_argument_of_latitude_and_altitude_at_the_epoch() -> None:
    orbit = made_up(latitude_argument_deg=90.0, inclination_deg=60.0)
    position, _ = orbit.teme(EPOCH, 0.0)
    assert np.degrees(np.arcsin(position[0, 2] / np.linalg.norm(position[0]))) == pytest.approx(60, abs=0.05)
    radius = np.linalg.norm(orbit.teme(EPOCH, np.linspace(0, orbit.period_s, 500))[0], axis=1)
    assert radius.mean() == pytest.approx(6_878_137, abs=2000)
    assert np.abs(radius - 6_878_137).max() < 12_000


@pytest.mark.parametrize("inclination_deg", [0.0, 55.0, 97.4])
def test_altitude_is_the_semi_major_axis_that_sgp4_keeps(inclination_deg: float) -> None:
    """Without the step from Brouwer's to Kozai's mean motion it is kilometres off; with it within 20 m."""
    orbit = made_up(inclination_deg=inclination_deg, eccentricity=0.01)
    mu, a = 3.986008e14, 6_878_137.0  # WGS 72, the constants of SGP4
    assert orbit.period_s == pytest.approx(2 * np.pi * np.sqrt(a**3 / mu), rel=5e-6)


def test_eccentric_elements_begin_at_the_asked_angle() -> None:
    orbit = made_up(eccentricity=0.04, inclination_deg=60.0, latitude_argument_deg=90.0)
    r, v = (column[0] for column in orbit.teme(EPOCH, 0.0))
    node = node_rad(r[None], v[None])[0]
    angle = np.degrees(np.arccos(r @ [np.cos(node), np.sin(node), 0] / np.linalg.norm(r)))
    assert angle == pytest.approx(90, abs=0.2)  # taken for a mean anomaly the angle would be 94.6


def test_no_sun_synchronous_orbit_so_high() -> None:
    with pytest.raises(ConfigError, match="no Sun-synchronous orbit"):
        made_up(altitude_m=8000e3)


def elements(**changes: float | str | None) -> Orbit:
    given: dict[str, Any] = {
        "epoch_utc": "2024-10-01T00:00:00Z",
        "altitude_m": 700e3,
        "inclination_rad": 1.1,
        "right_ascension_rad": 4.0,
        "argument_of_perigee_rad": 5.0,
        "mean_anomaly_rad": 0.3,
        "eccentricity": 0.01,
    } | changes
    return Orbit(**given)


def test_mean_elements_come_back_as_given() -> None:
    satrec = orbit_of(elements(drag_term_per_earth_radius=2e-4)).satrec
    got = (satrec.nodeo, satrec.argpo, satrec.mo, satrec.inclo, satrec.ecco, satrec.bstar)
    assert got == pytest.approx((4.0, 5.0, 0.3, 1.1, 0.01, 2e-4), abs=1e-15)


def test_mean_motion_is_handed_on_as_it_is() -> None:
    """Kozai's, as a TLE has it: converted once more it would be off by 6e-4."""
    n = 15.23916091 * 2 * np.pi / 86_400
    orbit = orbit_of(elements(altitude_m=None, mean_motion_rad_s=n))
    assert orbit.satrec.no_kozai == pytest.approx(n * 60, rel=1e-15)


def test_argument_of_latitude_is_perigee_and_true_anomaly() -> None:
    """A place on the orbit, wherever the perigee lies: 90 degrees is the northernmost point."""
    for perigee in (0.0, 1.0, 4.0):
        orbit = orbit_of(
            elements(
                argument_of_perigee_rad=perigee,
                mean_anomaly_rad=None,
                argument_of_latitude_rad=np.pi / 2,
                eccentricity=0.2,
                altitude_m=3000e3,
            )
        )
        position, _ = orbit.teme(EPOCH, 0.0)
        assert np.arcsin(position[0, 2] / np.linalg.norm(position[0])) == pytest.approx(1.1, abs=2e-3)


def test_drag_lowers_an_orbit() -> None:
    t_s = np.arange(0, 10) * 86_400.0
    free, dragged = (
        orbit_of(elements(altitude_m=400e3, eccentricity=0.0, drag_term_per_earth_radius=drag))
        for drag in (0, 1e-3)
    )
    lower = np.linalg.norm(free.teme(EPOCH, t_s)[0], axis=1) - np.linalg.norm(
        dragged.teme(EPOCH, t_s)[0], axis=1
    )
    assert lower[-1] > 2e3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"altitude_m": None}, "altitude_m or mean_motion_rad_s .the size of the orbit., got neither"),
        ({"mean_motion_rad_s": 1e-3}, "got altitude_m and mean_motion_rad_s; give one"),
        ({"right_ascension_rad": None}, "local_time_of_ascending_node_s or right_ascension_rad"),
        ({"local_time_of_ascending_node_s": 0.0}, "got local_time_of_ascending_node_s and right_ascension"),
        ({"argument_of_latitude_rad": 0.0}, "got argument_of_latitude_rad and mean_anomaly_rad"),
        ({"epoch_utc": None}, "expected epoch_utc with mean elements"),
        (
            {"altitude_m": None, "mean_motion_rad_s": 1e-3, "inclination_rad": None},
            "expected inclination with",
        ),
        (
            {"tle_line_1": MICIUS_1, "tle_line_2": MICIUS_2},
            "got tle_line_1, tle_line_2, epoch_utc, altitude_m",
        ),
        ({"elements_file": "a.json"}, "got elements_file, epoch_utc"),
    ],
)
def test_too_little_and_too_much_is_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        elements(**changes)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "got none of them"),
        ({"tle_line_1": MICIUS_1}, "got tle_line_1 alone"),
        ({"catalogue_number": 5}, "elements_file, which is missing"),
    ],
)
def test_no_orbit_at_all_is_told(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Orbit(**given)


def test_elements_inside_the_earth_make_no_orbit() -> None:
    with pytest.raises(ConfigError, match=r"make no orbit that SGP4 can carry .*error 6"):
        orbit_of(elements(altitude_m=1000.0, eccentricity=0.3))


def test_a_file_of_elements_must_be_read_first() -> None:
    with pytest.raises(ConfigError, match=r"read it with satqkd\.sky\.read_elements"):
        orbit_of(Orbit(elements_file="catalogue.json"))


class Craft(Settings, frozen=True, kw_only=True):
    orbit: Orbit


ELEMENTS_TABLE = {
    "epoch_utc": "2024-10-01T00:00:00Z",
    "altitude_km": 500,
    "inclination_deg": 97,
    "local_time_of_ascending_node_s": 81_000,
    "argument_of_latitude_deg": 20,
}


@pytest.mark.parametrize(
    ("below", "above", "gone"),
    [
        ({"tle_line_1": MICIUS_1, "tle_line_2": MICIUS_2}, ELEMENTS_TABLE, "tle_line_1"),
        (ELEMENTS_TABLE, {"tle_line_1": MICIUS_1, "tle_line_2": MICIUS_2}, "epoch_utc"),
        (ELEMENTS_TABLE, {"elements_file": "a.xml", "catalogue_number": 41731}, "altitude_m"),
        ({"elements_file": "a.xml", "catalogue_number": 41731}, ELEMENTS_TABLE, "catalogue_number"),
        (ELEMENTS_TABLE, {"mean_motion_rad_s": 1e-3}, "altitude_m"),
        (ELEMENTS_TABLE, {"right_ascension_deg": 10}, "local_time_of_ascending_node_s"),
        (ELEMENTS_TABLE, {"mean_anomaly_deg": 10}, "argument_of_latitude_rad"),
        (ELEMENTS_TABLE, {"altitude_km": 600}, "tle_line_1"),
    ],
)
def test_a_user_s_table_hides_the_other_way_of_saying_it(
    below: dict[str, Any], above: dict[str, Any], gone: str
) -> None:
    orbit = load({"orbit": above}, Craft, "mine.toml", over={"orbit": below}).value.orbit
    assert getattr(orbit, gone) is None
    assert (orbit.epoch_utc is None) == ("tle_line_1" in above or "elements_file" in above)


@pytest.mark.parametrize("year", [1900, 2050, 9000])
def test_elements_far_from_the_instant_are_refused(year: int) -> None:
    """SGP4 would answer with a number that is no orbit."""
    orbit = orbit_of(Orbit(epoch_utc="2020-01-01T00:00:00Z", altitude_m=500e3, right_ascension_rad=0.0))
    orbit.teme(datetime(2035, 1, 1, tzinfo=UTC), 0.0)
    with pytest.raises(DataFormatError, match="within 20 years of its elements' epoch 2020-01-01T00:00:00Z"):
        orbit.teme(datetime(year, 1, 1, tzinfo=UTC), [0.0, 10.0])
