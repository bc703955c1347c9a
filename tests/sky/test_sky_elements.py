"""One element set as TLE and as OMM in four forms; catalogues of several; what is broken is told."""

import io
import json
from datetime import timedelta

import numpy as np
import pytest
from sgp4 import omm
from sgp4.api import Satrec
from sky_cases import EPOCH, MICIUS_1, MICIUS_2, micius

from satqkd.config import Orbit
from satqkd.errors import ConfigError, DataFormatError
from satqkd.sky import Elements, orbit_of, parse_utc, read_elements, select_elements

# Micius' TLE of 19 December 2016 in the keywords of CCSDS 502.0-B-3, as Space-Track and CelesTrak write them.
FIELDS: dict[str, str] = {
    "CCSDS_OMM_VERS": "3.0",
    "OBJECT_NAME": "QSS (MOZI)",
    "OBJECT_ID": "2016-051A",
    "CENTER_NAME": "EARTH",
    "REF_FRAME": "TEME",
    "TIME_SYSTEM": "UTC",
    "MEAN_ELEMENT_THEORY": "SGP4",
    "EPOCH": "2016-12-19T13:39:33.153408",
    "MEAN_MOTION": "15.23916091",
    "ECCENTRICITY": ".0013349",
    "INCLINATION": "97.3698",
    "RA_OF_ASC_NODE": "268.1064",
    "ARG_OF_PERICENTER": "175.8929",
    "MEAN_ANOMALY": "309.0190",
    "EPHEMERIS_TYPE": "0",
    "CLASSIFICATION_TYPE": "U",
    "NORAD_CAT_ID": "41731",
    "ELEMENT_SET_NO": "999",
    "REV_AT_EPOCH": "1916",
    "BSTAR": ".18801E-4",
    "MEAN_MOTION_DOT": ".384E-5",
    "MEAN_MOTION_DDOT": "0",
}
METADATA, MEAN = list(FIELDS)[1:7], list(FIELDS)[7:14]
OMITTED_BY_CELESTRAK = ("CCSDS_OMM_VERS", "CENTER_NAME", "REF_FRAME", "TIME_SYSTEM", "MEAN_ELEMENT_THEORY")


def as_json(*sets: dict[str, str], numbers: bool = False) -> str:
    """Space-Track writes words, CelesTrak numbers and fewer fields."""
    if not numbers:
        return json.dumps(list(sets))
    told = [{key: value for key, value in each.items() if key not in OMITTED_BY_CELESTRAK} for each in sets]
    return json.dumps([{key: _value(key, word) for key, word in each.items()} for each in told])


def _value(key: str, word: str) -> str | int | float:
    if key in ("OBJECT_NAME", "OBJECT_ID", "EPOCH", "CLASSIFICATION_TYPE"):
        return word
    return int(word) if word.isdigit() else float(word)


