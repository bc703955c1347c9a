"""`satqkd optimise`: the settings of the source with the most expected key, and what depends on what."""

from pathlib import Path
from typing import Annotated

import typer

from satqkd.cli.common import (
    At,
    Json,
    ProtocolFile,
    SatelliteName,
    StationName,
    print_json,
    print_table,
    say,
)


def optimise(
    satellite: SatelliteName,
    station: StationName,
    at: At = None,
    bound: Annotated[
        str | None, typer.Option(help="Instead of the protocol's: a name as `satqkd keylength` knows them.")
    ] = None,
    passes: Annotated[int, typer.Option(min=1, max=1000, help="Night passes in a row to plan for.")] = 1,
    season: Annotated[
        float | None,
        typer.Option(min=0.01, max=366, help="Plan for all night passes within so many days instead."),
    ] = None,
    loss_spread: Annotated[
        float, typer.Option(min=0, max=20, help="Standard deviation of a pass's loss, dB.")
    ] = 0.0,
    clear_sky: Annotated[float, typer.Option(min=0.001, max=1, help="Probability that a pass is clear.")] = 1.0,
    fix: Annotated[
        list[str] | None, typer.Option(help="Keep intensities, probabilities or basis; may be repeated.")
    ] = None,
    protocol: ProtocolFile = None,
    plot: Annotated[Path | None, typer.Option(help="Draw what depends on what as one picture, a PNG file.")] = None,
    json: Json = False,
) -> None:
    """Find intensities, class probabilities and basis bias with the most expected key."""
    from satqkd.mission.files import read_protocol
    from satqkd.mission.optimise import optimise_source

    found = optimise_source(
        satellite,
        station,
        at_utc=at,
        protocol=read_protocol(protocol),
        bound=bound,
        passes=passes,
        season_days=season,
        loss_spread_db=loss_spread,
        clear_sky=clear_sky,
        keep=fix or (),
    )
    if json:
        print_json(found)
    if not found.after_bits:
        say(found.reason)
        raise typer.Exit(1)
