"""`satqkd campaign`: a grid of scenarios run on this machine or a cluster, into tables."""

import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from satqkd.cli.common import Json, print_json, print_table, say

if TYPE_CHECKING:
    from satqkd.plan.campaign import Grid
    from satqkd.plan.campaign_crew import Crew
    from satqkd.plan.campaign_folder import CampaignFolder
    from satqkd.plan.campaign_run import State


def campaign(
    campaign: Annotated[Path, typer.Argument(help="TOML file of a campaign.")],
    out: Annotated[
        Path, typer.Option(help="Folder of its results; runs that are done in it are not run again.")
    ],
    workers: Annotated[
        int | None,
        typer.Option(min=0, max=1024, help="Processes; default a core each. 0: none but this one."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, whose workers run it, in their place.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Run again what failed.")] = False,
    merge: Annotated[
        list[Path] | None,
        typer.Option(
            help="Take in the results of this folder too, and run nothing; may be said several times."
        ),
    ] = None,
    format_: Annotated[
        Literal["parquet", "csv"] | None,
        typer.Option("--format", help="Of the tables; default parquet where pyarrow is installed."),
    ] = None,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Tables alone: no curves, no report.html.")
    ] = False,
    json: Json = False,
) -> None:
    """Run a campaign: what is missing in its folder is run, then tables and a report are made."""
    from satqkd.plan.campaign import read_campaign
    from satqkd.plan.campaign_folder import CampaignFolder
    from satqkd.plan.campaign_run import run_campaign, state_of
    from satqkd.plan.tables import require_format, usual_format

    form = format_ or usual_format()
    require_format(form)
    grid = read_campaign(campaign)
    if not no_report:
        _check(out)
    folder = CampaignFolder(out)
    with folder.writing():
        folder.write_grid(grid)
        if merge:
            taken = sum(folder.take(other, grid.runs) for other in merge)
            say(f"{taken} results taken in")
            state = state_of(grid, folder)
        else:
            with _crew(workers, scheduler) as crew, _Told(grid.campaign.name) as told:
                state = run_campaign(grid, folder, crew, retry=retry, progress=told)
        tables = folder.write_tables(grid, form)
        report = None if no_report else _report(grid, folder)
    _tell(grid.campaign.name, len(grid.points), state, out, tables, report, json=json)
    if state.failed:
        raise typer.Exit(1)


def _crew(workers: int | None, scheduler: str | None) -> "AbstractContextManager[Crew]":
    from satqkd.plan.campaign_crew import cluster_crew, local_crew, usual_workers

    if scheduler is None:
        return local_crew(usual_workers() if workers is None else workers)
    if workers is not None:
        raise typer.BadParameter("--workers and --scheduler exclude each other; name one")
    return cluster_crew(scheduler)


def _check(out: Path) -> None:
    """Before the hours that runs may take."""
    from satqkd.show.plan_document import check_report_place

    check_report_place(out)


def _report(grid: "Grid", folder: "CampaignFolder") -> Path:
    from satqkd.cli.campaign_told import write_campaign

    return write_campaign(grid, folder)


def _tell(
    name: str,
    points: int,
    state: "State",
    out: Path,
    tables: tuple[Path, ...],
    report: Path | None,
    *,
    json: bool,
) -> None:
    counts = {
        "points": points,
        "runs": state.runs,
        "done": state.done,
        "failed": state.failed,
        "missing": state.missing,
        "ran_now": state.ran,
    }
    if json:
        told = {"tables": [str(path) for path in tables], "report": report and str(report)}
        print_json({"campaign": name, **counts, **told})
    else:
        print_table(f"campaign {name}", ("count", "number"), list(counts.items()))
        say(f"tables: {', '.join(str(path) for path in tables)}")
        if report is not None:
            say(f"report: {report}")
    if state.failed:
        say(
            f"{state.failed} of {state.runs} runs failed: inputs and errors in {out / 'failed'}; "
            "--retry runs them again"
        )


class _Told:
    """Progress on stderr: one line that is written over on a terminal, else one for each tenth."""

    def __init__(self, name: str) -> None:
        self._name, self._tenth, self._live = name, -1, sys.stderr.isatty()

    def __enter__(self) -> "_Told":
        return self

    def __call__(self, state: "State") -> None:
        text = f"satqkd: {self._name}: {state.done} of {state.runs} runs done, {state.failed} failed"
        tenth = 10 * (state.done + state.failed) // state.runs
        if self._live:
            print(f"\r{text}", end="", file=sys.stderr, flush=True)
        elif tenth != self._tenth:
            print(text, file=sys.stderr, flush=True)
        self._tenth = tenth

    def __exit__(self, *_: object) -> None:
        if self._live and self._tenth >= 0:
            print(file=sys.stderr)
