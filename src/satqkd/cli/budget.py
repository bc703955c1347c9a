"""`satqkd budget`: the link budget along a pass, as rows, as a table, as one picture."""

from pathlib import Path
from typing import Annotated, Final

import typer

from satqkd.cli.common import (
    At,
    Json,
    SatelliteName,
    Seed,
    StationName,
    print_json,
    print_table,
    say,
    tell_old_elements,
)

HEADERS: Final = {
    "t_s": "t\ns",
    "elevation_deg": "eleva-\ntion\ndeg",
    "range_km": "range\nkm",
    "diffraction_db": "diffrac-\ntion\ndB",
    "pointing_db": "point-\ning\ndB",
    "atmosphere_db": "atmo-\nsphere\ndB",
    "cloud_db": "cloud\ndB",
    "receiver_db": "recei-\nver\ndB",
    "calibration_db": "calibra-\ntion\ndB",
    "detector_db": "detec-\ntor\ndB",
    "total_db": "total\ndB",
    "background_hz": "back-\nground\nHz",
    "crosstalk_hz": "cross-\ntalk\nHz",
    "expected_detection_hz": "detec-\ntions\nHz",
    "expected_sifted_hz": "sifted\nHz",
    "expected_qber": "QBER\n%",
}
"""Columns of the table, narrow enough for a terminal; `--json` has them all."""
_ALWAYS: Final = ("diffraction_db", "atmosphere_db", "total_db")
_STEADY_DB: Final = 0.05
"""A part of the loss that changes by less is told once over the table."""


def budget(
    satellite: SatelliteName,
    station: StationName,
    at: At = None,
    step: Annotated[float, typer.Option(min=0.05, help="Seconds between rows, to the nearest 0.05.")] = 10.0,
    plot: Annotated[Path | None, typer.Option(help="Draw the budget as one picture, a PNG file.")] = None,
    seed: Seed = 1,
    json: Json = False,
) -> None:
    """Mean loss and its parts (dB, positive), noise, expected detections and QBER along a pass."""
    from satqkd.mission import contact_of, link_budget, presets
    from satqkd.sky import format_utc

    contact = contact_of(presets.satellite(satellite), presets.station(station), at)
    tell_old_elements(contact.satellite, contact.epoch)
    columns = {name: column.tolist() for name, column in link_budget(contact, step_s=step).items()}
    if plot is not None:
        from satqkd.show import plot_budget

        plot_budget(plot, contact, seed=seed)
        say(f"picture: {plot} (fading drawn by seed {seed})")
    if json:
        print_json([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
        return
    steady = {name: values[0] for name, values in columns.items() if _is_steady(name, values)}
    shown = [name for name in HEADERS if name not in steady]
    print_table(
        _title(contact.satellite.name, contact.station.name, format_utc(contact.epoch), steady),
        [HEADERS[name] for name in shown],
        zip(*([_text(name, value) for value in columns[name]] for name in shown), strict=True),
    )


def _is_steady(name: str, values: list[float]) -> bool:
    """Whether a column says no more than one number, or nothing."""
    if name == "crosstalk_hz":
        return not any(values)
    return name.endswith("_db") and name not in _ALWAYS and max(values) - min(values) < _STEADY_DB


def _title(satellite: str, station: str, start_utc: str, steady: dict[str, float]) -> str:
    parts = [f"{name.removesuffix('_db')} {value:.1f}" for name, value in steady.items() if value]
    return f"{satellite} over {station}, first pulse {start_utc}\nsteady losses, dB: {', '.join(parts)}"


def _text(name: str, value: float) -> str:
    if name.endswith("qber"):
        return f"{100 * value:.2f}"
    return f"{value:.0f}" if name.startswith("expected") or name == "range_km" else f"{value:.1f}"
