"""`satqkd budget`: the link budget along a pass."""

from pathlib import Path
from typing import Annotated

import typer

from satqkd.cli.common import At, Json, SatelliteName, StationName, print_json, print_table


def budget(
    satellite: SatelliteName,
    station: StationName,
    at: At = None,
    step: Annotated[float, typer.Option(min=0.05, help="Seconds between rows.")] = 10.0,
    plot: Annotated[Path | None, typer.Option(help="Write the loss and its parts as a PNG.")] = None,
    json: Json = False,
) -> None:
    """Mean loss and its parts (dB, positive), background, expected detections and QBER."""
    from satqkd.mission import contact_of, link_budget, presets

    contact = contact_of(presets.satellite(satellite), presets.station(station), at)
    columns = link_budget(contact, step_s=step)
    if plot is not None:
        from satqkd.show import plot_budget
        from satqkd.sky import format_utc

        plot_budget(plot, contact.satellite.name, contact.station.name, format_utc(contact.epoch), columns)
    names = list(columns)
    rows = [
        dict(zip(names, values, strict=True))
        for values in zip(*(columns[name].tolist() for name in names), strict=True)
    ]
    if json:
        print_json(rows)
        return
    shown = [name for name in names if name not in ("range_rate_m_s",)]
    print_table(
        f"{satellite} over {station}",
        [name.removeprefix("expected_") for name in shown],
        [[_text(name, row[name]) for name in shown] for row in rows],
    )


def _text(name: str, value: float) -> str:
    if name.endswith("qber"):
        return f"{100 * value:.2f} %"
    return f"{value:.0f}" if name.endswith(("_hz", "_km")) else f"{value:.1f}"