def as_xml(*sets: dict[str, str], namespace: str = "") -> str:
    def leaves(each: dict[str, str], keys: list[str]) -> str:
        return "".join(f"<{key}>{each[key]}</{key}>" for key in keys if key in each)

    bodies = "".join(
        f'<omm id="CCSDS_OMM_VERS" version="3.0"><header><COMMENT>made</COMMENT></header>'
        f"<body><segment><metadata>"
        f"{leaves(each, METADATA)}</metadata><data><meanElements>{leaves(each, MEAN)}</meanElements>"
        f"<tleParameters>{leaves(each, list(FIELDS)[14:])}</tleParameters></data></segment></body></omm>"
        for each in sets
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<ndm{namespace}>{bodies}</ndm>'


def as_kvn(*sets: dict[str, str], units: bool = False) -> str:
    unit = {"MEAN_MOTION": " [rev/day]", "INCLINATION": " [deg]", "BSTAR": " [1/ER]"} if units else {}
    return "".join(
        "".join(f"{key:20s} = {value}{unit.get(key, '')}\n" for key, value in each.items()) + "\n"
        for each in sets
    )


def as_csv(*sets: dict[str, str]) -> str:
    keys = [key for key in FIELDS if key not in OMITTED_BY_CELESTRAK]
    return "\r\n".join([",".join(keys), *(",".join(each[key] for key in keys) for each in sets)]) + "\r\n"


def as_tle(name: str = "") -> str:
    return "\n".join(([name] if name else []) + [MICIUS_1, MICIUS_2]) + "\n"


FORMS = {
    "json": as_json(FIELDS),
    "json of CelesTrak": as_json(FIELDS, numbers=True),
    "one json object": json.dumps(FIELDS),
    "xml": as_xml(FIELDS),
    "xml with namespace": as_xml(FIELDS, namespace=' xmlns="urn:ccsds:schema:ndmxml"'),
    "kvn": as_kvn(FIELDS),
    "kvn with units": as_kvn(FIELDS, units=True),
    "csv": as_csv(FIELDS),
}
T_S = np.arange(0, 20 * 86_400, 3600.0)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_omm_is_the_tle(form: str) -> None:
    """To 2 cm: the OMM's epoch has microseconds, the TLE's lies between two of them."""
    (found,) = read_elements(FORMS[form].encode())
    assert (found.name, found.catalogue_number) == ("QSS (MOZI)", 41731)
    assert abs(found.epoch - parse_utc("2016-12-19T13:39:33.153408Z")) < timedelta(microseconds=2)
    ours, theirs = orbit_of(found.orbit).teme(EPOCH, T_S)[0], micius().teme(EPOCH, T_S)[0]
    assert np.abs(ours - theirs).max() < 0.05


@pytest.mark.parametrize("name", ["", "QSS (MOZI)", "0 QSS (MOZI)"])
def test_tle_text_with_and_without_name(name: str) -> None:
    (found,) = read_elements(as_tle(name).replace("\n", "\r\n").encode("utf-8-sig"))
    assert found.name == name.removeprefix("0 ") and found.catalogue_number == 41731
    assert found.orbit == Orbit(tle_line_1=MICIUS_1, tle_line_2=MICIUS_2)
    assert abs(found.epoch - micius().epoch) < timedelta(microseconds=2)


@pytest.mark.parametrize("form", ["xml", "csv"])
def test_the_sgp4_library_reads_the_same_out_of_it(form: str) -> None:
    parse = omm.parse_xml if form == "xml" else omm.parse_csv
    (fields,) = parse(io.StringIO(FORMS[form]))
    oracle = Satrec()
    omm.initialize(oracle, fields)
    ours = orbit_of(read_elements(FORMS[form])[0].orbit).satrec
    for name in ("ecco", "inclo", "nodeo", "argpo", "mo", "no_kozai", "bstar"):
        assert getattr(ours, name) == pytest.approx(getattr(oracle, name), rel=1e-14), name
    assert ours.jdsatepoch == oracle.jdsatepoch
    assert ours.jdsatepochF == pytest.approx(oracle.jdsatepochF, abs=1e-11)


def other(**changes: str) -> dict[str, str]:
    return FIELDS | {"OBJECT_NAME": "OTHER", "NORAD_CAT_ID": "100057"} | changes


@pytest.mark.parametrize("write", [as_json, as_xml, as_kvn, as_csv])
def test_a_catalogue_keeps_its_order(write: object) -> None:
    found = read_elements(write(FIELDS, other(), FIELDS))  # type: ignore[operator]
    assert [each.catalogue_number for each in found] == [41731, 100057, 41731]
    assert [each.name for each in found] == ["QSS (MOZI)", "OTHER", "QSS (MOZI)"]


def test_a_set_is_chosen_by_number_and_time() -> None:
    older, newer = FIELDS | {"EPOCH": "2016-12-01T00:00:00"}, FIELDS | {"EPOCH": "2016-12-25T00:00:00Z"}
    found = read_elements(as_json(older, FIELDS, newer, other()))
    assert select_elements(found, catalogue_number=41731).epoch == parse_utc("2016-12-25T00:00:00Z")
    near = select_elements(found, catalogue_number=41731, at=parse_utc("2016-12-03T00:00:00Z"))
    assert near.epoch == parse_utc("2016-12-01T00:00:00Z")
    assert select_elements(found[:1]).name == "QSS (MOZI)"
    with pytest.raises(ConfigError, match=r"expected the number of one of 2 satellites .* 41731, 100057"):
        select_elements(found)
    with pytest.raises(ConfigError, match="got 7; it holds 41731, 100057"):
        select_elements(found, catalogue_number=7)


def test_numbers_of_alpha_5() -> None:
    from satqkd.sky.tle import checksum

    lines = [line[:2] + "E8493" + line[7:68] for line in (MICIUS_1, MICIUS_2)]
    (found,) = read_elements("\n".join(line + str(checksum(line + "0")) for line in lines))
    assert found.catalogue_number == 148_493 == orbit_of(found.orbit).catalogue_number


def test_epoch_by_day_of_the_year() -> None:
    (found,) = read_elements(as_json(FIELDS | {"EPOCH": "2016-354T13:39:33.153408"}))
    assert found.epoch == read_elements(as_json(FIELDS))[0].epoch


def found_of(text: str) -> list[Elements]:
    return read_elements(text, where="cat.txt")


def without(key: str) -> dict[str, str]:
    return {name: value for name, value in FIELDS.items() if name != key}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cat.txt: expected at least one element set, got none"),
        ("[]", "at least one element set"),
        ("hello\n", "expected a set of two lines at its end, got 'hello' alone"),
        ("hello\nworld\n", "line 2: expected line 1 of a set, or its name"),
        ("<html><body>404</body></html>", "at least one element set"),
        (MICIUS_1 + "\n", "expected a set of two lines at its end"),
        (MICIUS_2 + "\n", "line 1: expected line 1 of a set before its line 2"),
        (MICIUS_1 + "\n" + MICIUS_1 + "\n", "line 2: expected line 2 of the set begun before"),
        (
            as_tle() + MICIUS_1 + "\n" + MICIUS_2[:-1] + "5\n",
            "cat.txt, set from line 3: TLE line 2, column 69",
        ),
        (as_json(FIELDS)[:-3], "cat.txt: expected JSON, got"),
        ("[1]", "entry 1: expected an object of OMM keywords, got 1"),
        (as_xml(FIELDS)[:-3], "cat.txt: expected XML, got"),
        (as_json(FIELDS, without("EPOCH")), "entry 2, EPOCH: expected UTC such as .*, got none"),
        (as_json(FIELDS | {"EPOCH": "2016-13-19T13:39:33"}), "EPOCH: expected UTC .* got 2016-13-19"),
        (
            as_json(FIELDS | {"EPOCH": "2016-12-31T23:59:60"}),
            "EPOCH: expected UTC .* got 2016-12-31T23:59:60",
        ),
        (as_json(without("MEAN_MOTION")), "entry 1: expected MEAN_MOTION, got none"),
        (as_json(without("BSTAR")), "entry 1: expected BSTAR, got none"),
        ("[" * 200_000, "expected JSON, got"),
        (as_json(without("MEAN_MOTION") | {"SEMI_MAJOR_AXIS": "6878"}), "SEMI_MAJOR_AXIS is not SGP4's"),
        (as_csv(FIELDS | {"INCLINATION": "x"}), "INCLINATION: expected a number from 0 to 180, got x"),
        (as_csv(FIELDS | {"INCLINATION": "nan"}), "INCLINATION: expected a number from 0 to 180, got nan"),
        (as_csv(FIELDS | {"ECCENTRICITY": "1.2"}), "ECCENTRICITY: expected a number from 0 to"),
        (as_csv(FIELDS).rstrip() + ",7,8\r\n", "line 2: expected 17 cells as in the first line, got more"),
        (as_xml(FIELDS | {"REF_FRAME": "EME2000"}), "REF_FRAME: expected TEME .*, got EME2000"),
        (as_kvn(FIELDS | {"TIME_SYSTEM": "TAI"}), "TIME_SYSTEM: expected UTC, got TAI"),
        (as_kvn(FIELDS | {"MEAN_ELEMENT_THEORY": "DSST"}), "MEAN_ELEMENT_THEORY: expected SGP4"),
        (as_kvn(FIELDS | {"EPHEMERIS_TYPE": "4"}), "EPHEMERIS_TYPE: expected 0 or 2, got 4"),
        (as_kvn(FIELDS, units=True).replace("[deg]", "[rad]"), "INCLINATION: expected the unit deg, got rad"),
        (
            as_kvn(FIELDS) + "EPOCH = 2016-12-19T13:39:33\n",
            "line 24: expected each keyword once a message, got EPOCH",
        ),
        (as_kvn(FIELDS) + "nonsense\n", "line 24: expected KEYWORD = value"),
    ],
)
def test_what_is_broken_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(DataFormatError, match=message):
        found_of(text)


def test_xml_entities_do_not_expand() -> None:
    bomb = '<?xml version="1.0"?>\n<!DOCTYPE omm [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>\n<omm>&b;</omm>'
    with pytest.raises(DataFormatError, match="expected XML without document type"):
        found_of(bomb)
    with pytest.raises(DataFormatError, match="expected text in UTF-8"):
        read_elements(bomb.encode("utf-16"))


def test_elements_of_sgp4_xp_as_tle_are_refused() -> None:
    from satqkd.sky.tle import checksum

    line = MICIUS_1[:62] + "4" + MICIUS_1[63:68]
    with pytest.raises(DataFormatError, match=r"column 63 \(ephemeris type, SGP4\): .* got '4'"):
        found_of(line + str(checksum(line + "0")) + "\n" + MICIUS_2)
