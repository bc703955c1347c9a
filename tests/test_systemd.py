"""The systemd units of `examples/`: real sections and keys, real commands, the options that keep key in."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from satqkd.cli import app

UNITS = sorted((Path(__file__).parent.parent / "examples" / "systemd").glob("*.service"))
HARDENING = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "LimitCORE": "0",
    "UMask": "0077",
    "CapabilityBoundingSet": "",
}


def read(path: Path) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=True)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(path, encoding="utf-8")
    return unit


def fault_of_command(words: list[str]) -> str | None:
    """What is wrong with the words after `satqkd`; None for a command line that can be parsed."""
    group = typer.main.get_command(app)
    command = group.commands.get(words[0])  # type: ignore[attr-defined]
    if command is None:
        return f"no command {words[0]}"
    try:
        command.make_context(words[0], list(words[1:]))
    except Exception as error:  # the parser's own class has no public name
        return str(error)
    return None


def test_there_are_units_of_satellite_and_station() -> None:
    assert [path.name for path in UNITS] == ["satqkd-satellite.service", "satqkd-station@.service"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_a_real_command_and_keeps_key_in(path: Path) -> None:
    unit = read(path)
    assert unit.sections() == ["Unit", "Service", "Install"]
    service = unit["Service"]
    program, *words = service["ExecStart"].replace("%i", "beijing").split()
    assert Path(program).is_absolute() and Path(program).name == "satqkd"
    assert fault_of_command(words) is None
    assert {key: service.get(key) for key in HARDENING} == HARDENING
    assert service["Restart"] == "on-failure"
    assert "3" in service["RestartPreventExitStatus"].split()
    assert (service["StandardOutput"], service["StandardError"]) == ("journal", "journal")
    assert service["KillSignal"] == "SIGTERM"


def test_a_command_that_does_not_exist_is_found() -> None:
    assert fault_of_command(["teleport", "x"]) == "no command teleport"
    assert fault_of_command(["station", "x", "--nmae", "y"]) is not None


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_has_nothing_to_say_about_a_unit(path: Path, tmp_path: Path) -> None:
    """The program's path is another here, and a template is looked at as one of its instances."""
    program = tmp_path / "satqkd"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    unit = tmp_path / path.name.replace("@", "@beijing")
    unit.write_text(path.read_text(encoding="utf-8").replace("/opt/satqkd/bin/satqkd", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    told = [line for line in done.stderr.splitlines() if "satqkd" in line]
    assert told == []
    unit.write_text(unit.read_text(encoding="utf-8").replace("ProtectHome=", "ProtectHoem="))
    again = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert "ProtectHoem" in again.stderr
