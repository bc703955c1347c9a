"""`satqkd record`: one pass with the twin, what its devices gave and the coins of both ends kept in files."""

from pathlib import Path
from typing import Annotated

import typer

from satqkd.cli.common import (
    At,
    Json,
    ProgressLine,
    ProtocolFile,
    SatelliteName,
    Seed,
    StationName,
    made_folder,
    say,
    tell_old_elements,
    tell_pass,
)


def record(
    satellite: SatelliteName,
    station: StationName,
    directory: Annotated[Path, typer.Argument(help="Folder for recording, stores and reports.")],
    at: At = None,
    seed: Seed = 1,
    protocol: ProtocolFile = None,
    json: Json = False,
) -> None:
    """Fly one pass in memory and record it: `satqkd distill` makes the same key from the files."""
    from satqkd.mission import contact_of, presets, read_protocol, record_pass

    rules = read_protocol(protocol)
    contact = contact_of(presets.satellite(satellite), presets.station(station), at)
    say(f"{satellite} over {station}, seed {seed}, recorded in {directory}")
    tell_old_elements(contact.satellite, contact.epoch)
    progress = ProgressLine("pass time")
    report = record_pass(contact, rules, made_folder(directory), seed=seed, progress=progress)
    progress.end()
    say(f"{directory}: the recording holds raw key and coins; keep it as you keep the key, or delete it")
    tell_pass(report, json=json)
