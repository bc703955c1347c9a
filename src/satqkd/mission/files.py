"""The folder of a pass: its stores, `pass.json`, `course.json`; reports are there whole or not at all.

`course.json` holds the budget along the pass at 1 s steps and the evidence of every preset number.
"""

import re
from pathlib import Path
from typing import Any, Final

import msgspec

from satqkd.config import Evidence, Protocol, Satellite, Station, Traffic, load, read_toml
from satqkd.keys import KeyStore
from satqkd.mission.contact import Contact
from satqkd.mission.planning import link_budget
from satqkd.mission.presets import load_preset, names
from satqkd.mission.report import NodeReport, PassReport
from satqkd.results import to_json

EVE_FILE: Final = "eve.json"
"""What the twin tells of its attacker, from the station's process to the launcher."""


def write_whole(path: Path, data: bytes) -> None:
    """A file that is there whole or not at all, by way of a file beside it.

    A link is followed; what is no file, such as a pipe or a device, is written straight into.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    target = path.resolve()
    partial = target.with_name(target.name + ".partial")
    try:
        partial.write_bytes(data)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def write_pass_folder(folder: Path, contact: Contact, report: PassReport) -> None:
    """`pass.json` and `course.json` of a flown pass."""
    write_pass_report(folder, report)
    course = {"columns": link_budget(contact, step_s=1.0), "evidence": evidence_rows(contact)}
    write_whole(folder / "course.json", to_json(course))


def write_pass_report(folder: Path, report: PassReport) -> None:
    """`pass.json`."""
    write_whole(folder / "pass.json", to_json(report))


def write_node_report(folder: Path, report: NodeReport) -> None:
    """`satellite.json` or `station.json`."""
    write_whole(folder / f"{report.node}.json", msgspec.json.encode(report))


def evidence_rows(contact: Contact) -> list[dict[str, Any]]:
    """Value (SI) and evidence of every number of both presets; none for settings that are no preset's."""
    rows: list[dict[str, Any]] = []
    if contact.satellite.name in names(Satellite):
        rows += _evidence(contact.satellite, load_preset(contact.satellite.name, Satellite).evidence)
    if contact.station.name in names(Station):
        rows += _evidence(contact.station, load_preset(contact.station.name, Station).evidence)
    return rows


def _evidence(settings: Satellite | Station, evidence: tuple[Evidence, ...]) -> list[dict[str, Any]]:
    return [
        {
            "preset": settings.name,
            "path": each.path,
            "value": _value_at(settings, each.path),
            "mark": each.mark,
            "source": each.source,
        }
        for each in evidence
    ]


def _value_at(settings: Any, path: str) -> Any:
    """The value at a dotted path, list places in brackets; None where the settings have no such table."""
    for name in re.findall(r"[^.\[\]]+", path):
        if settings is None:
            return None
        settings = settings[int(name)] if isinstance(settings, tuple) else getattr(settings, name)
    return settings


def read_protocol(path: Path | None) -> Protocol:
    """Protocol settings of a TOML file; the defaults for None. Raises ConfigError."""
    return Protocol() if path is None else load(read_toml(path), Protocol, str(path)).value


def read_traffic(path: Path | None) -> Traffic:
    """Settings of user traffic of a TOML file; the defaults for None. Raises ConfigError."""
    return Traffic() if path is None else load(read_toml(path), Traffic, str(path)).value


def open_store(folder: Path, node: str) -> KeyStore:
    """The store of a node in a folder, made where there is none."""
    path = folder / f"{node}.sqlite"
    return KeyStore.open(path, node_id=node) if path.exists() else KeyStore.create(path, node)
