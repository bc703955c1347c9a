"""Orbit Mean-Elements Messages as text: which fields hold which words, in JSON, XML, KVN or CSV.

All four carry the keywords of CCSDS 502.0-B-3, table 4-3; a message becomes one dictionary of words.
What the words mean is for `elements`. XML is read without document types, so that no entity expands.
"""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any, Final
from xml.etree import ElementTree

import msgspec

from satqkd.errors import DataFormatError

Fields = dict[str, str]
"""Keyword -> value as it stands, blanks and unit stripped."""

_KVN_START: Final = "CCSDS_OMM_VERS"
_KVN_LINE: Final = re.compile(r"([A-Z0-9_]+)\s*=\s*(.*?)\s*(?:\[([^\]]*)\])?")
_KVN_SKIPPED: Final = ("COMMENT", "META_START", "META_STOP", "DATA_START", "DATA_STOP")
_UNITS: Final = {
    "MEAN_MOTION": "rev/day",
    "INCLINATION": "deg",
    "RA_OF_ASC_NODE": "deg",
    "ARG_OF_PERICENTER": "deg",
    "MEAN_ANOMALY": "deg",
    "BSTAR": "1/ER",
}


def omm_fields(text: str, where: str) -> list[Fields] | None:
    """The messages of a text; None where it has the look of none of the four forms.

    Raises DataFormatError naming line or entry where the form is broken.
    """
    start = text.lstrip()
    if start[:1] in ("[", "{"):
        return _of_json(text, where)
    if start[:1] == "<":
        return _of_xml(start, where)
    if start.startswith((_KVN_START, "COMMENT")):
        return _of_kvn(text, where)
    header = start.split("\n", 1)[0].strip().split(",")
    return _of_csv(start, where) if {"EPOCH", "MEAN_MOTION"} <= set(header) else None


def _of_json(text: str, where: str) -> list[Fields]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DataFormatError(f"{where}: expected JSON, got {error}; fetch the file anew") from None
    entries = found if isinstance(found, list) else [found]
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            raise DataFormatError(
                f"{where}, entry {number}: expected an object of OMM keywords, got {entry!r}; ask the "
                "catalogue for JSON"
            )
    return [{key: _word(value) for key, value in entry.items()} for entry in entries]


def _word(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _of_xml(text: str, where: str) -> list[Fields]:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataFormatError(
            f"{where}: expected XML without document type, got one, which may expand without end; remove it"
        )
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataFormatError(f"{where}: expected XML, got {error}; fetch the file anew") from None
    segments = [each for each in root.iter() if _tag(each) == "segment"]
    return [_of_segment(each, f"{where}, entry {number}") for number, each in enumerate(segments, 1)]


def _of_segment(segment: ElementTree.Element, place: str) -> Fields:
    fields: Fields = {}
    for element in segment.iter():
        if len(element) == 0 and _tag(element) != "COMMENT":
            _check_unit(_tag(element), element.get("units"), place)
            fields[_tag(element)] = (element.text or "").strip()
    return fields


def _tag(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _of_kvn(text: str, where: str) -> list[Fields]:
    messages: list[Fields] = []
    for number, line in _lines(text):
        if line.startswith(_KVN_SKIPPED):
            continue
        match = _KVN_LINE.fullmatch(line)
        if match is None or (not messages and match[1] != _KVN_START):
            raise DataFormatError(
                f"{where}, line {number}: expected KEYWORD = value, the first of a message {_KVN_START}, "
                f"got {line!r}; fetch the file anew"
            )
        if match[1] == _KVN_START:
            messages.append({})
        elif match[1] in messages[-1]:
            raise DataFormatError(
                f"{where}, line {number}: expected each keyword once a message, got {match[1]} again; begin "
                f"each message with {_KVN_START}"
            )
        _check_unit(match[1], match[3], f"{where}, line {number}")
        messages[-1][match[1]] = match[2]
    return messages


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def _check_unit(key: str, got: str | None, place: str) -> None:
    if got is not None and key in _UNITS and got.strip().lower() != _UNITS[key].lower():
        raise DataFormatError(
            f"{place}, {key}: expected the unit {_UNITS[key]}, got {got}; SGP4 elements come in no other"
        )


def _of_csv(text: str, where: str) -> list[Fields]:
    rows = csv.DictReader(io.StringIO(text), restkey="", restval="")
    found: list[Fields] = []
    for row in rows:
        if "" in row:
            raise DataFormatError(
                f"{where}, line {rows.line_num}: expected {len(rows.fieldnames or [])} cells as in the first "
                "line, got more; fetch the file anew"
            )
        found.append({key: value.strip() for key, value in row.items()})
    return found
