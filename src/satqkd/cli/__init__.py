"""The command line: the only place that prints and exits.

stdout carries results alone (a table, or one JSON document with `--json`); progress and prose go to
stderr. Exit codes: 0 done; 1 no key or a failed check; 2 bad input or environment; 3 refused for safety;
4 the peer or the link failed. Each command is one file; what it needs is imported when it runs.
"""

import sys

import click
import typer

import satqkd.cli.budget as budget
import satqkd.cli.demo as demo
import satqkd.cli.encryption as encryption
import satqkd.cli.fly as fly
import satqkd.cli.keylength as keylength
import satqkd.cli.keys as keys
import satqkd.cli.passes as passes
import satqkd.cli.presets as presets
import satqkd.cli.processes as processes
import satqkd.cli.report as report
import satqkd.cli.validate as validate
from satqkd.errors import Error

app = typer.Typer(
    name="satqkd",
    help="Satellite quantum key distribution: fly passes, distil keys, relay and use them, plan and predict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("pass")(fly.fly_pass)
app.command("passes")(passes.passes)
app.command("budget")(budget.budget)
app.command("keylength")(keylength.keylength)
app.add_typer(keys.app, name="keys")
app.command("encrypt")(encryption.encrypt)
app.command("decrypt")(encryption.decrypt)
app.command("satellite")(processes.satellite)
app.command("station")(processes.station)
app.command("emulator")(processes.emulator)
app.add_typer(presets.app, name="presets")
app.command("report")(report.report)
app.command("validate")(validate.validate)


def main() -> None:
    """Run a command; every refusal ends in one line on stderr and its exit code."""
    try:
        app(prog_name="satqkd", standalone_mode=False)
    except Error as error:
        _end(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        sys.exit(2)
    except click.ClickException as error:
        _end(f"{error.format_message()} (try `satqkd --help`)", 2)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _end("interrupted; nothing half-written is kept", 4)
    except OSError as error:
        _end(f"{error.filename or 'system'}: {error.strerror}; check the path and its permissions", 2)


def _end(message: str, code: int) -> None:
    print(f"satqkd: {message}", file=sys.stderr)
    sys.exit(code)
