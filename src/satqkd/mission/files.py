"""What a pass leaves in its folder: `pass.json`, `course.json`; each file is there whole or not at all.

`course.json` holds the budget along the pass at 1 s steps and the evidence of every preset number.
"""

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from satqkd.config import Protocol, Satellite, Station, load, read_toml
from satqkd.mission.contact import GRID_S, Contact
from satqkd.mission.presets import load_preset
from satqkd.mission.report import NodeReport, PassReport
from satqkd.results import to_json

LOSS_COLUMNS: Final = (
    "diffraction_db",
    "pointing_db",
    "atmosphere_db",
    "receiver_db",
    "calibration_db",
    "detector_db",
    "total_db",
)


def write_whole(path: Path, data: bytes) -> None:
    """A file that is there whole or not at all."""
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_bytes(data)
    partial.replace(path)


def write_pass_folder(folder: Path, contact: Contact, report: PassReport) -> None:
    """`pass.json` and `course.json` of a flown pass."""
    write_whole(folder / "pass.json", to_json(report))
    course = {"columns": budget_columns(contact, step_s=1.0), "evidence": evidence_rows(contact)}
    write_whole(folder / "course.json", to_json(course))


def write_node_report(folder: Path, report: NodeReport) -> None:
    """`satellite.json` or `station.json`."""
    write_whole(folder / f"{report.node}.json", msgspec.json.encode(report))


def budget_columns(contact: Contact, *, step_s: float) -> dict[str, Any]:
    """The link budget along the quantum window, one row each `step_s` (a multiple of the 50 ms grid)."""
    rows = slice(0, contact.quantum_rows.stop, max(1, round(step_s / GRID_S)))
    course, losses, rates = contact.look, contact.losses, contact.rates
    columns: dict[str, Any] = {
        "t_s": course.t_s,
        "elevation_deg": np.degrees(course.elevation_rad),
        "range_km": course.range_m / 1e3,
        "range_rate_m_s": course.range_rate_m_s,
        **{name: getattr(losses, name) for name in LOSS_COLUMNS},
        "background_hz": losses.background_hz,
        "expected_detection_hz": rates.detection_hz,
        "expected_sifted_hz": rates.sifted_hz,
        "expected_qber": rates.qber,
    }
    return {name: np.broadcast_to(column, course.t_s.shape)[rows] for name, column in columns.items()}


def evidence_rows(contact: Contact) -> list[dict[str, str]]:
    """Evidence of both presets' numbers; empty for settings that came from elsewhere."""
    rows: list[dict[str, str]] = []
    for name, kind in ((contact.satellite.name, Satellite), (contact.station.name, Station)):
        loaded = load_preset(name, kind)  # type: ignore[type-var]
        rows += [
            {"preset": name, "path": e.path, "mark": e.mark, "source": e.source} for e in loaded.evidence
        ]
    return rows


def read_protocol(path: Path | None) -> Protocol:
    """Protocol settings of a TOML file; the defaults for None. Raises ConfigError."""
    return Protocol() if path is None else load(read_toml(path), Protocol, str(path)).value
