"""`satqkd pass`: one whole pass, in three processes or in memory."""

from pathlib import Path
from tempfile import TemporaryDirectory
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


def fly_pass(
    satellite: SatelliteName,
    station: StationName,
    at: At = None,
    seed: Seed = 1,
    out: Annotated[
        Path | None,
        typer.Option(help="Keep stores, reports and logs here; default: a folder that is removed."),
    ] = None,
    in_memory: Annotated[
        bool, typer.Option("--in-memory", help="Both ends in this process instead of three processes.")
    ] = False,
    speed: Annotated[
        str, typer.Option(help="Pass time against the wall clock: realtime, a factor, or max for no pacing.")
    ] = "max",
    eve: Annotated[
        str | None,
        typer.Option(help="Who attacks the light, such as intercept-resend:0.2; see docs/eavesdroppers.md."),
    ] = None,
    protocol: ProtocolFile = None,
    traffic: Annotated[
        Path | None,
        typer.Option(help="TOML of settings of user traffic: pairs, relays, grants; see docs/traffic.md."),
    ] = None,
    json: Json = False,
) -> None:
    """Fly one pass with the digital twin: detections, distillation, equal keys in both stores."""
    if out is not None:
        _fly(satellite, station, at, seed, made_folder(out), in_memory, speed, eve, protocol, traffic, json)
        return
    with TemporaryDirectory(prefix="satqkd-") as scratch:
        _fly(satellite, station, at, seed, Path(scratch), in_memory, speed, eve, protocol, traffic, json)


def _fly(
    satellite: str,
    station: str,
    at: str | None,
    seed: int,
    folder: Path,
    in_memory: bool,
    speed: str,
    eve: str | None,
    protocol: Path | None,
    traffic: Path | None,
    json: bool,
) -> None:
    from satqkd.devices import parse_eve
    from satqkd.mission import contact_of, fly, presets, read_protocol, read_traffic, write_pass_folder
    from satqkd.mission.pace import Pace, read_speed
    from satqkd.node import RunConfig, fly_in_processes, free_port

    pace = Pace(read_speed(speed))
    spec, rules = None if eve is None else parse_eve(eve), read_protocol(protocol)
    mail = read_traffic(traffic)
    contact = contact_of(presets.satellite(satellite), presets.station(station), at)
    say(f"{satellite} over {station}, seed {seed}, {'in memory' if in_memory else 'three processes'}")
    tell_old_elements(contact.satellite, contact.epoch)
    progress = ProgressLine("pass time")
    if in_memory:
        report = fly(contact, rules, folder, seed=seed, eve=spec, traffic=mail, progress=progress, pace=pace)
    else:
        config = RunConfig(
            satellite=satellite,
            station=station,
            at_utc=at,
            seed=seed,
            folder=str(folder),
            port=free_port(),
            eve=eve,
            protocol=rules,
            traffic=mail,
            speed=speed,
        )
        report = fly_in_processes(config, progress)
    progress.end()
    write_pass_folder(folder, contact, report)
    tell_pass(report, json=json)
