"""`satqkd passes`: when a satellite can be seen, and what each pass is expected to give."""

from typing import Annotated

import typer

from satqkd.cli.common import Json, SatelliteName, print_json, print_table, say, tell_old_elements


def passes(
    satellite: SatelliteName,
    stations: Annotated[list[str], typer.Argument(help="Preset names or TOML files of stations.")],
    start: Annotated[
        str | None, typer.Option("--from", help="UTC; default the satellite's reference epoch.")
    ] = None,
    days: Annotated[float, typer.Option(min=0.01, max=366, help="How long to search.")] = 1.0,
    night: Annotated[
        bool, typer.Option("--night", help="Only passes with the Sun below -12 degrees.")
    ] = False,
    json: Json = False,
) -> None:
    """List passes: times, elevation, range, darkness, expected key (0 by day)."""
    from satqkd.mission import presets
    from satqkd.mission.planning import find_pass_rows
    from satqkd.sky import parse_utc

    craft = presets.satellite(satellite)
    begin = parse_utc(start or craft.reference_epoch_utc)
    rows = find_pass_rows(
        craft,
        [presets.station(name) for name in stations],
        begin,
        days=days,
        night=night,
    )
    tell_old_elements(craft, begin)
    for name in sorted({row["station"] for row in rows if row["expected_secret_bits"] is None}):
        say(f"{name}: its gate is longer than the pulse period of {craft.name}: no key can be expected")
    if json:
        print_json(rows)
        return
    header = ("station", "start UTC", "end UTC", "max elevation (deg)", "min range (km)", "Sun (deg)")
    print_table(
        f"passes of {craft.name}",
        (*header, "sunlit", "expected secret bits"),
        [
            (
                row["station"],
                row["start_utc"],
                row["end_utc"],
                f"{row['max_elevation_deg']:.1f}",
                f"{row['min_range_km']:.0f}",
                f"{row['sun_elevation_deg']:.0f}",
                "yes" if row["satellite_sunlit"] else "no",
                "-" if row["expected_secret_bits"] is None else f"{row['expected_secret_bits']:,}",
            )
            for row in rows
        ],
    )
