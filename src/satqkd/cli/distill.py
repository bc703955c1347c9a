"""`satqkd distill`: the key of a recorded pass, from its files alone."""

from pathlib import Path
from typing import Annotated

import typer

from satqkd.cli.common import Json, ProgressLine, made_folder, say, tell_pass

_COMPARED = {
    True: "the keys equal those of the live pass, at both ends",
    False: "the keys differ from those of the live pass",
    None: "no live key to compare with (none in the folder, used in part, or other coins)",
}


def distill(
    directory: Annotated[Path, typer.Argument(help="Folder with satellite.h5 and station.h5.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for new stores and reports; default: DIRECTORY/distilled.")
    ] = None,
    fresh_coins: Annotated[
        bool, typer.Option("--fresh-coins", help="Draw new coins although the pass's are on record.")
    ] = False,
    json: Json = False,
) -> None:
    """Distil a recorded pass: the live pass's key where its coins are on record, else a key of its own."""
    from satqkd.mission import distill_recording, equals_live, open_recording

    with open_recording(directory) as recording:
        folder = made_folder(directory / "distilled" if out is None else out)
        progress = ProgressLine("pass time")
        report = distill_recording(recording, folder, fresh_coins=fresh_coins, progress=progress)
        progress.end()
        same = None if fresh_coins else equals_live(recording, folder)
    say(_COMPARED[same])
    tell_pass(report, json=json, equals_live=same)
    if same is False:
        raise typer.Exit(1)
