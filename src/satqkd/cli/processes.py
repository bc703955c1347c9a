"""`satqkd satellite|station|emulator CONFIG`: the processes of a pass singly."""

from pathlib import Path
from typing import Annotated

import typer

from satqkd.cli.common import say

Config = Annotated[Path, typer.Argument(help="Run file of the pass (TOML); see docs/run-file.md.")]


def satellite(config: Config) -> None:
    """Take part in a pass as the satellite."""
    _node(config, "satellite")


def station(config: Config) -> None:
    """Take part in a pass as the ground station."""
    _node(config, "station")


def emulator(config: Config) -> None:
    """Carry a pass: time master and laser link; prints pass time and end once a second of pass time."""
    from satqkd.node.emulator import run_emulator
    from satqkd.node.run_config import read_run_config

    run_emulator(
        read_run_config(config),
        lambda now_s, end_s: print(f"{now_s:g} {end_s:g}", flush=True),
        lambda what, role: print(what, role, flush=True),
    )


def _node(config: Path, role: str) -> None:
    from satqkd.node.process import run_node
    from satqkd.node.run_config import read_run_config

    end = run_node(read_run_config(config), "satellite" if role == "satellite" else "station")
    if end.stopped and not end.finished:
        say("asked to end in mid-pass: the tick was finished, and the report so far is written")
        raise typer.Exit(4)
