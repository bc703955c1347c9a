"""The command line: the only place that prints and exits.

stdout carries results alone (a table, or one JSON document with `--json`); progress and prose go to
stderr. Exit codes: 0 done; 1 no key or a failed check; 2 bad input or environment; 3 refused for safety;
4 the peer or the link failed, or the command was interrupted. Each command is one file; what it needs is
imported when it runs.
"""

import signal
import sys
from typing import Final

import typer

import satqkd.cli.budget as budget
import satqkd.cli.campaign as campaign
import satqkd.cli.demo as demo
import satqkd.cli.distill as distill
import satqkd.cli.encryption as encryption
import satqkd.cli.fly as fly
import satqkd.cli.get_key as get_key
import satqkd.cli.keylength as keylength
import satqkd.cli.keys as keys
import satqkd.cli.keys_network as keys_network
import satqkd.cli.keys_operate as keys_operate
import satqkd.cli.keys_push as keys_push
import satqkd.cli.operate as operate
import satqkd.cli.optimise as optimise
import satqkd.cli.passes as passes
import satqkd.cli.pki as pki
import satqkd.cli.plan as plan
import satqkd.cli.presets as presets
import satqkd.cli.processes as processes
import satqkd.cli.record as record
import satqkd.cli.report as report
import satqkd.cli.send as send
import satqkd.cli.serve as serve
import satqkd.cli.status as status
import satqkd.cli.stores as stores
import satqkd.cli.validate as validate
import satqkd.cli.yields as yields
from satqkd.errors import Error

app = typer.Typer(
    name="satqkd",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.callback()(stores.choose_access)
app.command("demo")(demo.demo)
app.command("pass")(fly.fly_pass)
app.command("record")(record.record)
app.command("distill")(distill.distill)
app.command("passes")(passes.passes)
app.command("yields")(yields.yields)
app.command("campaign")(campaign.campaign)
app.command("budget")(budget.budget)
app.command("keylength")(keylength.keylength)
app.command("optimise")(optimise.optimise)
app.command("plan")(plan.plan)
app.command("operate")(operate.operate)
for _name, _function in (
    *keys_network.COMMANDS.items(),
    *keys_push.COMMANDS.items(),
    *keys_operate.COMMANDS.items(),
):
    keys.app.command(_name)(_function)
app.add_typer(keys.app, name="keys")
app.command("encrypt")(encryption.encrypt)
app.command("decrypt")(encryption.decrypt)
app.command("send")(send.send)
app.command("messages")(send.messages)
app.command("serve")(serve.serve)
app.command("get-key")(get_key.get_key)
app.add_typer(pki.app, name="pki")
app.command("satellite")(processes.satellite)
app.command("station")(processes.station)
app.command("emulator")(processes.emulator)
app.command("status")(status.status)
app.add_typer(presets.app, name="presets")
app.command("report")(report.report)
app.command("validate")(validate.validate)


_NO_ARGUMENTS: Final = "NoArgsIsHelpError"
"""A group called without a command: its message is the whole help."""
_TYPER_INTERRUPTED: Final = 130
"""What typer gives for a keyboard interrupt, which it does not let through."""
UsageError: Final[type[Exception]] = typer.BadParameter.__mro__[1]
"""The class of all mistakes in a command's words; typer gives only this child of it a public name."""


def main() -> None:
    """Run a command; every refusal ends in one line on stderr and its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(4))  # so that children and scratch folders are cleared
    try:
        code = app(prog_name="satqkd", standalone_mode=False)
    except Error as error:
        _end(str(error), error.exit_code)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except UsageError as error:
        if type(error).__name__ == _NO_ARGUMENTS:
            print(_words_of(error), file=sys.stderr)
            sys.exit(2)
        _end(f"{_words_of(error)} (try `satqkd --help`)", 2)
    except (OverflowError, RecursionError) as error:
        _end(f"a number or a nesting is beyond what can be computed ({error}); look at what was given", 2)
    except (KeyboardInterrupt, typer.Abort):
        code = _TYPER_INTERRUPTED
    except OSError as error:
        _end(f"{error.filename or 'system'}: {error.strerror}; check the path and its permissions", 2)
    if code == _TYPER_INTERRUPTED:
        _end("interrupted; what was finished is kept, and nothing by halves", 4)
    sys.exit(code if isinstance(code, int) else 0)


def _words_of(error: BaseException) -> str:
    """What a usage error says, without the lines around it."""
    told = getattr(error, "format_message", lambda: str(error))()
    return str(told).rstrip(".")


def _end(message: str, code: int) -> None:
    print(f"satqkd: {message}", file=sys.stderr)
    sys.exit(code)
