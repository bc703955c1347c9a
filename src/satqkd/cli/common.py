"""What commands share: options, tables, one JSON document, progress on stderr."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from satqkd.errors import ResourceError

if TYPE_CHECKING:
    from datetime import datetime

    from satqkd import show
    from satqkd.config import Satellite
    from satqkd.mission import PassReport

OLD_ELEMENTS_DAYS = 14
"""Days from their epoch by which elements are tens of kilometres wrong along the track."""
_NUMBER = re.compile(r"[-+]?\d|-$|–$|yes$|no$")
_UNBOUNDED = 4000
"""Columns of a file or pipe: tables are never cut there."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Seed = Annotated[
    int, typer.Option(min=0, max=2**53 - 1, help="Seed of everything simulated; printed with the result.")
]
At = Annotated[
    str | None,
    typer.Option(help="UTC, ISO 8601 with Z: the pass that contains it, else the next by night."),
]
Demo = Annotated[
    bool, typer.Option("--demo", help="Take key that came from the twin or a recording: it is not secret.")
]
SatelliteName = Annotated[str, typer.Argument(help="Preset name or TOML file of a satellite.")]
StationName = Annotated[str, typer.Argument(help="Preset name or TOML file of a station.")]
ProtocolFile = Annotated[
    Path | None, typer.Option("--protocol", help="TOML file with protocol settings; see docs/settings.md.")
]


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    from satqkd.results import to_json

    sys.stdout.write(to_json(value).decode() + "\n")


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table on stdout, columns as wide as they need whatever the terminal says."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    wide = not sys.stdout.isatty()
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for index, name in enumerate(header):
        numeric = index > 0 and all(_NUMBER.match(row[index]) for row in cells)
        table.add_column(name, justify="right" if numeric else "left", no_wrap=wide)
    for row in cells:
        table.add_row(*row)
    Console(width=_UNBOUNDED if wide else None).print(table)


def print_tables(*tables: "show.Table") -> None:
    """Tables as the report shows them."""
    for table in tables:
        print_table(table.title, table.header, table.rows)


def say(message: str) -> None:
    """Prose for people, on stderr."""
    print(f"satqkd: {message}", file=sys.stderr)


def tell_result(result: Any, words: str, *, json: bool) -> None:
    """One JSON document on stdout, or a sentence on stderr."""
    if json:
        print_json(result)
    else:
        say(words)


def tell_pass(report: "PassReport", *, json: bool, **more: Any) -> None:
    """A pass at its end, as one JSON document with `more` in it, or as a table; ends with 1 without key."""
    import msgspec

    from satqkd.show import pass_table, pass_view

    if json:
        print_json({**msgspec.structs.asdict(report), **more})
    else:
        print_tables(pass_table([pass_view(report)]))
        if report.pooled_bits:
            say(f"with {report.pooled_bits} raw bits of its pool, which all counts but detections hold")
        if report.raw_left_out:
            say(f"left out, for one end does not hold it: {', '.join(report.raw_left_out)}")
        for node, counts in report.traffic.items():
            if counts:
                told = ", ".join(f"{number} {event}" for event, number in sorted(counts.items()))
                say(f"traffic at the {node}: {told}")
        if report.reason:
            say(f"{report.outcome}: {report.reason}")
        if report.verdict:
            say(report.verdict if report.eve is None else f"--eve {report.eve.spec}: {report.verdict}")
    if report.outcome != "key":
        raise typer.Exit(1)


def tell_old_elements(satellite: "Satellite", when: "datetime") -> None:
    """On stderr, when a catalogue's elements are used far from their epoch."""
    from satqkd.sky import format_utc, orbit_of

    orbit = satellite.orbit
    if orbit.tle_line_1 is None and orbit.mean_motion_rad_s is None:
        return
    epoch = orbit_of(orbit).epoch
    days = abs((when - epoch).total_seconds()) / 86_400
    if days > OLD_ELEMENTS_DAYS:
        say(
            f"{satellite.name}: elements of {format_utc(epoch)} are used {days:.0f} days from their epoch, "
            "and drift by kilometres a day; take some nearer in time"
        )


def now_utc() -> str:
    """The wall clock's time, ISO 8601 with Z."""
    from datetime import UTC, datetime

    from satqkd.sky import format_utc

    return format_utc(datetime.now(UTC))


class ProgressLine:
    """One line on stderr that is written over; silent unless stderr is a terminal, then sparse."""

    def __init__(self, what: str) -> None:
        self._what, self._last_s = what, -1e9
        self._live = sys.stderr.isatty()

    def __call__(self, now_s: float, end_s: float) -> None:
        text = f"satqkd: {self._what}: {now_s:6.0f} s of at most {end_s:.0f} s"
        if self._live:
            print(f"\r{text}", end="", file=sys.stderr, flush=True)
        elif now_s - self._last_s >= 60:
            print(text, file=sys.stderr, flush=True)
            self._last_s = now_s

    def end(self) -> None:
        """Leave the line."""
        if self._live:
            print(file=sys.stderr)


def made_folder(path: Path) -> Path:
    """The folder, made where it is missing. Raises ResourceError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"{path}: cannot be made ({error.strerror}); choose another folder") from None
    return path


@contextmanager
def new_file(target: Path, *, afterwards: str) -> Iterator[Callable[[bytes], None]]:
    """A file that costs key: `with new_file(...) as write` refuses its place before the key is used.

    The file is there whole or not at all, readable by its owner alone; nothing is left of it when the block
    fails. afterwards: what to do when writing fails although the place was good, with the key already used.
    Raises ResourceError.
    """
    partial = target.with_name(target.name + ".partial")
    try:
        refuse_existing(target)
        partial.touch(mode=0o600)
    except OSError as error:
        raise ResourceError(
            f"{target}: cannot be written ({error.strerror}); choose another --out (no key was used)"
        ) from None

    def write(data: bytes) -> None:
        try:
            partial.write_bytes(data)
            partial.replace(target)
        except OSError as error:
            raise ResourceError(
                f"{target}: cannot be written ({error.strerror}); the key is used; {afterwards}"
            ) from None

    try:
        yield write
    finally:
        partial.unlink(missing_ok=True)


def refuse_existing(target: Path) -> None:
    """Before any key is used: a target that is there is not written over. Raises ResourceError."""
    if target.exists():
        raise ResourceError(f"{target} exists; choose another --out (no key was used)")
    if not target.parent.is_dir():
        raise ResourceError(f"{target.parent} is no folder; choose another --out (no key was used)")
