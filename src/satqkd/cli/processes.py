"""`satqkd satellite|station|emulator CONFIG`: the processes singly, for one pass or for a schedule."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from satqkd.cli.common import say
from satqkd.errors import ConfigError

if TYPE_CHECKING:
    from satqkd.node.unattended import ScheduleSummary

Config = Annotated[
    Path, typer.Argument(help="Run file of a pass, or schedule of many (TOML); see docs/run-file.md.")
]


def satellite(config: Config) -> None:
    """Take part as the satellite."""
    _node(config, "satellite", None)


def station(
    config: Config,
    name: Annotated[
        str | None, typer.Option(help="Which station of a schedule this is, by its preset's name.")
    ] = None,
) -> None:
    """Take part as a ground station."""
    _node(config, "station", name)


def emulator(config: Config) -> None:
    """Be time master and laser link; prints pass time and end once a second of pass time."""
    from satqkd.node.emulator import run_emulator
    from satqkd.node.run_config import read_run_config
    from satqkd.node.schedule import is_schedule, read_schedule
    from satqkd.node.unattended import run_emulator_schedule

    def progress(now_s: float, end_s: float) -> None:
        print(f"{now_s:g} {end_s:g}", flush=True)

    if is_schedule(config):
        _tell(run_emulator_schedule(read_schedule(config), progress))
        return
    run_emulator(read_run_config(config), progress, lambda what, role: print(what, role, flush=True))


def _node(config: Path, role: Literal["satellite", "station"], name: str | None) -> None:
    from satqkd.node.memory import map_large_memory
    from satqkd.node.process import run_node
    from satqkd.node.run_config import read_run_config
    from satqkd.node.schedule import is_schedule, read_schedule

    map_large_memory()
    if is_schedule(config):
        from satqkd.node.unattended import run_node_schedule

        _tell(run_node_schedule(read_schedule(config), role, name))
        return
    if name is not None:
        raise ConfigError("--name: only a schedule has several stations; a run file names its own")
    end = run_node(read_run_config(config), role)
    if end.stopped and not end.finished:
        say("asked to end in mid-pass: the tick was finished, and the report so far is written")
        raise typer.Exit(4)


def _tell(summary: "ScheduleSummary") -> None:
    for each in summary.contacts:
        reason = f": {each.reason}" if each.reason else ""
        say(f"{each.begin_utc} {each.station}: {each.outcome}, {each.secret_bits} secret bits{reason}")
    if not summary.complete:
        raise typer.Exit(4)
